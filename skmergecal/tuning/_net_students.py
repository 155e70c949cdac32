"""Nets as students: fitted to the labels once, and trained from there towards soft labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._training import TrainingPlan
from skmergecal._typing import Estimator
from skmergecal.members import LabelledEstimator, Member, classes_of, sample_weight_param
from skmergecal.tuning._progress import Progress
from skmergecal.tuning._run import TuningData, TuningRun
from skmergecal.tuning._soft_labels import SoftLabels, TeacherFit

__all__ = ["fit_nets"]

#: A net learns probabilities for as long as FineTunedClassifier advises for teachers that know the
#: rows by heart, few rows twice as long; and labels as long as that does by default.
_SOFT_PLAN = TrainingPlan(50, 128, 0.01, "one_cycle", None, False, 5)
_LABEL_PLAN = TrainingPlan(5, 128, None, "constant", None, False, 5)
#: Rows that are learned in all, where they are few. On 11 data sets of 4,000 to 6,000 rows with the
#: synthetic ones, the median of what is kept of the teacher's gain was .61 with 50 epochs, .67 with
#: 100.
_SOFT_ROWS = 600_000


def fit_nets(
    student: Estimator,
    own: SoftLabels,
    soft: SoftLabels,
    teacher: TeacherFit,
    shares: Sequence[float],
    *,
    seed: int,
) -> dict[float, Member]:
    """Nets by the share of the labels, all from one fit to the labels, or from a frozen net.

    Parameters
    ----------
    student : classifier
        Not changed.
    own : SoftLabels
        Of the rows that are there, to which a net is fitted first.
    soft : SoftLabels
        Of these and of synthetic ones, which nets learn then.
    teacher : TeacherFit
    shares : sequence of float
        With 1 a frozen net is trained towards the labels; any other is its own fit.
    seed : int

    Returns
    -------
    dict of float to Member
        With columns for the classes that each knows.
    """
    training = _Training(student, teacher, seed)
    start, found = student, {}
    if not isinstance(student, FrozenEstimator):
        labelled = own.labelled() if (own.codes >= 0).any() else own
        first = training.fitted(_with_all_classes(labelled))
        start, found = _frozen(first), {1.0: first}
    return {s: found.get(s) or training.trained(start, soft, s) for s in shares}


def _with_all_classes(soft: SoftLabels) -> SoftLabels:
    """Labelled rows, with the most probable row of each class that has none as one of it.

    A net gets to know no other classes than those of the rows that it is fitted on.
    """
    lost = np.setdiff1d(np.arange(soft.proba.shape[1]), soft.best_codes)
    if not len(lost):
        return soft
    further = soft.proba[:, lost].argmax(axis=0)
    whole = soft.take(np.concatenate([np.arange(len(soft.codes)), further]))
    return replace(whole, codes=np.concatenate([soft.best_codes, lost]))


def _frozen(member: Member) -> Estimator:
    """The net of a member, with the labels that it knows."""
    net = member.estimator
    if np.array_equal(classes_of("student", net), member.classes):
        return FrozenEstimator(net)
    return LabelledEstimator(net, member.classes)


@dataclass(frozen=True)
class _Training:
    student: Estimator
    teacher: TeacherFit
    seed: int

    def fitted(self, soft: SoftLabels) -> Member:
        """A clone of the student, fitted to labels."""
        return self._trained(self.student, replace(_LABEL_PLAN, epochs=0), soft, None)

    def trained(self, start: Estimator, soft: SoftLabels, share: float) -> Member:
        """A fitted net, trained on towards a mixture of soft labels and labels."""
        if share == 1.0:
            return self._trained(start, _LABEL_PLAN, soft.labelled(), None)
        epochs = min(max(_SOFT_ROWS // len(soft.codes), _SOFT_PLAN.epochs), 2 * _SOFT_PLAN.epochs)
        return self._trained(start, replace(_SOFT_PLAN, epochs=epochs), soft, share)

    def _trained(
        self, estimator: Estimator, plan: TrainingPlan, soft: SoftLabels, share: float | None
    ) -> Member:
        """Learn a mixture with a share of the labels; None: only these."""
        params = dict(soft.params)
        if soft.weight is not None and (name := sample_weight_param(self.student)) is not None:
            params[name] = soft.weight
        tuning = TuningRun(
            estimator=estimator,
            plan=plan,
            soft=share is not None,
            teacher=FrozenEstimator(self.teacher.estimator),
            augment=None,
            validation_fraction=None,
            seed=self.seed,
            progress=Progress(self.student, None, 0),
            label_share=share or 0.0,
        )
        labels = self.teacher.classes[soft.best_codes]
        goals = None if share is None else soft.proba
        known = np.flatnonzero(soft.codes >= 0)
        data = TuningData(soft.X, labels, soft.weight, None, params, goals, known)
        return tuning.tune(data).member.softened(0.0)
