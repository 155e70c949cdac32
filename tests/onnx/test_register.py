"""register: skl2onnx's own to_onnx with our estimators inside others."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.onnx import register
from tests.onnx.sessions import feeds, same

BOTH = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
MERGED = MergedClassifier(BOTH, method="logits", cv=2)


def by_skl2onnx(model, X):
    register()
    register()  # again changes nothing
    options = {"zipmap": False} if not isinstance(model, MergedClassifier) else None
    converted = skl2onnx.to_onnx(model, X[:1], target_opset=18, options=options)
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    return session.run(None, feeds(X))


MODELS = [
    MERGED,
    make_pipeline(StandardScaler(), TemperatureCalibrator(MERGED, cv=2)),
    StackingClassifier([("merged", MERGED), ("bayes", GaussianNB())], cv=2),
    VotingClassifier(
        [
            ("merged", make_pipeline(StandardScaler(), MERGED)),
            ("two", LinearDiscriminantAnalysis()),
        ],
        voting="soft",
        flatten_transform=False,
    ),
    CalibratedClassifierCV(MERGED, cv=2),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), cv=2),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_our_estimators_inside_others(data, model):
    X, y = data
    dtype = ["float32", "float64"][(MODELS.index(model) + y.max()) % 2]
    X = X.astype(dtype)
    model = clone(model).fit(X, np.array(["p", "q", "r"])[y])
    labels, proba = by_skl2onnx(model, X)
    assert proba.dtype == dtype
    np.testing.assert_allclose(
        proba, model.predict_proba(X), atol=1e-6 if dtype == "float64" else 1e-4
    )
    assert (labels == model.predict(X)).mean() > 0.99


def test_boosters_inside_others_unless_the_user_has_a_converter(data, monkeypatch):
    lightgbm = pytest.importorskip("lightgbm")
    X, y = data
    pair = [("a", lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1)), BOTH[1]]
    model = StackingClassifier(pair, cv=2).fit(X, y)
    np.testing.assert_allclose(by_skl2onnx(model, X)[1], model.predict_proba(X), atol=1e-6)
    known = skl2onnx._supported_operators.sklearn_operator_name_map
    monkeypatch.setitem(known, lightgbm.LGBMClassifier, "TheirOwn")
    register()
    assert known[lightgbm.LGBMClassifier] == "TheirOwn"


def test_columns_of_a_frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "town": rng.choice(["a", "b"], 60)})
    y = (frame.x + (frame.town == "a") > 0.5).to_numpy()
    front = make_column_transformer((OneHotEncoder(), ["town"]), ("passthrough", ["x"]))
    pair = [(name, make_pipeline(front, member)) for name, member in BOTH[:1]]
    merged = MergedClassifier([*pair, ("other", pair[0][1])], cv=2, method="logits").fit(frame, y)
    labels, proba = by_skl2onnx(merged, frame)
    np.testing.assert_allclose(proba, merged.predict_proba(frame), atol=1e-6)
    assert (labels == y.astype(int)).mean() == (merged.predict(frame) == y).mean()


def test_a_frozen_transformer_passes(data):
    X, y = data
    model = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), clone(MERGED)).fit(X, y)
    np.testing.assert_allclose(by_skl2onnx(model, X)[1], model.predict_proba(X), atol=1e-6)


def test_fronts_of_merged_pipelines_flag_missing_numbers():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["age", "pay"]).mask(
        rng.random((60, 2)) < 0.2
    )
    X["city"] = rng.choice(list("abc"), 60)
    y = (X["age"].fillna(1.0) > 0).astype(int)
    encoder = OneHotEncoder(handle_unknown="ignore")
    steps = make_pipeline(SimpleImputer(), StandardScaler())
    front = ColumnTransformer([("n", steps, ["age", "pay"]), ("c", encoder, ["city"])])
    members = [
        make_pipeline(clone(front), LogisticRegression()).fit(X[i::2], y[i::2]) for i in range(2)
    ]
    merged = MergedClassifier.from_fitted(members, X, y, method="parameters")
    assert "MissingIndicator" in repr(merged.merged_estimator_)
    for model in (merged, merged.to_estimator(X)):
        same(model, X)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [np.nan, -1.0])
def test_flags_of_missing_values(kind, missing):
    X = np.array([[0.5, missing, 1.0], [missing, 2.0, 3.0]] * 10, dtype=kind)
    flags = MissingIndicator(missing_values=missing)
    model = make_pipeline(flags, LogisticRegression()).fit(X, np.arange(20) % 2)
    same(model, X)


def test_flags_of_whole_numbers():
    X = pd.DataFrame({"a": np.arange(20) % 3, "b": np.linspace(0, 1, 20)})
    flags = MissingIndicator(missing_values=0, features="all")
    model = make_pipeline(make_column_transformer((flags, ["a"])), LogisticRegression())
    same(model.fit(X, X["a"] == 0), X)  # as numbers in double precision
    register()
    with pytest.raises(TypeError, match="make them floating"):
        skl2onnx.to_onnx(flags.fit(X[["a"]]), X[["a"]].to_numpy())
