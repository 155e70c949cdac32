"""NamedEstimatorsMixin: named members as parameters of a meta-estimator."""

from __future__ import annotations

from functools import cache
from typing import Any, Self

from sklearn.utils import Bunch

from skmergecal._compat import _BaseComposition
from skmergecal._typing import Array, Estimator

__all__ = ["NamedEstimatorsMixin"]


class NamedEstimatorsMixin(_BaseComposition):
    """Makes ``estimators``, a list of (name, classifier), part of the parameters."""

    estimators: Any
    method: str
    _settings: Any
    named_estimators_: Bunch
    weights_: Array
    member_temperatures_: Array
    temperature_: float

    @property
    def named_estimators(self) -> Bunch:
        """The members as given, by name."""
        return Bunch(**dict(self.estimators))

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Names of the constructor's parameters, whose signature never changes for a class."""
        return list(super()._get_param_names())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, those of the members included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members and their parameters, as ``name`` and
            ``name__parameter``.

        Returns
        -------
        dict
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``name=`` replaces a member (or drops it with ``"drop"``).

        Parameters
        ----------
        **params : dict
            Parameters of the class, members by name, and ``name__parameter``.

        Returns
        -------
        self : MergedClassifier
        """
        self._set_params("estimators", **params)
        return self

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        if not hasattr(self, "weights_"):
            members = [(name, estimator, "") for name, estimator in self.estimators]
            return members, f"merged by {self.method}"
        fitted = zip(
            self.named_estimators_.items(), self.weights_, self.member_temperatures_, strict=True
        )
        members = [
            (name, estimator, f"weight {weight:.3g}" + _and_temperature(temperature))
            for (name, estimator), weight, temperature in fitted
        ]
        merge = f"merged by {self._settings.method}" + _and_temperature(self.temperature_)
        loss = getattr(getattr(self, "_loss", None), "summary", "")
        return members, f"{merge}, {loss}" if loss else merge


def _and_temperature(temperature: float) -> str:
    return "" if temperature == 1 else f", temperature {temperature:.3g}"
