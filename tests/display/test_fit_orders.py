"""FitOrderDisplay: the table of orders, drawn."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from skmergecal import FitOrderDisplay
from tests.display.test_displays import labels_of, outside, overlaps

mpl.use("Agg")
from matplotlib import pyplot as plt

NAMES = ["merge", "merge-then-calibrate", "tune-then-merge-then-calibrate", "nothing"]
TABLE = {
    "order": NAMES,
    "mean": [-0.3, -0.28, -0.31, -0.3],
    "difference": [0.0, 0.02, -0.01, 0.0],
    "low": [0.0, 0.01, -0.03, -0.02],
    "high": [0.0, 0.03, 0.01, 0.02],
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("table", [TABLE, pd.DataFrame(TABLE).set_index("order")])
def test_the_picture_is_the_table(table):
    display = FitOrderDisplay.from_results(table)
    assert display.names == NAMES
    assert display.baseline == "merge"
    frame = display.frame()
    assert frame["order"].tolist() == NAMES
    for name in ("difference", "low", "high"):
        np.testing.assert_array_equal(frame[name], TABLE[name])
    (points,) = (line for line in display.ax_.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_xdata(), TABLE["difference"])
    (bars,) = display.ax_.collections
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [[low, high] for low, high in zip(TABLE["low"], TABLE["high"], strict=True)]
    assert "merge" in display.ax_.get_xlabel()
    assert display.figure_ is display.ax_.figure


def test_no_label_is_cut_or_covered():
    long = {**TABLE, "order": [f"{name}, and then everything once more" for name in NAMES]}
    figure = FitOrderDisplay.from_results(long).figure_
    texts = labels_of(figure)
    assert not overlaps(texts)
    assert not outside(texts, figure)


def test_one_fold_has_no_intervals():
    table = {**TABLE, "low": [np.nan] * 4, "high": [np.nan] * 4}
    assert FitOrderDisplay.from_results(table).baseline == "merge"
    _, ax = plt.subplots()
    assert FitOrderDisplay.from_results(table, ax=ax).ax_ is ax
    assert not hasattr(FitOrderDisplay.from_results(table, plot=False), "ax_")


def test_errors():
    with pytest.raises(ValueError, match="table lacks the columns \\['high', 'low'\\]"):
        FitOrderDisplay.from_results({"order": ["a"], "difference": [0.0]})
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(2, 2\)"):
        FitOrderDisplay(["a", "b"], [0.0, 1.0], [[0.0, 0.0]])
