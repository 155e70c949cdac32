"""The example runs without a warning, prints its tables, and saves its figure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "plot_fit_orders.py"
# Old versions of matplotlib and pyparsing quarrel on import; that is not our example's doing.
FILTERS = ["-W", "error", "-W", "ignore::DeprecationWarning"]


def test_plot_fit_orders(tmp_path):
    environment = {**os.environ, "MPLBACKEND": "agg"}
    run = subprocess.run(
        [sys.executable, *FILTERS, str(EXAMPLE)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    for word in ("digits", "breast cancer", "log loss", "Brier", "ECE", "accuracy", "ms"):
        assert word in run.stdout
    for method in ("logits", "probabilities", "parameters"):
        for order in ("None", "members", "merged", "both"):
            assert run.stdout.count(f"{method}, {order}") >= 2
    assert "What to conclude" in run.stdout
    assert (tmp_path / "plot_fit_orders.png").stat().st_size > 10_000
