"""What the members say together, whatever the merged classifier itself says."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array
from skmergecal.members import Cache
from skmergecal.merging._combination import Combination, LogarithmicCombination
from skmergecal.merging._parameters import ParameterCombination

__all__ = ["TeachingMixin"]


class TeachingMixin:
    """`members_log_proba`: by it, further training recognises a merged classifier."""

    memory: Any
    _combination: Combination

    def members_log_proba(self, X: Any) -> Array:
        """Log-probabilities of the members' pool, every member asked.

        With ``method="parameters"`` that is the logit pool of the members, with the weights and
        the members' temperatures of the merge: what the one model was made to say, and what
        ``FineTunedClassifier(target="members")`` teaches it. Pools give their own.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self, "weights_")
        pool = self._combination
        if isinstance(pool, ParameterCombination):
            pool = LogarithmicCombination(pool.members, pool.weights, pool.member_temperatures, 1.0)
        scores = pool.scores(Cache.for_prediction(self.memory, X).reader(X))
        return log_softmax(pool.scaled(scores))
