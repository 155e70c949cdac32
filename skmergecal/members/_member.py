"""Member that is fitted, and Opinion: its log-probabilities or probabilities of some rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _is_fitted, tags_of
from skmergecal._memory import Memo
from skmergecal._numerics import (
    add_weighted,
    log_softmax,
    shifted,
    soften,
    softening_of,
    softmax,
)
from skmergecal._torch import check_picklable
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import check_proba_rows
from skmergecal.members._feature_names import in_known_form
from skmergecal.members._labels import LabelledEstimator
from skmergecal.members._read import READERS, fitted_last_step
from skmergecal.members._skorch import is_skorch

__all__ = [
    "SOFTENING_WITHOUT_ROWS",
    "AveragedOpinion",
    "Member",
    "Opinion",
    "check_fitted",
    "classes_of",
    "is_fitted",
    "read_raw",
]

_NOT_FOR_NETS = (
    "a skorch net whose module returns logits needs criterion=torch.nn.CrossEntropyLoss (with "
    "NLLLoss, skorch expects the module to end in a softmax)"
)
_NOT_PROBABILITIES = (
    "correct its predict_proba, in a class that derives from its own; where these are scores or "
    "logits, name the method decision_function instead"
)
_PERCENT = "divide percentages by 100, in the predict_proba of a class that derives from its own"

#: Softening of a member whose held-out rows are not known.
SOFTENING_WITHOUT_ROWS = 1e-4


def is_fitted(estimator: Estimator) -> bool:
    """Whether an estimator is fitted; a skorch net that never saw data is not."""
    # A FrozenEstimator, and `check_is_fitted`, first make all tags of what they look at.
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    final, _ = fitted_last_step(inner)
    if not hasattr(final, "__sklearn_tags__"):  # of no class that scikit-learn knows
        return hasattr(final, "classes_")
    if not _is_fitted(inner):
        tags = tags_of(inner)
        if tags is None:  # of a mixin alone
            return hasattr(final, "classes_")
        if tags.requires_fit:
            return False
    return getattr(final, "initialized_", True) is not False


def check_fitted(name: str, estimator: Estimator) -> None:
    """Raise NotFittedError, naming the member, unless it is fitted."""
    if is_fitted(estimator):
        return
    if isinstance(estimator, FrozenEstimator):
        msg = (
            f"estimator {name!r} is frozen but not fitted: fit it before freezing it, or pass it "
            "without FrozenEstimator to have it fitted here"
        )
    else:
        msg = (
            f"estimator {name!r} is not fitted: call its fit first, or have it fitted here by the "
            "fit of MergedClassifier([(name, estimator)]) or TemperatureCalibrator(estimator)"
        )
    raise NotFittedError(msg)


def classes_of(name: str, estimator: Estimator) -> np.ndarray:
    """The labels a fitted member knows, in the order of its columns."""
    if isinstance(estimator, LabelledEstimator):
        return estimator.classes_  # what is inside knows codes
    final, _ = fitted_last_step(estimator)
    classes = getattr(final, "classes_", None)
    if classes is None:
        classes = getattr(estimator, "classes_", None)
    if classes is None:
        msg = f"estimator {name!r} has no classes_: only fitted classifiers can be merged. " + (
            "For a skorch net, pass classes= when you make it."
            if is_skorch(final)
            else "Its fit should set classes_: the labels, in the order of its columns."
        )
        raise ValueError(msg)
    if isinstance(classes, list):
        msg = f"estimator {name!r} predicts several targets: fit one classifier for each"
        raise ValueError(msg)
    return np.asarray(classes)


def read_raw(
    name: str,
    estimator: Estimator,
    source: str,
    X: Any,
    n_classes: int,
    *,
    normalised: bool = True,
) -> Array:
    """Log-probabilities or probabilities in the member's own columns, checked.

    It is a copy: members may write their outputs into one buffer, each over the last one. Without
    ``normalised``, log-probabilities may have a constant added to each row.

    Raises
    ------
    ValueError
        If the output has the wrong shape, is not finite, or its probabilities do not add up
        to 1 within 0.02; the message names the member.
    """
    try:
        final, Z = fitted_last_step(estimator, in_known_form(estimator, X))
        output = np.array(READERS[source].read(final, Z), dtype=np.float64, order="C")
    except Exception as error:
        error.add_note(f"while reading the opinion of estimator {name!r}")
        raise
    if output.ndim != 2 or output.shape[1] != n_classes:
        msg = (
            f"estimator {name!r} should give one column for each of its {n_classes} classes; "
            f"got shape {output.shape}"
        )
        raise ValueError(msg)
    if not np.isfinite(output).all():
        row = int(np.flatnonzero(~np.isfinite(output).all(axis=1))[0])
        msg = (
            f"estimator {name!r} gives NaN or infinite output (first in row {row} of {len(output)})"
            ": correct or drop this member"
        )
        raise ValueError(msg)
    if READERS[source].logarithmic:
        return log_softmax(output) if normalised else output
    return check_proba_rows(
        output,
        f"estimator {name!r}",
        "gives outputs that are not probabilities",
        remedy=_NOT_FOR_NETS if is_skorch(final) else _NOT_PROBABILITIES,
        percent_remedy=_PERCENT,
    )


@dataclass(frozen=True)
class Opinion:
    """The opinion of a member on some rows, in the columns of the merged classes.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_classes)
        Log-probabilities, or probabilities. A class that the member (or the clone of a fold)
        does not know has -inf, or 0. Where rows are only pooled, and the member knows all classes,
        log-probabilities are those up to a constant per row.
    logarithmic : bool
        Which of the two.
    memo : Memo
        Remembers what follows from the values.
    fill : float
        What classes that it does not know have in place of 0, if they are filled.
    complete : bool
        Whether it is known to have no columns of unknown classes: nobody looks for them then.
    """

    values: Array
    logarithmic: bool
    memo: Memo = field(default_factory=Memo.none)
    fill: float = 0.0
    complete: bool = False

    def softening(self, sample_weight: Array | None) -> float:
        """The amount by which to soften: more than 0 for zeros and for unknown classes."""
        # Log-probabilities hold no zeros but those of unknown classes.
        p = np.where(np.isneginf(self.values), 0.0, 1.0) if self.logarithmic else self.values
        return softening_of(p, sample_weight)

    def log_proba(self, softening: float) -> Array:
        """Log-probabilities, as the values are; unknown classes get softening / n_classes."""
        if not self.logarithmic:
            return self.memo.array(
                ("log_proba", softening), lambda: soften(self._to_soften(softening), softening)
            )
        if self.complete:
            return self.values
        unknown = np.isneginf(self.values)
        if not unknown.any():
            return self.values
        share = softening / self.values.shape[1]
        known_share = np.log1p(-share * unknown.sum(axis=1, keepdims=True))
        return np.where(unknown, np.log(share), self.values + known_share)

    def proba(self) -> Array:
        """Probabilities as the member gives them; 0 for unknown classes."""
        if not self.logarithmic:
            return self.values
        return self.memo.array(("proba",), lambda: softmax(self.values))

    def take(self, rows: IntArray, memo: Memo) -> Opinion:
        """The opinion of some of the rows."""
        values = np.ascontiguousarray(self.values[rows])
        return Opinion(values, self.logarithmic, memo, self.fill, self.complete)

    def _to_soften(self, softening: float) -> Array:
        """Probabilities; 0 for unknown classes, which softening fills once more."""
        if not (self.fill and softening):
            return self.values
        unknown = self.values == self.fill
        known_share = 1.0 - self.fill * unknown.sum(axis=1, keepdims=True)
        return np.where(unknown, 0.0, self.values / known_share)


class AveragedOpinion(Opinion):
    """The mean of several opinions of the same rows, those of models of different folds.

    Log-probabilities are the mean of theirs, and so are probabilities: each pool gets the mean of
    what it averages.

    Parameters
    ----------
    parts : sequence of Opinion
    memo : Memo, default=None
        None: what identifies all parts identifies their mean.
    """

    parts: Sequence[Opinion]

    def __init__(self, parts: Sequence[Opinion], memo: Memo | None = None) -> None:
        memo = Memo.of_all([part.memo for part in parts]) if memo is None else memo
        vars(self).update(parts=parts, logarithmic=False, memo=memo, fill=0.0)

    @property
    def values(self) -> Array:
        """Probabilities."""
        return self.proba()

    def softening(self, sample_weight: Array | None) -> float:
        """The amount by which to soften each part: what one of them calls for."""
        return max(part.softening(sample_weight) for part in self.parts)

    def log_proba(self, softening: float) -> Array:
        """The mean of the parts' log-probabilities, each of them softened, normalised."""
        return self.memo.array(
            ("mean log_proba", softening),
            lambda: log_softmax(self.mean_of(lambda part: part.log_proba(softening))),
        )

    def proba(self) -> Array:
        """The mean of the parts' probabilities."""
        return self.memo.array(("mean proba",), lambda: self.mean_of(Opinion.proba))

    def take(self, rows: IntArray, memo: Memo) -> Opinion:
        """The opinion of some of the rows; only the mean of the parts is remembered."""
        return AveragedOpinion([part.take(rows, Memo.none()) for part in self.parts], memo)

    def mean_of(self, read: Callable[[Opinion], Array]) -> Array:
        """The mean of what a function makes of the parts, with one of them more in memory."""
        return add_weighted(map(read, self.parts), [1 / len(self.parts)] * len(self.parts))


@dataclass(frozen=True)
class Member:
    """A fitted member: where its opinion is read and which columns it fills.

    Attributes
    ----------
    name : str
        Its name among the members.
    estimator : estimator
        Fitted; never changed.
    source : str
        Key of `READERS`.
    classes : ndarray of shape (n_own_classes,)
        The labels of the member's own columns.
    columns : ndarray of shape (n_own_classes,)
        The merged column of each of the member's own.
    n_classes : int
        Number of merged classes.
    softening : float
        Share of the uniform distribution that is mixed into probabilities before the log.
    fingerprint : str or None
        Identifies the fitted state for the cache; None keeps the member out of it.
    parts : tuple of Member
        The models that it averages, if it is a `FoldAverage`: they are read in its place.
    fill : float
        Probability of each class that it does not know; those of the others are scaled.
    """

    name: str
    estimator: Estimator
    source: str
    classes: np.ndarray
    columns: IntArray
    n_classes: int
    softening: float = 0.0
    fingerprint: str | None = None
    parts: tuple[Member, ...] = ()
    fill: float = 0.0

    def __getstate__(self) -> dict[str, Any]:
        check_picklable([(self.name, self.estimator)])
        return vars(self)

    @property
    def missing(self) -> IntArray:
        """Columns of classes that the member does not know."""
        if len(self.columns) == self.n_classes:
            return np.empty(0, dtype=np.intp)
        return np.setdiff1d(np.arange(self.n_classes), self.columns)

    @property
    def lacks(self) -> IntArray:
        """Columns of classes that it does not know, and to which it gives no probability."""
        return self.missing if self.fill == 0.0 else np.empty(0, dtype=np.intp)

    @property
    def logarithmic(self) -> bool:
        """Whether the member is read as log-probabilities, or as probabilities."""
        if self.parts:
            return all(part.logarithmic for part in self.parts)
        return READERS[self.source].logarithmic

    @property
    def models(self) -> tuple[Member, ...]:
        """The models that it averages; itself, if it is one model."""
        return self.parts or (self,)

    @property
    def lost(self) -> IntArray:
        """Columns of classes that it knows, but one of its parts does not, nor fills."""
        lost = {column for part in self.parts for column in part.lacks.tolist()}
        return np.array(sorted(lost - set(self.missing.tolist())), dtype=np.intp)

    def align(self, raw: Array, memo: Memo | None = None) -> Opinion:
        """Put the member's own columns where the merged classes have them."""
        memo = memo or Memo.none()
        if self.columns.tolist() == [*range(self.n_classes)]:
            return Opinion(raw, self.logarithmic, memo, complete=True)
        fill, known_share = self.fill, 1.0 - self.fill * len(self.missing)
        if self.logarithmic:
            values = np.full((len(raw), self.n_classes), np.log(fill) if fill else -np.inf)
            values[:, self.columns] = raw + np.log(known_share)
        else:
            values = np.full((len(raw), self.n_classes), fill)
            values[:, self.columns] = raw * known_share
        return Opinion(values, self.logarithmic, memo, fill)

    def read(self, X: Any, *, normalised: bool = True) -> Array:
        """The member's own columns for the rows of X, checked: see `read_raw`."""
        own = len(self.columns)
        return read_raw(self.name, self.estimator, self.source, X, own, normalised=normalised)

    def opinion_by(self, read: Callable[[Member], Opinion]) -> Opinion:
        """Its opinion, as a function reads a member that is one model."""
        opinions = [part.opinion_by(read) for part in self.parts]
        return AveragedOpinion(opinions) if opinions else read(self)

    def opinion(self, X: Any, *, normalised: bool = True) -> Opinion:
        """Its opinion of the rows of X.

        Pools need log-probabilities up to a constant per row only: they get them without
        ``normalised``, the largest of each row 0, so that no digits are lost in sums.
        """

        def read(model: Member) -> Opinion:
            raw = model.read(X, normalised=False)
            return model.opinion_of(raw, Memo.none(), normalised=normalised)

        return self.opinion_by(read)

    def opinion_of(self, raw: Array, memo: Memo, *, normalised: bool) -> Opinion:
        """Its opinion, from what `read` gives without ``normalised``; for one model."""
        if not self.logarithmic:
            return self.align(raw, memo)
        if normalised or len(self.columns) < self.n_classes:
            return self.align(memo.array(("normalised",), lambda: log_softmax(raw)), memo)
        return self.align(shifted(raw), memo.of_part("shifted"))

    def log_proba(self, opinion: Opinion) -> Array:
        """Log-probabilities of an opinion of this member."""
        return opinion.log_proba(self.softening)

    def read_log_proba(self, X: Any) -> Array:
        """Log-probabilities of the rows of X, softened, in the merged columns."""
        return self.log_proba(self.opinion(X))

    def scaled_proba(self, opinion: Opinion, temperature: float) -> Array:
        """Probabilities after scaling; 0 for classes that the member lacks."""
        if isinstance(opinion, AveragedOpinion):
            return opinion.mean_of(lambda part: self.scaled_proba(part, temperature))
        p = softmax(self.log_proba(opinion) / temperature)
        if len(self.lacks):
            p[:, self.lacks] = 0.0
            p /= p.sum(axis=1, keepdims=True)
        return p

    def read_scores(self, X: Any) -> Array:
        """What `read_log_proba` gives, up to a constant per row."""
        if not self.logarithmic or len(self.missing):
            return self.read_log_proba(X)
        return self.align(self.read(X, normalised=False)).values

    def with_softening(self, opinion: Opinion, sample_weight: Array | None) -> Member:
        """The member with the softening that its held-out opinion calls for."""
        if len(self.lost):  # perhaps by a model that was not read on these rows
            return self.softened(softening_of(np.zeros((len(opinion.values), 1)), sample_weight))
        return self.softened(opinion.softening(sample_weight))

    def filled(self, fill: float) -> Member:
        """The member with a probability for each class that it, or one of its parts, lacks."""
        parts = tuple(part.filled(fill) for part in self.parts)
        return replace(self, parts=parts, fill=fill if len(self.missing) else 0.0)

    def without_estimator(self) -> Member:
        """The member with what is known of its columns and classes alone."""
        parts = tuple(part.without_estimator() for part in self.parts)
        return replace(self, estimator=None, parts=parts)

    def softened(self, amount: float) -> Member:
        """The member with another softening."""
        return replace(self, softening=amount)

    def with_default_softening(self) -> Member:
        """The member with the softening of one whose held-out rows are not known."""
        bears = self.logarithmic and not len(self.lost) and not len(self.lacks)
        return self.softened(0.0 if bears else SOFTENING_WITHOUT_ROWS)
