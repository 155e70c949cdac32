"""skorch nets as members: their input, their labels, their raw output.

torch is imported by whoever made the net; nothing here imports it for others.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import numpy as np
from sklearn.base import clone

from skmergecal._optional import is_instance_of
from skmergecal._torch import RandomNumbers, all_parts
from skmergecal._typing import Array, Estimator
from skmergecal._validation import encode_labels
from skmergecal.members._private_net import read_net

__all__ = [
    "as_net_input",
    "fit_net",
    "is_binary_net",
    "is_skorch",
    "net_logits",
    "net_proba",
    "outputs_logits",
]


_DATES = "it holds dates or durations"


def is_skorch(estimator: Estimator) -> bool:
    """Whether an estimator is a skorch net, found without importing skorch."""
    return is_instance_of(estimator, "skorch", "NeuralNet")


def is_binary_net(net: Estimator) -> bool:
    """Whether it is a NeuralNetBinaryClassifier, whose classes are 0 and 1 whatever the labels."""
    return is_instance_of(net, "skorch", "NeuralNetBinaryClassifier")


def outputs_logits(net: Estimator) -> bool:
    """Whether the module's raw output are logits: a cross-entropy criterion, its default link."""
    nn = sys.modules["torch"].nn
    criterion = getattr(net, "criterion_", None)
    criterion = getattr(criterion, "_orig_mod", criterion)  # inside torch.compile
    default_link = net.predict_nonlinearity is None or net.predict_nonlinearity == "auto"
    return default_link and isinstance(criterion, nn.CrossEntropyLoss | nn.BCEWithLogitsLoss)


def as_net_input(net: Estimator, X: Any) -> Any:
    """X in the floating type of the module; numeric frames as arrays unless it asks for columns.

    skorch gives a DataFrame to ``module.forward`` as one argument per column. Only a module whose
    ``forward`` names the columns wants that, and gets arrays that torch can write to.
    """
    module = net.module_
    dtype, whole = _float_type(module), _takes_integers(module)
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        if set(map(str, X.columns)) <= set(inspect.signature(module.forward).parameters):
            return _arguments(X)
        X = _frame_as_array(X, dtype, whole)
    if isinstance(X, list):
        X = np.asarray(X)
    kinds = "fO" if whole else "fOiub"
    if hasattr(X, "dtype") and hasattr(X, "astype") and X.dtype.kind in kinds and X.dtype != dtype:
        X = X.astype(dtype)
    if isinstance(X, np.ndarray) and not X.flags.writeable:
        X = X.copy()  # torch warns of read-only arrays: its tensors could write to them
    return X


def _arguments(X: Any) -> Any:
    from skorch.helper import SliceDict  # only nets come here

    return SliceDict(**{str(name): np.array(X[name]).reshape(-1, 1) for name in X.columns})


def _frame_as_array(X: Any, dtype: np.dtype, whole: bool) -> np.ndarray:
    """A frame as one array; of columns of unlike types, pandas would make Python objects.

    Missing values are NaN.
    """
    types = list(X.dtypes)
    if not hasattr(X, "iloc") or all(isinstance(t, np.dtype) and t.kind in "fiu" for t in types):
        return np.asarray(X.to_numpy())
    try:
        if whole and all(t.kind in "iub" for t in types) and not X.isna().any(axis=None):
            return np.asarray(X.to_numpy(dtype=np.int64))
        if not any(t.kind in "mM" for t in types):
            return np.asarray(X.to_numpy(dtype=dtype, na_value=np.nan))
    except (TypeError, ValueError):
        pass  # the column is named below
    for place, name in enumerate(X.columns):
        column = X.iloc[:, place]
        try:
            if column.dtype.kind in "mM":
                raise TypeError(_DATES)
            column.to_numpy(dtype=dtype, na_value=np.nan)
        except (TypeError, ValueError) as error:
            msg = (
                f"column {name!r} cannot be given to a net as numbers ({error}): encode it in a "
                "Pipeline before the net, or drop it"
            )
            raise ValueError(msg) from error
    return np.asarray(X.to_numpy())


def _takes_integers(module: Any) -> bool:
    nn = sys.modules["torch"].nn
    kinds = (nn.Embedding, nn.EmbeddingBag)
    return any(isinstance(part, kinds) for part in all_parts(module))


def _float_type(module: Any) -> np.dtype:
    torch = sys.modules["torch"]
    names = {torch.float64: np.float64, torch.float32: np.float32}
    for part in all_parts(module):
        for tensor in part._parameters.values():
            if tensor is not None and tensor.dtype in names:
                return np.dtype(names[tensor.dtype])
    return np.dtype(np.float32)


def net_logits(net: Estimator, X: Any) -> Array:
    """The raw output, read before the non-linearity, in float64."""
    X = as_net_input(net, X)
    output = read_net(net, lambda private: private.forward(X, training=False))
    if isinstance(output, tuple):
        output = output[0]
    logits = output.detach().double().cpu().numpy()
    if logits.ndim == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    return np.asarray(logits)


def net_proba(net: Estimator, X: Any) -> np.ndarray:
    """The net's own ``predict_proba``."""
    X = as_net_input(net, X)
    return np.asarray(read_net(net, lambda private: private.predict_proba(X)))


def fit_net(net: Estimator, X: Any, y: np.ndarray, **params: Any) -> Estimator:
    """Fit a net on labels of any kind; its ``classes_`` are the labels afterwards.

    The net learns column numbers. Where its parameter ``classes`` names the labels, they keep that
    order; else the parameter is set to the sorted labels. (A NeuralNetBinaryClassifier keeps 0
    and 1; its member remembers the labels.)
    """
    given = getattr(net, "classes", None)
    classes = np.unique(y) if given is None else np.asarray(given)
    codes = encode_labels(y, classes, remedy="Pass all labels as classes= to the net.")
    X = as_net_input(_initialized(net), X)
    if is_binary_net(net):
        if len(classes) != 2:
            msg = (
                f"{type(net).__name__} needs two classes; got {classes.tolist()}: use "
                "NeuralNetClassifier with CrossEntropyLoss"
            )
            raise ValueError(msg)
        return net.fit(X, codes.astype(np.float32), **params)
    net.set_params(classes=classes.tolist())
    return net.fit(X, codes.astype(np.int64), **params)


def _initialized(net: Estimator) -> Estimator:
    """A copy of the net with its module made, to see what input it takes."""
    with RandomNumbers().borrowed():
        return clone(net).initialize()
