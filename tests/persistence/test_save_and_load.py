"""Models go into a file and come back to the last bit; the file is small, and whole or absent."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import zipfile
from functools import cache

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import EarlyStopped, MergedClassifier
from skmergecal.exceptions import OtherVersionWarning
from skmergecal.merging import LossEstimate
from skmergecal.persistence import TRUSTED_TYPES, load, save
from tests.saved_models import LABELS_OF_ROWS, MODELS, NEW, ROWS, model, rows_for

skops = pytest.importorskip("skops.io")


@cache
def deflated(estimator):
    return len(skops.dumps(estimator, compression=zipfile.ZIP_DEFLATED))


def scorer(estimator, X, y):
    """A scorer that can be imported."""
    return estimator.score(X, y)


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
    """A model's file, written once: it is not to be changed."""

    @cache
    def write(name):
        path = tmp_path_factory.mktemp("models") / "model"
        save(model(name), path)
        return path

    return write


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_to_the_last_bit(name, file_of, tmp_path):
    saved, path = model(name), tmp_path / "model"
    path.write_bytes(file_of(name).read_bytes())
    loaded = load(path)
    assert set(vars(loaded)) == set(vars(saved))
    for method in ("predict_proba", "predict_log_proba", "predict", "transform"):
        if hasattr(saved, method):
            ours, theirs = (getattr(m, method)(rows_for(name)) for m in (loaded, saved))
            np.testing.assert_array_equal(ours, theirs)
    save(loaded, path)  # again, and over the old one
    assert os.listdir(tmp_path) == os.listdir(file_of(name).parent) == ["model"]
    np.testing.assert_array_equal(
        load(str(path)).predict_proba(rows_for(name)), saved.predict_proba(rows_for(name))
    )


@pytest.mark.parametrize("name", MODELS)
def test_skops_alone_needs_our_types_and_no_others(name):
    content = skops.dumps(model(name))
    loaded = skops.loads(content, trusted=[*TRUSTED_TYPES])  # other types would be an error
    np.testing.assert_array_equal(
        loaded.predict_proba(rows_for(name)), model(name).predict_proba(rows_for(name))
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_file_is_hardly_larger_than_the_members(name, file_of):
    saved = model(name)
    alone = ("estimator_", "estimator", "student_", "teacher_")
    members = getattr(saved, "estimators_", None) or [
        getattr(saved, attribute) for attribute in alone if hasattr(saved, attribute)
    ]
    # Many models have the same frozen members.
    parts = sum(deflated(m.estimator if isinstance(m, FrozenEstimator) else m) for m in members)
    if name == "parameters":
        parts += deflated(saved.merged_estimator_)
    assert file_of(name).stat().st_size <= 1.05 * parts + 4096


@pytest.mark.parametrize("name", MODELS)
def test_the_same_model_gives_the_same_bytes(name, file_of, tmp_path):
    others = [bytes(1000) for _ in range(1000)]  # where the first save made its objects
    save(model(name), tmp_path / "model")
    assert len(others) == 1000
    assert (tmp_path / "model").read_bytes() == file_of(name).read_bytes()


def test_a_member_of_a_megabyte_is_there_once_however_often_it_is_named(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(90, 400)), np.arange(90) % 3
    members = [LogisticRegression(C=c, max_iter=3).fit(X[:60], y[:60]) for c in (1e-9, 1e-8)]
    for member in members:  # of a size as a forest has, without its trees
        member.coef_ = np.random.default_rng(1).normal(size=(340, 400))[:3]
        member.extra_ = np.random.default_rng(2).normal(size=(340, 400))
    inner = MergedClassifier.from_fitted(members, X[60:], y[60:], method="logits")
    outer = MergedClassifier.from_fitted({"inner": inner}, X[60:], y[60:], method="probabilities")
    parts = sum(len(skops.dumps(member)) for member in members)
    assert parts > 2e6
    assert len(skops.dumps(outer)) <= 1.6 * parts
    assert len(pickle.dumps(outer)) <= 1.05 * len(pickle.dumps(members)) + 4096
    save(outer, tmp_path / "model")
    assert (tmp_path / "model").stat().st_size <= 1.05 * sum(map(deflated, members)) + 4096


MLP = "sklearn.neural_network._stochastic_optimizers."
FAMILIES = {
    "forest": (RandomForestClassifier(3, max_depth=3), {"sklearn.tree._tree.Tree"}),
    "boosting": (GradientBoostingClassifier(n_estimators=2), {"sklearn.tree._tree.Tree"}),
    "histograms": (
        HistGradientBoostingClassifier(max_iter=2),
        {"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"},
    ),
    "sgd": (SGDClassifier(loss="log_loss"), set()),
    "neighbours": (
        KNeighborsClassifier(algorithm="kd_tree"),
        {"sklearn.neighbors._kd_tree.KDTree", "sklearn.metrics._dist_metrics.EuclideanDistance64"},
    ),
    "adam": (
        make_pipeline(StandardScaler(), MLPClassifier((3,), max_iter=5)),
        {MLP + "AdamOptimizer"},
    ),
    "mlp": (MLPClassifier((3,), max_iter=5, solver="sgd"), {MLP + "SGDOptimizer"}),
}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", FAMILIES)
def test_types_of_others_are_listed_and_trusted_when_they_are_typed(name, tmp_path):
    member, types = FAMILIES[name]
    member.fit(ROWS[::2], LABELS_OF_ROWS[::2])
    saved = MergedClassifier.from_fitted(
        {"a": member, "b": GaussianNB().fit(ROWS[::2], LABELS_OF_ROWS[::2])},
        ROWS[1::2],
        LABELS_OF_ROWS[1::2],
        method="logits",
    )
    path = tmp_path / "model"
    save(saved, path)
    if types:
        with pytest.raises(ValueError, match="types that are not trusted") as error:
            load(path)
        assert f"trusted={sorted(types)}" in str(error.value)
        for known in types:
            assert known.rpartition(".")[2] in save.__doc__
    np.testing.assert_array_equal(
        load(path, trusted=types).predict_proba(NEW), saved.predict_proba(NEW)
    )


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosters_that_stopped_early(library, tmp_path):
    module = pytest.importorskip(library)
    kind = {"lightgbm": "LGBMClassifier", "xgboost": "XGBClassifier"}[library]
    booster = getattr(module, kind)(n_estimators=5, n_jobs=1, verbosity=0 if kind[0] == "X" else -1)
    saved = EarlyStopped(booster, random_state=0).fit(ROWS, LABELS_OF_ROWS)
    save(saved, tmp_path / "model")
    with pytest.raises(ValueError, match="not trusted") as error:
        load(tmp_path / "model")
    types = re.findall(r"'([\w.]+)'", str(error.value).partition("trusted=")[2])
    assert set(types) <= set(re.findall(r"``([\w.]+)``", save.__doc__))
    loaded = load(tmp_path / "model", trusted=types)
    np.testing.assert_array_equal(loaded.predict_proba(NEW), saved.predict_proba(NEW))


def test_what_cannot_be_loaded_is_not_saved(tmp_path):
    path = tmp_path / "model"
    saved = model("given weights")
    for scoring, works in ((lambda estimator, X, y: 0.0, False), (scorer, True)):
        changed = MergedClassifier(saved.estimators, scoring=scoring, weights=None, method="logits")
        changed.fit(ROWS, LABELS_OF_ROWS)
        if works:
            save(changed, path)
            name = f"{__name__}.scorer"
            with pytest.raises(ValueError, match=name):
                load(path)
            assert load(path, trusted=[name]).scoring is scorer
        else:
            with pytest.raises(ValueError, match="not saved, for it could not be loaded again"):
                save(changed, path)
            assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model"
    save(model("calibrated"), path)
    before = path.read_bytes()

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            save(model("auto"), path)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["model"], before)
    with pytest.raises(FileNotFoundError):
        save(model("auto"), tmp_path / "none" / "model")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_a_file_has_the_rights_that_any_new_file_has(tmp_path):
    save(model("calibrated"), tmp_path / "model")
    (tmp_path / "other").write_text("")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="rights of Windows are others")
def test_a_file_that_is_replaced_keeps_its_rights_and_links_to_it(tmp_path, monkeypatch):
    path, link, opened = tmp_path / "model", tmp_path / "link", []
    path.touch(mode=0o600)
    link.symlink_to(path)
    monkeypatch.setattr(os, "fsync", lambda n: opened.append(os.fstat(n).st_mode & 0o777))
    save(model("calibrated"), link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert opened == [0o600]  # while it was written, too
    path.chmod(0o666)  # more than what a new file gets
    save(model("calibrated"), path)
    assert path.stat().st_mode & 0o777 == 0o666
    np.testing.assert_array_equal(
        load(link).predict_proba(NEW), model("calibrated").predict_proba(NEW)
    )


def test_the_same_model_without_fit_and_in_a_pipeline(tmp_path):
    unfitted = MergedClassifier({"a": GaussianNB()}, calibrate="both", cv=3)
    pipeline = make_pipeline(StandardScaler(), unfitted).fit(ROWS, LABELS_OF_ROWS)
    for saved in (unfitted, pipeline, GaussianNB()):
        save(saved, tmp_path / "model")
        assert repr(load(tmp_path / "model")) == repr(saved)
    save(pipeline, tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict_proba(NEW), pipeline.predict_proba(NEW)
    )


def test_a_file_of_another_version_warns(tmp_path, monkeypatch):
    save(model("calibrated"), tmp_path / "model")
    monkeypatch.setattr("skmergecal._saved_state.__version__", "99.0.0")
    with pytest.warns(OtherVersionWarning, match="and is loaded by 99"):
        load(tmp_path / "model")


def test_a_file_of_a_later_format_is_read_by_a_later_version(tmp_path, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr("skmergecal.persistence._archive._FORMAT_VERSION", 2)
        save(model("calibrated"), tmp_path / "model")
    with pytest.raises(ValueError, match=r"has format 2.*install a later version"):
        load(tmp_path / "model")
    monkeypatch.setattr("skmergecal.persistence._archive._FORMAT_VERSION", 2)
    assert load(tmp_path / "model").classes_.tolist() == model("calibrated").classes_.tolist()


def test_a_file_of_skops_itself_is_read_by_skops(tmp_path):
    skops.dump(GaussianNB().fit(ROWS, LABELS_OF_ROWS), tmp_path / "model")
    with pytest.raises(ValueError, match=r"instead of .*is read by skops\.io\.load"):
        load(tmp_path / "model")
    assert skops.load(tmp_path / "model").score(ROWS, LABELS_OF_ROWS) > 0.4


def test_names_of_types_are_a_list(tmp_path):
    save(model("calibrated"), tmp_path / "model")
    for wrong in ("sklearn.tree._tree.Tree", True, None, 5, [LossEstimate]):
        with pytest.raises(TypeError, match="trusted should be a list of names"):
            load(tmp_path / "model", trusted=wrong)


def test_what_is_hardly_anything_but_zeros_is_loaded_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("skmergecal.persistence._archive._BYTES", 1 << 16)
    sparse = GaussianNB().fit(ROWS, LABELS_OF_ROWS)
    sparse.extra_ = np.zeros(1_000_000)
    saved = MergedClassifier.from_fitted([sparse, sparse], weights=None, method="logits")
    save(saved, tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model") as archive:
        inner = zipfile.ZipFile(io.BytesIO(archive.read("model.skops")))
    assert {info.compress_type for info in inner.infolist()} == {zipfile.ZIP_STORED}
    assert not load(tmp_path / "model").estimators_[0].estimator.extra_.any()
