"""Fit of a clone of a member on some rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import has_fit_parameter

from skmergecal._compat import _check_method_params, _safe_indexing
from skmergecal._optional import is_instance_of
from skmergecal._pipelines import fit_front, is_pipeline, resamples
from skmergecal._typing import Estimator, IntArray
from skmergecal._validation import encode_labels
from skmergecal.members._labels import LabelledEstimator, are_codes, labels_of_codes
from skmergecal.members._member import classes_of
from skmergecal.members._read import has_held_out, is_sklearn, unfitted_last_step
from skmergecal.members._skorch import fit_net, is_skorch

__all__ = [
    "FitTask",
    "clone_member",
    "cut_params",
    "fit_frozen",
    "is_reproducible",
    "sample_weight_param",
    "with_seeds",
]

#: Ensembles that hand sample weights on to every estimator inside.
_ENSEMBLES = ("VotingClassifier", "StackingClassifier")
#: Words in names of parameters of ``fit`` for rows to stop by.
_OTHER_ROWS = {"eval", "val", "valid", "validation"}
#: Those that are labels.
_LABELS_TO_STOP_BY = {"eval_y", "y_val", "y_eval", "y_valid"}
#: Solvers of LogisticRegression that ignore its random_state.
_NO_RANDOMNESS = ("lbfgs", "newton-cg", "newton-cholesky")


def sample_weight_param(estimator: Estimator) -> str | None:
    """The name under which ``fit`` takes sample weights, or None.

    Pipelines, searches and ensembles of scikit-learn hand them on to those inside that take them,
    but not past a sampler: it returns other rows.
    """
    if is_pipeline(estimator):
        if resamples(estimator):
            return None  # no one knows the weights of rows that a sampler makes
        name, last = estimator.steps[-1]
        inner = sample_weight_param(last)
        return None if inner is None else f"{name}__{inner}"
    if is_sklearn(estimator, "BaseSearchCV"):
        return sample_weight_param(estimator.estimator)
    if any(is_sklearn(estimator, ensemble) for ensemble in _ENSEMBLES):
        inside = [e for _, e in estimator.estimators if not isinstance(e, str | FrozenEstimator)]
        if getattr(estimator, "final_estimator", None) is not None:
            inside.append(estimator.final_estimator)
        takes = all(sample_weight_param(e) == "sample_weight" for e in inside)
    else:
        takes = has_fit_parameter(estimator, "sample_weight")
    return "sample_weight" if takes else None


def cut_params(X: Any, params: dict[str, Any], rows: IntArray | None) -> dict[str, Any]:
    """Parameters of ``fit`` for some rows of X: those with one entry per row are cut to them.

    None means all rows. ``X_unlabeled`` and rows to stop by have rows of their own, as many as they
    like.
    """
    cut = {name: value for name, value in params.items() if not _has_own_rows(name)}
    return {**params, **_check_method_params(X, cut, rows)}


def _has_own_rows(name: str) -> bool:
    """Whether a parameter of ``fit``, also of a step of a Pipeline, is about other rows than X.

    They are called ``eval_X``, ``sample_weight_eval_set``, ``X_val`` or ``validation_data``.
    """
    last = name.rpartition("__")[2]
    return last == "X_unlabeled" or not _OTHER_ROWS.isdisjoint(last.split("_"))


def with_seeds(estimator: Estimator, seed: int) -> Estimator:
    """A clone in which each open random state, also of parts and splitters, is a number.

    Those that are set stay as they are, and so does what is frozen.
    """
    seeded = clone_member(estimator)
    draw = np.random.RandomState(seed)
    inside = seeded.get_params(deep=True)
    frozen = tuple(f"{n}__" for n, part in inside.items() if isinstance(part, FrozenEstimator))
    open_parts = [part for name, part in sorted(inside.items()) if not name.startswith(frozen)]
    for part in (seeded, *open_parts):
        own = int(draw.randint(np.iinfo(np.int32).max))
        if _shuffles(part):
            part.random_state = own
        elif hasattr(part, "set_params") and not isinstance(part, type):
            params = part.get_params(deep=False)
            if "random_state" in params and params["random_state"] is None:
                part.set_params(random_state=own)
    return seeded


def is_reproducible(estimator: Estimator) -> bool:
    """Whether fitting twice gives the same: no skorch net inside, no open random state.

    A skorch net follows torch's global random state; a shuffling splitter or an estimator with
    ``random_state=None`` follows NumPy's.
    """
    inside = estimator.get_params(deep=True).values()
    return not any(
        is_skorch(part) or _shuffles(part) or _draws(part) for part in (estimator, *inside)
    )


def _draws(part: Any) -> bool:
    """Whether an estimator has an open random state that its fit makes use of."""
    if not hasattr(part, "get_params") or isinstance(part, type):
        return False
    params = part.get_params(deep=False)
    if "random_state" not in params or params["random_state"] is not None:
        return False
    return not (is_sklearn(part, "LogisticRegression") and params["solver"] in _NO_RANDOMNESS)


def _shuffles(part: Any) -> bool:
    splits = hasattr(part, "get_n_splits")
    return splits and getattr(part, "random_state", 0) is None and getattr(part, "shuffle", True)


def clone_member(estimator: Estimator) -> Estimator:
    """A clone; the error of one that cannot be cloned gets a remedy."""
    try:
        return clone(estimator)
    except RuntimeError as error:
        error.add_note(
            "an estimator that makes a copy of a list it is given, as CatBoostClassifier does of "
            "cat_features, can be cloned if you pass a tuple"
        )
        raise


def _fit(estimator: Estimator, X: Any, y: np.ndarray, params: dict[str, Any]) -> Estimator:
    """Fit in place; skorch nets, also at the end of a Pipeline, get the input they can take."""
    if is_skorch(estimator):
        return fit_net(estimator, X, y, **params)
    if is_skorch(unfitted_last_step(estimator)) and not params:
        front, Z, labels = fit_front(estimator, X, y)
        name, last = estimator.steps[-1]
        return estimator.set_params(steps=[*front, (name, _fit(last, Z, labels, {}))])
    return estimator.fit(X, y, **params)


def _fit_clone(estimator: Estimator, X: Any, y: np.ndarray, params: dict[str, Any]) -> Estimator:
    """Fit a clone; one whose fit takes no labels but 0..k-1 gets these codes of those in y.

    Its ``classes_`` are codes then: whoever reads it remembers the labels beside it.

    Raises
    ------
    Exception
        That of the fit to labels, if codes do not help.
    """
    first = None
    if not _needs_codes(_innermost(estimator), y, params):
        try:
            return _fit(clone_member(estimator), X, y, params)
        except MemoryError:
            raise
        except Exception as error:
            first = error
    labels, codes = np.unique(y, return_inverse=True)
    if first is not None and (are_codes(labels) or _encodes_labels(estimator)):
        raise first
    try:
        coded = _with_coded_weights(clone_member(estimator), labels)
        return _fit(coded, X, codes.astype(np.int64), _on_codes(params, labels))
    except Exception as error:
        if first is None:
            raise
        if str(error) != str(first):
            first.add_note(f"and with the codes 0..{len(labels) - 1} of the labels: {error}")
    raise first


def _needs_codes(booster: Estimator, y: np.ndarray, params: dict[str, Any]) -> bool:
    """Whether labels that are no codes are refused, or misread.

    LightGBM encodes those of y and ``eval_set``, but takes ``eval_y`` for codes. CatBoost makes
    texts of dates.
    """
    if is_instance_of(booster, "catboost", "CatBoostClassifier"):
        return y.dtype.kind == "M"
    if is_instance_of(booster, "lightgbm", "LGBMClassifier"):
        return any(name.rpartition("__")[2] == "eval_y" for name in params)
    return is_instance_of(booster, "xgboost", "XGBClassifier")


def _with_coded_weights(estimator: Estimator, labels: np.ndarray) -> Estimator:
    """The estimator, with weights of classes by their codes where it has some by their labels."""
    inner = _innermost(estimator)
    weights = inner.get_params(deep=False).get("class_weight")
    if isinstance(weights, dict):
        codes = {label: code for code, label in enumerate(labels.tolist())}
        known = {codes[label]: w for label, w in weights.items() if label in codes}
        inner.set_params(class_weight=known)
    return estimator


def _encodes_labels(estimator: Estimator) -> bool:
    """Whether labels of any kind cannot be the reason why its fit failed."""
    return is_skorch(estimator) or has_held_out(unfitted_last_step(estimator))


def _innermost(estimator: Estimator) -> Estimator:
    """The classifier at the end of Pipelines and searches that are yet to be fitted."""
    inner = unfitted_last_step(estimator)
    return _innermost(inner.estimator) if is_sklearn(inner, "BaseSearchCV") else inner


def _on_codes(params: dict[str, Any], labels: np.ndarray) -> dict[str, Any]:
    """Parameters of ``fit`` with codes in place of the labels of rows to stop by."""

    def coded(y: Any) -> Any:
        if isinstance(y, list | tuple) and len(y) and np.ndim(y[0]) == 1:
            return type(y)(coded(part) for part in y)
        remedy = "They are in eval_set, but in no row that is fitted: leave these rows out of it."
        return encode_labels(np.asarray(y), labels, remedy=remedy)

    def coded_pair(pair: Any) -> Any:
        if not isinstance(pair, list | tuple):
            return pair  # CatBoost's own kind of rows, with labels of any kind
        X, y = pair
        return X, coded(y)

    def coded_pairs(rows: Any) -> Any:
        several = isinstance(rows, list) or (isinstance(rows, tuple) and isinstance(rows[0], tuple))
        return [coded_pair(pair) for pair in rows] if several else coded_pair(rows)

    found = dict(params)
    for name, value in params.items():
        last = name.rpartition("__")[2]
        if value is not None and last in _LABELS_TO_STOP_BY:
            found[name] = coded(value)
        elif last == "eval_set" and value:
            found[name] = coded_pairs(value)
    return found


@dataclass(frozen=True)
class FitTask:
    """What it takes to fit a clone of one member on the rows of one fold.

    Attributes
    ----------
    name : str
        The member's name.
    estimator : estimator
        Unfitted; a clone of it is fitted.
    X, y : array-like
        All rows, and their labels.
    rows : ndarray or None
        The rows to fit on; None means all.
    params : dict
        Parameters of ``fit``; those with one entry per row are cut to the rows.
    key : str or None
        Identifies estimator, data, rows and parameters; None where the result must not be kept.
    """

    name: str
    estimator: Estimator
    X: Any
    y: np.ndarray
    rows: IntArray | None
    params: dict[str, Any] = field(default_factory=dict)
    key: str | None = None

    def fitted(self) -> Estimator:
        """Fit a clone."""
        X = _safe_indexing(self.X, self.rows)
        params = cut_params(self.X, self.params, self.rows)
        return _fit_clone(self.estimator, X, _safe_indexing(self.y, self.rows), params)


def fit_frozen(
    name: str,
    estimator: Estimator,
    X: Any,
    y: np.ndarray,
    rows: IntArray | None = None,
    params: dict[str, Any] | None = None,
) -> Estimator:
    """A clone of an estimator, fitted on some rows and frozen; on labels of any kind."""
    fitted = FitTask(name, estimator, X, y, rows, params or {}).fitted()
    own = classes_of(name, fitted)
    labels = labels_of_codes(own, np.unique(y if rows is None else y[rows]))
    return FrozenEstimator(fitted) if labels is own else LabelledEstimator(fitted, labels)
