"""The barrier of one model from averaged parameters."""

from __future__ import annotations

import pytest
from sklearn.neural_network import MLPClassifier

from skmergecal import MergedClassifier
from skmergecal.exceptions import MergeBarrierError

N_ROWS = 400


class Turned(MLPClassifier):
    """Fitted on all rows, an odd number of epochs without progress turns the hidden units round."""

    def fit(self, X, y):
        super().fit(X, y)
        if len(X) == N_ROWS and self.n_iter_no_change % 2:
            self.coefs_ = [self.coefs_[0][:, ::-1].copy(), self.coefs_[1][::-1].copy()]
            self.intercepts_[0] = self.intercepts_[0][::-1].copy()
        return self


def test_barrier_counts_the_final_model_and_not_only_those_of_the_folds(digits, tmp_path):
    X, y = digits.X[:N_ROWS], digits.y[:N_ROWS]
    members = [
        (
            str(n),
            Turned((16,), solver="lbfgs", tol=0.01, random_state=0, n_iter_no_change=n),
        )
        for n in (10, 11)
    ]
    settings = {"method": "parameters", "weights": None, "alignment": None, "repair": None, "cv": 2}
    settings["memory"] = tmp_path  # the members are fitted once
    merged = MergedClassifier(members, barrier_tolerance=1e9, **settings).fit(X, y)
    report = merged.merge_report_
    of_folds = report.merged - sum(report.members.values()) / 2
    assert of_folds < 0.05  # within a fold the members are nearly one network
    assert merged.barrier_ > 0.2
    with pytest.raises(MergeBarrierError, match="members have"):
        MergedClassifier(members, on_barrier="raise", **settings).fit(X, y)
