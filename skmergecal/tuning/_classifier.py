"""FineTunedClassifier: a fitted net, or a merged one, trained further."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skmergecal._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    _num_samples,
    _raise_for_params,
    _safe_indexing,
    allow_what_all_allow,
    with_callbacks,
)
from skmergecal._estimator import HeldOutScores, LogProbaClassifier
from skmergecal._training import AUGMENTS, SCHEDULES, TrainingPlan
from skmergecal._typing import Array, Estimator, IntArray, NamedEstimators
from skmergecal._validation import check_sample_weight, count_rows
from skmergecal._warnings import warns_once
from skmergecal.members import (
    FitRows,
    Member,
    check_estimator,
    cut_params,
    route_fit_params,
)
from skmergecal.parameters import register_wrapper
from skmergecal.tuning._progress import Progress
from skmergecal.tuning._run import TunedModel, TuningData, TuningRun

__all__ = ["FineTunedClassifier"]


class FineTunedClassifier(CallbackSupportMixin, LogProbaClassifier):
    """Train a fitted classifier further, on a copy: with labels, or with its members' opinions.

    Parameters
    ----------
    estimator : classifier
        A ``FrozenEstimator`` goes on from its fitted state. Anything else is cloned, fitted on the
        rows of ``fit``, and then trained further on them. Can be a skorch net, an MLPClassifier, a
        classifier with ``partial_fit`` (SGDClassifier), a Pipeline that ends in one, one inside a
        `TemperatureCalibrator` (whose temperature goes into the last layer), or a
        `MergedClassifier` with ``method="parameters"``, whose one model is trained. Samplers of
        imbalanced-learn in a Pipeline take part in the first fit only.
    epochs : int, default=5
        Passes over the rows. 0 leaves the estimator as it is.
    learning_rate : float, default=None
        The largest. None is the estimator's own, or 0.005 with ``target="members"``.
    batch_size : int, default=128
        Number of rows in a gradient step of a net. Classifiers with ``partial_fit`` cut the rows by
        themselves.
    target : {"labels", "members"}, default="labels"
        What is learned: y, or the pooled probabilities of the members that a merged classifier was
        made of (distillation). The latter takes rows without labels, too.
    teacher : classifier, default=None
        With ``target="members"``: whose probabilities are learned, instead of the members'. Frozen,
        or fitted on the rows of ``fit``.
    label_share : float, default=0.0
        With ``target="members"``: the share of the true labels in what is learned, from 0 to 1.
        Nets that were stopped early gain from labels, nets that have memorised their rows do not.
    augment : {"mixup", "jitter", "both"} or None, default=None
        With ``target="members"``: learn from synthetic rows, which the teacher labels: a new set in
        each of the first eight epochs, then these in turn. "mixup" moves each row up to half of the
        way to another one, "jitter" adds noise with a fifth of each column's deviation, "both" adds
        noise to all rows and moves half of them. Worth it where the teacher has memorised the rows,
        with ``epochs=50`` and ``learning_rate=0.01``.
    schedule : {"constant", "one_cycle"} or None, default=None
        How the learning rate changes. None is "constant" for labels, "one_cycle" for members.
    weight_decay : float, default=None
        How fast the weights of a net shrink, apart from the gradient where its optimiser does that
        (AdamW). None leaves what the net has (``alpha`` of an MLPClassifier); 1e-4 for members.
    average : bool, default=False
        Take the mean of the parameters after each epoch of the second half (stochastic weight
        averaging). For nets.
    early_stopping : bool, default=False
        Hold out rows, stop when their log loss no longer falls (not before the end of
        "one_cycle"), and keep the parameters that were best on them, perhaps those of the start.
    validation_fraction : float, default=0.1
        Share of the rows that early stopping holds out.
    n_iter_no_change : int, default=5
        Epochs without improvement before early stopping.
    cv : int, splitter or iterable, default=5
        How the rows are split where a following step needs opinions of rows that training did not
        see: in a `TemperatureCalibrator`, or in ``fit_transform``. ``fit`` does not use it.
    random_state : int, RandomState instance or None, default=None
        Draws batches, held-out and synthetic rows, and dropout.
    verbose : int, default=0
        Above 0, a line is printed after each epoch.

    Attributes
    ----------
    estimator_ : classifier
        The trained classifier, of the type of what was trained: a net, or a Pipeline with one.
    classes_ : ndarray of shape (n_classes,)
        Labels. Those of a frozen start, also where the rows miss some.
    loss_curve_ : list of float
        Mean training loss of each epoch, in nats for a cross-entropy.
    validation_curve_ : list of float
        With early stopping: cross-entropy of the held-out rows, before training and after each
        epoch.
    n_epochs_ : int
        Epochs that the parameters have had.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names.

    See Also
    --------
    skmergecal.MergedClassifier : Merges classifiers; takes this one as a member, or inside.
    skmergecal.fit_orders : All orders of merging, tuning and calibrating.

    Notes
    -----
    A skorch net keeps its optimiser (started again), criterion and dropout; its callbacks and its
    ``train_split`` take no part. An MLPClassifier keeps its solver ("lbfgs" becomes Adam). Nothing
    that is passed in is changed, also when training is interrupted. Where the members of a merged
    net had scalers, it is trained on scaled rows. In batches, a weight of 2 and two equal rows
    differ only by chance.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
    https://doi.org/10.48550/arXiv.1503.02531.

    Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018,
    https://doi.org/10.48550/arXiv.1803.05407.

    Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018,
    https://doi.org/10.48550/arXiv.1710.09412.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import SGDClassifier
    >>> from skmergecal import FineTunedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X[:500] / 16, y[:500])
    >>> tuned = FineTunedClassifier(FrozenEstimator(model), random_state=0)
    >>> tuned = tuned.fit(X[500:1000] / 16, y[500:1000])
    >>> tuned.n_epochs_, tuned.loss_curve_[-1] < tuned.loss_curve_[0]
    (5, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"])],
        "epochs": [Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "target": [StrOptions({"labels", "members"})],
        "teacher": [HasMethods(["fit"]), None],
        "label_share": [Interval(Real, 0, 1, closed="both")],
        "augment": [StrOptions(set(AUGMENTS)), None],
        "schedule": [StrOptions(set(SCHEDULES)), None],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "average": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Estimator,
        *,
        epochs: int = 5,
        learning_rate: float | None = None,
        batch_size: int = 128,
        target: str = "labels",
        teacher: Estimator | None = None,
        label_share: float = 0.0,
        augment: str | None = None,
        schedule: str | None = None,
        weight_decay: float | None = None,
        average: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        cv: Any = 5,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.target = target
        self.teacher = teacher
        self.label_share = label_share
        self.augment = augment
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.cv = cv
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_unlabeled: Any = None,
        **params: Any,
    ) -> Self:
        """Train further.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Passed on as it is.
        y : array-like of shape (n_samples,), default=None
            Labels of any kind. A frozen estimator that learns from members needs none.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts. Rows of weight 0 are left out.
        X_unlabeled : array-like of shape (n_rows, n_features), default=None
            Further rows for ``target="members"``, which needs no labels, and for a
            `MergedClassifier` that is fitted here.
        **params : dict
            Parameters for the estimator's ``fit`` and the splitter, by metadata routing.

        Returns
        -------
        FineTunedClassifier
            This object, fitted.

        Raises
        ------
        ValueError
            If the estimator is not of a kind that can be trained further, or there is nothing to
            learn from.
        """
        self._fit(X, y, sample_weight, {**params, "X_unlabeled": X_unlabeled}, held_out=False)
        return self

    @warns_once
    @with_callbacks
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> HeldOutScores | None:
        data, kept, folds = self._checked(X, y, sample_weight, params, held_out)
        context = self._init_callback_context(max_subtasks=1 + len(folds))
        if context is not None:
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        tuning = self._tuning(context)
        tuned = tuning.tune(data)
        parts = [tuning.held_out(data, train, test, tuned.classes) for train, test in folds]
        if context is not None:
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        self._set_fitted(tuned)
        self._check_features(X, reset=True)
        if not held_out:
            return None
        if not folds:
            return HeldOutScores(self._scores(data.X), kept)
        return HeldOutScores(
            np.concatenate(parts), kept[np.concatenate([test for _, test in folds])]
        )

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], held_out: bool
    ) -> tuple[TuningData, IntArray, list[tuple[IntArray, IntArray]]]:
        """What there is to learn from; its rows of X; and folds of it where these are needed."""
        check_estimator("estimator", self.estimator)
        params = dict(params)
        unlabeled = params.pop("X_unlabeled", None)
        n_rows = count_rows(X)
        if unlabeled is not None:
            count_rows(unlabeled, "X_unlabeled")
        frozen = isinstance(self.estimator, FrozenEstimator)
        soft = self.target == "members"
        takes = not frozen and has_fit_parameter(self.estimator, "X_unlabeled")
        share = self.label_share or None
        given_for_members = {
            "teacher": self.teacher,
            "label_share": share,
            "augment": self.augment,
        }
        for name, given in given_for_members.items():
            if given is not None and not soft:
                msg = f"{name} is for target='members'; got {name}={given!r} with target='labels'"
                raise ValueError(msg)
        if unlabeled is not None and not (soft or takes):
            msg = "X_unlabeled teaches nothing here: use it with target='members', or leave it out"
            raise ValueError(msg)
        if frozen and (n_rows == 0 or (y is None and soft)):
            _raise_for_params(params, self, "fit")
            return (*_without_labels(X, sample_weight, unlabeled), [])
        rows = FitRows.check(X, y, sample_weight)
        routed = route_fit_params(self, self._named(), sample_weight, params)
        own = cut_params(X, routed[0].get("estimator", {}), rows.kept)
        if takes:
            own["X_unlabeled"] = unlabeled
        weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
        data = TuningData(rows.kept_X, rows.labels[rows.kept], weight, unlabeled, own)
        folds = rows.splits(self.cv, routed[1]) if held_out else []
        kept = rows.kept
        places = [(np.searchsorted(kept, a), np.searchsorted(kept, b)) for a, b in folds]
        return data, kept, places

    def _tuning(self, context: Any) -> TuningRun:
        soft = self.target == "members"
        plan = TrainingPlan(
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            learning_rate=self.learning_rate,
            schedule=self.schedule or ("one_cycle" if soft else "constant"),
            weight_decay=self.weight_decay,
            average=bool(self.average),
            n_iter_no_change=int(self.n_iter_no_change),
        )
        return TuningRun(
            estimator=self.estimator,
            plan=plan,
            soft=soft,
            teacher=self.teacher,
            augment=self.augment,
            validation_fraction=self.validation_fraction if self.early_stopping else None,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            progress=Progress(self, context, int(self.verbose)),
            label_share=float(self.label_share),
        )

    def _set_fitted(self, tuned: TunedModel) -> None:
        self._forget()
        self._member: Member = tuned.member
        self.classes_ = tuned.classes
        self.estimator_ = tuned.member.estimator
        self._target = self.target
        self.loss_curve_ = tuned.history.loss
        self.n_epochs_ = tuned.history.best_epoch
        if self.early_stopping:
            self.validation_curve_ = tuned.history.validation_loss

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["_member", "_target"]

    def _follows(self) -> dict[str, Any]:
        return {"estimator_": self._member.estimator} if hasattr(self, "_member") else {}

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self, "classes_")
        self._check_features(X, reset=False)
        return self._member.read_log_proba(X)

    def _scaled(self, scores: Array) -> Array:
        return scores

    def _named(self) -> NamedEstimators:
        return [("estimator", self.estimator)]

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        fitted = hasattr(self, "estimator_")
        epochs = self.n_epochs_ if fitted else self.epochs
        inner = self.estimator_ if fitted else self.estimator
        target = self._target if fitted else self.target
        return [("estimator", inner, "")], f"tuned on {target}, {epochs} epochs"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        allow_what_all_allow(tags, [self.estimator])
        return tags


def _without_labels(X: Any, sample_weight: Any, unlabeled: Any) -> tuple[TuningData, IntArray]:
    """Rows for a teacher, those of weight 0 left out, and their numbers."""
    n_rows = _num_samples(X)
    if n_rows == 0 or sample_weight is None:
        return TuningData(X, None, unlabeled=unlabeled), np.arange(n_rows)
    weight = check_sample_weight(sample_weight, n_rows)
    assert weight is not None
    kept = np.flatnonzero(weight)
    return TuningData(_safe_indexing(X, kept), None, weight[kept], unlabeled), kept


def tuned_member(tuned: FineTunedClassifier) -> Member:
    """The member that a fitted classifier gives the log-probabilities of."""
    check_is_fitted(tuned, "classes_")
    return tuned._member


register_wrapper(FineTunedClassifier, lambda tuned: tuned.estimator_)
