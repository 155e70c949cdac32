"""What holds for every score: the order of rows, repeated rows, and perfect forecasts."""

from __future__ import annotations

import dataclasses
import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmergecal import metrics
from tests.strategies import seeds

N_MEMBERS = 3
FORECASTS = [{"kind": "top-label"}, {"kind": "class-wise"}]
BINS = [{"strategy": s} for s in ("uniform", "quantile")]
BINNED = [*BINS, *({"norm": n} for n in ("l1", "max", "l2")), {"norm": "l2", "debias": True}]
#: Without folds: those of rows in another order are other folds.
RECALIBRATED = [{"method": m, "cv": None} for m in ("temperature", "isotonic", "class-wise")]
SETTINGS = {
    "expected_calibration_error": BINNED,
    "classwise_calibration_error": BINNED,
    "maximum_calibration_error": [*BINS, *FORECASTS],
    "smooth_calibration_error": FORECASTS,
    "decompose_log_loss": RECALIBRATED,
    "decompose_brier_score": RECALIBRATED,
    "calibration_test": [{}],
    "risk_coverage_curve": [{}],
    "area_under_risk_coverage": [{}],
    "disagreement": [{}],
    "double_fault": [{}],
    "q_statistic": [{}],
    "error_correlation": [{}],
    "decompose_ensemble_log_loss": [{}, {"weights": [1, 2, 3]}],
}
OF_MEMBERS = ("disagreement", "double_fault", "q_statistic", "error_correlation")
OF_MEMBERS += ("decompose_ensemble_log_loss",)
CASES = [(name, choice) for name, choices in SETTINGS.items() for choice in choices]


def test_every_function_is_here_and_takes_weights():
    functions = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    assert functions == set(SETTINGS)
    for name in functions:
        assert "sample_weight" in inspect.signature(getattr(metrics, name)).parameters


#: The parts of a result that are losses; the others need not be 0.
LOSSES = ("total", "calibration", "refinement", "risk", "pool_loss", "member_loss")


def scorer(name, choice, only=None):
    """A function of labels, the members' probabilities and weights that gives one array."""
    function = partial(getattr(metrics, name), **choice)

    def score(y, members, sample_weight=None):
        said = members if name in OF_MEMBERS else members[0]
        labels = () if name == "disagreement" else (y,)
        result = function(*labels, said, sample_weight=sample_weight)
        if not dataclasses.is_dataclass(result):
            return np.ravel(result)
        names = [f.name for f in dataclasses.fields(result) if only is None or f.name in only]
        return np.concatenate([np.ravel(getattr(result, field)) for field in names])

    return score


@pytest.mark.parametrize(("name", "choice"), CASES)
@given(seed=seeds, n_classes=st.integers(2, 4))
@settings(max_examples=12)
def test_weights_are_repetitions_and_the_order_of_rows_is_nothing(name, choice, seed, n_classes):
    score = scorer(name, choice)
    rng = np.random.default_rng(seed)
    members = rng.multinomial(20, rng.dirichlet(np.ones(n_classes), (N_MEMBERS, 30))) / 20  # ties
    y, weight = rng.integers(0, n_classes, 30), rng.integers(0, 4, 30)
    weight[:3] = 1
    weighted = score(y, members, weight)
    rows = rng.permutation(np.repeat(np.arange(30), weight))
    # Roots of sums that cancel, fixed points and minima are found to about half of the digits.
    found_by_search = "smooth" in name or choice.get("debias") or "class-wise" in choice.values()
    close = 1e-6 if choice.get("method") else 1e-7 if found_by_search else 1e-11
    np.testing.assert_allclose(weighted, score(y[rows], members[:, rows]), atol=close)


#: Correlations of members that are never wrong, and a test of certain rows, are not defined.
UNDEFINED = ("calibration_test", "q_statistic", "error_correlation")


@pytest.mark.parametrize(("name", "choice"), [c for c in CASES if c[0] not in UNDEFINED])
@given(seed=seeds, n_classes=st.integers(2, 4))
@settings(max_examples=12)
def test_perfect_forecasts_score_0(name, choice, seed, n_classes):
    y = np.random.default_rng(seed).integers(0, n_classes, 30)
    y[:n_classes] = range(n_classes)
    members = [np.eye(n_classes)[y]] * N_MEMBERS
    # The ridge of a class-wise map keeps it from being sure of everything.
    close = 0.02 if choice.get("method") == "class-wise" else 1e-9
    np.testing.assert_allclose(scorer(name, choice, LOSSES)(y, members), 0, atol=close)
