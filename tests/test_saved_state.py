"""What is written of an estimator: each member once, with the version that wrote it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import is_dataclass, replace

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from skmergecal import MergedClassifier, TemperatureCalibrator, _saved_state
from skmergecal._memory import content_key
from skmergecal.exceptions import OtherVersionWarning
from tests.saved_models import BAYES, LABELS_OF_ROWS, LINEAR, MODELS, NEW, ROWS, model, rows_for

VERSION = "_skmergecal_version"
COPIES = {
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def written(value):
    """The estimators and Bunches that a format without a memory would write, in order."""
    if isinstance(value, list | tuple):
        return [found for item in value for found in written(item)]
    if isinstance(value, dict):
        here = [value] if isinstance(value, Bunch) else []
        return here + [found for item in value.values() for found in written(item)]
    if isinstance(value, BaseEstimator):
        return [value, *written(value.__getstate__())]
    if is_dataclass(value):
        return written(value.__getstate__() if "__getstate__" in dir(value) else vars(value))
    return []


def again(saved, **changes):
    """An estimator from its state, with changes."""
    state = {**saved.__getstate__(), **changes}
    made = object.__new__(type(saved))
    made.__setstate__({name: value for name, value in state.items() if value is not ...})
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_fitted_estimator_is_written_once_and_bunches_never(name):
    saved = model(name)
    found = written(saved)
    assert not any(isinstance(value, Bunch) for value in found)
    fitted = [id(value) for value in found if hasattr(value, "theta_") or hasattr(value, "coef_")]
    # The member of a merge that is a member of two other ones belongs to both.
    assert len(fitted) == len(set(fitted)) or name == "nested"


@pytest.mark.parametrize("name", MODELS)
def test_copies_have_the_same_attributes_identities_and_bits(name):
    saved = model(name)
    for how, make in COPIES.items():
        other = make(saved)
        assert set(vars(other)) == set(vars(saved)), how
        for method in ("predict_proba", "predict"):
            ours, theirs = (getattr(m, method)(rows_for(name)) for m in (other, saved))
            np.testing.assert_array_equal(ours, theirs)
        if isinstance(saved, MergedClassifier):
            shared = list(other.named_estimators_.values())
            assert all(a is b for a, b in zip(other.estimators_, shared, strict=True))
            assert other.weights_ is not saved.weights_ or how == "copy"
        if name not in ("fitted here", "tuned", "distilled"):
            given = dict(other._named())
            was = dict(saved._named())
            for own, old in zip(_members(other), _members(saved), strict=True):
                assert any(own is e for e in given.values()) == any(old is e for e in was.values())


def _members(estimator):
    return getattr(estimator, "estimators_", None) or [estimator.estimator_]


def test_parameters_of_a_copy_can_be_set_and_it_can_be_cloned():
    saved = model("logits")
    other = COPIES["pickle"](saved)
    before = other.predict_proba(NEW)
    other.set_params(m0=FrozenEstimator(LINEAR), calibrate=None)
    np.testing.assert_array_equal(other.predict_proba(NEW), before)
    third = COPIES["pickle"](other)  # the member is no longer the one in `estimators`
    np.testing.assert_array_equal(third.predict_proba(NEW), before)
    refitted = clone(third).fit(ROWS, LABELS_OF_ROWS)
    expected = clone(other).fit(ROWS, LABELS_OF_ROWS)
    np.testing.assert_array_equal(refitted.predict_proba(NEW), expected.predict_proba(NEW))


def test_what_a_user_puts_in_the_place_of_an_attribute_is_kept():
    changed = copy.copy(model("auto"))
    changed.estimators_ = [BAYES, LINEAR]
    changed.weights_ = np.array([0.0, 1.0])
    other = COPIES["pickle"](changed)
    assert [type(e) for e in other.estimators_] == [type(BAYES), type(LINEAR)]
    np.testing.assert_array_equal(other.weights_, [0.0, 1.0])


def test_pickles_are_hardly_larger_than_the_members():
    for name in ("auto", "logits", "probabilities", "parameters", "calibrated", "nested"):
        members = [FrozenEstimator(m) for m in _members(model(name))]
        parts = len(pickle.dumps(members))
        if name == "parameters":
            parts += len(pickle.dumps(model(name).merged_estimator_))
        assert len(pickle.dumps(model(name))) <= 1.05 * parts + 4096, name


@pytest.mark.parametrize("name", ["auto", "fold averages", "tuned", "calibrated", "predictions"])
def test_another_minor_version_warns_and_a_patch_does_not(name):
    saved = model(name)
    major, minor, _ = saved.__getstate__()[VERSION].split(".")
    again(saved, **{VERSION: f"{major}.{minor}.99"})
    for version in (f"{major}.{int(minor) + 1}.0", f"{int(major) + 1}.{minor}.0", ..., 7):
        with pytest.warns(OtherVersionWarning, match="compare its predictions") as caught:
            other = again(saved, **{VERSION: version})
        assert len(caught) == 1
        rows = rows_for(name)
        np.testing.assert_array_equal(other.predict_proba(rows), saved.predict_proba(rows))
        again(other)  # the remedy: what is saved again has this version


def test_scikit_learn_warns_of_its_own_version(monkeypatch):
    content = pickle.dumps(model("logits"))
    monkeypatch.setattr("sklearn.base.__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="from version"):
        pickle.loads(content)


def test_a_missing_field_is_an_error_with_a_remedy():
    saved = model("auto")
    state = saved.__getstate__()
    with pytest.raises(ValueError, match=r"without \['_merge'\], by skmergecal .*fit and save"):
        again(saved, _merge=...)
    with pytest.raises(ValueError, match=r"without \['estimators'\]"):
        again(saved, estimators=...)
    with pytest.raises(ValueError, match=r"TemperatureCalibrator .*without \['_member'\]"):
        again(model("calibrated"), _member=...)
    member = copy.copy(state["_merge"].members[0])
    del vars(member)["source"]
    with pytest.raises(ValueError, match=r"Member was saved without \['source'\]"):
        again(saved, _merge=replace(state["_merge"], members=[member]))


def test_what_a_later_version_needs_is_read_by_the_version_that_wrote_the_file(monkeypatch):
    saved, fit = model("logits"), MergedClassifier.fit
    content = pickle.dumps(saved)
    with monkeypatch.context() as later:
        later.setattr(MergedClassifier, "_needs", lambda self, state: ["more_"])
        later.setattr(MergedClassifier, "fit", lambda *given: vars(fit(*given)).update(more_=1))
        with pytest.raises(ValueError, match="load it with the version that wrote it, or fit and"):
            pickle.loads(content)
        again_fitted = clone(saved)
        again_fitted.fit(ROWS, LABELS_OF_ROWS)
        assert pickle.loads(pickle.dumps(again_fitted)).more_ == 1
    assert pickle.loads(content).classes_.tolist() == saved.classes_.tolist()


def test_new_parameters_and_fields_get_their_defaults():
    saved = model("auto")
    merge = copy.copy(saved.__getstate__()["_merge"])
    members = [copy.copy(member) for member in merge.members]
    for member in members:
        del vars(member)["fill"], vars(member)["parts"]
    other = again(saved, missing_classes=..., refit=..., _merge=replace(merge, members=members))
    assert (other.missing_classes, other.refit) == ("auto", True)
    np.testing.assert_array_equal(other.predict_proba(NEW), saved.predict_proba(NEW))


def test_a_reference_that_leads_nowhere_is_refused():
    saved = model("logits")
    for place in ('["estimators", 9]', '["other"]', "[", '["estimators", "__class__"]', "7"):
        members = [replace(saved._merge.members[0], estimator=_saved_state.Same(place))]
        with pytest.raises(ValueError, match="the file is damaged"):
            again(saved, _merge=replace(saved._merge, members=members))


def test_keys_of_the_cache_do_not_depend_on_the_version(monkeypatch):
    models = [model("auto"), clone(model("auto")), TemperatureCalibrator(BAYES)]
    before = [(content_key(m), joblib.hash(m)) for m in models]
    monkeypatch.setattr(_saved_state, "__version__", "77.1.0")
    for (key, content), m in zip(before, models, strict=True):
        assert content_key(m) == key
        assert joblib.hash(m) != content
