"""How each package of the conformance study calibrates, merges and searches, as its users would."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.frozen import FrozenEstimator


class NotOfferedError(Exception):
    """The package has no such thing; the message says what it has instead."""


class Package:
    """What a package offers; nothing, unless a subclass says otherwise.

    ``vote_settings`` and ``grid_settings`` have the defaults, and what else a user would try, by
    the words of the table.
    """

    name = distribution = module = ""
    vote_settings: ClassVar[dict] = {"": {}}
    grid_settings: ClassVar[dict] = {"": {}}

    def version(self):
        """Of the installed package; None where it cannot be imported."""
        try:
            module = importlib.import_module(self.module)
            return getattr(module, "__version__", None) or version(self.distribution)
        except (ImportError, PackageNotFoundError):
            return None

    def calibrate(self, model, X, y, sample_weight=None):
        """A temperature for a fitted classifier: a function of rows, and the temperature."""
        raise NotOfferedError

    def temperature_grid(self, model):
        """An estimator and the name of its temperature, to search over."""
        raise NotOfferedError

    def vote(self, members, X, y):
        """The mean of the probabilities of fitted members: a function of rows, and labels."""
        raise NotOfferedError

    def weight_grid(self, members, weights):
        """An estimator around fitted members, and a grid over their weights."""
        raise NotOfferedError

    def average_nets(self, nets, X, y):
        """One skorch net from the parameters of several."""
        raise NotOfferedError


class SkMergeCal(Package):
    """This package."""

    name = distribution = module = "skmergecal"
    vote_settings: ClassVar[dict] = {
        "": {},
        'method="probabilities", weights=None': {"method": "probabilities", "weights": None},
    }
    grid_settings: ClassVar[dict] = {"": {}, "memory=": {"memory": True}}

    def calibrate(self, model, X, y, sample_weight=None):
        from skmergecal import TemperatureCalibrator

        fitted = TemperatureCalibrator(FrozenEstimator(model)).fit(X, y, sample_weight)
        return fitted.predict_proba, fitted.temperature_

    def temperature_grid(self, model):
        from skmergecal import TemperatureCalibrator

        return TemperatureCalibrator(FrozenEstimator(model)), "temperature"

    def vote(self, members, X, y, **settings):
        from skmergecal import MergedClassifier

        merged = MergedClassifier.from_fitted(members, X, y, **settings)
        return merged.predict_proba, merged.classes_

    def weight_grid(self, members, weights, memory=False):
        from skmergecal import MergedClassifier

        frozen = [(f"m{i}", FrozenEstimator(member)) for i, member in enumerate(members)]
        folder = tempfile.mkdtemp() if memory else None
        merged = MergedClassifier(frozen, method="probabilities", memory=folder)
        return merged, {"weights": weights}

    def average_nets(self, nets, X, y):
        from skmergecal import MergedClassifier

        merged = MergedClassifier.from_fitted(nets, X, y, method="parameters", weights=None)
        return merged.merged_estimator_


class ScikitLearn(Package):
    """CalibratedClassifierCV and VotingClassifier."""

    name, distribution, module = "scikit-learn", "scikit-learn", "sklearn"

    def calibrate(self, model, X, y, sample_weight=None):
        from sklearn.calibration import CalibratedClassifierCV

        fitted = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
        fitted.fit(X, y, sample_weight=sample_weight)
        beta = fitted.calibrated_classifiers_[0].calibrators[0].beta_
        return fitted.predict_proba, 1 / float(beta)

    def temperature_grid(self, model):
        from sklearn.calibration import CalibratedClassifierCV

        return CalibratedClassifierCV(FrozenEstimator(model), method="temperature"), "temperature"

    def vote(self, members, X, y):
        from sklearn.ensemble import VotingClassifier

        frozen = [(f"m{i}", FrozenEstimator(member)) for i, member in enumerate(members)]
        voting = VotingClassifier(frozen, voting="soft").fit(X, y)
        return voting.predict_proba, voting.classes_

    def weight_grid(self, members, weights):
        from sklearn.ensemble import VotingClassifier

        frozen = [(f"m{i}", FrozenEstimator(member)) for i, member in enumerate(members)]
        return VotingClassifier(frozen, voting="soft"), {"weights": weights}


class NetCal(Package):
    """TemperatureScaling on arrays of probabilities; for two classes those of the second."""

    name, distribution, module = "netcal", "netcal", "netcal.scaling"

    def calibrate(self, model, X, y, sample_weight=None):
        from netcal.scaling import TemperatureScaling

        if sample_weight is not None:
            raise NotOfferedError

        def said(rows):
            p = model.predict_proba(rows)
            return p[:, 1] if p.shape[1] == 2 else p

        scaling = TemperatureScaling()
        scaling.fit(said(X), y, random_state=0)

        def predict(rows):
            q = np.asarray(scaling.transform(said(rows)))
            return np.column_stack([1 - q, q]) if q.ndim == 1 else q

        return predict, float(np.ravel(scaling.temperature)[0])

    def temperature_grid(self, model):
        from netcal.scaling import TemperatureScaling

        return TemperatureScaling(), "temperature"


class ProbMetrics(Package):
    """TemperatureScalingCalibrator on arrays of probabilities."""

    name, distribution = "probmetrics", "probmetrics"
    module = "probmetrics.calibrators.temperature_scaling"

    def calibrate(self, model, X, y, sample_weight=None):
        from probmetrics.calibrators.temperature_scaling import TemperatureScalingCalibrator

        if sample_weight is not None:
            raise NotOfferedError
        scaling = TemperatureScalingCalibrator().fit(model.predict_proba(X), y)
        inverse = float(scaling.invtemp_)
        return lambda rows: scaling.predict_proba(model.predict_proba(rows)), 1 / inverse

    def temperature_grid(self, model):
        from probmetrics.calibrators.temperature_scaling import TemperatureScalingCalibrator

        return TemperatureScalingCalibrator(), "temperature"


class AutoGluon(Package):
    """The functions of autogluon.core behind its predictors."""

    name, distribution = "AutoGluon (core)", "autogluon.core"
    module = "autogluon.core.calibrate.temperature_scaling"

    def calibrate(self, model, X, y, sample_weight=None):
        from autogluon.core.calibrate.temperature_scaling import (
            apply_temperature_scaling,
            tune_temperature_scaling,
        )

        if sample_weight is not None:
            raise NotOfferedError
        temperature = tune_temperature_scaling(model.predict_proba(X), np.asarray(y))
        if temperature is None:
            msg = "gives None, and its predictors then do not calibrate"
            raise NotOfferedError(msg)

        def predict(rows):
            p = model.predict_proba(rows)
            return apply_temperature_scaling(p, temperature, problem_type="multiclass")

        return predict, temperature


class MergeKit(Package):
    """mergekit-pytorch, which merges files of tensors of any model."""

    name, distribution = "mergekit", "mergekit"
    module = "mergekit.scripts.merge_raw_pytorch"

    def average_nets(self, nets, X, y):
        import copy

        from safetensors.torch import load_file, save_file

        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"net{i}.safetensors" for i in range(len(nets))]
            for path, net in zip(paths, nets, strict=True):
                save_file(net.module_.state_dict(), path)
            listed = "".join(f"  - model: {p}\n    parameters: {{weight: 1.0}}\n" for p in paths)
            config = Path(folder) / "config.yml"
            config.write_text(f"merge_method: linear\nmodels:\n{listed}dtype: float32\n")
            program = f"from {self.module} import main; main()"
            arguments = [sys.executable, "-c", program, str(config), f"{folder}/out"]
            run = subprocess.run(arguments, check=False, capture_output=True, text=True)
            if run.returncode:
                raise ValueError(run.stderr.strip().splitlines()[-1])
            (file,) = Path(folder, "out").glob("*.safetensors")
            merged = copy.deepcopy(nets[0])
            merged.module_.load_state_dict(load_file(file))
        return merged


PACKAGES = (SkMergeCal(), ScikitLearn(), NetCal(), ProbMetrics(), AutoGluon(), MergeKit())
