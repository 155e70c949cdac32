"""save: a model into one file, which is read back before it takes its place."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from skmergecal._files import open_draft, place_of
from skmergecal.persistence._archive import Archive, labels_of, read_archive, type_name
from skmergecal.persistence._dump import dump
from skmergecal.persistence._load import restore
from skmergecal.persistence._nets import same_tensors, take_nets

__all__ = ["save"]


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model, with its nets, into a file that holds no code.

    The file is small: each member is in it once, deflated. It is a zip of a manifest (versions,
    classes, hashes), the model in the format of skops, and the tensors of skorch nets in that of
    safetensors. Before ``save`` returns, the file has been read: what could not be loaded is an
    error here. It is written under another name in the same folder and renamed, so that there never
    is half a file. The same model gives the same bytes with the same versions of packages.

    Parameters
    ----------
    model : estimator
        Fitted or not; of this package, or of scikit-learn with one of this package inside.
    path : str or path
        The file, which is replaced if it exists, with its rights; for a link, the file that it
        leads to. Its folder must exist.

    Raises
    ------
    ValueError
        If the model could not be loaded again: the message says what is in the way. A lambda as a
        parameter, for example; define the function in a module that can be imported.
    TypeError
        If the model holds a module of torch outside of a skorch net, or something that skops cannot
        store.
    ImportError
        If skops, or safetensors for nets, is not installed.

    See Also
    --------
    skmergecal.persistence.load : Reads the file.

    Notes
    -----
    Of a net, the file holds its labels, parameters and buffers; not its optimiser, history and
    callbacks. Its class is not in the file: `load` gets an unfitted net.

    Members need these names in ``trusted`` of `load`, beside those that skops trusts; for others
    the error of `load` lists them:

    trees, forests, gradient boosting
        ``sklearn.tree._tree.Tree``
    histogram gradient boosting
        ``sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor``
    MLPClassifier
        ``sklearn.neural_network._stochastic_optimizers.AdamOptimizer``, or ``SGDOptimizer`` there
    nearest neighbours
        ``sklearn.neighbors._kd_tree.KDTree`` or ``sklearn.neighbors._ball_tree.BallTree``, and
        ``sklearn.metrics._dist_metrics.EuclideanDistance64``
    LightGBM
        ``lightgbm.sklearn.LGBMClassifier``, ``lightgbm.basic.Booster``, ``collections.OrderedDict``
    XGBoost
        ``xgboost.sklearn.XGBClassifier``, ``xgboost.core.Booster``
    splitters as ``cv``
        ``sklearn.model_selection._split.StratifiedKFold`` or what it is
    your own functions and classes
        their names, ``mymodule.my_scorer``
    linear models, LDA, naive Bayes
        none

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import TemperatureCalibrator
    >>> from skmergecal.persistence import load, save
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = TemperatureCalibrator(GaussianNB()).fit(X, y)
    >>> save(model, "model.skmergecal")  # doctest: +SKIP
    >>> load("model.skmergecal").predict_proba(X[:1]).shape  # doctest: +SKIP
    (1, 2)
    """
    target = place_of(path)
    stubbed, nets, entries, tensors = take_nets(model)
    archive = Archive(type_name(model), labels_of(model), entries, dump(stubbed), tensors)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with open_draft(draft, target) as file:
            file.write(archive.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        _check(draft, nets)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _check(draft: Path, nets: list[Any]) -> None:
    """Load what was written, and compare the nets: they are made again from their parameters."""
    found: dict[int, Any] = {}
    try:
        restore(read_archive(draft.read_bytes()), nets.__getitem__, made=found)
    except ImportError:
        raise
    except Exception as error:
        msg = (
            f"the model is not saved, for it could not be loaded again: {error}. Give it functions "
            "and classes that can be imported by their names, not lambdas or those of a function"
        )
        raise ValueError(msg) from error
    for number, net in enumerate(nets):
        if not same_tensors(net, found[number]):
            msg = f"the model is not saved: a {type_name(net)} comes back with other tensors"
            raise ValueError(msg)
