"""Encoders of categories in ONNX, with the numbers of scikit-learn for whatever they take.

In their place skl2onnx has operators that compare numbers in single precision or as whole numbers,
refuse infrequent categories, and give a code to unknown ones that are errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skmergecal._typing import Array
from skmergecal.onnx._graph import FLOAT, INT64, ML, need
from skmergecal.onnx._nodes import Nodes
from skmergecal.onnx._rows import is_missing

__all__ = ["convert_encoder", "shape_of_encoder"]


class _Codes(NamedTuple):
    """What a fitted encoder gives for each category of a column, and for an unknown one."""

    values: Array
    """Shape (n_categories + 1, n_values); NaN perhaps for missing or unknown categories."""
    n_columns: int | None = None
    """If not None, the value is the number of the column that is 1; of none, if it is -1."""

    @property
    def width(self) -> int:
        """Number of columns of the output."""
        return self.values.shape[1] if self.n_columns is None else self.n_columns


def _codes(encoder: Any, column: int) -> _Codes:
    """Those of a column, by its number among those that the encoder was fitted on."""
    if isinstance(encoder, OneHotEncoder):
        return _columns_of_categories(encoder, column)
    if isinstance(encoder, OrdinalEncoder):
        return _Codes(_numbers_of_categories(encoder, column))
    means = np.atleast_1d(encoder.target_mean_)
    first = column * len(means)
    known = np.column_stack(encoder.encodings_[first : first + len(means)])
    return _Codes(np.vstack([known, means]))


def _columns_of_categories(encoder: OneHotEncoder, column: int) -> _Codes:
    """Frequent categories have a column each; the infrequent ones share the last."""
    rare = _are_infrequent(encoder, column)
    places, n_frequent = _places(rare)
    takes_unknown = any(rare) and encoder.handle_unknown not in ("error", "ignore")
    numbers = np.array([*places, n_frequent if takes_unknown else -1], dtype=np.float64)
    n_columns = n_frequent + any(rare)
    drop = None if encoder.drop_idx_ is None else encoder.drop_idx_[column]
    if drop is not None:
        dropped = places[drop]
        numbers = np.where(numbers == dropped, -1, numbers - (numbers > dropped))
        n_columns -= 1
    return _Codes(numbers[:, None], n_columns)


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
    width = sum(_codes(step, k).width for k in range(len(step.categories_)))
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
            codes = _codes(step, number)
            codes = codes._replace(values=codes.values[[*places, -1]])
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


def _coded(nodes: Nodes, known: str, codes: _Codes, *, fails: bool) -> str:
    """The columns of an encoder, from the category that each row has."""
    n_known = len(codes.values) - 1
    seen = nodes.pick(known, np.ones((n_known, 1)))
    unknown = nodes.add("Sub", [nodes.constant(np.ones((1, 1), dtype=np.float32)), seen])
    each, values = nodes.add("Concat", [known, unknown], axis=1), codes.values
    if fails:
        # An unknown category is an error in Python, and in this operator.
        number = nodes.pick(each, np.append(np.arange(n_known), -1.0)[:, None])
        cube = nodes.add(
            "OneHotEncoder",
            [nodes.cast(number, INT64)],
            domain=ML,
            op_version=1,
            cats_int64s=list(range(n_known)),
            zeros=0,
        )
        each = nodes.add("Reshape", [cube, nodes.constant(np.array([-1, n_known]))])
        values = values[:-1]
    found = nodes.pick(each, values)
    if codes.n_columns is None:
        return found
    columns = nodes.constant(np.arange(codes.n_columns, dtype=np.float32)[None])
    return nodes.cast(nodes.add("Equal", [found, columns]), FLOAT)
