"""Leave-one-out predictions where weights are small and where pools say 0."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal._numerics import log_softmax
from skmergecal._partitions import GapOpinions, InMemory, Rows
from skmergecal.pooling import (
    _score_regression,
    auto_log_pool_with_loo,
    combined_pool_with_loo,
    fit_linear_pool,
    fit_logarithmic_pool,
)
from skmergecal.pooling._leave_one_out import LooOfLogPool
from skmergecal.pooling._leave_one_out import loo_log_pool as loo_log_pool_of_rows
from skmergecal.pooling._pool_loss import PoolLoss
from tests.pooling.test_classwise import (
    classwise_pool_with_loo,
    loo_linear_pool,
    loo_log_pool,
    opinions,
)

LIGHT = 0.5


def by_log_pool(z, y, weight):
    pool = fit_logarithmic_pool(z, y, weight)
    beta = pool.weights / pool.temperature
    return loo_log_pool(z, y, weight, beta, 1.0), lambda rows: log_softmax(
        sum(b * m for b, m in zip(beta, rows, strict=True))
    )


def by_classwise_pool(z, y, weight):
    fit, loo = classwise_pool_with_loo(z, y, weight, 10.0)
    return loo.log_proba, lambda rows: log_softmax(fit.scores(rows))


def by_linear_pool(z, y, weight):
    p = [np.exp(m) for m in z]
    weights = fit_linear_pool(p, y, weight).weights
    return loo_linear_pool(p, y, weight, weights), lambda rows: sum(
        w * np.exp(m) for w, m in zip(weights, rows, strict=True)
    )


@pytest.mark.parametrize("pool", [by_log_pool, by_classwise_pool, by_linear_pool])
def test_leave_one_out_takes_no_more_than_the_weight_of_a_row(pool):
    z, y = opinions(5, n=60, strengths=(1.5, 1.5, 1.5))
    weight = np.full(len(y), LIGHT)
    fast, fitted = pool(z, y, weight)
    with_row = fitted(z)
    errors, moves = [], []
    for i in range(0, len(y), 3):
        kept = np.arange(len(y)) != i
        _, left = pool([np.ascontiguousarray(m[kept]) for m in z], y[kept], weight[kept])
        exact = left([m[[i]] for m in z])[0]
        errors.append(np.abs(fast[i] - exact).max())
        moves.append(np.abs(with_row[i] - exact).max())
    assert np.mean(errors) < 0.4 * np.mean(moves)


@pytest.mark.parametrize(("n_members", "k"), [(1, 14), (4, 14), (13, 14), (13, 5), (3, 2), (13, 2)])
def test_steps_of_the_log_pool_solve_the_system_of_each_row(n_members, k):
    """Few unknowns are eliminated for all rows at once, many are left to LAPACK.

    Of few classes there is an unknown for each, of two classes one.
    """
    rng = np.random.default_rng(n_members)
    z, y = rng.normal(size=(n_members, 30, k)), rng.integers(0, k, 30)
    weight, beta = rng.uniform(0.2, 3, 30), rng.uniform(0.1, 1, n_members)
    root = rng.normal(size=(50, n_members))
    hessian = root.T @ root + 20 * np.eye(n_members)
    found = LooOfLogPool(beta, np.zeros(n_members), hessian, 30.0).moves(Rows([*z], y, weight))
    p = np.exp(log_softmax(np.tensordot(beta, z, axes=1)))
    for i in range(30):
        logs, taken = z[:, i], min(weight[i], 1.0)
        left = hessian - taken * np.cov(logs, aweights=p[i], ddof=0)
        expected = np.linalg.solve(left, taken * (logs @ p[i] - logs[:, y[i]]))
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def test_a_row_that_alone_sets_members_apart_leaves_them_equal():
    """Two members that say the same, and no ridge: the system of each row is singular."""
    z, y = np.array([[0.0, 2.0], [4.0, 0.0]]), np.array([0, 0])
    pool = LooOfLogPool(np.full(2, 0.25), np.zeros(2), np.full((2, 2), 8.0), 2.0)
    found = pool.moves(Rows([z, z], y, None))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-6)
    assert found[0, 0] > 0 > found[1, 0]


def test_leave_one_out_of_a_pool_that_uses_nobody_is_uniform():
    """Members that are wrong everywhere."""
    z, y = opinions(0, n=10, strengths=(-4.0, -4.0, -4.0))
    np.testing.assert_allclose(loo_log_pool(z, y, None, np.zeros(3), 1.0), -np.log(3))


def with_an_absurd_row(seed: int, k: int, n_members: int):
    """Members that are good, but in row 0 one of them is certain of a wrong class."""
    z, y = opinions(seed, k=k, strengths=(1.5,) * n_members)
    z[-1][0] = -200.0
    z[-1][0, y[0] - 1] = 0.0
    return z, y


def as_matrices(z, y):
    return Rows(z, y, None)


def as_gaps(z, y):
    return Rows(GapOpinions((m[:, 1] - m[:, 0]).astype(np.float32) for m in z), y, None)


@pytest.mark.parametrize(
    ("k", "n_members", "seed", "form"),
    [
        (2, 2, 4, as_matrices),
        (2, 2, 4, as_gaps),
        (2, 7, 4, as_matrices),
        (2, 7, 4, as_gaps),
        (3, 4, 5, as_matrices),
        (5, 3, 19, as_matrices),
    ],
)
def test_leave_one_out_lets_in_a_member_that_one_row_keeps_out(k, n_members, seed, form):
    z, y = with_an_absurd_row(seed, k, n_members)
    rows = InMemory(form(z, y))
    fit = fit_logarithmic_pool(z, y)
    assert fit.weights[-1] == 0

    def loss(fit):
        return -predictions(fit, [m[:1] for m in z])[0, y[0]]

    exact = loss(fit_logarithmic_pool([m[1:] for m in z], y[1:]))
    found = loo_log_pool_of_rows(rows, fit.weights / fit.temperature, 1.0).part.losses()[0][0]
    assert loss(fit) < 2
    assert found == pytest.approx(exact, rel=0.3)


def test_leave_one_out_lets_in_only_one_of_two_members_that_are_nearly_the_same():
    """The worse one would be used alone, but not beside the better one."""
    z, y = with_an_absurd_row(2, 3, 2)
    rng = np.random.default_rng(2)
    z.append(1.5 * z[1] + rng.normal(size=z[1].shape))
    rows = InMemory(Rows(z, y, None))
    fit = fit_logarithmic_pool(z, y)
    beta = fit.weights / fit.temperature
    assert (beta[1:] == 0).all()
    pool = LooOfLogPool.of(PoolLoss(rows), beta, 1.0)

    def moves_of(members):
        some = pool.hessian[np.ix_(members, members)]
        alone = LooOfLogPool(beta[members], pool.gradient[members], some, pool.total)
        return alone.moves(rows.part.of_members(members))[0]

    better, worse = moves_of([0, 1]), moves_of([0, 2])
    assert better[1] > 0.1
    assert worse[1] > 0.1
    np.testing.assert_allclose(pool.moves(rows.part)[0], [*better, 0], rtol=1e-12)


@pytest.mark.parametrize("rare", [1e-3, 1e-9, 1e-13])
def test_leave_one_out_of_the_linear_pool_gives_probabilities_of_hard_rows(rare):
    """A row that one member explains, and one that nobody does."""
    p = [np.array([[0.0, 1.0], [0.0, 1.0], *[[0.9, 0.1]] * 8])] * 2
    p[1] = np.array([[1.0, 0.0], [0.0, 1.0], *[[0.2, 0.8]] * 8])
    out = loo_linear_pool(p, np.zeros(10, int), None, np.array([1 - rare, rare]))
    assert (out >= 0).all()
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(out[1], [0, 1], atol=1e-12)


def test_leave_one_out_of_the_linear_pool_keeps_weights_in_the_simplex():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p = list(rng.dirichlet([0.05, 0.05], size=(3, 6)))
        y = rng.integers(0, 2, 6)
        out = loo_linear_pool(p, y, None, rng.dirichlet(np.full(3, 0.2)))
        low, high = np.min(p, axis=0), np.max(p, axis=0)
        assert (out >= low - 1e-12).all()
        assert (out <= high + 1e-12).all()


def auto_log_pool(z, y, weight):
    fit, loo = auto_log_pool_with_loo(InMemory(Rows(z, y, weight)))
    return fit, loo.part.opinions[0]


#: Fits that hand out what they predict of each row without it.
WITH_LOO = {
    "all pools": lambda z, y, w: combined_pool_with_loo(
        z, y, w, proba=[np.exp(m) / np.exp(m).sum(axis=1, keepdims=True) for m in z]
    ),
    "log pools": combined_pool_with_loo,
    "class-wise": lambda z, y, w: classwise_pool_with_loo(z, y, w, 5.0),
    "log pool": auto_log_pool,
}


def predictions(fit, z):
    """Log-probabilities of a fit for any rows."""
    if hasattr(fit, "temperature"):
        weighed = [w * m for w, m in zip(fit.weights, z, strict=True)]
        return log_softmax(sum(weighed) / fit.temperature)
    p = [np.exp(m) / np.exp(m).sum(axis=1, keepdims=True) for m in z]
    if hasattr(fit, "classwise"):
        parts = ((k, m, np.exp(m), lambda k=k: p[k]) for k, m in enumerate(z))
        return log_softmax(fit.scores(parts))
    return log_softmax(fit.scores(z))


@pytest.mark.parametrize("pool", WITH_LOO)
@pytest.mark.parametrize("lost", [False, True])
def test_what_fits_hand_out_is_what_fits_without_a_row_predict(pool, lost):
    """Also the mass of a class that no row has, which the fit leaves to the members."""
    z, y = opinions(3, n=50, strengths=(1.0, 1.5))
    if lost:
        z, y = [m[y != 1] for m in z], y[y != 1]
    z = [log_softmax(m) for m in z]
    weight = np.random.default_rng(0).integers(1, 3, len(y)).astype(float)
    fit, loo = WITH_LOO[pool](z, y, weight)
    fast = getattr(loo, "log_proba", loo)
    np.testing.assert_allclose(np.exp(fast).sum(axis=1), 1, rtol=1e-12)
    with_row = predictions(fit, z)
    rows = np.arange(0, len(y), 3)
    exact = np.empty_like(fast)
    for i in rows:
        less = weight.copy()
        less[i] -= 1
        kept = less > 0
        part, _ = WITH_LOO[pool]([np.ascontiguousarray(m[kept]) for m in z], y[kept], less[kept])
        exact[i] = predictions(part, [m[[i]] for m in z])[0]
    moves = -(exact - with_row)[rows, y[rows]]
    errors = -(fast - exact)[rows, y[rows]]
    assert np.abs(errors).mean() < 0.5 * np.abs(moves).mean()
    assert abs(errors @ weight[rows]) < 0.5 * (moves @ weight[rows])
    for losses in getattr(loo, "pools", {}).values():
        assert abs(losses[rows].mean() + exact[rows, y[rows]].mean()) < 0.2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [25, 90])
def test_steps_of_many_classes_are_those_of_few(monkeypatch, n, weighted):
    z, y = opinions(8, n=n, k=5)
    weight = np.random.default_rng(0).uniform(0.3, 2.5, n) if weighted else None
    exact = combined_pool_with_loo(z, y, weight)[1]
    monkeypatch.setattr(_score_regression, "FEW_CLASSES", 1)
    fast = combined_pool_with_loo(z, y, weight)[1]
    np.testing.assert_allclose(fast.log_proba, exact.log_proba, atol=1e-9)
    for name, losses in exact.pools.items():
        np.testing.assert_allclose(fast.pools[name], losses, atol=1e-9)


def test_leave_one_out_softens_a_linear_pool_that_has_zeros_only_without_the_row():
    """In row 0 one member says 0 and the other a little: without it the pool is the first alone."""
    y = np.tile([0, 1], 100)
    good, rare = 0.97 * np.eye(2)[y] + 0.015, 0.6 * np.eye(2)[y] + 0.2
    good[:40] = np.eye(2)[y[:40]]
    good[0], rare[0] = [0.0, 1.0], [0.02, 0.98]
    p = [good, rare]
    z = [np.log(0.99 * m + 0.005) for m in p]
    fit, loo = combined_pool_with_loo(z, y, proba=p)
    assert fit.linear[0].weights[1] > 0
    assert fit.linear[0].softening == 0
    without, _ = combined_pool_with_loo([m[1:] for m in z], y[1:], proba=[m[1:] for m in p])
    assert without.linear[0].weights.tolist() == [1, 0]
    amount = without.linear[0].softening
    scores = np.log((1 - amount) * good[0] + amount / 2) / without.linear[0].temperature
    assert loo.pools["linear"][0] == pytest.approx(-log_softmax(scores[None])[0, 0], rel=0.2)
