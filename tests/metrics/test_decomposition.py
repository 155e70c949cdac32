"""Losses in parts: closed forms, other computations of the parts, identities."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import KFold, ShuffleSplit

from skmergecal.calibration import fit_temperature
from skmergecal.metrics import decompose_brier_score, decompose_log_loss
from tests.strategies import draw_labels, seeds

DECOMPOSE = {"log loss": decompose_log_loss, "Brier": decompose_brier_score}
METHODS = ["temperature", "isotonic", "class-wise"]


def overconfident(seed=0, n=600, n_classes=3, factor=2.5):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, n_classes))
    y = draw_labels(rng, z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    p = np.exp(factor * z)
    return y, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("decompose", DECOMPOSE.values(), ids=DECOMPOSE)
@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, cv=st.sampled_from([None, 3]))
@settings(max_examples=10)
def test_parts_add_up(decompose, method, seed, cv):
    y, p = overconfident(seed, n=60)
    weight = np.random.default_rng(seed).integers(0, 4, 60)
    parts = decompose(y, p, method=method, cv=cv, sample_weight=weight)
    assert parts.calibration + parts.refinement == pytest.approx(parts.total, abs=1e-12)
    whole = parts.calibration - parts.resolution + parts.uncertainty
    assert whole == pytest.approx(parts.total, abs=1e-12)
    repeated = np.repeat(np.arange(60), weight)
    if cv is None:  # folds of repeated rows are other folds
        again = decompose(y[repeated], p[repeated], method=method, cv=None)
        for field in fields(parts):
            close = pytest.approx(getattr(again, field.name), abs=1e-5)
            assert getattr(parts, field.name) == close, field.name


def test_totals_are_those_of_scikit_learn():
    y, p = overconfident()
    assert decompose_log_loss(y, p).total == pytest.approx(log_loss(y, p), abs=1e-12)
    y, p = overconfident(n_classes=2)
    half = decompose_brier_score(y, p).total / 2
    assert half == pytest.approx(brier_score_loss(y, p[:, 1]), abs=1e-12)


def test_uncertainty_is_the_entropy_of_the_frequencies():
    y, p = overconfident()
    f = np.bincount(y) / len(y)
    assert decompose_log_loss(y, p).uncertainty == pytest.approx(-(f * np.log(f)).sum())
    assert decompose_brier_score(y, p).uncertainty == pytest.approx(1 - (f**2).sum())


def test_temperature_in_sample_is_the_fit_of_a_temperature():
    y, p = overconfident()
    fit = fit_temperature(np.log(p), y)
    parts = decompose_log_loss(y, p, cv=None)
    assert parts.refinement == pytest.approx(fit.loss, abs=1e-10)
    assert parts.calibration == pytest.approx(fit.loss_before - fit.loss, abs=1e-10)


def test_isotonic_in_sample_is_the_corp_decomposition():
    y, p = overconfident(n_classes=2)
    q = IsotonicRegression().fit_transform(p[:, 1], y)
    parts = decompose_brier_score(y, p, cv=None)
    total, left = (2 * np.mean((v - y) ** 2) for v in (p[:, 1], q))
    base = 2 * y.mean() * (1 - y.mean())
    assert parts.calibration == pytest.approx(total - left, abs=1e-12)
    assert parts.resolution == pytest.approx(base - left, abs=1e-12)


@pytest.mark.parametrize("decompose", DECOMPOSE.values(), ids=DECOMPOSE)
@given(seed=seeds)
@settings(max_examples=20)
def test_no_part_is_negative_where_none_can_be(decompose, seed):
    y, p = overconfident(seed, n=40, n_classes=2)
    parts = decompose(y, p, method="isotonic", cv=None)
    assert min(parts.calibration, parts.refinement, parts.resolution) >= -1e-12


@pytest.mark.parametrize("decompose", DECOMPOSE.values(), ids=DECOMPOSE)
@pytest.mark.parametrize("method", METHODS)
def test_calibration_tells_overconfident_from_calibrated(decompose, method):
    y, bad = overconfident(n=3000)
    same, good = overconfident(n=3000, factor=1.0)
    assert (y == same).all()
    before, after = decompose(y, bad, method=method), decompose(y, good, method=method)
    assert before.calibration > 0.02
    assert abs(after.calibration) < 0.01
    # one refinement: the two hold the same information
    assert before.refinement == pytest.approx(after.refinement, abs=0.01)


def test_class_wise_mends_what_a_temperature_cannot():
    y, p = overconfident(n=3000, factor=1.0)
    shifted = p * [4.0, 1.0, 1.0]
    shifted /= shifted.sum(axis=1, keepdims=True)
    left = {m: decompose_log_loss(y, shifted, method=m).refinement for m in METHODS}
    right = decompose_log_loss(y, p).total
    assert left["class-wise"] == pytest.approx(right, abs=0.005)
    assert left["temperature"] > right + 0.05


def test_perfect_forecasts_have_only_resolution():
    y = np.arange(30) % 3
    for decompose in DECOMPOSE.values():
        parts = decompose(y, np.eye(3)[y], method="isotonic", cv=None)
        assert (parts.total, parts.calibration, parts.refinement) == (0, 0, 0)
        assert parts.resolution == parts.uncertainty


def test_zeros_stay_finite():
    y = np.r_[np.arange(30) % 2, 1, 0]
    p = np.eye(2)[np.arange(32) % 2]  # the last two are certain and wrong
    parts = decompose_log_loss(y, p, method="isotonic")
    assert parts.total > 40
    assert parts.refinement < 1


def test_a_splitter_that_leaves_rows_out():
    y, p = overconfident(n=30)
    assert decompose_log_loss(y, p, cv=KFold(3)).total > 0
    with pytest.raises(ValueError, match="hold out every row"):
        decompose_log_loss(y, p, cv=ShuffleSplit(1, random_state=0))


def test_unknown_method():
    y, p = overconfident(n=30)
    with pytest.raises(ValueError, match="method should be one of"):
        decompose_log_loss(y, p, method="platt")
