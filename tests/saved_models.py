"""Fitted models of every kind that can be saved, with cheap members."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB

from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.calibration import ClassShift

LABELS = np.array(["high", "low", "medium"])
X, Y = make_classification(240, 6, n_informative=4, n_classes=3, flip_y=0.1, random_state=0)
BAYES = GaussianNB().fit(X[:80], LABELS[Y[:80]])
LINEAR = LogisticRegression().fit(X[:80], LABELS[Y[:80]])
SMOOTH = LogisticRegression(C=0.05).fit(X[:80], LABELS[Y[:80]])
CODED = GaussianNB().fit(X[:80], Y[:80])
#: Rows of the fits of merges, and those that predictions are compared on.
ROWS, LABELS_OF_ROWS = X[80:200], LABELS[Y[80:200]]
NEW = X[200:]


def frozen(*members):
    return [(f"m{number}", FrozenEstimator(member)) for number, member in enumerate(members)]


def _merged(*members, rows=ROWS, **params):
    return MergedClassifier(frozen(*members), **params).fit(rows, LABELS_OF_ROWS)


def _fitted_here(**params):
    return MergedClassifier({"a": GaussianNB(), "b": LogisticRegression()}, cv=2, **params)


def _nested():
    inner = _merged(BAYES, LINEAR, method="logits")
    calibrated = TemperatureCalibrator(FrozenEstimator(SMOOTH)).fit(ROWS, LABELS_OF_ROWS)
    return _merged(_merged(inner, coded_bayes()), calibrated, inner, method="probabilities")


def coded_bayes():
    return MergedClassifier.from_fitted(
        {"codes": CODED}, ROWS, LABELS_OF_ROWS, classes={"codes": LABELS}
    )


def _stream():
    calibrator = TemperatureCalibrator(FrozenEstimator(CODED), classes=LABELS)
    return calibrator.partial_fit(ROWS, LABELS_OF_ROWS)


def _tuned():
    start = SGDClassifier(loss="log_loss", random_state=0).fit(X[:80], LABELS[Y[:80]])
    tuned = FineTunedClassifier(FrozenEstimator(start), epochs=1, random_state=0)
    return tuned.fit(ROWS, LABELS_OF_ROWS)


def _distilled():
    student = DistilledClassifier(LogisticRegression(), FrozenEstimator(BAYES), cv=2)
    return student.fit(ROWS, LABELS_OF_ROWS)


def _from_predictions():
    stored = {name: member.predict_proba(ROWS) for name, member in (("a", BAYES), ("b", LINEAR))}
    return MergedClassifier.from_predictions(stored, LABELS_OF_ROWS)


MODELS = {
    "auto": lambda: _merged(BAYES, LINEAR),
    "logits": lambda: _merged(BAYES, LINEAR, method="logits", calibrate="both"),
    "classwise": lambda: _merged(BAYES, LINEAR, method="logits", weights="classwise"),
    "probabilities": lambda: _merged(BAYES, LINEAR, method="probabilities", calibrate="merged"),
    "parameters": lambda: _merged(LINEAR, SMOOTH, method="parameters"),
    "greedy": lambda: _merged(BAYES, LINEAR, weights="greedy"),
    "given weights": lambda: MergedClassifier.from_fitted([BAYES, LINEAR], weights=None),
    "fitted here": lambda: _fitted_here().fit(ROWS, LABELS_OF_ROWS),
    "fold averages": lambda: _fitted_here(refit=False).fit(ROWS, LABELS_OF_ROWS),
    "codes": coded_bayes,
    "nested": _nested,
    "calibrated": lambda: TemperatureCalibrator(FrozenEstimator(BAYES)).fit(ROWS, LABELS_OF_ROWS),
    "calibrated here": lambda: TemperatureCalibrator(_fitted_here(method="logits")).fit(
        ROWS, LABELS_OF_ROWS
    ),
    "stream": _stream,
    "shifted": lambda: ClassShift(FrozenEstimator(BAYES)).fit(ROWS, LABELS_OF_ROWS),
    "tuned": _tuned,
    "distilled": _distilled,
    "predictions": _from_predictions,
}


@cache
def model(name):
    """A fitted model, made once: it is not to be changed."""
    return MODELS[name]()


def rows_for(name):
    if name != "predictions":
        return NEW
    return {"a": BAYES.predict_proba(NEW), "b": LINEAR.predict_proba(NEW)}
