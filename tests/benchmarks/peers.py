"""What the package is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import calibration


def scikit_learn_temperature(logits, y):
    """scikit-learn's own fit of a temperature, without the estimator around it."""
    if not hasattr(calibration, "_TemperatureScaling"):
        pytest.skip("scikit-learn fits temperatures since 1.8")
    return calibration._TemperatureScaling().fit(logits, y).beta_


def probmetrics_temperature(logits, y):
    """The fit of probmetrics, which asks for log-probabilities and gets the logits as they are."""
    calibrators = pytest.importorskip("probmetrics.calibrators.temperature_scaling")
    torch = pytest.importorskip("torch")
    scaler = calibrators.TemperatureScalingCalibrator()
    scaler._fit_bisection(torch.as_tensor(logits), torch.as_tensor(y))
    return float(scaler.invtemp_)


def greedy_rule(proba, y, n_steps=25):
    """AutoGluon's greedy rule on log loss: ties to the first, cut at the best step."""
    true = [p[np.arange(len(y)), y] for p in proba]
    sums, counts, history = np.zeros_like(true[0]), np.zeros(len(proba), int), []
    for step in range(1, n_steps + 1):
        losses = [-np.log(np.clip((sums + t) / step, 1e-15, None)).mean() for t in true]
        best = int(np.argmin(losses))
        sums += true[best]
        counts[best] += 1
        history.append((losses[best], counts.copy()))
    weights = min(history, key=lambda pair: pair[0])[1]
    return weights / weights.sum()


def greedy_rule_on_matrices(proba, y, n_steps=25):
    """The same, averaging whole matrices as AutoGluon does for any metric, then their log loss."""
    rows, total = np.arange(len(y)), np.zeros_like(proba[0])
    counts, history = np.zeros(len(proba), int), []
    for step in range(1, n_steps + 1):
        means = ((total + p) / step for p in proba)
        losses = [-np.log(np.clip(mean[rows, y], 1e-15, None)).mean() for mean in means]
        best = int(np.argmin(losses))
        total += proba[best]
        counts[best] += 1
        history.append((losses[best], counts.copy()))
    weights = min(history, key=lambda pair: pair[0])[1]
    return weights / weights.sum()
