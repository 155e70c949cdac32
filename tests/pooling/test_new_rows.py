"""Fitted pools on arrays, for new rows: as the merge that learned them; and soften."""

import numpy as np
import pytest

from skmergecal import MergedClassifier
from skmergecal.pooling import fit_classwise_pool, fit_combined_pool, soften
from tests.pooling.test_classwise import opinions


def calibrated(merged, stored, n_rows):
    """Members' log-probabilities as a merge makes them of probabilities without zeros."""
    found = []
    for p, temperature in zip(stored.values(), merged.member_temperatures_, strict=True):
        q = p ** (1 / temperature)
        found.append(soften(q / q.sum(axis=1, keepdims=True), 1 / (n_rows + 1)))
    return found


@pytest.mark.parametrize("params", [{}, {"method": "logits", "weights": "classwise", "alpha": 3.0}])
def test_pools_on_arrays_give_what_the_merge_gives(params):
    z, y = opinions(0, n=80)
    p = {f"m{k}": np.exp(m) for k, m in enumerate(z)}
    held, new = ({name: q[part] for name, q in p.items()} for part in (slice(60), slice(60, 80)))
    merged = MergedClassifier.from_predictions(held, y[:60], **params)
    logs = calibrated(merged, new, 60)
    expected = merged.predict_log_proba(new)
    np.testing.assert_allclose(
        merged.pool_.log_proba(logs, list(new.values())), expected, atol=1e-9
    )
    learned_from = calibrated(merged, held, 60)
    if params:
        fit = fit_classwise_pool(learned_from, y[:60], alpha=3.0)
        np.testing.assert_array_equal(fit.log_proba(logs), fit.log_proba(logs, None))
    else:
        fit = fit_combined_pool(learned_from, y[:60], proba=list(held.values()))
    np.testing.assert_allclose(fit.log_proba(logs, list(new.values())), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1)


def test_opinions_of_new_rows_are_checked():
    z, y = opinions(0, n=40)
    p = [np.exp(m) for m in z]
    fit = fit_combined_pool(z, y, proba=p)
    assert fit.linear[0].factor > 0
    with pytest.raises(ValueError, match="pass them, or fit without proba="):
        fit.log_proba(z)
    assert fit.log_proba(z, p).shape == (40, 3)
    without = fit_combined_pool(z, y)
    np.testing.assert_array_equal(without.log_proba(z), without.log_proba(z, p))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit.log_proba(z, [m[:5] for m in p])
    for pool in (fit, without, fit_classwise_pool(z, y)):
        for wrong in (z[1:], [m[:, :2] for m in z]):
            with pytest.raises(ValueError, match="pass those of all members, in their order"):
                pool.log_proba(wrong, p)
        with pytest.raises(ValueError, match="contains NaN"):
            pool.log_proba([m * np.nan for m in z], p)


@pytest.mark.parametrize("amount", [0, 0.0, 1e-3, 0.5])
def test_soften_mixes_with_the_uniform_distribution(amount):
    p = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    z = soften(p, amount)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(np.exp(z), (1 - amount) * p + amount / 3, atol=1e-300, rtol=1e-12)


@pytest.mark.parametrize("k", range(2, 10))
def test_many_rows_have_the_bits_of_each_row_alone(k):
    """Sums of many short rows are taken column by column."""
    p = np.random.default_rng(k).dirichlet(np.ones(k), size=1001)
    alone = [soften(p[i : i + 1], 0.01)[0] for i in range(0, 1001, 13)]
    np.testing.assert_array_equal(soften(p, 0.01)[::13], alone)
