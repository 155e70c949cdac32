"""Every public function with a wrong type and a wrong value of each parameter: named in the error.

As scikit-learn tests its own functions. A parameter that is not tried here is listed with a reason.
"""

from __future__ import annotations

import inspect
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

import skmergecal
from skmergecal import calibration, metrics, parameters, pooling

RNG = np.random.default_rng(0)
N, K = 30, 3
Z = RNG.normal(size=(N, K))
Y = (Z + RNG.gumbel(size=Z.shape)).argmax(axis=1)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
LOG = np.log(P)
X = RNG.normal(size=(N, 4))
LINEAR = [LogisticRegression(C=c).fit(X, Y) for c in (0.1, 1.0)]
FORESTS = [RandomForestClassifier(2, random_state=s).fit(X, Y) for s in range(2)]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    NETS = [MLPClassifier((4,), max_iter=2, random_state=0).fit(X, Y) for _ in range(2)]
READ = [parameters.read_parameters(model) for model in LINEAR]
OF_NETS = [parameters.read_parameters(model) for model in NETS]
NAMED = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]
SEARCH = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, Y)
TRIAL = SimpleNamespace(
    params={}, value=0.5, state=SimpleNamespace(name="COMPLETE"), suggest_float=lambda *_: 0.5
)
STUDY = SimpleNamespace(trials=[TRIAL], directions=[SimpleNamespace(name="MINIMIZE")])
NAN, INF = np.nan, np.inf

#: Numbers that are none, and what is no number.
NUMBER = ["x", None, [1.0], NAN]
POSITIVE = [*NUMBER, 0, -1.0, INF]
NON_NEGATIVE = [*NUMBER, -1.0, INF]
SHARE = [*NUMBER, 0, 1, -0.5, 95]
COUNT = ["x", None, 2.5, 0, -1, NAN]
CHOICE = ["magic", 3, [1]]
YES = ["no", None, 2.5]
SEED = ["x", 2.5, -1]
LABELS = [
    5,
    None,
    "labels",
    Y[:-1],
    Y + 0.5,
    [str(label) for label in Y],
    Y + 1,
    Y - 1,
    np.column_stack([Y, Y]),
    np.ma.masked_equal(Y, 0),
]
WEIGHT = ["x", ["a"] * N, np.ones(N - 1), -np.ones(N), np.zeros(N), np.full(N, NAN)]
WEIGHT += [["1"] * N, np.ones((N, 2)), np.ma.masked_equal(np.arange(N), 3)]
SHARES = [5, None, "x", [1.0], [NAN, 1.0], [-0.5, 1.5], [0.0, 0.0], [[0.5, 0.5]], ["a", "b"]]
FACTORS = [5, None, "x", [1.0], [NAN, 1.0], [0.0, 0.0], [[0.5, 0.5]], ["a", "b"], ["1", "2"]]
MATRIX = [5, None, "x", Z[0], [["a", "b"]], np.where(Z > 2, NAN, Z), np.full((N, K), INF)]
PROBABILITIES = [*MATRIX, Z, 100 * P, -P, P / 2, np.ma.masked_less(P, 0.1)]
LOGITS = [*MATRIX, np.zeros((0, 3)), np.zeros((N, K, 2)), np.ma.masked_less(Z, 0)]


def pairs(matrices):
    """Each wrong matrix as the second of two members, and what are no members at all."""
    return [5, None, "x", [], *[[P, m] for m in matrices if m is not None], [P, P[:, :2]]]


NO_LIST = [5, None, "x", []]
ESTIMATORS = [5, None, "x", [], [5, 6], LogisticRegression()]
NAMES = [5, ["only one"], "x"]

POOLED = {"log_proba": pairs(LOGITS), "y": LABELS, "sample_weight": WEIGHT}
SCORED = {"y": LABELS, "proba": PROBABILITIES, "sample_weight": WEIGHT}
BINNED = {"n_bins": COUNT, "strategy": CHOICE}
OF_MEMBERS = {"proba": pairs(PROBABILITIES), "sample_weight": WEIGHT}
#: Function, its valid arguments, and wrong values of each.
CALLS = {
    calibration.fit_temperature: (  # one row of logits is as many binary margins
        {"logits": Z, "y": Y},
        {
            "logits": [*LOGITS[:3], *LOGITS[4:]],
            "y": LABELS,
            "sample_weight": WEIGHT,
            "alpha": NON_NEGATIVE,
        },
    ),
    pooling.logarithmic_pool: (
        {"log_proba": [LOG, LOG], "weights": [0.5, 0.5]},
        {
            "log_proba": pairs(LOGITS),
            "weights": [*FACTORS, [-0.5, 1.5], [1.0] * 3],
            "temperature": POSITIVE,
        },
    ),
    pooling.linear_pool: (
        {"proba": [P, P], "weights": [0.5, 0.5]},
        {"proba": pairs(PROBABILITIES), "weights": [*SHARES, [3.0, 1.0], [0.2] * 5]},
    ),
    pooling.fit_logarithmic_pool: (
        {"log_proba": [LOG, Z], "y": Y},
        {**POOLED, "alpha": [*NON_NEGATIVE, "automatic"]},
    ),
    pooling.fit_linear_pool: (
        {"proba": [P, P], "y": Y},
        {"proba": pairs(PROBABILITIES), "y": LABELS, "sample_weight": WEIGHT},
    ),
    pooling.fit_classwise_pool: ({"log_proba": [LOG, Z], "y": Y}, {**POOLED, "alpha": POSITIVE}),
    pooling.fit_combined_pool: (
        {"log_proba": [LOG, Z], "y": Y, "proba": [P, P]},
        {**POOLED, "proba": [p for p in pairs(PROBABILITIES) if p is not None] + [[P]]},
    ),
    pooling.soften: (
        {"proba": P, "amount": 0.01},
        {"proba": PROBABILITIES, "amount": ["x", None, -0.1, 1.0, NAN]},
    ),
    pooling.greedy_selection: (
        {"opinions": [LOG, LOG], "loss": lambda mean: float(np.abs(mean).sum())},
        {
            "opinions": pairs(LOGITS),
            "loss": ["log_loss", None, 5, lambda mean: NAN, lambda mean: "x"],
            "n_steps": COUNT,
        },
    ),
    parameters.average_parameters: (
        {"parameters": READ, "weights": [0.5, 0.5]},
        {"parameters": [*NO_LIST, LINEAR], "weights": [*SHARES, [3, 1]], "names": NAMES},
    ),
    parameters.merge_parameters: (
        {"parameters": OF_NETS, "weights": [0.5, 0.5], "X": X},
        {
            "parameters": [*NO_LIST, LINEAR],
            "weights": [*SHARES, [3, 1]],
            "alignment": CHOICE,
            "repair": CHOICE,
            "X": [5, "x", X[:, :2], np.full_like(X, NAN), X[0]],
            "names": NAMES,
        },
    ),
    parameters.align_parameters: (
        {"parameters": OF_NETS},
        {
            "parameters": [*NO_LIST, LINEAR],
            "by": CHOICE,
            "X": [5, "x", X[:, :2], np.full_like(X, NAN), X[0]],
            "names": NAMES,
        },
    ),
    parameters.select_units: (
        {"candidates": X, "targets": Z, "n_units": 2},
        {
            "candidates": [5, None, "x", X[0], X[1:], np.full_like(X, NAN)],
            "targets": [5, None, "x", Z[0], np.full_like(Z, NAN)],
            "n_units": [*COUNT, 5],
            "sample_weight": WEIGHT,
        },
    ),
    parameters.dense_network: (
        {"layers": [("w", "b")], "activation": "relu", "n_features": 4},
        {
            "layers": [5, None, [], ["w"], [("w", 2)]],
            "activation": CHOICE,
            "n_features": COUNT,
            "out_axis": ["x", 2, None],
        },
    ),
    parameters.diagonal_fisher: (
        {"estimator": LINEAR[0], "X": X},
        {"estimator": [5, None, "x"], "X": [5, None, "x", X[0], X[:, :2], np.full_like(X, NAN)]},
    ),
    parameters.fisher_average: (
        {"estimators": LINEAR, "X": X},
        {
            "estimators": [5, None, "x", [], [5, 6]],
            "X": [5, None, "x", X[0], X[:, :2], np.full_like(X, NAN)],
            "weights": [w for w in SHARES if w is not None],
            "floor": POSITIVE,
        },
    ),
    parameters.fold_affine_input: (
        {"parameters": READ[0], "scale": np.ones(4), "shift": np.zeros(4)},
        {
            "parameters": [5, None, LINEAR[0]],
            "scale": [5, None, "x", np.ones(3), np.full(4, NAN), np.ones((4, 4, 4))],
            "shift": [5, None, "x", np.ones(3), np.full(4, NAN)],
        },
    ),
    parameters.fold_temperature: (
        {"parameters": READ[0], "temperature": 2.0},
        {"parameters": [5, None, LINEAR[0]], "temperature": POSITIVE},
    ),
    parameters.merge_checkpoints: (
        {"paths": ["a.safetensors"], "out": "merged.safetensors"},
        {"paths": [5, None, [], [5]], "out": [5, None], "weights": ["x", [1.0, 2.0], [NAN]]},
    ),
    parameters.merge_logits: (
        {"estimators": LINEAR, "coefficients": [0.5, 0.5]},
        {
            "estimators": [5, None, "x", [], [5, 6]],
            "coefficients": [*FACTORS, [-0.5, 1.5]],
            "names": NAMES,
        },
    ),
    parameters.merge_probabilities: (
        {"estimators": FORESTS, "weights": [0.5, 0.5]},
        {
            "estimators": [5, None, "x", [], [5, 6]],
            "weights": [*SHARES, [3, 1]],
            "classes": [5, "x", [0, 1], [2, 1, 0], [0, 0, 1, 2]],
            "names": NAMES,
        },
    ),
    parameters.merge_task_vectors: (
        {"estimators": NETS, "base": NETS[0]},
        {
            "estimators": [5, None, "x", [], [5, 6]],
            "base": [5, None, "x"],
            "weights": [w for w in SHARES if w is not None],
            "method": CHOICE,
            "density": [*NUMBER, 0, 1.5],
            "scale": [*NUMBER, INF],
            "random_state": SEED,
        },
    ),
    parameters.register_wrapper: (
        {"cls": type("Wrapper", (), {}), "inner": lambda wrapper: wrapper.inner},
        {"cls": [5, None, "x"], "inner": [5, None, "x"], "temperature": [5, "x"]},
    ),
    metrics.expected_calibration_error: (
        {"y": Y, "proba": P},
        {**SCORED, **BINNED, "norm": CHOICE, "debias": [*YES, True]},
    ),
    metrics.classwise_calibration_error: (
        {"y": Y, "proba": P},
        {**SCORED, **BINNED, "norm": CHOICE, "debias": [*YES, True]},
    ),
    metrics.maximum_calibration_error: (
        {"y": Y, "proba": P},
        {**SCORED, **BINNED, "kind": CHOICE},
    ),
    metrics.smooth_calibration_error: ({"y": Y, "proba": P}, {**SCORED, "kind": CHOICE}),
    metrics.calibration_test: (
        {"y": Y, "proba": P, "score": metrics.expected_calibration_error, "n_resamples": 3},
        {
            **SCORED,
            "score": ["brier", None, 5],
            "n_resamples": COUNT,
            "confidence_level": SHARE,
            "random_state": SEED,
        },
    ),
    metrics.decompose_log_loss: (
        {"y": Y, "proba": P},
        {**SCORED, "method": CHOICE, "cv": ["x", 1, 2.5, [([0], [1])]]},
    ),
    metrics.decompose_brier_score: (
        {"y": Y, "proba": P},
        {**SCORED, "method": CHOICE, "cv": ["x", 1, 2.5, [([0], [1])]]},
    ),
    metrics.risk_coverage_curve: (
        {"y": Y, "proba": P},
        {**SCORED, "confidence": [5, "x", np.ones(N - 1), np.full(N, NAN), ["a"] * N]},
    ),
    metrics.area_under_risk_coverage: (
        {"y": Y, "proba": P},
        {**SCORED, "confidence": [5, "x", np.ones(N - 1), np.full(N, NAN), ["a"] * N]},
    ),
    metrics.disagreement: ({"proba": [P, P]}, OF_MEMBERS),
    metrics.double_fault: ({"y": Y, "proba": [P, P]}, {**OF_MEMBERS, "y": LABELS}),
    metrics.q_statistic: ({"y": Y, "proba": [P, P]}, {**OF_MEMBERS, "y": LABELS}),
    metrics.error_correlation: ({"y": Y, "proba": [P, P]}, {**OF_MEMBERS, "y": LABELS}),
    metrics.decompose_ensemble_log_loss: (
        {"y": Y, "proba": [P, P]},
        {**OF_MEMBERS, "y": LABELS, "weights": [w for w in SHARES if w is not None]},
    ),
    skmergecal.fit_orders: (
        {"estimators": NAMED},
        {
            "estimators": [*ESTIMATORS, [("a", LogisticRegression()), "b"]],
            "method": CHOICE,
            "tune": ["yes", 5],
            "distil": ["yes", 5],
            "calibrate": YES,
        },
    ),
    skmergecal.compare_fit_orders: (
        {"estimators": NAMED, "X": X, "y": Y, "orders": ["merge"], "cv": 2},
        {
            "estimators": ESTIMATORS,
            "X": [5, None],
            "y": [5, None, Y[:-1], Y + 0.5],
            "orders": [5, ["soup"], "merge", []],
            "baseline": ["soup", 5, None],
            "scoring": ["score", 5],
            "cv": ["x", 1, 2.5],
            "groups": [5, [0, 1]],
            "held_out": SHARE,
            "level": SHARE,
            "random_state": SEED,
            "n_jobs": ["x", 2.5, 0],
            "verbose": ["x", -1, None],
        },
    ),
    calibration.adjust_prior: (
        {"estimator": LINEAR[0], "prior": [0.2, 0.3, 0.5], "old_prior": [0.3, 0.3, 0.4]},
        {
            "estimator": [5, None, "x"],
            "prior": [5, None, "x", [0.5, 0.5], [0.2, 0.3, NAN], [0.0, 0.5, 0.5], {"a": 1}],
            "old_prior": [5, "x", [0.5, 0.5], [0.2, 0.3, NAN], [0.0, 0.5, 0.5], {"a": 1}],
        },
    ),
    skmergecal.merge_path: (
        {"a": LINEAR[0], "b": LINEAR[1], "X": X, "y": Y},
        {
            "a": [5, None, "x"],
            "b": [5, None, "x"],
            "X": [5, None],
            "y": [5, None, Y[:-1], Y + 0.5, Y + 1],
            "alignment": CHOICE,
            "n_points": [*COUNT, 1],
            "sample_weight": WEIGHT,
        },
    ),
    skmergecal.members_from_search: (
        {"search": SEARCH, "n_members": 1, "X": X, "y": Y},
        {
            "search": [5, None, "x", [], [5], LINEAR[0], GridSearchCV, GridSearchCV(LINEAR[0], {})],
            "n_members": COUNT,
            "X": [5, None],
            "y": [5, None, Y[:-1], Y + 0.5],
            "sample_weight": WEIGHT,
        },
    ),
    skmergecal.members_from_study: (
        {"study": STUDY, "make_estimator": lambda trial: LogisticRegression(), "n_members": 1},
        {"study": [5, None, "x", SEARCH], "make_estimator": [5, None, "x"], "n_members": COUNT},
    ),
    skmergecal.weight_distribution: (
        {"names_or_number": ["a", "b"]},
        {
            "names_or_number": [None, "x", 0, 2.5, [], [1, 2], ["a", "a"], NAMED],
            "concentration": POSITIVE,
        },
    ),
    skmergecal.suggest_weights: (
        {"trial": STUDY.trials[0], "names": ["a", "b"]},
        {"trial": [5, None, STUDY], "names": [None, "x", 0, 2.5, [], [1, 2], ["a", "a"], NAMED]},
    ),
    skmergecal.valid_grid: ({"method": ["logits"], "weights": [None]}, {}),
    skmergecal.calibration_report: (
        {"estimator": LINEAR[0], "X": X, "y": Y, "n_resamples": 2},
        {
            "estimator": [5, None, "x"],
            "X": [5, None],
            "y": [5, None, Y[:-1], Y + 0.5, Y + 1],
            "cv": ["x", 1, 2.5],
            "sample_weight": WEIGHT,
            "confidence_level": SHARE,
            "n_resamples": COUNT,
            "random_state": SEED,
        },
    ),
}
CASES = [
    pytest.param(function, name, id=f"{function.__name__}-{name}")
    for function, (_, wrong) in CALLS.items()
    for name in wrong
]


@pytest.mark.parametrize(("function", "name"), CASES)
def test_a_wrong_parameter_is_named(function, name):
    valid, wrong = CALLS[function]
    for value in wrong[name]:
        with pytest.raises((ValueError, TypeError)) as error:
            function(**{**valid, name: value})
        assert re.search(rf"\b{name}\b", str(error.value)), f"{value!r}: {error.value}"


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f.__name__)
def test_every_parameter_is_tried(function):
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds]
    assert set(CALLS[function][1]) == set(known)


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f.__name__)
def test_the_right_parameters_are_taken(function):
    if function is not parameters.merge_checkpoints:  # whose files do not exist
        function(**CALLS[function][0])


def test_every_public_function_is_tried():
    public = {
        getattr(module, name)
        for module in (skmergecal, calibration, metrics, parameters, pooling)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }
    assert public == set(CALLS)


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f.__name__)
def test_parameters_are_documented_in_their_order(function):
    section = re.search(r"Parameters\n-+\n(.*?)(\n\n[A-Z]|$)", inspect.getdoc(function), re.DOTALL)
    lines = [line for line in section[1].splitlines() if line and not line.startswith(" ")]
    names = [name.strip(" *") for line in lines for name in line.split(" : ")[0].split(",")]
    assert names == list(inspect.signature(function).parameters)
