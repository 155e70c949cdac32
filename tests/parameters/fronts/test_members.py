"""Fronts of all kinds that one front can stand for, and those that are refused with a remedy."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_logits
from tests.parameters.fronts.sites import (
    NUMBERS,
    TEXTS,
    awkward,
    columns,
    imputed,
    logistic,
    members_of,
    one_hot,
    people,
    with_unknown,
)
from tests.strategies import seeds

pytestmark = pytest.mark.filterwarnings(
    "ignore:Skipping features without any observed values",
    "ignore:Found unknown categories",
    "ignore:lbfgs failed to converge",
)


def filled(*steps):
    return make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), *steps)


def of_parts(numbers, city, *, columns=("age", "pay")):
    return ColumnTransformer([("n", numbers, list(columns)), ("c", city, ["city"])])


def error_of_one(members, *inputs):
    """The largest error in the logits of one model of members, relative to their size."""
    weights = np.array([0.4, 0.6, 0.3])[: len(members)]
    plain = merge_logits(members, weights)
    errors = []
    for X in inputs:
        expected = sum(w * m.decision_function(X) for w, m in zip(weights, members, strict=True))
        error = np.abs(plain.decision_function(X) - expected).max()
        errors.append(error / max(1.0, np.abs(expected).max()))
    return max(errors)


KINDS = {
    "binary dropped": lambda: columns(imputed(StandardScaler()), one_hot(drop="if_binary")),
    "rare and first dropped": lambda: columns(
        imputed(MinMaxScaler()), one_hot(drop="first", min_frequency=0.2)
    ),
    "few kept": lambda: make_pipeline(
        columns(imputed(StandardScaler()), one_hot(max_categories=3)),
        MaxAbsScaler(),
        VarianceThreshold(0.001),
    ),
    "turned": lambda: make_pipeline(columns(imputed(MinMaxScaler()), one_hot()), TruncatedSVD(4)),
    "missing ones coded": lambda: columns(
        imputed(strategy="constant", fill_value=-1),
        OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
        ),
    ),
    "unknown ones imputed": lambda: columns(
        imputed(),
        make_pipeline(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
            SimpleImputer(),
        ),
    ),
    "a category imputed": lambda: of_parts(
        imputed(StandardScaler()),
        filled(SimpleImputer(missing_values="b", strategy="most_frequent"), one_hot()),
    ),
    "flags of texts": lambda: FeatureUnion(
        [
            ("all", columns(imputed(StandardScaler()), one_hot())),
            ("flags", ColumnTransformer([("f", MissingIndicator(features="all"), ["city"])])),
        ]
    ),
    "columns by type, weighted": lambda: ColumnTransformer(
        [
            ("n", imputed(StandardScaler()), make_column_selector(dtype_include="number")),
            ("c", one_hot(sparse_output=False), slice("city", "city")),
        ],
        transformer_weights={"n": 2.0},
    ).set_output(transform="pandas"),
    "the rest scaled": lambda: ColumnTransformer(
        [("c", one_hot(), TEXTS)], remainder=FrozenEstimator(imputed().fit(people(5)[0][NUMBERS]))
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_each_column_are_folded(kind):
    assert error_of_one(members_of(KINDS[kind], logistic, True), awkward()[0]) < 1e-9


def test_members_need_not_have_the_same_steps():
    X, y = people(0)
    parts = [
        columns(imputed(StandardScaler()), one_hot()),
        ColumnTransformer([("n", imputed(MinMaxScaler(), add_indicator=True), ["pay", "age"])]),
        of_parts(imputed(), filled(with_unknown()), columns=["lost"]),
    ]
    members = [make_pipeline(part, LogisticRegression()).fit(X, y) for part in parts]
    for pair in (members[:2], members[1:]):
        assert error_of_one(pair, awkward()[0]) < 1e-9


def test_three_classes_of_a_target_encoder():
    members = []
    for seed in range(2):
        X, y = people(seed)
        y = np.where(X["pay"].fillna(0) > 3.5e4, "much", y)
        members.append(
            make_pipeline(columns(imputed(StandardScaler()), TargetEncoder()), logistic(0)).fit(
                X, y
            )
        )
    assert error_of_one(members, awkward()[0]) < 1e-9


@pytest.mark.parametrize("bare", [0, 1])
def test_a_member_without_preprocessing_takes_no_missing_values(bare):
    X, y = people(0)
    X = X[["age", "pay", "code"]]
    whole = X.fillna(X.mean())
    members = [make_pipeline(imputed(StandardScaler()), logistic(0)).fit(X, y)]
    members.insert(bare, logistic(0).fit(whole, y))
    assert error_of_one(members, whole) < 1e-9
    with pytest.raises(ValueError, match="contains NaN"):  # as the member itself
        merge_logits(members, [0.5, 0.5]).predict(X)


def test_counts_stay_counts():
    X, y = people(0)
    front = ColumnTransformer([("n", imputed(MinMaxScaler()), ["pay"]), ("c", one_hot(), ["city"])])
    members = [make_pipeline(clone(front), MultinomialNB()).fit(X[i::2], y[i::2]) for i in range(2)]
    rows = awkward()[0].assign(pay=X["pay"].clip(lower=X["pay"].median()))
    plain = merge_logits(members, [0.5, 0.5])
    logs = [
        model[-1].predict_joint_log_proba(model[:-1].transform(rows)) for model in (*members, plain)
    ]
    np.testing.assert_allclose(logs[2], (logs[0] + logs[1]) / 2)


def test_nothing_of_the_members_is_changed():
    members = members_of(KINDS["few kept"], logistic, True)
    before = [pickle.dumps(member) for member in members]
    merge_logits(members, [0.5, 0.5])
    assert [pickle.dumps(member) for member in members] == before


def test_arrays_of_objects_with_none():
    X, y = people(0)
    rows = X[["age", "city", "code"]].astype(object).to_numpy()
    rows[::9, 1] = rows[1::9, 2] = None
    front = ColumnTransformer([("n", imputed(StandardScaler()), [0, -1]), ("c", one_hot(), [1])])
    members = [make_pipeline(clone(front), logistic(0)).fit(rows[i::2], y[i::2]) for i in range(2)]
    assert error_of_one(members, np.vstack([rows, [[1.0, "new", 2.0], [2.0, np.nan, 3.0]]])) < 1e-9


def test_a_category_of_missing_values_of_pandas():
    X, y = people(0)
    X = X.assign(city=X["city"].astype("string"), code=X["code"].astype("Int64"))
    strings = make_pipeline(
        SimpleImputer(missing_values=pd.NA, strategy="most_frequent"), one_hot()
    )
    front = ColumnTransformer([("n", imputed(), ["age", "code"]), ("c", strings, ["city"])])
    members = [make_pipeline(clone(front), logistic(0)).fit(X[i::2], y[i::2]) for i in range(2)]
    rows = X.copy()
    rows.loc[:5, "city"] = "<NA>"  # a category like another, which no member knows
    rows.loc[6:9, "city"] = pd.NA
    assert error_of_one(members, rows) < 1e-9


def test_sparse_fronts_stay_sparse():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=400), "c": rng.integers(0, 300, 400).astype(str)})
    y = rng.integers(0, 2, 400)
    front = ColumnTransformer([("n", StandardScaler(), ["a"]), ("c", one_hot(), ["c"])])
    members = [make_pipeline(clone(front), logistic(0)).fit(X[i::2], y[i::2]) for i in range(2)]
    assert error_of_one(members, X) < 1e-9
    assert hasattr(merge_logits(members, [0.5, 0.5])[0].transform(X), "tocsr")


def frozen(front):
    return FrozenEstimator(front.fit(*people(0, gaps=False)))


def as_text(front):
    """Members of which the second was fitted on a column of other values."""

    def fit(seed, X, y):
        values = X["code"].astype(int)
        X = X.assign(code=values.map(str).astype(object) if front(seed) else values)
        return make_pipeline(ColumnTransformer([("c", one_hot(), ["code"])]), logistic(0)).fit(X, y)

    return fit


def by_front(front):
    def fit(seed, X, y):
        return make_pipeline(front(seed), logistic(0)).fit(X, y)

    return fit


def many(**settings):
    def fit(seed, X, y):
        X = pd.DataFrame({"c": [f"{seed} {i}" for i in range(30)] * 2})
        front = ColumnTransformer([("c", one_hot(**settings), ["c"])])
        return make_pipeline(front, logistic(0)).fit(X, y)

    return fit


def strict(**settings):
    return lambda seed: of_parts(StandardScaler(), one_hot(handle_unknown="error", **settings))


def cities(*steps):
    return lambda seed: of_parts(StandardScaler(), make_pipeline(*steps, one_hot()))


def curved(seed):
    return of_parts(QuantileTransformer(n_quantiles=5), one_hot())


SENTINEL = SimpleImputer(missing_values="b", strategy="most_frequent")

#: Members that are refused, what the error says, and members that follow its remedy.
REFUSED = {
    "categories that some refuse": (
        by_front(strict()),
        r"'number 0' refuses categories of column 'city' .* 'number 1' know other ones \(e\)",
        [
            by_front(strict(categories=[list("abcde")])),
            by_front(lambda seed: of_parts(StandardScaler(), one_hot())),
        ],
    ),
    "a number here, a category there": (
        by_front(
            lambda seed: (
                of_parts(StandardScaler(), one_hot(), columns=["age", "code"][: seed + 1])
                if seed
                else ColumnTransformer([("c", one_hot(), ["code"])])
            )
        ),
        "column 'code' is a number in estimator 'number 1' and a category in 'number 0'",
        [by_front(lambda seed: of_parts(StandardScaler(), one_hot(), columns=["age", "code"]))],
    ),
    "text here, numbers there": (
        as_text(lambda seed: seed == 1),
        "column 'code' holds text in the rows that fitted estimator 'number 1'",
        [as_text(lambda seed: False)],
    ),
    "NaN that an imputer refuses": (
        by_front(cities(SENTINEL)),
        "takes unknown categories in column 'city' but no NaN, .* NaN as the first step there",
        [by_front(cities(SimpleImputer(strategy="most_frequent"), SENTINEL))],
    ),
    "a curve": (
        by_front(curved),
        "differ in 'quantiles_' of QuantileTransformer, .* makes of column 'age', column 'pay'",
        [by_front(lambda seed: frozen(curved(seed)))],
    ),
    "numbers that mean missing": (
        by_front(
            lambda seed: of_parts(
                make_pipeline(SimpleImputer(missing_values=3.0), StandardScaler()), one_hot()
            )
        ),
        "What StandardScaler makes of column 'age' here is neither affine",
        [by_front(lambda seed: of_parts(imputed(StandardScaler()), one_hot()))],
    ),
    "a clipped scaler": (
        by_front(lambda seed: of_parts(MinMaxScaler(clip=True), one_hot())),
        "What MinMaxScaler makes of column 'age'",
        [by_front(lambda seed: of_parts(MinMaxScaler(), one_hot()))],
    ),
    "too many categories": (
        many(),
        "a common front of 60 columns, more than the 50 .* column 'c' has 60",
        [many(max_categories=9, handle_unknown="infrequent_if_exist")],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_front_gives_is_refused_with_a_remedy(case, monkeypatch):
    monkeypatch.setattr("skmergecal.parameters.fronts._front.MAX_WIDTH", 50)  # 5,000 take long
    refused, message, remedies = REFUSED[case]
    rows = [people(seed, gaps=False, cities="abcde"[: 4 + seed]) for seed in range(2)]
    with pytest.raises(IncompatibleEstimatorsError, match=message):
        merge_logits([refused(i, *part) for i, part in enumerate(rows)], [0.5, 0.5])
    for remedy in remedies:
        assert merge_logits([remedy(i, *part) for i, part in enumerate(rows)], [0.5, 0.5])


def test_categories_that_all_know_are_refused_beyond():
    X, y = people(0, gaps=False)
    members = [make_pipeline(strict()(0), logistic(seed)).fit(X, y) for seed in range(2)]
    members[1][0].fit(X.assign(pay=X["pay"] * 2), y)  # the same categories, another scale
    assert error_of_one(members, X) < 1e-9
    with pytest.raises(ValueError, match="unknown categories"):  # as the members
        merge_logits(members, [0.5, 0.5]).predict(X.assign(city="new"))


def test_pandas_na_beside_other_missing_values():
    X, y = people(0)
    X = X.assign(city=X["city"].astype("string"))
    imputer = SimpleImputer(missing_values=pd.NA, strategy="most_frequent")

    def fit(rows, *steps):
        front = ColumnTransformer([("c", make_pipeline(*steps, one_hot()), ["city"])])
        return make_pipeline(front, logistic(0)).fit(rows, y)

    plain = X.assign(city=X["city"].astype(object).where(X["city"].notna(), np.nan))
    members = [fit(X, imputer), fit(plain)]
    with pytest.raises(IncompatibleEstimatorsError, match=r"treat pd\.NA in column 'city' unlike"):
        merge_logits(members, [0.5, 0.5])
    members = [fit(plain, SimpleImputer(strategy="most_frequent")), fit(plain)]
    assert error_of_one(members, plain) < 1e-9


@pytest.mark.parametrize("rest", ["drop", "passthrough"])
def test_members_of_frames_with_other_columns_in_another_order(rest):
    X, y = people(0)
    more = X.assign(first=np.arange(60.0))
    frames = [X, more[["first", *X.columns[::-1]]], more.drop(columns="lost")]
    parts = [
        columns(imputed(StandardScaler()), one_hot(), remainder=rest),
        make_union(columns(imputed(MinMaxScaler()), one_hot(), remainder=rest)),
        FrozenEstimator(ColumnTransformer([("n", imputed(), ["pay"]), ("c", one_hot(), [1, -3])])),
    ]
    parts[2].estimator.fit(frames[2])
    members = [
        make_pipeline(part, logistic(0)).fit(frame, y)
        for part, frame in zip(parts, frames, strict=True)
    ]
    rows = awkward()[0].assign(first=np.linspace(-5, 5, 60))
    for some in (members, members[1:]):
        assert error_of_one(some, rows, rows[rows.columns[::-1]]) < 1e-9
    merged = MergedClassifier.from_fitted(members, more, y, method="parameters", weights=None)
    pooled = MergedClassifier.from_fitted(members, more, y, method="logits", weights=None)
    np.testing.assert_allclose(merged.predict_proba(rows), pooled.predict_proba(rows), atol=1e-9)


def test_members_whose_columns_are_not_picked_by_name():
    X, y = people(0)
    members = [
        make_pipeline(*steps, columns(imputed(), one_hot()), logistic(0)).fit(frame, y)
        for steps, frame in (
            ([], X),
            ([FunctionTransformer(feature_names_out="one-to-one")], X[X.columns[::-1]]),
        )
    ]
    with pytest.raises(IncompatibleEstimatorsError, match="feature_names differ"):
        merge_logits(members, [0.5, 0.5])


def test_members_fitted_here_each_have_their_own_front():
    X, y = people(0, n=80)
    members = {
        name: make_pipeline(columns(imputed(StandardScaler()), one_hot()), logistic(power))
        for name, power in (("weak", -1), ("strong", 1))
    }
    merged = MergedClassifier(members, method="parameters", cv=2, calibrate="merged").fit(X, y)
    plain = merged.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-9)
    assert np.isfinite(merged.barrier_)


@pytest.mark.thorough
@settings(max_examples=5)
@given(seed=seeds)
def test_any_sites(seed):
    rng = np.random.default_rng(seed)
    kinds = list(KINDS.values())
    members = []
    for _ in range(2):
        chosen = "".join(rng.choice(list("abcdef"), size=rng.integers(2, 7), replace=False))
        X, y = people(int(rng.integers(1000)), n=30, cities=chosen)
        X = X.assign(**{str(rng.choice(NUMBERS)): rng.choice([np.nan, 0.0, 1e6])})
        front = kinds[rng.integers(len(kinds))]()
        model = LogisticRegression(C=10.0 ** rng.integers(-2, 2), max_iter=3000)
        members.append(make_pipeline(front, model).fit(X, y))
    assert error_of_one(members, awkward(int(rng.integers(1000)))[0]) < 1e-8
