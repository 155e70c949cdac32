"""Named members as parameters of a meta-estimator."""

from __future__ import annotations

from typing import Any, Self

from sklearn.utils import Bunch

from skmergecal._compat import _BaseComposition

__all__ = ["NamedMembers"]


class NamedMembers(_BaseComposition):
    """Makes ``estimators``, a list of (name, classifier), part of the parameters."""

    estimators: Any

    @property
    def named_estimators(self) -> Bunch:
        """The members as given, by name."""
        return Bunch(**dict(self.estimators))

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
