"""Settings of a merge, as the user chose them, and the checks of given weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Array, Estimator, NamedEstimators
from skmergecal._validation import by_label, check_member_weights, count_rows

__all__ = [
    "LEARNED_WEIGHTS",
    "VALID_WEIGHTS",
    "Settings",
    "given_weights",
    "refuse_weights",
    "settings_of",
    "table_of_weights",
]

#: Ways to learn weights, by method.
VALID_WEIGHTS = {
    "auto": ("log_loss", "classwise", "greedy"),
    "logits": ("log_loss", "classwise", "greedy"),
    "probabilities": ("log_loss", "greedy"),
    "parameters": ("log_loss", "greedy", "greedy_replacement"),
}
LEARNED_WEIGHTS = {way for ways in VALID_WEIGHTS.values() for way in ways}


@dataclass(frozen=True)
class Settings:
    """Parameters of `MergedClassifier` that decide how opinions become one.

    Attributes
    ----------
    method : {"auto", "logits", "probabilities", "parameters"}
    weights : str or ndarray of shape (n_members,)
        "log_loss", "classwise", "greedy", "greedy_replacement", or weights that add up to 1.
    calibrate : {None, "members", "merged", "both"}
    alpha : float or "auto"
    scoring : str, callable or None
        What "greedy" selects by.
    on_barrier : {"warn", "raise", "logits"}
    barrier_tolerance : float
    alignment, repair : str or None
    unlabeled : array-like or None
        Further rows for alignment and repair.
    had_unlabeled : bool
        Whether there were such rows: they are not written into pickles and other files.
    """

    method: str
    weights: str | Array
    calibrate: str | None = None
    alpha: Any = "auto"
    scoring: Any = None
    on_barrier: str = "warn"
    barrier_tolerance: float = 0.05
    alignment: str | None = "auto"
    repair: str | None = "auto"
    unlabeled: Any = None
    had_unlabeled: bool = False

    def __getstate__(self) -> dict[str, Any]:
        had = self.had_unlabeled or self.unlabeled is not None
        return {**vars(self), "unlabeled": None, "had_unlabeled": had}

    @property
    def calibrates_members(self) -> bool:
        """Whether each member gets a temperature."""
        return self.calibrate in ("members", "both")

    @property
    def calibrates_merged(self) -> bool:
        """Whether the merged logits get a temperature."""
        return self.calibrate in ("merged", "both")

    @property
    def distils(self) -> bool:
        """Whether nets whose parameters cannot be merged learn from their pool."""
        return self.method == "parameters" and self.alignment == self.repair == "auto"

    @property
    def learns_logits_only(self) -> bool:
        """Whether all that is learned is one weight of the logits of each member."""
        learned = isinstance(self.weights, str) and self.weights == "log_loss"
        return self.method == "logits" and learned and self.calibrate is None

    @property
    def selects(self) -> bool:
        """Whether the members of a pool are selected greedily."""
        greedy = isinstance(self.weights, str) and self.weights == "greedy"
        return greedy and self.method != "parameters"

    def without_merged_temperature(self) -> Settings:
        """The same, but the merged logits stay as they are."""
        return replace(self, calibrate="members" if self.calibrates_members else None)

    def of_logit_pool(self) -> Settings:
        """Those of the logit pool that takes the place of a merge of parameters."""
        weights = self.weights
        if isinstance(weights, str) and weights == "greedy_replacement":
            weights = "greedy"  # the selection of a pool is one with replacement
        return replace(self, method="logits", weights=weights)

    def to_keep(self) -> Settings:
        """What a fitted merge keeps of them: further rows only where merging again needs them."""
        return self if self.method == "parameters" else replace(self, unlabeled=None)

    def needs_held_out(self) -> bool:
        """Whether anything is learned from held-out opinions."""
        return isinstance(self.weights, str) or self.calibrate is not None


def settings_of(
    merged: Estimator, names: Sequence[str], estimators: NamedEstimators, unlabeled: Any
) -> Settings:
    """The settings that belong to the parameters of a `MergedClassifier`, checked.

    Parameters
    ----------
    merged : MergedClassifier
    names : sequence of str
        Of all members.
    estimators : sequence of (str, estimator)
        Those that take part.
    unlabeled : array-like or None
    """
    if unlabeled is not None:
        count_rows(unlabeled, "X_unlabeled")
    weights = merged.weights
    if not isinstance(weights, str):
        weights = given_weights(weights, names, [name for name, _ in estimators])
    else:
        refuse_weights(weights, merged.method)
    fitted_here = [name for name, e in estimators if not isinstance(e, FrozenEstimator)]
    if merged.method == "parameters" and not merged.refit and fitted_here:
        msg = (
            f"refit=False keeps several models for each of {fitted_here}, but "
            "method='parameters' needs one model for each member: pass refit=True, or "
            "method='logits', which averages their outputs"
        )
        raise ValueError(msg)
    guard = (merged.on_barrier, merged.barrier_tolerance)
    how = (merged.alignment, merged.repair, unlabeled)
    learning = (merged.method, weights, merged.calibrate, merged.alpha, merged.scoring)
    return Settings(*learning, *guard, *how)


def table_of_weights() -> str:
    """The combinations of method and learned weights that are valid, for people to read."""
    rows = [f"{method:13} | {', '.join(ways)}" for method, ways in VALID_WEIGHTS.items()]
    head = "method        | weights (beside these, None and given weights; calibrate: any)"
    return "\n".join([head, *rows])


def refuse_weights(weights: str, method: str) -> None:
    """Raise ValueError where weights are learned in a way that a method does not know."""
    if weights in VALID_WEIGHTS[method] or weights not in LEARNED_WEIGHTS:
        return  # other names are refused with the other parameters
    known = [repr(other) for other, ways in VALID_WEIGHTS.items() if weights in ways]
    pooled = weights == "greedy_replacement"
    reason = ", which selects with replacement anyway" if pooled else ""
    instead = "greedy" if pooled else "log_loss"
    msg = (
        f"weights={weights!r} needs method={' or '.join(known)}; got {method!r}{reason}: use "
        f"weights={instead!r}. Valid combinations:\n{table_of_weights()}"
    )
    raise ValueError(msg)


def given_weights(weights: Any, names: Sequence[str], taking_part: Sequence[str]) -> Array:
    """Weights that the user gave for all names, as weights of the members that take part.

    Uniform if None; those of dropped members are left out.
    """
    if weights is None:
        return np.full(len(taking_part), 1 / len(taking_part))
    weights = by_label(weights, names)
    if isinstance(weights, dict):
        dropped = set(names) - set(taking_part)
        return check_member_weights(
            {name: w for name, w in weights.items() if name not in dropped}, taking_part
        )
    given = dict(zip(names, check_member_weights(weights, names), strict=True))
    return check_member_weights([given[name] for name in taking_part], taking_part)
