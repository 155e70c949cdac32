"""From a fitted merge to one plain estimator that says the same and needs no skmergecal."""

from __future__ import annotations

import copy
from functools import singledispatch
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmergecal._typing import Array, Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.merging._combination import (
    Combination,
    LinearCombination,
    LogarithmicCombination,
)
from skmergecal.merging._combined import CombinedCombination
from skmergecal.merging._parameters import ParameterCombination
from skmergecal.parameters import (
    fold_temperature,
    merge_logits,
    merge_probabilities,
    read_parameters,
    write_parameters,
)

__all__ = ["PlainMixin", "plain_estimator"]

#: Largest difference in probability; members in float32 cannot do better than the second.
_SAME_PROBABILITY = 1e-6
_SAME_IN_SINGLE_PRECISION = 1e-4
_ROWS_TO_DRAW = 100


class PlainMixin:
    """The way out of the package: `to_estimator`."""

    classes_: np.ndarray
    _combination: Combination

    def to_estimator(self, X: Any = None) -> Estimator:
        """One plain estimator of the members' own type that predicts the same.

        It costs as much as what it is made of: one member for linear models, naive Bayes and
        merged parameters; all trees of all members for forests and histogram gradient boosting.
        It can be pickled and used where skmergecal is not installed.

        Parameters
        ----------
        X : array-like, default=None
            Rows on which both are compared; labels are not needed. ``fit`` keeps no rows, so with
            None 100 rows of standard normal numbers are drawn, which shows that what was folded
            and scaled is right, but not what rounding does far from there. Rows of text, say,
            cannot be drawn: pass some.

        Returns
        -------
        estimator
            A new fitted estimator, with a temperature folded in where there is one.

        Raises
        ------
        IncompatibleEstimatorsError
            If there is no single estimator of the members' type that gives these probabilities;
            the message names the reason.
        ValueError
            If rows are needed to compare, and X is None.
        """
        check_is_fitted(self, "weights_")
        plain = plain_estimator(self._combination)
        if set(plain.classes_.tolist()) != set(self.classes_.tolist()):
            msg = (
                f"the members call the classes {plain.classes_.tolist()}, not "
                f"{self.classes_.tolist()}, and so would a plain estimator"
            )
            raise IncompatibleEstimatorsError(msg)
        if X is not None:
            expected, found = self._both_probabilities(plain, X)
        else:
            try:
                expected, found = self._both_probabilities(plain, _drawn_rows(self))
            except Exception as error:
                msg = "the members take no rows of random numbers: pass some rows to compare as X"
                raise ValueError(msg) from error
        _refuse_difference(expected, found, self._combination)
        return plain

    def _both_probabilities(self, plain: Estimator, X: Any) -> tuple[Array, Array]:
        columns = np.searchsorted(self.classes_, plain.classes_)
        expected = self.predict_proba(X)[:, columns]  # type: ignore[attr-defined]
        return expected, np.asarray(plain.predict_proba(X), dtype=np.float64)


@singledispatch
def plain_estimator(combination: Combination) -> Estimator:
    """The plain estimator of a fitted combination."""
    msg = f"there is no single estimator for a {type(combination).__name__}"
    raise IncompatibleEstimatorsError(msg)


@plain_estimator.register
def _(combination: CombinedCombination) -> Estimator:
    msg = (
        "class-wise weights, and pools of both kinds at once (method='auto'), calibrate each "
        "member and bend what it says, which no single estimator of the members' type can do: "
        "use method='logits' with weights='log_loss', 'probabilities' or 'parameters'"
    )
    raise IncompatibleEstimatorsError(msg)


@plain_estimator.register
def _(combination: LogarithmicCombination) -> Estimator:
    active = list(combination.active())
    return merge_logits(
        [member.estimator for member, _, _ in active],
        [w / (t * combination.temperature) for _, w, t in active],
        names=[member.name for member, _, _ in active],
    )


@plain_estimator.register
def _(combination: LinearCombination) -> Estimator:
    if any(combination.calibrates):
        msg = (
            "averaged probabilities that were calibrated are not those of one plain estimator, "
            "because a temperature works on logits: use calibrate=None, or method='logits'"
        )
        raise IncompatibleEstimatorsError(msg)
    active = list(combination.active())
    members = [member for member, _, _ in active]
    labels = {
        int(column): label
        for member in combination.members
        for column, label in zip(member.columns, member.classes, strict=True)
    }
    return merge_probabilities(
        [member.estimator for member in members],
        [w for _, w, _ in active],
        classes=np.array([labels[c] for c in sorted(labels)]),
        names=[member.name for member in members],
    )


@plain_estimator.register
def _(combination: ParameterCombination) -> Estimator:
    merged = combination.merged.estimator
    if combination.temperature == 1:
        return copy.deepcopy(merged)
    return write_parameters(
        merged, fold_temperature(read_parameters(merged), combination.temperature)
    )


def _drawn_rows(merged: Any) -> Any:
    """Rows of random numbers, with the names of the features where these have names."""
    shape = (_ROWS_TO_DRAW, merged.n_features_in_)
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if not hasattr(merged, "feature_names_in_"):
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=merged.feature_names_in_)


def _refuse_difference(expected: Array, found: Array, combination: Combination) -> None:
    parameters = isinstance(combination, ParameterCombination)
    tolerated = _SAME_IN_SINGLE_PRECISION if parameters else _SAME_PROBABILITY
    error = float(np.abs(expected - found).max(initial=0.0))
    if not error <= tolerated:
        msg = (
            f"the plain estimator differs by {error:.2g} in probability from the merged one "
            f"(tolerated {tolerated:.0e}): members that digits are lost of when preprocessing or a "
            "temperature is folded in, or whose output is not the softmax of their last layer, "
            "cannot be merged into one"
        )
        raise IncompatibleEstimatorsError(msg)
