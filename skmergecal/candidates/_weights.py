"""Weights of members as a space to search: distributions for random searches and for Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skmergecal._numerics import softmax
from skmergecal._typing import Array
from skmergecal._validation import POSITIVE, check_list, check_parameters

__all__ = ["WeightDistribution", "suggest_weights", "weight_distribution"]


@dataclass(frozen=True)
class WeightDistribution:
    """A Dirichlet distribution of weights, as `weight_distribution` makes it.

    Attributes
    ----------
    names : tuple of str, or None
        Names of the members; None: weights come as arrays.
    number : int
        Number of members.
    concentration : float

    See Also
    --------
    skmergecal.weight_distribution : Makes one.

    Examples
    --------
    >>> from skmergecal import weight_distribution
    >>> distribution = weight_distribution(["forest", "bayes", "net"])
    >>> weights = distribution.rvs(random_state=0)
    >>> {name: round(weight, 2) for name, weight in weights.items()}
    {'forest': 0.14, 'bayes': 0.02, 'net': 0.84}
    """

    names: tuple[str, ...] | None
    number: int
    concentration: float = 1.0

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw weights.

        Parameters
        ----------
        size : int, default=None
            How many draws; None: a single one.
        random_state : int, RandomState, Generator or None, default=None
            Draws them.

        Returns
        -------
        dict, or ndarray of shape (n_members,)
            Adding up to 1. With a size, a list of dicts, or an ndarray of shape
            (size, n_members).
        """
        if size is not None and (not isinstance(size, Integral) or size < 0):
            msg = f"size should be None or a number of draws; got {size!r}"
            raise ValueError(msg)
        given = isinstance(random_state, np.random.Generator)
        rng = random_state if given else check_random_state(random_state)
        shape = (1 if size is None else int(size), self.number)
        # In logs, as a sum of gammas of a small shape is 0 before its logs are: a gamma of shape
        # a is one of shape a + 1 times u ** (1 / a).
        logs = np.log(rng.standard_gamma(self.concentration + 1, shape))
        logs += np.log1p(-rng.random(shape)) / self.concentration
        drawn = softmax(logs) if shape[0] else logs
        if self.names is None:
            return drawn[0] if size is None else drawn
        named = [_by_name(self.names, row) for row in drawn]
        return named[0] if size is None else named


@check_parameters(concentration=[POSITIVE])
def weight_distribution(names_or_number: Any, concentration: float = 1.0) -> WeightDistribution:
    """Random weights of members, for ``RandomizedSearchCV`` over ``weights``.

    Parameters
    ----------
    names_or_number : list of str, or int
        Names of the members, for weights as a dict; or their number, for an array.
    concentration : float, default=1.0
        Of the Dirichlet distribution. 1 is uniform over all weights that add up to 1; below 1, most
        of the weight is on few members; above 1, weights are more even.

    Returns
    -------
    WeightDistribution
        With ``rvs(size=None, random_state=None)``, as the distributions of scipy.

    See Also
    --------
    skmergecal.suggest_weights : The same for Optuna.

    Examples
    --------
    >>> from skmergecal import weight_distribution
    >>> weights = weight_distribution(["forest", "bayes"]).rvs(random_state=0)
    >>> list(weights), round(sum(weights.values()), 6)
    (['forest', 'bayes'], 1.0)
    >>> weight_distribution(3, concentration=0.5).rvs(size=2, random_state=0).shape
    (2, 3)
    """
    names, number = _names_and_number("names_or_number", names_or_number)
    if not np.isfinite(concentration):
        msg = f"concentration should be a finite number above 0; got {concentration}"
        raise ValueError(msg)
    return WeightDistribution(names, number, float(concentration))


def suggest_weights(trial: Any, names: Any) -> Any:
    """Weights of members in a trial of Optuna, uniform over all weights that add up to 1.

    Parameters
    ----------
    trial : optuna.Trial
        Its parameters are "weight NAME", one number between 0 and 1 for each member; weights are
        proportional to their -log.
    names : list of str, or int
        Names of the members, for weights as a dict; or their number, for an array.

    Returns
    -------
    dict, or ndarray of shape (n_members,)
        Adding up to 1.

    See Also
    --------
    skmergecal.weight_distribution : The same for ``RandomizedSearchCV``.

    Examples
    --------
    In an objective of a study, ``weights=suggest_weights(trial, ["forest", "bayes"])``. Here is a
    stand-in for a trial, so that this example runs without Optuna:

    >>> from skmergecal import suggest_weights
    >>> class Trial:
    ...     def suggest_float(self, name, low, high):
    ...         return {"weight forest": 0.5, "weight bayes": 0.125}[name]
    >>> {name: round(w, 2) for name, w in suggest_weights(Trial(), ["forest", "bayes"]).items()}
    {'forest': 0.25, 'bayes': 0.75}
    """
    if not hasattr(trial, "suggest_float"):
        msg = f"trial should be a trial of Optuna, with suggest_float; got a {type(trial).__name__}"
        raise TypeError(msg)
    known, number = _names_and_number("names", names)
    each = known or tuple(map(str, range(number)))
    uniform = np.array([trial.suggest_float(f"weight {name}", 0.0, 1.0) for name in each])
    # A sampler may try the ends: 0 is no infinite weight, and all 1 is no sum of 0.
    sizes = -np.log(np.clip(uniform, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
    weights = sizes / sizes.sum()
    return weights if known is None else _by_name(known, weights)


def _by_name(names: tuple[str, ...], weights: Array) -> dict[str, float]:
    return dict(zip(names, weights.tolist(), strict=True))


def _names_and_number(what: str, given: Any) -> tuple[tuple[str, ...] | None, int]:
    """Names of members, None if only their number is given, and the number."""
    if isinstance(given, Integral) and given is not True:
        if given < 1:
            msg = f"{what} should be at least 1; got {given}"
            raise ValueError(msg)
        return None, int(given)
    names = check_list(what, list(given) if isinstance(given, Mapping) else given, "name")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        msg = (
            f"{what} should be different names of members, or their number; got {names!r}: of a "
            "list of members, pass [name for name, _ in members]"
        )
        raise ValueError(msg)
    return tuple(map(str, names)), len(names)  # no str_ of NumPy's
