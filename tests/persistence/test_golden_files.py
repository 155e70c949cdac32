"""Models of earlier versions are read, and predict what they predicted then.

``tests/benchmarks/write_golden_files.py`` writes them at a release.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from skmergecal import TemperatureCalibrator
from skmergecal.calibration import TemperatureStatistics
from skmergecal.exceptions import OtherVersionWarning
from skmergecal.monitoring import CalibrationMonitor
from skmergecal.persistence import TRUSTED_TYPES, load

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
FILES = sorted(GOLDEN.glob("*/*.sk*"))


def minor(version):
    return tuple(map(int, version.split(".")[:2]))


def read(path):
    if path.suffix == ".skmergecal":
        return load(path)
    skops = pytest.importorskip("skops.io")
    return skops.load(path, trusted=[*TRUSTED_TYPES])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_model_of_an_earlier_version_predicts_what_it_did(path):
    pytest.importorskip("skops")
    written_by = json.loads((path.parent / "versions.json").read_text())["scikit-learn"]
    if minor(sklearn.__version__) < minor(written_by):
        pytest.skip(f"scikit-learn {written_by} wrote it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OtherVersionWarning)
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = read(path)
    with np.load(path.parent / "probabilities.npz") as stored:
        rows, expected = stored["rows"], stored[path.stem]
    np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(model.predict(rows), model.classes_[expected.argmax(axis=1)])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/monitor-*.json")), ids=lambda p: p.stem)
def test_a_monitor_of_an_earlier_version_has_its_evidence_and_goes_on(path):
    monitor = CalibrationMonitor.from_json(path.read_text())
    with np.load(path.parent / "probabilities.npz") as stored:
        assert monitor.log_e_value_ == pytest.approx(float(stored[path.stem]), abs=1e-10)
    monitor.update(np.full((2, 3), 1 / 3), monitor.classes_[:2])
    assert monitor.n_rows_ == 302


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/statistics.json")), ids=lambda p: p.stem)
def test_statistics_of_an_earlier_version_have_their_temperature(path):
    calibrator = TemperatureCalibrator.from_statistics(
        TemperatureStatistics.from_json(path.read_text())
    )
    with np.load(path.parent / "probabilities.npz") as stored:
        assert calibrator.temperature_ == pytest.approx(float(stored["statistics"]), abs=1e-10)


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda folder: folder.name)
def test_the_files_of_a_version_are_small_and_hold_no_pickles(folder):
    files = list(folder.iterdir())
    assert len(files) > 10
    assert sum(file.stat().st_size for file in files) < 300_000
    assert {file.suffix for file in files} <= {".json", ".npz", ".skmergecal", ".skops"}
