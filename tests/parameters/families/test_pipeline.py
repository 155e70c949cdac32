"""Preprocessing before members: folded where it is affine, kept where it is the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import read_parameters, write_parameters
from skmergecal.parameters.families import are_identical
from tests.strategies import seeds


def scaled_columns():
    return make_column_transformer(
        (StandardScaler(), [5, 1]), ("drop", [0]), (PCA(2), slice(2, 5)), remainder="passthrough"
    )


AFFINE = {
    "pca": lambda i: PCA(3 + 2 * i),
    "whitened pca": lambda i: PCA(3 + i, whiten=True),
    "incremental pca": lambda i: IncrementalPCA(4 + i),
    "svd": lambda i: TruncatedSVD(3 + i, random_state=0),
    "best columns": lambda i: SelectKBest(k=3 + i),
    "varying columns": lambda i: VarianceThreshold(0.5),
    "groups of columns": lambda i: scaled_columns(),
    "picked columns": lambda i: ColumnTransformer([("few", "passthrough", [6, 0, 3 + i])]),
    "scaled, then pca": lambda i: make_pipeline(MinMaxScaler(), PCA(4)).steps,
}


#: Steps that drop columns without a look at them: one that drops the same stays in front.
DROPPED = {"groups of columns": [0], "picked columns": [1, 2, 5, 7]}


def assert_drops(plain, model, columns):
    """It is the model, behind a step that drops these columns if there are any."""
    if columns:
        assert [type(step) for _, step in plain.steps] == [ColumnTransformer, model]
        kept = plain[0].transform(np.arange(8.0)[None])[0]
        np.testing.assert_array_equal(kept, np.setdiff1d(np.arange(8), columns))
        plain = plain[-1]
    assert type(plain) is model
    assert plain.n_features_in_ == 8 - len(columns)


def before(step, model):
    steps = step if isinstance(step, list) else [("step", step)]
    return Pipeline([*steps, ("model", model)])


@pytest.mark.parametrize("step", AFFINE)
def test_affine_steps_that_differ_are_folded(blobs, step):
    halves = np.array_split(np.arange(len(blobs.y)), 2)
    members = [
        before(AFFINE[step](i), LogisticRegression()).fit(blobs.X[rows], blobs.y[rows])
        for i, rows in enumerate(halves)
    ]
    logits = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="logits", calibrate="both"
    )
    plain = logits.to_estimator()
    assert_drops(plain, LogisticRegression, DROPPED.get(step, []))
    np.testing.assert_allclose(
        plain.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test), atol=1e-10
    )


@pytest.mark.parametrize("step", AFFINE)
def test_affine_steps_are_folded_into_networks(blobs, step):
    network = MLPClassifier((6,), solver="lbfgs", tol=0.1, alpha=1.0, random_state=0)
    member = before(AFFINE[step](0), network).fit(blobs.X, blobs.y)
    folded = write_parameters(member, read_parameters(member))
    assert_drops(
        folded, MLPClassifier, {**DROPPED, "picked columns": [1, 2, 4, 5, 7]}.get(step, [])
    )
    np.testing.assert_allclose(
        folded.predict_proba(blobs.X_test), member.predict_proba(blobs.X_test), atol=1e-10
    )


@given(seed=seeds, order=st.permutations(["pca", "scale", "pick", "columns"]))
def test_affine_steps_in_any_order(blobs, seed, order):
    make = {
        "pca": lambda: PCA(0.9),
        "scale": StandardScaler,
        "pick": lambda: VarianceThreshold(1e-3),
        "columns": lambda: make_column_transformer(
            (StandardScaler(), [0]), remainder="passthrough"
        ),
    }
    rows = np.random.default_rng(seed).integers(0, len(blobs.y), 100)
    steps = [(name, make[name]()) for name in order]
    member = Pipeline([*steps, ("model", LogisticRegression())]).fit(blobs.X[rows], blobs.y[rows])
    folded = write_parameters(member, read_parameters(member))
    np.testing.assert_allclose(
        folded.predict_proba(blobs.X_test), member.predict_proba(blobs.X_test), atol=1e-10
    )


def named(X):
    return pd.DataFrame(X, columns=list("abcdefgh"))


@pytest.mark.parametrize("columns", [["c", "a"], [True, *[False] * 5, True, False], [-1, 0], "b"])
def test_columns_by_name_number_and_mask(blobs, columns):
    picked = [columns] if isinstance(columns, str) else columns
    step = make_column_transformer((StandardScaler(), picked), remainder="passthrough")
    member = make_pipeline(step, LogisticRegression()).fit(named(blobs.X), blobs.y)
    folded = write_parameters(member, read_parameters(member))
    np.testing.assert_array_equal(folded.feature_names_in_, list("abcdefgh"))
    X = named(blobs.X_test)
    np.testing.assert_allclose(folded.predict_proba(X), member.predict_proba(X), atol=1e-10)


def test_slices_of_names_are_kept_as_they_are(blobs):
    step = make_column_transformer((StandardScaler(), slice("b", "d")))
    member = make_pipeline(step, LogisticRegression()).fit(named(blobs.X), blobs.y)
    written = write_parameters(member, read_parameters(member))
    X = named(blobs.X_test)
    np.testing.assert_array_equal(written.predict_proba(X), member.predict_proba(X))
    assert isinstance(written, Pipeline)


def squared(X):
    return X**2


SAME = {
    "polynomial": lambda: PolynomialFeatures(2),
    "clipped": lambda: MinMaxScaler(clip=True),
    "quantiles": lambda: QuantileTransformer(n_quantiles=20, random_state=0),
    "function": lambda: FunctionTransformer(squared),
    "bins": lambda: (
        KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")
        if hasattr(KBinsDiscretizer(), "quantile_method")
        else KBinsDiscretizer(3)
    ),
}


@pytest.mark.parametrize("step", SAME)
def test_other_steps_are_kept_where_they_are_the_same(blobs, step):
    members = [
        make_pipeline(SAME[step](), StandardScaler(with_mean=False), LogisticRegression(C=c))
        for c in (0.01, 1.0)
    ]
    members = [
        m.set_params(logisticregression__max_iter=5000).fit(blobs.X, blobs.y) for m in members
    ]
    parameters = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="parameters", calibrate="merged"
    )
    logits = MergedClassifier.from_fitted(members, weights=parameters.weights_)
    merged = parameters.merged_estimator_
    assert [type(s) for _, s in merged.steps] == [type(members[0][0]), LogisticRegression]
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test), atol=1e-10
    )
    np.testing.assert_allclose(
        parameters.to_estimator(blobs.X_held).predict_proba(blobs.X_test),
        parameters.predict_proba(blobs.X_test),
        atol=1e-10,
    )
    assert merged[0] is not members[0][0]


@pytest.mark.parametrize("step", ["polynomial", "clipped", "quantiles", "bins"])
def test_steps_that_differ_are_named(blobs, step):
    settings = {"polynomial": {"degree": 3, "include_bias": False}}.get(step, {})
    members = [
        make_pipeline(s, LogisticRegression(max_iter=5000)).fit(blobs.X[::j], blobs.y[::j])
        for j, s in enumerate([SAME[step](), SAME[step]().set_params(**settings)], start=1)
    ]
    name = type(members[0][0]).__name__
    with pytest.raises(IncompatibleEstimatorsError, match=f"preprocessing .* the step {name}"):
        MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, method="parameters")
    members[1] = members[1][-1]
    with pytest.raises(IncompatibleEstimatorsError, match=f"the step {name} and None"):
        MergedClassifier.from_fitted(members, method="parameters", weights=None)


def test_calibrated_pipelines_within_pipelines(blobs):
    members = [
        make_pipeline(
            PolynomialFeatures(include_bias=False),
            TemperatureCalibrator(
                make_pipeline(
                    SelectKBest(k=9 + i),
                    PolynomialFeatures(1),
                    StandardScaler(),
                    LogisticRegression(C=0.1 + i),
                ),
                temperature=2.0 + i,
            ),
        ).fit(blobs.X, blobs.y)
        for i in (0, 0, 1)
    ]
    members[1][-1].estimator_[-1].coef_ = members[1][-1].estimator_[-1].coef_ * 2
    logits = MergedClassifier.from_fitted(members[:2], weights=[1, 2])
    np.testing.assert_allclose(
        logits.to_estimator().predict_proba(blobs.X_test),
        logits.predict_proba(blobs.X_test),
        atol=1e-10,
    )
    with pytest.raises(IncompatibleEstimatorsError, match="step PolynomialFeatures"):
        MergedClassifier.from_fitted(members, weights=None).to_estimator()


def test_nets_keep_the_steps_that_would_change_their_width(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")

    def fitted(seed, n_components):
        torch.manual_seed(seed)
        net = skorch.NeuralNetClassifier(
            torch.nn.Sequential(torch.nn.Linear(n_components, 3)),
            criterion=torch.nn.CrossEntropyLoss,
            max_epochs=2,
            verbose=0,
        )
        X = blobs.X.astype(np.float32)
        return make_pipeline(StandardScaler(), PCA(n_components), net).fit(X, blobs.y)

    members = [fitted(seed, 4) for seed in range(2)]
    logits = MergedClassifier.from_fitted(members, weights=[1, 2])
    X_test = blobs.X_test.astype(np.float32)
    plain = logits.to_estimator(X_test)
    assert [name for name, _ in plain.steps] == ["standardscaler", "pca", "neuralnetclassifier"]
    np.testing.assert_allclose(plain.predict_proba(X_test), logits.predict_proba(X_test), atol=1e-5)
    whole = fitted(0, 8)  # a rotation keeps the width
    assert type(write_parameters(whole, read_parameters(whole))) is type(whole[-1])


def test_what_counts_as_the_same(blobs):
    def fitted(**settings):
        return OneHotEncoder(**settings).fit([["a", 1], ["b", 2]])

    assert are_identical(fitted(), fitted())
    assert not are_identical(fitted(), fitted(drop="first"))
    assert not are_identical(fitted(), OneHotEncoder().fit([["a", 1], ["c", 2]]))
    scaler = StandardScaler().fit(blobs.X)
    other = StandardScaler().fit(blobs.X)
    assert are_identical(scaler, other)
    other.mean_[0] = np.nextafter(other.mean_[0], np.inf)
    assert not are_identical(scaler, other)
    assert are_identical(np.array([np.nan, 1]), np.array([np.nan, 1]))
    assert not are_identical(np.array([1.0]), np.array([1]))
    assert not are_identical(FunctionTransformer(lambda x: x), FunctionTransformer(lambda x: -x))
    assert not are_identical(np.arange(2), np.arange(1, 3))
    assert are_identical(sparse.csr_array(np.eye(2)), sparse.csr_array(np.eye(2)))
    assert not are_identical(sparse.csr_array(np.eye(2)), 2 * sparse.csr_array(np.eye(2)))
    assert are_identical(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}))
    assert are_identical({"a": [1, (2.5, None)]}, {"a": [1, (2.5, None)]})
    assert not are_identical({"a": 1}, {"a": 1, "b": 1})


def test_texts(blobs):
    words = np.array(["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"])
    texts = [" ".join(words[row > 0]) + " end" for row in blobs.X]
    members = [
        make_pipeline(TfidfVectorizer(), MultinomialNB(alpha=a)).fit(texts, blobs.y) for a in (1, 9)
    ]
    merged = MergedClassifier.from_fitted(
        members, texts, blobs.y, method="logits", calibrate="members"
    )
    plain = merged.to_estimator(texts)
    assert [type(step) for _, step in plain.steps] == [TfidfVectorizer, MultinomialNB]
    np.testing.assert_allclose(
        plain.predict_proba(texts), merged.predict_proba(texts), rtol=0, atol=1e-10
    )
    with pytest.raises(ValueError, match="pass some rows to compare as X"):
        merged.to_estimator()
    members[1].fit([*texts[1:], "a rare word"], blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="step TfidfVectorizer"):
        MergedClassifier.from_fitted(members, weights=None).to_estimator(texts)


def test_members_fitted_here(blobs):
    linear = [(f"c{c}", make_pipeline(PCA(4), LogisticRegression(C=c))) for c in (0.01, 1.0)]
    for method in ("parameters", "logits"):
        merged = MergedClassifier(linear, method=method, cv=3).fit(blobs.X, blobs.y)
        plain = merged.to_estimator()
        assert type(plain) is LogisticRegression
        np.testing.assert_allclose(
            plain.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test), atol=1e-10
        )
    trees = [(f"n{n}", ExtraTreesClassifier(n, random_state=0)) for n in (3, 7)]
    merged = MergedClassifier(trees, method="probabilities", cv=3).fit(blobs.X, blobs.y)
    np.testing.assert_allclose(
        merged.to_estimator().predict_proba(blobs.X_test),
        merged.predict_proba(blobs.X_test),
        atol=1e-12,
    )
