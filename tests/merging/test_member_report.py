"""member_report: what each member is worth."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier

SETTINGS = [
    {},
    {"method": "logits"},
    {"method": "logits", "weights": "classwise"},
    {"method": "probabilities", "weights": "greedy"},
    {"weights": [1, 0, 2]},
]


@pytest.fixture(scope="module")
def nets(digits):
    """Nets from three starts."""
    how = {"hidden_layer_sizes": (12,), "solver": "lbfgs", "tol": 0.01}
    return [MLPClassifier(random_state=k, **how).fit(digits.X, digits.y) for k in range(3)]


@pytest.fixture(scope="module")
def three(members):
    return {name: members[name] for name in ("lda", "bayes", "forest")}


@pytest.fixture(scope="module")
def said(blobs, three):
    """What each of three members predicts for the held-out rows."""
    return {name: member.predict_proba(blobs.X_held) for name, member in three.items()}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_columns(blobs, three, said, settings):
    X, y = blobs.X_held, blobs.y_held
    merged = MergedClassifier.from_fitted(three, X, y, **settings)
    report = merged.member_report(X, y)
    assert list(report.index) == list(three)
    np.testing.assert_array_equal(report["weight"], merged.weights_)
    np.testing.assert_array_equal(report["temperature"], merged.member_temperatures_)
    losses = [log_loss(y, p) for p in said.values()]
    exact = np.array([name != "forest" for name in three])  # the forest says 0: softened
    np.testing.assert_allclose(report["log_loss"][exact], np.array(losses)[exact], rtol=1e-6)
    labels = {name: p.argmax(axis=1) for name, p in said.items()}
    for name, own in labels.items():
        differs = [np.mean(own != other) for other in labels.values()]
        np.testing.assert_allclose(report[f"disagrees_with_{name}"], differs)
    without_minus_all = report["log_loss_without"] - report["gain"]
    np.testing.assert_allclose(without_minus_all, without_minus_all.iloc[0])


def test_given_weights_without_a_member(blobs, members):
    """Nothing is learned, so that the cross-validated loss is that of the others' pool."""
    X, y = blobs.X_held, blobs.y_held
    weights = dict(zip(members, [1, 2, 3, 4, 5], strict=True))
    merged = MergedClassifier.from_fitted(members, X, y, weights=weights)
    report = merged.member_report(X, y)
    rest = {name: member for name, member in members.items() if name != "lda"}
    other = MergedClassifier.from_fitted(rest, X, y, weights={name: weights[name] for name in rest})
    loss = log_loss(y, other.predict_proba(X))
    np.testing.assert_allclose(report.loc["lda", "log_loss_without"], loss, rtol=1e-9)
    gain = loss - log_loss(y, merged.predict_proba(X))
    np.testing.assert_allclose(report.loc["lda", "gain"], gain, rtol=1e-6)


def test_a_member_that_knows_nothing_gains_nothing(blobs, three):
    X, y = blobs.X_held, blobs.y_held
    some = three | {"prior": DummyClassifier().fit(blobs.X, blobs.y)}
    report = MergedClassifier.from_fitted(some, X, y, method="logits").member_report(X, y)
    assert abs(report.loc["prior", "gain"]) < 0.005
    assert report["gain"].max() > 0.005


def test_rows_of_weight_0_are_ignored_and_weights_repeat_rows(blobs, members):
    X, y = blobs.X_held, blobs.y_held
    merged = MergedClassifier.from_fitted(members, weights=None)
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    weighted = merged.member_report(X, y, weight)
    again = merged.member_report(X[repeated], y[repeated])
    np.testing.assert_allclose(weighted.to_numpy(), again.to_numpy(), rtol=1e-9, atol=1e-12)


OWN = [
    ("bayes", GaussianNB()),
    ("tree", DecisionTreeClassifier(random_state=0, min_samples_leaf=3)),
]


@pytest.mark.parametrize("kind", ["array", "frame", "list", "columns first"])
def test_members_that_were_fitted_here_are_read_out_of_fold(blobs, kind):
    """All rows of fit, some of them in another order, and these among others."""
    given = {"frame": pd.DataFrame, "list": np.ndarray.tolist, "columns first": np.asfortranarray}
    make = given.get(kind, np.array)
    X, y = blobs.X_held, blobs.y_held
    merged = MergedClassifier(OWN, method="logits", cv=KFold(4)).fit(make(X), y)
    p = cross_val_predict(OWN[1][1], X, y, cv=KFold(4), method="predict_proba")
    p = (1 - 1 / (len(y) + 1)) * p + 1 / (len(y) + 1) / 3
    own = -np.log(p[np.arange(len(y)), y])
    report = merged.member_report(make(X), y)
    assert report.loc["tree", "log_loss"] == pytest.approx(own.mean(), rel=1e-9)
    assert report.loc["tree", "loss_estimate"] == merged.loss_estimate_.by_member["tree"]
    error = own.std(ddof=1) / np.sqrt(len(y))
    assert report.loc["tree", "log_loss_standard_error"] == pytest.approx(error, rel=1e-9)
    some = make(X).iloc[[5, 3, 11]] if kind == "frame" else make(X[[5, 3, 11]])
    found = merged.member_report(some, y[[5, 3, 11]])
    assert found.loc["tree", "log_loss"] == pytest.approx(own[[5, 3, 11]].mean(), rel=1e-9)
    if kind == "array":
        both = np.vstack([X, blobs.X_test])
        labels = np.concatenate([y, blobs.y_test])
        new = merged.member_report(blobs.X_test, blobs.y_test).loc["tree", "log_loss"]
        mixed = merged.member_report(both, labels).loc["tree", "log_loss"]
        whole = own.sum() + new * len(blobs.y_test)
        assert mixed == pytest.approx(whole / len(labels), rel=1e-9)


def test_frozen_members_beside_those_that_are_fitted_here_are_read_as_they_are(blobs):
    X, y = blobs.X_held, blobs.y_held
    frozen = GaussianNB().fit(blobs.X, blobs.y)
    merged = MergedClassifier([*OWN, ("nb", FrozenEstimator(frozen))]).fit(X, y)
    loss = log_loss(y, frozen.predict_proba(X))
    assert merged.member_report(X, y).loc["nb", "log_loss"] == pytest.approx(loss, rel=1e-9)
    low, high = merged.weight_intervals(X, y, n_resamples=10, random_state=0).T
    assert low[1] <= merged.weights_[1] <= high[1]  # the tree, perfect on its training rows


def test_training_rows_are_warned_about_and_other_rows_are_not(blobs):
    X, y = blobs.X_held, blobs.y_held
    fitted = MergedClassifier(OWN, method="logits").fit(X, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    given = MergedClassifier(OWN, weights=None).fit(X, y)
    for merged in (loaded, given):
        with pytest.warns(UserWarning, match=r"fitted to 200 of these 200 rows.*Pass rows that"):
            merged.member_report(X, y)
    with pytest.warns(UserWarning, match="were fitted to 10 of these 10 rows"):
        given.member_report(X[:10], y[:10])
    of_other_rows = [
        merged.member_report(blobs.X_test, blobs.y_test) for merged in (loaded, fitted, given)
    ]
    np.testing.assert_array_equal(*of_other_rows[:2])


def test_merged_parameters_warn_of_training_rows(blobs):
    X, y = blobs.X_held, blobs.y_held
    models = [(f"c{c}", LogisticRegression(C=c)) for c in (0.01, 1.0)]
    merged = MergedClassifier(models, method="parameters").fit(X, y)
    with pytest.warns(UserWarning, match=r"whose parameters are merged.*pass rows"):
        report = merged.member_report(X, y)
    found = list(merged.loss_estimate_.by_member.values())
    np.testing.assert_allclose(report["log_loss"], found, rtol=1e-9)
    merged.member_report(blobs.X_test, blobs.y_test)


def test_standard_errors_are_those_of_paired_differences(blobs, members):
    """Given weights are not learned, so that every loss has a closed form."""
    X, y = blobs.X_held, blobs.y_held
    merged = MergedClassifier.from_fitted(members, X, y, weights=None)
    report = merged.member_report(X, y)
    rest = {name: member for name, member in members.items() if name != "lda"}
    other = MergedClassifier.from_fitted(rest, X, y, weights=None)
    rows = np.arange(len(y))
    gain = merged.predict_log_proba(X)[rows, y] - other.predict_log_proba(X)[rows, y]
    error = gain.std(ddof=1) / np.sqrt(len(y))
    assert report.loc["lda", "gain_standard_error"] == pytest.approx(error, rel=1e-6)


def test_one_member_leaves_nothing(blobs):
    alone = {"alone": LogisticRegression().fit(blobs.X, blobs.y)}
    merged = MergedClassifier.from_fitted(alone, blobs.X_held, blobs.y_held)
    report = merged.member_report(blobs.X_held, blobs.y_held)
    assert report["log_loss_without"].isna().all()


def test_parameters(blobs):
    models = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.01, 1.0, 100.0)]
    X, y = blobs.X_held, blobs.y_held
    merged = MergedClassifier.from_fitted(models, X, y, method="parameters", weights=None)
    logits = MergedClassifier.from_fitted(models, X, y, weights=None)
    np.testing.assert_allclose(
        merged.member_report(X, y).to_numpy(), logits.member_report(X, y).to_numpy(), atol=1e-9
    )


def test_intervals(blobs, members):
    X, y = blobs.X_held, blobs.y_held
    some = {name: members[name] for name in ("logistic", "lda", "bayes")}
    merged = MergedClassifier.from_fitted(some, X, y, method="logits", alpha=1.0)
    report = merged.member_report(X, y, level=0.9, n_resamples=30, random_state=0)
    again = merged.member_report(X, y, level=0.9, n_resamples=30, random_state=0)
    np.testing.assert_array_equal(report.to_numpy(), again.to_numpy())
    assert (report["weight_low"] <= report["weight_high"]).all()
    inside = report["weight"].between(report["weight_low"], report["weight_high"])
    assert inside.mean() > 0.5
    wider = merged.member_report(X, y, level=0.99, n_resamples=30, random_state=0)
    assert (wider["weight_high"] >= report["weight_high"]).all()


def test_intervals_count_a_row_of_weight_9_as_9_rows(blobs, members):
    X, y = blobs.X_held, blobs.y_held
    two = {name: members[name] for name in ("lda", "bayes")}
    merged = MergedClassifier.from_fitted(two, X, y, method="logits", alpha=1.0)
    widths = [
        np.ptp(merged.weight_intervals(*rows, n_resamples=30, random_state=0), axis=1).min()
        for rows in ((X, y), (X, y, np.full(len(y), 9.0)), (np.tile(X, (9, 1)), np.tile(y, 9)))
    ]
    assert widths[1] == pytest.approx(widths[2], rel=0.4)
    assert widths[1] < 0.6 * widths[0]


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_out_of_range(blobs, members, level):
    merged = MergedClassifier.from_fitted(members, weights=None)
    with pytest.raises(ValueError, match="level should be between 0 and 1"):
        merged.member_report(blobs.X_held, blobs.y_held, level=level)


def test_without_pandas_a_dict(blobs, members, monkeypatch):
    def missing(name):
        raise ImportError(name)

    merged = MergedClassifier.from_fitted(members, weights=None)
    monkeypatch.setattr("skmergecal._optional.importlib.import_module", missing)
    report = merged.member_report(blobs.X_held, blobs.y_held)
    assert report["member"].tolist() == list(members)
    assert report["gain"].shape == (len(members),)


def test_unknown_labels(blobs, members):
    merged = MergedClassifier.from_fitted(members, weights=None)
    with pytest.raises(ValueError, match="Pass rows of the classes that were merged"):
        merged.member_report(blobs.X_held, np.full(len(blobs.y_held), 99))


@pytest.mark.parametrize(
    "later",
    [{"weights": "log_loss"}, {"method": "parameters"}, {"estimators": []}, {"calibrate": "both"}],
    ids=str,
)
def test_parameters_set_after_the_fit_change_nothing(blobs, members, later):
    X, y = blobs.X_held, blobs.y_held
    two = {name: members[name] for name in ("lda", "bayes")}
    merged = MergedClassifier.from_fitted(two, X, y, method="logits", weights=[1, 0])
    before = merged.member_report(X, y)
    after = merged.set_params(**later).member_report(X, y)
    np.testing.assert_array_equal(after.to_numpy(), before.to_numpy())


def test_unlabeled_rows_of_the_fit_align_in_the_report_too(digits, nets):
    nets = nets[:2]
    X, y = digits.X_held[:150], digits.y_held[:150]
    how = {"method": "parameters", "weights": None, "alignment": "activations", "repair": "rescale"}
    how["barrier_tolerance"] = 1e6
    few = MergedClassifier.from_fitted(nets, X, y, **how).member_report(X, y)
    more = MergedClassifier.from_fitted(nets, X, y, X_unlabeled=digits.X[:150], **how)
    gains = more.member_report(X, y)["gain"].to_numpy()
    assert np.abs(gains - few["gain"].to_numpy()).min() > 1e-6
    with pytest.warns(UserWarning, match="X_unlabeled of fit is not saved"):
        saved = pickle.loads(pickle.dumps(more)).member_report(X, y)
    np.testing.assert_array_equal(saved["gain"], few["gain"])


def test_unlabeled_rows_are_not_kept_by_a_pool(blobs, members):
    two = {name: members[name] for name in ("lda", "bayes")}
    X = np.tile(blobs.X, (50, 1))
    merged = MergedClassifier.from_fitted(two, blobs.X_held, blobs.y_held, X_unlabeled=X)
    assert len(pickle.dumps(merged)) < X.nbytes / 2


def test_barrier_without_a_member_is_reported_not_raised(digits, nets):
    """Only the first net takes part; without it two that cannot be averaged are left."""
    X, y = digits.X_held, digits.y_held
    how = {"method": "parameters", "alignment": None, "repair": None, "on_barrier": "raise"}
    merged = MergedClassifier.from_fitted(nets, X, y, weights=[1, 0, 0], **how)
    report = merged.member_report(X, y)
    assert report["gain"].iloc[0] > 0.3
    np.testing.assert_allclose(report["gain"].iloc[1:], 0, atol=1e-9)


def test_unlabelled_rows_are_not_saved_and_a_loaded_model_says_so(blobs):
    two = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.1, 1.0)]
    rows, how = (blobs.X_held, blobs.y_held), {"method": "parameters"}
    fitted = MergedClassifier.from_fitted(two, *rows, X_unlabeled=blobs.X, **how)
    without = MergedClassifier.from_fitted(two, *rows, **how)
    content = pickle.dumps(fitted)
    assert len(content) <= len(pickle.dumps(without)) + 50
    loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.predict_proba(rows[0]), fitted.predict_proba(rows[0]))
    with pytest.warns(UserWarning, match=r"X_unlabeled of fit is not saved.*Ask that one, or fit"):
        loaded.member_report(*rows)
    again = pickle.loads(pickle.dumps(loaded))
    with pytest.warns(UserWarning, match="X_unlabeled"):
        again.weight_intervals(*rows, n_resamples=2)
    for asked in (
        fitted,
        loaded.fit(*rows, X_unlabeled=blobs.X),
        pickle.loads(pickle.dumps(without)),
    ):
        asked.member_report(*rows)


TWICE = {"nb": GaussianNB(), "tree": DecisionTreeClassifier(random_state=0, min_samples_leaf=3)}


@pytest.fixture(scope="module")
def twice():
    """Each row twice, most with two labels."""
    rng = np.random.default_rng(0)
    X = np.tile(rng.normal(size=(60, 2)), (2, 1))
    return X, rng.integers(0, 2, len(X))


@pytest.mark.parametrize("way", ["fit", "from_cv"])
@pytest.mark.parametrize("order", ["of fit", "another"])
def test_copies_of_a_row_are_read_by_the_models_that_have_not_seen_them(twice, way, order):
    X, y = twice
    folds = KFold(3, shuffle=True, random_state=0)
    p = {k: cross_val_predict(m, X, y, cv=folds, method="predict_proba") for k, m in TWICE.items()}
    expected = MergedClassifier.from_predictions(p, y, method="probabilities")
    if way == "fit":
        merged = MergedClassifier(TWICE, cv=folds, method="probabilities").fit(X, y)
    else:
        splits = list(folds.split(X))
        models = {k: [clone(m).fit(X[a], y[a]) for a, _ in splits] for k, m in TWICE.items()}
        merged = MergedClassifier.from_cv(models, X, y, splits, method="probabilities")
    rows = np.arange(len(y)) if order == "of fit" else np.random.default_rng(1).permutation(len(y))
    report = merged.member_report(X[rows], y[rows])
    np.testing.assert_allclose(report["log_loss"], expected.member_report(p, y)["log_loss"])
    if order == "of fit":
        how = {"n_resamples": 5, "random_state": 0}
        intervals = merged.weight_intervals(X, y, **how)
        np.testing.assert_allclose(intervals, expected.weight_intervals(p, y, **how), rtol=1e-6)


def test_training_rows_that_no_fold_held_out_are_reported_with_a_warning(blobs):
    """Two of three folds: rows of the third trained both models; the last ten trained none."""
    X, y = blobs.X[:100], blobs.y[:100]
    splits = [(train, test) for train, test in KFold(3).split(X[:90])][:2]
    models = {
        name: [clone(m).fit(X[train], y[train]) for train, _ in splits] for name, m in TWICE.items()
    }
    merged = MergedClassifier.from_cv(models, X, y, splits)
    with pytest.warns(UserWarning, match=r"\['nb', 'tree'\] were fitted to 30 of these 100 rows"):
        merged.member_report(X, y)
    unseen = np.r_[:60, 90:100]
    merged.member_report(X[unseen], y[unseen])  # without a warning, which would be an error


def test_the_copies_of_a_row_beyond_those_of_fit_are_recognised(twice):
    X, y = twice
    merged = MergedClassifier(TWICE, cv=KFold(3), method="probabilities").fit(X, y)
    once = merged.member_report(X, y)["log_loss"]
    np.testing.assert_allclose(
        merged.member_report(np.tile(X, (3, 1)), np.tile(y, 3))["log_loss"], once
    )


class Columns:
    """A table without an index, as that of polars."""

    def __init__(self, values):
        self._values, self.columns = values, [f"c{j}" for j in range(values.shape[1])]
        self.shape = values.shape

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self._values[:, self.columns.index(key)]
        return Columns(self._values[key])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype=dtype)


def shuffled_frame(X):
    return pd.DataFrame(X, index=np.arange(len(X))[::-1])


KINDS = [
    (pd.DataFrame, shuffled_frame),
    (pd.DataFrame, np.asarray),
    (pd.DataFrame, lambda X: pd.DataFrame(X).astype(np.float32)),
    (np.asarray, np.ndarray.tolist),
    (np.asarray, pd.DataFrame),
    (np.asarray, lambda X: X.astype(np.float32)),
    (Columns, Columns),
    (csr_array, csc_array),
]


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize(("of_fit", "of_report"), KINDS)
def test_rows_of_fit_are_recognised_in_other_containers(blobs, of_fit, of_report):
    X, y = blobs.X_held.astype(np.float32).astype(np.float64), blobs.y_held
    tree = DecisionTreeClassifier(random_state=0)
    merged = MergedClassifier([tree], method="probabilities", cv=KFold(3)).fit(of_fit(X), y)
    p = cross_val_predict(tree, X, y, cv=KFold(3), method="predict_proba")
    few = np.random.default_rng(0).permutation(len(y))[:50]
    expected = MergedClassifier.from_predictions({"tree": p}, y, method="probabilities")
    expected = expected.member_report({"tree": p[few]}, y[few])["log_loss"]
    report = merged.member_report(of_report(X[few]), y[few])
    np.testing.assert_allclose(report["log_loss"], expected)


def test_texts_of_fit_are_recognised():
    texts = np.array([f"word{k % 7} thing{k % 5} number{k}" for k in range(60)], dtype=object)
    y = np.arange(60) % 7 % 2
    tree = make_pipeline(CountVectorizer(), DecisionTreeClassifier(random_state=0, max_depth=2))
    how = {"method": "probabilities", "cv": KFold(3)}
    merged = MergedClassifier([tree], **how).fit(pd.Series(texts), y)
    p = cross_val_predict(tree, texts, y, cv=KFold(3), method="predict_proba")
    expected = MergedClassifier.from_predictions({"tree": p}, y, method="probabilities")
    expected = expected.member_report({"tree": p[20:50]}, y[20:50])["log_loss"]
    for kind in (pd.Series, list):
        report = merged.member_report(kind(texts[20:50]), y[20:50])
        np.testing.assert_allclose(report["log_loss"], expected)
