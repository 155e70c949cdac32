"""Reproduce published temperatures and log losses, and merge the two published networks.

    python tests/benchmarks/published_table.py PATH/TO/nn_calibration_cifar10.npz

The file holds the float32 logits of two CIFAR-10 networks that Kull et al., "Beyond temperature
scaling" (NeurIPS 2019), released: z_val_NAME, z_test_NAME for densenet40 and resnet110, y_val and
y_test. Both networks share their 5,000 validation and 10,000 test images.
"""

from __future__ import annotations

import sys

import numpy as np

from skmergecal import TemperatureCalibrator
from skmergecal._temperature._fit import fit_temperature
from skmergecal.metrics import expected_calibration_error
from skmergecal.pooling import fit_logarithmic_pool, linear_pool, logarithmic_pool

NETWORKS = ("densenet40", "resnet110")


def log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    """As published: probabilities clipped at 1e-15."""
    return float(-np.log(np.clip(proba[np.arange(len(y)), y], 1e-15, None)).mean())


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(logarithmic_pool([z], [1.0]))


def single_networks(val: list, test: list, y_val: np.ndarray, y_test: np.ndarray) -> list[float]:
    print("network      temperature  log loss before    after  ECE before    after")
    temperatures = []
    for name, v, t in zip(NETWORKS, val, test, strict=True):
        calibrator = TemperatureCalibrator().fit(v, y_val)
        before, after = softmax(t), calibrator.predict_proba(t)
        print(
            f"{name:12s} {calibrator.temperature_:11.6f}  {log_loss(y_test, before):15.6f}  "
            f"{log_loss(y_test, after):.6f}  {expected_calibration_error(y_test, before):10.6f}  "
            f"{expected_calibration_error(y_test, after):.6f}"
        )
        temperatures.append(calibrator.temperature_)
    return temperatures


def merged_networks(
    val: list, test: list, y_val: np.ndarray, y_test: np.ndarray, temperatures: list[float]
) -> None:
    half = [0.5, 0.5]
    each = [1 / (2 * t) for t in temperatures]
    mean = fit_temperature(logarithmic_pool(val, half), y_val).temperature
    learned = fit_logarithmic_pool(val, y_val)
    scaled = [softmax(z / t) for z, t in zip(test, temperatures, strict=True)]
    rows = {
        "probability average": linear_pool([softmax(z) for z in test], half),
        "logit average": np.exp(logarithmic_pool(test, half)),
        f"logit average, then temperature (T = {mean:.3f})": np.exp(
            logarithmic_pool(test, half, mean)
        ),
        "temperature each, then probability average": linear_pool(scaled, half),
        "temperature each, then logit average": np.exp(logarithmic_pool(test, each)),
        f"learned logit weights (T = {learned.temperature:.3f})": np.exp(
            logarithmic_pool(test, learned.weights, learned.temperature)
        ),
    }
    print(f"\n{'order':50s} accuracy  log loss      ECE")
    for name, p in rows.items():
        accuracy = (p.argmax(axis=1) == y_test).mean()
        ece = expected_calibration_error(y_test, p)
        print(f"{name:50s} {accuracy:8.4f}  {log_loss(y_test, p):.6f}  {ece:.5f}")


def main(path: str) -> None:
    with np.load(path, allow_pickle=False) as data:
        val, test = ([data[f"z_{s}_{n}"].astype(float) for n in NETWORKS] for s in ("val", "test"))
        y_val, y_test = (data[name].ravel().astype(int) for name in ("y_val", "y_test"))
    temperatures = single_networks(val, test, y_val, y_test)
    merged_networks(val, test, y_val, y_test, temperatures)


if __name__ == "__main__":
    main(sys.argv[1])
