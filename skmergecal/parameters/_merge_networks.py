"""Merging of networks into one: averaging, alignment, repair, selection, distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmergecal._compat import StrOptions
from skmergecal._networks import (
    FEW_ROWS,
    RANDOM_ROWS,
    Network,
    align_networks,
    as_float64,
    has_hidden,
    merge_networks,
    probe_rows,
    refit_layers,
    side_by_side,
    some_rows,
)
from skmergecal._typing import Array
from skmergecal._validation import as_numbers, check_names, check_parameters, check_shares
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._architecture import check_read, check_same_architecture
from skmergecal.parameters._average import average_parameters
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._same_input import on_same_columns

__all__ = ["ALIGNMENTS", "REPAIRS", "MergedParameters", "align_parameters", "merge_parameters"]

ALIGNMENTS = ("auto", "weights", "activations", "select")
REPAIRS = ("auto", "least_squares", "rescale")


@dataclass(frozen=True)
class MergedParameters:
    """Merged parameters after each stage of merging.

    Attributes
    ----------
    stages : dict of str to Parameters
        "plain", followed by those of "aligned", "rescale", "least_squares", "select" and
        "distilled" that were tried, in this order.
    chosen : str
        The stage whose parameters are the result.

    See Also
    --------
    skmergecal.parameters.merge_parameters : Makes one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import merge_parameters, read_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> models = [LogisticRegression(C=C, max_iter=500).fit(X, y) for C in (0.1, 1)]
    >>> merged = merge_parameters([read_parameters(model) for model in models], [0.5, 0.5])
    >>> list(merged.stages), merged.chosen  # a linear model has no hidden units to align
    (['plain'], 'plain')
    """

    stages: Mapping[str, Parameters]
    chosen: str

    @property
    def parameters(self) -> Parameters:
        """The result."""
        return self.stages[self.chosen]


@check_parameters(
    alignment=[StrOptions(set(ALIGNMENTS)), None], repair=[StrOptions(set(REPAIRS)), None]
)
def merge_parameters(
    parameters: Sequence[Parameters],
    weights: Any,
    *,
    alignment: str | None = "auto",
    repair: str | None = "auto",
    X: Array | Mapping[str, Array] | None = None,
    names: Sequence[str] | None = None,
) -> MergedParameters:
    """Merge the parameters of several estimators of one architecture into one.

    Parameters
    ----------
    parameters : sequence of Parameters
        At least one.
    weights : array-like of shape (n_members,)
        Non-negative weights that sum to 1. Members of weight 0 are ignored.
    alignment : {"auto", "weights", "activations", "select"} or None, default="auto"
        How hidden units are matched. None: not at all.
    repair : {"auto", "least_squares", "rescale"} or None, default="auto"
        What is done after alignment. ``alignment="select"`` always ends in least squares, whatever
        the value of ``repair``, and only "auto" adds epochs of training to it; without alignment,
        "auto" does nothing.
    X : ndarray of shape (n_rows, n_features), or dict of such, default=None
        Rows without labels, preprocessed as the networks expect them; of nets with several inputs,
        a dict or SliceDict with one array per argument of ``forward``.
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    MergedParameters
        The parameters after each stage, and which of them are the result.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the networks are to be aligned but have no description.

    See Also
    --------
    skmergecal.parameters.MergedParameters : What it returns.
    skmergecal.parameters.average_parameters : The average alone.
    skmergecal.MergedClassifier : ``method="parameters"`` learns weights, too.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmergecal.parameters import merge_parameters, read_parameters, write_parameters
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> nets = [MLPClassifier((16,), learning_rate_init=0.02, random_state=seed) for seed in (0, 1)]
    >>> for net in nets:
    ...     for _ in range(15):
    ...         _ = net.partial_fit(X[:1000], y[:1000], classes=range(10))
    >>> read = [read_parameters(net) for net in nets]
    >>> plain = merge_parameters(read, [0.5, 0.5], alignment=None)
    >>> matched = merge_parameters(read, [0.5, 0.5], X=X[:1000])
    >>> [round(net.score(X[1000:], y[1000:]), 2) for net in nets]
    [0.93, 0.92]
    >>> for merged in (plain, matched):
    ...     model = write_parameters(nets[0], merged.parameters)
    ...     print(merged.chosen, round(model.score(X[1000:], y[1000:]), 2))
    plain 0.49
    distilled 0.93
    """
    parameters = check_read(parameters)
    names = check_names(names, len(parameters))
    parameters = on_same_columns(parameters, names)
    weights = check_shares(weights, len(parameters))
    parameters, rows = _for_rows(parameters, X)
    rows = _check_rows(rows, parameters[0].network)
    plain = average_parameters(parameters, weights, names=names)
    only_plain = MergedParameters({"plain": plain}, "plain")
    active = [p for p, w in zip(parameters, weights, strict=True) if w > 0]
    if alignment is None and repair not in ("least_squares", "rescale"):
        if rows is None or len(active) == 1 or not plain.has_statistics:
            return only_plain
        return _reset(active, plain, rows)
    network = _network(active, alignment, repair)
    if network is None or len(active) == 1 or not has_hidden(network):
        return only_plain
    if rows is None and (alignment in ("activations", "select") or repair not in ("auto", None)):
        msg = (
            f"alignment={alignment!r} with repair={repair!r} needs rows, labelled or not: pass X, "
            "or use alignment='weights' with repair=None"
        )
        raise ValueError(msg)
    members, shares = [p.arrays for p in active], weights[weights > 0]
    stages, chosen = merge_networks(
        network, members, shares, rows, alignment=alignment, repair=repair
    )
    return MergedParameters({name: _cast(plain, a) for name, a in stages.items()}, chosen)


@check_parameters(by=[StrOptions({"weights", "activations"})])
def align_parameters(
    parameters: Sequence[Parameters],
    *,
    by: str = "weights",
    X: Array | Mapping[str, Array] | None = None,
    names: Sequence[str] | None = None,
) -> list[Parameters]:
    """Permute, flip and scale hidden units to match those of the first network, in float64.

    Parameters
    ----------
    parameters : sequence of Parameters
        Of one architecture; not changed.
    by : {"weights", "activations"}, default="weights"
        What hidden units are compared by: their weights, or their activations for the rows of X.
    X : ndarray of shape (n_rows, n_features), or dict of such, default=None
        Rows, preprocessed as the networks expect them; needed for activations, and by nets with
        several inputs (a dict or SliceDict with one array per argument of ``forward``).
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    list of Parameters
        Each computes the same function as before, which is checked.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the networks have no description.

    See Also
    --------
    skmergecal.parameters.merge_parameters : Aligns, averages and repairs.
    skmergecal.merge_path : The loss between two estimators, aligned or not.

    References
    ----------
    Ainsworth, Hayase and Srinivasa, "Git Re-Basin: Merging Models modulo Permutation Symmetries",
    ICLR 2023, https://doi.org/10.48550/arXiv.2209.04836.

    Examples
    --------
    A net whose hidden units are in another order is the same net:

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmergecal.parameters import align_parameters, read_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> net, other = (MLPClassifier((4,), tol=0.1, random_state=0).fit(X, y) for _ in "ab")
    >>> other.coefs_ = [other.coefs_[0][:, ::-1], other.coefs_[1][::-1]]
    >>> other.intercepts_ = [other.intercepts_[0][::-1], other.intercepts_[1]]
    >>> first, second = align_parameters([read_parameters(net), read_parameters(other)])
    >>> all(np.allclose(first.arrays[name], second.arrays[name]) for name in first.arrays)
    True
    """
    parameters = check_read(parameters)
    names = check_names(names, len(parameters))
    parameters = on_same_columns(parameters, names)
    parameters, rows = _for_rows(parameters, X)
    rows = _check_rows(rows, parameters[0].network)
    check_same_architecture(parameters, names)
    network = _network(parameters, by, None)
    if network is None or not has_hidden(network):
        return list(parameters)
    if rows is None and by == "activations":
        msg = "by='activations' needs rows: pass X, or use by='weights'"
        raise ValueError(msg)
    few = probe_rows(network, RANDOM_ROWS) if rows is None else some_rows(rows, FEW_ROWS)
    arrays = [as_float64(p.arrays) for p in parameters]
    shares = np.full(len(arrays), 1 / len(arrays))
    aligned = align_networks(network, arrays, shares, few, by=by)
    return [replace(p, arrays=a) for p, a in zip(parameters, aligned, strict=True)]


def _for_rows(parameters: Sequence[Parameters], X: Any) -> tuple[Sequence[Parameters], Any]:
    """Parameters described for the rows of X, and these rows; several inputs side by side."""
    if not isinstance(X, Mapping) or not X:
        return [p.for_rows(X) for p in parameters], X
    numbers = {name: as_numbers(f"X[{name!r}]", value) for name, value in X.items()}
    lengths = {name: len(value) for name, value in numbers.items()}
    if len(set(lengths.values())) > 1:
        msg = f"the inputs of X should have the same number of rows; got {lengths}"
        raise ValueError(msg)
    if len(numbers) == 1:
        (rows,) = numbers.values()
        return [p.for_rows(rows) for p in parameters], rows
    as_they_are = {name: np.asarray(value) for name, value in X.items()}  # whole numbers, too
    return [p.for_rows(as_they_are) for p in parameters], side_by_side(numbers)


def _check_rows(X: Any, network: Network | None) -> Any:
    """Rows for a network: finite, and as many features as it has; None where there are none."""
    if X is None or network is None:
        return X
    rows = as_numbers("X", X)
    wide = rows.ndim > 2 or (rows.ndim == 2 and rows.shape[1] == network.n_features)
    if not wide or len(rows) == 0 or not np.isfinite(rows).all():
        msg = (
            "X should hold at least one row of finite numbers, shape (n_rows, "
            f"{network.n_features}); got shape {rows.shape}"
        )
        raise ValueError(msg)
    return rows


def _network(
    active: Sequence[Parameters], alignment: str | None, repair: str | None
) -> Network | None:
    network = active[0].network
    if any(p.network != network for p in active):
        msg = "the networks differ in how their layers are connected: use method='logits'"
        raise IncompatibleEstimatorsError(msg)
    if network is None and len(active) > 1:
        reason = active[0].untraceable
        if reason is not None:
            msg = (
                f"hidden units cannot be aligned: {reason}. Pass alignment=None to average the "
                "parameters as they are, or use method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)
        if alignment not in (None, "auto") or repair not in (None, "auto"):
            msg = (
                f"alignment={alignment!r} and repair={repair!r} need a description of the network, "
                "which this class of estimators did not register (Parameters.network): use "
                "alignment=None and repair=None"
            )
            raise IncompatibleEstimatorsError(msg)
    return network


def _reset(active: Sequence[Parameters], plain: Parameters, X: Array) -> MergedParameters:
    """The plain average, with BatchNorm statistics computed again on the rows."""
    network = plain.network
    assert network is not None
    same = all(
        np.array_equal(p.arrays[k], active[0].arrays[k]) for p in active for k in plain.arrays
    )
    if same:
        return MergedParameters({"plain": plain}, "plain")
    arrays = refit_layers(network, as_float64(plain.arrays), some_rows(X), None, statistics=True)
    return MergedParameters({"plain": _cast(plain, arrays)}, "plain")


def _cast(like: Parameters, arrays: Mapping[str, Array]) -> Parameters:
    cast = {
        name: arrays[name].astype(old.dtype) if np.issubdtype(old.dtype, np.inexact) else old
        for name, old in like.arrays.items()
    }
    return replace(like, arrays=cast)
