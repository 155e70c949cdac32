"""Greedy ensemble selection: add, with replacement, the member that helps the average most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skmergecal._typing import Array

__all__ = ["greedy_selection", "greedy_soup", "greedy_soup_with_replacement"]

#: Losses that differ by less than this share count as a tie.
_TIE = 1e-12


def greedy_selection(
    opinions: Sequence[Array], loss: Callable[[Array], float], *, n_steps: int = 25
) -> Array:
    """Weights by greedy forward selection with replacement.

    Each step adds the member whose addition gives the average the lowest loss; the weights are
    the counts at the first step with the lowest loss of all. Ties go to a member already in, then
    to the lower loss, then to the lower index, so that there is no random choice. Step 1 is the
    best single member: on its own rows the selection is never worse than that.

    Parameters
    ----------
    opinions : sequence of ndarray of shape (n_samples, n_classes)
        One matrix a member: log-probabilities for the logarithmic pool, probabilities for the
        linear one.
    loss : callable
        Loss of an average of opinions; lower is better.
    n_steps : int, default=25
        Number of additions.

    Returns
    -------
    ndarray of shape (n_members,)
        Adds up to 1.

    References
    ----------
    Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004.
    """
    counts = np.zeros(len(opinions))
    running = np.zeros_like(opinions[0])
    best_loss, best_counts = np.inf, counts
    for step in range(1, n_steps + 1):
        losses = np.array([loss((running + z) / step) for z in opinions])
        tied = np.flatnonzero(losses <= losses.min() + _TIE * abs(losses.min()))
        order = sorted(tied, key=lambda k: (counts[k] == 0, losses[k], k))
        chosen = int(order[0])
        counts[chosen] += 1
        running += opinions[chosen]
        if losses[chosen] < best_loss:
            best_loss, best_counts = float(losses[chosen]), counts.copy()
    return best_counts / best_counts.sum()


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
