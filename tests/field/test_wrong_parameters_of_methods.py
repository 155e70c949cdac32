"""Every public method with a wrong type and a wrong value of each parameter: named in the error."""

from __future__ import annotations

import inspect
import re

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.naive_bayes import GaussianNB

import skmergecal
from skmergecal import (
    DistilledClassifier,
    EarlyStopped,
    FineTunedClassifier,
    FitOrderDisplay,
    MergedClassifier,
    MergePathDisplay,
    MonitorDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    TemperatureCalibrator,
    WeightsDisplay,
)
from skmergecal.monitoring import CalibrationMonitor
from tests.boosters.test_early_stopped import Records
from tests.field.test_wrong_parameters import (
    CHOICE,
    COUNT,
    LINEAR,
    NAN,
    NETS,
    NON_NEGATIVE,
    PROBABILITIES,
    SEED,
    SHARE,
    WEIGHT,
    YES,
    P,
    X,
    Y,
    Z,
)

mpl.use("Agg")

MERGED = MergedClassifier.from_fitted(LINEAR, X, Y)
POOL = MergedClassifier.from_fitted(LINEAR, X, Y, method="logits", alpha=1.0)
CALIBRATED = TemperatureCalibrator(FrozenEstimator(LINEAR[0])).fit(X, Y)
STOPPED = EarlyStopped(Records()).fit(X, Y)
TUNED = FineTunedClassifier(FrozenEstimator(NETS[0]), epochs=1, random_state=0).fit(X, Y)
DISTILLED = DistilledClassifier(GaussianNB(), FrozenEstimator(LINEAR[0]), label_share=0.5)
STUDENT = clone(DISTILLED).fit(X, Y)
TAUGHT = FineTunedClassifier(
    FrozenEstimator(NETS[0]), target="members", teacher=FrozenEstimator(LINEAR[0]), epochs=1
)
STREAM = TemperatureCalibrator().partial_fit(Z, Y)
MONITOR = CalibrationMonitor().update(P, Y)
PATH = {"lambdas": [0.0, 1.0], "loss": [1.0, 2.0], "accuracy": [0.5, 0.6]}
TABLE = {"order": ["a", "b"], "difference": [0.0, 0.1], "low": [-0.1, 0.0], "high": [0.1, 0.2]}

UNNAMED = {name: column for name, column in TABLE.items() if name != "order"}

ROWS = [5, None, "x"]
#: Labels of members: what is no list of labels, another number of them, fractions.
KNOWN = [5, None, "labels", Y[:-1], Y + 0.5, np.column_stack([Y, Y])]
AXES = [5, "axes", [1]]
DRAWN = {"ax": AXES[:2], "plot": [*YES, "yes"]}
INTERVALS = {"n_resamples": [c for c in COUNT if c != 0], "random_state": SEED}
RANGE = ["x", [[0.1, 0.2]], [0.1, 0.2], [["a", "b"]] * 2]
TWO = ["x", 5, None, [0.5], [[0.5, 0.5]], ["a", "b"]]
FITTED = [5, None, "x", LINEAR[0], MergedClassifier([("m", GaussianNB())])]
PATHS = [5, None, "x", {}, [5], {"a": 5}, {"a": {"lambdas": ["x", "y"], "loss": [1, 2]}}]

#: Method, its valid arguments, and wrong values of each.
CALLS = {
    "MergedClassifier.from_fitted": (
        MergedClassifier.from_fitted,
        {"members": LINEAR, "X": X, "y": Y},
        {
            "members": [5, None, "x", [], LINEAR[0]],
            "X": [5, X[:-1]],
            "y": [k for k in KNOWN if k is not None],
            "sample_weight": WEIGHT,
            "X_unlabeled": [],
            "classes": [5, "x", [0], {"a": [0]}, ["a", "a", "b"], {5: [0, 1, 2]}],
        },
    ),
    "MergedClassifier.from_cv": (
        MergedClassifier.from_cv,
        {
            "fold_models": {"a": LINEAR[:2]},
            "X": X,
            "y": Y,
            "splits": GroupKFold(2),
            "groups": np.arange(len(Y)),
        },
        {
            "fold_models": [5, None, "x", [], {}, LINEAR[:2], {"a": 5}, {"a": []}],
            "X": [*ROWS, X[:-1]],
            "y": KNOWN,
            "groups": [5, None, "x", np.arange(len(Y) - 1)],
            "splits": [5, None, "x", [], {}, 2.5, [(0, 1)], {"b": 2}, KFold(2, shuffle=True)],
            "sample_weight": WEIGHT,
            "classes": [5, "x", [0], {"a": [0]}, ["a", "a", "b"], {5: [0, 1, 2]}],
        },
    ),
    "MergedClassifier.from_predictions": (
        MergedClassifier.from_predictions,
        {"predictions": {"a": P}, "y": Y},
        {
            "predictions": [5, None, "x", [], {}, [P], P, {"a": "x"}, {"a": P[:, :2]}, {5: P}],
            "y": KNOWN,
            "sample_weight": WEIGHT,
            "classes": [5, "x", [0], [0, 0, 1], ["a", "b", "c"]],
            "logarithmic": YES,
            "missing": [*CHOICE, None],
        },
    ),
    "MergedClassifier.fit": (
        MergedClassifier([("a", GaussianNB()), ("b", GaussianNB(var_smoothing=0.1))], cv=2).fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT, "X_unlabeled": []},
    ),
    "DistilledClassifier.fit": (
        DISTILLED.fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT, "X_unlabeled": [5, "x"]},
    ),
    "DistilledClassifier.fit_held_out": (
        DISTILLED.fit_held_out,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT},
    ),
    "EarlyStopped.fit": (
        EarlyStopped(Records()).fit,
        {"X": X, "y": Y},
        {"X": [5, None, "x", X[:-1]], "y": KNOWN, "sample_weight": WEIGHT},
    ),
    "EarlyStopped.predict": (STOPPED.predict, {"X": X}, {"X": ROWS}),
    "EarlyStopped.predict_proba": (STOPPED.predict_proba, {"X": X}, {"X": ROWS}),
    "MergedClassifier.fit_held_out": (
        MergedClassifier([("a", GaussianNB()), ("b", GaussianNB(var_smoothing=0.1))], cv=2)
        .fit_held_out,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT},
    ),
    "MergedClassifier.fit of parameters": (
        MergedClassifier(
            [("a", FrozenEstimator(NETS[0])), ("b", FrozenEstimator(NETS[1]))],
            method="parameters", barrier_tolerance=99.0,
        ).fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "X_unlabeled": [5, "x", X[:, :2]]},
    ),
    "MergedClassifier.member_report": (
        POOL.member_report,
        {"X": X, "y": Y, "level": 0.9, "n_resamples": 2},
        {
            "X": [*ROWS, X[:-1]], "y": [*KNOWN, Y + 1], "sample_weight": WEIGHT,
            "level": [s for s in SHARE if s is not None], **INTERVALS, "n_resamples": COUNT,
        },
    ),
    "MergedClassifier.weight_intervals": (
        POOL.weight_intervals,
        {"X": X, "y": Y, "n_resamples": 2},
        {
            "X": [*ROWS, X[:-1]], "y": [*KNOWN, Y + 1], "sample_weight": WEIGHT,
            "level": SHARE, **INTERVALS, "n_resamples": COUNT,
        },
    ),
    "MergedClassifier.members_log_proba": (
        MERGED.members_log_proba, {"X": X}, {"X": [*ROWS, X[:, :2]]},
    ),
    "MergedClassifier.to_estimator": (POOL.to_estimator, {"X": X}, {"X": [5, "x", X[:, :2]]}),
    "TemperatureCalibrator.fit": (
        TemperatureCalibrator(FrozenEstimator(LINEAR[0])).fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": [*KNOWN, Y + 1], "sample_weight": WEIGHT},
    ),
    "TemperatureCalibrator.fit_held_out": (
        TemperatureCalibrator(GaussianNB(), cv=2).fit_held_out,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT},
    ),
    "TemperatureCalibrator.partial_fit": (
        TemperatureCalibrator(FrozenEstimator(LINEAR[0])).partial_fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": [*KNOWN, Y + 1], "sample_weight": WEIGHT,
         "classes": [5, "x", [0, 1], [0, 0, 1, 2]]},
    ),
    "TemperatureCalibrator.partial_fit of logits": (
        lambda **given: TemperatureCalibrator().partial_fit(**given),
        {"X": Z, "y": Y, "classes": [0, 1, 2]},
        {"y": KNOWN, "sample_weight": WEIGHT, "classes": [5, "x", [0, 1], [0, 0, 1, 2], [7, 8, 9]]},
    ),
    "TemperatureCalibrator.from_statistics": (
        TemperatureCalibrator.from_statistics,
        {"statistics": STREAM.statistics_},
        {"statistics": [5, None, "x", {}, [STREAM.statistics_]],
         "estimator": [5, "x", GaussianNB(), LINEAR]},
    ),
    "FineTunedClassifier.fit": (
        FineTunedClassifier(FrozenEstimator(NETS[0]), epochs=1).fit,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": [*KNOWN, Y + 1], "sample_weight": WEIGHT},
    ),
    "FineTunedClassifier.fit of members": (
        TAUGHT.fit,
        {"X": X, "y": Y},
        {"X": [*ROWS], "y": [k for k in KNOWN if k is not None], "sample_weight": WEIGHT,
         "X_unlabeled": [5, "x", X[:, :2]]},
    ),
    "FineTunedClassifier.fit_held_out": (
        FineTunedClassifier(FrozenEstimator(NETS[0]), epochs=1, cv=2).fit_held_out,
        {"X": X, "y": Y},
        {"X": [*ROWS, X[:-1]], "y": KNOWN, "sample_weight": WEIGHT},
    ),
    "ReliabilityDisplay": (
        ReliabilityDisplay,
        {"curves": ReliabilityDisplay.from_predictions(Y, P, plot=False).curves},
        {"curves": [5, None, "x", [], [5]], "band": [5, "bootstrap"]},
    ),
    "ReliabilityDisplay.from_predictions": (
        ReliabilityDisplay.from_predictions,
        {"y": Y, "proba": P, "classes": [0, 1, 2], "plot": False},
        {
            "y": [*KNOWN, Y + 1], "proba": [*PROBABILITIES[:3], *PROBABILITIES[4:], {}, {"a": Z}],
            "classes": [5, "x", [0, 1], [0, 0, 1]], "name": [5, ["a"]], "kind": CHOICE,
            "n_bins": COUNT, "strategy": CHOICE, "band": CHOICE, "confidence_level": SHARE,
            "sample_weight": WEIGHT, **DRAWN,
        },
    ),
    "ReliabilityDisplay.from_estimator": (
        ReliabilityDisplay.from_estimator,
        {"estimator": MERGED, "X": X, "y": Y, "plot": False},
        {"estimator": [*FITTED[:3], FITTED[4], {}, {"a": 5}], "X": [*ROWS, X[:-1]],
         "y": [*KNOWN, Y + 1]},
    ),
    "ReliabilityDisplay.plot": (
        ReliabilityDisplay.from_predictions(Y, P, plot=False).plot, {}, {"ax": AXES},
    ),
    "RiskCoverageDisplay": (
        RiskCoverageDisplay,
        {"curves": RiskCoverageDisplay.from_predictions(Y, P, plot=False).curves},
        {"curves": [5, None, "x", {}, {"a": 5}]},
    ),
    "RiskCoverageDisplay.from_predictions": (
        RiskCoverageDisplay.from_predictions,
        {"y": Y, "proba": P, "classes": [0, 1, 2], "plot": False},
        {
            "y": [*KNOWN, Y + 1], "proba": [*PROBABILITIES[:3], *PROBABILITIES[4:], {}, {"a": Z}],
            "classes": [5, "x", [0, 1], [0, 0, 1]], "name": [5, ["a"]],
            "sample_weight": WEIGHT, **DRAWN,
        },
    ),
    "RiskCoverageDisplay.from_estimator": (
        RiskCoverageDisplay.from_estimator,
        {"estimator": MERGED, "X": X, "y": Y, "plot": False},
        {"estimator": [*FITTED[:3], FITTED[4], {}, {"a": 5}], "X": [*ROWS, X[:-1]],
         "y": [*KNOWN, Y + 1]},
    ),
    "RiskCoverageDisplay.plot": (
        RiskCoverageDisplay.from_predictions(Y, P, plot=False).plot, {}, {"ax": AXES},
    ),
    "WeightsDisplay": (
        WeightsDisplay,
        {"names": ["a", "b"], "weights": [0.5, 0.5]},
        {"names": [5, None, "ab", []], "weights": TWO, "intervals": RANGE},
    ),
    "WeightsDisplay.from_estimator": (
        WeightsDisplay.from_estimator,
        {"estimator": POOL, "X": X, "y": Y, "n_resamples": 2, "plot": False},
        {
            "estimator": FITTED, "X": [5, "x", X[:-1]], "y": [*KNOWN, Y + 1], **INTERVALS,
            "confidence_level": SHARE, "sample_weight": WEIGHT, **DRAWN,
        },
    ),
    "WeightsDisplay.from_predictions": (
        WeightsDisplay.from_predictions,
        {"y": Y, "proba": {"a": P, "b": P[::-1]}, "n_resamples": 2, "plot": False},
        {
            "y": KNOWN, "proba": [5, None, "x", {}, {"a": Z}, {"a": P, "b": P[:, :2]}],
            "classes": [5, "x", [0, 1], [0, 0, 1]], "alpha": [*NON_NEGATIVE, "automatic"],
            **INTERVALS, "confidence_level": SHARE, "sample_weight": WEIGHT, **DRAWN,
        },
    ),
    "WeightsDisplay.plot": (WeightsDisplay(["a"], [1.0]).plot, {}, {"ax": AXES}),
    "MergePathDisplay": (MergePathDisplay, {"paths": {"a": PATH}}, {"paths": PATHS}),
    "MergePathDisplay.from_estimators": (
        MergePathDisplay.from_estimators,
        {"first": LINEAR[0], "second": LINEAR[1], "X": X, "y": Y, "n_points": 3, "plot": False,
         "alignments": [None]},
        {
            "first": [5, None, "x"], "second": [5, None, "x"], "X": [5, None, X[:-1]],
            "y": [*KNOWN, Y + 1], "alignments": [5, None, [], "weights", ["magic"]],
            "n_points": [*COUNT, 1], "sample_weight": WEIGHT, "metric": CHOICE, **DRAWN,
        },
    ),
    "MergePathDisplay.from_results": (
        MergePathDisplay.from_results,
        {"results": {"a": PATH}, "plot": False},
        {"results": PATHS, "metric": CHOICE, **DRAWN},
    ),
    "MergePathDisplay.plot": (
        MergePathDisplay({"a": PATH}).plot, {}, {"ax": AXES, "metric": CHOICE},
    ),
    "MonitorDisplay": (
        MonitorDisplay,
        {"records": MONITOR.to_frame(), "alarm_line": 4.6},
        {"records": [5, None, "x", {}, {"label": [1]}], "alarm_line": ["x", None, NAN],
         "onset": ["x", 1.5, -1]},
    ),
    "MonitorDisplay.from_monitor": (
        MonitorDisplay.from_monitor,
        {"monitor": MONITOR, "plot": False},
        {"monitor": [5, None, "x", LINEAR[0]], "members": [*YES, "yes"], **DRAWN},
    ),
    "MonitorDisplay.plot": (
        MonitorDisplay.from_monitor(MONITOR, plot=False).plot, {},
        {"ax": AXES, "members": [*YES, "yes", True]},
    ),
    "FitOrderDisplay": (
        FitOrderDisplay,
        {"names": ["a", "b"], "differences": [0.0, 0.1], "intervals": [[0, 1], [0, 1]]},
        {"names": [5, None, "ab", []], "differences": TWO, "intervals": [5, None, *RANGE],
         "baseline": [5, ["a"]]},
    ),
    "FitOrderDisplay.from_results": (
        FitOrderDisplay.from_results,
        {"table": TABLE, "plot": False},
        {"table": [5, None, "x", {}, {**TABLE, "low": ["x", "y"]}, {**UNNAMED}], **DRAWN},
    ),
    "FitOrderDisplay.plot": (
        FitOrderDisplay.from_results(TABLE, plot=False).plot, {}, {"ax": AXES},
    ),
}  # fmt: skip
for model, rows in ((MERGED, X), (CALIBRATED, X), (TUNED, X), (STUDENT, X), (STREAM, Z)):
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform"):
        what = "X" if model is not STREAM else "logits"
        wrong = [*ROWS, rows[:, :2]]
        CALLS[f"{type(model).__name__}.{name} of {what}"] = (
            getattr(model, name),
            {"X": rows},
            {"X": wrong},
        )
#: Names by which a message may call a parameter, besides its own.
ALSO_CALLED = {"X": "X|logits", "results": "results|paths"}
#: As in scikit-learn; names of features are tried in test_wrong_parameters, and `from_partitions`,
#: which takes Dask collections, in tests/distributed.
NOT_TRIED = (
    "from_partitions",
    "fit_transform",
    "get_params",
    "set_params",
    "get_feature_names_out",
    "set_output",
    "score",
)
CASES = [pytest.param(call, name, id=f"{call}-{name}") for call in CALLS for name in CALLS[call][2]]


@pytest.mark.parametrize(("call", "name"), CASES)
def test_a_wrong_parameter_is_named(call, name):
    method, valid, wrong = CALLS[call]
    said = ALSO_CALLED.get(name, name)
    for value in wrong[name]:
        with pytest.raises((ValueError, TypeError)) as error:
            method(**{**valid, name: value})
        assert re.search(rf"\b({said})\b", str(error.value)), f"{value!r}: {error.value}"


def test_every_parameter_of_every_public_method_is_tried():
    tried = {}
    for call, (_, _, wrong) in CALLS.items():
        tried.setdefault(call.split(" of ")[0], set()).update(wrong)
    missing = []
    for cls in {getattr(skmergecal, name) for name in skmergecal.__all__}:
        if not inspect.isclass(cls):
            continue
        for name, method in inspect.getmembers(cls, callable):
            kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
            shown = not name.startswith("_") and "skmergecal" in (method.__module__ or "")
            if not shown or name in NOT_TRIED:
                continue
            given = inspect.signature(method).parameters.values()
            known = {p.name for p in given if p.kind not in kinds} - {"self"}
            known -= tried.get(f"{cls.__name__}.{name}", set())
            missing += [f"{cls.__name__}.{name}({n})" for n in known]
    assert not missing
