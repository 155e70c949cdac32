"""Members of each kind in ONNX, alone: what they are read as, and probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skmergecal import EarlyStopped, MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import ConversionError
from skmergecal.onnx import to_onnx
from tests.onnx.sessions import ask, same

SGD = SGDClassifier(loss="log_loss", random_state=0)
LINEAR = LogisticRegression()
MEMBERS = [
    make_pipeline(StandardScaler(), LINEAR),
    GridSearchCV(LINEAR, {"C": [0.1, 1]}, cv=2),
    LogisticRegression(solver="liblinear", tol=1e-2),
    RidgeClassifier(),
    SGD,
    LinearDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(reg_param=0.1),
    GaussianNB(),
    BernoulliNB(),
    *(
        MLPClassifier((3, 2), activation=a, max_iter=5, early_stopping=True, random_state=0)
        for a in ("identity", "logistic", "tanh", "relu")
    ),
    DecisionTreeClassifier(max_depth=3),
    ExtraTreesClassifier(3, random_state=0),
    GradientBoostingClassifier(n_estimators=3),
    GradientBoostingClassifier(n_estimators=2, init="zero"),
    HistGradientBoostingClassifier(max_iter=3),
    SVC(),
    KNeighborsClassifier(),
    make_pipeline(PowerTransformer(), LINEAR),
    AdaBoostClassifier(n_estimators=3),
    CalibratedClassifierCV(make_pipeline(StandardScaler(), LINEAR), cv=2),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), cv=2, ensemble=False),
    CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), method="isotonic", cv=2),
    VotingClassifier([("a", LINEAR), ("b", "drop"), ("c", GaussianNB())], voting="soft"),
    VotingClassifier([("a", LINEAR), ("c", SGD)], voting="soft", weights=[1, 3]),
    StackingClassifier([("a", LINEAR), ("b", GaussianNB())], cv=2),
]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: str(member).replace("\n", "")[:45])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.filterwarnings("ignore:Attribute `prob[AB]_` was deprecated")
def test_members_of_scikit_learn(data, member):
    X, y = data
    if y.max() > 1:  # some models keep the precision of what they were fitted on
        X = X.astype("float32")
        if "liblinear" in str(member):
            pytest.skip("two classes only")
    same(TemperatureCalibrator(member, temperature=1.5, cv=2).fit(X, y), X, 1e-5)


@pytest.mark.parametrize(
    "member", [MultinomialNB(), ComplementNB(), CategoricalNB(), BernoulliNB(binarize=None)]
)
def test_naive_bayes_of_counts(member):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=120)
    X = rng.poisson(0.5 + (np.arange(5) == y[:, None])).clip(0, 3)
    if isinstance(member, BernoulliNB):
        X = (X > 0).astype(int)
    same(TemperatureCalibrator(member, temperature=2.0).fit(X, y), X)


def test_zeros_of_votes_that_scikit_learn_divides_by_a_temperature(data):
    X, y = data
    X, sure = X[:60], DecisionTreeClassifier(random_state=0)
    try:
        model = CalibratedClassifierCV(sure, method="temperature", cv=2).fit(X, y[:60])
    except ValueError:
        pytest.skip("before 1.8, scikit-learn has no such method")
    same(model, X)


def test_trees_without_a_split(data):
    X, y = (part[:40] for part in data)
    y = np.arange(40) % 2
    same(HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=30).fit(X, y), X)
    same(DecisionTreeClassifier(min_samples_leaf=30).fit(X, y), X)


def people():
    """Rows with numbers of several types, text, and categories, some of them missing."""
    rng = np.random.default_rng(0)
    n = 240
    frame = pd.DataFrame(
        {
            "age": rng.normal(50, 10, n),
            "count": rng.integers(0, 5, n),
            "town of birth": rng.choice(["Aa", "Bb", "Cc"], n),
            "group": pd.Categorical(rng.choice([10, 20, 30, 40], n)),
            "colour": pd.Categorical(rng.choice(["red", "green", "blue"], n)),
            "single": rng.normal(size=n).astype(np.float32),
            "flag": rng.random(n) < 0.4,
        }
    )
    score = frame.age / 10 + 2 * (frame["town of birth"] == "Aa") - 3 * frame.group.isin([20, 30])
    score += 2 * (frame.colour == "red") + frame.flag + rng.normal(scale=0.5, size=n)
    y = np.array(["low", "middle", "top"])[pd.qcut(score, 3, labels=False)]
    return frame, y


def test_columns_of_text_and_numbers():
    frame, y = people()
    frame = frame.drop(columns=["group", "colour"])
    frame.loc[::9, "age"] = np.nan
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town of birth"]),
        (numbers, make_column_selector(dtype_include=float)),
    )
    others = make_column_transformer((OrdinalEncoder(), [2]), ("passthrough", ["count", "flag"]))
    models = {
        "linear": make_pipeline(columns, LogisticRegression()),
        "trees": make_pipeline(others, ExtraTreesClassifier(3, max_depth=4, random_state=0)),
    }
    merged = MergedClassifier(list(models.items()), cv=3).fit(frame, y)
    same(merged, frame)


def words():
    """Text, "nan" among it, some of it missing."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.choice(["x", "nan", "y"], 120), "b": rng.choice(["p", "q"], 120)})
    X = X.astype(object)
    X.loc[::3, "a"], X.loc[::4, "b"] = None, np.nan
    return X, (X.a.isna() ^ (X.a == "nan") ^ X.b.isna()).to_numpy()


@pytest.mark.parametrize(
    "step",
    [
        OneHotEncoder(),
        OneHotEncoder(handle_unknown="ignore", drop="first"),
        OrdinalEncoder(),
        OrdinalEncoder(encoded_missing_value=-1),
        make_column_transformer(
            (OneHotEncoder(), ["a"]),
            (make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()), ["b"]),
        ),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="", missing_values=None)),
    ],
    ids=["encoder", "drop", "numbers", "numbers, missing", "columns", "nested"],
)
def test_missing_text_that_a_step_has_learned_is_the_empty_string(step):
    X, y = words()
    if isinstance(step, Pipeline):
        X, step = X[["a"]], make_pipeline(step, OneHotEncoder())
    model = make_pipeline(step, DecisionTreeClassifier(random_state=0)).fit(X, y)
    proba = ask(to_onnx(model, X.dropna()), X.fillna(""))[1]
    np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-6)


def test_missing_text_that_cannot_be_told_is_refused():
    X, y = words()
    tree = DecisionTreeClassifier()
    for rows, step, match in (
        (X.replace("x", ""), OneHotEncoder(), "more than one category of None, NaN and ''"),
        (X.replace("x", ""), OrdinalEncoder(), "more than one category of None, NaN and ''"),
    ):
        model = make_pipeline(step, tree).fit(rows, y)
        with pytest.raises(ConversionError, match=match):
            to_onnx(model, rows)
    filled = X.fillna("missing")
    same(make_pipeline(OrdinalEncoder(), tree).fit(filled, y), filled)


def test_numbers_of_several_types_are_one_matrix():
    frame, y = people()
    frame = frame[["age", "count", "single", "flag"]]
    models = [("linear", LINEAR), ("neighbours", KNeighborsClassifier())]
    pair = [(n, make_pipeline(StandardScaler(), m)) for n, m in models]
    same(MergedClassifier(pair, cv=2).fit(frame, y), frame)


@pytest.mark.parametrize("dtype", ["int64", "int16", "float32"])
@pytest.mark.parametrize("among_columns", [True, False])
def test_scalers_before_trees_are_as_precise_as_in_python(dtype, among_columns):
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    X = pd.DataFrame(rng.integers(80, size=(300, 3)).astype(dtype), columns=names)
    y = (X.a + X.b + rng.integers(60, size=300) > 110).to_numpy()
    steps = StandardScaler()
    if among_columns:
        X = X.assign(code=rng.choice([3, 10**9, 10**9 + 1], 300))  # equal in single precision
        y = y ^ (X.code == 10**9).to_numpy()
        encoder = OrdinalEncoder(dtype=np.int64)
        steps = make_column_transformer((StandardScaler(), names), (encoder, ["code"]))
    # Thresholds are half way between rows of the fit, where other rows are.
    trees = RandomForestClassifier(10, random_state=0)
    same(make_pipeline(steps, trees).fit(X[::2], y[::2]), X)


@pytest.mark.parametrize("as_frame", [True, False])
def test_categories_and_missing_values_of_histogram_boosting(as_frame):
    frame, y = people()
    for name in ("age", "group", "colour"):
        frame.loc[frame.sample(30, random_state=len(name)).index, name] = np.nan
    if as_frame:
        X = frame.drop(columns="town of birth")
        model = HistGradientBoostingClassifier(max_iter=4, categorical_features="from_dtype")
    else:
        X = frame[["age", "count", "group"]].to_numpy(dtype=float)
        model = HistGradientBoostingClassifier(max_iter=4, categorical_features=[1, 2])
    model.fit(X, y)
    assert any(t.nodes["is_categorical"].any() for trees in model._predictors for t in trees)
    new = X.copy()
    if not as_frame:
        new[:5, 2] = 77  # unknown
    same(model, new)
    same(TemperatureCalibrator(FrozenEstimator(model)).fit(X, y), new)


@pytest.mark.parametrize("missing", [None, "nan", "zero"])
def test_categories_and_missing_values_of_lightgbm(missing):
    lightgbm = pytest.importorskip("lightgbm")
    frame, y = people()
    X = frame.drop(columns="town of birth")
    if missing == "nan":
        for name in ("age", "group", "single"):
            X.loc[X.sample(40, random_state=len(name)).index, name] = np.nan
    if missing == "zero":
        X.loc[::3, "single"] = 0
    model = lightgbm.LGBMClassifier(
        n_estimators=4,
        min_child_samples=5,
        min_data_per_group=3,
        cat_smooth=1,
        verbose=-1,
        n_jobs=1,
        zero_as_missing=missing == "zero",
    )
    new = X.copy()
    if missing is None:
        new.loc[:20, "single"] = np.nan  # none in training: it counts as 0
    for labels in (y, y == "top"):
        model.fit(X, labels)
        assert "==" in str(model.booster_.dump_model())
        same(model, new)


def test_xgboost_with_and_without_early_stopping():
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    X[::5, 1] = np.nan
    for n_classes in (2, 3):
        y = np.digitize(X[:, 0] + rng.normal(size=200), [0, 1][: n_classes - 1])
        model = xgboost.XGBClassifier(n_estimators=6, max_depth=3, early_stopping_rounds=2)
        stopped = EarlyStopped(model, random_state=0).fit(X, y)
        whole = xgboost.XGBClassifier(n_estimators=3, max_depth=2, base_score=0.3).fit(X, y)
        pair = [("stopped", stopped), ("whole", whole)]
        same(MergedClassifier.from_fitted(pair, X, y, weights=None, method="logits"), X, 1e-5)


def test_xgboost_with_categories_is_refused_until_they_are_encoded():
    xgboost = pytest.importorskip("xgboost")
    frame, y = people()
    X, y = frame[["age", "group", "colour"]], y == "top"
    settings = {"n_estimators": 3, "max_depth": 3, "max_cat_to_onehot": 1}
    model = xgboost.XGBClassifier(enable_categorical=True, **settings).fit(X, y)
    with pytest.raises(ConversionError, match="splits by categories: encode them before it"):
        to_onnx(MergedClassifier.from_fitted({"xgb": model, "same": model}, X, y), X)
    for encoder in (OrdinalEncoder(), OneHotEncoder()):
        columns = make_column_transformer((encoder, ["group", "colour"]), remainder="passthrough")
        same(make_pipeline(columns, xgboost.XGBClassifier(**settings)).fit(X, y), X, 1e-5)


def test_the_number_that_stands_for_missing_values_in_xgboost():
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + rng.normal(scale=0.3, size=200) > 0).astype(int)
    full, number = X[:50].copy(), -1234.1  # rounded where XGBoost compares, in single precision
    X[rng.random(X.shape) < 0.3] = number
    X[::7, 1] = np.nan
    for missing in (number, np.nan):
        model = xgboost.XGBClassifier(n_estimators=3, max_depth=3, missing=missing).fit(X, y)
        proba = ask(to_onnx(model, full), X)[1]
        np.testing.assert_allclose(proba, model.predict_proba(X), atol=1e-6)


def test_lightgbm_cuts_categories_to_whole_numbers():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(5, size=200), rng.normal(size=200)])
    y = (X[:, 0] % 2 == 0) ^ (rng.random(200) < 0.1)
    model = lightgbm.LGBMClassifier(
        n_estimators=3, min_child_samples=5, min_data_per_group=3, verbose=-1, n_jobs=1
    )
    model.fit(X, y, categorical_feature=[0])
    converted = to_onnx(model, X)
    new = X.copy()
    new[:, 0] += rng.choice([0.0, 0.5, -0.5, np.nan], 200)
    np.testing.assert_allclose(ask(converted, new)[1], model.predict_proba(new), atol=1e-6)


@pytest.mark.parametrize("setting", ["linear_tree", "pred_early_stop"])
def test_settings_of_lightgbm_that_a_graph_lacks_are_named(setting):
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X[:, 0] + X[:, 1] > 0
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1, **{setting: True})
    with pytest.raises(ConversionError, match=rf"LGBMClassifier.*its {setting}=True.*{setting}"):
        to_onnx(model.fit(X, y), X)
    same(model.set_params(**{setting: False}).fit(X, y), X)
