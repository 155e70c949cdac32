"""Write the models that every later version has to read: tests/data/golden/<version>/.

Run it at a release, with the newest scikit-learn, numpy and skops:

    python -m tests.benchmarks.write_golden_files

Each estimator and method has a model in the format of skops and its probabilities; monitors and
statistics are JSON. There are no pickles. ``tests/persistence/test_golden_files.py`` reads them.
"""

from __future__ import annotations

import json
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import skops.io
from scipy.special import log_softmax
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

import skmergecal
from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.calibration import ClassShift
from skmergecal.monitoring import CalibrationMonitor
from skmergecal.persistence import save

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
LABELS = np.array(["high", "low", "medium"])
METHODS = {
    "auto": {},
    "logits": {"method": "logits"},
    "probabilities": {"method": "probabilities", "calibrate": "members"},
}
#: Other settings, of two members.
SETTINGS = {
    "auto-merged": {"calibrate": "merged"},
    "logits-both": {"method": "logits", "calibrate": "both"},
    "classwise": {"method": "logits", "weights": "classwise"},
    "probabilities-merged": {"method": "probabilities", "calibrate": "merged"},
    "greedy": {"weights": "greedy"},
    "uniform": {"method": "logits", "weights": None},
}


def mlp(seed):
    """A net that does not keep its optimiser, which skops would have to trust."""
    return MLPClassifier((4,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=seed)


def models():
    """Fitted models by name, and rows to predict."""
    X, codes = make_classification(320, 6, n_informative=4, n_classes=3, flip_y=0.1, random_state=7)
    y = LABELS[codes]
    train, held, rows = (X[:120], y[:120]), (X[120:300], y[120:300]), X[300:]
    members = {
        "linear": LogisticRegression().fit(*train),
        "bayes": GaussianNB().fit(*train),
        "mlp": mlp(0).fit(*train),
    }
    two = {name: members[name] for name in ("linear", "bayes")}
    found = {
        name: MergedClassifier.from_fitted(which, *held, **how)
        for which, settings in ((members, METHODS), (two, SETTINGS))
        for name, how in settings.items()
    }
    alike = {f"linear {c}": LogisticRegression(C=c).fit(*train) for c in (0.1, 1.0)}
    nets = {f"mlp {seed}": mlp(seed).fit(*train) for seed in (0, 1)}
    of_nets = {"method": "parameters", "barrier_tolerance": 1e3}
    found["parameters"] = MergedClassifier.from_fitted(alike, *held, method="parameters")
    found["parameters-mlp"] = MergedClassifier.from_fitted(nets, *held, **of_nets)
    unfitted = {"bayes": GaussianNB(), "linear": LogisticRegression()}
    found["fitted"] = MergedClassifier(unfitted, cv=2).fit(*held)
    found["folds"] = MergedClassifier(unfitted, cv=2, refit=False, method="logits").fit(*held)
    found["calibrator"] = TemperatureCalibrator(FrozenEstimator(members["bayes"])).fit(*held)
    coded = GaussianNB().fit(X[:120], codes[:120])
    found["labelled"] = TemperatureCalibrator(FrozenEstimator(coded), classes=LABELS).partial_fit(
        *held
    )
    found["shift"] = ClassShift(FrozenEstimator(members["mlp"])).fit(*held)
    found["distilled"] = DistilledClassifier(
        LogisticRegression(), FrozenEstimator(found["calibrator"]), cv=2
    ).fit(*held)
    net = FrozenEstimator(members["mlp"])
    found["tuned"] = FineTunedClassifier(net, epochs=1, random_state=0).fit(*held)
    inner = {"calibrated": found["calibrator"], "pool": found["probabilities"]}
    found["nested"] = MergedClassifier.from_fitted(inner, *held, method="logits")
    return found, rows


def states():
    """Texts by name, and what each says: a monitor's evidence, a temperature."""
    rng = np.random.default_rng(7)
    z = log_softmax(rng.normal(size=(300, 3)) * 1.5, axis=1)
    y = LABELS[(rng.random((300, 1)) > np.exp(z / 2).cumsum(axis=1)).sum(axis=1).clip(max=2)]
    found = {}
    for name, how in (("ever", {"window": 40}), ("run_length", {"alarm": "run_length"})):
        monitor = CalibrationMonitor(classes=LABELS, tolerance=0.05, **how).update(
            z, y, label="May"
        )
        found[f"monitor-{name}"] = monitor.to_json(), monitor.log_e_value_
    calibrator = TemperatureCalibrator(classes=LABELS).partial_fit(z, y)
    found["statistics"] = calibrator.statistics_.to_json(), calibrator.temperature_
    return found


def main():
    """Write the folder of this version."""
    folder = GOLDEN / skmergecal.__version__
    folder.mkdir(parents=True, exist_ok=True)
    found, rows = models()
    for name, model in found.items():
        skops.io.dump(model, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
    save(found["auto"], folder / "auto.skmergecal")
    proba = {name: model.predict_proba(rows) for name, model in found.items()}
    said = states()
    for name, (text, _) in said.items():
        (folder / f"{name}.json").write_text(text)
    numbers = {name: number for name, (_, number) in said.items()}
    np.savez_compressed(folder / "probabilities.npz", rows=rows, **proba, **numbers)
    packages = ["scikit-learn", "numpy", "skops"]
    versions = {package: metadata.version(package) for package in packages}
    (folder / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")
    print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
