"""With memory=, a change of what a member refers to, or of a frozen member itself, is seen."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmergecal import MergedClassifier

PICK = "\ndef pick(Z):\n    return Z[:, {}]\n"
OBJECT = "class Settings:\n    def __init__(self):\n        self.kept = [0, 1]\n"
#: What a cell of a notebook defines, and what a later one changes.
CHANGES = {
    "list": ("C = [0, 1]" + PICK.format("C"), "C[:] = [2, 3]"),
    "list bound again": ("C = [0, 1]" + PICK.format("C"), "C = [2, 3]"),
    "dict": ("C = {'kept': [0, 1]}" + PICK.format("C['kept']"), "C['kept'] = [2, 3]"),
    "list in a dict": ("C = {'kept': [0, 1]}" + PICK.format("C['kept']"), "C['kept'][0] = 3"),
    "set": ("C = {0, 1}" + PICK.format("sorted(C)"), "C ^= {0, 3}"),
    "array": ("C = np.array([0, 1])" + PICK.format("C"), "C += 2"),
    "series": ("C = pd.Series([0, 1])" + PICK.format("C"), "C.iloc[0] = 3"),
    "frame": ("C = pd.DataFrame({'kept': [0, 1]})" + PICK.format("C['kept']"), "C += 2"),
    "own object": (OBJECT + "C = Settings()" + PICK.format("C.kept"), "C.kept[0] = 3"),
    "method of an own object": (
        OBJECT + "    def get(self): return [0, 1]\nC = Settings()" + PICK.format("C.get()"),
        "Settings.get = lambda self: [2, 3]",
    ),
    "bound method": (
        OBJECT + "    def get(self): return self.kept\nget = Settings().get" + PICK.format("get()"),
        "get.__self__.kept = [2, 3]",
    ),
    "fitted model": (
        "C = StandardScaler().fit(np.eye(2))\ndef pick(Z): return np.tanh(C.transform(Z[:, :2]))",
        "C.var_[:] = 9; C.mean_ += 1; C.scale_ *= [2, 5]",
    ),
    "attribute of a class": (
        "class S:\n    kept = [0, 1]" + PICK.format("S.kept"),
        "S.kept[0] = 3",
    ),
    "attribute of a function": (
        PICK.format("pick.kept") + "pick.kept = [0, 1]",
        "pick.kept[0] = 3",
    ),
    "environment": (PICK.format("[0, int(os.environ.get('C', 1))]"), "os.environ['C'] = '3'"),
    "getenv": (PICK.format("[0, int(os.getenv('C', '1'))]"), "os.environ['C'] = '3'"),
    "default value": ("C = [0, 1]\ndef pick(Z, kept=C): return Z[:, kept]", "C[0] = 3"),
    "closure": (
        "C = [0, 1]\ndef make():\n    c = C\n    return lambda Z: Z[:, c]\nf = make()\n"
        "def pick(Z): return f(Z)",
        "C[0] = 3",
    ),
    "argument of a partial": (
        "C = [0, 1]\nf = functools.partial(lambda c, Z: Z[:, c], C)\ndef pick(Z): return f(Z)",
        "C[0] = 3",
    ),
    "function in a dict": (
        "C = {'f': lambda Z: Z[:, :2]}\ndef pick(Z): return C['f'](Z)",
        "C['f'] = lambda Z: Z[:, 2:4]",
    ),
    "module of settings": (
        "sys.modules['settings_of_a_user'] = C = types.ModuleType('settings_of_a_user')\n"
        "C.kept = [0, 1]\ndef pick(Z):\n    from settings_of_a_user import kept\n"
        "    return Z[:, kept]",
        "C.kept[0] = 3",
    ),
    "list that is read and written": (
        "C = [0, 1]\ndef pick(Z):\n    C.append(1)\n    return Z[:, C[:2]]",
        "C[0] = 3",
    ),
    "file": ("FILE = 'kept.txt'" + PICK.format("[0, int(open(FILE).read())]"), "write(3)"),
    "what no key can hold": (
        "C = (c for c in [[0, 1]] * 99)\nD = [0, 1]\ndef pick(Z):\n    next(C)\n    return Z[:, D]",
        "D[0] = 3",
    ),
}
IMPORTS = """
import functools, os, sys, types
import numpy as np, pandas as pd
from sklearn.preprocessing import StandardScaler
def write(n):
    with open('kept.txt', 'w') as file:
        file.write(str(n))
write(1)
"""


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    """Runs cells in a module of the user's own, in a folder of its own."""
    module = types.ModuleType("notebook_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "settings_of_a_user", None)
    monkeypatch.setenv("C", "1")
    monkeypatch.chdir(tmp_path)

    def run(cell):
        exec(cell, module.__dict__)
        return module

    run(IMPORTS)
    return run


def merged(member, blobs, memory, **settings):
    settings = {"weights": None, "cv": 2, **settings}
    model = MergedClassifier([("own", member)], memory=memory, **settings)
    return model.fit(blobs.X_held, blobs.y_held)


@pytest.mark.filterwarnings("ignore:unclosed file")  # of the user's own function
@pytest.mark.parametrize("kind", CHANGES)
def test_what_a_function_uses_is_part_of_a_member(blobs, tmp_path, notebook, kind):
    before, change = CHANGES[kind]
    member = make_pipeline(FunctionTransformer(notebook(before).pick), GaussianNB())
    frozen = FrozenEstimator(clone(member).fit(blobs.X, blobs.y))
    memory = tmp_path / "cache"
    first = [merged(m, blobs, memory) for m in (member, frozen)]
    answers = [model.predict_proba(blobs.X_test) for model in first]
    notebook(change)
    for m, model, old in zip((member, frozen), first, answers, strict=True):
        new = merged(m, blobs, memory).predict_proba(blobs.X_test)
        np.testing.assert_array_equal(new, merged(m, blobs, None).predict_proba(blobs.X_test))
        assert np.abs(new - old).max() > 1e-3
        plain = clone(model).set_params(memory=None)
        plain.__dict__ |= {k: v for k, v in vars(model).items() if k != "memory"}
        expected = plain.predict_proba(blobs.X_test)
        np.testing.assert_array_equal(model.predict_proba(blobs.X_test), expected)


COUNTED = """
from sklearn.naive_bayes import GaussianNB
CALLS, SEEN, N = {}, [], 0
class Counted(GaussianNB):
    calls = 0
    seen = []
    def fit(self, X, y):
        CALLS['fit'] = CALLS.get('fit', 0) + 1
        return super().fit(X, y)
    def predict_proba(self, X):
        global N
        N += 1
        CALLS['read'] = CALLS.get('read', 0) + 1
        CALLS.setdefault('rows', []).append(len(X))
        SEEN.append(X.sum())
        Counted.calls += 1
        type(self).seen.append(1)
        self.asked_ = getattr(self, 'asked_', 0) + 1
        return super().predict_proba(X)
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_counters_and_logs_do_not_get_in_the_way(blobs, tmp_path, notebook, frozen):
    module = notebook(COUNTED)
    member = module.Counted()
    if frozen:
        member = FrozenEstimator(member.fit(blobs.X, blobs.y))
    module.CALLS.clear()
    model = MergedClassifier([("m", member)], cv=2, method="logits", memory=tmp_path / "cache")
    grid = [{"weights": [[1], "greedy"]}, {"calibrate": ["merged"]}]
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss", refit=False)
    search.fit(blobs.X_held, blobs.y_held)
    assert module.CALLS.get("fit", 0) == (0 if frozen else 2 * 3)
    assert module.CALLS["read"] <= (2 * 2 if frozen else 2 * 4)


class Threshold(ClassifierMixin, BaseEstimator):
    """All that it learns is one number."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.threshold_ = float(X[y == y[0]].mean())
        return self

    def predict_proba(self, X):
        p = np.ones((len(X), len(self.classes_)))
        p[:, 0] += X[:, 0] > self.threshold_
        return p / p.sum(axis=1, keepdims=True)


def swap_rows(model):
    model.coef_[[0, 1]] = model.coef_[[1, 0]]


FROZEN = {
    "forest": (RandomForestClassifier(5, random_state=0), None),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), None),
    "last step": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        lambda m, X, y: m[-1].fit(X, y),
    ),
    "search": (GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2), None),
    "partial_fit": (
        SGDClassifier(loss="log_loss", random_state=0),
        lambda m, X, y: m.partial_fit(X, y),
    ),
    "parameter": (KNeighborsClassifier(3), lambda m, X, y: m.set_params(n_neighbors=40)),
    "coefficients": (LogisticRegression(), lambda m, X, y: swap_rows(m)),
    "own": (Threshold(), None),
}


@pytest.mark.parametrize("kind", FROZEN)
def test_a_frozen_member_that_is_fitted_again_in_place_is_read_again(blobs, tmp_path, kind):
    model, change = FROZEN[kind]
    model = clone(model).fit(blobs.X, blobs.y)
    frozen = FrozenEstimator(model)
    first = merged(frozen, blobs, tmp_path)
    before = first.predict_proba(blobs.X_test)
    (change or (lambda m, X, y: m.fit(X, y)))(model, blobs.X[::2] * 1.5, np.roll(blobs.y[::2], 3))
    again = merged(frozen, blobs, tmp_path).predict_proba(blobs.X_test)
    np.testing.assert_array_equal(again, merged(frozen, blobs, None).predict_proba(blobs.X_test))
    assert np.abs(again - before).max() > 1e-3
    np.testing.assert_allclose(first.predict_proba(blobs.X_test), again, atol=0.02)


def test_sets_have_one_order(notebook):
    from skmergecal._memory._code import own_code

    names = [f"name {i}" for i in range(60)]
    found = []
    for order in (names, names[::-1]):
        cell = f"C, D = frozenset({order}), {{'a': set({order})}}\ndef pick(Z): return Z, C, D"
        found.append(own_code(FunctionTransformer(notebook(cell).pick)))
    assert found[0] == found[1]


class Reluctant:
    """Raises when it is looked at, as tensors of an inference mode and lazy proxies do."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(name)


@pytest.mark.filterwarnings("ignore::skmergecal.exceptions.RefitWarning")
@pytest.mark.parametrize("part", [Reluctant(), (i for i in range(3))])
@pytest.mark.parametrize("frozen", [False, True])
def test_members_that_hold_what_cannot_be_looked_at(blobs, tmp_path, part, frozen):
    model = GaussianNB().fit(blobs.X, blobs.y)
    model.part_ = part
    member = FrozenEstimator(model) if frozen else model
    cached, plain = (merged(member, blobs, memory) for memory in (tmp_path, None))
    for _ in range(2):
        expected = plain.predict_proba(blobs.X_test)
        np.testing.assert_array_equal(cached.predict_proba(blobs.X_test), expected)
