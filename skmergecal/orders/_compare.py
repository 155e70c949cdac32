"""compare_fit_orders: cross-validated scores of every order of merging, calibrating and tuning."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit, check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter

from skmergecal._compat import Interval, _safe_indexing
from skmergecal._estimator import name_unnamed
from skmergecal._optional import as_frame
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import (
    check_labels,
    check_lengths,
    check_list,
    check_parameters,
    count_rows,
)
from skmergecal._warnings import Gathered, Warned, warn_again, warns_once
from skmergecal.members import check_named_estimators, fit_frozen, used_groups
from skmergecal.merging import MergedClassifier, refuse_weights
from skmergecal.orders._fit_orders import fit_orders

__all__ = ["compare_fit_orders"]


class _Result(NamedTuple):
    """One order on one fold; times in seconds."""

    score: float
    fit_time: float
    predict_time: float


_SHARE = [Interval(Real, 0, 1, closed="neither")]


@check_parameters(
    cv=["cv_object"],
    held_out=_SHARE,
    level=_SHARE,
    random_state=["random_state"],
    n_jobs=[Integral, None],
    verbose=["verbose"],
)
@warns_once
def compare_fit_orders(
    estimators: Sequence[tuple[str, Estimator]],
    X: Any,
    y: Any,
    *,
    orders: Sequence[str] | None = None,
    baseline: str = "merge",
    scoring: Any = "neg_log_loss",
    cv: Any = 5,
    groups: Any = None,
    held_out: float = 0.25,
    level: float = 0.95,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    **params: Any,
) -> Any:
    """Score every order of merging, calibrating and tuning by cross-validation.

    Each fold fits the members once, on a part of its training rows, and then every order on the
    rest, which the members have not seen. If all members are frozen, they are used as they are,
    and the orders are fitted on all training rows.

    Parameters
    ----------
    estimators : list of (str, classifier), dict, or list of classifiers
        The members. Frozen ones must not have seen X.
    X : array-like
        Rows.
    y : array-like of shape (n_samples,)
        Their labels.
    orders : sequence of str, default=None
        Names of orders, as in `fit_orders`; None: all.
    baseline : str, default="merge"
        The order that the others are compared with.
    scoring : str or callable, default="neg_log_loss"
        A scorer; greater is better.
    cv : int, splitter or iterable, default=5
        How to cross-validate.
    groups : array-like of shape (n_samples,), default=None
        Groups of rows that are kept together.
    held_out : float, default=0.25
        Share of a fold's training rows that members are not fitted on, between 0 and 1.
    level : float, default=0.95
        Confidence level of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Draws the rows that members are not fitted on.
    n_jobs : int, default=None
        Number of folds that run in parallel.
    verbose : int, default=0
        Above 0, a line is printed when the members of a fold are fitted, and for each order.
    **params : dict
        Parameters of `fit_orders`: ``method``, ``tune``, ``distil``, ``calibrate``, ``weights``.

    Returns
    -------
    DataFrame, or dict of arrays without pandas
        One row per order: ``mean`` and ``standard_error`` of the score; ``difference`` from the
        baseline on the same folds, with the bounds ``low`` and ``high`` of its interval;
        ``fit_time`` of the order, and ``predict_time`` for the rows that a fold holds out, in
        seconds. Standard errors are corrected for the overlap of training sets between folds
        (Nadeau and Bengio, Machine Learning 2003).

    See Also
    --------
    skmergecal.fit_orders : The orders as estimators.
    skmergecal.FitOrderDisplay : Draws the table.

    References
    ----------
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 2003,
    https://doi.org/10.1023/A:1024068626366.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmergecal import compare_fit_orders
    >>> X, y = load_iris(return_X_y=True)
    >>> tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    >>> members = {"bayes": GaussianNB(), "tree": tree}
    >>> table = compare_fit_orders(members, X, y, orders=["merge", "merge-then-calibrate"],
    ...                            method="logits", cv=3, random_state=0)
    >>> table["difference"].round(3).tolist()  # of the mean log-likelihood: 0 is the baseline
    [0.0, 0.003]
    """
    estimators = name_unnamed(estimators)
    check_named_estimators(estimators)
    made = fit_orders(estimators, **params)
    chosen = _chosen(orders, list(made), baseline)
    for name in chosen:
        _refuse_weights_inside(made[name])
    labels = check_labels(y)
    check_lengths(count_rows(X), y=labels, groups=groups)
    X, labels, groups = indexable(X, labels, groups)
    splitter = check_cv(cv, labels, classifier=True)
    splits = list(splitter.split(X, labels, used_groups(cv, splitter, groups)))
    shared = (estimators, X, labels, groups, chosen, scoring, held_out, params)
    comparison = _Comparison(*shared, verbose=int(verbose), n_folds=len(splits))
    results = _results(comparison, splits, random_state, n_jobs)
    ratio = float(np.mean([len(test) / len(train) for train, test in splits]))
    return _table(results, chosen, baseline, level, ratio)


def _results(
    comparison: _Comparison,
    splits: Sequence[tuple[Any, Any]],
    random_state: Any,
    n_jobs: int | None,
) -> list[dict[str, _Result]]:
    """Results of every order on each fold."""
    seeds = check_random_state(random_state).randint(2**31 - 1, size=len(splits))
    runs = enumerate(zip(splits, seeds, strict=True), start=1)
    done = Parallel(n_jobs=n_jobs)(
        delayed(comparison.scores)(number, np.asarray(train), np.asarray(test), int(seed))
        for number, ((train, test), seed) in runs
    )
    for _, warned in done:
        warn_again(warned)
    return [found for found, _ in done]


def _chosen(orders: Sequence[str] | None, known: Sequence[str], baseline: str) -> list[str]:
    """Names of the orders to compare, checked, with the baseline included."""
    chosen = list(known) if orders is None else check_list("orders", orders, "name of an order")
    unknown = [name for name in [*chosen, baseline] if name not in known]
    if unknown:
        msg = (
            f"unknown orders {unknown} in orders or baseline: with these parameters, choose from "
            f"{list(known)}"
        )
        raise ValueError(msg)
    return chosen if baseline in chosen else [baseline, *chosen]


def _refuse_weights_inside(order: Estimator) -> None:
    """Raise the error of a merge that its method cannot learn now, before members are fitted."""
    for part in (order, *order.get_params(deep=True).values()):
        if isinstance(part, MergedClassifier) and isinstance(part.weights, str):
            refuse_weights(part.weights, part.method)


class _Comparison(NamedTuple):
    """Data and settings that all folds share."""

    estimators: Sequence[tuple[str, Estimator]]
    X: Any
    labels: np.ndarray
    groups: Any
    orders: Sequence[str]
    scoring: Any
    held_out: float
    params: Mapping[str, Any]
    verbose: int
    n_folds: int

    def scores(
        self, number: int, train: IntArray, test: IntArray, seed: int
    ) -> tuple[dict[str, _Result], list[Warned]]:
        """Fit the members and every order; score on the test rows. And what warned."""
        with Gathered() as warned:
            return self._scores(number, train, test, seed), warned

    def _say(self, number: int, what: str) -> None:
        if self.verbose > 0:
            sys.stdout.write(f"[compare_fit_orders] fold {number} of {self.n_folds}: {what}\n")
            sys.stdout.flush()

    def _scores(
        self, number: int, train: IntArray, test: IntArray, seed: int
    ) -> dict[str, _Result]:
        own, rest = self._parts(train, seed)
        start = time.perf_counter()
        members = [(name, self._fitted(name, e, own)) for name, e in self.estimators]
        if len(own):
            self._say(number, f"members fitted in {time.perf_counter() - start:.3g} s")
        unlabeled = _safe_indexing(self.X, own) if len(own) else None
        X, y = _safe_indexing(self.X, rest), self.labels[rest]
        X_test, y_test = _safe_indexing(self.X, test), self.labels[test]
        found = {}
        for name, order in fit_orders(members, **self.params).items():
            if name not in self.orders:
                continue
            try:
                result = self._measured(clone(order), X, y, unlabeled, X_test, y_test)
            except Exception as error:
                error.add_note(f"while fitting the order {name!r}")
                raise
            found[name] = result
            what = f"{name} ({len(found)} of {len(self.orders)}) scores {result.score:.4g}"
            self._say(number, f"{what}, fitted in {result.fit_time:.3g} s")
        return found

    def _parts(self, train: IntArray, seed: int) -> tuple[IntArray, IntArray]:
        """Training rows of the members, and training rows of the orders."""
        if all(isinstance(e, FrozenEstimator | str) for _, e in self.estimators):
            return train[:0], train
        kind = StratifiedShuffleSplit if self.groups is None else GroupShuffleSplit
        splitter = kind(n_splits=1, test_size=self.held_out, random_state=seed)
        groups = None if self.groups is None else np.asarray(self.groups)[train]
        own, rest = next(splitter.split(train, self.labels[train], groups))
        return train[own], train[rest]

    def _fitted(self, name: str, estimator: Estimator, rows: IntArray) -> Estimator:
        if isinstance(estimator, FrozenEstimator | str):
            return estimator
        return fit_frozen(name, estimator, self.X, self.labels, rows)

    def _measured(
        self, order: Estimator, X: Any, y: Any, unlabeled: Any, X_test: Any, y_test: Any
    ) -> _Result:
        scorer = check_scoring(order, scoring=self.scoring)
        params = {}
        if unlabeled is not None and _takes_unlabeled(order):
            params["X_unlabeled"] = unlabeled
        start = time.perf_counter()
        order.fit(X, y, **params)
        fitted = time.perf_counter()
        order.predict_proba(X_test)
        predicted = time.perf_counter()
        return _Result(float(scorer(order, X_test, y_test)), fitted - start, predicted - fitted)


def _takes_unlabeled(order: Estimator) -> bool:
    """Whether the order, or the estimator that it calibrates, uses rows without labels."""
    inner = order if has_fit_parameter(order, "X_unlabeled") else getattr(order, "estimator", None)
    return inner is not None and has_fit_parameter(inner, "X_unlabeled")


def _table(
    results: Sequence[Mapping[str, _Result]],
    orders: Sequence[str],
    baseline: str,
    level: float,
    ratio: float,
) -> Any:
    scores = np.array([[fold[name].score for fold in results] for name in orders])
    differences = scores - scores[list(orders).index(baseline)]
    mean, error = _mean_and_error(scores, ratio)
    difference, its_error = _mean_and_error(differences, ratio)
    half = stats.t.ppf((1 + level) / 2, max(len(results) - 1, 1)) * its_error
    times = np.array([[fold[name][1:] for fold in results] for name in orders]).mean(axis=1)
    columns = {
        "order": np.array(orders, dtype=object),
        "mean": mean,
        "standard_error": error,
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "fit_time": times[:, 0],
        "predict_time": times[:, 1],
    }
    return as_frame(columns, index="order")


def _mean_and_error(values: Array, ratio: float) -> tuple[Array, Array]:
    """Mean over folds, and its standard error corrected for the overlap of training sets."""
    n_folds = values.shape[1]
    if n_folds < 2:
        return values[:, 0], np.full(len(values), np.nan)
    variance = values.var(axis=1, ddof=1)
    return values.mean(axis=1), np.sqrt(variance * (1 / n_folds + ratio))
