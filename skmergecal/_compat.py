"""Private names of scikit-learn: the only file that imports them, each with the reason why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Validates constructor parameters before `fit`; every scikit-learn estimator uses it.
from sklearn.base import _fit_context
from sklearn.frozen import FrozenEstimator

# Selects rows of any container (array, frame, sparse matrix, list), as cross_validate does.
from sklearn.utils import _safe_indexing, get_tags

# Whether metadata routing is enabled, and the error for fit parameters if it is not.
from sklearn.utils._metadata_requests import _routing_enabled

# The vocabulary of `_parameter_constraints`, and their check for functions.
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.metadata_routing import _raise_for_params

# Nested parameters of a list of (name, estimator), as in VotingClassifier.
from sklearn.utils.metaestimators import _BaseComposition

# Selects the rows of a fold from fit parameters with one entry per row; counts rows of any
# container; checks names and number of features, also of those given for get_feature_names_out,
# and whether an estimator is fitted, without building its tags at every call.
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _check_method_params,
    _check_n_features,
    _is_fitted,
    _num_samples,
)

# One box of the HTML diagram that notebooks show; it moved between 1.6 and 1.7.
try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:
    from sklearn.utils._estimator_html_repr import _VisualBlock


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "_BaseComposition",
    "_VisualBlock",
    "_check_feature_names",
    "_check_feature_names_in",
    "_check_method_params",
    "_check_n_features",
    "_fit_context",
    "_is_fitted",
    "_num_samples",
    "_raise_for_params",
    "_routing_enabled",
    "_safe_indexing",
    "allow_what_all_allow",
    "scaler_of_power",
    "tags_of",
    "validate_parameter_constraints",
    "with_callbacks",
    "with_tags_inside",
]


def tags_of(estimator: Any) -> Any:
    """Tags of an estimator, frozen or not; None if its class has none, as outside scikit-learn.

    A FrozenEstimator copies those of what it holds at length, at every look.
    """
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if not hasattr(inner, "__sklearn_tags__"):
        return None
    try:
        return get_tags(inner)
    except AttributeError:  # a mixin without BaseEstimator
        return None


def allow_what_all_allow(tags: Any, estimators: Iterable[Any]) -> None:
    """Set the tags of an estimator for sparse rows and NaN: allowed where all inside allow them."""
    inside = [tags_of(estimator) for estimator in estimators]
    tags.input_tags.sparse = all(t is not None and t.input_tags.sparse for t in inside)
    tags.input_tags.allow_nan = all(t is not None and t.input_tags.allow_nan for t in inside)


def with_tags_inside(tags: Any, estimator: Any) -> Any:
    """Tags of an estimator that changes the probabilities of one inside, if there is one."""
    inner = None if estimator is None else tags_of(estimator)
    if inner is not None:
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.classifier_tags = inner.classifier_tags
        tags.classifier_tags.multi_label = False
    return tags


def scaler_of_power(step: Any) -> Any:
    """The scaler of a fitted PowerTransformer, which it has under a private name; or None."""
    return step._scaler if step.standardize else None


class _NoCallbacks:
    """Replaces scikit-learn's mixin before 1.9: no callback is called."""

    def _init_callback_context(self, **settings: Any) -> None:
        return None


def _as_it_is(method: Any) -> Any:
    """Replaces scikit-learn's decorator before 1.9: returns the method unchanged."""
    return method


# Callbacks are new in scikit-learn 1.9.
try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    CallbackSupportMixin, with_callbacks = _NoCallbacks, _as_it_is
