"""Hypothesis strategies: calibration problems with an interior optimum, and opinions."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from skmergecal.pooling import logarithmic_pool


def at_most(n):
    """So many examples, or fewer where the profile says so."""
    return settings(max_examples=min(n, settings().max_examples))


def draw_labels(rng, log_proba):
    """Labels drawn from the given probabilities."""
    cumulative = np.cumsum(np.exp(log_proba), axis=1)
    drawn = rng.random((len(log_proba), 1)) > cumulative
    return np.minimum(drawn.sum(axis=1), log_proba.shape[1] - 1)


@st.composite
def problems(draw, max_members=1, max_classes=12):
    """Logits of some members, labels, and whole-numbered weights (some of them 0).

    The labels follow the mean of the members at a random temperature, and the last rows show
    every class once as the largest and once as the smallest logit, so that optimal temperatures
    are finite.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(20, 120)), draw(st.integers(2, max_classes))
    n_members = draw(st.integers(1, max_members)) if max_members > 1 else 1
    scale = float(np.exp(draw(st.floats(-2, 3))))
    common = rng.normal(size=(n, k))
    z = [scale * (common + 0.5 * rng.normal(size=(n, k))) for _ in range(n_members)]
    mean = sum(z) / (n_members * scale)
    y = draw_labels(rng, logarithmic_pool([mean], [draw(st.floats(0.8, 3.0))]))
    rows = np.arange(2)
    for m in z:  # one row is right and one is wrong for every member
        m[rows, y[rows]] = m[rows].max(axis=1) + np.array([1.0, 0.0]) * scale
        m[1, y[1]] = m[1].min() - 0.1 * scale
    weight = rng.integers(0, 4, size=n).astype(float)
    weight[:2] = 1.0
    return z, y, weight


seeds = st.integers(0, 2**32 - 1)
