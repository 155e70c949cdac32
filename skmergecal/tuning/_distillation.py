"""Distillation of any classifier into a student, and the choice of the share of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.parallel import Parallel, delayed

from skmergecal._compat import _safe_indexing
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import encode_labels
from skmergecal._warnings import Gathered, Warned, warn_again
from skmergecal.members import (
    Cache,
    FitRows,
    LabelledEstimator,
    Member,
    Opinion,
    classes_of,
    concatenate,
    cut_params,
    frozen_members,
    labels_of_codes,
)
from skmergecal.tuning._distillation_report import (
    SHARES,
    DistillationReport,
    choose_share,
    losses_of,
    report_of,
)
from skmergecal.tuning._net_students import fit_nets
from skmergecal.tuning._soft_labels import (
    SoftLabels,
    TeacherFit,
    fit_teacher,
    inner_cv,
    read_frozen,
    seconds_per_row,
)
from skmergecal.tuning._soft_rows import RowCopies, copy_rows
from skmergecal.tuning._students import fit_on_copies, is_net, without_rows_apart

__all__ = ["Distillation", "DistilledModel"]


class _Lesson(NamedTuple):
    """A fitted teacher, and the rows that a student learns from."""

    teacher: TeacherFit
    soft: SoftLabels


class _FoldResult(NamedTuple):
    """Opinions of the rows of a fold, of students and teacher that were fitted without them."""

    students: dict[float, tuple[Member, Opinion]]
    """By the share of the labels."""
    teacher: Array
    """Log-probabilities."""
    warned: list[Warned]


class DistilledModel(NamedTuple):
    """The result."""

    teacher: Estimator
    student: Member
    classes: np.ndarray
    report: DistillationReport
    held_out: tuple[Array, IntArray] | None
    """Log-probabilities of rows that did not train the student, and their numbers."""


@dataclass(frozen=True)
class Distillation:
    """How a student learns from a teacher.

    Attributes
    ----------
    student, teacher : classifier
        Frozen, or to be fitted.
    label_share : float or "auto"
    cv : int, splitter or iterable of (train, test)
    params : dict of str to dict
        Parameters for the fits of "teacher" and "student".
    split_params : dict
        Parameters of the splitter.
    unlabelled : array-like or None
        Further rows, which only the teacher gives a goal.
    synthetic_rows : float
        How many times as many synthetic rows there are.
    seed : int
        For a net.
    n_jobs : int or None
        For the folds.
    """

    student: Estimator
    teacher: Estimator
    label_share: float | str
    cv: Any
    params: dict[str, dict[str, Any]]
    split_params: dict[str, Any]
    unlabelled: Any
    synthetic_rows: float
    seed: int
    n_jobs: int | None

    def run_without_labels(self, X: Any, weight: Array | None) -> DistilledModel:
        """Learn what a frozen teacher gives rows of positive weight."""
        teacher = read_frozen(self.teacher, X, weight)
        codes = np.full(len(teacher.proba), -1, dtype=np.intp)
        soft = SoftLabels(X, teacher.proba, codes, weight, self.params["student"])
        lesson = self._with_unlabelled(_Lesson(teacher, soft))
        member, seconds = self._final(lesson, 0.0)
        report = report_of(0.0, None, {}, codes, None, (teacher.seconds_per_row, seconds))
        return DistilledModel(teacher.estimator, member, teacher.classes, report, None)

    def distil(self, rows: FitRows, *, held_out: bool) -> DistilledModel:
        """Choose the share of the labels, if need be, and fit the student on all rows.

        Parameters
        ----------
        rows : FitRows
        held_out : bool
            Whether log-probabilities of rows that did not train the student are wanted.
        """
        lesson = self._with_unlabelled(self._lesson(rows))
        teacher, classes = lesson.teacher, lesson.teacher.classes
        shares = SHARES if self.label_share == "auto" else (float(self.label_share),)
        codes = lesson.soft.codes[: len(rows.kept)]
        students: dict[float, Array] = {}
        given, held = np.log(np.maximum(teacher.proba, np.finfo(float).tiny)), rows.kept
        if held_out or len(shares) > 1:
            students, given, held = self._hold_out(rows, lesson, shares)
        place = np.searchsorted(rows.kept, held)
        weight = rows.weight_of(held)
        losses = losses_of(students, codes[place])
        share = choose_share(losses, weight) if len(shares) > 1 else shares[0]
        member, seconds = self._final(lesson, share)
        times = (teacher.seconds_per_row, seconds)
        report = report_of(share, given, losses, codes[place], weight, times)
        apart = (students[share], held) if held_out else None
        return DistilledModel(teacher.estimator, member, classes, report, apart)

    def _lesson(self, rows: FitRows, classes: np.ndarray | None = None) -> _Lesson:
        """A teacher of some rows, and what it gives those that it was not trained on."""
        weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
        if isinstance(self.teacher, FrozenEstimator):
            teacher = read_frozen(self.teacher, rows.kept_X, weight)
        else:
            teacher = fit_teacher(
                self.teacher,
                rows,
                cv=self.cv,
                params=self.params["teacher"],
                split_params=self.split_params,
                n_jobs=self.n_jobs,
            )
        teacher = teacher if classes is None else teacher.aligned(classes)
        remedy = "They are unknown to the teacher: drop these rows, or train it on them."
        codes = encode_labels(rows.labels[rows.kept], teacher.classes, remedy=remedy)
        own = cut_params(rows.X, self.params["student"], rows.kept)
        return _Lesson(teacher, SoftLabels(rows.kept_X, teacher.proba, codes, weight, own))

    def _with_unlabelled(self, lesson: _Lesson) -> _Lesson:
        if self.unlabelled is None:
            return lesson
        proba = lesson.teacher.read(self.unlabelled)
        return lesson._replace(soft=lesson.soft.with_unlabelled(self.unlabelled, proba))

    def _final(self, lesson: _Lesson, share: float) -> tuple[Member, float]:
        """The student of all rows, softened if need be, and its time for the prediction of one."""
        member = self._fit_students(lesson, [share])[share]
        opinion = member.opinion(lesson.soft.X)
        seconds = seconds_per_row(member, lesson.soft.X)
        return member.with_softening(opinion, lesson.soft.weight), seconds

    def _hold_out(
        self, rows: FitRows, lesson: _Lesson, shares: Sequence[float]
    ) -> tuple[dict[float, Array], Array, IntArray]:
        """Log-probabilities of held-out rows: of students and of the teacher; and the rows."""
        folds = rows.splits(self.cv, self.split_params)
        done: list[_FoldResult] = Parallel(n_jobs=self.n_jobs)(
            delayed(self._run_fold)(rows, lesson, shares, folds, number)
            for number in range(len(folds))
        )
        warn_again([warning for result in done for warning in result.warned], "the student")
        held = np.concatenate([test for _, test in folds])
        weight = rows.weight_of(held)
        students = {}
        for share in shares:
            opinion = concatenate([result.students[share][1] for result in done])
            member = done[0].students[share][0].with_softening(opinion, weight)
            students[share] = member.log_proba(opinion)
        return students, np.concatenate([result.teacher for result in done]), held

    def _run_fold(
        self,
        rows: FitRows,
        whole: _Lesson,
        shares: Sequence[float],
        folds: Sequence[tuple[IntArray, IntArray]],
        number: int,
    ) -> _FoldResult:
        train, test = folds[number]
        X = _safe_indexing(rows.X, test)
        with Gathered() as warned:
            if isinstance(self.teacher, FrozenEstimator):
                inside, outside = (np.searchsorted(rows.kept, part) for part in (train, test))
                further = np.arange(len(rows.kept), len(whole.soft.codes))
                soft = whole.soft.take(np.concatenate([inside, further]))
                lesson = _Lesson(whole.teacher, soft)
                given = whole.soft.proba[outside]
            else:
                of_fold = self._inside(rows, train, inner_cv(self.cv, folds, number))
                lesson = of_fold._lesson(_some(rows, train), whole.teacher.classes)
                lesson = self._with_unlabelled(lesson)
                given = lesson.teacher.read(X)
            fitted = self._fit_students(lesson, shares)
            students = {share: (member, member.opinion(X)) for share, member in fitted.items()}
        return _FoldResult(students, np.log(np.maximum(given, np.finfo(float).tiny)), warned)

    def _inside(self, rows: FitRows, train: IntArray, cv: Any) -> Distillation:
        """The same for the training rows of a fold, which are split once more."""
        named = {name: cut_params(rows.X, own, train) for name, own in self.params.items()}
        split = cut_params(rows.X, self.split_params, train)
        return replace(self, params=named, split_params=split, cv=cv, n_jobs=None)

    def _fit_students(self, lesson: _Lesson, shares: Sequence[float]) -> dict[float, Member]:
        """Students of the rows of a lesson, by the share of the labels."""
        teacher, own = lesson
        soft = own
        if min(shares) < 1.0:
            soft = own.with_synthetic(teacher, self.synthetic_rows)
        if is_net(self.student):
            nets = fit_nets(self.student, own, soft, teacher, shares, seed=self.seed)
            return {s: _in_columns(n, n.classes, teacher.classes) for s, n in nets.items()}
        return {share: self._fit_on_copies(soft, teacher.classes, share) for share in shares}

    def _fit_on_copies(self, soft: SoftLabels, classes: np.ndarray, share: float) -> Member:
        """A student that is no net, with some share of the labels."""
        student = self.student
        if share == 1.0:
            soft = soft.labelled()
            copies = RowCopies(np.arange(len(soft.codes)), soft.codes, soft.weight)
        else:
            copies = copy_rows(soft.proba, soft.codes, soft.weight, share)
            student = without_rows_apart(student, len(copies.rows))
        return _as_member(fit_on_copies(student, soft, copies, classes), classes)


def _some(rows: FitRows, train: IntArray) -> FitRows:
    """Rows of a fold, all of which count."""
    weight = None if rows.sample_weight is None else rows.sample_weight[train]
    return FitRows.check(_safe_indexing(rows.X, train), rows.labels[train], weight)


def _as_member(fitted: Estimator, classes: np.ndarray) -> Member:
    """A fitted student, with columns for all classes."""
    own = classes_of("student", fitted)
    labels = labels_of_codes(own, classes)
    frozen = FrozenEstimator(fitted) if labels is own else LabelledEstimator(fitted, labels)
    (member,), own = frozen_members([("student", frozen)], Cache(None))
    return _in_columns(member, own, classes)


def _in_columns(member: Member, own: np.ndarray, classes: np.ndarray) -> Member:
    """A member with columns for all classes, of which it knows some."""
    columns = encode_labels(own, classes, remedy="They are classes of the student.")
    return replace(member, columns=columns, n_classes=len(classes))
