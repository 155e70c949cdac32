"""Decomposition of a proper loss: what recalibration would correct, and what it would not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skmergecal._numerics import soften
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_parameters
from skmergecal.metrics._checks import check_choice
from skmergecal.metrics._recalibration import RECALIBRATIONS, recalibrate
from skmergecal.metrics._scored import Scored, needs_arrays, reduce_scored, scored_rows

__all__ = ["LossDecomposition", "decompose_brier_score", "decompose_log_loss"]

Method = Literal["temperature", "isotonic", "class-wise"]
#: (probabilities, labels, amount by which zeros are softened) -> loss of each row.
Loss = Callable[[Array, IntArray, float], Array]


@dataclass(frozen=True)
class LossDecomposition:
    """Parts of a mean loss.

    ``total = calibration + refinement`` and ``refinement = uncertainty - resolution``.

    Attributes
    ----------
    total : float
        The mean loss of the probabilities.
    calibration : float
        The loss that recalibration removes. Negative where recalibration increases the loss, as it
        may slightly for calibrated probabilities on rows that the map was not fitted on.
    refinement : float
        The loss that is left after recalibration.
    uncertainty : float
        The loss of the weighted frequencies of the classes, the same for every row.
    resolution : float
        How much lower the loss of the recalibrated probabilities is than ``uncertainty``.

    See Also
    --------
    skmergecal.metrics.decompose_log_loss : Makes one, of the log loss.
    skmergecal.metrics.decompose_brier_score : Makes one, of the Brier score.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.metrics import decompose_brier_score
    >>> parts = decompose_brier_score([0, 0, 0, 1] * 10, np.tile([0.9, 0.1], (40, 1)))
    >>> round(parts.total, 3), round(parts.calibration, 3), round(parts.refinement, 3)
    (0.42, 0.045, 0.375)
    >>> round(abs(parts.resolution), 3)  # the same forecast for all rows sets none apart
    0.0
    """

    total: float
    calibration: float
    refinement: float
    uncertainty: float
    resolution: float


def _log_losses(p: Array, y: IntArray, amount: float) -> Array:
    return np.asarray(-soften(p, amount)[np.arange(len(y)), y])


def _brier_losses(p: Array, y: IntArray, _: float) -> Array:
    return np.asarray(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1))


def _decompose(
    losses: Loss, y: Any, proba: Any, method: str, cv: Any, sample_weight: Any
) -> LossDecomposition:
    check_choice("method", method, tuple(RECALIBRATIONS))
    if method != "temperature":
        instead = ', or method="temperature"'
        needs_arrays(f'method="{method}"', y, proba, sample_weight, instead=instead)
    with scored_rows(y, proba, sample_weight) as given:
        rows = given.map(Scored.kept).stored("scored rows")
        loss, weight, counts = reduce_scored(rows, _first_sums, losses, what="loss")
        recalibrated, amount = recalibrate(method, rows, cv)
        refinement = recalibrated.reduce(_sum_of_losses, losses, amount, what="refinement")
        frequencies = counts / weight
        uncertainty = rows.reduce(_sum_of_losses_of, losses, frequencies, what="uncertainty")
    sums = (loss, refinement, uncertainty)
    total, refinement, uncertainty = (float(own / weight) for own in sums)
    return LossDecomposition(
        total=total,
        calibration=total - refinement,
        refinement=refinement,
        uncertainty=uncertainty,
        resolution=uncertainty - refinement,
    )


def _first_sums(rows: Scored, losses: Loss) -> tuple[float, float, Array]:
    """Those of the losses, of the weights, and of the weights in each class."""
    counts: Array = np.bincount(rows.y, rows.weight, rows.p.shape[1]).astype(np.float64)
    return _sum_of_losses(rows, losses, 0.0), rows.total(), counts


def _sum_of_losses(rows: Scored, losses: Loss, amount: float) -> float:
    return float((losses(rows.p, rows.y, amount) * rows.weight).sum())


def _sum_of_losses_of(rows: Scored, losses: Loss, forecast: Array) -> float:
    """That of one forecast for every row."""
    same = np.tile(forecast, (len(rows.y), 1))
    return float((losses(same, rows.y, 0.0) * rows.weight).sum())


@check_parameters(cv=["cv_object"])
def decompose_log_loss(
    y: Any,
    proba: Any,
    *,
    method: Method = "temperature",
    cv: Any = 5,
    sample_weight: Any = None,
) -> LossDecomposition:
    """Decompose the log loss by recalibration.

    The refinement is the loss after the best of all recalibrations. Every family of maps bounds
    it from above; cross-validation keeps a flexible family from fitting noise. The loss that the
    family removes is the part of the calibration error that the family can express.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities. Rows are scaled to sum to 1, zeros are replaced by the smallest positive
        float.
    method : {"temperature", "isotonic", "class-wise"}, default="temperature"
        One temperature; an increasing function per class, one against the rest (one function for
        two classes); a scale and a shift of each class's log-probability.
    cv : int, splitter or None, default=5
        Each row is recalibrated by a map fitted on the other folds; an integer means stratified
        folds without shuffling. None: one map, fitted on the rows that it is scored on, which
        makes the calibration part optimistic, but with binary "isotonic" never negative.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    LossDecomposition
        In nats.

    See Also
    --------
    skmergecal.metrics.LossDecomposition : What it returns.
    skmergecal.metrics.decompose_brier_score : The same for the Brier score.

    References
    ----------
    Berta, Holzmüller, Jordan and Bach, "Rethinking Early Stopping: Refine, Then Calibrate", 2025
    (refinement as the loss after the best recalibration),
    https://doi.org/10.48550/arXiv.2501.19195.

    Bröcker, "Reliability, sufficiency, and the decomposition of proper scores", QJRMS 2009,
    https://doi.org/10.1002/qj.456.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.metrics import decompose_log_loss
    >>> y = [0, 0, 0, 1] * 10
    >>> parts = decompose_log_loss(y, np.tile([0.9, 0.1], (40, 1)))
    >>> round(parts.calibration, 4), round(parts.refinement, 4)  # the frequency is 0.75
    (0.0923, 0.5623)
    """
    return _decompose(_log_losses, y, proba, method, cv, sample_weight)


@check_parameters(cv=["cv_object"])
def decompose_brier_score(
    y: Any,
    proba: Any,
    *,
    method: Method = "isotonic",
    cv: Any = 5,
    sample_weight: Any = None,
) -> LossDecomposition:
    """Decompose the Brier score by recalibration.

    The score of a row is the sum over classes of (probability - outcome)^2, between 0 and 2: for
    two classes, twice the square for one of them.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    method : {"temperature", "isotonic", "class-wise"}, default="isotonic"
        As in `decompose_log_loss`. Temperature and class-wise maps minimise the log loss.
    cv : int, splitter or None, default=5
        As in `decompose_log_loss`. With None and binary "isotonic", calibration, resolution and
        uncertainty are the miscalibration, discrimination and uncertainty of Dimitriadis et al.,
        none of them negative.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    LossDecomposition
        In units of the Brier score.

    See Also
    --------
    skmergecal.metrics.LossDecomposition : What it returns.
    skmergecal.metrics.decompose_log_loss : The same for the log loss.

    References
    ----------
    Murphy, "A New Vector Partition of the Probability Score", Journal of Applied Meteorology 1973,
    https://doi.org/10.1175/1520-0450(1973)012%3C0595:ANVPOT%3E2.0.CO;2.

    Dimitriadis, Gneiting and Jordan, "Stable reliability diagrams for probabilistic classifiers",
    PNAS 2021, https://doi.org/10.1073/pnas.2016191118.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.metrics import decompose_brier_score
    >>> y = [0, 0, 0, 1] * 10
    >>> parts = decompose_brier_score(y, np.tile([0.9, 0.1], (40, 1)))
    >>> round(parts.calibration, 4), round(parts.refinement, 4)  # 2 * .15^2 and 2 * .75 * .25
    (0.045, 0.375)
    """
    return _decompose(_brier_losses, y, proba, method, cv, sample_weight)
