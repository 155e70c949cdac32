"""soften: logarithms of probabilities that may be 0."""

from __future__ import annotations

from numbers import Real
from typing import Any

from skmergecal import _numerics
from skmergecal._compat import Interval
from skmergecal._typing import Array
from skmergecal._validation import check_parameters, check_proba

__all__ = ["soften"]


@check_parameters(amount=[Interval(Real, 0, 1, closed="left")])
def soften(proba: Any, amount: float) -> Array:
    """Log of probabilities mixed with the uniform distribution: log((1 - d) p + d / k).

    This is how pools are fitted to the predictions of forests, which contain zeros. Members of a
    merge that give zeros, clipped or not, are softened by d = 1 / (n + 1), where n is the total
    weight of the held-out rows, and their predictions for new rows by the same d; rounded ones by
    less.

    Parameters
    ----------
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    amount : float in [0, 1)
        The share d of the uniform distribution. With 0, probabilities are as they are, and zeros
        become the smallest positive float.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Finite log-probabilities, normalised.

    See Also
    --------
    skmergecal.pooling.logarithmic_pool : Pools what it returns.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.pooling import soften
    >>> np.exp(soften([[0.0, 1.0]], 0.01))
    array([[0.005, 0.995]])
    """
    return _numerics.soften(check_proba(proba), amount)
