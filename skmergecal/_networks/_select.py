"""Selection of hidden units: merge networks from the members' units that explain the pool best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skmergecal._compat import Interval
from skmergecal._networks._distil import fit_head
from skmergecal._networks._network import BLOCK, Network, as_float32, in_single, two_columns
from skmergecal._networks._nodes import Add, AffineLayer, Arrays, Constant, as_rows
from skmergecal._networks._repair import least_squares, refit_layers
from skmergecal._networks._reparametrise import balance
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks._units import AxisSlice, UnitSpace, UnitValue
from skmergecal._numerics import softmax
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_matrix, check_parameters, check_sample_weight

__all__ = ["select_and_merge", "select_units", "uncertainty"]

#: Maximum number of rows for the choice of units; the layers are fitted on all rows.
_ROWS_TO_CHOOSE = 4000
#: Ridge of the layers, as a share of the mean square of their inputs.
_STRENGTH = 1e-3


def uncertainty(logits: Array) -> Array:
    """Weight of each row: 1 - sum of the pool's squared probabilities, plus a tenth of its mean.

    The first term is the trace of the Fisher information of the logits. Where the pool is confident
    it is small: the logits can change with little effect on the probabilities.
    """
    p = softmax(two_columns(logits))
    # The Fisher information of the logits is F = diag(p) - p p', hence tr F = 1 - sum p^2.
    found: Array = 1 - (p**2).sum(axis=1)
    # The tenth of the mean keeps some weight on confident rows.
    return np.maximum(found, 0.0) + 0.1 * found.mean() + 1e-12


@check_parameters(n_units=[Interval(Integral, 1, None, closed="left")])
def select_units(
    candidates: Array, targets: Array, n_units: int, sample_weight: Array | None = None
) -> IntArray:
    """Greedy forward selection of the columns whose affine combinations explain the targets.

    Each step takes the candidate that lowers the squared error of all targets most, given those
    taken before (orthogonal least squares, with a Cholesky factor that grows by one row per step).

    Parameters
    ----------
    candidates : array-like of shape (n_rows, n_candidates)
        Activations of the units to choose from.
    targets : array-like of shape (n_rows, n_targets)
        What affine combinations of them are to explain.
    n_units : int
        Number of units to choose: at least 1, at most n_candidates.
    sample_weight : array-like of shape (n_rows,), default=None
        Frequency weights.

    Returns
    -------
    ndarray of shape (n_units,)
        Numbers of the columns, in the order in which they were taken. Columns that add nothing
        are last, sorted by falling variance.

    See Also
    --------
    skmergecal.parameters.merge_parameters : ``alignment="select"`` chooses hidden units by it.

    References
    ----------
    Chen, Billings and Luo, "Orthogonal least squares methods", International Journal of Control
    1989, https://doi.org/10.1080/00207178908953472.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.parameters import select_units
    >>> units = np.random.default_rng(0).normal(size=(100, 5))
    >>> targets = units[:, [3]] * 2 + units[:, [1]]
    >>> select_units(units, targets, 2)  # the unit that explains more is first
    array([3, 1])
    """
    candidates = check_matrix(candidates, "candidates", "(n_rows, n_candidates)")
    targets = check_matrix(targets, "targets", "(n_rows, n_targets)")
    if len(targets) != len(candidates):
        msg = f"candidates have {len(candidates)} rows, targets {len(targets)}: pass the same rows"
        raise ValueError(msg)
    if n_units > candidates.shape[1]:
        msg = f"n_units should be at most {candidates.shape[1]}, the candidates; got {n_units}"
        raise ValueError(msg)
    weight = check_sample_weight(sample_weight, len(candidates))
    return best_columns(candidates, targets, n_units, weight)


def best_columns(
    candidates: Array, targets: Array, n_units: int, sample_weight: Array | None
) -> IntArray:
    """What `select_units` returns, without its checks."""
    share = np.ones(len(candidates)) if sample_weight is None else sample_weight
    share = share / share.sum()
    # Centred columns are the same as a free intercept.
    mean, goals = share @ candidates, targets - share @ targets
    moment = np.zeros((candidates.shape[1], targets.shape[1]))
    gram = np.zeros((len(mean), len(mean)))
    for start in range(0, len(candidates), BLOCK):
        rows = slice(start, start + BLOCK)
        columns = candidates[rows] - mean
        weighted = columns.T * share[rows]
        moment += weighted @ goals[rows]
        gram += weighted @ columns
    # Let q_c be candidate c without its projection on the columns taken so far, and T the targets.
    # Then moment[c] = q_c' T and left[c] = |q_c|^2, and taking c lowers the squared error by
    # |q_c' T|^2 / |q_c|^2.
    variance = np.diag(gram).copy()
    left, jitter = variance.copy(), 1e-6 * variance.mean()
    factor = np.zeros((n_units, len(gram)))
    free = np.ones(len(gram), dtype=bool)
    taken = np.empty(n_units, dtype=np.intp)
    for i in range(n_units):
        # With left near 0, the columns taken already give the candidate: no gain can be measured.
        useful = free & (left > 1e-8 * variance)
        gain = (moment**2).sum(axis=1) / (np.maximum(left, 0.0) + jitter + 1e-300)
        score = np.where(useful, gain, -1.0) if useful.any() else np.where(free, variance, -1.0)
        taken[i] = j = int(score.argmax())
        free[j] = False
        # Row r of the Cholesky factor, r_c = q_j' c / |q_j|. All candidates lose their part along
        # q_j: q_c becomes q_c - r_c q_j / |q_j|, so that moment[c] falls by r_c moment[j] / |q_j|
        # and left[c] by r_c^2.
        column = gram[j] - factor[:i, j] @ factor[:i]
        column[j] += jitter
        pivot = np.sqrt(max(column[j], 1e-300))
        factor[i] = column / pivot
        moment -= np.outer(factor[i], moment[j] / pivot)
        left -= factor[i] ** 2
    return taken


@dataclass(frozen=True)
class _Chosen:
    """Units of a space in the merged net: the member of each, and its number in the member."""

    member: IntArray
    unit: IntArray


def _places(chosen: _Chosen, inner: int) -> tuple[IntArray, IntArray]:
    """The places of the chosen units, ``inner`` for each, and their members."""
    places = (chosen.unit[:, None] * inner + np.arange(inner)).ravel()
    return places, np.repeat(chosen.member, inner)


class _Selection:
    """Choice of units, space by space."""

    def __init__(
        self,
        network: Network,
        members: Sequence[dict[str, Array]],
        weights: Any,
        X: Array,
        single: bool = False,
    ) -> None:
        self.network, self.members, self.weights = network, members, weights
        self.spaces = find_spaces(network, members[0])
        self.X, self.evaluated = X, members
        if single:
            self.X = in_single(X)
            self.evaluated = [as_float32(own) for own in members]
        self.n_axes = [value.ndim for value in network.values(members[0], X[:1])]
        self.chosen: dict[int, _Chosen] = {}
        self.blocks: list[list[tuple[int, UnitValue]]] = [[] for _ in network.nodes]
        for i, space in enumerate(self.spaces):
            for block in space.places:
                self.blocks[block.node].append((i, block))
        (self.logits,) = self.gathered([len(network.nodes) - 1]).values()
        self.row_weight = uncertainty(self.logits)
        self.summands = self.summands_of_logits()

    def summands_of_logits(self) -> set[int]:
        """The last node, and those that reach it through sums alone."""
        nodes = self.network.nodes
        found = {len(nodes) - 1}
        for place in range(len(nodes) - 1, -1, -1):
            if place in found and isinstance(nodes[place], Add):
                found.update(nodes[place].inputs)
        return found

    def values(self, places: Sequence[int]) -> Iterator[dict[int, Array]]:
        """Values of some nodes, of one member after the other: those of all take much room."""
        return (self.network.values_at(places, arrays, self.X) for arrays in self.evaluated)

    def consumers(self, space: UnitSpace) -> list[tuple[int, UnitValue]]:
        """Affine layers that take the units as inputs, one column each."""
        return [
            (place, value)
            for place, node in enumerate(self.network.nodes)
            if isinstance(node, AffineLayer)
            for value in space.values
            if node.inputs[0] == value.node
            and value.axis == self.n_axes[value.node] - 1
            and value.inner == 1
        ]

    def is_known(self, place: int) -> bool:
        """Whether the units above a layer, if there are some, are chosen."""
        return all(i in self.chosen for i, _ in self.blocks[place])

    def targets(self, places: Sequence[int]) -> dict[int, Array]:
        """Targets of layers whose units above are chosen."""
        found = self.gathered(places)
        for place, value in found.items():
            if not self.blocks[place] and place in self.summands and value.shape[-1] > 1:
                # Softmax ignores a constant added to all logits of a row: no unit explains it.
                found[place] = value - value.mean(axis=-1, keepdims=True)
        return found

    def gathered(self, places: Sequence[int]) -> dict[int, Array]:
        """Values of nodes: of chosen units as their own members compute them, else the mean."""
        out: dict[int, Array] = {}
        units: dict[tuple[int, int], Array] = {}
        for k, values in enumerate(self.values(places)):
            for place in places:
                part = self.weights[k] * values[place]
                out[place] = out[place] + part if k else part
                for number, (i, block) in enumerate(self.blocks[place]):
                    unit, member = _places(self.chosen[i], block.inner)
                    own = np.moveaxis(values[place], block.axis, -1)[..., block.offset :]
                    found = units.setdefault(
                        (place, number), np.empty((*own.shape[:-1], len(unit)))
                    )
                    found[..., member == k] = own[..., unit[member == k]]
        for place in places:
            for number, (_, block) in enumerate(self.blocks[place]):
                found = units[place, number]
                whole = np.moveaxis(out[place], block.axis, -1)
                whole[..., block.offset : block.offset + found.shape[-1]] = found
        return out

    def choose_all(self) -> None:
        """Choose the units of every space, the nearest to the logits first."""
        waiting = list(range(len(self.spaces)))[::-1]
        while waiting:
            known = [self.share_known(i) for i in waiting]
            i = waiting.pop(int(np.argmax(known)))
            self.chosen[i] = self.choose(self.spaces[i])

    def share_known(self, i: int) -> float:
        """Share of the layers above a space whose targets are known."""
        places = [place for place, _ in self.consumers(self.spaces[i])]
        known = [self.is_known(place) for place in places]
        return float(np.mean(known)) if known else 0.0

    def choose(self, space: UnitSpace) -> _Chosen:
        layers = [(p, value) for p, value in self.consumers(space) if self.is_known(p)]
        targets = self.targets([place for place, _ in layers])
        units: list[Array] = []
        below = [value.node for _, value in layers]
        for k, values in enumerate(self.values(below) if layers else ()):
            own = [value.units(values[value.node], space.size) for _, value in layers]
            # Filled in turn: parts that are joined at the end would take the room twice.
            wide = len(self.members) * space.size
            units = units or [np.empty((*part.shape[:-1], wide)) for part in own]
            for found, part in zip(units, own, strict=True):
                found[..., k * space.size : (k + 1) * space.size] = part
        candidates = [as_rows(found) for found in units]
        # After an embedding, a row has one value per embedded column.
        per_row = [len(found) // len(self.row_weight) for found in candidates]
        weights = [np.repeat(self.row_weight, n) for n in per_row]
        if not candidates:  # no targets: take the member with the largest weight
            best = int(np.argmax(self.weights))
            return _Chosen(np.full(space.size, best), np.arange(space.size))
        # Candidates are the units of member 0, then those of member 1, and so on.
        goals = [as_rows(targets[place]) for place, _ in layers]
        taken = _select_for_all(candidates, goals, weights, space.size)
        return _Chosen(taken // space.size, taken % space.size)


def _select_for_all(
    candidates: list[Array], targets: list[Array], weights: list[Array], n_units: int
) -> IntArray:
    """Units for several layers at once: stacked rows, and separate target columns per layer."""
    widths = [t.shape[1] for t in targets]
    starts = np.cumsum([0, *widths])
    blocks = []
    for t, start in zip(targets, starts[:-1], strict=True):
        # Targets are 0 on the rows of other layers: a moment with them counts a layer's own rows.
        block = np.zeros((len(t), starts[-1]))
        block[:, start : start + t.shape[1]] = t - t.mean(axis=0)
        blocks.append(block)
    rows, goals, weight = (
        parts[0] if len(parts) == 1 else np.concatenate(parts)
        for parts in (candidates, blocks, weights)
    )
    if len(rows) > _ROWS_TO_CHOOSE:
        few = np.linspace(0, len(rows) - 1, _ROWS_TO_CHOOSE).astype(np.intp)
        rows, goals, weight = rows[few], goals[few], weight[few]
    return best_columns(rows, goals, n_units, weight)


def select_and_merge(
    network: Network, members: Sequence[Arrays], weights: Any, X: Array, *, single: bool = False
) -> dict[str, Array]:
    """One network of the members' size, from the units that best explain their pooled logits.

    From the logits downwards, the units of each layer are chosen among those of all members. Then,
    from the input upwards, each layer is fitted by ridge regression to the values that its units
    have in their own members, and the last layer to the pooled logits. The weight of a row is the
    uncertainty of the pool.

    Parameters
    ----------
    network : Network
    members : sequence of dict of str to ndarray
        Arrays of each member, in float64; not changed.
    weights : array-like of shape (n_members,)
        Of the logit pool; their sum is 1.
    X : ndarray of shape (n_rows, n_features)
        Rows without labels.
    single : bool, default=False
        Compute the values of units in single precision, which takes half of the time.

    Returns
    -------
    dict of str to ndarray
    """
    copies = [{name: array.copy() for name, array in member.items()} for member in members]
    spaces = find_spaces(network, copies[0])
    for arrays in copies:
        balance(arrays, spaces)  # so that the size of a unit's values shows how much it matters
    selection = _Selection(network, copies, weights, X, single)
    selection.choose_all()
    start = _gather(selection)
    targets = _targets(selection)
    how = {"strength": _STRENGTH, "free_bias": True}
    refit = least_squares(network, targets, selection.row_weight, **how)
    return fit_head(network, refit_layers(network, start, X, refit), selection.logits, X)


def _gather(selection: _Selection) -> dict[str, Array]:
    """Arrays of the chosen units: weights between units of one member are kept, others are 0."""
    owners: dict[str, list[tuple[AxisSlice, _Chosen]]] = {}
    factors = {n.name for n in selection.network.nodes if isinstance(n, Constant)}
    for i, space in enumerate(selection.spaces):
        for slot in space.slots:
            # A factor of 0 between units of two members would switch them off: where no layer
            # chose between units, as between the parts of an ensemble, factors keep their places.
            if slot.name not in factors or selection.consumers(space):
                owners.setdefault(slot.name, []).append((slot, selection.chosen[i]))
    share = np.asarray(selection.weights, dtype=np.float64)
    merged = {}
    for name, first in selection.members[0].items():
        stack = [arrays[name] for arrays in selection.members]
        if name not in owners:
            floating = np.issubdtype(first.dtype, np.floating)
            merged[name] = np.tensordot(share, stack, axes=1) if floating else first.copy()
        else:
            merged[name] = _gather_array(stack, owners[name], share)
    return merged


def _gather_array(
    stack: list[Array], slots: list[tuple[AxisSlice, _Chosen]], share: Array
) -> Array:
    shape = stack[0].shape
    source = [np.full(n, -1) for n in shape]  # the member of each place; -1: places of all members
    place = [np.arange(n) for n in shape]
    for slot, chosen in slots:
        unit, member = _places(chosen, slot.inner)
        stretch = slice(slot.offset, slot.offset + len(unit))
        source[slot.axis][stretch] = member
        place[slot.axis][stretch] = slot.offset + unit
    # Units of different members have no weight between them: the refit starts from 0 there.
    out = np.zeros(shape)
    for k, array in enumerate(stack):
        mine = [(s == k) | (s == -1) for s in source]
        out[np.ix_(*mine)] = array[np.ix_(*(p[m] for p, m in zip(place, mine, strict=True)))]
    # What no hidden unit indexes, such as weights of raw features in the logits, is averaged.
    common = np.ix_(*(s == -1 for s in source))
    out[common] = np.tensordot(share, [array[common] for array in stack], axes=1)
    return out


def _targets(selection: _Selection) -> Mapping[int, Array]:
    """Targets of layers on top of hidden units, and of sums, in the merged order of units."""
    return selection.gathered(
        [
            place
            for place, node in enumerate(selection.network.nodes)
            if isinstance(node, Add)
            or (isinstance(node, AffineLayer) and selection.blocks[node.inputs[0]])
        ]
    )
