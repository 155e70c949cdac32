"""calibration_report of a monitor."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal import TemperatureCalibrator, calibration_report
from skmergecal.monitoring import CalibrationMonitor
from tests.monitoring.test_evidence import simulate


def test_a_monitor_is_reported_on_the_rows_of_its_window(blobs, members):
    monitor = CalibrationMonitor(members["lda"], window=80)
    monitor.update(blobs.X_test, blobs.y_test)
    report = calibration_report(monitor, n_resamples=9)
    direct = calibration_report(
        members["lda"], blobs.X_test[-80:], blobs.y_test[-80:], n_resamples=9
    )
    assert report.name == direct.name == "LinearDiscriminantAnalysis"
    assert report.n_samples == 80
    for name, score in direct.before.scores.items():
        assert report.before.scores[name].value == pytest.approx(score.value, abs=1e-5)
    assert report.before.temperature.value == pytest.approx(monitor.temperature_, rel=0.05)


def test_without_an_estimator_and_with_rows():
    z, y = simulate(100, 3)
    labels = np.array(["a", "b", "c"])[y]
    monitor = CalibrationMonitor(window=50, classes=["a", "b", "c"]).update(z, labels)
    assert calibration_report(monitor, n_resamples=9).classes.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="pass it without X, y and sample_weight"):
        calibration_report(monitor, z, labels)
    with pytest.raises(AttributeError, match="pass window=2000"):
        calibration_report(CalibrationMonitor().update(z, y))
    bare = TemperatureCalibrator(temperature=1.0).fit(z, labels)
    assert calibration_report(bare, z, labels, n_resamples=9).n_samples == 100
