"""Encoders of categories in ONNX, with the numbers of scikit-learn for whatever they take.

In their place skl2onnx has operators that compare numbers in single precision or as whole numbers,
refuse infrequent categories, and give a code to unknown ones that are errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skmergecal._typing import Array
from skmergecal.onnx._graph import FLOAT, INT64, ML, need
from skmergecal.onnx._nodes import Nodes
from skmergecal.onnx._rows import is_missing

__all__ = ["codes_of_categories", "convert_encoder", "shape_of_encoder"]


def codes_of_categories(encoder: Any, column: int) -> Array:
    """What a fitted encoder gives for each category of a column, and for an unknown one.

    Parameters
    ----------
    encoder : OneHotEncoder, OrdinalEncoder or TargetEncoder
    column : int
        Number of the column among those that it was fitted on.

    Returns
    -------
    ndarray of shape (n_categories + 1, n_columns)
        Perhaps with NaN for missing or unknown categories of an OrdinalEncoder.
    """
    if isinstance(encoder, OneHotEncoder):
        return _columns_of_categories(encoder, column)
    if isinstance(encoder, OrdinalEncoder):
        return _numbers_of_categories(encoder, column)
    means = np.atleast_1d(encoder.target_mean_)
    first = column * len(means)
    known = np.column_stack(encoder.encodings_[first : first + len(means)])
    return np.vstack([known, means])


def _columns_of_categories(encoder: OneHotEncoder, column: int) -> Array:
    """Frequent categories have a column each; the infrequent ones share the last."""
    rare = _are_infrequent(encoder, column)
    places, n_frequent = _places(rare)
    codes = np.zeros((len(rare) + 1, n_frequent + any(rare)))
    codes[np.arange(len(rare)), places] = 1.0
    if any(rare) and encoder.handle_unknown not in ("error", "ignore"):
        codes[-1, n_frequent] = 1.0
    drop = None if encoder.drop_idx_ is None else encoder.drop_idx_[column]
    return codes if drop is None else np.delete(codes, places[drop], axis=1)


def _numbers_of_categories(encoder: OrdinalEncoder, column: int) -> Array:
    """Frequent categories are counted; the infrequent ones have the next number."""
    labels = encoder.categories_[column].tolist()
    codes = np.array(_places(_are_infrequent(encoder, column))[0], dtype=np.float64)
    if labels and _is_nan(labels[-1]):
        codes[-1] = encoder.encoded_missing_value
    unknown = 0.0 if encoder.unknown_value is None else encoder.unknown_value
    return np.append(codes, unknown)[:, None]


def _are_infrequent(encoder: Any, column: int) -> list[bool]:
    labels, rare = encoder.categories_[column].tolist(), None
    if encoder.min_frequency is not None or encoder.max_categories is not None:
        rare = encoder.infrequent_categories_[column]
    others = [] if rare is None else rare.tolist()
    known, nan = set(others), any(map(_is_nan, others))
    return [nan if _is_nan(label) else label in known for label in labels]


def _is_nan(label: Any) -> bool:
    """Whether it is NaN: None is a category as any other."""
    return isinstance(label, float) and label != label


def _places(rare: list[bool]) -> tuple[list[int], int]:
    """The number of each category, where infrequent ones share the last; how many do not."""
    n_frequent = rare.count(False)
    numbers = iter(range(n_frequent))
    return [n_frequent if shares else next(numbers) for shares in rare], n_frequent


def shape_of_encoder(operator: Any) -> None:
    """A shape calculator for skl2onnx, whose own do not know infrequent categories."""
    types, step = need("skl2onnx.common.data_types"), operator.raw_operator
    width = sum(codes_of_categories(step, k).shape[1] for k in range(len(step.categories_)))
    kind = types.Int64TensorType if _gives_whole_numbers(step) else types.FloatTensorType
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])


def _gives_whole_numbers(encoder: Any) -> bool:
    return np.issubdtype(getattr(encoder, "dtype", float), np.integer)


def convert_encoder(scope: Any, operator: Any, container: Any, categories: list[Any]) -> None:
    """Add an encoder to a graph of skl2onnx.

    Parameters
    ----------
    scope, operator, container
        Those of skl2onnx.
    categories : list of ndarray
        Those of each column, as ONNX has them.
    """
    step, nodes = operator.raw_operator, Nodes(scope, container)
    parts, numbers = [], iter(range(len(categories)))
    for given in operator.inputs:
        for place in range(given.get_second_dimension()):
            number = next(numbers)
            column = nodes.columns(given.full_name, [place])
            known, places = _known(nodes, column, given.type, categories[number])
            codes = codes_of_categories(step, number)[[*places, -1]]
            fails = getattr(step, "handle_unknown", "ignore") == "error"
            parts.append(_coded(nodes, known, codes, fails=fails))
    kind = INT64 if _gives_whole_numbers(step) else FLOAT
    found = nodes.cast(nodes.add("Concat", parts, axis=1), kind)
    container.add_node("Identity", found, operator.outputs[0].full_name)


def _known(nodes: Nodes, column: str, given: Any, labels: Any) -> tuple[str, list[int]]:
    """Which of its categories each row has, as numbers, and the places of these categories."""
    types = need("skl2onnx.common.data_types")
    places = list(range(len(labels)))
    if isinstance(given, types.StringTensorType):
        if np.asarray(labels).dtype.kind not in "OUST":
            # skl2onnx makes text of numbers beside text, which loses digits.
            msg = (
                "one of its encoders takes text and numbers: give the columns of text an encoder "
                "of their own in the ColumnTransformer"
            )
            raise TypeError(msg)
        numbers = nodes.add(
            "LabelEncoder",
            [column],
            domain=ML,
            op_version=2,
            keys_strings=[str(label) for label in labels],
            values_int64s=places,
            default_int64=-1,
        )
        found = nodes.add("Equal", [numbers, nodes.constant(np.array([places]))])
        return nodes.cast(found, FLOAT), places
    dtype = np.dtype(types.guess_numpy_type(given))
    missing = [place for place in places if is_missing(labels[place])]
    places = [place for place in places if place not in missing]
    values = np.array([[labels[place] for place in places]], dtype=dtype)
    found = nodes.cast(nodes.add("Equal", [column, nodes.constant(values)]), FLOAT)
    if not missing or dtype.kind != "f":
        return found, places
    no_number = nodes.cast(nodes.add("IsNaN", [column]), FLOAT)
    return nodes.add("Concat", [found, no_number], axis=1), [*places, *missing]


def _coded(nodes: Nodes, known: str, codes: Array, *, fails: bool) -> str:
    """The columns of an encoder, from the category that each row has."""
    n_known = len(codes) - 1
    if not fails and np.array_equal(codes, np.eye(n_known + 1, n_known)):
        return known
    seen = nodes.times(known, np.ones((n_known, 1)))
    unknown = nodes.add("Sub", [nodes.constant(np.ones((1, 1), dtype=np.float32)), seen])
    each = nodes.add("Concat", [known, unknown], axis=1)
    if not fails:
        return nodes.times(each, codes)
    # An unknown category is an error in Python, and in this operator.
    number = nodes.times(each, np.append(np.arange(n_known), -1.0)[:, None])
    cube = nodes.add(
        "OneHotEncoder",
        [nodes.cast(number, INT64)],
        domain=ML,
        op_version=1,
        cats_int64s=list(range(n_known)),
        zeros=0,
    )
    flat = nodes.add("Reshape", [cube, nodes.constant(np.array([-1, n_known]))])
    return nodes.times(flat, codes[:-1])
