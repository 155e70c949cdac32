"""Rows that a member stops by are routed as they are, also if there are as many as in X."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import MergedClassifier, TemperatureCalibrator

NAMES = np.array(["bad", "good", "medium"])


class Stops(ClassifierMixin, BaseEstimator):
    """Takes rows to stop by in the spellings of several libraries, and codes only if told so."""

    def __init__(self, codes=False):
        self.codes = codes

    def fit(
        self,
        X,
        y,
        eval_set=None,
        eval_X=None,
        eval_y=None,
        eval_sample_weight=None,
        sample_weight_eval_set=None,
        X_val=None,
        y_val=None,
        margin=None,
    ):
        if self.codes and np.asarray(y).dtype.kind not in "iu":
            raise ValueError("codes, please")
        self.got_ = {n: v for n, v in locals().items() if n not in ("self", "X", "y")}
        self.n_rows_ = len(X)
        self.inner_ = GaussianNB().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


WANTED = dict.fromkeys(
    ["eval_X", "eval_y", "eval_sample_weight", "sample_weight_eval_set", "X_val", "y_val"], True
)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize("kind", ["merged", "pipeline", "calibrator"])
def test_as_many_rows_as_in_X_are_not_cut(blobs, routing, kind, codes):
    member = Stops(codes).set_fit_request(**WANTED, margin=True)
    y, weight = NAMES[blobs.y], np.linspace(1, 2, 200)
    other = {"eval_X": blobs.X[::-1], "eval_y": list(y[::-1]), "eval_sample_weight": weight}
    other |= {"sample_weight_eval_set": weight, "X_val": blobs.X, "y_val": (y,)}
    if kind == "calibrator":
        model = TemperatureCalibrator(member, cv=2)
    else:
        inner = make_pipeline(FunctionTransformer(), member) if kind == "pipeline" else member
        model = MergedClassifier([("m", inner)], cv=2, refit=False)
    model.fit(blobs.X, y, **other, margin=weight)
    if kind == "calibrator":
        fitted = [model.estimator_]
    else:
        fitted = [getattr(e, "estimator", e) for e in model.estimators_[0].estimators]
    for one in fitted:
        one = one[-1] if kind == "pipeline" else one
        for name, value in other.items():
            value = value[0] if isinstance(value, tuple) else value
            got = one.got_[name]
            got = got[0] if isinstance(got, tuple) else got
            if codes and name in ("eval_y", "y_val"):
                value = np.searchsorted(NAMES, value)
            np.testing.assert_array_equal(got, value)
        assert len(one.got_["margin"]) == one.n_rows_  # one for each row of X: cut with them
