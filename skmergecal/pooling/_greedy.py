"""Greedy selection of members by the loss of their average, and greedy model soups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral

import numpy as np

from skmergecal._compat import Interval
from skmergecal._typing import Array
from skmergecal._validation import check_members, check_parameters

__all__ = ["greedy_selection", "greedy_soup", "greedy_soup_with_replacement", "select_greedily"]

#: Losses whose relative difference is at most this are a tie.
_TIE = 1e-12


@check_parameters(loss=[callable], n_steps=[Interval(Integral, 1, None, closed="left")])
def greedy_selection(
    opinions: Sequence[Array], loss: Callable[[Array], float], *, n_steps: int = 25
) -> Array:
    """Weights by greedy forward selection with replacement.

    Each step adds the member that gives the average the lowest loss; the weights are proportional
    to the counts at the first step with the lowest loss of all. Ties go to a member already
    selected, then to the lower loss, then to the lower index, so that there is no random choice.
    Step 1 selects the best single member: on the rows of the selection, the result is never worse.

    Parameters
    ----------
    opinions : sequence of ndarray of shape (n_samples, n_classes)
        One matrix per member: log-probabilities for the logarithmic pool, probabilities for the
        linear pool.
    loss : callable
        Loss of an average of opinions; lower is better. Not NaN.
    n_steps : int, default=25
        Number of additions, at least 1.

    Returns
    -------
    ndarray of shape (n_members,)
        With sum 1.

    See Also
    --------
    skmergecal.pooling.fit_linear_pool : The best weights rather than counts.
    skmergecal.MergedClassifier : ``weights="greedy"`` uses it.

    References
    ----------
    Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004,
    https://doi.org/10.1145/1015330.1015432.

    Examples
    --------
    The first two members are wrong in one row each, the third one guesses:

    >>> import numpy as np
    >>> from skmergecal.pooling import greedy_selection
    >>> y = np.array([0, 0, 1, 1])
    >>> p = [[0.1, 0.6, 0.8, 0.9], [0.4, 0.1, 0.9, 0.4], [0.5, 0.5, 0.5, 0.5]]  # of class 1
    >>> opinions = [np.column_stack([1 - np.array(own), own]) for own in p]
    >>> def loss(average):
    ...     return -np.log(average[np.arange(4), y]).mean()
    >>> [round(float(loss(own)), 2) for own in opinions]
    [0.34, 0.41, 0.69]
    >>> greedy_selection(opinions, loss, n_steps=10).round(2)
    array([0.7, 0.3, 0. ])
    """
    opinions = check_members("opinions", opinions)
    running = np.zeros_like(opinions[0])

    def losses(step: int, last: int | None, _: Array) -> Array:
        if last is not None:
            np.add(running, opinions[last], out=running)
        found = np.array([loss((running + z) / step) for z in opinions])
        if found.dtype.kind not in "fiub" or np.isnan(found).any():
            msg = f"loss should return a number for an average of opinions; got {found.tolist()}"
            raise ValueError(msg)
        return found

    return select_greedily(len(opinions), losses, n_steps)


def select_greedily(
    n_members: int, losses: Callable[[int, int | None, Array], Array], n_steps: int = 25
) -> Array:
    """The weights of `greedy_selection`, from the losses of all candidates at each step.

    Parameters
    ----------
    n_members : int
    losses : callable
        From the number of a step, the member that the last step added, and how often each member
        is in, to the loss after each one is added.
    n_steps : int, default=25
    """
    counts, last = np.zeros(n_members), None
    best_loss, best_counts = np.inf, counts
    for step in range(1, n_steps + 1):
        found = losses(step, last, counts)
        tied = np.flatnonzero(found <= found.min() + _TIE * abs(found.min()))
        order = sorted(tied, key=lambda k: (counts[k] == 0, found[k], k))
        last = int(order[0])
        counts[last] += 1
        if found[last] < best_loss:
            best_loss, best_counts = float(found[last]), counts.copy()
    return best_counts / best_counts.sum()


#: Largest number of additions with replacement, the first member included.
_STEPS = 25


def greedy_soup(losses: Sequence[float], loss_of: Callable[[Array], float]) -> Array:
    """Weights of a greedy soup: the best member, and each next one that does not raise the loss.

    Parameters
    ----------
    losses : sequence of float
        Loss of each member alone.
    loss_of : callable
        Loss of the model merged with given weights, whose sum is 1.

    Returns
    -------
    ndarray of shape (n_members,)
        With sum 1; equal for all selected members.

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
    """Weights of a soup to which the member that lowers the loss most is added, until none does.

    A member can be added several times, so that weights differ. Each addition costs one merge per
    member; all of `greedy_soup` costs one merge per member.

    Parameters
    ----------
    losses : sequence of float
        Loss of each member alone.
    loss_of : callable
        Loss of the model merged with given weights, whose sum is 1.

    Returns
    -------
    ndarray of shape (n_members,)
        With sum 1.
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
