"""CalibrationMonitor: whether the probabilities of a deployed model still are true."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from skmergecal._compat import Interval, StrOptions, validate_parameter_constraints
from skmergecal._numerics import row_losses
from skmergecal._optional import as_frame
from skmergecal._typing import Array, Estimator
from skmergecal._validation import NON_NEGATIVE
from skmergecal.calibration import fit_shift
from skmergecal.members import Member
from skmergecal.monitoring._advice import Advice, advise, estimated_loss
from skmergecal.monitoring._batches import Batches, describe
from skmergecal.monitoring._comparison import ModelComparison
from skmergecal.monitoring._inputs import (
    CountedRows,
    Deployed,
    check_bare_classes,
    count,
    find_classes,
    floored,
    read_log_proba,
    read_rows,
)
from skmergecal.monitoring._members import find_members, member_table
from skmergecal.monitoring._metrics import collect_metrics
from skmergecal.monitoring._mixture import Evidence
from skmergecal.monitoring._pooled import PooledEvidence, pool_evidence
from skmergecal.monitoring._saved import read_state, restore, write_state
from skmergecal.monitoring._streams import Streams
from skmergecal.monitoring._successors import make_recalibrated, make_remerged
from skmergecal.monitoring._tolerance import find_null
from skmergecal.monitoring._unlabelled import Observed, Unlabelled, summarise
from skmergecal.monitoring._window import (
    Recalibration,
    Window,
    cross_validated_losses,
    recalibrate,
    window_loss,
)

__all__ = ["CalibrationMonitor"]

#: Rows of a reference at least: half of them say where the ten bins end.
LEAST_REFERENCE = 100
#: The temperature of the window is fitted again after this share of its rows.
_SHARE = 20


class CalibrationMonitor:
    """Watch the probabilities of a deployed model, with alarms that are rarely false.

    **Only complete cohorts**: `update` takes rows once the outcome of every row of the cohort is
    due. Where the labels of one class come later than those of others (a default after 90 days, no
    default only at the end of the term), rows with early labels alone look like a shift, and the
    alarm is certain though nothing is wrong.

    Parameters
    ----------
    estimator : classifier, default=None
        Fitted; it is read as it is and never changed. None: `update` takes probabilities.
    alarm : {"ever", "run_length"}, default="ever"
        "ever": a false alarm comes with probability at most ``alpha``, however often one looks and
        for however long. "run_length": the mean number of rows to a first false alarm is at least
        ``run_length``, and a change long after the start is found sooner.
    alpha : float, default=0.01
        Probability of a false alarm.
    run_length : float, default=100000
        Mean number of rows to a first false alarm.
    tolerance : float or "auto", default="auto"
        How far the deployed probabilities may be from the true ones: a deviation of at most so much
        of log T, or of one class's log odds. "auto" takes, for log T, 1.5 half-widths of the
        calibrator's interval, at least .05; for each class, 3 / sqrt(its held-out rows), at
        least .05, where a calibrator knows these. 0 allows none.
    window : int, default=None
        Last rows to keep, in single precision: for estimates, recommendations, members and new
        models. With None there are evidence, alarm, and the choice between temperature and shifts.
    classes : array-like of shape (n_classes,), default=None
        With ``estimator=None``: the labels in the order of the columns; None: 0..k-1. For an
        estimator that was trained on codes: what these stand for.
    max_weight : float, default=None
        The largest sample weight that can come: weights are divided by it. None is 1.
    random_state : int, default=0
        For ties in what `observe` ranks.

    Attributes
    ----------
    e_value_, log_e_value_ : float
        The evidence. With ``alarm="ever"`` an e-process: 1 / alpha is the alarm line.
    alarm_line_ : float
        The log of the evidence at which the alarm comes.
    p_value_ : float
        1 / largest evidence so far, which holds at any time; NaN with ``alarm="run_length"``.
    alarm_ : bool
        Whether the line was ever crossed, after any row; it stays until `reset`.
    onset_ : int or None
        After an alarm: the row since which the best alternative gained most; an estimate.
    alarm_row_ : int or None
        The row, from 0 since the start or the last `reset`, at which the line was crossed.
    tolerance_ : Tolerance
        What is tolerated: ``log_temperature``, and ``shifts`` for each class.
    n_rows_ : int
        Rows of positive weight since the start or the last `reset`.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns.
    recommendation_ : str
        "keep" without an alarm; then "recalibrate" (by a temperature) or "shift" (the logits of
        the classes), whichever won more on rows after those that it was learned on, "unclear" where
        these are less than 2 nats apart. With a window also "remerge", where weights learned again
        win out of sample, and "investigate", where the loss stays above the reference: rows are
        harder, or a feature is lost.
    reasons_ : dict of str to str
        The evidence for each answer, in words.
    temperature_, temperature_interval_ : float, tuple of float
        With a window: the temperature that its rows ask for, and its 95 % interval. An ordinary
        interval, without a guarantee for repeated looks.
    class_shift_, class_shift_interval_ : ndarray of shape (n_classes,), (n_classes, 2)
        The same for shifts of the logits of the classes, without a temperature; they add up to 0.
    unlabelled_ : Unlabelled
        After `observe`: what rows without labels show.
    comparisons_ : dict of str to ModelComparison
        The challengers of `compare`.
    log_loss_, recalibration_gain_ : float
        With a window: the loss of the deployed model on it, and by how much it is lower after
        recalibration by a temperature, cross-validated over neighbouring rows.

    See Also
    --------
    skmergecal.calibration_report : Can probabilities be trusted, on one set of rows? It takes a
        monitor, too.

    Notes
    -----
    The null hypothesis, for each row: given all earlier rows, its label is drawn from the deployed
    probabilities, or from ones within the tolerance in one direction, where up to .1 % of labels
    may be wrong. Deviations in several directions at once are not part of it. Repeated patients and
    effects of batches break it: rows are then not independent of earlier ones given the
    probabilities. Where only accepted cases get labels, it speaks of those. With
    ``tolerance="auto"`` the guarantee is conditional on the truth lying within the tolerance.

    Alternatives are temperatures and class shifts on a grid, and one of both that is learned on
    past rows, which has half of the mass; each may start at any row.

    A label of probability 0 is allowed: it counts as one of the wrong labels.

    References
    ----------
    Ville, "Etude critique de la notion de collectif", 1939.

    Shin, Ramdas and Rinaldo, "E-detectors: A Nonparametric Framework for Sequential Change
    Detection", New England Journal of Statistics in Data Science 2024,
    https://doi.org/10.51387/23-NEJSDS51.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.monitoring import CalibrationMonitor
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.1, 0.9, 2000)
    >>> y = rng.random(2000) < p  # labels drawn from the probabilities
    >>> monitor = CalibrationMonitor(classes=[False, True])
    >>> monitor.update(np.column_stack([1 - p, p]), y, label="May").alarm_
    False
    >>> shifted = p / (p + 3 * (1 - p))  # the odds of the second class fall to a third
    >>> later = rng.random(2000) < shifted
    >>> monitor.update(np.column_stack([1 - p, p]), later, label="June").alarm_
    True
    >>> monitor.recommendation_
    'shift'
    """

    _parameter_constraints: ClassVar[dict] = {
        "alarm": [StrOptions({"ever", "run_length"})],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "run_length": [Interval(Real, 1, None, closed="left")],
        "tolerance": [NON_NEGATIVE, StrOptions({"auto"})],
        "window": [Interval(Integral, 10, None, closed="left"), None],
        "classes": ["array-like", None],
        "max_weight": [Interval(Real, 1, None, closed="left"), None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }
    _SETTINGS: ClassVar[tuple[str, ...]] = tuple(_parameter_constraints)

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        alarm: str = "ever",
        alpha: float = 0.01,
        run_length: float = 100_000,
        tolerance: float | str = "auto",
        window: int | None = None,
        classes: Any = None,
        max_weight: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.alarm = alarm
        self.alpha = alpha
        self.run_length = run_length
        self.tolerance = tolerance
        self.window = window
        self.classes = classes
        self.max_weight = max_weight
        self.random_state = random_state
        settings = {name: getattr(self, name) for name in self._SETTINGS}
        validate_parameter_constraints(
            self._parameter_constraints, settings, caller_name=type(self).__name__
        )
        self._batches = Batches()
        self._streams: Streams | None = None
        self._deployed: Deployed | None = None
        self._members: list[Member] = []
        self._advice: Advice | None = None
        self._fitted: Any = None
        self._seen = 0
        self._observed: Observed | None = None
        self._random = np.random.default_rng(random_state)
        self._challengers: dict[str, Deployed] = {}
        self.comparisons_: dict[str, ModelComparison] = {}
        if estimator is not None:
            self._deployed = Deployed.of(estimator, classes)
            if window is not None:
                self._members = find_members(self._deployed.estimator, self._deployed.classes)
            self._start(self._deployed.classes)

    def _start(self, classes: np.ndarray) -> None:
        """Begin to watch, once the classes are known."""
        self.classes_ = classes
        deployed = None if self._deployed is None else self._deployed.estimator
        self.tolerance_ = find_null(deployed, self.tolerance, classes)
        self._streams = self._fresh()

    def _fresh(self) -> Streams:
        names = [member.name for member in self._members]
        run_length = self.alarm == "run_length"
        return Streams.start(
            self.tolerance_,
            names,
            self.window,
            run_length=run_length,
            from_proba=self._deployed is not None and self._deployed.from_proba,
        )

    @property
    def alarm_line_(self) -> float:
        """Log of the evidence at which the alarm comes."""
        return math.log(self.run_length if self.alarm == "run_length" else 1 / self.alpha)

    def update(
        self, X: Any, y: Any, sample_weight: Any = None, label: Any = None
    ) -> CalibrationMonitor:
        """Take in a complete cohort: rows whose outcomes are all due.

        Parameters
        ----------
        X : array-like
            Input of the estimator; without one, probabilities or log-probabilities of shape
            (n_samples, n_classes). Any number of rows, one included: how rows are cut into batches
            changes nothing.
        y : array-like of shape (n_samples,)
            Labels; a batch may show one class only.
        sample_weight : array-like of shape (n_samples,), default=None
            In [0, 1]: a power of each row's e-value, which keeps the guarantee.
        label : str, number, date or datetime, default=None
            Names the cohort. One of the last 1,000 that comes again is an error; one that comes
            after a later one is noted in its record.

        Returns
        -------
        CalibrationMonitor
            This monitor.

        Raises
        ------
        ValueError
            If a label of y is unknown, a weight is above 1 (or ``max_weight``), or the cohort has
            come already.
        """
        count(X)
        label, late = self._batches.check(label)
        log_proba, classes = self._read(X, y)
        rows = read_rows(log_proba, y, sample_weight, classes, self.max_weight)
        opinions, others = self._read_members(X, rows), self._read_challengers(X, rows)
        if self._streams is None:
            self._start(classes)
        assert self._streams is not None
        self._streams = self._streams.after(rows, opinions, self.alarm_line_, self.alpha)
        for name, other in others.items():
            one = np.exp(rows.log_proba)
            self.comparisons_[name]._take(one, np.exp(other), rows.y, rows.weight)
        self._advice = None
        self._record(rows, label, late)
        return self

    def _read(self, X: Any, y: Any) -> tuple[Array, np.ndarray]:
        if self._deployed is not None:
            return self._deployed.log_proba(X), self._deployed.classes
        log_proba = read_log_proba(X)
        classes = getattr(self, "classes_", None)
        if classes is None or log_proba.shape[1] != len(classes):
            classes = find_classes(
                log_proba.shape[1], self.classes if classes is None else self.classes_
            )
        if y is not None:
            check_bare_classes(y, classes, self.classes)
        return log_proba, classes

    def _read_members(self, X: Any, rows: CountedRows) -> Array:
        """Their log-probabilities, of shape (n_samples, n_members, n_classes)."""
        if not self._members:
            return np.empty((len(rows.y), 0, rows.log_proba.shape[1]))
        opinions = [member.read_log_proba(X)[rows.kept] for member in self._members]
        return np.stack(opinions, axis=1)

    def _record(self, rows: CountedRows, label: Any, late: bool) -> None:
        assert self._streams is not None
        window, members = self._streams.window, self._streams.members
        first, self._seen = self._seen, self._seen + len(rows.y)
        temperature = math.nan
        if window is not None:
            if self._fitted is None or self._seen - self._fitted[0] >= window.size / _SHARE:
                self._fitted = [self._seen, self.temperature_]
            temperature = self._fitted[1]
        self._batches.add(
            {
                "label": label,
                "first_row": first,
                "n_rows": len(rows.y),
                **describe(rows.log_proba, rows.y, rows.weight),
                "log_e_value": self.log_e_value_,
                "alarm": self.alarm_,
                "temperature": temperature,
                "late": late,
                **({} if members is None else members.evidence()),
            }
        )

    @property
    def _evidence(self) -> Evidence | None:
        return None if self._streams is None else self._streams.watch.evidence

    @property
    def n_rows_(self) -> int:
        """Rows of positive weight since the start or the last reset."""
        return 0 if self._evidence is None else self._evidence.n_rows

    @property
    def log_e_value_(self) -> float:
        """Log of the evidence."""
        if self._evidence is None:
            return -math.inf if self.alarm == "run_length" else 0.0
        return self._evidence.log_e

    @property
    def e_value_(self) -> float:
        """The evidence; infinite where it is above the largest float."""
        return math.exp(self.log_e_value_) if self.log_e_value_ < 709 else math.inf

    @property
    def p_value_(self) -> float:
        """1 / largest evidence so far."""
        if self.alarm == "run_length":
            return math.nan
        return 1.0 if self._evidence is None else math.exp(-self._evidence.largest)

    @property
    def alarm_row_(self) -> int | None:
        """The row of the first alarm."""
        found = -1 if self._streams is None else self._streams.watch.alarmed
        return found if found >= 0 else None

    @property
    def alarm_(self) -> bool:
        """Whether there was an alarm since the start or the last reset."""
        return self.alarm_row_ is not None

    @property
    def onset_(self) -> int | None:
        """After an alarm: the row since which the best alternative gained most."""
        if not self.alarm_ or self._evidence is None:
            return None
        return self._evidence.onset

    @property
    def recommendation_(self) -> str:
        """What to do."""
        return self._advise().action

    @property
    def reasons_(self) -> dict[str, str]:
        """The evidence for each answer."""
        return dict(self._advise().reasons)

    def _advise(self) -> Advice:
        if self._streams is None:
            return Advice("keep", {"keep": "no rows yet"})
        if self._advice is None:
            streams = self._streams
            reference = streams.reference
            full = streams.window is not None and self._seen >= 2 * streams.window.size
            self._advice = advise(
                streams.watch,
                self.alarm_,
                streams.window,
                reference if full else None,
                estimated_loss(self.estimator),
                [member.name for member in self._members],
            )
        return self._advice

    def _rows_of_window(self, what: str) -> Window:
        if self.window is None:
            msg = (
                f"{type(self).__name__!r} object has no {what}: it is learned from the last rows, "
                "and none are kept; pass window=2000, for instance"
            )
            raise AttributeError(msg)
        if self._streams is None or self._streams.window is None or not len(self._streams.window):
            msg = f"{type(self).__name__!r} object has no {what} before the first update"
            raise AttributeError(msg)
        return self._streams.window

    def _fit_window(self, *, shift: bool) -> Recalibration:
        window = self._rows_of_window("temperature_")
        return recalibrate(window.logits, window.y, window.weight, shift=shift)

    @property
    def temperature_(self) -> float:
        """The temperature that the rows of the window ask for."""
        self._rows_of_window("temperature_")
        return self._fit_window(shift=False).temperature

    @property
    def temperature_interval_(self) -> tuple[float, float]:
        """Its 95 % interval."""
        self._rows_of_window("temperature_interval_")
        return self._fit_window(shift=False).interval

    @property
    def class_shift_(self) -> Array:
        """The class shifts that the rows of the window ask for."""
        window = self._rows_of_window("class_shift_")
        return fit_shift(window.logits, window.y, window.weight).shift

    @property
    def class_shift_interval_(self) -> Array:
        """Their 95 % intervals."""
        window = self._rows_of_window("class_shift_interval_")
        return fit_shift(window.logits, window.y, window.weight).interval

    @property
    def log_loss_(self) -> float:
        """Log loss of the deployed model on the window."""
        return window_loss(self._rows_of_window("log_loss_"))

    @property
    def recalibration_gain_(self) -> float:
        """By how much a temperature lowers the loss on the window."""
        window = self._rows_of_window("recalibration_gain_")
        z, y, w = window.logits, window.y, window.weight
        losses = row_losses(z, y) - cross_validated_losses(z, y, w, shift=False)
        return float(np.average(losses, weights=w))

    def window_rows(self, *, softened: bool = True) -> tuple[Array, np.ndarray, Array]:
        """The rows of the window: predictions of the deployed model, labels and weights.

        Parameters
        ----------
        softened : bool, default=True
            Whether to give them as a calibrator takes them, which is finite: where a model that is
            read as probabilities calls for it on these rows, softened as in a merge; of predictions
            that were given, those in rows with a probability of 0.

        Returns
        -------
        log_proba : ndarray of shape (n_rows, n_classes)
            Without ``softened`` -inf for a probability of 0.
        y : ndarray of shape (n_rows,)
            Labels.
        sample_weight : ndarray of shape (n_rows,)
            Weights, divided by ``max_weight``.
        """
        window = self._rows_of_window("window_rows()")
        log_proba = window.logits if softened else window.exact
        return log_proba, self.classes_[window.y], window.weight

    def reset(self) -> CalibrationMonitor:
        """Start again: evidence and alarm as before the first row; window and records are kept.

        Returns
        -------
        CalibrationMonitor
            This monitor.
        """
        if self._streams is not None:
            fresh, old = self._fresh(), self._streams
            self._streams = Streams(fresh.watch, old.window, old.reference, fresh.members)
        self._advice = None
        return self

    def to_frame(self) -> Any:
        """One line per batch, of the last 1,000.

        Returns
        -------
        pandas.DataFrame, or dict of ndarray where pandas is not installed
            ``batch`` (its number), ``label``, ``first_row``, ``n_rows``, ``log_loss``,
            ``brier_score``, ``expected_log_loss`` (under the model's own probabilities),
            ``log_e_value`` and ``alarm`` after it, ``temperature`` of the window, ``late`` (whether
            a later label came before it), and ``log_e_value_NAME`` of each member.
        """
        return as_frame(self._batches.columns())

    def member_report(self) -> Any:
        """Which member: evidence against each one, and the pool without it.

        Each member is watched against its own opinion, recalibrated on the first ``window`` rows,
        on the rows after those; its alarm comes at n_members / alpha.

        Returns
        -------
        pandas.DataFrame, or dict of ndarray where pandas is not installed
            One line per member: ``log_e_value``, ``p_value``, ``alarm``; on the window
            ``temperature`` and ``log_loss`` as it is, and ``gain``, by how much the loss of the
            pool rises without it, weights learned again on the other half of the window.

        Raises
        ------
        AttributeError
            If there is no window, or the estimator is no merged classifier.
        """
        window = self._rows_of_window("member_report")
        assert self._streams is not None
        if self._streams.members is None:
            raise AttributeError(_NO_MEMBERS.format("member_report"))
        return as_frame(member_table(self._streams.members, window, self.alpha), "member")

    def recalibrated(self, *, shift: bool | None = None) -> Any:
        """A new model: the deployed one with what the window asks for.

        Parameters
        ----------
        shift : bool, default=None
            Whether to shift the logits of the classes, too; None: where that is recommended.

        Returns
        -------
        TemperatureCalibrator
            Fitted, around the frozen estimator (with `ClassShift` in between). Without an
            estimator, a step on log-probabilities, in a Pipeline if there are two.
        """
        window = self._rows_of_window("recalibrated()")
        shift = self.recommendation_ == "shift" if shift is None else bool(shift)
        estimator = None if self._deployed is None else self._deployed.estimator
        return make_recalibrated(estimator, window, self.classes_, shift=shift)

    def remerged(self) -> Any:
        """A new model: the members, with weights learned on the window.

        Returns
        -------
        TemperatureCalibrator
            Fitted, around a `MergedClassifier` of the frozen members (``method="logits"``).

        Raises
        ------
        AttributeError
            If there is no window, or the estimator is no merged classifier.
        """
        window = self._rows_of_window("remerged()")
        if not self._members:
            raise AttributeError(_NO_MEMBERS.format("remerged()"))
        return make_remerged(self._members, window, self.classes_)

    def compare(
        self, challenger: Estimator, name: str = "challenger", *, classes: Any = None
    ) -> ModelComparison:
        """Compare with a challenger on each later `update`.

        The null: on no row is the challenger better in conditional mean of the Brier score.

        Parameters
        ----------
        challenger : classifier
            Fitted, with the same classes; it is read as it is and never changed.
        name : str, default="challenger"
            Its name in ``comparisons_``. A comparison that `from_json` brought back goes on under
            its name.
        classes : array-like of shape (n_classes,), default=None
            For a challenger that was trained on codes: what these stand for.

        Returns
        -------
        ModelComparison
            Updated together with this monitor; also in ``comparisons_``.
        """
        if self._deployed is None:
            msg = (
                "without an estimator there is nothing to ask about the rows of a challenger: use "
                "ModelComparison, whose update takes the probabilities of both models"
            )
            raise ValueError(msg)
        if name in self._challengers:
            msg = f"there is a challenger {name!r} already: pass another name="
            raise ValueError(msg)
        found = Deployed.of(challenger, classes)
        if not np.array_equal(found.classes, self.classes_):
            msg = (
                f"challenger knows the classes {found.classes.tolist()}, the deployed model "
                f"{self.classes_.tolist()}: they should be the same. If it was trained on codes, "
                f"say what they stand for: compare(challenger, classes={self.classes_.tolist()})"
            )
            raise ValueError(msg)
        self._challengers[name] = found
        return self.comparisons_.setdefault(name, ModelComparison(self.alpha))

    def _read_challengers(self, X: Any, rows: CountedRows) -> dict[str, Array]:
        for name in self.comparisons_:
            if name not in self._challengers:
                msg = f"the challenger {name!r} is not part of a state: call compare with it first"
                raise ValueError(msg)
        return {n: floored(c.log_proba(X))[rows.kept] for n, c in self._challengers.items()}

    def observe(self, X: Any, *, reference: Any = None, reference_labels: Any = None) -> Unlabelled:
        """Take in rows whose labels are not there yet: apart from what labels show.

        Parameters
        ----------
        X : array-like
            As for `update`.
        reference : array-like, default=None
            In the first call: rows that the deployed model has not been trained on, as it was
            calibrated on for example, read by this very model (out-of-fold opinions come from
            others). None: the first 5,000 rows observed.
        reference_labels : array-like of shape (n_reference,), default=None
            Their labels, for class shares. None: the rows of the window are used.

        Returns
        -------
        Unlabelled
            Whether confidences still are exchangeable with the reference, class shares under
            label shift, and the expected loss.
        """
        n = count(X)
        log_proba, classes = self._read(X, None)
        if self._streams is None:
            self._start(classes)
        observed = self._observed or Observed.start(len(classes))
        if reference is not None:
            observed = self._with_reference(observed, reference, reference_labels)
        self._observed = observed.after(floored(log_proba), self._random.random(n))
        return self.unlabelled_

    def _with_reference(self, observed: Observed, reference: Any, labels: Any) -> Observed:
        if observed.n_rows:
            msg = "reference belongs to the first call of observe: make a new monitor for another"
            raise ValueError(msg)
        if count(reference) < LEAST_REFERENCE:
            msg = f"reference should have at least {LEAST_REFERENCE} rows: pass more of them"
            raise ValueError(msg)
        log_proba, classes = self._read(reference, labels)
        y = None if labels is None else read_rows(log_proba, labels, None, classes, None).y
        return observed.with_reference(floored(log_proba), y)

    @property
    def unlabelled_(self) -> Unlabelled:
        """What rows without labels show."""
        if self._observed is None or self._streams is None:
            msg = f"{type(self).__name__!r} object has no unlabelled_ before the first observe"
            raise AttributeError(msg)
        observed, window = self._observed, self._streams.window
        if window is not None and len(window) and not observed.confusion.any():
            observed = observed.with_labels(floored(window.log_proba), window.y, window.weight)
        return summarise(observed, self.alpha)

    def metrics(self) -> dict[str, float]:
        """Current numbers under fixed names, for an experiment tracker.

        Returns
        -------
        dict of str to float
            ``n_rows``, ``log_e_value``, ``p_value`` (not with ``alarm="run_length"``), ``alarm``
            (0 or 1); after an alarm ``alarm_row`` and ``onset``; of the last batch
            ``batch_log_loss``, ``batch_brier_score`` and ``batch_expected_log_loss``; with a window
            ``log_loss``, ``recalibration_gain``, ``temperature``, ``temperature_low`` and
            ``temperature_high``, and ``class_shift_0``, ... by column; after `observe`
            ``unlabelled_log_e_value``, ``unlabelled_alarm`` and ``unlabelled_expected_log_loss``.
        """
        return collect_metrics(self, self._batches.records)

    def __add__(self, other: Any) -> PooledEvidence:
        return pool_evidence(self, other)

    def __radd__(self, other: Any) -> Any:
        return pool_evidence(self) if other == 0 else NotImplemented

    def to_json(self) -> str:
        """The state without the estimator, a few kilobytes besides the window.

        Returns
        -------
        str
            For `from_json`.
        """
        return write_state(self, self._SETTINGS)

    @classmethod
    def from_json(cls, text: str, estimator: Estimator | None = None) -> CalibrationMonitor:
        """A monitor in the state that `to_json` wrote, to the bit.

        Parameters
        ----------
        text : str
            What `to_json` gave. It is data, not code: nothing in it is run.
        estimator : classifier, default=None
            The monitored one, if there was one.

        Returns
        -------
        CalibrationMonitor
            It goes on as the one that was written would have.
        """
        state = read_state(text)
        monitor = cls(estimator, **{name: state[name] for name in cls._SETTINGS})
        restore(monitor, state)
        return monitor

    def __repr__(self) -> str:
        state = "alarm" if self.alarm_ else "no alarm"
        what = "probabilities" if self.estimator is None else repr(self.estimator)
        return (
            f"{type(self).__name__}({what}): {state} after {self.n_rows_} rows, "
            f"log e-value {self.log_e_value_:.2f}"
        )


_NO_MEMBERS = (
    "'CalibrationMonitor' object has no {}: the monitored estimator is no MergedClassifier whose "
    "members can be asked (one of methods 'auto', 'logits' or 'probabilities')"
)
