"""Examples run without a warning, and print what they say they show.

Where SKMERGECAL_GALLERY names the gallery that sphinx has just made (``docs/auto_examples``),
nothing is run again: what the examples printed there is read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
# Old versions of matplotlib and pyparsing quarrel on import; that is not our example's doing.
FILTERS = ["-W", "error", "-W", "ignore::DeprecationWarning"]


def printed_by(path, folder):
    """What it printed in the gallery, or prints now."""
    gallery = os.environ.get("SKMERGECAL_GALLERY")
    if gallery:
        return (Path(gallery) / f"{path.stem}.rst").read_text(encoding="utf-8")
    return run_example(path, folder)


def run_example(path, folder):
    """What it prints; the package may be installed, or the tests be run from its source."""
    places = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
    }
    run = subprocess.run(
        [sys.executable, *FILTERS, str(path)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# Packages without which the tutorial leaves out a step.
SAVED = "last bit: True" if find_spec("skops") else "nothing saved"
WORDS = {
    "credit_decisions": ["profit", "share of defaults"],
    "cv_folds": ["fold 4", "merged", "LogisticRegression(max_iter=3000)"],
    "first_look": ["vote, then temperature", "stacking", "merged"],
    "digits_nets": ["pool of logits", "one net"],
    "from_search": ["merge of all eight", "randomforest criterion=", "histgradientboosting l2_"],
    "grid_search": ["calibrate", "test log loss"],
    "one_tree": ["teacher", "tree, taught", "tree, labels only", "ms for a row"],
    "monitoring": ["keep", "shift", "months 9 to 11"],
    "reliability": ["before", "after", "Change of the log loss"],
    "sites": ["from sums", "all rows, calibrated"],
    "tune_orders": ["merge-then-distil", "difference", "predict"],
    "tutorial": ["gain:", "will leave", "recalibrated", SAVED],
    "why": ["vote, calibrated", "merged"],
}

CHEAP = ("cv_folds", "why")


def test_every_example_is_run_here():
    names = {path.stem.removeprefix("plot_") for path in EXAMPLES.glob("*.py")}
    assert names == {*WORDS, "fit_orders"}


@pytest.mark.gallery
@pytest.mark.cheap
@pytest.mark.parametrize("name", CHEAP)
def test_cheap_example(name, tmp_path):
    printed = printed_by(EXAMPLES / f"plot_{name}.py", tmp_path)
    assert all(word in printed for word in WORDS[name])


@pytest.mark.gallery
@pytest.mark.parametrize("name", [name for name in WORDS if name not in CHEAP])
def test_example(name, tmp_path):
    printed = printed_by(EXAMPLES / f"plot_{name}.py", tmp_path)
    assert all(word in printed for word in WORDS[name])


@pytest.mark.gallery
def test_first_look_says_what_it_does_and_what_it_means(tmp_path):
    printed = printed_by(EXAMPLES / "plot_first_look.py", tmp_path)
    assert len(re.findall(r"rows, [23] classes; round 1 2 3 4 5 of 5", printed)) == 2
    assert "log loss, calibration error cardiotocography            telecom churn" in printed
    models = re.findall(r"^ *([\w, -]+?) +(?:0\.\d{4} [^\n]*%[^\n]*){2}$", printed, flags=re.M)
    assert len(models) == 9
    assert models[-4:] == ["vote", "vote, then temperature", "stacking", "merged"]
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    gains = [float(gain) for gain in re.findall(r"merged is ([\d.]+)% below the best", printed)]
    given = re.search(r"log loss is (\S+) % below that of the best.*?, and (\S+) %", readme, re.S)
    # Other processors and versions round differently, and trees then split differently.
    assert gains == pytest.approx([float(gain) for gain in given.groups()], rel=0.3)
    assert len(re.findall(r"by more than chance against all$", printed, flags=re.M)) == 2


@pytest.mark.gallery
def test_plot_fit_orders(tmp_path):
    printed = printed_by(EXAMPLES / "plot_fit_orders.py", tmp_path)
    for word in ("digits", "breast cancer", "log loss", "Brier", "ECE", "accuracy", "ms"):
        assert word in printed
    for method in ("logits", "probabilities", "parameters"):
        for order in ("None", "members", "merged", "both"):
            assert printed.count(f"{method}, {order}") >= 2
    assert "What to conclude" in printed
    saved = EXAMPLES if "SKMERGECAL_GALLERY" in os.environ else tmp_path
    assert (saved / "plot_fit_orders.png").stat().st_size > 10_000
