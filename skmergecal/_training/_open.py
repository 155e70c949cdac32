"""Opening of a fitted estimator: the net inside that is trained, and how it is put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal._optional import optional_import
from skmergecal._pipelines import is_pipeline, steps_before
from skmergecal._training._arrays import NetworkTrainee
from skmergecal._training._base import Trainee
from skmergecal._training._partial_fit import IncrementalTrainee
from skmergecal._typing import Estimator, IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import (
    LabelledEstimator,
    classes_of,
    in_known_form,
    is_sklearn,
    is_skorch,
    labels_of_codes,
)
from skmergecal.parameters import (
    Parameters,
    fold_affine_input,
    fold_temperature,
    only_drops_columns,
    read_parameters,
    unwrap_one,
    write_parameters,
)

__all__ = ["OpenedEstimator", "open_estimator", "torch_trainee"]

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
    net : classifier
        What is trained, temperatures folded in; never changed.
    steps_before : sequence of (str, transformer)
        Fitted steps that stay before it.
    name : str
        Its name in a Pipeline.
    folded : bool
        Whether scalers went into its first layer, so that its input is not scaled.
    scaler : StandardScaler or None
        What its first layer does without while it is trained, and takes back afterwards.
    teachers : sequence of estimator
        The merged classifiers that it was found in, outermost first.
    labels : ndarray of shape (n_classes,) or None
        What the codes that the net knows stand for, where this was given with it.
    """

    net: Estimator
    steps_before: Sequence[tuple[str, Any]] = ()
    name: str = "classifier"
    folded: bool = False
    scaler: StandardScaler | None = None
    teachers: Sequence[Estimator] = ()
    labels: np.ndarray | None = None

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """The labels of the net's columns: its classes, or what these stand for as codes.

        Parameters
        ----------
        labels : ndarray of shape (n_classes,)
            The classes of the estimator that was opened.
        """
        if self.labels is not None:
            return self.labels
        return labels_of_codes(classes_of("estimator", self.net), labels)

    def rows(self, X: Any) -> Any:
        """Rows as the net takes them."""
        for number, (_, step) in enumerate(self.steps_before):
            X = step.transform(X if number else in_known_form(step, X))
        return X if self.scaler is None else self.scaler.transform(X)

    def scaled(self, X: Any) -> OpenedEstimator:
        """Let the first layer take rows scaled by their own means and deviations.

        A net into whose first layer a scaler went takes rows in their own units, where the
        gradients of some features are thousands of times those of others. The net stays the same
        function, and `rebuilt` gives it back in its own units.
        """
        parameters = _read(self.net)
        if not self.folded or parameters is None or parameters.first is None:
            return self
        scaler = StandardScaler().fit(self.rows(X))
        inner = fold_affine_input(parameters, scaler.scale_, scaler.mean_)
        return replace(self, net=write_parameters(self.net, inner), scaler=scaler)

    def rebuilt(self, net: Estimator) -> Estimator:
        """The trained net behind the same steps."""
        if self.scaler is not None:
            scaled = Pipeline([("scale", self.scaler), ("net", net)])
            net = write_parameters(scaled, read_parameters(scaled))
        return Pipeline([*self.steps_before, (self.name, net)]) if self.steps_before else net

    def whole_columns(self) -> IntArray:
        """Columns of the rows that hold whole numbers, because the net embeds them."""
        parameters = _read(self.net)
        if self.steps_before or parameters is None or parameters.network is None:
            return np.empty(0, dtype=np.intp)
        return parameters.network.whole_columns()

    @property
    def parameters(self) -> Parameters:
        """The parameters of the net, as they are."""
        return read_parameters(self.net)

    @property
    def is_net(self) -> bool:
        """Whether it is a net: of skorch, or described as one by its family."""
        if is_skorch(self.net):
            return True
        parameters = _read(self.net)
        return parameters is not None and parameters.network is not None

    @property
    def n_parameters(self) -> int:
        """How many numbers the net is made of."""
        return sum(array.size for array in self.parameters.arrays.values())

    def trainee(self, seed: int | None = None) -> Trainee:
        """A copy of the net, ready for training.

        Parameters
        ----------
        seed : int, default=None
            Of what the net itself draws at random in training, such as dropout.

        Raises
        ------
        ValueError
            If it cannot be trained further.
        """
        if is_skorch(self.net):
            return torch_trainee(self.net, seed)
        parameters = _read(self.net)
        if parameters is not None and parameters.network is not None:
            return NetworkTrainee(self.net, parameters)
        if hasattr(self.net, "partial_fit"):
            return IncrementalTrainee(self.net)
        msg = (
            f"{type(self.net).__name__} cannot be trained further: its fit starts again and "
            f"would forget what it starts from. {_WHAT_CAN}."
        )
        raise ValueError(msg)


def torch_trainee(net: Estimator, seed: int | None = None) -> Trainee:
    """A skorch net in training; torch is loaded with the first."""
    optional_import("torch", extra="neural", purpose="tuning skorch nets")
    from skmergecal._training._torch import TorchTrainee

    return TorchTrainee(net, seed)


def _read(net: Estimator) -> Parameters | None:
    try:
        return read_parameters(net)
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
        opened = open_estimator(inner)
        if isinstance(estimator, LabelledEstimator):
            opened = replace(opened, labels=estimator.classes_)
        if hasattr(estimator, "members_log_proba"):
            folded = opened.folded or (_takes_raw(opened) and _have_steps(estimator.estimators_))
            opened = replace(opened, folded=folded, teachers=[estimator, *opened.teachers])
        return (
            opened if temperature == 1.0 else replace(opened, net=_cooled(opened.net, temperature))
        )
    if is_pipeline(estimator):
        opened = open_estimator(estimator.steps[-1][1])
        steps = [*steps_before(estimator), *opened.steps_before]
        return replace(opened, steps_before=steps, name=estimator.steps[-1][0])
    return OpenedEstimator(estimator)


def _takes_raw(opened: OpenedEstimator) -> bool:
    """Whether no step is left before the net, but one that drops columns where others went in."""
    steps = opened.steps_before
    dropped = not is_skorch(opened.net) and all(only_drops_columns(step) for _, step in steps)
    return dropped or not steps


def _opened(estimator: Estimator) -> tuple[Estimator, float]:
    if is_sklearn(estimator, "BaseSearchCV") and hasattr(estimator, "best_estimator_"):
        return estimator.best_estimator_, 1.0
    try:
        return unwrap_one(estimator)
    except IncompatibleEstimatorsError as error:
        msg = (
            f"{type(estimator).__name__} has no single model to train further. Pass a net as the "
            "estimator and this as teacher=, with target='members', to train the net towards it; "
            "or merge with method='parameters'; or tune the members, FineTunedClassifier for each "
            f"({error})."
        )
        raise ValueError(msg) from error


def _have_steps(members: Sequence[Estimator]) -> bool:
    """Whether members are Pipelines with steps, within whatever wraps them."""
    for member in members:
        inner = member
        while (opened := unwrap_one(inner)[0]) is not inner:
            inner = opened
        if is_pipeline(inner) and len(inner.steps) > 1:
            return True
    return False


def _cooled(net: Estimator, temperature: float) -> Estimator:
    return write_parameters(net, fold_temperature(read_parameters(net), temperature))
