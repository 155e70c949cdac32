"""Members, folds, and the models that users fitted on them."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB

FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


def unfitted():
    return [
        ("logistic", LogisticRegression(C=0.1, tol=0.01)),
        ("trees", ExtraTreesClassifier(4, max_depth=4, random_state=0)),
        ("bayes", GaussianNB()),
    ]


def fitted_on_folds(X, y, splits, members=None):
    """The models of the folds of each member, as a user has them."""
    return {
        name: [clone(model).fit(X[train], y[train]) for train, _ in splits]
        for name, model in members or unfitted()
    }


def softened(p, amount):
    return np.log((1 - amount) * p + amount / p.shape[1])
