"""The cache never confuses near-identical members or data, and hashes a frozen one once."""

from __future__ import annotations

import copy

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier
from skmergecal._memory import RecentArrays
from skmergecal.members import Cache
from skmergecal.members._member import Member


class SureOfPositive(ClassifierMixin, BaseEstimator):
    """Says 0 where the first feature is positive."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.where(X[:, :1] > 0, [[1.0, 0.0]], [[0.5, 0.5]])
        return np.ascontiguousarray(p)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def with_one_bit_flipped(array):
    flipped = array.copy()
    flipped.view(np.uint8).reshape(-1)[0] ^= 1
    return flipped


def test_one_bit_of_one_leaf_is_another_member(blobs, cache):
    tree = DecisionTreeClassifier(random_state=0).fit(blobs.X, blobs.y)
    before = cache.fingerprint(FrozenEstimator(tree))
    assert cache.fingerprint(FrozenEstimator(tree)) == before
    tree.tree_.value[-1] = with_one_bit_flipped(tree.tree_.value[-1])
    assert cache.fingerprint(FrozenEstimator(tree)) != before


def test_the_type_of_the_classes_is_part_of_a_member(blobs, cache):
    member = LogisticRegression().fit(blobs.X, blobs.y)
    other = copy.deepcopy(member)
    other.classes_ = member.classes_.astype(np.int32)
    assert cache.fingerprint(FrozenEstimator(member)) != cache.fingerprint(FrozenEstimator(other))


def near_identical_tables():
    table = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "b", "c"])
    moved = table.copy()
    moved.loc[2, "b"] = np.nextafter(moved.loc[2, "b"], np.inf)
    signed = table.copy()
    signed.loc[0, "a"] = -0.0
    return {
        "table": table,
        "one unit in the last place": moved,
        "the sign of a zero": signed,
        "order of columns": table[["b", "a", "c"]],
        "names of columns": table.rename(columns={"a": "A"}),
        "index": table.set_index(np.array([0, 1, 2, 4])),
        "type of one column": table.astype({"c": np.float32}),
        "array": table.to_numpy(),
        "float32": table.to_numpy(dtype=np.float32),
        "shape": table.to_numpy().reshape(3, 4),
        "categories": table.astype({"c": "category"}),
        "order of rows": table.iloc[::-1],
    }


def test_near_identical_data_have_keys_of_their_own(cache):
    keys = {name: cache.key(X) for name, X in near_identical_tables().items()}
    assert len(set(keys.values())) == len(keys)
    assert None not in keys.values()
    assert keys["table"] == cache.key(near_identical_tables()["table"])


def test_data_changed_in_place_are_read_anew(blobs, tmp_path):
    member = FrozenEstimator(LogisticRegression().fit(blobs.X, blobs.y))
    model = MergedClassifier([("m", member)], weights=None, memory=tmp_path)
    model.fit(blobs.X_held, blobs.y_held)
    X = blobs.X_test.copy()
    before = model.predict_proba(X)
    X[0] *= -3
    after = model.predict_proba(X)
    assert np.abs(after[0] - before[0]).max() > 1e-3
    np.testing.assert_array_equal(after[1:], before[1:])


def test_a_frozen_object_is_fingerprinted_once_a_process(blobs, tmp_path, monkeypatch):
    frozen = [
        (name, FrozenEstimator(RandomForestClassifier(3, random_state=i).fit(blobs.X, blobs.y)))
        for i, name in enumerate(["a", "b"])
    ]
    hashed = []
    original = joblib.hash

    def counting(thing, *args, **kwargs):
        hashed.extend(part for part in thing if isinstance(part, FrozenEstimator))
        return original(thing, *args, **kwargs)

    monkeypatch.setattr(joblib, "hash", counting)
    grid = {"weights": ["log_loss", None], "calibrate": [None, "merged"]}
    model = MergedClassifier(frozen, memory=tmp_path)
    GridSearchCV(model, grid, cv=3).fit(blobs.X_held, blobs.y_held)
    MergedClassifier(frozen, memory=tmp_path / "other").fit(blobs.X_held, blobs.y_held)
    assert [id(e) for e in hashed] == [id(e) for _, e in frozen]


def test_what_was_answered_lately_belongs_to_its_folder(blobs, tmp_path):
    member = FrozenEstimator(LogisticRegression().fit(blobs.X, blobs.y))
    for folder in ("one", "two"):
        model = MergedClassifier([("m", member)], memory=tmp_path / folder)
        model.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
        assert len(list((tmp_path / folder).rglob("output.pkl"))) >= 2


@pytest.mark.parametrize("weights", ["log_loss", [2, 1]])
def test_another_process_finds_the_outputs_in_the_folder(blobs, tmp_path, monkeypatch, weights):
    frozen = [
        (name, FrozenEstimator(RandomForestClassifier(3, random_state=i).fit(blobs.X, blobs.y)))
        for i, name in enumerate(["a", "b"])
    ]
    model = MergedClassifier(frozen, weights=weights, memory=tmp_path)
    expected = model.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
    monkeypatch.setattr("skmergecal._memory._recent.RECENT", RecentArrays(capacity=1 << 20))
    monkeypatch.setattr(Member, "read", lambda self, X, **_: pytest.fail("read again"))
    again = model.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("kept", [False, True])
def test_fixed_weights_read_a_member_that_is_fitted_here_until_it_gives_zero(
    blobs, tmp_path, monkeypatch, kept
):
    """Its training rows tell nothing else; and it is softened as one that was read on every row."""
    rows_read = []
    original = Member.read
    monkeypatch.setattr(
        Member, "read", lambda self, X, **how: rows_read.append(len(X)) or original(self, X, **how)
    )
    forest = RandomForestClassifier(5, random_state=0)
    smooth = RandomForestClassifier(5, min_samples_leaf=40, random_state=0)
    X, y, memory = blobs.X_held, blobs.y_held, tmp_path if kept else None
    members = [("zeros", forest), ("none", smooth)]
    fixed = MergedClassifier(members, weights=None, memory=memory).fit(X, y)
    zeros, none = fixed._merge.members
    assert zeros.softening == 1 / (len(y) + 1)
    proba = fixed.named_estimators_["none"].predict_proba(X)
    assert none.softening == (0.0 if (proba > 0).all() else 1 / 201)
    assert rows_read[0] == 100
    frozen = [(name, FrozenEstimator(m)) for name, m in fixed.named_estimators_.items()]
    for weights in (None, "log_loss"):
        whole = MergedClassifier(frozen, weights=weights).fit(X, y)._merge.members
        assert [m.softening for m in whole] == [zeros.softening, none.softening]


def test_fixed_weights_read_nothing_that_is_known(blobs, tmp_path, monkeypatch):
    """A member that is fitted here was asked for its training rows before."""
    X, y = blobs.X_held, blobs.y_held
    model = MergedClassifier([("forest", RandomForestClassifier(5, random_state=0))], cv=2)
    model.set_params(memory=tmp_path).fit(X, y).predict_proba(X)
    monkeypatch.setattr(Member, "read", lambda self, X, **_: pytest.fail("read again"))
    fixed = model.set_params(weights=None).fit(X, y)
    assert fixed._merge.members[0].softening == 1 / (len(y) + 1)


def test_first_rows_that_folds_share_are_read_once(blobs, tmp_path, monkeypatch):
    rows_read = []
    original = Member.read
    monkeypatch.setattr(
        Member, "read", lambda self, X, **how: rows_read.append(len(X)) or original(self, X, **how)
    )
    forest = FrozenEstimator(RandomForestClassifier(5, random_state=0).fit(blobs.X, blobs.y))
    model = MergedClassifier([("forest", forest)], memory=tmp_path)
    grid = {"weights": [None, [1], [2]]}
    search = GridSearchCV(model, grid, cv=KFold(4), refit=False, error_score="raise")
    search.fit(blobs.X_held, blobs.y_held)
    assert rows_read == [150, 50]  # the first training rows; the last fold
    model.set_params(weights="log_loss").fit(blobs.X_held, blobs.y_held)
    rows_read.clear()
    softened = model.set_params(weights=None).fit(blobs.X_held, blobs.y_held)
    assert rows_read == []
    plain = MergedClassifier([("forest", forest)], weights=None).fit(blobs.X_held, blobs.y_held)
    assert softened._merge.members[0].softening == plain._merge.members[0].softening


def test_zeros_beyond_the_first_rows_belong_to_the_rows_that_hold_them(blobs, tmp_path):
    """Data that share their first rows share what is known of these, and no more."""

    X = np.full((150, 1), -1.0)
    y = np.arange(150) % 2
    late = X.copy()
    late[120] = 1.0
    member = FrozenEstimator(SureOfPositive().fit(X, y))
    assert Cache(tmp_path).fingerprint(member) is not None
    for rows, expected in ((X, 0.0), (late, 1 / 151), (X, 0.0), (late, 1 / 151)):
        for memory in (tmp_path, None):
            model = MergedClassifier([("m", member)], weights=None, memory=memory).fit(rows, y)
            assert model._merge.members[0].softening == expected
    model = MergedClassifier([("m", member)], memory=tmp_path / "other").fit(late, y)
    model.set_params(weights=None).fit(late, y)  # known as a whole before its first rows are
    assert model._merge.members[0].softening == 1 / 151
    assert model.fit(X, y)._merge.members[0].softening == 0.0


def test_recent_outputs_are_bounded_and_read_only():
    recent = RecentArrays(capacity=100)
    for name in "abc":
        recent.put((name,), np.zeros(5))
    assert len(recent) == 2
    assert recent.get(("a",)) is None
    recent.get(("b",))
    recent.put(("d",), np.zeros(5))
    assert recent.get(("c",)) is None
    assert recent.get(("b",)) is not None
    recent.put(("large",), np.zeros(50))
    assert recent.get(("large",)) is None
    with pytest.raises(ValueError, match="read-only"):
        recent.get(("d",))[0] = 1.0


class Reusing(ClassifierMixin, BaseEstimator):
    """Writes each answer over the last one, as nets with buffers of their own do."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.buffer_ = np.empty((len(X), len(self.classes_)))
        return self

    def predict_proba(self, X):
        out = self.buffer_[: len(X)]
        out[:] = np.abs(X[:, : out.shape[1]]) + 0.1
        out /= out.sum(axis=1, keepdims=True)
        return out


def test_buffers_of_members_are_copied(blobs, tmp_path):
    member = Reusing().fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted(
        [member], blobs.X_held, blobs.y_held, weights=None, memory=tmp_path
    )
    first = merged.predict_proba(blobs.X_test)
    merged.predict_proba(blobs.X_held)
    np.testing.assert_array_equal(merged.predict_proba(blobs.X_test), first)
    assert member.buffer_.flags.writeable


@pytest.mark.filterwarnings("ignore:divide by zero")  # the discriminant's own, in fit
def test_a_source_decided_without_rows_is_checked_where_there_are_some(blobs, cache):
    """Where a prior is 0, the decision function is no logit: only rows can show that."""
    model = LinearDiscriminantAnalysis(priors=[0.0, 0.5, 0.5]).fit(blobs.X, blobs.y)
    fingerprint = cache.fingerprint(FrozenEstimator(model))
    assert cache.source("lda", model, None, fingerprint) == "decision_function"
    assert cache.source("lda", model, blobs.X_held, fingerprint) == "proba"


def test_zeros_are_looked_for_in_outputs_that_another_process_kept(blobs, tmp_path, monkeypatch):
    """All rows were read there, so that the first ones alone are not read again."""
    forest = FrozenEstimator(RandomForestClassifier(5, random_state=0).fit(blobs.X, blobs.y))
    bayes = ("bayes", GaussianNB())
    model = MergedClassifier([("forest", forest)], memory=tmp_path)
    model.fit(blobs.X_held, blobs.y_held)
    monkeypatch.setattr("skmergecal._memory._recent.RECENT", RecentArrays(capacity=1 << 20))
    monkeypatch.setattr(Member, "read", lambda self, X, **_: pytest.fail("read again"))
    model.set_params(estimators=[("forest", forest), bayes], weights=None)
    model.fit(blobs.X_held, blobs.y_held)
    assert model._merge.members[0].softening == 1 / (len(blobs.y_held) + 1)


def test_fixed_weights_do_not_read_logits_of_a_member_that_is_fitted_here(blobs, monkeypatch):
    """Logits hold no zeros to look for."""
    monkeypatch.setattr(Member, "read", lambda self, X, **_: pytest.fail("read"))
    model = MergedClassifier([("logistic", LogisticRegression())], weights=None)
    model.fit(blobs.X_held, blobs.y_held)
    assert model._merge.members[0].softening == 0.0
