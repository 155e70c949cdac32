"""How each family's opinion is read, and that nothing of the user's is touched."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    ShuffleSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal._numerics import log_softmax
from skmergecal.calibration import fit_temperature
from skmergecal.members._fit import sample_weight_param
from skmergecal.members._member import read_raw
from skmergecal.members._read import choose_reader

MLP = {"alpha": 1.0, "solver": "lbfgs", "tol": 0.1, "random_state": 0}

# family, source for three classes, source for two classes
FAMILIES = [
    (LogisticRegression(), "decision_function", "decision_function"),
    (LinearDiscriminantAnalysis(), "decision_function", "decision_function"),
    (QuadraticDiscriminantAnalysis(reg_param=0.1), "decision_function", "decision_function"),
    (GradientBoostingClassifier(n_estimators=5), "decision_function", "decision_function"),
    (HistGradientBoostingClassifier(max_iter=5), "decision_function", "decision_function"),
    (SGDClassifier(loss="log_loss", random_state=0), "proba", "decision_function"),
    (MLPClassifier((8,), **MLP), "network", "network"),
    (MLPClassifier((8,), activation="tanh", **MLP), "network", "network"),
    (GaussianNB(), "joint_log_proba", "joint_log_proba"),
    (BernoulliNB(), "joint_log_proba", "joint_log_proba"),
    (RandomForestClassifier(5, random_state=0), "proba", "proba"),
    (ExtraTreesClassifier(5, random_state=0), "proba", "proba"),
    (KNeighborsClassifier(), "proba", "proba"),
    (CalibratedClassifierCV(GaussianNB(), cv=3), "proba", "proba"),
    (TemperatureCalibrator(GaussianNB(), cv=3), "log_proba", "log_proba"),
    (MergedClassifier([("a", GaussianNB())], cv=3), "log_proba", "log_proba"),
]


@pytest.mark.parametrize(("family", "three", "two"), FAMILIES)
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: make_pipeline(StandardScaler(), e)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_opinions_reproduce_the_members_own_probabilities(
    blobs, binary, family, three, two, wrap, n_classes
):
    data = {2: binary, 3: blobs}[n_classes]
    model = FrozenEstimator(wrap(family).fit(data.X, data.y))
    source = choose_reader("m", model, data.X_held)
    assert source == {2: two, 3: three}[n_classes]
    raw = read_raw("m", model, source, data.X_test, n_classes)
    proba = raw if source == "proba" else np.exp(log_softmax(raw))
    np.testing.assert_allclose(proba, model.predict_proba(data.X_test), atol=1e-9)


def test_families_whose_decision_function_is_no_logit(binary, blobs):
    boosting = GradientBoostingClassifier(loss="exponential", n_estimators=5)
    assert choose_reader("m", boosting.fit(binary.X, binary.y), binary.X) == "proba"
    rest = LogisticRegression(solver="liblinear").fit(binary.X, binary.y)
    assert choose_reader("m", rest, binary.X) == "decision_function"


def sharper(family, **params):
    """A family whose derived class gives probabilities of its own."""

    class Sharper(family):
        def predict_proba(self, X):
            p = super().predict_proba(X) ** 2
            return p / p.sum(axis=1, keepdims=True)

    return Sharper(**params)


@pytest.mark.parametrize(
    ("model", "n_classes"),
    [
        (sharper(LogisticRegression), 3),
        (sharper(GaussianNB), 3),
        (sharper(MLPClassifier, hidden_layer_sizes=(4,), **MLP), 3),
        (SGDClassifier(loss="log_loss", random_state=0), 3),
        (SGDClassifier(loss="modified_huber", random_state=0), 2),
        (GradientBoostingClassifier(loss="exponential", n_estimators=5), 2),
    ],
)
def test_probabilities_of_members_without_rows_are_their_own(model, n_classes, binary, blobs):
    data = binary if n_classes == 2 else blobs
    model.fit(data.X, data.y)
    merged = MergedClassifier.from_fitted([model], weights=None)
    np.testing.assert_allclose(
        merged.predict_proba(data.X_test), model.predict_proba(data.X_test), atol=1e-4
    )


def test_a_decision_function_that_lies_is_not_believed(blobs):
    class Sharpened(LogisticRegression):
        def predict_proba(self, X):
            p = super().predict_proba(X) ** 2
            return p / p.sum(axis=1, keepdims=True)

    model = Sharpened().fit(blobs.X, blobs.y)
    assert choose_reader("m", model, blobs.X_held) == "proba"
    merged = MergedClassifier.from_fitted([model], blobs.X_held, blobs.y_held, weights=None)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), model.predict_proba(blobs.X_test), atol=1e-12
    )


def test_a_pipeline_or_search_that_says_otherwise_is_not_looked_through(blobs):
    class Flattened(Pipeline):
        def predict_proba(self, X):
            p = super().predict_proba(X) ** 0.25
            return p / p.sum(axis=1, keepdims=True)

    model = Flattened([("scale", StandardScaler()), ("bayes", GaussianNB())])
    model.fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted([model], blobs.X_held, blobs.y_held, weights=None)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), model.predict_proba(blobs.X_test), atol=1e-12
    )


def test_a_saturated_network_keeps_its_logits(blobs):
    network = MLPClassifier((8,), **MLP).fit(blobs.X, blobs.y)
    network.coefs_[-1] = network.coefs_[-1] * 1e4
    assert (network.predict_proba(blobs.X_test) == 0).any()
    raw = read_raw("m", network, "network", blobs.X_test, 3)
    assert raw.min() < -1000
    assert np.isfinite(raw).all()


def test_models_of_folds_keep_their_logits(blobs):
    """Of rows so far away that the smallest probability is 0."""
    model = LogisticRegression(solver="newton-cholesky")
    far = np.r_[blobs.X, 1e3 * blobs.X[:20]]
    y = np.r_[blobs.y, blobs.y[:20]]
    folds = [(np.arange(100, 200), np.arange(100)), (np.arange(100), np.arange(100, 220))]
    held = TemperatureCalibrator(model, temperature=1.0, cv=folds).fit_held_out(far, y).log_proba
    expected = log_softmax(model.fit(far[:100], y[:100]).decision_function(far[200:]))
    assert expected.min() < -1000
    np.testing.assert_allclose(held[-20:], expected, rtol=1e-9, atol=1e-9)


def test_naive_bayes_ends_at_the_smallest_positive_float(blobs):
    bayes = GaussianNB().fit(blobs.X, blobs.y)
    raw = read_raw("m", bayes, "joint_log_proba", 1e6 * blobs.X_test, 3)
    assert raw.min() == pytest.approx(np.log(5e-324), abs=1e-9)


@pytest.mark.parametrize("scores", [LinearSVC(), RidgeClassifier()])
def test_scores_stand_for_logits_where_there_are_no_probabilities(blobs, scores):
    merged = MergedClassifier([("m", scores)], calibrate="members", cv=3).fit(blobs.X, blobs.y)
    assert merged.score(blobs.X_test, blobs.y_test) > 0.5
    assert merged.member_temperatures_[0] != 1


def test_exact_zeros_are_softened_by_the_number_of_rows(blobs):
    tree = DecisionTreeClassifier(random_state=0).fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted([tree], blobs.X_held, blobs.y_held, weights=None)
    d = 1 / (len(blobs.y_held) + 1)
    expected = (1 - d) * tree.predict_proba(blobs.X_test) + d / 3
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-12)
    weighted = MergedClassifier.from_fitted(
        [tree], blobs.X_held, blobs.y_held, sample_weight=np.full(200, 3.0), weights=None
    )
    assert weighted._merge.members[0].softening == pytest.approx(1 / 601)
    raw = MergedClassifier.from_fitted([tree], weights=None, method="probabilities")
    np.testing.assert_array_equal(raw.predict_proba(blobs.X_test), tree.predict_proba(blobs.X_test))
    assert (raw.predict_log_proba(blobs.X_test) == -np.inf).any()
    assert np.isfinite(raw.transform(blobs.X_test)).all()


def test_without_rows_zeros_are_softened_by_default(blobs):
    tree = DecisionTreeClassifier(random_state=0).fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted([tree], weights=None)
    expected = (1 - 1e-4) * tree.predict_proba(blobs.X_test) + 1e-4 / 3
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-12)
    assert merged.n_features_in_ == 8


def test_probabilities_without_zeros_are_taken_as_they_are(blobs):
    model = CalibratedClassifierCV(GaussianNB(), cv=3).fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted([model], blobs.X_held, blobs.y_held, weights=None)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), model.predict_proba(blobs.X_test), atol=1e-14
    )


def test_searches_are_read_through(blobs):
    search = GridSearchCV(MLPClassifier((4,), **MLP), {"alpha": [1.0, 2.0]}, cv=2)
    search.fit(blobs.X, blobs.y)
    assert choose_reader("m", FrozenEstimator(search), blobs.X) == "network"
    merged = MergedClassifier.from_fitted([search], blobs.X_held, blobs.y_held, weights=None)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), search.predict_proba(blobs.X_test), atol=1e-12
    )


def frame(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.normal(50, 10, n),
            "income": rng.normal(size=n),
            "city": rng.choice(["Rome", "Oslo", "Lima"], n),
        }
    )
    y = np.where(X["age"] + 10 * X["income"] + rng.normal(0, 15, n) > 50, "good", "bad")
    X.loc[::7, "income"] = np.nan
    return X, y


def prepared(classifier):
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
    )
    return make_pipeline(columns, classifier)


@pytest.mark.parametrize("frozen", [True, False])
def test_frames_with_text_and_missing_values_pass_through(frozen):
    X, y = frame()
    members = {
        "logistic": prepared(LogisticRegression()),
        "forest": prepared(RandomForestClassifier(10, random_state=0)),
    }
    if frozen:
        fitted = {name: m.fit(X[:60], y[:60]) for name, m in members.items()}
        merged = MergedClassifier.from_fitted(fitted, X[60:], y[60:], weights=None)
    else:
        merged = MergedClassifier(list(members.items()), weights=None, cv=3).fit(X, y)
    assert list(merged.classes_) == ["bad", "good"]
    np.testing.assert_array_equal(merged.feature_names_in_, ["age", "income", "city"])
    logistic, forest = (m.predict_proba(X) for m in merged.estimators_)
    softening = merged._merge.members[1].softening
    mean = (np.log(logistic) + np.log((1 - softening) * forest + softening / 2)) / 2
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(merged.predict_proba(X), expected, atol=1e-9)
    assert merged.predict_proba(X).argmax(axis=1).std() > 0


def test_lists_of_text_pass_through():
    texts = ["good fine nice", "bad awful", "nice good", "awful bad poor"] * 10
    y = np.array([1, 0, 1, 0] * 10)
    member = make_pipeline(CountVectorizer(), MultinomialNB())
    merged = MergedClassifier([("text", member)], cv=2).fit(texts, y)
    assert merged.predict(["good nice", "bad"]).tolist() == [1, 0]


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array])
def test_sparse_input_passes_through(blobs, container):
    members = [
        ("logistic", LogisticRegression()),
        ("forest", RandomForestClassifier(5, random_state=0)),
    ]
    dense = MergedClassifier(members, cv=3).fit(blobs.X, blobs.y)
    thin = MergedClassifier(members, cv=3).fit(container(blobs.X), blobs.y)
    np.testing.assert_allclose(
        thin.predict_proba(container(blobs.X_test)), dense.predict_proba(blobs.X_test), atol=1e-4
    )


def states(models):
    return {name: pickle.dumps(model) for name, model in models.items()}


@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_nothing_of_the_users_changes(blobs, members, method):
    X, y = blobs.X_held.copy(), blobs.y_held.copy()
    weight = np.arange(len(y), dtype=float)
    before, arrays = states(members), [a.copy() for a in (X, y, weight)]
    merged = MergedClassifier.from_fitted(
        members, X, y, sample_weight=weight, method=method, calibrate="both"
    )
    merged.predict_proba(X)
    merged.transform(X)
    assert states(members) == before
    for array, copy in zip((X, y, weight), arrays, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_unfitted_members_stay_unfitted(blobs):
    members = [("a", LogisticRegression()), ("b", GaussianNB())]
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (the global state is what is tested)
    before = [vars(m).copy() for _, m in members]
    MergedClassifier(members, cv=3).fit(blobs.X, blobs.y).predict(blobs.X)
    assert [vars(m) for _, m in members] == before
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.filterwarnings("ignore:divide by zero")  # its own, in fit
def test_a_discriminant_with_a_prior_of_zero_is_read_as_probabilities(blobs):
    """Its decision function is minus infinity there, its probability 0: softened, as always."""
    model = LinearDiscriminantAnalysis(priors=[0.0, 0.5, 0.5]).fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted([model], blobs.X_held, blobs.y_held, weights=[1.0])
    proba = merged.predict_proba(blobs.X_test)
    softening = 1 / (len(blobs.y_held) + 1)
    expected = (1 - softening) * model.predict_proba(blobs.X_test) + softening / 3
    np.testing.assert_allclose(proba, expected, atol=1e-12)


def test_members_from_a_generator(members, blobs):
    merged = MergedClassifier.from_fitted((m for m in members.values()), weights=None)
    assert len(merged.estimators_) == len(members)


def test_an_ensemble_takes_weights_if_all_inside_do(blobs):
    pair = [("logistic", LogisticRegression()), ("near", KNeighborsClassifier())]
    for ensemble in (VotingClassifier(pair, voting="soft"), StackingClassifier(pair)):
        assert sample_weight_param(ensemble) is None
        ensemble.set_params(near=GaussianNB())
        assert sample_weight_param(ensemble) == "sample_weight"
        ensemble.set_params(near="drop")
        assert sample_weight_param(ensemble) == "sample_weight"
    ensemble.set_params(final_estimator=KNeighborsClassifier())
    assert sample_weight_param(ensemble) is None
    near = FrozenEstimator(KNeighborsClassifier().fit(blobs.X, blobs.y))
    assert sample_weight_param(StackingClassifier([("near", near)])) == "sample_weight"


def test_a_predefined_split_knows_rows_by_number_where_some_have_no_weight(blobs):
    numbers = np.arange(len(blobs.y))
    split, weight = PredefinedSplit(numbers % 3), (numbers % 4 > 0).astype(float)
    members = [("logistic", LogisticRegression()), ("bayes", GaussianNB())]
    a, b = (
        MergedClassifier(members, cv=cv).fit(blobs.X, blobs.y, sample_weight=weight)
        for cv in (split, list(split.split()))
    )
    np.testing.assert_array_equal(a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test))


def test_folds_whose_rows_have_no_weight_are_left_out(blobs):
    numbers = np.arange(len(blobs.y)) % 4
    weight = (numbers > 0).astype(float)
    split = PredefinedSplit(numbers)
    a, b = (
        TemperatureCalibrator(GaussianNB(), cv=cv).fit(blobs.X, blobs.y, sample_weight=weight)
        for cv in (split, list(split.split())[1:])
    )
    assert a.temperature_ == b.temperature_


class BySeason(BaseEstimator):
    """A splitter that asks for the season of each row."""

    def split(self, X, y=None, *, season):
        for s in np.unique(season):
            yield np.flatnonzero(season != s), np.flatnonzero(season == s)

    def get_n_splits(self, X=None, y=None):
        return 2


def test_a_splitter_gets_what_it_requests_besides_groups(blobs):
    season = np.arange(len(blobs.y)) % 2
    folds = list(BySeason().split(blobs.X, season=season))
    with config_context(enable_metadata_routing=True):
        model = TemperatureCalibrator(GaussianNB(), cv=BySeason().set_split_request(season=True))
        model.fit(blobs.X, blobs.y, season=season)
    same = TemperatureCalibrator(GaussianNB(), cv=folds).fit(blobs.X, blobs.y)
    assert model.temperature_ == same.temperature_


def logistic_where_positive(model, X, y):
    """A score that is highest for another family in each half of the rows."""
    return float(isinstance(model.steps[-1][1], LogisticRegression) == (X[:, 0].mean() > 0))


def test_folds_may_be_read_as_logits_and_as_probabilities(blobs):
    X, y = (blobs.X - np.median(blobs.X, axis=0))[:120], blobs.y[:120]
    high = X[:, 0] > 0
    folds = [(np.flatnonzero(train), np.flatnonzero(~train)) for train in (high, ~high)]
    models = [LogisticRegression(C=0.01), CalibratedClassifierCV(GaussianNB(), cv=2)]
    pipeline = Pipeline([("m", GaussianNB())])
    one = ShuffleSplit(1, random_state=0)
    search = GridSearchCV(pipeline, {"m": models}, cv=one, scoring=logistic_where_positive)
    z = np.log(cross_val_predict(search, X, y, cv=folds, method="predict_proba"))
    model = TemperatureCalibrator(search, cv=folds, alpha=0.0).fit(X, y)
    assert model.temperature_ == pytest.approx(fit_temperature(z, y).temperature, rel=1e-6)


class NothingToFit(ClassifierMixin, BaseEstimator):
    """Knows its classes, and the odds, from the beginning."""

    classes_ = np.arange(3)

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def test_a_member_that_needs_no_fit_can_be_frozen_as_it_is(blobs):
    merged = MergedClassifier.from_fitted([NothingToFit()], weights=None)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test[:2]), 1 / 3)
