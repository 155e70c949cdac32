"""valid_grid: a grid of parameters of MergedClassifier without combinations that it refuses."""

from __future__ import annotations

from typing import Any

from skmergecal._validation import check_list
from skmergecal.merging import VALID_WEIGHTS, table_of_weights

__all__ = ["valid_grid"]


#: Parameters whose values depend on the method.
_BESIDE = ("weights", "refit", "missing_classes")


def valid_grid(**lists: Any) -> list[dict[str, list[Any]]]:
    """A grid of parameters of `MergedClassifier`, without combinations that it refuses.

    Parameters
    ----------
    **lists : list
        Values of each parameter. Those of a step or of a wrapped estimator have the names that the
        search knows them by: ``**{"merge__method": [...]}``. Other parameters are passed on
        unchanged.

    Returns
    -------
    list of dict
        What ``GridSearchCV`` and ``ParameterGrid`` take: one dict for each method, with the ways to
        learn weights that it knows; with "parameters", without ``refit=False``, and without
        ``missing_classes="soften"`` beside other values, which would only fit the same again. A
        parameter that is not listed is that of the estimator, which is not known here: list
        ``method``, if only with one value, wherever ``weights`` is listed. Nor are the members: if
        they know different classes, list ``missing_classes=["soften"]``, and no "parameters".

    Raises
    ------
    ValueError
        If a method or a way to learn weights does not exist, or if no combination is left.

    See Also
    --------
    skmergecal.weight_distribution : Random weights, for ``RandomizedSearchCV``.
    skmergecal.MergedClassifier : Its parameters are what the grid is of.

    Examples
    --------
    >>> from skmergecal import valid_grid
    >>> grid = valid_grid(method=["logits", "probabilities"], weights=["log_loss", "classwise"])
    >>> for part in grid:
    ...     print(part)
    {'method': ['logits'], 'weights': ['log_loss', 'classwise']}
    {'method': ['probabilities'], 'weights': ['log_loss']}
    """
    grid = [{name: check_list(name, values, "value") for name, values in lists.items()}]
    for name in lists:
        prefix, _, last = name.rpartition("method")
        # Other estimators have a parameter method, too, but none of them has these beside it.
        beside = [other for other in _BESIDE if prefix + other in lists]
        if not last and (not prefix or prefix.endswith("__")) and beside:
            grid = [part for old in grid for part in _by_method(old, prefix)]
    if not grid:
        msg = f"no combination of {lists!r} is valid.\n{table_of_weights()}"
        raise ValueError(msg)
    return grid


def _by_method(grid: dict[str, list[Any]], prefix: str) -> list[dict[str, list[Any]]]:
    """One grid for each method, with what goes together with it."""
    parts = []
    for method in grid[f"{prefix}method"]:
        part = {**grid, f"{prefix}method": [method]}
        if (weights := f"{prefix}weights") in grid:
            part[weights] = [value for value in grid[weights] if _is_valid(method, value)]
        if (refit := f"{prefix}refit") in grid and method == "parameters":
            part[refit] = [value for value in grid[refit] if value]
        if (missing := f"{prefix}missing_classes") in grid and method == "parameters":
            others = [value for value in grid[missing] if value != "soften"]
            part[missing] = others or grid[missing]
        if all(part.values()):
            parts.append(part)
    return parts


def _is_valid(method: str, weights: Any) -> bool:
    ways = {way for known in VALID_WEIGHTS.values() for way in known}
    if method not in VALID_WEIGHTS or (isinstance(weights, str) and weights not in ways):
        msg = f"method={method!r}, weights={weights!r} does not exist.\n{table_of_weights()}"
        raise ValueError(msg)
    return not isinstance(weights, str) or weights in VALID_WEIGHTS[method]
