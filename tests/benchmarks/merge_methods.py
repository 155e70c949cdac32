"""Ways to turn several opinions into one, the package's and those of others, and their scores."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from skmergecal import MergedClassifier
from skmergecal._numerics import softmax
from skmergecal.metrics import (
    classwise_calibration_error,
    expected_calibration_error,
    smooth_calibration_error,
)
from tests.benchmarks.peers import greedy_rule, scikit_learn_temperature
from tests.benchmarks.tabular import Problem, RecordedLogits, RecordedProba

#: Probabilities that a method gives the true class count as at least this, for every method alike.
FLOOR = 1e-15
VOTE, LOGITS, BEST = "soft vote", 'method="logits"', "best member, known only with hindsight"
DEFAULT, GREEDY = "MergedClassifier(members)", "greedy selection, temperature"
VOTE_SCALED = "soft vote, scikit-learn's temperature"

Method = Callable[[Problem], np.ndarray]


def log_losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(proba[np.arange(len(y)), y], FLOOR))


def scores(y: np.ndarray, proba: np.ndarray) -> dict[str, float]:
    one_hot = np.eye(proba.shape[1])[y]
    proba = proba / proba.sum(axis=1, keepdims=True)  # of float32, they miss 1 by more than 1e-8
    ranked = proba[:, 1] if proba.shape[1] == 2 else proba
    return {
        "log_loss": float(log_losses(y, proba).mean()),
        "brier": float(((proba - one_hot) ** 2).sum(axis=1).mean()),
        "accuracy": float((proba.argmax(axis=1) == y).mean()),
        "auc": float(roc_auc_score(y, ranked, multi_class="ovr")),
        "ece": expected_calibration_error(y, proba),
        "classwise_ece": classwise_calibration_error(y, proba),
        "smooth_ece": smooth_calibration_error(y, proba),
    }


def merged(**params: object) -> Method:
    """A MergedClassifier of this package."""

    def fit(problem: Problem) -> np.ndarray:
        model = MergedClassifier.from_fitted(
            dict(problem.members()), problem.X_held, problem.y, **params
        )
        return model.predict_proba(problem.X_test)

    return fit


def soft_vote(problem: Problem) -> np.ndarray:
    return problem.proba[:, len(problem.y) :].mean(axis=0)


def scaled_vote(problem: Problem) -> np.ndarray:
    """What CalibratedClassifierCV(FrozenEstimator(vote), method="temperature") gives.

    Its own fit is called, because the classifier asks for five rows of each class.
    """
    vote = problem.proba.mean(axis=0)
    z = np.log(vote + np.finfo(vote.dtype).eps)
    beta = scikit_learn_temperature(z[: len(problem.y)], problem.y)
    return softmax(beta * z[len(problem.y) :])


def long_greedy(problem: Problem) -> np.ndarray:
    weights = greedy_rule(problem.proba[:, : len(problem.y)], problem.y, n_steps=100)
    return merged(method="probabilities", weights=weights, calibrate="merged")(problem)


def matrix_after_greedy(problem: Problem) -> np.ndarray:
    """Structured matrix scaling of probmetrics, after greedy selection.

    For two classes its own default, quadratic scaling of the one logit, takes its place.
    """
    from probmetrics.calibrators import get_calibrator

    n_held = len(problem.y)
    weights = greedy_rule(problem.proba[:, :n_held], problem.y)
    pooled = np.tensordot(weights, problem.proba, 1)
    calibrator = get_calibrator("sms" if pooled.shape[1] > 2 else "logistic")
    calibrator.fit(pooled[:n_held], problem.y)
    return widened(calibrator.predict_proba(pooled[n_held:]), calibrator, problem)


def stacking(problem: Problem, *, on_logits: bool) -> np.ndarray:
    """scikit-learn's StackingClassifier, its logistic regression fitted on the held-out rows.

    The strength of its ridge is chosen by cross-validated log loss. Logits are those of
    probabilities softened by 1 / (n + 1), so that none is infinite.
    """
    proba, share = problem.proba, 1 / (len(problem.y) + 1)
    if on_logits:
        z = np.log((1 - share) * proba + share / proba.shape[2])
        recorded = [RecordedLogits(m - m.mean(axis=1, keepdims=True)) for m in z]
    else:
        recorded = [RecordedProba(p) for p in proba]
    folds = StratifiedKFold(min(3, max(2, np.bincount(problem.y).max())))
    params = {"Cs": np.logspace(-4, 2, 7), "cv": folds, "scoring": "neg_log_loss", "max_iter": 200}
    if "use_legacy_attributes" in inspect.signature(LogisticRegressionCV).parameters:
        params["use_legacy_attributes"] = False
    model = StackingClassifier(
        [(str(i), m) for i, m in enumerate(recorded)], LogisticRegressionCV(**params), cv="prefit"
    ).fit(problem.X_held, problem.y)
    return widened(model.predict_proba(problem.X_test), model, problem)


def widened(proba: np.ndarray, model: object, problem: Problem) -> np.ndarray:
    """Probabilities for all classes: 0 for those that a peer has not met in the held-out rows."""
    out = np.zeros((len(proba), problem.values.shape[2]))
    out[:, np.asarray(model.classes_, dtype=int)] = proba
    return out


def best_member(problem: Problem) -> np.ndarray:
    """The member with the lowest log loss on the test rows: nobody could choose it before."""
    test = problem.proba[:, len(problem.y) :]
    return min(test, key=lambda p: log_losses(problem.y_test, p).mean())


METHODS: dict[str, Method] = {
    DEFAULT: merged(),
    'weights="classwise"': merged(method="logits", weights="classwise"),
    LOGITS: merged(method="logits"),
    "linear pool, temperature": merged(method="probabilities", calibrate="merged"),
    GREEDY: merged(method="probabilities", weights="greedy", calibrate="merged"),
    "greedy of 100 steps, temperature": long_greedy,
    "greedy selection, matrix scaling": matrix_after_greedy,
    "stacking of logits": lambda problem: stacking(problem, on_logits=True),
    "stacking of probabilities": lambda problem: stacking(problem, on_logits=False),
    VOTE_SCALED: scaled_vote,
    VOTE: soft_vote,
    BEST: best_member,
}


def installed_methods() -> dict[str, Method]:
    """The methods; a message for what is not installed."""
    methods = dict(METHODS)
    if find_spec("probmetrics") is None or find_spec("numba") is None:
        print("left out: matrix scaling, which needs: pip install probmetrics numba")
        methods = {k: m for k, m in methods.items() if m is not matrix_after_greedy}
    return methods


def compared(problem: Problem, methods: dict[str, Method]) -> dict[str, dict[str, float]]:
    """Scores of each method on the test rows."""
    return {name: scores(problem.y_test, method(problem)) for name, method in methods.items()}
