"""Unlabelled: what rows show before their labels come, and under which assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal.monitoring._conformal import Exchangeability

__all__ = ["Observed", "Unlabelled", "shares_by_confusion", "shares_by_em", "summarise"]

#: Rows that are kept for class shares and the expected loss.
KEPT = 5000
#: Condition number of the confusion above which shares are refused.
_LARGEST_CONDITION = 100.0
_MOST_STEPS, _STEP = 1000, 1e-8


@dataclass(frozen=True)
class Observed:
    """Rows without labels.

    Attributes
    ----------
    test : Exchangeability
    log_proba : ndarray of shape (n_rows, n_classes), float32
        Of the last rows.
    confusion : ndarray of shape (n_classes, n_classes)
        Shares of predicted (rows) and true classes of labelled reference rows; zeros without any.
    prior : ndarray of shape (n_classes,)
        Shares of the classes that the probabilities are for.
    n_rows : int
    """

    test: Exchangeability
    log_proba: np.ndarray
    confusion: Array
    prior: Array
    n_rows: int = 0

    @classmethod
    def start(cls, n_classes: int) -> Observed:
        """Before the first row, without a reference."""
        return cls(
            Exchangeability(),
            np.empty((0, n_classes), dtype=np.float32),
            np.zeros((n_classes, n_classes)),
            np.zeros(n_classes),
        )

    def with_reference(self, log_proba: Array, y: IntArray | None) -> Observed:
        """With reference rows, with or without labels."""
        p = np.exp(log_proba)
        now = replace(
            self, test=Exchangeability.from_reference(p.max(axis=1)), prior=p.mean(axis=0)
        )
        return now if y is None else now.with_labels(log_proba, y, np.ones(len(y)))

    def with_labels(self, log_proba: np.ndarray, y: IntArray, weight: Array) -> Observed:
        """With the confusion, and the class shares, of labelled rows."""
        k = log_proba.shape[1]
        confusion = np.zeros((k, k))
        np.add.at(confusion, (log_proba.argmax(axis=1), y), weight)
        confusion /= confusion.sum()
        return replace(self, confusion=confusion, prior=confusion.sum(axis=0))

    def after(self, log_proba: Array, uniform: Array) -> Observed:
        """After more rows."""
        last = np.concatenate([self.log_proba, log_proba.astype(np.float32)])[-KEPT:]
        test = self.test.after(np.exp(log_proba.max(axis=1)), uniform)
        return replace(self, test=test, log_proba=last, n_rows=self.n_rows + len(log_proba))


@dataclass(frozen=True)
class Unlabelled:
    """What rows without labels show. None of it proves that probabilities are wrong.

    Attributes
    ----------
    n_rows : int
        Rows observed.
    log_e_value, p_value : float
        Evidence that the confidences are no longer exchangeable with the reference; p is 1 /
        largest evidence so far. A season can cause that, too.
    alarm : bool
        Whether it ever reached 1 / alpha: with exchangeable rows, that happens with probability at
        most alpha.
    class_shares : ndarray of shape (n_classes,) or None
        Shares of the classes among the last 5,000 rows, by EM, if rows within each class are as
        they were (label shift).
    class_shares_by_confusion : ndarray of shape (n_classes,) or None
        The same from predicted labels and the confusion of labelled rows; None where there are
        none, or too few.
    condition_number : float
        Of the confusion: by how much it may enlarge errors. Above 100, shares are refused.
    expected_log_loss : float
        Mean log loss of the last 5,000 rows under the model's own probabilities: right only as long
        as these are true.

    See Also
    --------
    skmergecal.monitoring.CalibrationMonitor.observe : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.monitoring import CalibrationMonitor
    >>> rng = np.random.default_rng(0)
    >>> def opinions(n, odds):
    ...     p = rng.beta(2, 2, n)
    ...     p = odds * p / (odds * p + 1 - p)
    ...     return np.column_stack([1 - p, p])
    >>> monitor = CalibrationMonitor()
    >>> monitor.observe(opinions(1000, 1), reference=opinions(1000, 1)).alarm
    False
    >>> seen = monitor.observe(opinions(1000, 4))  # other rows: the model is far more confident
    >>> seen.alarm, seen.n_rows
    (True, 2000)
    """

    n_rows: int
    log_e_value: float
    p_value: float
    alarm: bool
    class_shares: Array | None
    class_shares_by_confusion: Array | None
    condition_number: float
    expected_log_loss: float

    def as_dict(self) -> dict[str, Any]:
        """The numbers, by name.

        Returns
        -------
        dict
            By the names of the attributes.
        """
        return dict(vars(self))


def summarise(observed: Observed, alpha: float) -> Unlabelled:
    """What is known of the observed rows."""
    z: Array = np.asarray(observed.log_proba, dtype=np.float64)
    p = np.exp(z)
    shares, condition = shares_by_confusion(observed.confusion, z.argmax(axis=1))
    evidence = observed.test.evidence
    return Unlabelled(
        n_rows=observed.n_rows,
        log_e_value=evidence.log_e,
        p_value=math.exp(-evidence.largest),
        alarm=evidence.largest >= math.log(1 / alpha),
        class_shares=shares_by_em(p, observed.prior) if observed.prior.any() else None,
        class_shares_by_confusion=shares,
        condition_number=condition,
        expected_log_loss=float(-(p * z).sum(axis=1).mean()),
    )


def shares_by_em(proba: Array, prior: Array) -> Array:
    """Class shares of rows under label shift, by EM.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
        Probabilities that are right where the class shares are ``prior``.
    prior : ndarray of shape (n_classes,)

    References
    ----------
    Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities", Neural Computation 2002, doi 10.1162/089976602753284446.
    """
    ratio = np.divide(proba, prior, out=np.zeros_like(proba), where=prior > 0)
    shares = prior / prior.sum()
    for _ in range(_MOST_STEPS):
        joint = ratio * shares
        sums = joint.sum(axis=1, keepdims=True)
        new = np.divide(joint, sums, out=np.zeros_like(joint), where=sums > 0).mean(axis=0)
        new /= new.sum()
        if np.abs(new - shares).max() < _STEP:
            return np.asarray(new)
        shares = new
    return shares


def shares_by_confusion(confusion: Array, predicted: IntArray) -> tuple[Array | None, float]:
    """Class shares from the shares of predicted labels, and the condition number.

    Parameters
    ----------
    confusion : ndarray of shape (n_classes, n_classes)
        Shares of predicted (rows) and true classes.
    predicted : ndarray of shape (n_samples,)
        Column numbers.
    """
    if not confusion.any():
        return None, math.nan
    condition = float(np.linalg.cond(confusion / np.maximum(confusion.sum(axis=0), 1e-300)))
    if not condition <= _LARGEST_CONDITION:
        return None, condition
    seen = np.bincount(predicted, minlength=len(confusion)) / len(predicted)
    ratio = np.linalg.solve(confusion, seen)
    shares = np.maximum(ratio * confusion.sum(axis=0), 0.0)
    return shares / shares.sum(), condition
