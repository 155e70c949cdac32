"""Many fits under joblib's backend "dask" are those of its own processes."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator, compare_fit_orders
from tests.distributed.test_fit import make_rows

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore"),  # those of Dask, when its threads end
]

X, Y, W = make_rows(1, 120)
MEMBERS = {"bayes": GaussianNB(), "lda": LinearDiscriminantAnalysis()}


def cross_fitted(n_jobs):
    merged = MergedClassifier(MEMBERS, method="logits", cv=3, n_jobs=n_jobs)
    return merged.fit(X, Y, W).predict_proba(X)


def calibrated(n_jobs):
    return TemperatureCalibrator(GaussianNB(), cv=3, n_jobs=n_jobs).fit(X, Y).predict_proba(X)


def searched(n_jobs):
    grid = {"method": ["logits", "probabilities"]}
    search = GridSearchCV(
        MergedClassifier(MEMBERS, cv=2), grid, scoring="neg_log_loss", cv=2, n_jobs=n_jobs
    )
    return search.fit(X, Y).cv_results_["mean_test_score"]


def orders(n_jobs):
    how = {"method": "logits", "cv": 2, "random_state": 0, "n_jobs": n_jobs}
    return compare_fit_orders(MEMBERS, X, Y, **how)["mean"].to_numpy()


def test_many_fits_give_what_joblib_gives_by_itself():
    tasks = (cross_fitted, calibrated, searched, orders)
    expected = [task(None) for task in tasks]
    how = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None, "processes": False}
    with (
        distributed.LocalCluster(**how) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        found = [task(2) for task in tasks]
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, other)
