"""MergedClassifier: one classifier from several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import HasMethods, Interval, StrOptions, _fit_context, allow_what_all_allow
from skmergecal._estimator import (
    HeldOutScores,
    LogProbaClassifier,
    NamedEstimatorsMixin,
    name_members,
)
from skmergecal._numerics import log_softmax
from skmergecal._partitions import are_dask, meta_of
from skmergecal._typing import Array, Estimator, NamedEstimators
from skmergecal._validation import check_parameters
from skmergecal._warnings import warns_once
from skmergecal.members import (
    Cache,
    FitRows,
    average_folds,
    check_named_estimators,
    freeze_all,
    rows_for_columns,
    rows_of_folds,
)
from skmergecal.merging._collected import collect_members, members_without_rows, what_is_averaged
from skmergecal.merging._fitted_rows import FittedRows
from skmergecal.merging._learn import learn_merge, learn_merge_without_rows, warn_of_rows
from skmergecal.merging._loss_estimate import NO_ROWS, LossEstimate
from skmergecal.merging._member_report import Merged, member_report, weight_intervals
from skmergecal.merging._partitioned import (
    LearnedInPartitions,
    learn_one_each,
    learn_partitions,
    plan_one_each,
    refuse_for_partitions,
)
from skmergecal.merging._settings import LEARNED_WEIGHTS, Settings, settings_of
from skmergecal.merging._stored_predictions import stored_members
from skmergecal.merging._to_estimator import plain_estimator, to_plain_estimator
from skmergecal.merging.fitted import FittedMerge, OneModelMerge, StackedPoolsMerge
from skmergecal.parameters import ALIGNMENTS, REPAIRS, register_wrapper
from skmergecal.pooling import RESAMPLING

__all__ = ["MergedClassifier"]


class MergedClassifier(NamedEstimatorsMixin, LogProbaClassifier):
    """Merge several classifiers into one.

    Parameters
    ----------
    estimators : list of (str, classifier), dict, or list of classifiers
        The members, by name; without names, each has that of its class in lower case. A
        ``FrozenEstimator`` is a fitted member: used as it is, never changed, and measured on the
        rows of ``fit``, **which it must not have seen**. Anything else is cloned, cross-fitted
        over ``cv`` and refitted on everything (see ``refit``). ``"drop"`` leaves a member out.
    method : {"auto", "logits", "probabilities", "parameters"}, default="auto"
        Average log-probabilities (logarithmic opinion pool), probabilities (linear opinion pool),
        or the parameters of linear models or nets of one architecture, which gives one model
        that costs as much as one member. "auto" learns pools of both kinds, with weights for each
        member and for each member and class, and weighs the pools by how well each predicts rows
        that it was not fitted on; with ``weights="greedy"`` it takes the pool of lower log loss,
        and with given weights it averages log-probabilities.
    weights : str, None, array-like or dict, default="log_loss"
        Learned by log loss on held-out predictions, one for each member ("log_loss") or, for
        logits, one for each member and class ("classwise"); by greedy ensemble selection
        ("greedy"; for parameters: a greedy soup, each member once at most, or with
        "greedy_replacement" several times); uniform; or given: one number for each of
        ``estimators``, or a dict or Series by name; non-negative, not all 0. On logits, learning
        finds a temperature, too. For parameters, "log_loss" learns the weights of the logit pool.
    calibrate : {None, "members", "merged", "both"}, default=None
        Fit a temperature for each member before merging, for the merged classifier, or both,
        on the same held-out predictions, with the penalty that `TemperatureCalibrator` has by
        default. Members of class-wise and "auto" pools always are calibrated.
    alpha : float or "auto", default="auto"
        Strength of the ridge that pulls learned logit weights towards uniform ones, class-wise
        weights towards those common to all classes. "auto" averages over strong and weak ridges
        (class-wise: a weak and an infinite one), weighted by closed-form leave-one-out
        predictions of the held-out rows. The pools of ``method="auto"`` have ridges of their own,
        which do not depend on it.
    scoring : str or callable, default=None
        What ``weights="greedy"`` selects by: a scorer of scikit-learn, "roc_auc" for instance.
        None is the log loss.
    alignment : {"auto", "weights", "activations", "select"} or None, default="auto"
        How hidden units of nets are matched before their parameters are averaged: not (None), by
        weights, by activations, or by choosing among all members' units those that explain the
        logit pool. "auto" takes what comes nearest to the pool.
    repair : {"auto", "least_squares", "rescale"} or None, default="auto"
        How the merged net is repaired on rows without labels: layers refitted to the members'
        activations (which "select" does anyway), units rescaled (after "select": not), or not.
        "auto" fits all layers to the pool in a few epochs, but not where ``alignment`` is None.
    on_barrier : {"warn", "raise", "logits"}, default="warn"
        What to do where the model of merged parameters is worse than its members are on average,
        or than the best of them by more than two paired standard errors: warn, raise
        `MergeBarrierError`, or fall back to the logit pool (with a warning).
    barrier_tolerance : float, default=0.05
        How much worse than on average it may be, as a share of the members' weighted mean loss.
        With 1 or more there is no guard, and no comparison with the best member.
    cv : int, splitter or iterable, default=5
        How members that are not frozen are cross-fitted.
    refit : bool, default=True
        Whether members that are not frozen are fitted once more, on all rows. With False, each is
        the average of the models of its folds: of their log-probabilities, or of their
        probabilities where these are pooled. That saves the time of one fit for each member, and
        each prediction takes the time of all models of the folds. Weights and temperatures are
        learned in the same way. Unlike the ``refit`` of ``GridSearchCV``, it chooses nothing. Not
        for ``method="parameters"``, which needs one model for each member.
    missing_classes : {"auto", "error", "soften"}, default="auto"
        What to do about classes that some members do not know, as at sites that have others.
        "soften" gives each of them the probability 1 / (n + 1) / k, with n held-out rows and k
        classes, and scales the member's own; without rows, 1e-4 / k. "error" raises, also where a
        fold of ``cv`` lacks a class. "auto" raises for members that do not know a class at all,
        but in a linear pool they give it probability 0; for folds it softens, with a warning.
        Parameters are merged only of members that know the same classes.
    memory : None, str, path or joblib.Memory, default=None
        Caches fits and log-probabilities of members, so that a grid search over weights, method
        or calibrate fits each member once for each fold, and reads each row of a frozen one once;
        each process also remembers what it learned from them lately, in up to 256 MB. Fits that
        draw at random (``random_state=None``, skorch nets) are not cached, nor predictions of
        fewer than 20 rows. Functions and classes of your own that members refer to are part of
        what identifies a member, with all that they use; where that cannot be read (a file),
        nothing is cached. Only the process that fitted a model caches its predictions: one that
        was loaded from a file, or came from a worker, reads and writes no folder when it predicts.
        The files are pickles: use a folder that only you can write to, and set ``memory`` before
        you fit a model again that others have made.
    n_jobs : int, default=None
        Number of fits at once.
    verbose : int, default=0
        Above 0, fits of Dask collections print a line for each round over their partitions, with
        seconds. Other fits print nothing.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Union of the labels of the members and of y.
    estimators_ : list of classifier
        The fitted members. With ``refit=False``, those fitted here are each one classifier that
        averages the models of the folds, which are its ``estimators``.
    named_estimators_ : Bunch
        The same by name.
    weights_ : ndarray of shape (n_members,)
        Adding up to 1, one for each member that was not dropped.
    member_temperatures_ : ndarray of shape (n_members,)
        Divisors of the members' log-probabilities, 1 where they were not calibrated.
    temperature_ : float
        Divisor of the merged log-probabilities.
    class_counts_ : ndarray of shape (n_classes,) or None
        Weight of the held-out rows of each class; None where given weights and no temperature are
        learned. Not set without rows.
    merged_estimator_ : classifier
        With ``method="parameters"``: the model of the averaged parameters.
    pool_ : CombinedFit
        With class-wise weights and ``method="auto"``: the coefficients. ``weights_`` then are
        the shares of their mean sizes over the classes.
    barrier_ : float
        With ``method="parameters"``: its log loss minus the weighted mean loss of the members, in
        nats, on held-out rows; NaN if there were none. Where members are fitted here, also the
        final model counts: on its own training rows it must not lose to what its members reach
        on rows they have not seen.
    merge_report_ : MergeReport
        With ``method="parameters"``: losses of members, pool, and each step of merging, and how far
        the result is above the best member. Without labels they are NaN.
    loss_estimate_ : LossEstimate
        The log loss to expect on new rows, its standard error, that of each member and pool, and
        the gain over the best member. Every held-out row counts with a prediction that was learned
        without it: by leave-one-out, in closed form; for members that are fitted here, out of fold,
        too. The selection of ``weights="greedy"`` is repeated in five folds of the held-out rows,
        when the attribute is asked for or the estimator is pickled. With ``method="parameters"``,
        weights are those of all rows. Not set where no rows were held out: in ``from_fitted``
        without rows, or where given weights merge members that are fitted here.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names.

    See Also
    --------
    skmergecal.TemperatureCalibrator : Calibrates one classifier, before or after merging.
    skmergecal.FineTunedClassifier : Trains a net further, before or after merging.

    Notes
    -----
    Sample weights are frequencies. A member that gives probabilities of exactly 0 on held-out
    rows, or repeats a tiny one with nothing near it (zeros after ``np.clip``), has them mixed with
    the uniform distribution, share 1 / (n + 1), or less where they were rounded, before the log;
    the linear pool averages probabilities as they are.

    References
    ----------
    Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986,
    https://doi.org/10.1214/ss/1177013825.

    Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004,
    https://doi.org/10.1145/1015330.1015432.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://doi.org/10.48550/arXiv.1706.04599.

    Wortsman et al., "Model soups", ICML 2022, https://doi.org/10.48550/arXiv.2203.05482.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import MergedClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_held_out, y_train, y_held_out = train_test_split(X, y, random_state=0)
    >>> members = {
    ...     "trees": ExtraTreesClassifier(random_state=0).fit(X_train, y_train),
    ...     "bayes": GaussianNB().fit(X_train, y_train),
    ... }
    >>> merged = MergedClassifier.from_fitted(members, X_held_out, y_held_out)
    >>> merged.predict_proba(X_held_out[:2]).shape
    (2, 2)
    """

    #: A function where it takes long to find; a text where there is none.
    _loss: LossEstimate | Callable[[], LossEstimate | str] | str
    _fitted_rows: FittedRows | None
    _class_counts_: list[float] | None

    _parameter_constraints: ClassVar[dict] = {
        "estimators": [list, tuple, Mapping],
        "method": [StrOptions({"auto", "logits", "probabilities", "parameters"})],
        "weights": [StrOptions(LEARNED_WEIGHTS), "array-like", dict, None],
        "calibrate": [StrOptions({"members", "merged", "both"}), None],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "scoring": [str, callable, None],
        "alignment": [StrOptions(set(ALIGNMENTS)), None],
        "repair": [StrOptions(set(REPAIRS)), None],
        "on_barrier": [StrOptions({"warn", "raise", "logits"})],
        "barrier_tolerance": [Interval(Real, 0, None, closed="left")],
        "cv": ["cv_object"],
        "refit": ["boolean"],
        "missing_classes": [StrOptions({"auto", "error", "soften"})],
        "memory": [str, HasMethods(["__fspath__"]), HasMethods(["cache"]), None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimators: Sequence[tuple[str, Estimator]] | Mapping[str, Estimator] | Sequence[Estimator],
        *,
        method: str = "auto",
        weights: Any = "log_loss",
        calibrate: str | None = None,
        alpha: float | str = "auto",
        scoring: Any = None,
        alignment: str | None = "auto",
        repair: str | None = "auto",
        on_barrier: str = "warn",
        barrier_tolerance: float = 0.05,
        cv: Any = 5,
        refit: bool = True,
        missing_classes: str = "auto",
        memory: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.method = method
        self.weights = weights
        self.calibrate = calibrate
        self.alpha = alpha
        self.scoring = scoring
        self.alignment = alignment
        self.repair = repair
        self.on_barrier = on_barrier
        self.barrier_tolerance = barrier_tolerance
        self.cv = cv
        self.refit = refit
        self.missing_classes = missing_classes
        self.memory = memory
        self.n_jobs = n_jobs
        self.verbose = verbose

    @classmethod
    def from_fitted(
        cls,
        members: Sequence[Estimator] | Mapping[str, Estimator],
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_unlabeled: Any = None,
        classes: Any = None,
        **params: Any,
    ) -> Self:
        """Merge fitted classifiers as they are.

        Parameters
        ----------
        members : list or dict of fitted classifiers
            They are frozen, never changed. Any objects with ``classes_`` and ``predict_proba``
            will do. A list of (name, classifier) tuples names them, too; a list of classifiers
            gets the class names in lower case as names.
        X, y : array-like, default=None
            Held-out rows and labels: **rows that no member has seen**. Without them only
            ``weights`` that need no learning, and ``calibrate=None``, are possible.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights of the rows.
        X_unlabeled : array-like of shape (n_rows, n_features), default=None
            As for ``fit``.
        classes : dict of str to array-like, or array-like, default=None
            For members that were trained on codes 0..k-1 (XGBoost) where y has other labels: the
            labels that a member's columns stand for, in their order, by its name; or one sequence
            for all members. A member that is not named has its own ``classes_``.
        **params : dict
            Other parameters of the class.

        Returns
        -------
        MergedClassifier
            Fitted.

        Raises
        ------
        ValueError
            If something has to be learned and there are no rows; or if a member looks as if it was
            trained on codes, and ``classes`` does not give their labels.

        See Also
        --------
        skmergecal.MergedClassifier.from_cv : For models of folds.
        skmergecal.MergedClassifier.from_predictions : For predictions without models.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.naive_bayes import GaussianNB
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> on_codes = GaussianNB().fit(X[:300], y[:300])
        >>> diagnosis = load_breast_cancer().target_names[y]
        >>> merged = MergedClassifier.from_fitted(
        ...     {"bayes": on_codes},
        ...     X[300:],
        ...     diagnosis[300:],
        ...     classes={"bayes": ["malignant", "benign"]},
        ... )
        >>> bool(merged.score(X[300:], diagnosis[300:]) > 0.9)
        True
        """
        merged = cls(freeze_all(name_members(members), classes), **params)
        if (X is None) != (y is None):
            msg = "X and y belong together: pass both, or neither"
            raise ValueError(msg)
        if X is None:
            return merged._without_rows(X_unlabeled)
        return merged.fit(X, y, sample_weight, X_unlabeled=X_unlabeled)

    @classmethod
    def from_cv(
        cls,
        fold_models: Mapping[str, Sequence[Estimator]] | Sequence[tuple[str, Sequence[Estimator]]],
        X: Any,
        y: Any,
        splits: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        classes: Any = None,
        **params: Any,
    ) -> Self:
        """Merge the models of cross-validations, each read on the rows that it did not see.

        Each member is the average of its fold models, as with ``refit=False``, and is frozen: they
        are never changed, and ``fit`` on a ``clone`` reads the averages on all the rows that it
        gets, so that **it needs new ones, which none of the models has seen**.

        Parameters
        ----------
        fold_models : dict of str to list of fitted classifiers
            For each member its models, in the order of the splits:
            ``cross_validate(..., return_estimator=True)["estimator"]``, for example.
        X, y : array-like
            All rows and labels of the cross-validation.
        splits : list of (train, test), splitter, int, or dict of such by member
            The splits that the models were fitted with: numbers of rows or masks, as many pairs as
            models. A splitter gives them again from X, y and ``groups``; one that shuffles needs
            a number as ``random_state``. Rows that a member never held out are left out for all
            members.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights of the rows.
        groups : array-like of shape (n_samples,), default=None
            Groups of rows, for splitters that use them.
        classes : dict of str to array-like, or array-like, default=None
            As for `from_fitted`, for models that were trained on codes.
        **params : dict
            Other parameters of the class.

        Returns
        -------
        MergedClassifier
            Fitted.

        Raises
        ------
        ValueError
            If the splits do not belong to the models: there are more or fewer of them than
            models, a row is held out by two models of a member (repeated folds are several
            members, one for each repeat) or in both parts of a split, or a splitter would give
            others. Also with ``method="parameters"``.

        See Also
        --------
        skmergecal.MergedClassifier.from_predictions : For the predictions of these models.
        skmergecal.merging.FoldAverage : What becomes of each member.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import StratifiedKFold, cross_validate
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from skmergecal import MergedClassifier
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> folds = StratifiedKFold(5, shuffle=True, random_state=0)
        >>> models = {
        ...     name: cross_validate(model, X, y, cv=folds, return_estimator=True)["estimator"]
        ...     for name, model in [
        ...         ("bayes", GaussianNB()),
        ...         ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ...     ]
        ... }
        >>> merged = MergedClassifier.from_cv(models, X, y, folds)
        >>> merged.estimators_[0].estimator
        FoldAverage of 5 GaussianNB
        """
        method = params.get("method", "auto")
        if method == "parameters":
            msg = (
                "method='parameters' makes one model of all members, but the models of folds stay "
                "as they are, and their outputs are averaged: use another method, or pass unfitted "
                "members to MergedClassifier(method='parameters')"
            )
            raise ValueError(msg)
        merged = cls(average_folds(fold_models, classes, what_is_averaged(method)), **params)
        return merged._fit_checked((X, y, sample_weight), folds=(splits, groups))

    @classmethod
    def from_predictions(
        cls,
        predictions: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        classes: Any = None,
        logarithmic: bool = False,
        missing: str = "error",
        **params: Any,
    ) -> Self:
        """Merge members whose predictions are stored, without the members themselves.

        Parameters
        ----------
        predictions : dict of str to array-like, or DataFrame
            Predictions of each member for rows that it has not seen: out-of-fold predictions, for
            example. Matrices of shape (n_samples, n_classes) or, for two classes, the
            probabilities of the second one, shape (n_samples,) or (n_samples, 1). A list of
            several arrays, those of models of folds or seeds, stands for their mean; rows with NaN
            in some of them are means of the others. A DataFrame has one column for each member
            (two classes), or two levels of columns: member and class.
        y : array-like of shape (n_samples,)
            Labels of the rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights of the rows.
        classes : array-like of shape (n_classes,), default=None
            The labels in the order of the columns; None: those of y, sorted.
        logarithmic : bool, default=False
            Whether the values are log-probabilities or logits and, where there is one for each
            row, the logit of the second class. They are read as such, and lists stand for the mean
            of these.
        missing : {"error", "drop_rows"}, default="error"
            What NaN is: an error, or a reason to leave out the row for all members.
        **params : dict
            Other parameters of the class; ``method="parameters"`` needs models.

        Returns
        -------
        MergedClassifier
            Fitted. Its ``X``, in ``predict_proba`` for example, is such a dict or DataFrame,
            without NaN; names of other members are ignored. In searches and cross-validations it
            is `merging.Predictions`.

        Raises
        ------
        ValueError
            If predictions are NaN, have different numbers of rows, or are not what they should be.

        See Also
        --------
        skmergecal.merging.Predictions : Stored predictions that can be split into rows.
        skmergecal.merging.PredictionColumn : What each member is.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import cross_val_predict
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from skmergecal import MergedClassifier
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> models = {
        ...     "bayes": GaussianNB(),
        ...     "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
        ... }
        >>> stored = {
        ...     name: cross_val_predict(model, X, y, method="predict_proba")
        ...     for name, model in models.items()
        ... }
        >>> merged = MergedClassifier.from_predictions(stored, y)
        >>> new = {name: model.fit(X, y).predict_proba(X[:3]) for name, model in models.items()}
        >>> merged.predict_proba(new).shape
        (3, 2)
        """
        how = {"classes": classes, "logarithmic": logarithmic, "missing": missing}
        estimators, rows = stored_members(predictions, y, sample_weight, params, **how)
        return cls(estimators, **params)._fit_checked(rows, missing=missing)

    @classmethod
    def from_partitions(
        cls,
        estimator: Estimator,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        held_out: float = 0.2,
        n_members: int | None = None,
        groups: Any = None,
        random_state: Any = None,
        **params: Any,
    ) -> Self:
        """Train one member on each partition of a Dask collection, where it lies, and merge them.

        A share of the rows of each partition is kept from training, and the merge is learned on
        these rows of all partitions. The members are frozen: ``fit`` on a ``clone`` trains none of
        them, and **needs new rows, which none of the members has seen**.

        Parameters
        ----------
        estimator : classifier
            Unfitted; a clone of it is fitted for each member.
        X, y : Dask Array, DataFrame or Series
            Rows and labels, in the same partitions.
        sample_weight : Dask Array or Series, default=None
            Frequency weights. They reach the members that take them, and every loss.
        held_out : float in (0, 1), default=0.2
            Share of the rows of each partition and class that no member is trained on. Of each
            class in a partition at least one row is trained on.
        n_members : int, default=None
            Number of members. None is one for each partition that has rows, but at most 32:
            neighbours then are trained on together, in one place.
        groups : Dask Array or Series, default=None
            Rows of a group are all trained on or all held out, within a partition: put each group
            into one partition. At least one group of each class is trained on.
        random_state : int, RandomState or None, default=None
            Chooses the held-out rows, and seeds of the clones where the estimator's own
            ``random_state`` is None, together with the number of the partition. The same number
            gives the same members, on whichever workers. None draws a number.
        **params : dict
            Other parameters of the class. ``missing_classes`` is "soften" by default: partitions
            may lack classes. With ``method="parameters"`` up to 100,000 of the held-out rows come
            into this process, and the members become one model: a seed as ``random_state`` of a
            net lets all members begin with the same parameters, which makes them easier to
            average.

        Returns
        -------
        MergedClassifier
            Fitted. Each member is named after the first partition that it was trained on:
            "partition_0", for example.

        Raises
        ------
        TypeError
            If X or y is no Dask collection.
        ValueError
            If the partitions of X, y, weights or groups have other rows than each other, no row
            can be held out, or all rows have one class.

        Warns
        -----
        UserWarning
            If partitions have rows of one class only, which join the next one; or groups have rows
            in several partitions.

        See Also
        --------
        skmergecal.MergedClassifier.from_fitted : For members that exist, and Dask collections.

        Examples
        --------
        >>> import dask.dataframe as dd  # doctest: +SKIP
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from skmergecal import MergedClassifier
        >>> rows = dd.read_parquet("folder")  # doctest: +SKIP
        >>> merged = MergedClassifier.from_partitions(  # doctest: +SKIP
        ...     GaussianNB(), rows[["age", "dose"]], rows["ill"], random_state=0
        ... )
        """
        params.setdefault("missing_classes", "soften")
        how = {"held_out": held_out, "n_members": n_members, "random_state": random_state}
        merged = cls([("estimator", estimator)], **params)
        return merged._fit_one_each((X, y, sample_weight), groups, how)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_unlabeled: Any = None, **params: Any
    ) -> Self:
        """Fit members that are not frozen, and learn how to merge them.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Passed to the members as it is. With frozen members also a Dask Array or DataFrame, as
            y and the weights then are: see :doc:`/guide/past_one_machine`.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights. They reach every loss, and the members that take them.
        X_unlabeled : array-like of shape (n_rows, n_features), default=None
            Further rows for aligning and repairing nets, where no label is needed. With frozen
            members usually **the rows that they were trained on**: the more, the better. Not
            written into pickles and files.
        **params : dict
            Parameters for the members' ``fit`` and the splitter, by metadata routing; without
            routing, ``groups`` goes to the splitter.

        Returns
        -------
        MergedClassifier
            This object, fitted.
        """
        self._fit(X, y, sample_weight, {**params, "X_unlabeled": X_unlabeled}, held_out=False)
        return self

    @warns_once
    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        params: dict[str, Any],
        *,
        held_out: bool,
        folds: tuple[Any, Any] | None = None,
        missing: str = "error",
    ) -> HeldOutScores | None:
        params = dict(params)
        unlabeled = params.pop("X_unlabeled", None)
        self._forget()
        self._loss, self._fitted_rows = NO_ROWS, None
        estimators, settings = self._checked(unlabeled)
        if folds is None and are_dask(X, y, sample_weight):
            refuse_for_partitions(settings, self.memory, params)
            self._learn_partitions(estimators, settings, (X, y, sample_weight), missing)
            return None
        X = self._rows(X)
        checked = FitRows.check(X, y, sample_weight)
        rows, held_by, fitted = rows_of_folds(estimators, checked, folds)
        weighted = {**params, "sample_weight": sample_weight}
        members = collect_members(self, estimators, settings, rows, weighted, held_out, held_by)
        learned = learn_merge(members, settings, rows)
        warn_of_rows(members, settings, learned.merge)
        self._class_counts_ = learned.class_counts(members)
        self._set_fitted(learned.merge, members.classes, learned.settings)
        self._loss = learned.loss_estimate(members)
        self._fitted_rows = FittedRows.of(members, fitted, held_by or ())
        if learned.barrier is not None:  # also where the logit pool was the way out
            self.barrier_ = learned.barrier
            self.merge_report_ = learned.report
        self._check_features(X, reset=True)
        return HeldOutScores(learned.scores(members), members.rows) if held_out else None

    def _learn_partitions(
        self, estimators: NamedEstimators, settings: Settings, rows: Any, missing: str
    ) -> None:
        """Learn from rows that are in Dask partitions."""
        how = self.missing_classes, missing == "drop_rows", self.verbose
        found = learn_partitions(estimators, settings, rows, *how)
        self._set_learned(found, None if isinstance(rows[0], Mapping) else meta_of(rows[0]))

    def _set_learned(self, found: LearnedInPartitions, meta: Any) -> None:
        learned, members, self._loss = found
        self._class_counts_ = learned.class_counts(members)
        self._set_fitted(learned.merge, members.classes, learned.settings)
        if meta is not None:
            self._check_features(meta, reset=True)

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_checked(self, rows: tuple[Any, Any, Any], **how: Any) -> Self:
        X, y, weight = rows
        self._fit(X, y, weight, {}, held_out=False, **how)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    @warns_once
    def _fit_one_each(self, rows: Any, groups: Any, how: dict[str, Any]) -> Self:
        """Train a member on each partition, and learn how to merge them."""
        self._forget()
        self._loss, self._fitted_rows = NO_ROWS, None
        plan = plan_one_each(self, check_named_estimators(self._pairs), rows, groups, how)
        self.estimators = plan.unfitted()
        _, settings = self._checked(None)
        refuse_for_partitions(settings, self.memory, {}, one_model=True)
        self.estimators, found = learn_one_each(plan, settings, self.missing_classes, self.verbose)
        if self.method == "parameters":
            return self._fit_checked(found)
        self._set_learned(found, plan.meta)
        return self

    def _checked(self, unlabeled: Any) -> tuple[NamedEstimators, Settings]:
        """Estimators that take part, and the settings that belong to them."""
        pairs = self._pairs
        estimators = check_named_estimators(pairs)
        names = [name for name, _ in pairs]
        self._validate_names(names)
        return estimators, settings_of(self, names, estimators, unlabeled)

    @_fit_context(prefer_skip_nested_validation=False)
    def _without_rows(self, unlabeled: Any, known: Any = None) -> Self:
        self._forget()
        self._loss, self._fitted_rows = NO_ROWS, None
        estimators, settings = self._checked(unlabeled)
        if settings.needs_held_out():
            msg = (
                f"weights={self.weights!r} and calibrate={self.calibrate!r} are learned from rows "
                "that no member has seen: pass X and y, or weights=None and calibrate=None"
            )
            raise ValueError(msg)
        members, classes = known or members_without_rows(self, estimators)
        merge = learn_merge_without_rows(members, classes, settings)
        self._set_fitted(merge, classes, settings)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(members[0].estimator, name):
                setattr(self, name, getattr(members[0].estimator, name))
        return self

    def _set_fitted(self, merge: FittedMerge, classes: np.ndarray, settings: Settings) -> None:
        self._merge, self._settings = merge, settings.to_keep()
        self.classes_ = classes
        self.__dict__.update(self._follows())
        Cache.fitted_here(self)

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["_merge", "_settings", "_loss", "_fitted_rows"]

    def _follows(self) -> dict[str, Any]:
        merge = getattr(self, "_merge", None)
        if merge is None:
            return {}
        found = {
            "estimators_": [member.estimator for member in merge.members],
            "named_estimators_": Bunch(**{m.name: m.estimator for m in merge.members}),
            "weights_": merge.weights,
            "member_temperatures_": merge.member_temperatures,
            "temperature_": merge.temperature,
        }
        if isinstance(merge, OneModelMerge):
            found |= {"barrier_": merge.barrier, "merged_estimator_": merge.merged.estimator}
            found |= {} if merge.report is None else {"merge_report_": merge.report}
        if isinstance(merge, StackedPoolsMerge):
            found["pool_"] = merge.fit
        return found

    @property
    def class_counts_(self) -> Array | None:
        """Weight of the held-out rows of each class; AttributeError where there were no rows."""
        counts = self._class_counts_  # a list: in a file it takes less room than an array
        return None if counts is None else np.array(counts)

    @property
    def loss_estimate_(self) -> LossEstimate:
        """The loss to expect on new rows; AttributeError where it cannot be known."""
        estimate = getattr(self, "_loss", NO_ROWS)
        if callable(estimate):
            self._loss = estimate = estimate()
        if isinstance(estimate, str):
            msg = f"{type(self).__name__!r} object has no attribute 'loss_estimate_': {estimate}"
            raise AttributeError(msg)
        return estimate

    def __dir__(self) -> list[str]:
        if not callable(getattr(self, "_loss", None)):
            return list(super().__dir__())
        # The diagram of scikit-learn reads all attributes that are listed, and listing them tries
        # each: not one that takes long.
        names = [name for name in object.__dir__(self) if name != "loss_estimate_"]
        return [name for name in names if hasattr(self, name)]

    def __getstate__(self) -> dict[str, Any]:
        if callable(getattr(self, "_loss", None)):
            getattr(self, "loss_estimate_", None)  # a pickle holds the numbers, not the opinions
        return super().__getstate__()

    @check_parameters(**RESAMPLING)
    def member_report(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        level: float | None = None,
        n_resamples: int = 200,
        random_state: Any = None,
    ) -> Any:
        """What each member is worth: its weight, its loss, and the loss without it.

        Parameters
        ----------
        X, y : array-like
            Rows and labels: those of ``fit``, or others **that no member has seen**. Of members
            that were fitted here, and of those of `from_cv`, rows of ``fit`` are recognised, and
            the predictions of the models that did not see them are used. Their values decide, in
            arrays, frames, lists and columns of text: a copy in single precision holds others, if
            they were rounded. Sparse rows are recognised among sparse rows, other containers (and
            any, by a model from a file) only with all rows of ``fit`` as they were.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        level : float in (0, 1), default=None
            Confidence level of intervals for the weights, .95 for instance; None for no
            intervals. Weights are learned again on bootstrap samples of the rows, and the interval
            holds the middle share ``level`` of them. How often these cover was simulated: see
            "How good, and how fast" in the documentation.
        n_resamples : int, default=200
            Number of bootstrap samples.
        random_state : int, RandomState or None, default=None
            Draws them.

        Returns
        -------
        pandas.DataFrame, or dict of ndarray where pandas is not installed
            One row per member, indexed by name (in the dict: "member"). ``weight`` and
            ``temperature`` are the fitted ones; ``log_loss`` is the member's own;
            ``log_loss_without`` that of the other members merged in the same way, and ``gain`` by
            how much it exceeds the loss of all, both cross-validated over five folds of the rows on
            the members' fixed opinions (below 0: the rows do not need the member);
            ``log_loss_standard_error`` and ``gain_standard_error`` are standard errors, the second
            of paired differences; ``loss_estimate`` is the member's loss, after its temperature, in
            ``loss_estimate_``, where there is one; ``disagrees_with_NAME`` the share of rows where
            both predict different labels; ``weight_low`` and ``weight_high`` the interval.

        Warns
        -----
        UserWarning
            If members that were fitted here were trained on some of the rows, and their out-of-fold
            predictions are not at hand: in a model that was loaded from a file, for instance.

        Notes
        -----
        Given weights are not learned: without a member the others' are scaled to add up to 1.
        With ``method="parameters"`` models are merged again for each member and fold.
        """
        check_is_fitted(self, "weights_")
        return member_report(
            self._merged(),
            (X, y, sample_weight),
            getattr(self, "loss_estimate_", None),
            level=level,
            n_resamples=n_resamples,
            random_state=random_state,
        )

    @check_parameters(**RESAMPLING)
    def weight_intervals(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        level: float = 0.95,
        n_resamples: int = 200,
        random_state: Any = None,
    ) -> Array:
        """Intervals of the weights alone, as in `member_report`, which costs more.

        Parameters
        ----------
        X, y : array-like
            Rows and labels, as for `member_report`.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        level : float in (0, 1), default=0.95
            Confidence level.
        n_resamples : int, default=200
            Number of bootstrap samples.
        random_state : int, RandomState or None, default=None
            Draws them.

        Returns
        -------
        ndarray of shape (n_members, 2)
            Lower and upper ends.
        """
        check_is_fitted(self, "weights_")
        how = {"level": level, "n_resamples": n_resamples, "random_state": random_state}
        return weight_intervals(self._merged(), (X, y, sample_weight), **how).T

    def _merged(self) -> Merged:
        return Merged(self._merge, self._settings, self.classes_, self._fitted_rows)

    def members_log_proba(self, X: Any) -> Array:
        """Log-probabilities of the pool of all members.

        With ``method="parameters"`` that is the logit pool of the members, with the weights and
        the members' temperatures of the merge: what the one model was fitted to, and what
        ``FineTunedClassifier(target="members")`` teaches it. Pools give their own.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self, "weights_")
        X = rows_for_columns(X, self._named(), complete=True)
        self._check_features(X, reset=False)
        pool = self._merge.members_pool()
        return log_softmax(pool.scaled(pool.read_scores(X, self)))

    def to_estimator(self, X: Any = None) -> Estimator:
        """One plain estimator of the members' own type that predicts the same.

        It costs as much as what it is made of: one member for linear models, naive Bayes and
        merged parameters; all trees of all members for forests and histogram gradient boosting.
        It can be pickled and used where skmergecal is not installed. Merged nets can be trained
        further by ``partial_fit``; naive Bayes, whose counts of rows belong to its members, and
        averaged SGD cannot.

        Parameters
        ----------
        X : array-like, default=None
            Rows on which both are compared; labels are not needed. ``fit`` keeps no rows, so with
            None 100 rows of standard normal numbers are drawn, which shows that what was folded
            and scaled is right, but not what rounding does far from there. Rows of text,
            for example, cannot be drawn: pass some.

        Returns
        -------
        estimator
            A new fitted estimator, with a temperature folded in where there is one.

        Raises
        ------
        IncompatibleEstimatorsError
            If there is no single estimator of the members' type that gives these probabilities;
            the message names the reason.
        ValueError
            If rows are needed to compare, and X is None.
        """
        check_is_fitted(self, "weights_")
        return to_plain_estimator(self, self._merge, X)

    def _scores(self, X: Any) -> Array:
        if not hasattr(self, "weights_"):  # check_is_fitted reads the tags of every member
            check_is_fitted(self, "weights_")
        X = rows_for_columns(X, self._named(), complete=True)
        self._check_features(X, reset=False)
        return self._merge.read_scores(X, self)

    def _scaled(self, scores: Array) -> Array:
        return self._merge.scaled(scores)

    def _proba(self, scores: Array) -> Array:
        return self._merge.proba(scores)

    def _log_proba(self, scores: Array) -> Array:
        return self._merge.log_proba(scores)

    def _rows(self, X: Any) -> Any:
        return rows_for_columns(X, self._named())

    def _named(self) -> NamedEstimators:
        return [(n, e) for n, e in self._pairs if not isinstance(e, str)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        allow_what_all_allow(tags, (estimator for _, estimator in self._named()))
        return tags


def fitted_merge(merged: MergedClassifier) -> FittedMerge:
    """What a fitted classifier computes with."""
    check_is_fitted(merged, "weights_")
    return merged._merge


def _inner(merged: MergedClassifier) -> Estimator:
    """The model of merged parameters, or the plain estimator of a pool, before the temperature."""
    if hasattr(merged, "merged_estimator_"):
        return merged.merged_estimator_
    return plain_estimator(replace(merged._merge, temperature=1.0))


register_wrapper(MergedClassifier, _inner, temperature=attrgetter("temperature_"))
