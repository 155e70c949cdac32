"""The one door to scikit-learn's private names, each with the reason why it is needed."""

from __future__ import annotations

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

# Cuts fit parameters that have one entry a row to the rows of a fold; counts rows of anything.
from sklearn.utils.validation import _check_method_params, _num_samples

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "_BaseComposition",
    "_check_method_params",
    "_fit_context",
    "_num_samples",
    "_raise_for_params",
    "_routing_enabled",
    "_safe_indexing",
]
