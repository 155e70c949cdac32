"""
Merge, then calibrate, or calibrate, then merge?
================================================

Five fitted classifiers for one problem are to become one, with probabilities that can be
trusted. ``MergedClassifier`` learns several opinion pools at once (``method="auto"``, the
default), or combines the members in one of three ways:

- ``method="logits"`` averages log-probabilities,
- ``method="probabilities"`` averages probabilities,
- ``method="parameters"`` averages the weights of nets of one architecture, which makes one net,

and ``calibrate=`` chooses where temperatures are fitted: nowhere, for each member before merging,
for the merged classifier, or both. This example tries every method with every order on two data
sets that come with scikit-learn, next to what one would do without this package: take the best
member, or glue ``VotingClassifier`` and ``CalibratedClassifierCV`` together.

The rows are split in three: members are trained on the first part, merged and calibrated on the
second, which they have not seen, and scored on the third. One such test part has only 190 rows in
the smaller data set, too few to tell the candidates apart. So there are three rounds, in which
each row is tested once; tables and curves are over all rows. :doc:`/guide/order` is the page on
this in the guide.
"""

from __future__ import annotations

import copy
import textwrap
import time
from collections.abc import Iterator
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
from threadpoolctl import threadpool_limits

from skmergecal import MergedClassifier, ReliabilityDisplay
from skmergecal.metrics import expected_calibration_error

POOLS = ("logits", "probabilities")
METHODS = (*POOLS, "parameters")
ORDERS = (None, "members", "merged", "both")
NETS = ("net 1", "net 2")
MEMBERS = ("logistic", "extra trees", "naive Bayes", *NETS)
# scikit-learn has a temperature since 1.8; before, Platt's sigmoid for each class is the nearest.
SKLEARN_1_8 = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
CALIBRATION = "temperature" if SKLEARN_1_8 else "sigmoid"
VOTE, CALIBRATED_VOTE = "soft vote", f"soft vote, then {CALIBRATION}"
DEFAULT = "auto, None"  # MergedClassifier(members) and nothing else

Models = dict[str, Any]


def train_nets(X: np.ndarray, y: np.ndarray, seed: int) -> list[Any]:
    """Two nets from one start, each trained further on its own half of the rows.

    The average of the weights of two nets is a good net only where the hidden units of both
    correspond to each other. Nets of two random starts have theirs in different orders. So one
    net learns on all rows first; its two copies then drift apart, but keep the order.
    """
    scaler = StandardScaler().fit(X)
    X = scaler.transform(X)
    start = MLPClassifier(hidden_layer_sizes=64, batch_size=32, random_state=seed)
    for _ in range(15):
        start.partial_fit(X, y, classes=np.unique(y))
    shuffled = np.random.default_rng(seed).permutation(len(y))
    nets = []
    for half in (shuffled[::2], shuffled[1::2]):
        net = copy.deepcopy(start)
        for _ in range(25):
            net.partial_fit(X[half], y[half])
        nets.append(make_pipeline(scaler, net))
    return nets


def train_members(X: np.ndarray, y: np.ndarray, seed: int) -> Models:
    """Fit the five members."""
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    trees = ExtraTreesClassifier(50, random_state=seed)
    # Without smoothing, pixels that are constant within one class would decide alone.
    bayes = make_pipeline(StandardScaler(), GaussianNB(var_smoothing=0.01))
    others = [member.fit(X, y) for member in (linear, trees, bayes)]
    return dict(zip(MEMBERS, others + train_nets(X, y, seed), strict=True))


def freeze(members: Models) -> list[tuple[str, FrozenEstimator]]:
    """Fitted classifiers as members that are not fitted again."""
    return [(name, FrozenEstimator(member)) for name, member in members.items()]


def fit_baselines(members: Models, X: np.ndarray, y: np.ndarray) -> Models:
    """What scikit-learn alone gives from held-out rows."""
    losses = {name: log_loss(y, member.predict_proba(X)) for name, member in members.items()}
    vote = VotingClassifier(freeze(members), voting="soft").fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(vote), method=CALIBRATION).fit(X, y)
    best = members[min(losses, key=losses.__getitem__)]
    return {"best on held-out rows": best, VOTE: vote, CALIBRATED_VOTE: calibrated}


def fit_every_order(members: Models, X: np.ndarray, y: np.ndarray) -> Models:
    """Every method with every order, from held-out rows."""
    nets = {name: members[name] for name in NETS}
    models = {DEFAULT: MergedClassifier(freeze(members)).fit(X, y)}
    for method in METHODS:
        frozen = freeze(nets if method == "parameters" else members)
        for order in ORDERS:
            model = MergedClassifier(frozen, method=method, calibrate=order)
            models[f"{method}, {order}"] = model.fit(X, y)
    # The fair comparison for averaged parameters: both nets, and nothing but the nets, pooled.
    models["logits of the nets, None"] = MergedClassifier(freeze(nets), method="logits").fit(X, y)
    return models


@dataclass
class Results:
    """Probabilities of the test rows and prediction times of every candidate, by name."""

    y: np.ndarray
    proba: dict[str, np.ndarray] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, model: Any, X: np.ndarray, test: np.ndarray) -> None:
        """Predict the test rows of one round, on one thread."""
        with threadpool_limits(1):
            start = time.perf_counter()
            proba = model.predict_proba(X[test])
            seconds = time.perf_counter() - start
        of_all_rows = self.proba.setdefault(name, np.empty((len(self.y), proba.shape[1])))
        of_all_rows[test] = proba
        self.times.setdefault(name, []).append(seconds)

    def losses(self, name: str) -> np.ndarray:
        """Log loss of each row, bounded as in ``sklearn.metrics.log_loss``."""
        p = self.proba[name][np.arange(len(self.y)), self.y]
        return -np.log(np.maximum(p, np.finfo(float).eps))

    def scores(self, name: str) -> tuple[float, ...]:
        """Log loss, Brier score (summed over classes), ECE, accuracy, ms of the median round."""
        p = self.proba[name]
        brier = np.sum((p - np.eye(p.shape[1])[self.y]) ** 2, axis=1).mean()
        ece = expected_calibration_error(self.y, p)
        accuracy = np.mean(p.argmax(axis=1) == self.y)
        return self.losses(name).mean(), brier, ece, accuracy, 1000 * np.median(self.times[name])


def run(X: np.ndarray, y: np.ndarray) -> Results:
    """Test every candidate on every row."""
    results = Results(y)
    rounds = StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)
    for seed, (rest, test) in enumerate(rounds):
        # Half of the rest is held out: a temperature needs rows where the classifier is wrong,
        # and these members are seldom wrong.
        train, held_out = train_test_split(rest, test_size=0.5, stratify=y[rest], random_state=seed)
        members = train_members(X[train], y[train], seed)
        baselines = fit_baselines(members, X[held_out], y[held_out])
        orders = fit_every_order(members, X[held_out], y[held_out])
        for name, model in (members | baselines | orders).items():
            results.add(name, model, X, test)
    return results


def print_table(title: str, results: Results) -> None:
    """Print one line for each candidate."""
    print(f"\n{title}: {len(results.y)} test rows in three rounds; ms: for the rows of one round")
    print(f"{'':28s} {'log loss':>8s} {'Brier':>7s} {'ECE':>7s} {'accuracy':>8s} {'ms':>6s}")
    for name in results.proba:
        loss, brier, ece, accuracy, ms = results.scores(name)
        print(f"{name:28s} {loss:8.4f} {brier:7.4f} {ece:7.4f} {accuracy:8.4f} {ms:6.1f}")


def draw_reliability(ax: Axes, title: str, results: Results) -> None:
    """Reliability before and after; bars show what the rows of a bin can tell."""
    names = {VOTE: VOTE, DEFAULT: "MergedClassifier", CALIBRATED_VOTE: CALIBRATED_VOTE}
    shown = {label: results.proba[name] for name, label in names.items()}
    display = ReliabilityDisplay.from_predictions(
        results.y, shown, kind="top-label", strategy="quantile", n_bins=15, ax=ax
    )
    ax.set(title=f"{title}: most probable class", xlim=(0.4, 1.01), ylim=(0.4, 1.01))
    display.histogram_ax_[0].set_xlim(0.4, 1.01)


def compare(results: Results, name: str, other: str) -> str:
    """Log losses of two candidates in words, with twice the standard error over test rows."""
    loss, other_loss = results.losses(name), results.losses(other)
    mean, error = (loss - other_loss).mean(), 2 * (loss - other_loss).std() / len(loss) ** 0.5
    verdict = "no difference that these rows can show"
    if abs(mean) > error:
        verdict = "lower" if mean < 0 else "higher"
    losses = f"{loss.mean():.4f} against {other_loss.mean():.4f}"
    return f"{losses}, {verdict} ({mean:+.4f} +- {error:.4f})"


def conclude(title: str, results: Results) -> Iterator[str]:
    """Conclusions from the numbers of one data set, in log loss."""
    loss = {name: results.losses(name).mean() for name in results.proba}
    ece, ms = ({n: results.scores(n)[i] for n in results.proba} for i in (2, 4))
    member = min(MEMBERS, key=loss.__getitem__)
    yield (
        f"{title}: MergedClassifier by default ({DEFAULT}) against {CALIBRATED_VOTE}: "
        f"{compare(results, DEFAULT, CALIBRATED_VOTE)}. Against the best member, {member}, known "
        f"only with hindsight: {compare(results, DEFAULT, member)}. ECE: {ece[VOTE]:.3f} after "
        f"voting, {ece[CALIBRATED_VOTE]:.3f} after calibrating the vote, {ece[DEFAULT]:.3f} merged."
    )
    first, last = ([f"{method}, {o}" for method in POOLS] for o in ("members", "merged"))
    orders = [compare(results, a, b) for a, b in zip(first, last, strict=True)]
    best = min((f"{m}, {o}" for m in POOLS for o in ORDERS), key=loss.__getitem__)
    lead = f"{best}: {compare(results, best, DEFAULT)}"
    yield (
        f"{title}: members calibrated before merging against calibrated after merging: logits "
        f"{orders[0]}; probabilities {orders[1]}. The lowest of the eight single pools, known "
        f"only with hindsight, against the default: {lead}."
    )
    one, pool = "parameters, merged", "logits of the nets, None"
    yield (
        f"{title}: one net with the averaged weights of two, calibrated, against the pool of the "
        f"two: {compare(results, one, pool)}; the nets alone: {loss[NETS[0]]:.4f} and "
        f"{loss[NETS[1]]:.4f}. It predicts in {ms[one]:.1f} ms, the pool in {ms[pool]:.1f} ms."
    )


def main() -> None:
    """Run everything."""
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    lines: list[str] = []
    for ax, load in zip(axes, (load_digits, load_breast_cancer), strict=True):
        title = load.__name__.removeprefix("load_").replace("_", " ")
        results = run(*load(return_X_y=True))
        print_table(title, results)
        draw_reliability(ax, title, results)
        lines += conclude(title, results)
    axes[0].get_legend().remove()
    fig.savefig("plot_fit_orders.png", dpi=120)
    lines.append(
        "Differences are in log loss, +- is twice their standard error. Begin with the default; "
        "then search over method and calibrate, on rows that are not the test rows."
    )
    print("\nReliability curves: plot_fit_orders.png. What to conclude:")
    for line in lines:
        print(textwrap.fill(line, width=96, initial_indent="- ", subsequent_indent="  "))


if __name__ == "__main__":
    main()
