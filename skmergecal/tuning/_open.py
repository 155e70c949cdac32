"""What of a fitted estimator is trained further, and how the result is put in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal._optional import optional_import
from skmergecal._typing import Estimator, IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import is_sklearn, is_skorch
from skmergecal.parameters import (
    Parameters,
    fold_affine_input,
    fold_temperature,
    read_parameters,
    unwrap_one,
    write_parameters,
)
from skmergecal.tuning.trainees._arrays import NetworkTrainee
from skmergecal.tuning.trainees._base import Trainee
from skmergecal.tuning.trainees._partial_fit import IncrementalTrainee

__all__ = ["OpenedEstimator", "open_estimator"]

_WHAT_CAN = (
    "FineTunedClassifier trains skorch nets, MLPClassifier, and classifiers with partial_fit "
    "(SGDClassifier), also in a Pipeline, a TemperatureCalibrator, or merged by "
    "MergedClassifier(method='parameters')"
)


@dataclass(frozen=True)
class OpenedEstimator:
    """A fitted estimator, opened up.

    Attributes
    ----------
    core : classifier
        What is trained, temperatures folded in; never changed.
    front : sequence of (str, transformer)
        Fitted steps that stay before it.
    name : str
        Its name in a Pipeline.
    folded : bool
        Whether scalers went into its first layer, so that its input is not scaled.
    scaler : StandardScaler or None
        What its first layer does without while it is trained, and takes back afterwards.
    teachers : sequence of estimator
        The merged classifiers that it was found in, outermost first.
    """

    core: Estimator
    front: Sequence[tuple[str, Any]] = ()
    name: str = "classifier"
    folded: bool = False
    scaler: StandardScaler | None = None
    teachers: Sequence[Estimator] = ()

    def rows(self, X: Any) -> Any:
        """Rows as the core takes them."""
        for _, step in self.front:
            X = step.transform(X)
        return X if self.scaler is None else self.scaler.transform(X)

    def scaled(self, X: Any) -> OpenedEstimator:
        """Let the first layer take rows scaled by their own means and deviations.

        A net into whose first layer a scaler went takes rows in their own units, where the
        gradients of some features are thousands of times those of others. The net stays the same
        function, and `rebuilt` gives it back in its own units.
        """
        parameters = _read(self.core)
        if not self.folded or parameters is None or parameters.first is None:
            return self
        scaler = StandardScaler().fit(self.rows(X))
        inner = fold_affine_input(parameters, scaler.scale_, scaler.mean_)
        return replace(self, core=write_parameters(self.core, inner), scaler=scaler)

    def rebuilt(self, core: Estimator) -> Estimator:
        """The trained core behind the same steps."""
        if self.scaler is not None:
            scaled = Pipeline([("scale", self.scaler), ("core", core)])
            core = write_parameters(scaled, read_parameters(scaled))
        return Pipeline([*self.front, (self.name, core)]) if self.front else core

    def whole_columns(self) -> IntArray:
        """Columns of the rows that hold whole numbers, because the core embeds them."""
        parameters = _read(self.core)
        if self.front or parameters is None or parameters.network is None:
            return np.empty(0, dtype=np.intp)
        return parameters.network.whole_columns()

    def trainee(self) -> Trainee:
        """A copy of the core, ready for training.

        Raises
        ------
        ValueError
            If it cannot be trained further.
        """
        if is_skorch(self.core):
            optional_import("torch", extra="neural", purpose="tuning skorch nets")
            from skmergecal.tuning.trainees._torch import TorchTrainee

            return TorchTrainee(self.core)
        parameters = _read(self.core)
        if parameters is not None and parameters.network is not None:
            return NetworkTrainee(self.core, parameters)
        if hasattr(self.core, "partial_fit"):
            return IncrementalTrainee(self.core)
        msg = (
            f"{type(self.core).__name__} cannot be trained further: its fit begins anew and "
            f"would forget what it starts from. {_WHAT_CAN}."
        )
        raise ValueError(msg)


def _read(core: Estimator) -> Parameters | None:
    try:
        return read_parameters(core)
    except IncompatibleEstimatorsError:
        return None


def open_estimator(estimator: Estimator) -> OpenedEstimator:
    """Open Pipelines, searches and this package's own estimators down to what is trained.

    Raises
    ------
    ValueError
        If a merged classifier has no single model.
    """
    inner, temperature = _opened(estimator)
    if inner is not estimator:
        start = open_estimator(inner)
        if hasattr(estimator, "members_log_proba"):
            folded = start.folded or (not start.front and _have_steps(estimator.estimators_))
            start = replace(start, folded=folded, teachers=[estimator, *start.teachers])
        return (
            start if temperature == 1.0 else replace(start, core=_cooled(start.core, temperature))
        )
    if isinstance(estimator, Pipeline):
        start = open_estimator(estimator.steps[-1][1])
        steps = [(n, s) for n, s in estimator.steps[:-1] if s is not None and s != "passthrough"]
        return replace(start, front=[*steps, *start.front], name=estimator.steps[-1][0])
    return OpenedEstimator(estimator)


def _opened(estimator: Estimator) -> tuple[Estimator, float]:
    if is_sklearn(estimator, "BaseSearchCV") and hasattr(estimator, "best_estimator_"):
        return estimator.best_estimator_, 1.0
    try:
        return unwrap_one(estimator)
    except IncompatibleEstimatorsError as error:
        msg = (
            f"{type(estimator).__name__} has no single model to train further ({error}). Merge "
            "with method='parameters', or tune the members: FineTunedClassifier for each."
        )
        raise ValueError(msg) from error


def _have_steps(members: Sequence[Estimator]) -> bool:
    """Whether members are Pipelines with steps, within whatever wraps them."""
    for member in members:
        inner = member
        while (opened := unwrap_one(inner)[0]) is not inner:
            inner = opened
        if isinstance(inner, Pipeline) and len(inner.steps) > 1:
            return True
    return False


def _cooled(core: Estimator, temperature: float) -> Estimator:
    return write_parameters(core, fold_temperature(read_parameters(core), temperature))
