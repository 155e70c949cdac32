"""Run of further training: from a fitted classifier and rows to the trained one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._training import (
    SETS,
    Examples,
    History,
    OpenedEstimator,
    TrainingPlan,
    check_augmentable,
    draw_mixture,
    open_estimator,
    stacked,
    synthetic_rows,
    train,
)
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import encode_labels
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import (
    Cache,
    FitRows,
    Member,
    collect,
    copy_fitted,
    cut_params,
    fitted_member,
    frozen_members,
)
from skmergecal.tuning._progress import Progress
from skmergecal.tuning._teacher import Teacher, find_teacher

__all__ = ["TunedModel", "TuningData", "TuningRun"]


@dataclass(frozen=True)
class TuningData:
    """What there is to learn from.

    Attributes
    ----------
    X : array-like
    labels : ndarray of shape (n_samples,) or None
        None where there are none, or no rows.
    weight : ndarray of shape (n_samples,) or None
        Positive.
    unlabeled : array-like or None
        Further rows, for a teacher.
    params : dict
        Parameters for the fit of an estimator that is not frozen.
    goals : ndarray of shape (n_samples, n_classes) or None
        Probabilities to learn, columns in the order of the classes; None: the teacher is asked.
    labelled : ndarray of int or None
        Those rows whose labels are the true ones; None: all.
    """

    X: Any
    labels: np.ndarray | None
    weight: Array | None = None
    unlabeled: Any = None
    params: dict[str, Any] | None = None
    goals: Array | None = None
    labelled: IntArray | None = None


@dataclass(frozen=True)
class TunedModel:
    """The result.

    Attributes
    ----------
    member : Member
        The trained estimator, and how it is read.
    classes : ndarray of shape (n_classes,)
    history : History
    """

    member: Member
    classes: np.ndarray
    history: History


@dataclass(frozen=True)
class TuningRun:
    """Further training, ready for any rows.

    Attributes
    ----------
    estimator : classifier
        Frozen: what is trained; else a copy is fitted first.
    plan : TrainingPlan
    soft : bool
        Whether it learns from a teacher, not from labels.
    teacher : classifier or None
    augment : str or None
    validation_fraction : float or None
        Share of the rows that is held out to stop on.
    seed : int
    progress : Progress
    label_share : float
        Share of the labels in what it learns from a teacher.
    """

    estimator: Estimator
    plan: TrainingPlan
    soft: bool
    teacher: Estimator | None
    augment: str | None
    validation_fraction: float | None
    seed: int
    progress: Progress
    label_share: float = 0.0

    def tune(self, data: TuningData) -> TunedModel:
        """Fit, if need be, and train."""
        member, classes = self._fitted(data)
        opened = open_estimator(member.estimator)
        own = opened.classes(member.classes)
        columns = encode_labels(own, classes, remedy="They are classes of the estimator.")
        rows, weight = self._rows(data)
        if _num_samples(rows) == 0 or self.plan.epochs == 0 or len(classes) == 1:
            opened.trainee()  # what cannot be trained is refused here, too
            estimator, history = opened.rebuilt(copy_fitted(opened.net)), History([], [], 0)
        else:
            opened = opened.scaled(rows)
            teach: Teacher | None = None
            goals: np.ndarray
            if self.soft:
                teacher_proba = find_teacher(self.teacher, opened, classes, data.X, data.labels)
                teach = partial(_columns_of, teacher_proba, columns)
                goals = teach(rows) if data.goals is None else data.goals[:, columns]
                labels = self._share_of_labels(data, goals.shape, own)
                goals = _mixed(goals, labels)
            else:
                labels, goals = None, encode_labels(np.asarray(data.labels), own, remedy=_KNOWN)
            estimator, history = self._train(opened, Examples(rows, goals, weight, labels), teach)
        tuned = replace(fitted_member("estimator", estimator, member), classes=own, columns=columns)
        cache = Cache(None)
        amount = cache.softening(tuned, cache.data(rows), weight) if _num_samples(rows) else 0.0
        return TunedModel(tuned.softened(amount), classes, history)

    def _share_of_labels(
        self, data: TuningData, shape: tuple[int, ...], own: np.ndarray
    ) -> Array | None:
        """What labels are of the goals; the first rows have labels, or those that are known to."""
        if not self.label_share or data.labels is None:
            return None
        part = np.zeros(shape)
        rows = np.arange(len(data.labels)) if data.labelled is None else data.labelled
        part[rows, encode_labels(data.labels[rows], own, remedy=_KNOWN)] = self.label_share
        return part

    def held_out(
        self, data: TuningData, train: IntArray, test: IntArray, classes: np.ndarray
    ) -> Array:
        """Log-probabilities of rows from a training without them, columns in order of classes."""
        assert data.labels is not None
        fold = replace(
            data,
            X=_safe_indexing(data.X, train),
            labels=data.labels[train],
            weight=None if data.weight is None else data.weight[train],
            params=cut_params(data.X, data.params or {}, train),
        )
        tuned = self.tune(fold).member
        columns = encode_labels(tuned.classes, classes, remedy="They are classes of a fold.")
        member = replace(tuned, columns=columns, n_classes=len(classes))
        if len(member.missing):
            member = member.softened(1 / (len(train) + 1))
        return member.read_log_proba(_safe_indexing(data.X, test))

    def _fitted(self, data: TuningData) -> tuple[Member, np.ndarray]:
        """The estimator fitted, or as it is, as a member; and the classes."""
        estimators = [("estimator", self.estimator)]
        if data.labels is None:
            (member,), classes = frozen_members(estimators, Cache(None))
            return member, classes
        try:
            found = collect(
                estimators,
                FitRows.check(data.X, data.labels, data.weight),
                cv=None,
                routed=({"estimator": data.params or {}}, {}),
                cache=Cache(None),
                n_jobs=None,
                held_out=False,
                opinions=False,
            )
        except IncompatibleEstimatorsError as error:
            if self.soft:
                error.add_note(
                    "to train one net towards unlike members, pass the net as the estimator and "
                    "their pool as teacher="
                )
            raise
        return found.members[0], found.classes

    def _rows(self, data: TuningData) -> tuple[Any, Array | None]:
        """The rows to train on, and their weights."""
        if not self.soft or data.unlabeled is None:
            return data.X, data.weight
        rows = stacked(data.X, data.unlabeled)
        if data.weight is None:
            return rows, None
        return rows, np.concatenate([data.weight, np.ones(_num_samples(data.unlabeled))])

    def _train(
        self, opened: OpenedEstimator, examples: Examples, teach: Teacher | None
    ) -> tuple[Estimator, History]:
        """Train a copy of the net; examples have rows as the user passes them."""
        rng = np.random.default_rng(self.seed)
        held_out = None
        if self.validation_fraction is not None:
            examples, held_out = _split(examples, self.validation_fraction, self.seed)
            held_out = held_out._replace(X=opened.rows(held_out.X))
        redraw = None
        if self.augment is not None and teach is not None:
            check_augmentable(examples.X)
            redraw = _Redraw(opened, examples, teach, self.augment)
        trainee = opened.trainee(self.seed)
        self.progress.begin(self.plan.epochs)
        history = train(
            trainee,
            examples._replace(X=opened.rows(examples.X)),
            self.plan,
            rng,
            held_out=held_out,
            redraw=redraw,
            progress=self.progress.epoch,
        )
        self.progress.end()
        return opened.rebuilt(trainee.to_estimator()), history


_KNOWN = "The estimator that is trained further knows no others: drop these rows."


def _columns_of(teacher_proba: Teacher, columns: IntArray, X: Any) -> Array:
    return teacher_proba(X)[:, columns]


@dataclass(frozen=True)
class _Redraw:
    """A few sets of synthetic examples, labelled in the first epochs and then gone round.

    Teachers are slow. Rows are not, and take room: they are drawn again, and come out the same.
    """

    opened: OpenedEstimator
    examples: Examples
    teach: Teacher
    augment: str
    labelled: list[tuple[Any, Array]] = field(default_factory=list)
    """For each set the state of the generator before it, and its goals."""

    def __call__(self, epoch: int, rng: np.random.Generator) -> Examples:
        if len(self.labelled) < SETS:
            state = rng.bit_generator.state
            X = self._rows(rng)
            goals = _mixed(self.teach(X), self._labels(state))
            self.labelled.append((state, goals))
        else:
            state, goals = self.labelled[(epoch - 1) % SETS]
            X = self._rows(_generator_in(state))
        return Examples(self.opened.rows(X), goals, self.examples.weight)

    def _rows(self, rng: np.random.Generator) -> Any:
        return synthetic_rows(self.examples.X, self.augment, self.opened.whole_columns(), rng)

    def _labels(self, state: Any) -> Array | None:
        """What labels are of the goals: those of both rows that a synthetic row lies between."""
        own = self.examples.labels
        if own is None:
            return None
        partner, share = draw_mixture(len(own), self.augment, _generator_in(state))
        return own + share[:, None] * (own[partner] - own)


def _generator_in(state: Any) -> np.random.Generator:
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    return generator


def _mixed(proba: Array, labels: Array | None) -> Array:
    """A teacher's probabilities, mixed with labels as far as these have a share."""
    if labels is None:
        return proba
    return proba * (1 - labels.sum(axis=1, keepdims=True)) + labels


def _split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Examples to train on and to stop on, of every class in both where that is possible."""
    goals = examples.goals
    n_held_out = int(np.ceil(share * len(goals)))
    strata = None
    if goals.ndim == 1:
        counts = np.unique(goals, return_counts=True)[1]
        if counts.min() > 1 and len(counts) <= min(n_held_out, len(goals) - n_held_out):
            strata = goals
    parts = train_test_split(
        np.arange(len(goals)), test_size=share, stratify=strata, random_state=seed
    )
    kept, held_out = (_rows_of(examples, rows) for rows in parts)
    return kept, held_out


def _rows_of(examples: Examples, rows: IntArray) -> Examples:
    X, goals, weight, labels = examples
    return Examples(
        _safe_indexing(X, rows),
        goals[rows],
        None if weight is None else weight[rows],
        None if labels is None else labels[rows],
    )
