"""What estimators give inside a graph: the ways that kinds of estimators have registered.

The registry knows no kind: the modules of the kinds enter themselves. What none of them knows goes
through skl2onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

from skmergecal._pipelines import is_pipeline, steps_before
from skmergecal._typing import Estimator
from skmergecal.exceptions import ConversionError
from skmergecal.members import fitted_last_step, has_held_out, is_sklearn
from skmergecal.onnx._graph import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT64,
    STRING,
    Graph,
    GraphTensor,
    load_model,
    need,
)
from skmergecal.onnx._rows import InputRows
from skmergecal.onnx._steps import conversions_of_steps, shapes_of_steps

__all__ = ["Emit", "kind", "knows", "named", "open_last_step", "read_source", "registers"]

#: Adds the output of an estimator to a graph: (n_samples, n_own_classes), in double precision.
Emit = Callable[[Graph, Estimator, InputRows], str]
#: For each source of `skmergecal.members.READERS`, the kinds that are known, in their order.
_KINDS: dict[str, list[tuple[Callable[[Estimator], bool], Emit]]] = {}


def registers(source: str, test: Callable[[Estimator], bool]) -> Callable[[Emit], Emit]:
    """Enters a function for the estimators of one kind that are read at a source."""

    def enter(emit: Emit) -> Emit:
        _KINDS.setdefault(source, []).append((test, emit))
        return emit

    return enter


def kind(*names: str) -> Callable[[Estimator], bool]:
    """Tests for scikit-learn's classes of these names, and what derives from them."""
    return lambda estimator: any(is_sklearn(estimator, name) for name in names)


@contextmanager
def named(graph: Graph, name: str, estimator: Estimator, part: str = "") -> Iterator[None]:
    """Errors of a conversion name the member; and the type of a part of it."""
    if name:
        graph.path.append(name)
    try:
        yield
    except (ConversionError, ImportError):
        raise
    except Exception as error:
        who = f"estimator {'/'.join(graph.path)!r}" if graph.path else "the model"
        kind = type(fitted_last_step(estimator)[0]).__name__
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        remedy = "Leave it out of the merge, or register" if graph.path else "Register"
        msg = (
            f"{part}{who} ({kind}) cannot be converted to ONNX: {reason}. {remedy} a converter for "
            "it with skl2onnx.update_registered_converter"
        )
        raise ConversionError(msg) from error
    if name:
        graph.path.pop()


def open_last_step(
    graph: Graph, estimator: Estimator, rows: InputRows
) -> tuple[Estimator, InputRows]:
    """The last classifier inside Pipelines and searches, and its rows: see `fitted_last_step`."""
    final, _ = fitted_last_step(estimator)
    while estimator is not final:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif is_pipeline(estimator):
            for _, step in steps_before(estimator):
                rows = _transformed(graph, step, rows)
            estimator = estimator.steps[-1][1]
        else:
            estimator = estimator.best_estimator_
    return final, rows


def knows(estimator: Estimator, source: str) -> bool:
    """Whether a kind has registered a way to read the estimator there."""
    return any(test(estimator) for test, _ in _KINDS.get(source, ()))


def read_source(graph: Graph, estimator: Estimator, source: str, rows: InputRows) -> str:
    """What the last classifier of a member gives where the member is read."""
    final, rows = open_last_step(graph, estimator, rows)
    if source == "proba_of_nets":
        source = "proba"
    for test, emit in _KINDS.get(source, ()):
        if test(final):
            return emit(graph, final, rows)
    if source == "decision_function" and kind("BaseSVC")(final):
        return _support_vectors(graph, final, rows)
    if source != "proba":
        msg = f"there is no way to read its {source.replace('_', ' ')}"
        raise TypeError(msg)
    *_, proba = foreign(graph, final, rows)
    # Some converters declare double precision and give single.
    return graph.normalised(graph.add("Cast", proba.name, to=DOUBLE))


def _support_vectors(graph: Graph, model: Estimator, rows: InputRows) -> str:
    """Scores of support vector machines without probabilities; of two classes, (0, d)."""
    *_, scores = foreign(graph, model, rows)
    z = graph.add("Cast", scores.name, to=DOUBLE)
    if len(model.classes_) > 2:
        return z
    # skl2onnx 1.20 gives (d, -d), of its other models (-d, d).
    return graph.matmul(graph.column(z, 0), np.array([[0.0, 1.0]]))


def _transformed(graph: Graph, step: Estimator, rows: InputRows) -> InputRows:
    """Rows after a step of a Pipeline."""
    if isinstance(step, FrozenEstimator):
        return _transformed(graph, step.estimator, rows)
    X = None if rows.X is None else partial(_transform, step, rows.X)
    with named(graph, "", step, "a step of "):
        if has_held_out(step):
            logits = read_source(graph, step, "log_proba", rows)
            return InputRows([GraphTensor(logits, DOUBLE, len(step.classes_))], X=X)
        (out,) = foreign(graph, step, rows)
        return InputRows([out], X=X)


def _transform(step: Estimator, X: Callable[[], Any]) -> Any:
    return step.transform(X())


def foreign(graph: Graph, estimator: Estimator, rows: InputRows) -> list[GraphTensor]:
    """The outputs of what skl2onnx makes of an estimator, spliced into the graph."""
    rows = rows.in_common_types(graph)
    tries = [rows]
    if _takes_columns(estimator):
        rows = rows.columns(graph, getattr(estimator, "feature_names_in_", None))
        tries = [_numbers_in_double(graph, estimator, rows), rows]
    elif len(rows.tensors) > 1 or rows.tensors[0].kind in (INT64, BOOL):
        tries = [_side_by_side(graph, rows, keep_single=not hasattr(estimator, "predict"))]
    # Some converters know single precision only; what it changes is compared at the end.
    single = [graph.cast(t, FLOAT) if t.kind == DOUBLE else t for t in tries[-1].tensors]
    tries.append(InputRows(single, tries[-1].names))
    for place, given in enumerate(tries):
        try:
            model = _converted(graph, estimator, given)
        except Exception:
            if all(other.tensors == given.tensors for other in tries[place:]):
                raise
        else:
            break
    return graph.splice(model, given.tensors)


def _converted(graph: Graph, estimator: Estimator, rows: InputRows) -> Any:
    """The model that skl2onnx makes; onnxruntime can load it."""
    types = need("skl2onnx.common.data_types")
    by_kind = {
        FLOAT: types.FloatTensorType,
        DOUBLE: types.DoubleTensorType,
        INT64: types.Int64TensorType,
        BOOL: types.BooleanTensorType,
        STRING: types.StringTensorType,
    }
    given = [
        (name, by_kind[tensor.kind]([None, tensor.width or None]))
        for name, tensor in zip(rows.names or ["X"], rows.tensors, strict=True)
    ]
    # Scalers divide, as those of scikit-learn do; otherwise they multiply by 1 / scale.
    scalers = {cls: {"div": "div"} for cls in (MaxAbsScaler, RobustScaler, StandardScaler)}
    model = need("skl2onnx").convert_sklearn(
        estimator,
        initial_types=given,
        target_opset=dict(graph.opsets),
        options=_without_map(estimator) or scalers,
        custom_conversion_functions=conversions_of_steps(),
        custom_shape_calculators=shapes_of_steps(),
    )
    load_model(model)
    return model


def _without_map(estimator: Estimator) -> dict[str, bool] | None:
    """The option for probabilities as a matrix; converters of users need not have it."""
    alias = need("skl2onnx._supported_operators").sklearn_operator_name_map.get(type(estimator))
    if alias is None or not hasattr(estimator, "predict"):  # an error is to come, or a step
        return None
    converter = need("skl2onnx.common._registration").get_converter(alias)
    allowed = converter.get_allowed_options() or {}
    return {"zipmap": False} if "zipmap" in allowed else None


def _numbers_in_double(graph: Graph, estimator: Estimator, rows: InputRows) -> InputRows:
    """Columns of whole numbers in double precision; those that encoders take stay as they are.

    scikit-learn computes in double precision what it makes of them, skl2onnx in single.
    """
    stay = _encoded(estimator, len(rows.tensors))
    tensors = [
        graph.cast(tensor, DOUBLE) if tensor.kind == INT64 and place not in stay else tensor
        for place, tensor in enumerate(rows.tensors)
    ]
    return InputRows(tensors, rows.names, rows.X)


def _encoded(estimator: Estimator, n_columns: int) -> set[int]:
    """Places of the columns that encoders take as categories."""
    if isinstance(estimator, ColumnTransformer):
        places = estimator._transformer_to_input_indices
        return {
            place
            for name, step, _ in estimator.transformers_
            if any("Encoder" in type(part).__name__ for part in _parts(step))
            for place in places[name]
        }
    encodes = any("Encoder" in type(part).__name__ for part in _parts(estimator))
    return set(range(n_columns)) if encodes else set()


def _parts(estimator: Any) -> list[Any]:
    """An estimator and all that is inside."""
    inside: dict[str, Any] = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return [estimator, *inside.values()]


def _side_by_side(graph: Graph, rows: InputRows, *, keep_single: bool = False) -> InputRows:
    """Columns in one tensor: numbers in double precision, or text alone.

    Steps compute in single precision where all columns are in it, as scikit-learn's do.
    """
    if all(tensor.kind == STRING for tensor in rows.tensors):
        name = graph.add("Concat", *(t.name for t in rows.tensors), axis=1)
        return InputRows([GraphTensor(name, STRING, sum(t.width for t in rows.tensors))])
    single = keep_single and all(tensor.kind == FLOAT for tensor in rows.tensors)
    return InputRows([rows.matrix(graph, FLOAT if single else DOUBLE)])


def _takes_columns(estimator: Estimator) -> bool:
    """Whether it chooses among the columns, by name perhaps."""
    return any(isinstance(part, ColumnTransformer) for part in _parts(estimator))
