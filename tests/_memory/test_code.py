"""The code of functions and classes that members refer to: an edited one is another member."""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import types

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import MergedClassifier
from skmergecal._memory._code import own_code
from skmergecal._memory._keys import estimator_key

FUNCTION = "def features(x):\n    return x[:, :4]\n"
VARIANTS = {
    "function": FUNCTION,
    "its body": "def features(x):\n    return x[:, :3]\n",
    "a default": "def features(x, n=4):\n    return x[:, :n]\n",
    "another default": "def features(x, n=3):\n    return x[:, :n]\n",
    "a keyword default": "def features(x, *, n=3):\n    return x[:, :n]\n",
    "a constant": "N = 4\ndef features(x):\n    return x[:, :N]\n",
    "another constant": "N = 3\ndef features(x):\n    return x[:, :N]\n",
    "a helper": "def f(x):\n    return x[:, :4]\ndef features(x):\n    return f(x)\n",
    "another helper": "def f(x):\n    return x[:, :3]\ndef features(x):\n    return f(x)\n",
    "a nested function": "def features(x):\n    return (lambda z: z[:, :4])(x)\n",
    "another nested function": "def features(x):\n    return (lambda z: z[:, :3])(x)\n",
    "a handler": "def features(x):\n    try:\n        return x[:, :4]\n    except IndexError:\n"
    "        return x\n",
    "decorated": "import functools\ndef twice(f):\n    @functools.wraps(f)\n"
    "    def g(x):\n        return f(f(x))\n    return g\n"
    "@twice\ndef features(x):\n    return x[:, :4]\n",
    "decorated otherwise": "import functools\ndef twice(f):\n    @functools.wraps(f)\n"
    "    def g(x):\n        return f(f(x))\n    return g\n"
    "@twice\ndef features(x):\n    return x[:, :3]\n",
    "cached": "import functools\n@functools.cache\ndef n():\n    return 4\n"
    "def features(x):\n    return x[:, :n()]\n",
    "cached otherwise": "import functools\n@functools.cache\ndef n():\n    return 3\n"
    "def features(x):\n    return x[:, :n()]\n",
    "an ellipsis": "def features(x):\n    return x[..., :] * 2.5\n",
    "another factor": "def features(x):\n    return x[..., :] * 1.5\n",
    "a set": "def features(x):\n    return x if 3 in {1, 2, 3} else -x\n",
    "another set": "def features(x):\n    return x if 3 in {1, 2, 4} else -x\n",
    "a partial": "import functools\nf = functools.partial(lambda n, x: x[:, :n], 4)\n"
    "def features(x):\n    return f(x)\n",
    "another partial": "import functools\nf = functools.partial(lambda n, x: x[:, -n:], 4)\n"
    "def features(x):\n    return f(x)\n",
    "a loop": "def features(x):\n    return features(x[:, :4]) if x.shape[1] > 4 else x\n",
}
CLASS = """
class Base(LogisticRegression):
    shift = {shift}
    @staticmethod
    def power(p):
        return p ** {power}
    @classmethod
    def made(cls):
        return {made}
    @property
    def factor(self):
        return {factor}
    @functools.cached_property
    def offset(self):
        return {offset}
class Own(Base):
    def predict_proba(self, X):
        p = self.power(super().predict_proba(X)) + self.shift + self.made()
        return p / p.sum(axis=1, keepdims=True) * self.factor
"""
PARTS = {"shift": 0.0, "power": 1, "made": 0, "factor": 1.0, "offset": 0}


@pytest.fixture
def module(monkeypatch):
    """A module of the user's own, whose source is run anew."""
    name = "module_of_a_user"

    def run(source):
        made = types.ModuleType(name)
        made.LogisticRegression, made.functools = LogisticRegression, functools
        monkeypatch.setitem(sys.modules, name, made)
        exec(source, made.__dict__)
        return made

    return run


def piped(module, source):
    return make_pipeline(FunctionTransformer(module(source).features), LogisticRegression())


def test_every_variant_of_a_function_has_code_of_its_own(module):
    hashes = {name: joblib.hash(own_code(piped(module, v))) for name, v in VARIANTS.items()}
    assert len(set(hashes.values())) == len(VARIANTS)
    for name, source in VARIANTS.items():
        assert joblib.hash(own_code(piped(module, source))) == hashes[name]
        moved = piped(module, "# a comment\n\n" + source)
        assert joblib.hash(own_code(moved)) == hashes[name]


def test_every_part_of_a_class_belongs_to_its_code(module):
    def hashed(**changed):
        return joblib.hash(own_code(module(CLASS.format(**{**PARTS, **changed})).Own()))

    same = hashed()
    assert hashed() == same
    for change in ({"shift": 0.1}, {"power": 2}, {"made": 1}, {"factor": 2.0}, {"offset": 1}):
        assert hashed(**change) != same


def test_libraries_and_what_is_only_written_to_are_left_out(blobs, module):
    forest = RandomForestClassifier(3, random_state=0).fit(blobs.X, blobs.y)
    assert own_code(make_pipeline(FunctionTransformer(np.log1p), forest)) == []
    counting = module("CALLS = []\ndef features(x):\n    CALLS.append(1)\n    return x\n")
    member = FunctionTransformer(counting.features)
    before = joblib.hash(own_code(member))
    member.transform(blobs.X)
    assert counting.CALLS == [1]
    assert joblib.hash(own_code(member)) == before


@pytest.mark.parametrize("how", ["import helpers_of_a_user", "from helpers_of_a_user import f"])
@pytest.mark.parametrize("inside", [False, True])
def test_functions_of_other_own_modules_are_followed(module, monkeypatch, how, inside):
    call = "helpers_of_a_user.f(x)" if how.startswith("import") else "f(x)"
    body = f"    {how}\n    return {call}\n" if inside else f"    return {call}\n"
    source = f"def features(x):\n{body}" if inside else f"{how}\ndef features(x):\n{body}"

    def hashed(n):
        helpers = types.ModuleType("helpers_of_a_user")
        exec(f"def f(x):\n    return x[:, :{n}]", helpers.__dict__)
        monkeypatch.setitem(sys.modules, "helpers_of_a_user", helpers)
        return joblib.hash(own_code(piped(module, source)))

    assert hashed(4) == hashed(4) != hashed(3)


def test_what_cannot_be_read_is_no_key(module):
    """Lazy proxies, of requests or connections, raise anything when they are asked."""

    class Proxy:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    made = module("def features(x):\n    proxy\n    return x\n")
    assert estimator_key(FunctionTransformer(made.features)) is not None
    made.proxy = Proxy()
    assert estimator_key(FunctionTransformer(made.features)) is None


def test_copies_leave_the_code_as_it_is(module):
    model = module(CLASS.format(**PARTS)).Own()
    before = joblib.hash(own_code(model))
    copy.copy(model)  # notes the slots in the class
    assert joblib.hash(own_code(model)) == before


@pytest.mark.parametrize("frozen", [False, True])
def test_an_edited_function_is_fitted_and_read_anew(module, blobs, tmp_path, frozen):
    def merged(source):
        member = piped(module, source)
        if frozen:
            member = FrozenEstimator(member.fit(blobs.X, blobs.y))
        model = MergedClassifier([("own", member)], weights=None, memory=tmp_path)
        return model.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)

    first, edited = merged(VARIANTS["a helper"]), merged(VARIANTS["another helper"])
    assert np.abs(first - edited).max() > 0.01
    np.testing.assert_array_equal(merged(VARIANTS["a helper"]), first)


def test_predictions_row_by_row_fill_no_folder(members, blobs, tmp_path):
    merged = MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, memory=tmp_path)
    files = len(list(tmp_path.rglob("*")))
    for row in itertools.islice(blobs.X_test, 5):
        merged.predict_proba(row[None])
    assert len(list(tmp_path.rglob("*"))) == files
    merged.predict_proba(blobs.X_test)
    assert len(list(tmp_path.rglob("*"))) > files


def test_a_model_predicts_where_its_folder_cannot_be_made(members, blobs, tmp_path):
    folder = tmp_path / "cache"
    merged = MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, memory=folder)
    expected = merged.predict_proba(blobs.X_test)
    moved = tmp_path / "file"
    moved.touch()
    merged.set_params(memory=moved / "cache")
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test[:1]), expected[:1], atol=1e-14)
    with pytest.warns(UserWarning, match=r"memory=.* cannot be used .*: predicting without it"):
        np.testing.assert_array_equal(merged.predict_proba(blobs.X_test), expected)
