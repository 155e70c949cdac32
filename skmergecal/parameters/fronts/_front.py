"""A common front of members that have their own preprocessing, and members folded into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from skmergecal._networks import takes_rows_by
from skmergecal._typing import Array
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters._fold import fold_affine_input
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters.families import Steps, steps_in_front
from skmergecal.parameters.fronts._column_uses import NoLookUpError, parts_of
from skmergecal.parameters.fronts._columns import Numbers
from skmergecal.parameters.fronts._difference import no_look_up
from skmergecal.parameters.fronts._levels import needed_levels
from skmergecal.parameters.fronts._members import Front, columns_of
from skmergecal.parameters.fronts._plain import drawn_rows, plain_front, values_of_front
from skmergecal.parameters.fronts._probe import MemberFront
from skmergecal.parameters.fronts._rows import Inputs

__all__ = ["on_common_front"]

#: The widest common front.
MAX_WIDTH = 5_000

#: Random rows on which the maps of members are checked, and the error that rounding explains
#: (encoders may give float32).
_ROWS_TO_CHECK = 32
_ROUNDING = 1e-6

_POOL = "use method='logits'"


def on_common_front(parameters: Sequence[Parameters], names: Sequence[str]) -> list[Parameters]:
    """Parameters of members that have their own steps in front, with one that they share.

    Parameters
    ----------
    parameters : sequence of Parameters
        With unlike steps that were not folded in.
    names : sequence of str
        Names of the members, for errors.

    Raises
    ------
    IncompatibleEstimatorsError
        If the steps of a member are no affine map of such a front, or take what others refuse.
    """
    fronts = [_front_of(p, name) for p, name in zip(parameters, names, strict=True)]
    try:
        columns = columns_of(fronts)
    except NoLookUpError as error:
        raise no_look_up(error, fronts) from None
    inputs = fronts[0].inputs
    if not any(p.architecture.get("type") == "MultinomialNB" for p in parameters):
        columns = _centred(columns, fronts)  # counts cannot be negative
    probes = [MemberFront.of(front.steps, inputs) for front in fronts]
    base = {c.column: c.base for c in columns}
    maps = [probe.map_of(columns, base, values_of_front(columns)) for probe in probes]
    columns, kept = needed_levels(columns, [effects for effects, _ in maps], inputs)
    if not 0 < len(kept) <= MAX_WIDTH:
        raise _too_wide(len(kept), columns, inputs)
    is_net = parameters[0].architecture.get("n_features") is None
    plain = plain_front(columns, inputs, dense=is_net)
    rng = np.random.default_rng(0)
    rows = drawn_rows(columns, _ROWS_TO_CHECK, rng)
    F = MemberFront([plain], inputs).transform(columns, {}, rows)
    steps: list[tuple[str, Any]] = [("front", plain)]
    if is_net:
        steps.append(("cast", _cast_to(parameters[0])))
    found = []
    for p, front, probe, (effects, start) in zip(parameters, fronts, probes, maps, strict=True):
        effects = effects[kept]
        Z = probe.transform(columns, {}, rows, _of_others(probe, columns, rng))
        _check(F, effects, start, Z, front.name)
        found.append(_folded(p, effects, start, steps, front.name))
    return found


def _front_of(parameters: Parameters, name: str) -> Front:
    kept = parameters.architecture.get(PREPROCESSING)
    steps = [part for _, step in steps_in_front(parameters) for part in parts_of(step)]
    if steps:
        n_features = getattr(steps[0], "n_features_in_", None)
        names = getattr(steps[0], "feature_names_in_", None)
    else:
        n_features = parameters.architecture.get("n_features")
        names = parameters.architecture.get("feature_names")
    inputs = Inputs(
        -1 if n_features is None else int(n_features), None if names is None else tuple(names)
    )
    return Front(name, steps, list(kept.folded) if isinstance(kept, Steps) else [], inputs, kept)


def _centred(columns: Sequence[Any], fronts: Sequence[Front]) -> list[Any]:
    """Columns of numbers with a centre and scale at which the values of the front are of order 1.

    First layers are averaged, aligned, repaired and trained further: in the columns' own units
    they would lose digits, and large units would count more.
    """
    numbers = [c for c in columns if isinstance(c, Numbers)]
    base = {c.column: c.base for c in columns}
    centres, scales = [], []
    for front in fronts:
        probe = MemberFront.of([*front.steps, *front.folded], front.inputs)
        centre, scale = probe.spread_of(numbers, columns, base)
        centres.append(centre)
        scales.append(scale)
    found = {}
    for i, number in enumerate(numbers):
        centre, scale = (_mean([values[i] for values in v]) for v in (centres, scales))
        if np.isfinite([centre, scale]).all() and scale > 0:
            found[number.column] = replace(number, centre=float(centre), scale=float(scale))
    return [found.get(c.column, c) for c in columns]


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else np.nan


def _too_wide(width: int, columns: Sequence[Any], inputs: Inputs) -> IncompatibleEstimatorsError:
    if width == 0:
        return IncompatibleEstimatorsError("the members use no column of their input", _POOL)
    widest = max(columns, key=lambda c: len(getattr(c, "levels", ())))
    msg = (
        f"members with preprocessing of their own need a common front of {width} columns, more "
        f"than the {MAX_WIDTH} that are built; {inputs.label(widest.column)} has "
        f"{len(getattr(widest, 'levels', ()))} categories"
    )
    remedy = (
        "let the members' encoders keep the frequent ones (OneHotEncoder(max_categories=..., "
        "handle_unknown='infrequent_if_exist')), or use method='logits'"
    )
    return IncompatibleEstimatorsError(msg, remedy)


def _cast_to(parameters: Parameters) -> FunctionTransformer:
    """A step that gives rows as a net takes them, and belongs to scikit-learn and numpy."""
    first = parameters.first
    dtype = np.dtype(np.float32) if first is None else parameters.arrays[first.weight].dtype
    return FunctionTransformer(np.asarray, kw_args={"dtype": dtype.name}).fit(np.zeros((1, 1)))


def _of_others(
    probe: MemberFront, columns: Sequence[Any], rng: np.random.Generator
) -> dict[int, Array]:
    """Random numbers, and NaN where a member takes it, in the columns that no front has."""
    used = {c.column for c in columns}
    others = [i for i in range(probe.inputs.n_features) if i not in used]
    values = rng.normal(size=(_ROWS_TO_CHECK, len(others)))
    gaps = rng.random(values.shape) < 0.25
    base = {c.column: c.base for c in columns}
    gappy = probe.takes_missing(columns, base, others)
    gaps[:, [i not in gappy for i in others]] = False
    values[gaps] = np.nan
    return dict(zip(others, values.T, strict=True))


def _check(F: Any, effects: Any, start: Array, Z: Any, name: str) -> None:
    """Check that the map of a member gives what its steps give, on random rows."""
    error = np.abs((F @ effects - Z).toarray() + start)
    size = 1 + (abs(F) @ abs(effects)).toarray() + np.abs(start)
    worst = float((error / size).max(initial=0.0))
    if not worst <= _ROUNDING:
        msg = (
            f"the preprocessing of estimator {name!r} is not the same map of each column in every "
            f"row: on random rows it differs from one by {worst:.2g}"
        )
        raise IncompatibleEstimatorsError(msg, _POOL)


def _folded(
    parameters: Parameters, effects: Any, start: Array, steps: list[Any], name: str
) -> Parameters:
    first = parameters.first
    width = None if first is None else parameters.arrays[first.weight].shape[first.feature_axis]
    network, unknown = parameters.network, parameters.untraceable
    if (
        first is None
        or not parameters.takes_any_width
        or unknown is not None
        or width != len(start)
        or not takes_rows_by(network, first.weight)
    ):
        why = unknown or "it has no affine layer that alone takes the rows"
        msg = (
            f"the preprocessing before estimator {name!r}, unlike that of others, cannot be folded "
            f"into its first layer: {why}"
        )
        remedy = "use the same fitted preprocessing, or method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    folded = fold_affine_input(parameters, effects, start)
    architecture = {k: v for k, v in folded.architecture.items() if k != PREPROCESSING}
    if architecture.get("n_features") is not None:
        architecture.update(n_features=effects.shape[0], feature_names=None)
    return replace(folded, architecture={PREPROCESSING: Steps(steps), **architecture}, columns=None)
