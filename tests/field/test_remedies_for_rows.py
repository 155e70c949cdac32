"""Remedies for rows, labels, weights, folds and plots: each mistake, its message, what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB

from skmergecal import (
    FitOrderDisplay,
    MergedClassifier,
    MergePathDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    TemperatureCalibrator,
    calibration_report,
    compare_fit_orders,
)
from skmergecal.metrics import calibration_test, decompose_log_loss, expected_calibration_error
from skmergecal.pooling import fit_logarithmic_pool

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(60, 3))
Y = (Z + RNG.gumbel(size=Z.shape)).argmax(axis=1)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
X = np.random.default_rng(1).normal(size=(60, 4)) + Y[:, None]
ONES = np.ones(60)


def changed(values, value, row=0):
    values = np.array(values, dtype=object if isinstance(value, str) else float)
    values[row] = value
    return values


def merged(X=X, y=Y, cv=2, held_out=False, **params):
    model = MergedClassifier([("m", GaussianNB())], method="logits", cv=cv)
    return (model.fit_transform if held_out else model.fit)(X, y, **params)


def bare(z=Z, y=Y, **settings):
    return TemperatureCalibrator(**settings).fit(z, y)


def stream(z=Z, y=Y, estimator=None, **settings):
    return TemperatureCalibrator(estimator, **settings).partial_fit(z, y)


def frozen(rows=slice(None)):
    return FrozenEstimator(GaussianNB().fit(X[rows], Y[rows]))


def masked(values):
    mask = np.zeros(values.shape, dtype=bool)
    mask[0] = True
    return np.ma.masked_array(values, mask)


def used_up():
    folds = KFold(2, shuffle=True, random_state=0).split(X)
    list(folds)
    return folds


def shared():
    """Two sites, each with some of the classes."""
    parts = (Y < 2, Y > 0)
    return [stream(Z[p][:, :3], Y[p], classes=[0, 1, 2]).statistics_ for p in parts]


def own_classes():
    pairs = ([1, 2], [0, 1])
    return [stream(Z[np.isin(Y, c)][:, c], Y[np.isin(Y, c)]).statistics_ for c in pairs]


def path(**columns):
    return {"lambdas": [0.0, 1.0], "loss": [1.0, 2.0], **columns}


def paths(*others, metric="accuracy"):
    known = {"known": path(accuracy=[0.5, 0.6])}
    return MergePathDisplay({**known, **dict.fromkeys(others, path())}).plot(metric=metric)


def risk(*models):
    rows = X[Y > 0], Y[Y > 0]
    named = {str(i): model for i, model in enumerate(models)}
    return RiskCoverageDisplay.from_estimator(named, *rows)


def orders(names):
    settings = {"cv": 2, "calibrate": False, "method": "logits", "weights": None}
    return compare_fit_orders([("m", GaussianNB())], X, Y, orders=names, **settings)


def auc(estimator, X, y):
    return roc_auc_score(y == 2, estimator.predict_proba(X)[:, 2]) if 2 in y else np.nan


def greedy(rows):
    members = [frozen(), frozen(slice(20, None))]
    settings = {"weights": "greedy", "scoring": auc}
    return MergedClassifier.from_fitted(members, X[rows], Y[rows], method="logits", **settings)


def report(y=Y):
    return calibration_report(frozen(), X[y < 9], y[y < 9], n_resamples=2)


def reliability(y=Y, proba=P, **settings):
    return ReliabilityDisplay.from_predictions(y, proba, **settings)


def top(y, proba, sample_weight):
    return expected_calibration_error(y, proba, sample_weight=sample_weight)


def unfit(cls=GaussianNB):
    return MergedClassifier.from_fitted({"m": cls()}, X, Y)


def learned(**settings):
    return MergedClassifier.from_fitted({"m": frozen()}, **settings)


TWO, LAST = np.flatnonzero(Y < 2), np.flatnonzero(Y == 2)
FEW = np.r_[TWO[:15], LAST[:4], TWO[15:30]]  # all rows of a class are in the middle

#: A part of the message; what gives it; what must work then.
CASES = [
    ("pass the labels of the rows", lambda: merged(y=None), merged),
    ("fit one classifier per output", lambda: merged(y=np.c_[Y, Y]), merged),
    ("Drop these rows, or label them", lambda: merged(y=changed(Y, np.nan)),
     lambda: merged(X[1:], Y[1:])),
    ("drop their rows, or label them", lambda: merged(y=masked(Y)), lambda: merged(X[1:], Y[1:])),
    ("fill them first", lambda: merged(masked(X)), lambda: merged(masked(X).filled(0.0))),
    ("convert the values first", lambda: fit_logarithmic_pool([Z.astype(str)], Y),
     lambda: fit_logarithmic_pool([Z.astype(str).astype(float)], Y)),
    ("drop the row, or soften", lambda: fit_logarithmic_pool([changed(Z, -np.inf, (0, 0))], Y),
     lambda: fit_logarithmic_pool([Z[1:]], Y[1:]),
     lambda: fit_logarithmic_pool([np.log(np.clip(changed(P, 0, (0, 0)), 1e-15, 1))], Y)),
    ("clip or drop it", lambda: bare(changed(Z, np.inf)), lambda: bare(Z[1:], Y[1:]),
     lambda: bare(np.clip(changed(Z, np.inf, (0, 0)), -30, 30))),
    ("per row", lambda: merged(sample_weight=ONES[:5]), lambda: merged(sample_weight=ONES)),
    ("shape (60,)", lambda: merged(sample_weight=np.c_[ONES, ONES]),
     lambda: merged(sample_weight=ONES)),
    ("drop the rows or correct the weights", lambda: merged(sample_weight=changed(ONES, -1)),
     lambda: merged(X[1:], Y[1:], sample_weight=ONES[1:])),
    ("must have a positive weight", lambda: bare().fit(Z, Y, sample_weight=0 * ONES),
     lambda: bare().fit(Z, Y, sample_weight=changed(0 * ONES, 3, slice(0, 9)))),
    ("they add up to the number of rows", lambda: bare().fit(Z, Y, sample_weight=ONES / 100),
     lambda: bare().fit(Z, Y, sample_weight=ONES)),
    ("cv=<generator", lambda: merged(cv=used_up()), lambda: merged(cv=2),
     lambda: merged(cv=KFold(2, shuffle=True)), lambda: merged(cv=list(KFold(3).split(X)))),
    ("use a splitter that is a partition",
     lambda: merged(cv=[(np.arange(40), np.arange(40, 60))], held_out=True),
     lambda: merged(cv=KFold(3), held_out=True)),
    ("use fewer folds, or stratified ones", lambda: merged(X[FEW], Y[FEW], cv=KFold(3)),
     lambda: merged(X[FEW], Y[FEW], cv=KFold(2)),
     lambda: merged(X[FEW], Y[FEW], cv=StratifiedKFold(2))),
    ("pass classes= with one label for each column", lambda: bare(Z[Y < 2], Y[Y < 2]),
     lambda: bare(Z[Y < 2], Y[Y < 2], classes=[0, 1, 2])),
    ("Pass all labels as classes= in the first call", lambda: stream(Z[:, :2], Y % 2)
     .partial_fit(Z[:, :2], Y), lambda: stream(Z, Y % 2, classes=[0, 1, 2]).partial_fit(Z, Y)),
    ("divide the logits by a constant first, or use fit", lambda: stream(Z * 1e7),
     lambda: stream(Z * 1e7 / 1e7), lambda: bare(Z * 1e7)),
    ("pass classes= at every site", lambda: sum(own_classes()[1:], own_classes()[0]),
     lambda: TemperatureCalibrator.from_statistics(sum(shared()[1:], shared()[0]))),
    ("pass sklearn.frozen.FrozenEstimator(estimator), or estimator=None",
     lambda: TemperatureCalibrator.from_statistics(stream().statistics_, GaussianNB()),
     lambda: TemperatureCalibrator.from_statistics(stream().statistics_, frozen()),
     lambda: TemperatureCalibrator.from_statistics(stream().statistics_)),
    ("pass both, or neither", lambda: MergedClassifier.from_fitted([frozen()], X),
     lambda: MergedClassifier.from_fitted([frozen()], X, Y),
     lambda: MergedClassifier.from_fitted([frozen()], weights=None)),
    ("or weights=None and calibrate=None", lambda: learned(calibrate="merged"),
     lambda: learned(weights=None, calibrate=None), lambda: learned(X=X, y=Y, calibrate="merged")),
    ("use a score that is defined there", lambda: greedy(Y < 2), lambda: greedy(slice(None))),
    ("Pass rows of the classes that were merged",
     lambda: learned(X=X, y=Y).member_report(X, changed(Y, 9)),
     lambda: learned(X=X, y=Y).member_report(X, Y)),
    ("Leave these rows out: they cannot be scored",
     lambda: calibration_report(frozen(), X, changed(Y, 9)),
     lambda: report(changed(Y, 9))),
    ('needs norm="l2"', lambda: expected_calibration_error(Y, P, norm="l1", debias=True),
     lambda: expected_calibration_error(Y, P, norm="l2", debias=True)),
    ("pass an integer or a KFold",
     lambda: decompose_log_loss(Y, P, cv=[(np.arange(50), np.arange(50, 60))]),
     lambda: decompose_log_loss(Y, P, cv=3), lambda: decompose_log_loss(Y, P, cv=KFold(3))),
    ('use "class-wise"', lambda: reliability(kind="binary"),
     lambda: reliability(kind="class-wise")),
    ("pass a callable as score", lambda: calibration_test(Y, np.full((60, 3), 1 / 3)),
     lambda: calibration_test(Y, np.full((60, 3), 1 / 3), score=top, n_resamples=9)),
    ("choose from ['merge'", lambda: orders(["marge"]), lambda: orders(["merge"])),
    ("pass the table that compare_fit_orders returns",
     lambda: FitOrderDisplay.from_results(orders(["merge"]).drop(columns="low"), plot=False),
     lambda: FitOrderDisplay.from_results(orders(["merge"]), plot=False)),
    ("drop them, or pass metric='loss'", lambda: paths("other"), paths,
     lambda: paths("other", metric="loss")),
    ("plot them separately", lambda: risk(frozen(), frozen(Y > 0)),
     lambda: (risk(frozen()), risk(frozen(Y > 0)))),
    ("pass classes= in the order of the columns", lambda: reliability(Y[Y < 2], P[Y < 2]),
     lambda: reliability(Y[Y < 2], P[Y < 2], classes=[0, 1, 2])),
    ("and no name=", lambda: reliability(proba={"a": P}, name="b"),
     lambda: reliability(proba={"b": P}), lambda: reliability(name="b")),
    ("call its fit first, or have it fitted here", unfit, lambda: learned(X=X, y=Y),
     lambda: MergedClassifier([("m", GaussianNB())]).fit(X, Y),
     lambda: TemperatureCalibrator(GaussianNB()).fit(X, Y)),
    ("or pass it without FrozenEstimator",
     lambda: TemperatureCalibrator(FrozenEstimator(LogisticRegression())).fit(X, Y),
     lambda: TemperatureCalibrator(LogisticRegression()).fit(X, Y)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "mistake", "remedies"), [(m, f, r) for m, f, *r in CASES], ids=[c[0] for c in CASES]
)
def test_each_remedy_works(message, mistake, remedies):
    with pytest.raises((TypeError, ValueError, UserWarning), match=re.escape(message)):
        mistake()
    for remedy in remedies:
        assert remedy() is not None
