"""Greedy soups: weights of parameters, by what each further member does to the merged model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skmergecal._typing import Array

__all__ = ["greedy_soup", "greedy_soup_with_replacement"]

#: Additions with replacement, at most.
_STEPS = 25


def greedy_soup(losses: Sequence[float], loss_of: Callable[[Array], float]) -> Array:
    """Weights of a greedy soup: best member first, each further one kept if it does not harm.

    Parameters
    ----------
    losses : sequence of float
        Of each member alone.
    loss_of : callable
        Loss of the model merged with weights that add up to 1.

    Returns
    -------
    ndarray of shape (n_members,)
        Adding up to 1; equal for all members that were kept.

    References
    ----------
    Wortsman et al., "Model soups", ICML 2022, recipe 1.
    """
    order = np.argsort(losses, kind="stable")
    chosen = np.zeros(len(losses))
    chosen[order[0]] = 1.0
    best = losses[order[0]]
    for candidate in order[1:]:
        trial = chosen.copy()
        trial[candidate] = 1.0
        loss = loss_of(trial / trial.sum())
        if loss <= best:
            chosen, best = trial, loss
    return chosen / chosen.sum()


def greedy_soup_with_replacement(
    losses: Sequence[float], loss_of: Callable[[Array], float]
) -> Array:
    """Weights of a soup to which the member that helps most is added, until none helps.

    A member can be added several times, so that weights differ. Each addition costs one merge for
    each member, `greedy_soup` one merge for each member in all.

    Parameters
    ----------
    losses : sequence of float
        Of each member alone.
    loss_of : callable
        Loss of the model merged with weights that add up to 1.

    Returns
    -------
    ndarray of shape (n_members,)
        Adding up to 1.
    """
    counts = np.zeros(len(losses))
    counts[int(np.argmin(losses))] = 1.0
    best = min(losses)
    for _ in range(_STEPS - 1 if len(losses) > 1 else 0):
        trials = counts + np.eye(len(losses))
        found = [loss_of(trial / trial.sum()) for trial in trials]
        if not min(found) < best:
            break
        counts, best = trials[int(np.argmin(found))], min(found)
    return counts / counts.sum()
