"""
Merge, then calibrate, or calibrate, then merge?
================================================

Five fitted classifiers for one problem, and one classifier wanted, with probabilities that can
be trusted. ``MergedClassifier`` combines the members in three ways:

- ``method="logits"`` averages log-probabilities,
- ``method="probabilities"`` averages probabilities,
- ``method="parameters"`` averages the weights of nets of one architecture, which makes one net,

and ``calibrate=`` says where temperatures are fitted: nowhere, for each member before merging, for
the merged classifier, or both. This example tries every method with every order on two data sets
that come with scikit-learn, next to what one would do without this package: take the best
member, or glue ``VotingClassifier`` and ``CalibratedClassifierCV`` together.

The rows are split in three: members are trained on the first part, merged and calibrated on the
second, which they have not seen, and scored on the third. One such test part has only 114 rows in
the smaller data set, too few to tell the candidates apart. So there are five rounds, in which
each row is tested once; tables and curves are over all rows.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from matplotlib.axes import Axes
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.metrics import expected_calibration_error

METHODS = ("logits", "probabilities", "parameters")
ORDERS = (None, "members", "merged", "both")
NETS = ("net 1", "net 2")
# scikit-learn has a temperature since 1.8; before, Platt's sigmoid for each class is the nearest.
SKLEARN_1_8 = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
CALIBRATION = "temperature" if SKLEARN_1_8 else "sigmoid"
VOTE, CALIBRATED_VOTE = "soft vote", f"soft vote, then {CALIBRATION}"

Models = dict[str, Any]

# %%
# Members, and what to make of them
# ---------------------------------


def train_nets(X: np.ndarray, y: np.ndarray, seed: int) -> list[Any]:
    """Two nets from one start, each trained further on its own half of the rows.

    The average of the weights of two nets is a good net only where the hidden units of both
    correspond to each other. Nets of two random starts have theirs in different orders. So one
    net learns on all rows first; its two copies then drift apart, but keep the order.
    """
    scaler = StandardScaler().fit(X)
    X = scaler.transform(X)
    start = MLPClassifier(hidden_layer_sizes=64, batch_size=32, random_state=seed)
    for _ in range(20):
        start.partial_fit(X, y, classes=np.unique(y))
    shuffled = np.random.default_rng(seed).permutation(len(y))
    nets = []
    for half in (shuffled[::2], shuffled[1::2]):
        net = copy.deepcopy(start)
        for _ in range(60):
            net.partial_fit(X[half], y[half])
        nets.append(make_pipeline(scaler, net))
    return nets


def train_members(X: np.ndarray, y: np.ndarray, seed: int) -> Models:
    """Fit the five members."""
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    # Without smoothing, pixels that are constant within one class would decide alone.
    bayes = make_pipeline(StandardScaler(), GaussianNB(var_smoothing=0.01))
    members = {
        "logistic": linear.fit(X, y),
        "extra trees": ExtraTreesClassifier(random_state=seed).fit(X, y),
        "naive Bayes": bayes.fit(X, y),
    }
    return members | dict(zip(NETS, train_nets(X, y, seed), strict=True))


def freeze(members: Models) -> list[tuple[str, FrozenEstimator]]:
    """Fitted classifiers as members that nobody fits again."""
    return [(name, FrozenEstimator(member)) for name, member in members.items()]


def fit_baselines(members: Models, X: np.ndarray, y: np.ndarray) -> Models:
    """What scikit-learn alone gives from held-out rows."""
    losses = {name: log_loss(y, member.predict_proba(X)) for name, member in members.items()}
    vote = VotingClassifier(freeze(members), voting="soft").fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(vote), method=CALIBRATION).fit(X, y)
    best = members[min(losses, key=losses.__getitem__)]
    return {"best on held-out rows": best, VOTE: vote, CALIBRATED_VOTE: calibrated}


def fit_orders(members: Models, X: np.ndarray, y: np.ndarray) -> Models:
    """Every method with every order, from held-out rows."""
    nets = {name: members[name] for name in NETS}
    models = {}
    for method in METHODS:
        frozen = freeze(nets if method == "parameters" else members)
        for order in ORDERS:
            model = MergedClassifier(frozen, method=method, calibrate=order)
            models[f"{method}, {order}"] = model.fit(X, y)
    # The fair comparison for averaged parameters: both nets, and nothing but the nets, pooled.
    models["logits of the nets, None"] = MergedClassifier(freeze(nets)).fit(X, y)
    return models


def check_compositions(
    members: Models, X: np.ndarray, y: np.ndarray, X_test: np.ndarray
) -> None:
    """Nesting estimators, and the steps of a Pipeline, are the same as ``calibrate=``."""
    frozen = freeze(members)
    calibrated = {name: TemperatureCalibrator(member).fit(X, y) for name, member in frozen}
    same = {
        "merged": [
            TemperatureCalibrator(MergedClassifier(frozen)),
            make_pipeline(MergedClassifier(frozen), TemperatureCalibrator()),
        ],
        "members": [MergedClassifier(freeze(calibrated))],
        "both": [TemperatureCalibrator(MergedClassifier(freeze(calibrated)))],
    }
    for order, compositions in same.items():
        expected = MergedClassifier(frozen, calibrate=order).fit(X, y).predict_proba(X_test)
        for composition in compositions:
            actual = composition.fit(X, y).predict_proba(X_test)
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10)
    print("Nesting and Pipeline steps agree with calibrate= to 1e-10.")


# %%
# Five rounds of train, hold out, test
# ------------------------------------


@dataclass
class Results:
    """Probabilities of the test rows and prediction times of every candidate, by name."""

    y: np.ndarray
    proba: dict[str, np.ndarray] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, model: Any, X: np.ndarray, test: np.ndarray) -> None:
        """Predict the test rows of one round."""
        times = []
        for _ in range(3):
            start = time.perf_counter()
            proba = model.predict_proba(X[test])
            times.append(1000 * (time.perf_counter() - start))
        of_all_rows = self.proba.setdefault(name, np.empty((len(self.y), proba.shape[1])))
        of_all_rows[test] = proba
        self.milliseconds[name] = min(times + [self.milliseconds.get(name, np.inf)])

    def losses(self, name: str) -> np.ndarray:
        """Log loss of each row."""
        p = self.proba[name][np.arange(len(self.y)), self.y]
        return -np.log(np.maximum(p, np.finfo(float).tiny))

    def loss(self, name: str) -> float:
        """Log loss."""
        return float(self.losses(name).mean())

    def scores(self, name: str) -> tuple[float, float, float, float, float]:
        """Log loss, Brier score (summed over classes), ECE, accuracy, milliseconds."""
        p = self.proba[name]
        brier = np.sum((p - np.eye(p.shape[1])[self.y]) ** 2, axis=1).mean()
        ece = expected_calibration_error(self.y, p)
        accuracy = np.mean(p.argmax(axis=1) == self.y)
        return self.loss(name), brier, ece, accuracy, self.milliseconds[name]


def run(X: np.ndarray, y: np.ndarray) -> Results:
    """Test every candidate on every row."""
    results = Results(y)
    rounds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    for seed, (rest, test) in enumerate(rounds):
        # Half of the rest is held out: a temperature needs rows where the classifier is wrong,
        # and these members are seldom wrong.
        train, held_out = train_test_split(
            rest, test_size=0.5, stratify=y[rest], random_state=seed
        )
        members = train_members(X[train], y[train], seed)
        if seed == 0:
            check_compositions(members, X[held_out], y[held_out], X[test])
        baselines = fit_baselines(members, X[held_out], y[held_out])
        orders = fit_orders(members, X[held_out], y[held_out])
        for name, model in (members | baselines | orders).items():
            results.add(name, model, X, test)
    return results


def print_table(title: str, results: Results) -> None:
    """Print one line for each candidate."""
    print(f"\n{title}: {len(results.y)} test rows in five rounds; ms: for the rows of one round")
    print(f"{'':28s} {'log loss':>8s} {'Brier':>7s} {'ECE':>7s} {'accuracy':>8s} {'ms':>6s}")
    for name in results.proba:
        loss, brier, ece, accuracy, milliseconds = results.scores(name)
        print(f"{name:28s} {loss:8.4f} {brier:7.4f} {ece:7.4f} {accuracy:8.4f} {milliseconds:6.1f}")


# %%
# Reliability before and after
# ----------------------------


def draw_reliability(ax: Axes, title: str, results: Results, styles: dict[str, dict]) -> None:
    """Accuracy against confidence of the most probable class."""
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfect")
    for name, style in styles.items():
        p = results.proba[name]
        confidence, right = p.max(axis=1), p.argmax(axis=1) == results.y
        place = np.minimum((10 * confidence).astype(int), 9)
        used = [b for b in range(10) if np.sum(place == b) >= 10]
        x = [confidence[place == b].mean() for b in used]
        ax.plot(x, [right[place == b].mean() for b in used], markersize=7, **style)
    ax.set(title=title, xlabel="mean confidence", aspect="equal")
