"""Scores of Dask collections: the numbers of all rows in memory."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from skmergecal import MergedClassifier, ReliabilityDisplay, metrics
from tests.distributed.test_fit import MEMBERS, arrays, make_rows

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

N, K = 400, 3
ENDS = [[], [0, 7, 7, 300], np.linspace(0, N, 17).astype(int)[1:-1]]


def make_scored(seed=0, k=K):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), size=N)
    q = rng.dirichlet(np.ones(k), size=N)
    p[::9] = np.eye(k)[rng.integers(k, size=len(p[::9]))]
    y = (p.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1)
    return y, p, q, rng.integers(0, 4, N) / 2


def numbers(result):
    parts = dataclasses.astuple(result) if dataclasses.is_dataclass(result) else [result]
    return np.concatenate([np.ravel(part) for part in parts])


def of_members(function):
    return lambda y, p, q, **how: function(y, [p, q], **how)


def of_one(function, **settings):
    return lambda y, p, _, **how: function(y, p, **settings, **how)


SCORES = {
    "expected": of_one(metrics.expected_calibration_error),
    "expected, debiased": of_one(
        metrics.expected_calibration_error, norm="l2", debias=True, n_bins=7
    ),
    "maximum": of_one(metrics.maximum_calibration_error, kind="class-wise"),
    "class-wise": of_one(metrics.classwise_calibration_error, norm="max"),
    "log loss": of_one(metrics.decompose_log_loss),
    "log loss without folds": of_one(metrics.decompose_log_loss, cv=None),
    "Brier score": of_one(metrics.decompose_brier_score, method="temperature", cv=3),
    "disagreement": lambda _, p, q, **how: metrics.disagreement([p, q], **how),
    "double fault": of_members(metrics.double_fault),
    "Q": of_members(metrics.q_statistic),
    "correlation": of_members(metrics.error_correlation),
    "ensemble": of_members(partial(metrics.decompose_ensemble_log_loss, weights=[1, 2])),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_all_rows(name):
    y, p, q, weight = make_scored()
    for weighted, ends in zip((True, False, True), ENDS, strict=True):
        how = {"sample_weight": weight} if weighted else {}
        whole = SCORES[name](y, p, q, **how)
        own_y, own_p, own_q, own_weight = arrays(ends, y, p, q, weight)
        how = {"sample_weight": own_weight} if weighted else {}
        found = SCORES[name](own_y, own_p, own_q, **how)
        np.testing.assert_allclose(numbers(found), numbers(whole), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_splits", [2, 5, 7])
def test_folds_are_those_of_all_rows_where_classes_appear_in_any_order(n_splits):
    """One row in another fold would change the temperatures."""
    y, p, *_ = make_scored(3, k=5)
    order = np.argsort((y + 2) % 5, kind="stable")[: N - 37]
    y, p = y[order], p[order]
    whole = metrics.decompose_log_loss(y, p, cv=n_splits)
    parts = metrics.decompose_log_loss(*arrays([11, 90, 91, 200], y, p), cv=n_splits)
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-9, atol=1e-12)


def test_folds_with_few_rows_of_a_class_are_as_in_memory():
    y, p, *_ = make_scored()
    y[y == 2] = 0
    y[:3] = 2
    for rows in ((y, p), arrays([2, 100], y, p)):
        with pytest.warns(UserWarning, match="only 3 members, which is less than n_splits=4"):
            metrics.decompose_log_loss(*rows, cv=4)
        with pytest.raises(ValueError, match="n_splits=350 cannot be greater"):
            metrics.decompose_log_loss(*rows, cv=350)


def test_columns_of_a_frame_and_labels_in_a_series():
    y, p, _, weight = make_scored()
    frame = pd.DataFrame(p, columns=list("abc")).assign(y=y, w=weight)
    rows = dd.from_pandas(frame, npartitions=3)
    found = metrics.expected_calibration_error(
        rows["y"], rows[list("abc")], sample_weight=rows["w"]
    )
    whole = metrics.expected_calibration_error(y, p, sample_weight=weight)
    assert found == pytest.approx(whole, rel=1e-12)


def check_same_curves(found, whole):
    assert [(c.model, c.facet) for c in found] == [(c.model, c.facet) for c in whole]
    for own, expected in zip(found, whole, strict=True):
        for a, b in zip(
            dataclasses.astuple(own.bins), dataclasses.astuple(expected.bins), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-9)
        for field in ("low", "high", "histogram"):
            np.testing.assert_allclose(
                getattr(own, field), getattr(expected, field), rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("classes", [None, ["r", "s", "t"]])
@pytest.mark.parametrize("kind", ["auto", "class-wise"])
def test_reliability_of_predictions(kind, classes):
    y, p, q, weight = make_scored()
    labels = np.array(["r", "s", "t"])[y]
    how = {"kind": kind, "classes": classes, "band": "consistency", "plot": False}
    whole = ReliabilityDisplay.from_predictions(
        labels, {"p": p, "q": q}, sample_weight=weight, **how
    )
    own_y, own_p, own_q, own_weight = arrays([0, 9, 200], labels, p, q, weight)
    given = {"p": own_p, "q": own_q}
    found = ReliabilityDisplay.from_predictions(own_y, given, sample_weight=own_weight, **how)
    check_same_curves(found.curves, whole.curves)


def test_reliability_of_a_column_of_probabilities():
    y, p, *_ = make_scored(k=2)
    whole = ReliabilityDisplay.from_predictions(y, p[:, 1], plot=False)
    found = ReliabilityDisplay.from_predictions(*arrays([50], y, p[:, 1]), plot=False)
    check_same_curves(found.curves, whole.curves)


def test_reliability_of_estimators_is_one_pass_over_the_rows():
    X, y, weight = make_rows(2)
    calls = []

    class Counted(LogisticRegression):
        def predict_proba(self, X):
            calls.append(len(X))
            return super().predict_proba(X)

    models = {
        "merged": MergedClassifier.from_fitted(MEMBERS, X, y, method="logits"),
        "linear": Counted().fit(X, y),
    }
    whole = ReliabilityDisplay.from_estimator(models, X, y, sample_weight=weight, plot=False)
    rows, labels, own = arrays([0, 40, 41], X, y, weight)
    calls.clear()
    found = ReliabilityDisplay.from_estimator(models, rows, labels, sample_weight=own, plot=False)
    assert sum(calls) == len(X)
    check_same_curves(found.curves, whole.curves)


def test_warnings_of_partitions_come_once():
    y, p, *_ = make_scored()
    rows = arrays([100, 200], y, p.round(2) * 1.004)
    with pytest.warns(UserWarning, match="rounded probabilities") as caught:
        metrics.expected_calibration_error(*rows)
    assert len({str(w.message) for w in caught}) == len(caught)


#: What needs all rows at once, and what its message says to do.
AT_ONCE = {
    "quantile": (of_one(metrics.expected_calibration_error, strategy="quantile"), "quantile"),
    "isotonic": (of_one(metrics.decompose_brier_score), "isotonic"),
    "vector": (of_one(metrics.decompose_log_loss, method="class-wise"), "class-wise"),
    "smooth": (of_one(metrics.smooth_calibration_error), "Dask"),
    "test": (of_one(metrics.calibration_test), "Dask"),
    "risk": (of_one(metrics.area_under_risk_coverage), "Dask"),
    "curve": (
        of_one(ReliabilityDisplay.from_predictions, strategy="quantile", plot=False),
        "quantile",
    ),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_needs_all_rows_at_once_says_so_and_compute_is_the_remedy(name):
    score, match = AT_ONCE[name]
    y, p, q, _ = make_scored()
    rows = arrays([100, 300], y, p, q)
    with pytest.raises(TypeError, match=rf"{match}.*compute\(\)"):
        score(*rows)
    assert score(*(own.compute() for own in rows)) is not None


def test_sampling_and_bins_of_equal_width_are_remedies_too():
    y, p, *_ = make_scored()
    frame = dd.from_pandas(pd.DataFrame(p, columns=list("abc")).assign(y=y), npartitions=3)
    with pytest.raises(TypeError, match=r"DataFrame.sample.*strategy=\"uniform\""):
        metrics.expected_calibration_error(frame["y"], frame[list("abc")], strategy="quantile")
    sample = frame.sample(frac=0.5, random_state=0).compute()
    error = metrics.expected_calibration_error(
        sample["y"].to_numpy(), sample[list("abc")], strategy="quantile"
    )
    assert 0 < error < 1


def test_what_is_wrong_names_the_partition():
    y, p, *_ = make_scored()
    bad = p.copy()
    bad[350] = 2
    with pytest.raises(ValueError, match="row 50 is") as caught:
        metrics.expected_calibration_error(*arrays([100, 300], y, bad))
    assert "in partition 2" in caught.value.__notes__
    own_y, own_p = arrays([100, 300], y, p)
    with pytest.raises(TypeError, match=r"y is a ndarray.*in the same partitions"):
        metrics.expected_calibration_error(y, own_p)
    (other,) = arrays([100, 301], y)
    with pytest.raises(ValueError, match=r"proba has \d+ rows and y has \d+"):
        metrics.expected_calibration_error(other, own_p)
    with pytest.raises(ValueError, match=r"cv=KFold.*pass an integer"):
        metrics.decompose_log_loss(own_y, own_p, cv=KFold(3))
