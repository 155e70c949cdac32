"""With memory=, what follows from opinions is remembered: same bits, nothing confused or shared."""

from __future__ import annotations

import copy
import pickle
from itertools import cycle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier
from skmergecal._memory import _recent
from skmergecal._memory._recent import Memo, RecentArrays
from skmergecal.merging.fitted import _log_pool, _stacked_pools

GRID = [
    {"method": ["auto"], "calibrate": ["members", "both"], "alpha": [0.1]},
    {"method": ["auto"], "calibrate": ["both"], "alpha": [1.0]},
    {"method": ["logits"], "calibrate": [None, "both"], "alpha": ["auto"]},
    {"method": ["logits"], "calibrate": ["both"], "alpha": [0.1]},
    {"method": ["logits", "probabilities"], "weights": ["greedy", [1, 2, 3]]},
    {"method": ["logits"], "weights": ["classwise"]},
    {"method": ["probabilities"], "calibrate": [None, "members"]},
]


@pytest.fixture(autouse=True)
def recent(monkeypatch):
    fresh = RecentArrays(capacity=1 << 22)
    monkeypatch.setattr(_recent, "RECENT", fresh)
    return fresh


@pytest.fixture
def members(blobs):
    return frozen_members(blobs)


def frozen_members(blobs):
    fitted = {
        "forest": RandomForestClassifier(5, random_state=0),
        "bayes": GaussianNB(),
        "logistic": LogisticRegression(),
    }
    return [(name, FrozenEstimator(m.fit(blobs.X, blobs.y))) for name, m in fitted.items()]


def search(model, blobs, grid=GRID, n_jobs=None):
    found = GridSearchCV(
        model, grid, cv=2, scoring="neg_log_loss", refit=False, n_jobs=n_jobs, error_score="raise"
    ).fit(blobs.X_held, blobs.y_held)
    results = found.cv_results_
    return np.array([results[f"split{i}_test_score"] for i in range(2)])


@pytest.fixture(scope="module")
def plain(blobs):
    """The scores without memory."""
    return search(MergedClassifier(frozen_members(blobs)), blobs)


def test_a_grid_with_memory_gives_the_same_bits(blobs, members, tmp_path, plain):
    remembering = MergedClassifier(members, memory=tmp_path)
    np.testing.assert_array_equal(search(remembering, blobs), plain)
    np.testing.assert_array_equal(search(remembering, blobs), plain)


def test_a_grid_over_unfitted_members_with_memory_gives_the_same_bits(blobs, members, tmp_path):
    members = [members[1], ("refitted", LogisticRegression())]
    grid = [{"alpha": [0.1, 1.0], "calibrate": ["both"]}, *GRID[5:]]
    plain = search(MergedClassifier(members, cv=2), blobs, grid)
    remembering = MergedClassifier(members, cv=2, memory=tmp_path)
    np.testing.assert_array_equal(search(remembering, blobs, grid), plain)
    np.testing.assert_array_equal(search(remembering, blobs, grid), plain)


@pytest.mark.once  # tests/test_contract.py starts workers of old versions
def test_worker_processes_give_the_same_bits(blobs, members, tmp_path):
    plain = search(MergedClassifier(members), blobs, GRID[2:5])
    parallel = search(MergedClassifier(members, memory=tmp_path), blobs, GRID[2:5], n_jobs=2)
    np.testing.assert_array_equal(parallel, plain)


def test_a_memo_that_keeps_next_to_nothing_gives_the_same_bits(
    blobs, members, tmp_path, monkeypatch, plain
):
    monkeypatch.setattr(_recent, "RECENT", RecentArrays(capacity=3000))
    np.testing.assert_array_equal(search(MergedClassifier(members, memory=tmp_path), blobs), plain)
    assert _recent.RECENT._bytes <= 3000


def test_pools_are_learned_once_for_each_data_set(blobs, members, tmp_path, monkeypatch):
    learned = []

    def counting(module, name):
        original = getattr(module, name)

        def counted(*args, **kwargs):
            learned.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    counting(_stacked_pools, "learn_combined_pool")
    counting(_log_pool, "fit_log_pool")
    grid = {"calibrate": [None, "members", "merged", "both"], "alpha": [0.1, 1.0]}
    for method, name, expected in (
        ("auto", "learn_combined_pool", 3),
        ("logits", "fit_log_pool", 3 * 2 * 2),  # members calibrated or not, two alphas
    ):
        model = MergedClassifier(members, method=method, memory=tmp_path)
        GridSearchCV(model, grid, cv=3, refit=False).fit(blobs.X_held, blobs.y_held)
        assert learned == [name] * expected
        learned.clear()


def changed_label(blobs):
    y = blobs.y_held.copy()
    y[0] = y[y != y[0]][0]
    return {"y": y}


def swapped_labels(blobs):
    y = blobs.y_held.copy()
    other = int(np.flatnonzero(y != y[0])[0])
    y[[0, other]] = y[[other, 0]]
    return {"y": y}


NEAR_IDENTICAL = {
    "one label": changed_label,
    "one weight": lambda blobs: {"sample_weight": np.r_[2.0, np.ones(len(blobs.y_held) - 1)]},
    "all weights": lambda blobs: {"sample_weight": np.full(len(blobs.y_held), 2.0)},
    "one row left out": lambda blobs: {"sample_weight": np.r_[0.0, np.ones(len(blobs.y_held) - 1)]},
    "order of rows": lambda blobs: {"X": blobs.X_held[::-1], "y": blobs.y_held[::-1]},
    "one number": lambda blobs: {"X": blobs.X_held * np.r_[[1.5], np.ones(199)][:, None]},
    "labels swapped": swapped_labels,
}


@pytest.mark.parametrize(
    ("change", "method"),
    [*zip(NEAR_IDENTICAL, cycle(["auto", "logits", "probabilities"]), strict=False)],
)
def test_near_identical_rows_are_not_confused(blobs, members, tmp_path, change, method):
    settings = {"method": method, "calibrate": "both"}
    data = {"X": blobs.X_held, "y": blobs.y_held}
    model = MergedClassifier(members, memory=tmp_path, **settings)
    first = model.fit(**data).predict_proba(blobs.X_test)
    other = data | NEAR_IDENTICAL[change](blobs)
    expected = MergedClassifier(members, **settings).fit(**other).predict_proba(blobs.X_test)
    # Answers to known rows are put together, which may differ in the last bits from those to a
    # matrix in another order.
    found = model.fit(**other).predict_proba(blobs.X_test)
    atol = 1e-14 if change == "order of rows" else 0.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    np.testing.assert_array_equal(model.fit(**data).predict_proba(blobs.X_test), first)


def test_near_identical_members_are_not_confused(blobs, members, tmp_path):
    """Not even under the same name and in the same place; nor in another order."""
    other = copy.deepcopy(members[2][1].estimator)
    other.coef_ = np.nextafter(other.coef_, np.inf)
    other.coef_[0, 0] *= 1.001
    lists = [members, [*members[:2], ("logistic", FrozenEstimator(other))], members[::-1]]
    for estimators in lists:
        fitted = [
            MergedClassifier(estimators, memory=memory).fit(blobs.X_held, blobs.y_held)
            for memory in (tmp_path, None)
        ]
        remembered, plain = (m.predict_proba(blobs.X_test) for m in fitted)
        np.testing.assert_array_equal(remembered, plain)
        np.testing.assert_array_equal(fitted[0].weights_, fitted[1].weights_)


def test_members_that_know_fewer_classes_are_not_confused(blobs, members, tmp_path):
    """The same opinion stands in other columns where another member knows more classes."""
    few = blobs.y != blobs.y.max()
    narrow = ("narrow", FrozenEstimator(GaussianNB().fit(blobs.X[few], blobs.y[few])))
    known = blobs.y_held != blobs.y.max()
    X, y = blobs.X_held[known], blobs.y_held[known]
    for estimators in ([narrow], [narrow, members[0]], [narrow]):
        remembered, plain = (
            MergedClassifier(estimators, method="probabilities", memory=memory)
            .fit(X, y)
            .predict_proba(blobs.X_test)
            for memory in (tmp_path, None)
        )
        np.testing.assert_array_equal(remembered, plain)


def test_rows_changed_in_place_are_seen(blobs, members, tmp_path):
    X, y, weight = blobs.X_held.copy(), blobs.y_held.copy(), np.ones(len(blobs.y_held))
    model = MergedClassifier(members, calibrate="merged", memory=tmp_path)
    plain = MergedClassifier(members, calibrate="merged")
    model.fit(X, y, weight)
    for array in (X, y, weight):
        array[:20] = array[20:40]
        weight[:5] += 1
        expected = plain.fit(X, y, weight).predict_proba(blobs.X_test)
        np.testing.assert_array_equal(model.fit(X, y, weight).predict_proba(blobs.X_test), expected)


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
def test_fitted_attributes_changed_in_place_change_no_other_fit(blobs, members, tmp_path, method):
    models = [MergedClassifier(members, method=method, memory=tmp_path) for _ in range(3)]
    expected = models[0].fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
    for model in models[:2]:
        model.fit(blobs.X_held, blobs.y_held)
        model.weights_[:] = 0.0
        model.member_temperatures_[:] = 7.0
        if method == "auto":
            model.pool_.classwise.weights[:] = 0.0
    again = models[2].fit(blobs.X_held, blobs.y_held)
    assert again.weights_.sum() == pytest.approx(1)
    np.testing.assert_array_equal(again.predict_proba(blobs.X_test), expected)


def test_what_is_returned_may_be_written_to(blobs, members, tmp_path):
    for method in ("auto", "logits", "probabilities"):
        model = MergedClassifier([members[2]], method=method, weights=None, memory=tmp_path)
        model.fit(blobs.X_held, blobs.y_held)
        for name in ("predict_proba", "predict_log_proba", "transform", "decision_function"):
            output = getattr(model, name)(blobs.X_test)
            before = output.copy()
            output[:] = 0.5
            np.testing.assert_array_equal(getattr(model, name)(blobs.X_test), before)


def test_pickles_and_clones_say_the_same(blobs, members, tmp_path):
    model = MergedClassifier(members, calibrate="both", memory=tmp_path)
    expected = model.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
    for other in (
        pickle.loads(pickle.dumps(model)),
        clone(model).fit(blobs.X_held, blobs.y_held),
        pickle.loads(pickle.dumps(model)).fit(blobs.X_held, blobs.y_held),
    ):
        np.testing.assert_array_equal(other.predict_proba(blobs.X_test), expected)


def test_bounds_are_warned_about_each_time(blobs, tmp_path):
    """Also where the pool whose temperature is at the bound is remembered."""
    member = LogisticRegression(C=1e4).fit(blobs.X, blobs.y)
    right = member.predict(blobs.X_held)  # every row as the member says: T would go to 0
    model = MergedClassifier(
        [("m", FrozenEstimator(member))], method="logits", alpha=0.0, memory=tmp_path
    )
    for calibrate in (None, None, "merged", "both"):
        with (
            pytest.warns(UserWarning, match="were these rows used to train them"),
            pytest.warns(ConvergenceWarning, match="no finite temperature"),
        ):
            model.set_params(calibrate=calibrate).fit(blobs.X_held, right)


def test_without_memory_nothing_is_remembered(blobs, members, recent):
    model = MergedClassifier(members, calibrate="both")
    for method in ("auto", "logits", "probabilities"):
        model.set_params(method=method).fit(blobs.X_held, blobs.y_held).predict(blobs.X_test)
    assert len(recent) == 0


def test_data_without_a_key_are_not_remembered(recent):
    memos = [Memo(("a",)), Memo(("b",))]
    assert Memo.of_all(memos, "c").key is not None
    assert Memo.of_all(memos, "c") != Memo.of_all(memos[::-1], "c")
    for unknown in (Memo.of_all([*memos, Memo()]), Memo.of_all(memos, None), Memo()):
        assert unknown.result(("x",), lambda: [1]) == [1]
        assert unknown.result(("x",), lambda: [2]) == [2]
    assert len(recent) == 0


def test_results_are_copies(recent):
    memo = Memo(("data",))
    made = memo.result(("list",), lambda: [1, 2])
    made.append(3)
    again = memo.result(("list",), lambda: pytest.fail("made again"))
    again.append(4)
    assert memo.result(("list",), lambda: pytest.fail("made again")) == [1, 2]
    assert memo.result(("list", "of other arguments"), lambda: [5]) == [5]
    assert len(recent) == 2
