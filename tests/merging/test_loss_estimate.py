"""loss_estimate_: what a merged classifier says of its own loss on new rows."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_html_repr

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.merging import LossEstimate


class Said(ClassifierMixin, BaseEstimator):
    """Gives the probabilities of three columns, and counts how often it is asked."""

    def __init__(self, first=0):
        self.first = first

    def fit(self, X=None, y=None):
        self.classes_, self.asked_ = np.arange(3), 0
        return self

    def predict_proba(self, X):
        self.asked_ += 1
        return X[:, self.first : self.first + 3]


def rows(n, seed=0, n_members=3):
    """Probabilities of members side by side, and labels."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, 3)) * 1.5
    y = (truth + rng.gumbel(size=(n, 3))).argmax(axis=1)
    said = []
    for k in range(n_members):
        p = np.exp(truth * (0.5 + 0.4 * k) + rng.normal(size=(n, 3)))
        said.append(p / p.sum(axis=1, keepdims=True))
    return np.hstack(said), y


def members(n_members=3):
    return {f"m{k}": Said(3 * k).fit() for k in range(n_members)}


def merge(X, y, weight=None, n_members=3, **how):
    return MergedClassifier.from_fitted(members(n_members), X, y, weight, **how)


def losses(model, X, y):
    return -model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]


def numbers(estimate):
    named = [*estimate.by_pool.values(), *estimate.by_member.values()]
    own = [estimate.loss, estimate.standard_error, estimate.gain, estimate.gain_standard_error]
    return np.array(own + named)


#: Ways to learn whose estimates are in closed form, and ways that are repeated in folds.
LEARNED = [
    {},
    {"calibrate": "merged"},
    {"method": "logits"},
    {"method": "logits", "alpha": 3.0, "calibrate": "both"},
    {"method": "logits", "weights": "classwise"},
    {"method": "logits", "weights": "classwise", "alpha": 3.0, "calibrate": "merged"},
    {"method": "probabilities"},
    {"method": "probabilities", "calibrate": "both"},
    {"weights": [1, 2, 3], "calibrate": "both"},
    {"method": "probabilities", "weights": None, "calibrate": "members"},
]
SELECTED = [
    {"weights": "greedy"},
    {"weights": "greedy", "method": "probabilities", "calibrate": "both"},
]


@pytest.mark.thorough
@pytest.mark.once  # arithmetic: what the members say is given
@pytest.mark.parametrize("how", LEARNED, ids=str)
def test_the_loss_is_that_of_fits_without_each_row(how):
    n = 60
    X, y = rows(n)
    whole = merge(X, y, **how)
    exact, members_exact = np.empty(n), np.empty((3, n))
    for i in range(n):
        kept = np.arange(n) != i
        part = merge(X[kept], y[kept], **how)
        exact[i] = losses(part, X[[i]], y[[i]])[0]
        for k in range(3):
            alone = X[i, 3 * k : 3 * k + 3] ** (1 / part.member_temperatures_[k])
            members_exact[k, i] = -np.log(alone[y[i]] / alone.sum())
    estimate = whole.loss_estimate_
    in_sample = losses(whole, X, y).mean()
    optimism = exact.mean() - in_sample
    assert 0.85 * optimism < estimate.loss - in_sample < 1.45 * optimism
    np.testing.assert_allclose(
        list(estimate.by_member.values()), members_exact.mean(axis=1), atol=1e-3
    )
    error = exact.std(ddof=1) / np.sqrt(n)
    assert estimate.standard_error == pytest.approx(error, rel=0.1)
    best = int(np.argmin(list(estimate.by_member.values())))
    assert estimate.best_member == f"m{best}"
    gain = members_exact[best] - exact
    assert estimate.gain == pytest.approx(gain.mean(), abs=0.02)
    assert estimate.gain_standard_error == pytest.approx(gain.std(ddof=1) / np.sqrt(n), rel=0.2)


@pytest.mark.parametrize("method", ["logits", "probabilities", "auto"])
def test_given_weights_without_a_temperature_have_the_plain_mean(method):
    X, y = rows(50)
    whole = merge(X, y, method=method, weights=[1, 2, 3])
    estimate, own = whole.loss_estimate_, losses(whole, X, y)
    assert estimate.loss == pytest.approx(own.mean(), rel=1e-12)
    assert estimate.standard_error == pytest.approx(own.std(ddof=1) / np.sqrt(50), rel=1e-12)
    alone = {f"m{k}": log_loss(y, X[:, 3 * k : 3 * k + 3]) for k in range(3)}
    assert estimate.by_member == pytest.approx(alone, rel=1e-9)
    assert estimate.by_pool == {}


def test_few_errors_do_not_make_an_estimate_certain():
    """Members that are right in all of 60 rows; in others they may be wrong in one."""
    y = np.arange(60) % 3
    X = np.hstack([0.985 * np.eye(3)[y] + 0.005] * 2)
    for how in ({}, {"weights": None}, {"weights": "greedy"}):
        merged = merge(X, y, n_members=2, **how)
        estimate = merged.loss_estimate_
        assert estimate.standard_error == pytest.approx(np.sqrt(0.5) * np.log(61) / 60)
        wrong = np.where(np.arange(60) == 0, 1, y)
        assert abs(estimate.compare(losses(merged, X, wrong))) < 2


@pytest.mark.parametrize("how", [*LEARNED, *SELECTED, {"weights": None}], ids=str)
def test_weights_repeat_rows_and_0_removes_them(how):
    X, y = rows(80)
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weight)
    one = merge(X, y, weight.astype(float), **how).loss_estimate_
    other = merge(X[repeated], y[repeated], **how).loss_estimate_
    np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-9, atol=1e-12)
    assert one.best_member == other.best_member


@pytest.mark.parametrize("how", [*LEARNED[::3], *SELECTED], ids=str)
def test_members_are_asked_once_and_pickles_hold_numbers_alone(how):
    X, y = rows(3000)
    asked = members()
    merged = MergedClassifier.from_fitted(asked, X, y, **{**how, "scoring": None})
    saved = pickle.dumps(merged)
    assert len(saved) < 8000
    assert [member.asked_ for member in asked.values()] == [1, 1, 1]
    np.testing.assert_array_equal(
        numbers(pickle.loads(saved).loss_estimate_), numbers(merged.loss_estimate_)
    )


def test_pools_are_named_for_auto_alone():
    X, y = rows(60)
    named = merge(X, y).loss_estimate_.by_pool
    assert {"logarithmic", "linear"} <= set(named)
    assert all(0.3 < loss < 1.5 for loss in named.values())
    for how in ({"method": "logits"}, {"method": "logits", "weights": "classwise"}):
        assert merge(X, y, **how).loss_estimate_.by_pool == {}


@pytest.mark.thorough
@pytest.mark.parametrize("how", [LEARNED[0], LEARNED[6], SELECTED[0]], ids=str)
def test_the_estimate_fits_the_loss_of_new_rows(how):
    """Each seed is a data set: z should be about standard normal."""
    new, labels = rows(2000, seed=99)
    z = []
    for seed in range(15):
        merged = merge(*rows(100, seed), n_members=2, **how)
        z.append(merged.loss_estimate_.compare(losses(merged, new, labels)))
    assert np.mean(np.abs(z) < 2) >= 0.85
    assert abs(np.mean(z)) < 0.7


def test_a_selection_is_repeated_for_rows_that_it_did_not_see():
    """Of many members without a difference, the luckiest is chosen: its luck should not count."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    X = np.hstack([rng.dirichlet(np.full(3, 4.0), size=60) for _ in range(10)])
    merged = merge(X, y, n_members=10, weights="greedy", method="logits")
    assert merged.loss_estimate_.loss > losses(merged, X, y).mean() + 0.01


class Picky:
    """A scorer that needs all rows."""

    def __call__(self, estimator, log_proba, y, sample_weight=None):
        if len(y) < 50:
            raise ZeroDivisionError("too few")
        return float((log_proba.argmax(axis=1) == y).mean())


def test_a_picture_does_not_repeat_a_selection_and_shows_it_once_it_is_known():
    asked = []

    def score(estimator, log_proba, y):
        asked.append(len(y))
        return float((log_proba.argmax(axis=1) == y).mean())

    merged = merge(*rows(60), weights="greedy", scoring=score, method="logits")
    asked.clear()
    before = estimator_html_repr(merged)
    assert not asked
    text = f"log loss of new rows {merged.loss_estimate_.loss:.4g}"
    assert asked
    assert text not in before
    assert text in estimator_html_repr(merged)


def test_a_scorer_that_fails_on_parts_of_the_rows_leaves_no_estimate():
    X, y = rows(50)
    how = {"weights": "greedy", "scoring": Picky(), "method": "logits"}
    merged = merge(X, y, **how)
    assert merged.predict(X).shape == y.shape
    with pytest.raises(AttributeError, match=r"there it fails: too few\. Pass more rows"):
        _ = merged.loss_estimate_
    assert not hasattr(pickle.loads(pickle.dumps(merged)), "loss_estimate_")
    assert hasattr(merge(*rows(90), **how), "loss_estimate_")
    assert hasattr(merge(X, y, weights="greedy"), "loss_estimate_")


def test_a_class_of_one_row_is_in_each_selection():
    """Some scores need rows of each class."""

    def lowest_recall(estimator, log_proba, y):
        if len(np.unique(y)) < 3:
            raise ValueError("a class is missing")
        return float(min((log_proba[y == c].argmax(axis=1) == c).mean() for c in range(3)))

    X, y = rows(40)
    y = np.where(np.arange(40) == 7, 0, np.where(y == 0, 1, y))
    merged = merge(X, y, weights="greedy", scoring=lowest_recall, method="logits")
    assert np.isfinite(merged.loss_estimate_.loss)


def test_there_is_none_without_rows_and_the_message_says_how_to_get_one(blobs):
    two = [("nb", GaussianNB()), ("lr", LogisticRegression())]
    X, y = blobs.X_held, blobs.y_held
    fitted = {name: clone(model).fit(blobs.X, blobs.y) for name, model in two}
    without = [
        MergedClassifier(two),
        MergedClassifier.from_fitted(fitted, weights=None),
        MergedClassifier(two, weights=None).fit(X, y),
        MergedClassifier([("nb", FrozenEstimator(fitted["nb"])), two[1]], weights=None).fit(X, y),
    ]
    for merged in without:
        with pytest.raises(AttributeError, match="rows that members have not seen"):
            _ = merged.loss_estimate_
    frozen = [(name, FrozenEstimator(model)) for name, model in fitted.items()]
    remedies = [
        MergedClassifier(frozen, weights=None).fit(X, y),
        MergedClassifier.from_fitted(fitted, X, y, weights=None),
        MergedClassifier(two, weights="log_loss").fit(X, y),
    ]
    for merged in remedies:
        assert isinstance(merged.loss_estimate_, LossEstimate)
    again = remedies[0].set_params(estimators=[("nb", GaussianNB())]).fit(X, y)
    assert not hasattr(again, "loss_estimate_")


@pytest.mark.parametrize("cv", [KFold(4), ShuffleSplit(4, test_size=0.5, random_state=0)], ids=str)
def test_members_that_are_fitted_here_count_out_of_fold(blobs, cv):
    tree = DecisionTreeClassifier(random_state=0, min_samples_leaf=4)
    models = [("tree", tree), ("lr", LogisticRegression())]
    X, y = blobs.X_held, blobs.y_held
    estimate = MergedClassifier(models, method="logits", cv=cv).fit(X, y).loss_estimate_
    n = len(y)
    if isinstance(cv, KFold):
        p = cross_val_predict(LogisticRegression(), X, y, cv=cv, method="predict_proba")
        assert estimate.by_member["lr"] == pytest.approx(log_loss(y, p), rel=1e-9)
        assert estimate.by_member["tree"] > 1.5  # on its training rows it has a tenth of that
    else:  # rows that are held out several times count once
        n = len(np.unique(np.concatenate([test for _, test in cv.split(X)])))
    assert 0.4 < estimate.standard_error * np.sqrt(n) < 1.5


@pytest.mark.parametrize("calibrate", [None, "both"])
def test_parameters_are_measured_on_the_held_out_rows(blobs, calibrate):
    X, y = blobs.X_held, blobs.y_held
    models = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.01, 1.0)]
    how = {"method": "parameters", "calibrate": calibrate}
    merged = MergedClassifier.from_fitted(models, X, y, **how)
    estimate = merged.loss_estimate_
    assert estimate.loss == pytest.approx(losses(merged, X, y).mean(), abs=1e-2)
    assert estimate.by_pool == {}
    if calibrate is None:
        assert estimate.loss == pytest.approx(merged.merge_report_.merged, rel=1e-12)
        found = list(merged.merge_report_.members.values())
        assert list(estimate.by_member.values()) == pytest.approx(found)


def test_where_a_merge_of_parameters_falls_back_it_is_the_estimate_of_the_pool(digits):
    from sklearn.neural_network import MLPClassifier

    how = {"hidden_layer_sizes": (8,), "tol": 0.01, "learning_rate_init": 0.02}
    nets = [MLPClassifier(random_state=k, **how).fit(digits.X, digits.y) for k in range(2)]
    X, y = digits.X_held, digits.y_held
    bare = {"alignment": None, "repair": None, "on_barrier": "logits"}
    with pytest.warns(UserWarning, match="worse than its members"):
        merged = MergedClassifier.from_fitted(nets, X, y, method="parameters", **bare)
    pool = MergedClassifier.from_fitted(nets, X, y, method="logits")
    np.testing.assert_array_equal(numbers(merged.loss_estimate_), numbers(pool.loss_estimate_))


def test_probability_0_of_the_true_class_is_an_infinite_loss_of_a_linear_pool_alone():
    X, y = rows(60)
    X = np.hstack([np.eye(3)[X[:, k : k + 3].argmax(axis=1)] for k in (0, 3, 6)])
    estimate = merge(X, y, method="probabilities").loss_estimate_
    assert (estimate.loss, estimate.standard_error) == (np.inf, np.inf)
    assert estimate.gain == -np.inf
    assert "not shown to help" in str(estimate)
    assert all(1 < loss < 5 for loss in estimate.by_member.values())
    assert np.isnan(estimate.compare([1.0, 2.0, 3.0]))
    for how in ({"method": "logits"}, {"method": "probabilities", "calibrate": "merged"}, {}):
        assert np.isfinite(numbers(merge(X, y, **how).loss_estimate_)).all()


@pytest.mark.parametrize("how", [*LEARNED[::2], SELECTED[0]], ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_few_rows_one_class_and_one_member(how):
    X, y = rows(60)
    single = merge(X[:1], y[:1], **how).loss_estimate_
    assert np.isfinite(single.loss)
    assert np.isnan(single.standard_error)
    assert not single.merging_helps
    assert not merge(X[:2], y[:2], **how).loss_estimate_.loss < 0
    some = y != 2
    two = merge(X[some], y[some], **how)
    assert two.loss_estimate_.loss > losses(two, X[some], y[some]).mean() - 1e-3
    if not isinstance(how.get("weights"), list):
        alone = merge(X, y, n_members=1, **how).loss_estimate_
        assert list(alone.by_member) == ["m0"]
        assert alone.best_member == "m0"


def test_classes_without_rows_take_their_share_in_all_pools():
    """The members say that a third of the rows are of a class that no row has."""
    X, y = rows(200)
    some = y != 2
    X = np.hstack([X[some, k : k + 3] * [1, 1, 3] for k in (0, 3, 6)])
    X /= X.reshape(-1, 3, 3).sum(axis=2).repeat(3, axis=1)
    for how in ({}, {"method": "logits", "weights": "classwise", "alpha": 3.0}):
        with pytest.warns(UserWarning, match="no held-out row has the classes"):
            merged = merge(X, y[some], **how)
        own = losses(merged, X, y[some]).mean()
        estimate = merged.loss_estimate_
        assert 0 < estimate.loss - own < 0.1 * own
        for loss in estimate.by_pool.values():
            assert abs(loss - own) < 0.2 * own


def test_separable_rows_without_a_ridge_are_measured_in_folds():
    X = np.repeat(np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]]), 10, axis=0)
    X = np.hstack([X, X])
    y = np.repeat([0, 1], 10)
    with pytest.warns(UserWarning, match="no finite temperature"):
        merged = merge(X, y, n_members=2, method="logits", alpha=0.0)
    assert 0 <= merged.loss_estimate_.loss < 0.1


@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_a_merge_that_does_not_help_says_so_and_one_that_does_does_not(method):
    X, y = rows(300)
    X = np.hstack([X[:, :3]] * 3)
    same = merge(X, y, n_members=3, weights=None, method=method).loss_estimate_
    assert same.gain == same.gain_standard_error == 0  # not what rounding leaves
    assert not same.merging_helps
    for text in (str(same), repr(same), same.summary):
        assert "merging is not shown to help here" in text
    better = merge(*rows(300), method="logits").loss_estimate_
    assert better.merging_helps
    assert "not shown" not in str(better) + repr(better)
    for name in ("merged", "member m0", "gain"):
        assert name in str(better)
    assert f"{better.loss:.4g}" in repr(better)
    assert json.loads(json.dumps(better.as_dict()))["best_member"] == better.best_member
    with pytest.raises(AttributeError):
        better.loss = 0.0


def test_other_rows_are_compared_in_standard_errors():
    estimate = LossEstimate(0.5, 0.3, {}, {"a": 0.6}, "a", 0.1, 0.05)
    assert estimate.compare([1.0, 2.0, 1.5, 1.5]) == pytest.approx(1.0 / np.hypot(0.3, 1 / 24**0.5))
    weighted = estimate.compare([1.0, 2.0, 7.0], [2.0, 1.0, 0.0])
    assert weighted == pytest.approx(estimate.compare([1.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="sample_weight"):
        estimate.compare([1.0, 2.0], [1.0])
    for wrong in ("x", 1.0, ["a"], [[1.0, 2.0]], [1.0, np.nan], None):
        with pytest.raises(ValueError, match="losses should hold one number for each row"):
            estimate.compare(wrong)
    X, y = rows(60)
    merged = merge(X, y)
    own = -merged.predict_log_proba(X)[range(len(X)), y]
    assert abs(merged.loss_estimate_.compare(own)) < 2


def test_a_calibrator_around_a_merged_classifier_keeps_the_inner_estimate(blobs):
    merged = MergedClassifier([("nb", GaussianNB()), ("lr", LogisticRegression())], weights=None)
    outer = TemperatureCalibrator(merged).fit(blobs.X, blobs.y)
    assert outer.estimator_.loss_estimate_.loss > 0


def test_a_grid_with_memory_gives_the_same_estimates(blobs, members, tmp_path):
    X, y = blobs.X_held, blobs.y_held
    members = {name: members[name] for name in ("lda", "bayes")}
    for how in ({}, {"method": "logits", "calibrate": "both"}):
        plain = MergedClassifier.from_fitted(members, X, y, **how).loss_estimate_
        for _ in range(2):
            kept = MergedClassifier.from_fitted(members, X, y, memory=tmp_path, **how)
            np.testing.assert_allclose(numbers(kept.loss_estimate_), numbers(plain), rtol=1e-12)


def test_averages_of_models_of_folds_count_out_of_fold(blobs):
    """Made in fit or before: both say the same of the same rows, and so does the report."""
    X, y = blobs.X_held, blobs.y_held
    models = {"lr": LogisticRegression(), "tree": DecisionTreeClassifier(max_depth=6)}
    splits = list(KFold(4).split(X))
    made = {
        name: [clone(model).set_params(random_state=0).fit(X[a], y[a]) for a, _ in splits]
        for name, model in models.items()
    }
    given = MergedClassifier.from_cv(made, X, y, splits)
    named = [(name, model.set_params(random_state=0)) for name, model in models.items()]
    kept = MergedClassifier(named, cv=splits, refit=False).fit(X, y)
    np.testing.assert_allclose(
        numbers(given.loss_estimate_), numbers(kept.loss_estimate_), rtol=1e-9
    )
    p = cross_val_predict(named[0][1], X, y, cv=splits, method="predict_proba")
    for merged in (given, kept):
        report = merged.member_report(X, y)
        assert report.loc["lr", "log_loss"] == pytest.approx(log_loss(y, p), rel=1e-9)
        assert report.loc["tree", "log_loss"] > 1  # its models know three quarters of the rows
        merged.member_report(blobs.X_test, blobs.y_test)
    again = MergedClassifier.from_cv(made, X, y, splits, weights=None).loss_estimate_
    assert again.by_member["lr"] == pytest.approx(log_loss(y, p), rel=1e-9)
