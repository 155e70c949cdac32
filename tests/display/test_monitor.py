"""MonitorDisplay."""

from __future__ import annotations

import datetime

import matplotlib as mpl
import numpy as np
import pytest

from skmergecal import MergedClassifier, MonitorDisplay
from skmergecal.monitoring import CalibrationMonitor
from tests.display.test_displays import labels_of, outside, overlaps

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def rows(rng, n, odds=1.0):
    p = rng.uniform(0.05, 0.95, n)
    y = rng.random(n) < odds * p / (odds * p + 1 - p)
    return np.column_stack([1 - p, p]), y.astype(int)


@pytest.fixture(scope="module")
def watched():
    """Eight months; the odds of the second class change after the fourth."""
    rng = np.random.default_rng(0)
    monitor = CalibrationMonitor(window=200)
    for month in range(1, 9):
        odds = 1.0 if month < 5 else 4.0
        monitor.update(*rows(rng, 150, odds), label=datetime.date(2026, month, 1))
    return monitor


def test_it_shows_what_was_recorded(watched):
    display = MonitorDisplay.from_monitor(watched)
    frame = watched.to_frame()
    drawn = [line.get_ydata() for line in display.line_]
    for values, name in zip(
        drawn, ("log_e_value", "log_loss", "expected_log_loss", "temperature"), strict=True
    ):
        np.testing.assert_array_equal(values, frame[name])
    assert len(display.ax_) == 3
    assert display.alarm_line == np.log(100)
    assert watched.alarm_
    texts = labels_of(display.figure_)
    assert not overlaps(texts)
    assert not outside(texts, display.figure_)
    assert {"alarm", "onset", "observed", "expected"} <= {t.get_text() for t in texts}
    assert display.ax_[-1].get_xlabel() == "date"


def test_the_onset_is_counted_from_the_first_row_also_after_a_reset(watched):
    assert abs(MonitorDisplay.from_monitor(watched, plot=False).onset - 600) < 100
    rng = np.random.default_rng(1)
    monitor = CalibrationMonitor().update(*rows(rng, 500), label=1).reset()
    monitor.update(*rows(rng, 300), label=2).update(*rows(rng, 400, 5.0), label=3)
    display = MonitorDisplay.from_monitor(monitor)
    assert abs(display.onset - 800) < 100
    assert display.ax_[-1].get_xlabel() == "row"
    assert len(display.ax_) == 2
    assert display.frame()["first_row"].tolist() == [0, 500, 800]


def test_members_on_request(binary, binary_members):
    two = {name: binary_members[name] for name in ("lda", "bayes")}
    merged = MergedClassifier.from_fitted(two, binary.X_held, binary.y_held, method="logits")
    monitor = CalibrationMonitor(merged, window=50).update(binary.X_test, binary.y_test)
    _, axes = plt.subplots(3)
    display = MonitorDisplay.from_monitor(monitor, members=True, ax=axes)
    assert list(display.ax_) == list(axes)
    assert {"lda", "bayes"} <= {line.get_label() for line in display.line_}
    assert len({line.get_marker() for line in display.line_[:3]}) == 3  # readable in grey
    with pytest.raises(ValueError, match=r"members are not recorded.*or pass members=False"):
        MonitorDisplay.from_monitor(
            CalibrationMonitor().update([[0.5, 0.5]], [1]), plot=False
        ).plot(members=True)
    with pytest.raises(ValueError, match="call its update first"):
        MonitorDisplay.from_monitor(CalibrationMonitor())
    with pytest.raises(ValueError, match="ax should hold 3 matplotlib Axes; got 2"):
        display.plot(ax=axes[:2])
