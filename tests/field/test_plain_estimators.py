"""What to_estimator says where it gives none: only what helps these members."""

from __future__ import annotations

import pickle
import re
import warnings
from io import BytesIO

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError


class LGBMClassifier(ClassifierMixin, BaseEstimator):
    """Boosted trees of another package."""

    def __init__(self, max_iter=3):
        self.max_iter = max_iter

    def fit(self, X, y):
        self.inner_ = HistGradientBoostingClassifier(max_iter=self.max_iter).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


FAMILIES = {
    "other boosters": lambda i: LGBMClassifier(2 + i),
    "their Pipelines": lambda i: make_pipeline(PolynomialFeatures(), LGBMClassifier(2 + i)),
    "Gaussian": lambda i: GaussianNB(var_smoothing=10.0 ** -(9 - i)),
    "linear": lambda i: LogisticRegression(C=0.1 + i, max_iter=1000),
    "boosted": lambda i: HistGradientBoostingClassifier(max_iter=2 + i),
    "forests": lambda i: RandomForestClassifier(3, random_state=i),
    "nets": lambda i: MLPClassifier((3,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=i),
    "unlike": lambda i: [ExtraTreesClassifier(3, random_state=0), GaussianNB()][i],
}
NOTHING_HELPS = ("other boosters", "their Pipelines", "Gaussian", "unlike")
SETTINGS = [
    {},
    {"weights": "classwise"},
    {"method": "logits"},
    {"method": "probabilities"},
    {"method": "probabilities", "calibrate": "merged"},
]


def rows():
    """Rows that members have not seen, with some wrong labels among them."""
    X, y = load_iris(return_X_y=True)
    wrong = np.arange(len(y)) % 10 == 1
    return X[1::2], np.where(wrong, (y + 1) % 3, y)[1::2]


@pytest.fixture(scope="module")
def fitted():
    X, y = (part[::2] for part in load_iris(return_X_y=True))
    return {f: [make(i).fit(X, y) for i in range(2)] for f, make in FAMILIES.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_error_names_only_methods_that_give_one(fitted, family):
    X, y = rows()
    refused = 0
    for settings in SETTINGS:
        merged = MergedClassifier.from_fitted(fitted[family], X, y, **settings)
        try:
            merged.to_estimator(X)
        except IncompatibleEstimatorsError as error:
            refused, message = refused + 1, str(error)
        else:
            continue
        told = re.findall(r"method='(\w+)'(?: with (\w+)=('\w+'|None))?", message.split(": ")[-1])
        assert bool(told) is (family not in NOTHING_HELPS), message
        if not told:
            assert "keep the merged classifier, joblib.dump saves it" in message
        for method, name, value in told:
            remedy = {name: None if value == "None" else value.strip("'")} if name else {}
            merged = MergedClassifier.from_fitted(
                fitted[family], X, y, method=method, barrier_tolerance=99.0, **remedy
            )
            plain = merged.to_estimator(X)
            np.testing.assert_allclose(
                plain.predict_proba(X), merged.predict_proba(X), atol=1e-5, err_msg=message
            )
    assert refused


def test_a_merged_classifier_is_saved_by_joblib(fitted):
    X, y = rows()
    merged = MergedClassifier.from_fitted(fitted["other boosters"], X, y)
    file = BytesIO()
    joblib.dump(merged, file)
    file.seek(0)
    np.testing.assert_array_equal(joblib.load(file).predict_proba(X), merged.predict_proba(X))


def test_parameters_that_cannot_be_averaged_still_name_the_pool(fitted):
    X, y = rows()
    boosters = fitted["other boosters"]
    with pytest.raises(IncompatibleEstimatorsError, match="use method='logits', or") as found:
        MergedClassifier.from_fitted(boosters, X, y, method="parameters")
    copied = pickle.loads(pickle.dumps(found.value))
    assert str(copied) == str(found.value)
    assert MergedClassifier.from_fitted(boosters, X, y, method="logits").score(X, y) > 0.6


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd", "warm_start": True},
        {"warm_start": True, "early_stopping": True},
        {"solver": "lbfgs", "warm_start": True},
    ],
)
def test_a_plain_net_can_be_trained_further(blobs, settings):
    def net(seed):
        return MLPClassifier((4,), max_iter=5, random_state=seed, **settings)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        members = [net(seed).fit(blobs.X, blobs.y) for seed in range(2)]
        merged = MergedClassifier.from_fitted(
            members, blobs.X, blobs.y, method="parameters", weights=None, barrier_tolerance=1e9
        )
        plain = merged.to_estimator(blobs.X)
        start = [coefs.copy() for coefs in plain.coefs_]
        if plain.warm_start:
            plain.fit(blobs.X, blobs.y)
        else:
            plain.partial_fit(blobs.X, blobs.y)
    moved = [float(np.abs(a - b).max()) for a, b in zip(plain.coefs_, start, strict=True)]
    assert 0 < max(moved) < 10
    if plain.solver != "lbfgs":  # which keeps no curve
        assert len(plain.loss_curve_) == plain.n_iter_  # of this training alone
