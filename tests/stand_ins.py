"""Small stand-ins for what other packages have: classifiers, and a table that is not read yet."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB


class Said(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are its probabilities."""

    def __init__(self, classes):
        self.classes = classes

    def fit(self, X=None, y=None):
        self.classes_ = np.asarray(self.classes)
        return self

    def predict_proba(self, X):
        return np.asarray(X)


class Told(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose X are row numbers of given probabilities."""

    def __init__(self, proba):
        self.proba = proba
        self.classes_ = np.arange(np.shape(proba)[1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return self.proba[np.asarray(X)[:, 0].astype(int)]


class Opaque(ClassifierMixin, BaseEstimator):
    """A third party's classifier that knows nothing but fit and predict_proba."""

    def fit(self, X, y):
        self.inner_ = GaussianNB().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)

    def predict(self, X):
        msg = "predict of a member must never be called"
        raise AssertionError(msg)


class LazyFrame:
    """As that of polars: a plan of a table."""

    def __init__(self, frame):
        self._frame = frame
        self.columns = list(getattr(frame, "columns", []))

    def collect(self):
        return self._frame
