"""Pictures: their numbers, what they draw, and what they refuse."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from scipy.stats import binom, binomtest
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from skmergecal import (
    MergedClassifier,
    MergePathDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    TemperatureCalibrator,
    WeightsDisplay,
    merge_path,
)
from skmergecal.metrics import expected_calibration_error, risk_coverage_curve
from skmergecal.pooling import fit_logarithmic_pool

mpl.use("Agg")
from matplotlib import pyplot as plt

LONG = "a member with a name that does not fit on one line beside a picture, number {}"
PATH = {"lambdas": [0, 0.5, 1], "loss": [0.1, 1.9, 0.2], "accuracy": [0.9, 0.4, 0.8]}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def draw(n_classes, n_models=1, n=300):
    rng = np.random.default_rng(n_classes)
    p = rng.dirichlet(np.ones(n_classes), size=n)
    y = (rng.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1).clip(0, n_classes - 1)
    mixed = {LONG.format(i): 0.9**i * p + (1 - 0.9**i) / n_classes for i in range(n_models)}
    return y, mixed


def overlaps(texts):
    """Pairs of texts that cover each other in the drawn picture."""
    shown = [t for t in texts if t.get_text() and t.get_visible()]
    boxes = [(t.get_window_extent(), t.get_text()) for t in shown]
    pairs = combinations(boxes, 2)
    return [(one, two) for (a, one), (b, two) in pairs if a.overlaps(b)]


def outside(texts, figure):
    """Texts that the figure cuts off."""
    page = figure.bbox.padded(1)
    return [
        t.get_text()
        for t in texts
        if t.get_text()
        and not all(page.contains(*corner) for corner in t.get_window_extent().corners())
    ]


def ticks_in_view(axis):
    low, high = sorted(axis.get_view_interval())
    return [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]


def labels_of(figure):
    """Every text that a figure shows beside its lines."""
    for _ in range(
        2
    ):  # as savefig does: ticks are placed and the layout is found, then it is drawn
        figure.draw_without_rendering()
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    texts = [t for legend in legends for t in legend.get_texts()]
    for ax in figure.axes:
        for part in (ax, *ax.child_axes):
            if part.axison:
                texts += [part.title, part.xaxis.label, part.yaxis.label]
                texts += ticks_in_view(part.xaxis) + ticks_in_view(part.yaxis)
    return texts


def test_reliability_is_that_of_scikit_learn():
    y, models = draw(2)
    (p,) = models.values()
    frame = ReliabilityDisplay.from_predictions(y, p[:, 1], plot=False).frame()
    frequency, confidence = calibration_curve(y, p[:, 1], n_bins=10)
    np.testing.assert_allclose(frame["frequency"], frequency)
    np.testing.assert_allclose(frame["confidence"], confidence)
    assert frame["weight"].sum() == len(y)


def test_the_gaps_add_up_to_the_calibration_error():
    y, models = draw(4)
    frame = ReliabilityDisplay.from_predictions(y, models, plot=False, n_bins=15).frame()
    gap = np.average(abs(frame["confidence"] - frame["frequency"]), weights=frame["weight"])
    (p,) = models.values()
    assert gap == pytest.approx(expected_calibration_error(y, p))


def test_bands():
    y = np.r_[np.zeros(6, int), np.ones(14, int)]
    settings = {"plot": False, "n_bins": 1}
    wilson = ReliabilityDisplay.from_predictions(y, np.full(20, 0.8), **settings).curves[0]
    known = binomtest(14, 20).proportion_ci(method="wilson")
    assert (wilson.low[0], wilson.high[0]) == pytest.approx((known.low, known.high))
    consistent = ReliabilityDisplay.from_predictions(
        y, np.full(20, 0.8), band="consistency", **settings
    ).curves[0]
    assert consistent.low[0] == binom.ppf(0.025, 20, 0.8) / 20
    assert consistent.high[0] == binom.ppf(0.975, 20, 0.8) / 20


def test_labels_of_any_kind_give_the_same_numbers():
    y, models = draw(3)
    names = np.array(["ash", "birch", "yew"])
    plain = ReliabilityDisplay.from_predictions(y, models, kind="class-wise", plot=False)
    named = ReliabilityDisplay.from_predictions(names[y], models, kind="class-wise", plot=False)
    assert named.facets == ["class ash", "class birch", "class yew"]
    for one, two in zip(plain.curves, named.curves, strict=True):
        np.testing.assert_array_equal(one.bins.frequency, two.bins.frequency)


def test_from_estimator(binary, binary_members):
    before = binary_members["mlp"]
    after = TemperatureCalibrator(FrozenEstimator(before)).fit(binary.X_held, binary.y_held)
    models = {"before": before, "after": after}
    display = ReliabilityDisplay.from_estimator(models, binary.X_test, binary.y_test)
    assert display.models == ["before", "after"]
    assert len(display.ax_.get_lines()) == 3  # the diagonal, too
    alone = ReliabilityDisplay.from_estimator(before, binary.X_test, binary.y_test)
    assert alone.models == ["MLPClassifier"]
    risk = RiskCoverageDisplay.from_estimator(models, binary.X_test, binary.y_test)
    known = risk_coverage_curve(binary.y_test, before.predict_proba(binary.X_test))
    assert risk.curves["before"].area == known.area
    # one temperature for two classes does not change the order of the rows
    assert risk.curves["after"].area == pytest.approx(known.area)


@pytest.mark.parametrize(
    ("n_classes", "n_models", "kind"),
    [(2, 1, "auto"), (3, 12, "auto"), (5, 2, "class-wise")],
)
def test_no_label_of_a_reliability_diagram_covers_another(n_classes, n_models, kind):
    y, models = draw(n_classes, n_models)
    display = ReliabilityDisplay.from_predictions(y, models, kind=kind)
    assert np.size(display.ax_) == (n_classes if kind == "class-wise" else 1)
    labels = labels_of(display.figure_)
    assert not overlaps(labels)
    assert not outside(labels, display.figure_)


@pytest.mark.parametrize("n_models", [1, 12])
def test_no_label_of_another_picture_covers_another(n_models):
    y, models = draw(3, n_models)
    names = list(models)
    pictures = [
        RiskCoverageDisplay.from_predictions(y, models),
        MergePathDisplay.from_results(dict.fromkeys(names, PATH)),
        WeightsDisplay(names, np.full(n_models, 1 / n_models)).plot(),
    ]
    for display in pictures:
        labels = labels_of(display.figure_)
        assert not overlaps(labels), type(display)
        assert not outside(labels, display.figure_), type(display)


def test_lines_differ_without_colour():
    y, models = draw(3, 12)
    for display in (
        ReliabilityDisplay.from_predictions(y, models),
        RiskCoverageDisplay.from_predictions(y, models),
        MergePathDisplay.from_results(dict.fromkeys(models, PATH)),
    ):
        styles = {(line.get_marker(), line.get_linestyle()) for line in display.line_}
        assert len(styles) == len(display.line_) == 12


def test_risk_coverage_frame():
    y, models = draw(3, 2)
    frame = RiskCoverageDisplay.from_predictions(y, models, plot=False).frame()
    (first, p), _ = models.items()
    part = frame[frame["model"] == first]
    known = risk_coverage_curve(y, p)
    np.testing.assert_array_equal(part["risk"], known.risk)
    np.testing.assert_array_equal(part["coverage"], known.coverage)


def test_weights_of_a_merged_classifier(blobs, members):
    merged = MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held)
    display = WeightsDisplay.from_estimator(merged)
    assert display.names == list(members)
    np.testing.assert_array_equal(display.frame()["weight"], merged.weights_)
    assert display.intervals is None
    settings = {"n_resamples": 9, "random_state": 0}
    display = WeightsDisplay.from_estimator(merged, blobs.X_held, blobs.y_held, **settings)
    known = merged.member_report(blobs.X_held, blobs.y_held, level=0.95, **settings)
    np.testing.assert_array_equal(display.frame()["low"], known["weight_low"])
    np.testing.assert_array_equal(display.frame()["high"], known["weight_high"])
    with pytest.raises(ValueError, match="not fitted"):
        WeightsDisplay.from_estimator(clone(merged))


def test_learned_weights_and_their_intervals():
    y, models = draw(3, 3)
    settings = {"n_resamples": 30, "random_state": 0, "plot": False}
    display = WeightsDisplay.from_predictions(y, models, **settings)
    known = fit_logarithmic_pool([np.log(p) for p in models.values()], y).weights
    np.testing.assert_allclose(display.weights, known, atol=1e-8)
    low, high = display.intervals.T
    assert (low <= high).all()
    again = WeightsDisplay.from_predictions(y, models, **settings)
    np.testing.assert_array_equal(display.intervals, again.intervals)
    assert set(display.frame()) == {"member", "weight", "low", "high"}
    none = WeightsDisplay.from_predictions(y, models, n_resamples=0)
    assert none.intervals is None


class Path:
    lambdas, loss, accuracy = (np.array(PATH[name]) for name in ("lambdas", "loss", "accuracy"))


def test_merge_path():
    display = MergePathDisplay.from_results({"before": PATH, "after": Path()}, metric="accuracy")
    assert display.barriers == pytest.approx({"before": 1.75, "after": 1.75})
    assert display.frame()["path"].tolist() == ["before"] * 3 + ["after"] * 3
    assert display.ax_.get_ylabel() == "accuracy"
    one = MergePathDisplay.from_results(Path(), plot=False)
    assert list(one.paths) == [""]


def test_merge_path_of_two_nets_before_and_after_alignment(blobs):
    nets = [MLPClassifier((8,), random_state=seed) for seed in (0, 1)]
    nets = [net.partial_fit(blobs.X, blobs.y, classes=[0, 1, 2]) for net in nets]
    X, y = blobs.X_test, blobs.y_test
    display = MergePathDisplay.from_estimators(*nets, X, y, n_points=3, metric="accuracy")
    assert list(display.paths) == ["as they are", "matched by weights"]
    known = merge_path(*nets, X, y, alignment="weights", n_points=3)
    np.testing.assert_array_equal(display.paths["matched by weights"]["loss"], known.loss)
    assert display.ax_.get_ylabel() == "accuracy"


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_nothing_is_cut_or_covered_on_given_axes(layout):
    y, models = draw(3, 2)
    figure, axes = plt.subplots(1, 2, figsize=(14, 5), layout=layout)
    ReliabilityDisplay.from_predictions(y, models, ax=axes[0])
    RiskCoverageDisplay.from_predictions(y, models, ax=axes[1])
    labels = labels_of(figure)
    assert not overlaps(labels)
    assert not outside(labels, figure)


def test_given_axes_are_drawn_on():
    y, models = draw(2)
    figure, axes = plt.subplots(1, 4)
    pictures = [
        ReliabilityDisplay.from_predictions(y, models, ax=axes[0]),
        RiskCoverageDisplay.from_predictions(y, models, ax=axes[1]),
        MergePathDisplay.from_results(PATH, ax=axes[2]),
        WeightsDisplay(["a"], [1.0]).plot(ax=axes[3]),
    ]
    for display, ax in zip(pictures, axes, strict=True):
        assert display.ax_ is ax
        assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_frames_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    frame = MergePathDisplay({"a": {"lambdas": [0, 1], "loss": [1, 2]}}).frame()
    assert isinstance(frame, dict)
    np.testing.assert_array_equal(frame["loss"], [1, 2])
    assert np.isnan(frame["accuracy"]).all()


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    display = WeightsDisplay(["a"], [1.0])
    with pytest.raises(ImportError, match=r"plotting needs matplotlib.*skmergecal\[plot\]"):
        display.plot()
