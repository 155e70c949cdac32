"""register: converters of this package's own estimators for skl2onnx."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator

from skmergecal._typing import Estimator
from skmergecal.boosters import EarlyStopped
from skmergecal.calibration import ClassShift, TemperatureCalibrator
from skmergecal.members import FoldAverage, LabelledEstimator, classes_of
from skmergecal.merging import MergedClassifier
from skmergecal.onnx._answers import answer, label_of
from skmergecal.onnx._graph import INT64, ML, Graph, GraphTensor, need
from skmergecal.onnx._read import named
from skmergecal.onnx._rows import InputRows
from skmergecal.tuning import DistilledClassifier, FineTunedClassifier

__all__ = ["register"]

# The modules of the kinds enter themselves where members are read.
for _kinds in ("closed_form", "forests", "boosters", "nets", "meta"):
    importlib.import_module(f"skmergecal.onnx._{_kinds}")

#: scikit-learn's own that skl2onnx 1.20 converts wrongly, or not at all.
_CORRECTED = (LinearDiscriminantAnalysis, HistGradientBoostingClassifier)
_OWN = (
    MergedClassifier,
    TemperatureCalibrator,
    ClassShift,
    FineTunedClassifier,
    DistilledClassifier,
    FoldAverage,
    EarlyStopped,
    LabelledEstimator,
    FrozenEstimator,
)
#: Classes of packages that are loaded already, by module.
_OTHERS = {
    "lightgbm": ("LGBMClassifier",),
    "xgboost": ("XGBClassifier",),
    "skorch": ("NeuralNetClassifier", "NeuralNetBinaryClassifier"),
}


def register() -> None:
    """Make skl2onnx convert the estimators of this package, wherever they are inside others.

    After it, ``skl2onnx.to_onnx`` converts Pipelines, voting and stacking with merged, calibrated
    and tuned classifiers in them, and with members of LightGBM, XGBoost and skorch, where these
    packages are loaded and you have registered no other converter. It replaces skl2onnx's own
    converters of `LinearDiscriminantAnalysis` and `HistGradientBoostingClassifier`, of which
    version 1.20 converts the first wrongly for two classes, and fails on the second, and adds one
    of `MissingIndicator`, which it lacks. Nothing is
    registered by an import; `to_onnx` calls it.

    Probabilities have the type that skl2onnx gives them: single precision for inputs in single
    precision. They are not compared with anything, as `to_onnx` does.

    See Also
    --------
    skmergecal.onnx.to_onnx : Converts, and compares probabilities.

    Examples
    --------
    >>> from skmergecal.onnx import register
    >>> register()
    """
    update = need("skl2onnx").update_registered_converter
    known = need("skl2onnx._supported_operators").sklearn_operator_name_map
    for cls in (*_OWN, *_CORRECTED, *(cls for cls in _loaded() if cls not in known)):
        update(
            cls,
            f"Skmergecal{cls.__name__}",
            _shapes,
            _convert,
            parser=_parse,
            options={"zipmap": [True, False, "columns"], "raw_scores": [True, False]},
        )
    if MissingIndicator not in known:  # in front of models that are merged from Pipelines
        update(MissingIndicator, "SkmergecalMissingIndicator", _flag_shapes, _convert_flags)


def _loaded() -> Iterator[type]:
    """Classes of other packages, of those that are loaded."""
    for module, names in _OTHERS.items():
        for name in names:
            if hasattr(sys.modules.get(module), name):
                yield getattr(sys.modules[module], name)


def _parse(scope: Any, model: Estimator, inputs: list[Any], custom_parsers: Any = None) -> Any:
    """Declare the operator: columns as they are, two outputs and no map."""
    if not hasattr(model, "predict_proba"):  # a frozen transformer
        parse = importlib.import_module("skl2onnx._parse")
        return parse._parse_sklearn(scope, model.estimator, inputs, custom_parsers=custom_parsers)
    types = need("skl2onnx.common.data_types")
    operator = scope.declare_local_operator(f"Skmergecal{type(model).__name__}", model)
    operator.inputs = inputs
    proba = types.guess_tensor_type(inputs[0].type)
    operator.outputs.append(scope.declare_local_variable("label", types.Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", proba))
    return operator.outputs


def _shapes(operator: Any) -> None:
    """Types and shapes of the outputs."""
    types = need("skl2onnx.common.data_types")
    classes = classes_of("model", operator.raw_operator)
    n_rows = operator.inputs[0].type.shape[0] if operator.inputs[0].type.shape else None
    text = classes.dtype.kind not in "iufb"
    label = types.StringTensorType if text else types.Int64TensorType
    operator.outputs[0].set_type(label([n_rows]))
    operator.outputs[1].type.shape = [n_rows, len(classes)]


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the graph of a classifier to the one that skl2onnx makes."""
    model = operator.raw_operator
    # Trees are written in version 3 of their domain, which later ones can be, too.
    ml = min(container.target_opset_any_domain(ML), 3)
    opsets = {"": container.target_opset_any_domain(""), ML: ml}
    graph = Graph(opsets, partial(_unique, scope))
    guess = need("skl2onnx.common.data_types").guess_proto_type
    tensors = [
        GraphTensor(given.onnx_name, guess(given.type), int(given.get_second_dimension() or 0))
        for given in operator.inputs
    ]
    names = [given.raw_name for given in operator.inputs] if len(tensors) > 1 else None
    with named(graph, "", model):
        answered = answer(graph, model, InputRows(tensors, names))
        label, classes = label_of(graph, model, answered.scores)
        if scope.get_options(model, {"raw_scores": False}, fail=False)["raw_scores"]:
            values = _raw_scores(graph, answered.scaled(), len(classes))
        else:
            values = answered.proba()
    if classes.dtype.kind in "bf":
        label = graph.add("Cast", label, to=INT64)
    helper = need("onnx.helper")
    first, second = (variable.onnx_name for variable in operator.outputs[:2])
    kind = guess(operator.outputs[1].type)
    name = graph.unique
    graph.nodes.append(helper.make_node("Identity", [label], [first], name=name("label")))
    graph.nodes.append(helper.make_node("Cast", [values], [second], name=name("cast"), to=kind))
    container.nodes.extend(graph.nodes)
    container.initializers.extend(graph.constants.values())
    used = {node.domain for node in graph.nodes}
    versions = {(d, version) for d, version in graph.opsets.items() if d in used}
    container.node_domain_version_pair_sets.update(versions)


def _flag_shapes(operator: Any) -> None:
    """Type and shape of the flags: numbers, which other columns can stand beside."""
    given = operator.inputs[0].type
    operator.outputs[0].type = need("skl2onnx.common.data_types").guess_tensor_type(given)
    operator.outputs[0].type.shape = [given.shape[0], len(operator.raw_operator.features_)]


def _convert_flags(scope: Any, operator: Any, container: Any) -> None:
    """Add what says which numbers are missing."""
    step, given, found = operator.raw_operator, operator.inputs[0], operator.outputs[0]
    numpy_helper, helper = need("onnx.numpy_helper"), need("onnx.helper")
    kind = need("skl2onnx.common.data_types").guess_proto_type(given.type)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    if dtype.kind != "f":
        msg = f"flags of missing values among {dtype} values are not converted: make them floating"
        raise TypeError(msg)
    names = [_unique(scope, stem) for stem in ("columns", "picked", "missing", "flags")]
    columns, picked, missing, flags = names
    constants = [numpy_helper.from_array(np.asarray(step.features_, dtype=np.int64), columns)]
    test = helper.make_node("IsNaN", [picked], [flags], name=flags)
    if step.missing_values == step.missing_values:
        constants.append(numpy_helper.from_array(np.array(step.missing_values, dtype), missing))
        test = helper.make_node("Equal", [picked, missing], [flags], name=flags)
    pick = helper.make_node("Gather", [given.onnx_name, columns], [picked], name=picked, axis=1)
    to = need("skl2onnx.common.data_types").guess_proto_type(found.type)
    cast = helper.make_node("Cast", [flags], [found.onnx_name], name=_unique(scope, "cast"), to=to)
    container.nodes.extend([pick, test, cast])
    container.initializers.extend(constants)
    container.node_domain_version_pair_sets.add(("", container.target_opset_any_domain("")))


def _unique(scope: Any, stem: str) -> str:
    return str(scope.get_unique_variable_name(f"skmergecal_{stem}"))


def _raw_scores(graph: Graph, z: str, n_classes: int) -> str:
    """Scores as skl2onnx's own converters give them: of two classes, -d and d."""
    if n_classes != 2:
        return z
    return graph.matmul(z, np.array([[1.0, -1.0], [-1.0, 1.0]]))
