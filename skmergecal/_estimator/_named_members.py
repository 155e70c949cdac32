"""NamedEstimatorsMixin: named members as parameters of a meta-estimator."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from skmergecal._compat import _BaseComposition
from skmergecal._typing import Array, Estimator, NamedEstimators
from skmergecal._validation import check_list

__all__ = ["NamedEstimatorsMixin", "name_members", "name_unnamed"]


def name_members(members: Any) -> list[tuple[str, Estimator]]:
    """Members by name; unnamed ones get their class's name, numbered where it comes again."""
    if isinstance(members, Mapping):
        return list(members.items())
    members = check_list("members", members, "fitted classifier")
    if all(isinstance(m, tuple) and len(m) == 2 for m in members):
        return members
    inner = [m.estimator if isinstance(m, FrozenEstimator) else m for m in members]
    names = [type(m).__name__.lower() for m in inner]
    return [
        (f"{name}-{names[: i + 1].count(name)}" if names.count(name) > 1 else name, member)
        for i, (name, member) in enumerate(zip(names, members, strict=True))
    ]


def name_unnamed(estimators: Any) -> Any:
    """Pairs of names and members of a dict, or of a list without names; else what was given."""
    unnamed = isinstance(estimators, list | tuple) and all(
        hasattr(member, "fit") or hasattr(member, "predict_proba") for member in estimators
    )
    if isinstance(estimators, Mapping) or (unnamed and estimators):
        return name_members(estimators)
    return estimators


class NamedEstimatorsMixin(_BaseComposition):
    """Makes ``estimators`` part of the parameters.

    It is a list of (name, classifier), a dict, or a list of classifiers.
    """

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
        return Bunch(**dict(self._pairs))

    @property
    def _pairs(self) -> Any:
        """The members as given, each with its name."""
        return name_unnamed(self.estimators)

    @_pairs.setter
    def _pairs(self, pairs: NamedEstimators) -> None:
        # A list without names gets some: those of other classes would differ.
        self.estimators = dict(pairs) if isinstance(self.estimators, Mapping) else pairs

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
            Values by name.
        """
        return self._get_params("_pairs", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``name=`` replaces a member (or drops it with ``"drop"``).

        Parameters
        ----------
        **params : dict
            Parameters of the class, members by name, and ``name__parameter``.

        Returns
        -------
        MergedClassifier
            This object.
        """
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        self._set_params("_pairs", **params)
        return self

    def __sklearn_clone__(self) -> Self:
        # clone() makes deep copies of dicts, of what is frozen in them, too.
        if not isinstance(self.estimators, Mapping):
            return super().__sklearn_clone__()
        like: Self = object.__new__(type(self))
        like.__dict__.update(vars(self), estimators=self._pairs)
        made = like.__sklearn_clone__()
        made.estimators = dict(made.estimators)
        return made

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        if not hasattr(self, "weights_"):
            members = [(name, estimator, "") for name, estimator in self._pairs]
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
