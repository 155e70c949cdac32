"""Many members or many classes: how the cost of pools grows, as ratios within one run."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from skmergecal._partitions import InMemory, Rows
from skmergecal.pooling import fit_classwise_pool, fit_combined_pool, fit_logarithmic_pool
from skmergecal.pooling._leave_one_out import _moves_by_classes, _moves_by_members
from skmergecal.pooling._score_regression import RegressionPart, RegressionRows, ScoreRegression
from tests.benchmarks.study_growth import opinions


def softened(n, k, n_members):
    """Members with no probability far below the share of a row, as the estimators give them."""
    z, y = opinions(n, k, n_members)
    return [np.log((1 - 1 / n) * np.exp(m) + 1 / n / k) for m in z], y


def seconds(fit, *sizes):
    """The least processor time of two fits."""
    z, y = softened(*sizes)
    found = []
    for _ in range(2):
        start = time.process_time()
        fit(z, y)
        found.append(time.process_time() - start)
    return min(found)


def averaged(z, y):
    return fit_logarithmic_pool(z, y, alpha="auto")


def test_an_average_of_ridges_costs_a_few_fits_of_one_however_many_members():
    both = [seconds(fit, 1000, 3, 120) for fit in (averaged, fit_logarithmic_pool)]
    assert both[0] < 25 * both[1]  # three ridges, their leave-one-out, their average; once 70


@pytest.mark.parametrize(
    ("fit", "small", "large"),
    [
        (averaged, (300, 3, 40), (300, 3, 160)),
        (fit_combined_pool, (300, 3, 10), (300, 3, 40)),
        (fit_classwise_pool, (300, 3, 20), (300, 3, 80)),
        (fit_classwise_pool, (300, 80, 1), (300, 320, 1)),
        (fit_combined_pool, (300, 30, 1), (300, 120, 1)),
    ],
    ids=["auto, members", "combined, members", "class-wise, members", "classes", "combined"],
)
def test_four_times_the_members_or_classes_cost_no_more_than_their_square(fit, small, large):
    assert seconds(fit, *large) < 1.5 * 16 * seconds(fit, *small)


def test_ten_times_the_rows_cost_about_ten_times_as_much():
    for fit in (averaged, fit_classwise_pool):
        assert seconds(fit, 20_000, 3, 3) < 2 * 10 * seconds(fit, 2_000, 3, 3)


def test_a_classwise_pool_of_many_classes_needs_memory_for_its_rows_only():
    z, y = softened(60, 1000, 1)
    tracemalloc.start()
    fit_classwise_pool(z, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * z[0].nbytes  # a Hessian of 3,000 unknowns alone is 150 times as large


@pytest.mark.parametrize("alpha", [0.1, 10.0, 1e4])
@pytest.mark.parametrize("n_members", [1, 3])
def test_newton_steps_from_products_lead_to_the_same_pool(alpha, n_members):
    z, y = softened(150, 4, n_members)
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    beta = np.linspace(0.0, 0.8, n_members)
    features = np.stack([*z, np.ones((150, 4))]).transpose(2, 0, 1)
    rows = RegressionRows.choose(Rows(z, y, weight), beta, np.arange(4))
    part = RegressionPart(lambda part: features[:, :, part], n_members + 1, rows)
    problem = ScoreRegression(InMemory(part), part.shape)
    exact, _ = problem.minimise(alpha, problem.start())
    fast = problem.minimise_by_products(alpha, problem.start())
    np.testing.assert_allclose(fast, exact, atol=1e-9)


def test_a_leave_one_out_step_is_the_same_by_members_and_by_classes():
    z, y = softened(40, 3, 5)
    beta = np.linspace(0.1, 0.3, 5)
    weight = np.linspace(0.2, 3.0, len(y))
    root = np.random.default_rng(1).normal(size=(40, 5))
    hessian = 10 * root.T @ root + np.eye(5)
    rows = z, sum(b * m for b, m in zip(beta, z, strict=True)), y, weight
    by_classes = _moves_by_classes(np.linalg.cholesky(hessian), *rows)
    np.testing.assert_allclose(by_classes, _moves_by_members(hessian, *rows), atol=1e-10)
