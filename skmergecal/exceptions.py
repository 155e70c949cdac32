"""Errors and warnings that skmergecal adds to scikit-learn's own."""

from __future__ import annotations

__all__ = [
    "ConversionError",
    "IncompatibleEstimatorsError",
    "MergeBarrierError",
    "MergeBarrierWarning",
    "OtherVersionWarning",
    "RefitWarning",
]


class IncompatibleEstimatorsError(ValueError):
    """The parameters of the members cannot be averaged: their architectures differ.

    Parameters
    ----------
    reason : str
        Why.
    remedy : str, default=""
        What to do, as the end of the same sentence. A caller that makes something else than an
        average may pass a better one.

    See Also
    --------
    skmergecal.MergedClassifier : ``method="parameters"`` and ``to_estimator`` raise it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.exceptions import IncompatibleEstimatorsError
    >>> from skmergecal.parameters import average_parameters, read_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> models = [LogisticRegression(max_iter=500).fit(X[:, :n], y) for n in (3, 4)]
    >>> try:
    ...     average_parameters([read_parameters(model) for model in models], [0.5, 0.5])
    ... except IncompatibleEstimatorsError as error:
    ...     print(error.reason)
    estimators 'number 0' and 'number 1' cannot be averaged: their n_features differ, 3 and 4
    """

    def __init__(self, reason: str = "", remedy: str = "") -> None:
        super().__init__(*filter(None, (reason, remedy)))
        self.reason, self.remedy = reason, remedy

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


class MergeBarrierError(ValueError):
    """The model with averaged parameters is worse than its members (``on_barrier="raise"``).

    See Also
    --------
    skmergecal.exceptions.MergeBarrierWarning : The same with ``on_barrier="warn"``.

    Examples
    --------
    Two nets that were trained from different starts, averaged as they are:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmergecal import MergedClassifier
    >>> from skmergecal.exceptions import MergeBarrierError
    >>> X, y = load_iris(return_X_y=True)
    >>> nets = [
    ...     MLPClassifier((8,), solver="lbfgs", alpha=0.3, tol=1e-3, random_state=seed)
    ...     for seed in range(2)
    ... ]
    >>> X_train, X_held_out = X[::2] - X.mean(axis=0), X[1::2] - X.mean(axis=0)
    >>> nets = [net.fit(X_train, y[::2]) for net in nets]
    >>> plain = {"method": "parameters", "alignment": None, "repair": None}
    >>> try:
    ...     MergedClassifier.from_fitted(nets, X_held_out, y[1::2], **plain, on_barrier="raise")
    ... except MergeBarrierError as error:
    ...     print(str(error)[:60])
    the averaged parameters make a model with log loss 0.1353, w
    """


class MergeBarrierWarning(UserWarning):
    """The model with averaged parameters is worse than its members, or was not compared to them.

    See Also
    --------
    skmergecal.exceptions.MergeBarrierError : The same with ``on_barrier="raise"``.
    skmergecal.merging.MergeReport : The losses that are compared.

    Examples
    --------
    Stop instead of going on with a model that is worse than its members:

    >>> import warnings
    >>> from skmergecal.exceptions import MergeBarrierWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", MergeBarrierWarning)
    ...     merged = MergedClassifier(nets, method="parameters").fit(X, y)  # doctest: +SKIP
    """


class OtherVersionWarning(UserWarning):
    """A model was saved by another version of skmergecal than the one that loads it.

    See Also
    --------
    skmergecal.persistence.load : Warns.

    Examples
    --------
    Take no file of another version:

    >>> import warnings
    >>> from skmergecal.exceptions import OtherVersionWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", OtherVersionWarning)
    ...     model = load("model.skmergecal")  # doctest: +SKIP
    """


class RefitWarning(UserWarning):
    """A member is fitted but not frozen, so ``fit`` trains a copy of it again.

    See Also
    --------
    skmergecal.MergedClassifier.from_fitted : Merges fitted classifiers as they are.
    sklearn.frozen.FrozenEstimator : Marks one of the members as fitted.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import MergedClassifier
    >>> from skmergecal.exceptions import RefitWarning
    >>> X, y = load_iris(return_X_y=True)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = MergedClassifier([("bayes", GaussianNB().fit(X, y))], method="logits").fit(X, y)
    >>> caught[0].category is RefitWarning
    True
    """


class ConversionError(ValueError):
    """A model cannot be converted to ONNX, or its ONNX model gives other probabilities.

    See Also
    --------
    skmergecal.onnx.to_onnx : Raises it.

    Examples
    --------
    >>> from skmergecal.exceptions import ConversionError
    >>> try:  # doctest: +SKIP
    ...     to_onnx(model, X, tolerance=1e-12)
    ... except ConversionError as error:
    ...     print(error)  # names the member, and how far its probabilities are off
    """
