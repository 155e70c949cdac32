"""The one door to scikit-learn's private names, each with the reason why it is needed."""

from __future__ import annotations

from typing import Any

# The release, for errors about structures that another release may change.
# Validates constructor parameters before `fit`; every scikit-learn estimator uses it.
from sklearn.base import _fit_context

# Cuts any container (array, frame, sparse matrix, list) to rows, as cross_validate does.
from sklearn.utils import _safe_indexing

# Whether metadata routing is switched on, and the refusal of fit parameters where it is not.
from sklearn.utils._metadata_requests import _routing_enabled

# The vocabulary of `_parameter_constraints`.
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import _raise_for_params

# Nested parameters of a list of (name, estimator), as in VotingClassifier.
from sklearn.utils.metaestimators import _BaseComposition

# Cuts fit parameters that have one entry a row to the rows of a fold; counts rows of anything;
# names and number of features, and fitted or not, without the tags that are made at every look.
from sklearn.utils.validation import (
    _check_feature_names,
    _check_method_params,
    _check_n_features,
    _is_fitted,
    _num_samples,
)

# One box of the diagram that a notebook shows; it moved between 1.6 and 1.7.
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
    "_check_method_params",
    "_check_n_features",
    "_fit_context",
    "_is_fitted",
    "_num_samples",
    "_raise_for_params",
    "_routing_enabled",
    "_safe_indexing",
    "with_callbacks",
]


class _NoCallbacks:
    """Stands in for scikit-learn's mixin: no callback is called."""

    def _init_callback_context(self, **settings: Any) -> None:
        return None


def _as_it_is(method: Any) -> Any:
    """The method itself."""
    return method


# Callbacks came with 1.9.
try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    CallbackSupportMixin, with_callbacks = _NoCallbacks, _as_it_is
