"""Means of e-values under the null, by enumeration of the classes; evidence by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from skmergecal.monitoring import CalibrationMonitor
from skmergecal.monitoring._evidence import Grid, log_e_values
from skmergecal.monitoring._mixture import _starts
from skmergecal.monitoring._null import WRONG_LABELS, NullLaws, Tolerance
from skmergecal.monitoring._plug_in import PlugIn
from tests.strategies import at_most, draw_labels, seeds

N_ROWS = 30


@st.composite
def nulls(draw):
    """Log-probabilities of some rows, a tolerance, and laws of the null off every grid."""
    rng = np.random.default_rng(draw(seeds))
    k = draw(st.integers(2, 7))
    z = log_softmax(rng.normal(size=(N_ROWS, k)) * draw(st.sampled_from([0.3, 2, 8, 40])), axis=1)
    if draw(st.booleans()):
        z[:5] = np.where(np.arange(k) == 1, 0.0, -np.inf)  # certain of one class
    log_t = draw(st.sampled_from([0.0, 0.05, 0.4]))
    shifts = draw(st.sampled_from([0.0, 0.05, 0.5])) * rng.uniform(0.5, 2, k)
    return z, Tolerance(log_t, shifts), list(laws(z, log_t, shifts, rng))


def laws(z, log_t, shifts, rng):
    k = z.shape[1]
    mixed = (1 - WRONG_LABELS) * np.exp(z) + WRONG_LABELS / k
    for _ in range(12):
        t, c = rng.uniform(-log_t, log_t), rng.integers(k)
        moved = np.where(np.arange(k) == c, rng.uniform(-1, 1) * shifts, 0.0)
        temperature = rng.random() < 0.5
        for start, noise in ((np.log(mixed), 0.0), (z, rng.choice([0.0, 0.3, 1.0]))):
            law = start / np.exp(t) if temperature else start + moved
            p = np.exp(log_softmax(law, axis=1))
            share = noise * WRONG_LABELS
            yield (1 - share) * p + share / k


@given(nulls())
def test_no_e_value_of_the_grid_has_a_mean_above_1(case):
    z, tolerance, truths = case
    grid, view = Grid.beyond(tolerance), NullLaws(z, tolerance)
    k = z.shape[1]
    e = np.exp([log_e_values(view, np.full(N_ROWS, c), grid) for c in range(k)])
    for p in truths:
        assert (np.einsum("cna,nc->na", e, p) <= 1 + 1e-12).all()


@given(nulls(), seeds)
def test_nor_has_the_plug_in_whatever_it_learned(case, seed):
    z, tolerance, truths = case
    k, rng = z.shape[1], np.random.default_rng(seed)
    view = NullLaws(z, tolerance)
    past = rng.integers(k, size=N_ROWS)
    learned, _, _ = PlugIn.of_nothing(k).after(view, past, np.ones(N_ROWS))
    learned = learned.__class__(**vars(learned) | {"rows": learned.rows[:0]})
    rows = np.arange(25)
    few = NullLaws(z[rows], tolerance)
    e = [learned.after(few, np.full(25, c), np.ones(25))[1] for c in range(k)]
    for p in truths:
        assert (np.einsum("cn,nc->n", np.exp(e), p[rows]) <= 1 + 1e-9).all()


@pytest.mark.parametrize("what", ["temperature", "shift"])
def test_at_the_edge_in_its_own_direction_the_mean_is_1(what):
    """Otherwise power is given away; wrong labels cost a little."""
    z = log_softmax(np.random.default_rng(0).normal(size=(N_ROWS, 3)), axis=1)
    log_t, size = (0.1, 0.0) if what == "temperature" else (0.0, 0.1)
    tolerance = Tolerance(log_t, np.full(3, size))
    view, grid = NullLaws(z, tolerance), Grid.beyond(tolerance)
    e = np.exp([log_e_values(view, np.full(N_ROWS, c), grid) for c in range(3)])
    mixed = np.log((1 - WRONG_LABELS) * np.exp(z) + WRONG_LABELS / 3)
    edges = [mixed / np.exp(np.copysign(log_t, t)) for t in grid.log_temperatures]
    for c, shift in zip(grid.columns, grid.shifts, strict=True):
        edges.append(mixed + np.where(np.arange(3) == c, np.copysign(size, shift), 0.0))
    n = len(grid.log_temperatures)
    for i in range(n) if what == "temperature" else range(n, len(grid)):
        p = np.exp(log_softmax(edges[i], axis=1))
        assert np.einsum("cn,nc->n", e[:, :, i], p).min() > 1 - 2e-3


@given(nulls(), st.floats(0, 1))
@at_most(15)
def test_weights_of_at_most_1_keep_the_mean(case, weight):
    z, tolerance, truths = case
    grid, view = Grid.beyond(tolerance), NullLaws(z, tolerance)
    e = np.exp([log_e_values(view, np.full(N_ROWS, c), grid) for c in range(z.shape[1])])
    for p in truths:
        assert (np.einsum("cna,nc->na", e**weight, p) <= 1 + 1e-12).all()


def binary_rows(n, seed=0, odds=1.0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.95, n)
    true = odds * p / (odds * p + 1 - p)
    return np.column_stack([1 - p, p]), (rng.random(n) < true).astype(int)


@pytest.mark.parametrize("alarm", ["ever", "run_length"])
def test_the_evidence_of_ten_rows_is_that_by_hand(alarm):
    """An exact null, two classes: likelihood ratios, and what wrong labels take from them."""
    p, y = binary_rows(10, odds=3.0)
    monitor = CalibrationMonitor(tolerance=0, alarm=alarm).update(p, y)
    log_temperatures, shifts = (0.1, 0.25, 0.5, 1.0), (0.25, 0.5, 1.0, 2.0)
    constant, eps = 3.38773553195201, 1e-3
    total, started = 0.0, 0.0
    for t in range(10):
        started += 1 / ((t + 1) * math.log(t + 2) ** 2 * constant)
    alternatives = [("T", s * d) for s in (-1, 1) for d in log_temperatures]
    alternatives += [("s", s * d) for s in (-1, 1) for d in shifts]
    for kind, size in alternatives:
        wealth = 0.0
        for t in range(10):
            mixed = [(1 - eps) * v + eps / 2 for v in p[t]]
            if kind == "T":
                q = [v ** math.exp(-size) for v in mixed]
            else:
                q = [mixed[0], mixed[1] * math.exp(size)]
            h = [v / sum(q) / m for v, m in zip(q, mixed, strict=True)]
            truths = [p[t], mixed]
            mean = max(sum(a * b for a, b in zip(h, law, strict=True)) for law in truths)
            start = 1 / ((t + 1) * math.log(t + 2) ** 2 * constant)
            wealth = (wealth + (start if alarm == "ever" else 1)) * h[y[t]] / max(1, mean)
        total += wealth / 16
    plug_in = started if alarm == "ever" else 10.0  # it has learned nothing before row 25
    by_hand = (total + plug_in) / 2 + (1 - started if alarm == "ever" else 0)
    assert monitor.e_value_ == pytest.approx(by_hand, rel=1e-12)


def test_what_starts_at_all_rows_adds_up_to_1():
    n = 10**6
    rest = 1 / math.log(n + 1.5) / 3.38773553195201  # the integral over later rows
    assert _starts(0, n).sum() + rest == pytest.approx(1, abs=1e-6)
    assert (np.diff(_starts(0, 100)) < 0).all()


def simulate(n, k, *, scale=1.5, temperature=1.0, odds=1.0, seed=0):
    """Log-probabilities, and labels from those at another temperature and other odds."""
    rng = np.random.default_rng(seed)
    z = log_softmax(rng.normal(size=(n, k)) * scale, axis=1)
    true = z / temperature
    true[:, 0] += math.log(odds)
    return z, draw_labels(rng, log_softmax(true, axis=1))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("k", "change", "rows"),
    [(2, {"temperature": 2.0}, 500), (5, {"temperature": 0.6}, 600), (5, {"odds": 3.0}, 600)],
    ids=str,
)
def test_changes_are_found_soon(k, change, rows):
    found = 0
    for seed in range(10):
        z, y = simulate(rows, k, seed=seed, **change)
        found += CalibrationMonitor(tolerance=0.05).update(z, y).alarm_
    assert found >= 8


@pytest.mark.thorough
@pytest.mark.parametrize("scale", [1.0, 12.0])
def test_false_alarms_are_rare_also_near_0_and_1(scale):
    alarms = 0
    for seed in range(30):
        z, y = simulate(800, 3, scale=scale, seed=seed)
        alarms += CalibrationMonitor(tolerance=0, alpha=0.05).update(z, y).alarm_
    assert alarms <= 4


@pytest.mark.thorough
def test_without_wrong_labels_allowed_for_one_would_be_an_alarm():
    z = log_softmax(np.tile([0.0, 27.0], (2000, 1)), axis=1)  # p = 2e-12
    y = np.ones(2000, dtype=int)
    y[1000] = 0
    monitor = CalibrationMonitor(tolerance=0).update(z, y)
    assert monitor.e_value_ < 5
    y[1001:1010] = 0  # ten are no accident
    assert CalibrationMonitor(tolerance=0).update(z, y).alarm_
