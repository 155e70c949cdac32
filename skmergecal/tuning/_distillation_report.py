"""DistillationReport: what a distilled classifier lost and won, beside its teacher and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skmergecal._numerics import mean_and_error, row_losses
from skmergecal._typing import Array, IntArray

__all__ = ["SHARES", "DistillationReport", "choose_share", "losses_of", "report_of"]

#: The share of the labels that is taken unless another one is better by a standard error.
_USUAL_SHARE = 0.5
#: Those that are compared.
SHARES = (0.0, _USUAL_SHARE, 1.0)


@dataclass(frozen=True, repr=False)
class DistillationReport:
    """Log losses of teacher and student on rows that did not train them, and costs.

    ``print(report)`` gives a table. NaN stands for what was not measured: without y no losses, and
    with a fixed ``label_share`` none of the student, which is fitted once.

    Attributes
    ----------
    label_share : float
        Share of the true labels in what the student learned.
    teacher_loss, teacher_standard_error : float
        Of the teacher, in nats.
    labels_loss, labels_standard_error : float
        Of the student that learned the labels only.
    student_loss, student_standard_error : float
        Of the student that learned with ``label_share``.
    gain, gain_standard_error : float
        By how much the student's loss is lower than with labels only: mean of the differences.
    losses_by_share : dict of float to float
        Of the student, for each share of the labels that was tried.
    teacher_seconds, student_seconds : float
        Time for the prediction of a row, in a batch.

    See Also
    --------
    skmergecal.DistilledClassifier : Has one as ``report_``.

    Examples
    --------
    >>> from skmergecal.tuning import DistillationReport
    >>> report = DistillationReport(0.5, 0.42, 0.01, 0.44, 0.01, 0.43, 0.01, 0.01, 0.004,
    ...                             {0.5: 0.43, 1.0: 0.44}, 1e-3, 1e-5)
    >>> round(report.gain_kept, 2)  # of what the teacher is better by
    0.5
    """

    label_share: float
    teacher_loss: float
    teacher_standard_error: float
    labels_loss: float
    labels_standard_error: float
    student_loss: float
    student_standard_error: float
    gain: float
    gain_standard_error: float
    losses_by_share: Mapping[float, float]
    teacher_seconds: float
    student_seconds: float

    @property
    def gain_kept(self) -> float:
        """Share of the teacher's gain over labels that the student has; NaN if it has none."""
        possible = self.labels_loss - self.teacher_loss
        return self.gain / possible if possible > 0 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """All values as a dict of types that ``json`` can serialise.

        Returns
        -------
        dict
            By the names of the attributes.
        """
        found = asdict(self)
        found["losses_by_share"] = {str(s): loss for s, loss in self.losses_by_share.items()}
        return {**found, "gain_kept": self.gain_kept}

    def __str__(self) -> str:
        """A table of losses and times."""
        share = f"student, label share {self.label_share:g}"
        lines = [
            f"{'':<26}{'log loss':>10}{'+-':>10}{'a row':>12}",
            _line("teacher", self.teacher_loss, self.teacher_standard_error, self.teacher_seconds),
            _line("student on labels", self.labels_loss, self.labels_standard_error),
            _line(share, self.student_loss, self.student_standard_error, self.student_seconds),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"DistillationReport(label_share={self.label_share:g}, "
            f"student_loss={self.student_loss:.4g} +- {self.student_standard_error:.2g}, "
            f"labels_loss={self.labels_loss:.4g}, teacher_loss={self.teacher_loss:.4g}, "
            f"gain={self.gain:.3g} +- {self.gain_standard_error:.2g})"
        )


def _line(name: str, loss: float, error: float, seconds: float | None = None) -> str:
    time = "" if seconds is None else f"{1e6 * seconds:.3g} us"
    return f"{name:<26}{loss:>10.4g}{error:>10.2g}{time:>12}"


def choose_share(losses: Mapping[float, Array], weight: Array | None) -> float:
    """The share of the labels: the usual one, unless another is better by a standard error.

    Parameters
    ----------
    losses : dict of float to ndarray of shape (n_held_out,)
        The student's loss on each row, for each share.
    weight : ndarray of shape (n_held_out,) or None

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.tuning._distillation_report import choose_share
    >>> usual = np.array([0.4, 0.5, 0.6, 0.5])
    >>> choose_share({0.0: usual - 0.1, 0.5: usual, 1.0: usual - [0.3, -0.3, 0.3, -0.2]}, None)
    0.0
    """
    best, lowest = _USUAL_SHARE, 0.0
    for share, own in losses.items():
        difference, error = mean_and_error(own - losses[_USUAL_SHARE], weight)
        if share != _USUAL_SHARE and difference < -error and difference < lowest:
            best, lowest = share, difference
    return best


def report_of(
    label_share: float,
    teacher: Array | None,
    students: Mapping[float, Array],
    codes: IntArray,
    weight: Array | None,
    seconds: tuple[float, float],
) -> DistillationReport:
    """The report.

    Parameters
    ----------
    label_share : float
    teacher : ndarray of shape (n_held_out, n_classes) or None
        Its log-probabilities of held-out rows.
    students : dict of float to ndarray of shape (n_held_out,)
        Losses of each row, by the share of the labels.
    codes : ndarray of shape (n_held_out,)
        Column numbers of the true classes.
    weight : ndarray of shape (n_held_out,) or None
    seconds : tuple of float
        Of teacher and student, for a row.
    """
    nothing = (float("nan"), float("nan"))
    measured = nothing if teacher is None else mean_and_error(row_losses(teacher, codes), weight)
    own = {share: mean_and_error(losses, weight) for share, losses in students.items()}
    gain = nothing
    if label_share in students and 1.0 in students:
        gain = mean_and_error(students[1.0] - students[label_share], weight)
    return DistillationReport(
        label_share,
        *measured,
        *own.get(1.0, nothing),
        *own.get(label_share, nothing),
        *gain,
        {share: mean for share, (mean, _) in own.items()},
        *seconds,
    )


def losses_of(log_proba: Mapping[float, Array], codes: IntArray) -> dict[float, Array]:
    """Losses of rows, by the share of the labels."""
    return {share: np.asarray(row_losses(z, codes)) for share, z in log_proba.items()}
