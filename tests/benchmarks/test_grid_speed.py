"""A grid of 64 candidates over frozen forests: against the same grid over VotingClassifier."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmergecal import MergedClassifier

WEIGHTS = list(np.random.default_rng(0).dirichlet(np.ones(5), 64))
LEARNED = {
    "alpha": list(np.geomspace(0.01, 100, 16)),
    "calibrate": [None, "members", "merged", "both"],
}


@pytest.fixture(scope="module")
def forests():
    X, y = make_classification(
        10_000, 20, n_informative=10, n_classes=5, flip_y=0.1, random_state=0
    )
    members = [
        (f"forest{i}", FrozenEstimator(RandomForestClassifier(100, random_state=i)))
        for i in range(5)
    ]
    for _, member in members:
        member.estimator.fit(X[:5000], y[:5000])
    return members, X[5000:], y[5000:]


def search(model, grid, X, y):
    return GridSearchCV(model, grid, cv=5, scoring="neg_log_loss", refit=False).fit(X, y)


@pytest.mark.parametrize(
    ("what", "grid", "bound"),
    [
        ("fixed", {"weights": WEIGHTS}, 15),
        ("learned", {"method": ["logits"], **LEARNED}, 8),
        # Several pools for each candidate, weighed by leave-one-out: no bound is set for it.
        ("auto, learned", {"method": ["auto"], **LEARNED}, None),
    ],
)
def test_grid_of_64_candidates(compare, forests, tmp_path, what, grid, bound):
    members, X, y = forests
    voting = VotingClassifier(members, voting="soft")
    compare(
        f"64 candidates, 5 forests, cv=5, {what} weights",
        lambda: search(MergedClassifier(members, memory=tmp_path), grid, X, y),
        {"VotingClassifier": (lambda: search(voting, {"weights": WEIGHTS}, X, y), bound)},
        rounds=1,
    )
