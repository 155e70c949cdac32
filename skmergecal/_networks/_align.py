"""Alignment of the hidden units of networks, before their arrays are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from skmergecal._networks._network import BLOCK, Network
from skmergecal._networks._nodes import AffineLayer, Arrays, as_rows
from skmergecal._networks._reparametrise import balance, check_same_function, reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks._units import AxisSlice, UnitSpace, UnitValue
from skmergecal._networks._windows import Convolution
from skmergecal._typing import Array, IntArray

__all__ = ["align_networks"]

#: Limit of rounds over layers. Each round raises the agreement, so that the search ends anyway.
_ROUNDS = 100
#: Limit of rounds over members, for the same search; with many members the last ones gain little.
_MEMBER_ROUNDS = 20

#: Similarity of the units of two networks: for slots without flips, and for each group with flips.
_Similarity = tuple[Array, list[Array]]


def align_networks(
    network: Network,
    members: Sequence[Arrays],
    weights: Any,
    X: Array,
    *,
    by: str = "weights",
) -> list[dict[str, Array]]:
    """Permute, flip and scale the hidden units of each member to match the others.

    With ``by="weights"``, each member is matched to the weighted mean of those before it, layer by
    layer until nothing is gained. With more than two members, each is then matched to the mean of
    all others, until no member changes. With ``by="activations"``, each layer is matched once to
    the mean of the members matched so far.

    Parameters
    ----------
    network : Network
        The members' architecture.
    members : sequence of dict of str to ndarray
        Arrays of each, in float64; not changed.
    weights : array-like of shape (n_members,)
    X : ndarray of shape (n_rows, n_features)
        Rows for the activations, and to check that the logits of every member are unchanged.
    by : {"weights", "activations"}, default="weights"

    Returns
    -------
    list of dict of str to ndarray
        The members after alignment; each computes the same function as before.

    Raises
    ------
    RuntimeError
        If the logits of a member have changed.

    References
    ----------
    Ainsworth, Hayase and Srinivasa, "Git Re-Basin: merging models modulo permutation symmetries",
    ICLR 2023, section 3; Singh and Jaggi, "Model fusion via optimal transport", NeurIPS 2020.
    """
    spaces = find_spaces(network, members[0])
    aligned = [_copied(member) for member in members]
    for arrays in aligned:
        balance(arrays, spaces)
    weights = np.asarray(weights, dtype=np.float64)
    if by == "activations":
        _match_activations(network, aligned, weights, spaces, X)
    else:
        _match_weights(aligned, weights, spaces)
    for before, after in zip(members, aligned, strict=True):
        check_same_function(network, before, after, X)
    return aligned


def _copied(arrays: Arrays) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _scaled(arrays: Arrays, share: float) -> dict[str, Array]:
    return {k: share * a for k, a in arrays.items() if np.issubdtype(a.dtype, np.floating)}


def _plus(total: Arrays, arrays: Arrays, share: float) -> dict[str, Array]:
    """Weighted sum of members, with one more. The scale of a reference does not matter."""
    return {name: array + share * arrays[name] for name, array in total.items()}


def _match_weights(
    aligned: list[dict[str, Array]], weights: Array, spaces: list[UnitSpace]
) -> None:
    # If the first members had weight 0, the next one would be matched to zeros: raise all weights.
    shares = weights if weights.all() else weights + 1 / len(weights)
    total = _scaled(aligned[0], shares[0])
    for k in range(1, len(aligned)):
        _match_to(total, aligned, k, spaces)
        total = _plus(total, aligned[k], shares[k])
    for _ in range(_MEMBER_ROUNDS if len(aligned) > 2 else 0):
        moved = False
        for k in range(len(aligned)):
            others = _plus(total, aligned[k], -shares[k])
            moved |= _descend(others, aligned[k], spaces)
            total = _plus(others, aligned[k], shares[k])
        if not moved:
            return


def _match_to(
    reference: Arrays, aligned: list[dict[str, Array]], k: int, spaces: list[UnitSpace]
) -> None:
    """Match one member, starting from its present order and from a first match layer by layer.

    Matching layers in turn finds a local optimum; the better of the two is kept.
    """
    there, fresh = _copied(aligned[k]), _copied(aligned[k])
    _descend(reference, there, spaces)
    _first_match(reference, fresh, spaces)
    _descend(reference, fresh, spaces)
    best = max((there, fresh), key=lambda arrays: _agreement(reference, arrays))
    aligned[k].update(best)


def _agreement(reference: Arrays, arrays: Arrays) -> float:
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a'b, and permutations and flips of b do not change |b|: the
    # largest inner product is the smallest distance.
    return sum(float(np.vdot(array, arrays[name])) for name, array in reference.items())


def _descend(reference: Arrays, arrays: dict[str, Array], spaces: list[UnitSpace]) -> bool:
    """Match layers in turn until nothing is gained; return whether anything changed."""
    moved = False
    for _ in range(_ROUNDS):
        gained = False
        for space in spaces:
            gained |= _improve(reference, arrays, space)
        moved |= gained
        if not gained:
            return moved
    return moved


def _improve(reference: Arrays, arrays: dict[str, Array], space: UnitSpace) -> bool:
    """Match one layer, given the others; return whether the agreement rises."""
    slots = [slot for slot in space.slots if slot.compared]
    before = {slot.name: arrays[slot.name].copy() for slot in space.slots}
    if not _assign(_similarity(reference, arrays, space, slots), arrays, space):
        return False
    # An array A with the same units along both axes becomes P A P', quadratic in the permutation P.
    # The assignment is linear in P, so its gain is only approximate there: compare, and undo.
    goal = {slot.name: reference[slot.name] for slot in slots}
    if _agreement(goal, arrays) > _agreement(goal, before):
        return True
    arrays.update(before)
    return False


def _first_match(reference: Arrays, arrays: dict[str, Array], spaces: list[UnitSpace]) -> None:
    """Match each layer by its weights to the layers matched before it, from the input upwards."""
    unmatched = {(slot.name, slot.axis) for space in spaces for slot in space.slots}
    for space in spaces:
        unmatched -= {(slot.name, slot.axis) for slot in space.slots}
        # An array whose other axis is still in an unmatched order cannot be compared.
        names = {name for name, _ in unmatched}
        known = [s for s in space.slots if s.compared and s.name not in names]
        if known:
            _assign(_similarity(reference, arrays, space, known), arrays, space)


def _similarity(
    reference: Arrays, arrays: Arrays, space: UnitSpace, slots: Sequence[AxisSlice]
) -> _Similarity:
    def of(chosen: Sequence[AxisSlice]) -> Array:
        total = np.zeros((space.size, space.size))
        for slot in chosen:
            # [i, j]: inner product of the reference's unit i and the member's unit j.
            total += slot.table(reference) @ slot.table(arrays).T
        return total

    grouped = [[s for s in slots if group.odd and s in group.slots] for group in space.groups]
    neutral = [s for s in slots if not any(s in g for g in grouped)]
    return of(neutral), [of(group) for group in grouped]


def _assign(similarity: _Similarity, arrays: dict[str, Array], space: UnitSpace) -> bool:
    """Permute and flip the units of a space for the largest similarity; return whether it rises."""
    # For any pair of units the best sign turns a group's similarity s into |s|, whatever the other
    # pairs are. So permutation and signs together are still one linear assignment.
    neutral, signed = similarity
    score = neutral + sum(np.abs(s) for s in signed)
    rows, order = linear_sum_assignment(score, maximize=True)
    now = float(np.trace(neutral) + sum(np.trace(s) for s in signed))
    found = float(score[rows, order].sum())
    if not found > now + 1e-9 * (1.0 + np.abs(score).sum() / len(score)):
        return False
    signs = [np.where(s[rows, order] < 0, -1.0, 1.0) for s in signed]
    reparametrise(arrays, space, order, signs)
    return True


def _match_activations(
    network: Network,
    aligned: list[dict[str, Array]],
    weights: Array,
    spaces: list[UnitSpace],
    X: Array,
) -> None:
    """Match each layer by the correlation of the activations of its units."""
    blocks = [_blocks_by_group(network, space) for space in spaces]
    units = [
        (part, space.size) for parts, space in zip(blocks, spaces, strict=True) for part in parts
    ]
    scales = [_moments(_unit_rows(network, aligned[0], units, X))]
    for k in range(1, len(aligned)):
        share = weights[:k] if weights[:k].sum() > 0 else np.ones(k)
        scale = _moments(_unit_rows(network, aligned[k], units, X))
        # The members before are in the common order: their units can be averaged.
        sources = [_unit_rows(network, arrays, units, X) for arrays in aligned[: k + 1]]
        tables = [np.zeros((size, size)) for _, size in units]
        for few in zip(*sources, strict=True):
            for i, table in enumerate(tables):
                known = zip(share, few, scales, strict=False)
                mean = sum(w * _standardised(x[i], own[i]) for w, x, own in known)
                table += np.transpose(mean) @ _standardised(few[k][i], scale[i])
        left = iter(tables)
        for parts, space in zip(blocks, spaces, strict=True):
            neutral, *signed = (next(left) / (len(X) * share.sum()) for _ in parts)
            order, signs = _orders(neutral, signed)
            reparametrise(aligned[k], space, order, signs)
        scales.append(_moments(_unit_rows(network, aligned[k], units, X)))


def _unit_rows(
    network: Network, arrays: Arrays, units: Sequence[tuple[list[UnitValue], int]], X: Array
) -> Iterator[list[Array]]:
    """For each block of rows, and each list of values, the units' values below each other."""
    places = {value.node for part, _ in units for value in part}
    for start in range(0, len(X), BLOCK):
        values = network.values_at(places, arrays, X[start : start + BLOCK])
        yield [
            np.concatenate([as_rows(v.units(values[v.node], size)) for v in part])
            if part
            else np.zeros((1, size))
            for part, size in units
        ]


def _moments(blocks: Iterator[list[Array]]) -> list[tuple[Array, Array]]:
    """Mean and standard deviation of each unit, over blocks of rows."""
    found: list[tuple[int, Array, Array]] = []
    for few in blocks:
        new = [(len(x), x.mean(axis=0), len(x) * x.var(axis=0)) for x in few]
        found = [_joined(a, b) for a, b in zip(found, new, strict=True)] if found else new
    return [(mean, np.sqrt(squares / n)) for n, mean, squares in found]


def _joined(a: tuple[int, Array, Array], b: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
    """Number, mean and squared deviations of two sets of rows together."""
    n, away = a[0] + b[0], b[1] - a[1]
    return n, a[1] + away * (b[0] / n), a[2] + b[2] + away**2 * (a[0] * b[0] / n)


def _blocks_by_group(network: Network, space: UnitSpace) -> list[list[UnitValue]]:
    """The space's values: first those that no flip changes, then by group."""
    readers: dict[int, set[str]] = {}
    for node in network.nodes:
        if isinstance(node, AffineLayer | Convolution):
            readers.setdefault(node.inputs[0], set()).add(node.weight)
    parts: list[list[UnitValue]] = [[] for _ in range(1 + len(space.groups))]
    for value in space.values:
        # Slots of power -1 take values in: the group that has one for this block scales it.
        number = next(
            (
                number
                for number, group in enumerate(space.groups, 1)
                for slot in group.slots
                if group.odd
                and slot.power == -1
                and slot.name in readers.get(value.node, ())
                and slot.offset == value.offset
            ),
            0,
        )
        parts[number].append(value)
    return parts


def _orders(neutral: Array, signed: list[Array]) -> tuple[IntArray, list[Array]]:
    score = neutral + sum(np.abs(s) for s in signed)
    rows, order = linear_sum_assignment(score, maximize=True)
    return order, [np.where(s[rows, order] < 0, -1.0, 1.0) for s in signed]


def _standardised(x: Array, scale: tuple[Array, Array]) -> Array:
    """Values of units with mean 0 and deviation 1; all 0 for a unit that is constant."""
    x, deviation = x - scale[0], scale[1]
    return np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 1e-12)
