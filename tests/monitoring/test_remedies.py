"""Remedies that messages about monitors name: each mistake, its message, what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import TemperatureCalibrator
from skmergecal.calibration import ClassShift, adjust_prior
from skmergecal.monitoring import CalibrationMonitor, ModelComparison

RNG = np.random.default_rng(0)
Z = log_softmax(RNG.normal(size=(120, 3)) * 1.5, axis=1)
Y = (RNG.random((120, 1)) > np.exp(Z).cumsum(axis=1)).sum(axis=1).clip(max=2)
P, X = np.exp(Z), RNG.normal(size=(120, 2)) + Y[:, None]
TWOS, NAMES = np.full(120, 2.0), np.array(["a", "b", "c"])
DATES = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], dtype="datetime64[D]")
MISSING = np.where(np.arange(120)[:, None] == 3, np.nan, Z)
BAYES, LINEAR = GaussianNB().fit(X, Y), LogisticRegression().fit(X, Y)


def fed(monitor=None, z=Z, y=Y, weight=None, **label):
    monitor = CalibrationMonitor() if monitor is None else monitor
    return monitor.update(z, y, weight, **label)


def compared(weight=None, rows=slice(None), y=Y):
    return ModelComparison().update(P, P[rows], y, weight)


def of_labels(y=NAMES[Y], rows=slice(None), **settings):
    return fed(CalibrationMonitor(**settings), Z[rows], y[rows])


def calibrated(n, **settings):
    """A calibrator whose rows are right, or nearly all of them."""
    z = log_softmax(4 * np.eye(3)[Y], axis=1)
    y = np.where(np.arange(120) == 100, (Y + 1) % 3, Y)
    calibrator = TemperatureCalibrator(alpha=0.0).fit(z[:n], y[:n])
    return CalibrationMonitor(calibrator, **settings)


def quiet(function):
    with pytest.warns(UserWarning, match="No finite|No temperature|temperature"):
        return function()


def challenged(monitor, *models):
    for model in models:
        monitor.compare(model)
    return monitor


def copy_of(*challengers):
    monitor = challenged(CalibrationMonitor(BAYES), BAYES).update(X, Y)
    copied = CalibrationMonitor.from_json(monitor.to_json(), BAYES)
    return challenged(copied, *challengers).update(X, Y)


def observed(*calls, reference=slice(None)):
    monitor = CalibrationMonitor()
    for call in calls:
        monitor.observe(Z, reference=Z[reference] if call else None)
    return monitor


def summed(**settings):
    return fed(CalibrationMonitor(tolerance=0.1)) + CalibrationMonitor(**settings).update(Z, Y)


def without_update():
    return fed() + CalibrationMonitor()


def read(text, estimator=None):
    return CalibrationMonitor.from_json(text, estimator)


def written(labels):
    monitor = CalibrationMonitor(classes=labels)
    return monitor.update(Z, np.asarray(labels)[Y]).to_json()


def shifted(shift):
    return ClassShift.from_shift(shift, classes=[0, 1, 2])


def labelled(second):
    return fed(fed(label="May"), label=second)


#: A part of the message; what gives it; what must work then.
CASES = [
    ("divide it by the largest weight that can come", lambda: compared(TWOS),
     lambda: compared(TWOS / 2)),
    ("pass both models' probabilities of the same rows and classes",
     lambda: compared(rows=slice(50)), compared),
    ("pass max_weight=", lambda: fed(weight=TWOS),
     lambda: fed(CalibrationMonitor(max_weight=2), weight=TWOS)),
    ("calibrate on more rows, or pass tolerance= as a number",
     lambda: quiet(lambda: calibrated(100)), lambda: calibrated(120),
     lambda: quiet(lambda: calibrated(100, tolerance=0.1))),
    ("drop the row", lambda: fed(z=MISSING),
     lambda: fed(z=np.delete(MISSING, 3, axis=0), y=np.delete(Y, 3))),
    ("pass scipy.special.log_softmax(X, axis=1) of logits", lambda: fed(z=3 * Z),
     lambda: fed(z=log_softmax(3 * Z, axis=1))),
    ("leave their rows out, and monitor a model that knows them",
     lambda: of_labels(classes=["a", "b", "z"]),
     lambda: of_labels(rows=Y < 2, classes=["a", "b", "z"]),
     lambda: of_labels(classes=["a", "b", "c"])),
    ("pass classes= with one label for each column", of_labels,
     lambda: of_labels(classes=["a", "b", "c"])),
    ("pass classes= with one label for each column, in order",
     lambda: of_labels(classes=["a", "b"]), lambda: of_labels(classes=["a", "b", "c"])),
    ("pass a cohort of at least one row", lambda: fed(z=Z[:0], y=Y[:0]),
     lambda: fed(z=Z[:1], y=Y[:1])),
    ("pass str(label)", lambda: labelled(("a", 1)), lambda: labelled(str(("a", 1)))),
    ("Leave it out, or give other rows another label", lambda: labelled("May"),
     lambda: labelled("June")),
    ("pass window=2000", lambda: fed().temperature_,
     lambda: fed(CalibrationMonitor(window=2000)).temperature_),
    ("before the first update", lambda: CalibrationMonitor(window=50).temperature_,
     lambda: fed(CalibrationMonitor(window=50)).temperature_),
    ("use ModelComparison, whose update takes", lambda: CalibrationMonitor().compare(BAYES),
     compared),
    ("pass another name=", lambda: challenged(CalibrationMonitor(BAYES), BAYES, BAYES),
     lambda: CalibrationMonitor(BAYES).compare(BAYES, name="again")),
    ("call compare with it first", copy_of, lambda: copy_of(BAYES)),
    ("make a new monitor for another", lambda: observed(True, True), lambda: observed(True)),
    ("pass more of them", lambda: observed(True, reference=slice(50)), lambda: observed(True)),
    ("before the first observe", lambda: observed().unlabelled_,
     lambda: observed(False).unlabelled_),
    ("Ask the monitor of each site", lambda: summed(tolerance=0.1).recommendation_,
     lambda: fed().recommendation_),
    ("the same classes= and tolerance=, at every site", lambda: summed(tolerance=0.2),
     lambda: summed(tolerance=0.1)),
    ("Pass alarm='ever'", lambda: summed(tolerance=0.1, alarm="run_length"),
     lambda: summed(tolerance=0.1, alarm="ever")),
    ("call its update first", without_update, lambda: fed() + fed()),
    ("pass the estimator that was monitored",
     lambda: read(CalibrationMonitor(BAYES).update(X, Y).to_json(), GaussianNB().fit(X, Y > 0)),
     lambda: read(CalibrationMonitor(BAYES).update(X, Y).to_json(), BAYES)),
    ("write it again with to_json", lambda: read(fed().to_json()[:-9]),
     lambda: read(fed().to_json())),
    ("use str or int labels", lambda: written(DATES), lambda: written(DATES.astype(str)),
     lambda: written(["a", "b", "c"]), lambda: written([2, 5, 7])),
    ("shifts of bare logits need classes=", lambda: ClassShift.from_shift([0.1, 0, 0]),
     lambda: ClassShift.from_shift([0.1, 0, 0], classes=[0, 1, 2]).predict_proba(Z)),
    ("one number for each class", lambda: shifted({0: 1.0}), lambda: shifted({0: 1.0, 1: 0, 2: 0})),
    ("in this order, or be a dict or Series by label", lambda: shifted([1.0, 0]),
     lambda: shifted([1.0, 0, 0]), lambda: shifted({0: 1.0, 1: 0, 2: 0})),
    ("should be positive for each class", lambda: adjust_prior(BAYES, [0, 0.5, 0.5]),
     lambda: adjust_prior(BAYES, [0.1, 0.5, 0.4])),
    ("pass old_prior=, the shares of the classes", lambda: adjust_prior(LINEAR, [0.1, 0.5, 0.4]),
     lambda: adjust_prior(LINEAR, [0.1, 0.5, 0.4], old_prior=np.bincount(Y) / 120)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "mistake", "remedies"), [(m, f, r) for m, f, *r in CASES], ids=[c[0] for c in CASES]
)
def test_each_remedy_works(message, mistake, remedies):
    with pytest.raises((AttributeError, TypeError, ValueError), match=re.escape(message)):
        mistake()
    for remedy in remedies:
        assert remedy() is not None
