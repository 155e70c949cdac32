"""Task vectors: differences of tuned members from their common start, merged and added to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skmergecal._compat import Interval, StrOptions
from skmergecal._typing import Array, Estimator
from skmergecal._validation import check_member_weights, check_names, check_parameters
from skmergecal.parameters._architecture import check_same_architecture
from skmergecal.parameters._average import largest
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._registry import check_estimators, read_parameters, write_parameters
from skmergecal.parameters._same_input import on_same_columns

__all__ = ["drop", "elect", "merge_task_vectors", "trim"]


def _n_kept(size: int, density: float) -> int:
    """Number of entries of a tensor to keep, rounded up: at least one."""
    return math.ceil(density * size)


def trim(delta: Array, density: float) -> Array:
    """Keep the entries with the largest absolute values and set the others to 0.

    Parameters
    ----------
    delta : ndarray
        Of any shape.
    density : float
        Share of the entries to keep, above 0; rounded up, so at least one is kept. Of equal
        entries, the first are kept.

    Returns
    -------
    ndarray
        A new array.

    References
    ----------
    Yadav et al., "TIES-Merging", NeurIPS 2023.
    """
    flat = delta.ravel()
    kept = np.argsort(-np.abs(flat), kind="stable")[: _n_kept(flat.size, density)]
    trimmed = np.zeros_like(flat)
    trimmed[kept] = flat[kept]
    return trimmed.reshape(delta.shape)


def drop(delta: Array, density: float, random_state: np.random.RandomState) -> Array:
    """Keep random entries, scaled up so that the expected value is ``delta``.

    Parameters
    ----------
    delta : ndarray
        Of any shape.
    density : float
        Share of the entries to keep, above 0; rounded up. The number is fixed, while the paper
        draws each entry independently: the bias of a small layer is never dropped entirely.
    random_state : RandomState

    Returns
    -------
    ndarray
        A new array.

    References
    ----------
    Yu et al., "Language Models are Super Mario" (DARE), ICML 2024.
    """
    flat = delta.ravel()
    kept = random_state.permutation(flat.size)[: _n_kept(flat.size, density)]
    dropped = np.zeros_like(flat)
    dropped[kept] = flat[kept] * (flat.size / max(len(kept), 1))
    return dropped.reshape(delta.shape)


def add(deltas: Sequence[Array], weights: Array) -> Array:
    """Weighted sum (task arithmetic)."""
    total = np.zeros_like(deltas[0])
    for weight, delta in zip(weights, deltas, strict=True):
        total += weight * delta
    return total


def elect(deltas: Sequence[Array], weights: Array) -> Array:
    """Weighted mean of the entries that have the sign of the weighted sum.

    Entries of the other sign, and zeros, are left out of the mean; if the sum is 0, so is the
    result.

    Parameters
    ----------
    deltas : sequence of ndarray
        Of one shape.
    weights : ndarray of shape (n_deltas,)
        Non-negative.

    Returns
    -------
    ndarray

    References
    ----------
    Yadav et al., "TIES-Merging", NeurIPS 2023.
    """
    sign = np.sign(add(deltas, weights))
    agrees = [(np.sign(delta) == sign) & (sign != 0) for delta in deltas]
    total = add([delta * a for delta, a in zip(deltas, agrees, strict=True)], weights)
    share = add([a.astype(np.float64) for a in agrees], weights)
    return np.divide(total, share, out=np.zeros_like(total), where=share > 0)


#: How each method makes the differences sparse, and how it combines them.
_Sparsify = Callable[[Array, float, np.random.RandomState], Array]
_METHODS: dict[str, tuple[_Sparsify, Callable[[Sequence[Array], Array], Array]]] = {
    "arithmetic": (lambda delta, density, rng: delta, add),
    "ties": (lambda delta, density, rng: trim(delta, density), elect),
    "dare": (drop, add),
    "dare_ties": (drop, elect),
}


@dataclass(frozen=True)
class _Recipe:
    """Settings for merging differences from the start."""

    method: str
    density: float
    scale: float

    def merge(
        self, start: np.ndarray, tuned: Sequence[np.ndarray], weights: Array, random_state: Any
    ) -> np.ndarray:
        """Start plus merged differences; counters are those of the estimator of largest weight."""
        if np.iscomplexobj(start):  # signs and sizes are those of both parts
            real, imag = (
                self.merge(part(start), [part(t) for t in tuned], weights, random_state)
                for part in (np.real, np.imag)
            )
            return np.asarray(real + 1j * imag).astype(start.dtype)
        if not np.issubdtype(start.dtype, np.floating):
            return largest(weights, tuned).copy()
        sparsify, combine = _METHODS[self.method]
        wide = start.astype(np.float64)
        deltas = [array.astype(np.float64) - wide for array in tuned]
        if self.density < 1:
            deltas = [sparsify(delta, self.density, random_state) for delta in deltas]
        return np.asarray(wide + self.scale * combine(deltas, weights)).astype(start.dtype)


@check_parameters(
    method=[StrOptions(set(_METHODS))],
    density=[Interval(Real, 0, 1, closed="right")],
    scale=[Interval(Real, None, None, closed="neither")],
    random_state=["random_state"],
)
def merge_task_vectors(
    estimators: Sequence[Estimator],
    base: Estimator,
    *,
    weights: Any = None,
    method: str = "arithmetic",
    density: float = 1.0,
    scale: float = 1.0,
    random_state: Any = None,
) -> Estimator:
    """Merge estimators of one architecture that were tuned from the same start.

    Parameters
    ----------
    estimators : sequence of fitted estimators
        They are not changed.
    base : fitted estimator
        The estimator that they were tuned from.
    weights : array-like of shape (n_estimators,), default=None
        Non-negative; scaled to sum to 1. None: equal weights.
    method : {"arithmetic", "ties", "dare", "dare_ties"}, default="arithmetic"
        "arithmetic" averages the differences from the start; "ties" trims them to their largest
        entries and averages those that agree in sign; "dare" keeps random entries and averages
        them; "dare_ties" keeps random entries and averages those that agree in sign.
    density : float, default=1.0
        Share of each tensor's entries to keep, in (0, 1]; at least one. "arithmetic" keeps all.
    scale : float, default=1.0
        Factor of the merged difference. With "arithmetic", 1 gives the average of the parameters,
        and, for equal weights, the number of estimators gives the sum of the differences.
    random_state : int, RandomState or None, default=None
        Draws the entries that "dare" and "dare_ties" keep.

    Returns
    -------
    estimator
        A new one, of the type of the first.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or have no parameters that can be merged.
    ValueError
        If a setting is out of its range.

    See Also
    --------
    skmergecal.FineTunedClassifier : Tunes estimators from one start.
    skmergecal.parameters.average_parameters : The average of the parameters themselves.

    References
    ----------
    Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023,
    https://doi.org/10.48550/arXiv.2212.04089.

    Yadav et al., "TIES-Merging", NeurIPS 2023, https://doi.org/10.48550/arXiv.2306.01708.

    Yu et al., "Language Models are Super Mario" (DARE), ICML 2024,
    https://doi.org/10.48550/arXiv.2311.03099.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmergecal.parameters import merge_task_vectors
    >>> X, y = load_iris(return_X_y=True)
    >>> start, *tuned = (
    ...     MLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2]) for _ in range(3)
    ... )
    >>> for i, member in enumerate(tuned):
    ...     _ = member.partial_fit(X[i::2], y[i::2])
    >>> merged = merge_task_vectors(tuned, start, method="ties", density=0.2)
    >>> moved = [int((a != b).sum()) for a, b in zip(merged.coefs_, start.coefs_)]
    >>> moved, [coef.size for coef in start.coefs_]  # most weights are those of the start
    ([97, 73], [400, 300])
    """
    recipe = _Recipe(method, density, scale)
    estimators = check_estimators(estimators)
    check_estimators([base], "base")
    weights, start, tuned = _read_all(estimators, base, weights)
    draw = check_random_state(random_state)
    arrays = {
        name: recipe.merge(array, [p.arrays[name] for p in tuned], weights, draw)
        for name, array in start.arrays.items()
    }
    return write_parameters(estimators[0], replace(tuned[0], arrays=arrays))


def _read_all(
    estimators: Sequence[Estimator], base: Estimator, weights: Any
) -> tuple[Array, Parameters, list[Parameters]]:
    names = check_names(None, len(estimators))
    given = check_member_weights(np.ones(len(names)) if weights is None else weights, names)
    read = [read_parameters(estimator) for estimator in (base, *estimators)]
    start, *tuned = on_same_columns(read)
    check_same_architecture([start, *tuned], ["base", *names])
    return given, start, tuned
