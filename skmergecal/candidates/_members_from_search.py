"""members_from_search: the best candidates of a search as members of a merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmergecal._compat import Interval
from skmergecal._typing import Estimator, NamedEstimators
from skmergecal._validation import check_parameters
from skmergecal._warnings import warns_once
from skmergecal.candidates._candidate import (
    Candidate,
    best_of,
    named_members,
    warn_if_fewer,
    with_varying,
)
from skmergecal.candidates._select_by_gain import select_by_gain
from skmergecal.candidates._trials import complete_trials

__all__ = ["members_from_search"]

_LEFT_OUT = "equal ones count once, fits that failed do not count"
_LAST_RUNG = "of a search by halving only those of the last iteration"
#: What a search that is not fitted has.
_SPACES = ("param_grid", "param_distributions", "search_spaces")


@warns_once
@check_parameters(n_members=[Interval(Integral, 1, None, closed="left")])
def members_from_search(
    search: Any,
    n_members: int = 8,
    *,
    X: Any = None,
    y: Any = None,
    sample_weight: Any = None,
    **params: Any,
) -> NamedEstimators:
    """Take the best candidates of a search as members, and not only the single best one.

    Parameters
    ----------
    search : fitted search, or list of them
        ``GridSearchCV``, ``RandomizedSearchCV``, ``HalvingGridSearchCV``,
        ``HalvingRandomSearchCV``, Optuna's ``OptunaSearchCV``, or others with the same
        ``cv_results_``. Candidates of several searches are compared by their scores: these have
        to be of one scorer, and should be of the same rows.
    n_members : int, default=8
        Number of candidates, at least 1.
    X, y : array-like, default=None
        Rows and labels of the search. With them, twice as many candidates are cross-fitted over
        the folds of the (first) search, and those are chosen that add most to each other: the best
        one, then always the one with which the logarithmic pool has the lowest log loss. Without
        them, nothing is fitted.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights of the rows.
    **params : dict
        Parameters for ``fit`` and the splitter, ``groups`` for instance, as in
        ``MergedClassifier.fit``.

    Returns
    -------
    list of (str, classifier)
        Names and unfitted clones, the best first, for `MergedClassifier`. A name says what the
        candidate is, and the parameters that vary in the search, each by the last part of its name:
        "lgbm learning_rate=0.1 num_leaves=31".

    Raises
    ------
    NotFittedError
        If a search is not fitted.
    ValueError
        If the search has several metrics, and ``refit`` names none of them; if several searches
        have different scorers; or if no candidate has a score.

    Warns
    -----
    UserWarning
        If there are fewer candidates: all of them are taken.

    See Also
    --------
    skmergecal.members_from_study : The same for studies of Optuna.

    Notes
    -----
    Candidates are ordered by their mean test score, of the metric that ``refit`` names. Equal ones
    count once. Left out are candidates with a fit that failed (their score is NaN); in a search by
    halving all but those of its last iteration, whose scores are of more resources; and trials of
    Optuna that were pruned or failed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmergecal import MergedClassifier, members_from_search
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000)
    >>> search = GridSearchCV(model, {"C": [0.1, 1, 10]}, scoring="neg_log_loss").fit(X, y)
    >>> members = members_from_search(search, n_members=2)
    >>> [name for name, _ in members]
    ['logisticregression C=10', 'logisticregression C=1']
    >>> MergedClassifier(members, cv=search.cv).fit(X, y).predict_proba(X[:1]).shape
    (1, 3)
    """
    searches: list[Estimator] = list(search) if isinstance(search, list | tuple) else [search]
    if not searches:
        msg = "search should be a fitted search, or a list of them; got an empty list"
        raise ValueError(msg)
    with_rows = _has_rows(X, y, sample_weight, params)
    candidates = [candidate for one in searches for candidate in _candidates_of(one)]
    _check_scorers(searches)
    best = best_of(candidates, 2 * n_members if with_rows else n_members)
    halving = any("iter" in _results(one) for one in searches)
    what = "search" if len(searches) == 1 else "the list of searches (search)"
    left_out = f"{_LEFT_OUT}, {_LAST_RUNG}" if halving else _LEFT_OUT
    warn_if_fewer(len(best), n_members, what, left_out)
    members = named_members(best)
    if len(members) <= n_members:
        return members
    first = searches[0]
    how = {"cv": first.cv, "n_jobs": getattr(first, "n_jobs", None)}
    return select_by_gain(members, n_members, (X, y, sample_weight), params, **how)


def _has_rows(X: Any, y: Any, sample_weight: Any, params: Mapping[str, Any]) -> bool:
    """Whether there are rows to choose by; all of what belongs to them, or nothing."""
    if (X is None) != (y is None):
        msg = "X and y should be passed together, or neither of them, to choose by scores alone"
        raise ValueError(msg)
    if X is None and (sample_weight is not None or params):
        names = [*(["sample_weight"] if sample_weight is not None else []), *params]
        msg = f"{names} belong to rows, on which candidates are cross-fitted: pass X and y, too"
        raise ValueError(msg)
    return X is not None


def _candidates_of(search: Estimator) -> list[Candidate]:
    """Candidates of one search, with scores that are better the higher they are."""
    if hasattr(search, "study_"):
        trials, sign = complete_trials(search.study_, "the study of search")
        scored = [(sign * trial.value, trial.params) for trial in trials]
    elif "params" in (results := _results(search)):
        scores = np.asarray(results[f"mean_test_{_metric(search)}"], dtype=np.float64)
        rungs = results.get("iter", np.zeros(len(scores)))
        last = np.asarray(rungs) == np.max(rungs)
        of_last = zip(scores, results["params"], last, strict=True)
        scored = [(float(score), params) for score, params, counts in of_last if counts]
    else:
        raise _no_search(search)
    varying = with_varying([params for _, params in scored])
    return [
        Candidate(score, names, partial(_make, search.estimator, params))
        for (score, params), names in zip(scored, varying, strict=True)
    ]


def _results(search: Estimator) -> Mapping[str, Any]:
    """``cv_results_`` where it is a table, not the property of a search of Optuna."""
    found = getattr(search, "__dict__", {}).get("cv_results_")
    return found if isinstance(found, Mapping) else {}


def _make(estimator: Estimator, params: Mapping[str, Any]) -> Estimator:
    # Values are cloned as well: no two members share an estimator that was a value.
    own = {name: clone(value, safe=False) for name, value in params.items()}
    return clone(estimator).set_params(**own)


def _metric(search: Estimator) -> str:
    """The metric that ranks the candidates of a search of scikit-learn."""
    results = _results(search)
    if not getattr(search, "multimetric_", "mean_test_score" not in results):
        return "score"
    prefix = "mean_test_"
    metrics = [key.removeprefix(prefix) for key in results if key.startswith(prefix)]
    if isinstance(search.refit, str) and search.refit in metrics:
        return search.refit
    msg = (
        f"search has several metrics, {metrics}, and refit={search.refit!r} does not say which of "
        f"them candidates are ordered by: name it, search.set_params(refit={metrics[0]!r})"
    )
    raise ValueError(msg)


def _check_scorers(searches: Sequence[Estimator]) -> None:
    scorers = [_scorer_name(search) for search in searches]
    for scorer in scorers[1:]:
        if scorer != scorers[0]:
            msg = (
                f"search should be a list of searches with one scorer, whose scores can be "
                f"compared; got {scorers[0]} and {scorer}: search with one scoring=, or call "
                "members_from_search for each, and merge the members of both lists"
            )
            raise ValueError(msg)


def _scorer_name(search: Estimator) -> str:
    if getattr(search, "scoring", None) is None:
        return "the method score"
    scorer = getattr(search, "scorer_", search.scoring)
    if getattr(search, "multimetric_", False):
        name = search.refit
        return repr(scorer[name]) if isinstance(scorer, Mapping) else f"{name} of {scorer!r}"
    return repr(scorer)


def _no_search(search: Any) -> Exception:
    what = type(search).__name__
    if hasattr(search, "trials") and hasattr(search, "directions"):
        return TypeError(
            f"search should be a fitted search; got a {what}: use members_from_study(study, "
            "make_estimator)"
        )
    if any(hasattr(search, name) for name in _SPACES) and not isinstance(search, type):
        return NotFittedError(f"search, a {what}, is not fitted yet: call its fit(X, y) first")
    if isinstance(search, Mapping) and any(hasattr(one, "cv_results_") for one in search.values()):
        remedy = "pass list(search.values())"
    elif isinstance(search, Iterator):
        remedy = "pass list(search)"
    elif hasattr(search, "keys") and "params" in search:
        remedy = "pass the search itself, which has the estimator, in place of its cv_results_"
    else:
        remedy = "classifiers that are fitted are merged by MergedClassifier.from_fitted"
    return TypeError(
        f"search should be a fitted search, GridSearchCV for instance, or a list of them; got a "
        f"{what}: {remedy}"
    )
