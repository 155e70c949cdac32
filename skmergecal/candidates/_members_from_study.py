"""members_from_study: the best trials of a study of Optuna as members of a merge."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any

from skmergecal._compat import Interval
from skmergecal._typing import Estimator, NamedEstimators
from skmergecal._validation import check_parameters
from skmergecal.candidates._candidate import (
    Candidate,
    best_of,
    named_members,
    warn_if_fewer,
    with_varying,
)
from skmergecal.candidates._trials import complete_trials

__all__ = ["members_from_study"]

_LEFT_OUT = "equal ones count once, trials that failed or were pruned do not count"


@check_parameters(make_estimator=[callable], n_members=[Interval(Integral, 1, None, closed="left")])
def members_from_study(
    study: Any, make_estimator: Callable[[Any], Estimator], n_members: int = 8
) -> NamedEstimators:
    """The best trials of an Optuna study.

    Parameters
    ----------
    study : optuna.Study
        With one objective, to be minimised or maximised.
    make_estimator : callable
        Returns the estimator of a trial: the function that the objective calls itself, with a trial
        of the past, whose ``suggest_float`` and others return the values of that trial.
    n_members : int, default=8
        Number of trials, at least 1.

    Returns
    -------
    list of (str, classifier)
        Names and unfitted clones, the best first, for `MergedClassifier`, named as in
        `members_from_search`.

    Raises
    ------
    ValueError
        If the study has several objectives, or no trial is complete.
    TypeError
        If ``make_estimator`` returns something else.

    Warns
    -----
    UserWarning
        If there are fewer trials: all of them are taken.

    See Also
    --------
    skmergecal.members_from_search : The same for searches, ``OptunaSearchCV`` included.

    Notes
    -----
    Trials that failed or were pruned are left out. Trials with equal estimators count once.

    Examples
    --------
    A study has trials, and here is a stand-in for one, so that this example runs without Optuna:

    >>> from types import SimpleNamespace as Stored
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal import members_from_study
    >>> complete = Stored(name="COMPLETE")
    >>> trials = [Stored(params={"C": c}, value=v, state=complete) for c, v in [(1, 0.3), (9, 0.2)]]
    >>> study = Stored(trials=trials, directions=[Stored(name="MINIMIZE")])
    >>> def make_estimator(trial):
    ...     return LogisticRegression(C=trial.params["C"])
    >>> members_from_study(study, make_estimator, n_members=2)[0]
    ('logisticregression C=9', LogisticRegression(C=9))
    """
    trials, sign = complete_trials(study, "study")
    varying = with_varying([trial.params for trial in trials])
    candidates = [
        Candidate(sign * trial.value, names, partial(_made, make_estimator, trial))
        for trial, names in zip(trials, varying, strict=True)
    ]
    best = best_of(candidates, n_members)
    warn_if_fewer(len(best), n_members, "study", _LEFT_OUT)
    return named_members(best)


def _made(make_estimator: Callable[[Any], Estimator], trial: Any) -> Estimator:
    estimator = make_estimator(trial)
    if not hasattr(estimator, "get_params"):
        msg = (
            f"make_estimator should return the estimator of a trial; got a "
            f"{type(estimator).__name__}: return the estimator, not its score"
        )
        raise TypeError(msg)
    return estimator
