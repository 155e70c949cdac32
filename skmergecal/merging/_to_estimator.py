"""Plain estimators: one that gives what a fitted merge gives, and needs no skmergecal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

import numpy as np

from skmergecal._numerics import ROWS_TO_COMPARE, SAME_IN_SINGLE_PRECISION, SAME_PROBABILITY
from skmergecal._optional import refuse_dask
from skmergecal._torch import RandomNumbers
from skmergecal._typing import Array, Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import Member, copy_fitted, unfrozen
from skmergecal.merging.fitted import (
    FittedMerge,
    LinearPoolMerge,
    LogPoolMerge,
    OneModelMerge,
    StackedPoolsMerge,
)
from skmergecal.parameters import (
    average_parameters,
    fold_temperature,
    merge_logits,
    merge_probabilities,
    read_parameters,
    write_parameters,
)

__all__ = ["plain_estimator", "to_plain_estimator"]


def to_plain_estimator(merged: Any, merge: FittedMerge, X: Any) -> Estimator:
    """The plain estimator of a fitted merged classifier, compared with it on rows.

    As documented in ``MergedClassifier.to_estimator``.
    """
    refuse_dask("X", X)
    try:
        plain = plain_estimator(merge)
    except IncompatibleEstimatorsError as error:
        raise IncompatibleEstimatorsError(error.reason, _what_gives_one(merged, merge)) from error
    if set(plain.classes_.tolist()) != set(merged.classes_.tolist()):
        msg = (
            f"the members call the classes {plain.classes_.tolist()}, not "
            f"{merged.classes_.tolist()}, and so would a plain estimator"
        )
        raise IncompatibleEstimatorsError(msg)
    if X is not None:
        expected, found = _both_probabilities(merged, plain, X)
    else:
        try:
            expected, found = _both_probabilities(merged, plain, _drawn_rows(merged))
        except Exception as error:
            msg = "the members take no rows of random numbers: pass some rows to compare as X"
            raise ValueError(msg) from error
    _refuse_difference(expected, found, merge)
    return plain


def _what_gives_one(merged: Any, merge: FittedMerge) -> str:
    """The other methods that give one plain estimator of these members, each tried."""
    models = [model for member in merge.members for model in member.models]
    estimators = [model.estimator for model in models]  # other weights may take all
    names = [model.name for model in models]
    shares = np.full(len(names), 1 / len(names))
    ways: dict[str, Callable[[], Any]] = {
        "method='logits' with weights='log_loss'": lambda: merge_logits(
            estimators, shares, names=names
        ),
        "method='probabilities' with calibrate=None": lambda: merge_probabilities(
            estimators, shares, names=names
        ),
        "method='parameters'": lambda: average_parameters(
            [read_parameters(e) for e in estimators], shares
        ),
    }
    if len(models) > len(merge.members):
        del ways["method='parameters'"]  # it takes no averages of several models
    found = []
    for way, attempt in ways.items():
        if way.split()[0] == f"method={merged.method!r}" and not _is_adjusted(merge):
            continue
        try:
            attempt()
        except ValueError:
            continue
        found.append(way)
    if found:
        return f"use {' or '.join(found)}"
    return "no method gives one for these members; keep the merged classifier, joblib.dump saves it"


def _is_adjusted(merge: FittedMerge) -> bool:
    """Whether weights for each class, or calibrated probabilities, are what stands in the way."""
    return isinstance(merge, StackedPoolsMerge) or (
        isinstance(merge, LinearPoolMerge) and any(merge.calibrates)
    )


def _both_probabilities(merged: Any, plain: Estimator, X: Any) -> tuple[Array, Array]:
    columns = np.searchsorted(merged.classes_, plain.classes_)
    expected = merged.predict_proba(X)[:, columns]
    with RandomNumbers().borrowed():
        return expected, np.asarray(plain.predict_proba(X), dtype=np.float64)


@singledispatch
def plain_estimator(merge: FittedMerge) -> Estimator:
    """The plain estimator of a fitted merge."""
    msg = f"there is no single estimator for a {type(merge).__name__}"
    raise IncompatibleEstimatorsError(msg)


@plain_estimator.register
def _(merge: StackedPoolsMerge) -> Estimator:
    msg = (
        "class-wise weights, and pools of both kinds at once (method='auto'), calibrate each "
        "member and change its probabilities in a way that no single estimator of its type can"
    )
    raise IncompatibleEstimatorsError(msg)


@plain_estimator.register
def _(merge: LogPoolMerge) -> Estimator:
    active = list(_active_models(merge))
    return merge_logits(
        [model.estimator for model, _, _ in active],
        [w / (t * merge.temperature) for _, w, t in active],
        names=[model.name for model, _, _ in active],
    )


@plain_estimator.register
def _(merge: LinearPoolMerge) -> Estimator:
    if any(merge.calibrates):
        msg = (
            "averaged probabilities that were calibrated are not those of one plain estimator, "
            "because a temperature works on logits"
        )
        raise IncompatibleEstimatorsError(msg)
    active = list(_active_models(merge))
    models = [model for model, _, _ in active]
    labels = {
        int(column): label
        for member in merge.members
        for column, label in zip(member.columns, member.classes, strict=True)
    }
    return merge_probabilities(
        [model.estimator for model in models],
        [w for _, w, _ in active],
        classes=np.array([labels[c] for c in sorted(labels)]),
        names=[model.name for model in models],
    )


@plain_estimator.register
def _(merge: OneModelMerge) -> Estimator:
    merged = unfrozen(merge.merged.estimator)
    if merge.temperature == 1:
        return copy_fitted(merged)
    return write_parameters(merged, fold_temperature(read_parameters(merged), merge.temperature))


def _active_models(merge: FittedMerge) -> Iterator[tuple[Member, float, float]]:
    """Members of positive weight, with weight and temperature; of averages, all their models."""
    for member, weight, temperature in merge.active():
        for model in member.models:
            if model.fill:
                msg = (
                    f"estimator {model.name!r} does not know all classes, and no estimator of its "
                    "type gives those that it lacks the probability of missing_classes='soften'"
                )
                raise IncompatibleEstimatorsError(msg)
            yield model, weight / len(member.models), temperature


def _drawn_rows(merged: Any) -> Any:
    """Rows of random numbers, with the names of the features where these have names."""
    shape = (ROWS_TO_COMPARE, merged.n_features_in_)
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if not hasattr(merged, "feature_names_in_"):
        return rows
    import pandas as pd

    return pd.DataFrame(rows, columns=merged.feature_names_in_)


def _refuse_difference(expected: Array, found: Array, merge: FittedMerge) -> None:
    parameters = isinstance(merge, OneModelMerge)
    tolerated = SAME_IN_SINGLE_PRECISION if parameters else SAME_PROBABILITY
    error = float(np.abs(expected - found).max(initial=0.0))
    if not error <= tolerated:
        msg = (
            f"the plain estimator differs by {error:.2g} in probability from the merged one "
            f"(tolerated {tolerated:.0e}): members that lose digits when preprocessing or a "
            "temperature is folded in, or whose output is not the softmax of their last layer, "
            "cannot be merged into one"
        )
        raise IncompatibleEstimatorsError(msg)
