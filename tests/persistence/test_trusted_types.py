"""TRUSTED_TYPES: all that our models consist of, and nothing that runs anything."""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import pkgutil
import sys
import zipfile
from dataclasses import MISSING, fields, is_dataclass

import numpy as np
import pytest

import skmergecal
from skmergecal._saved_state import SavedStateMixin
from skmergecal.persistence import TRUSTED_TYPES, _trusted_types, load, save
from skmergecal.persistence._archive import Archive
from tests.saved_models import MODELS, model

#: What each record had, without a default, when it was first saved: files of that time have no
#: more. A new field needs a default.
FIRST_FIELDS = {
    "ClasswiseFit": {"weights", "proba_weights", "intercept"},
    "CombinedFit": {"classwise"},
    "CrossClassTerms": {"directions", "loadings"},
    "DistillationReport": {
        *("label_share", "teacher_loss", "teacher_standard_error", "labels_loss"),
        *("labels_standard_error", "student_loss", "student_standard_error", "gain"),
        *("gain_standard_error", "losses_by_share", "teacher_seconds", "student_seconds"),
    },
    "FittedRows": {"names", "key"},
    "Limits": {
        *("total", "true_gap", "gap", "log_gap", "informed", "ties", "smallest", "largest"),
    },
    "LinearPoolMerge": {"members", "weights", "member_temperatures", "temperature"},
    "LogPoolMerge": {"members", "weights", "member_temperatures", "temperature"},
    "LossEstimate": {
        *("loss", "standard_error", "by_pool", "by_member", "best_member", "gain"),
        "gain_standard_error",
    },
    "Member": {"name", "estimator", "source", "classes", "columns", "n_classes"},
    "MergeReport": {"members", "stages", "merged", "pool", "chosen", "barrier"},
    "OneModelMerge": {"members", "weights", "member_temperatures", "temperature", "merged"},
    "Same": {"place"},
    "ScaledLinearPool": {"weights", "softening", "temperature"},
    "Settings": {"method", "weights"},
    "StackedPoolsMerge": {
        *("members", "weights", "member_temperatures", "temperature", "fit", "softening"),
    },
    "TemperatureStatistics": {"classes", "limits", "sums"},
    "WeightDistribution": {"names", "number"},
}


def found(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


TYPES = [found(name) for name in TRUSTED_TYPES]


def own_types(value, seen):
    """Types of this package in what would be written of a model."""
    if isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            own_types(item, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type | np.ndarray):
        if type(value).__module__.startswith("skmergecal."):
            seen.add(f"{type(value).__module__}.{type(value).__qualname__}")
        state = value.__getstate__()
        own_types(state if isinstance(state, dict) else vars(value), seen)


@pytest.mark.parametrize("name", MODELS)
def test_all_types_of_a_model_are_there(name):
    seen = set()
    own_types(model(name), seen)
    assert seen <= set(TRUSTED_TYPES)


def test_all_estimators_are_there():
    for module in pkgutil.walk_packages(skmergecal.__path__, "skmergecal."):
        importlib.import_module(module.name)
    waiting, estimators = [SavedStateMixin], set()
    while waiting:
        kind = waiting.pop()
        derived = [k for k in kind.__subclasses__() if k.__module__.startswith("skmergecal.")]
        waiting += derived
        if not derived:  # what others derive from is a base
            estimators.add(kind)
    assert len(estimators) >= 7
    assert estimators <= set(TYPES)


def test_it_is_a_literal_tuple_of_names_each_once():
    tree = ast.parse(inspect.getsource(_trusted_types))
    literal = [node.value for node in tree.body if isinstance(node, ast.Assign)][-1]
    assert ast.literal_eval(literal) == TRUSTED_TYPES == tuple(sorted(set(TRUSTED_TYPES)))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_reading_one_only_sets_attributes(kind):
    assert is_dataclass(kind) or issubclass(kind, SavedStateMixin)
    assert kind.__reduce__ is object.__reduce__
    assert kind.__reduce_ex__ is object.__reduce_ex__
    assert getattr(kind, "__setstate__", None) in (None, SavedStateMixin.__setstate__)
    assert kind.__new__ is object.__new__
    assert "__setattr__" not in vars(kind) or is_dataclass(kind)
    assert not hasattr(kind, "__setitem__")


def test_new_fields_of_records_have_defaults():
    records = {kind.__name__: kind for kind in TYPES if is_dataclass(kind)}
    assert set(records) == set(FIRST_FIELDS)
    for name, kind in records.items():
        required = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
        assert required == FIRST_FIELDS[name], "a field without default: older files lack it"


@pytest.mark.parametrize("doing", [lambda path: save(model("calibrated"), path), load])
def test_a_missing_extra_is_named(doing, tmp_path, monkeypatch):
    for name in ("skops", "skops.io"):
        monkeypatch.setitem(sys.modules, name, None)
    archive = Archive("sklearn.naive_bayes.GaussianNB", None, [], zip_of_nothing(), None)
    (tmp_path / "model").write_bytes(archive.to_bytes())
    with pytest.raises(ImportError, match=r"needs skops: pip install 'skmergecal\[persistence\]'"):
        doing(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def zip_of_nothing():
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()
