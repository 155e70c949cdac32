"""to_onnx: inputs, outputs, labels, the comparison, and its errors."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import LinearSVC

import skmergecal
from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import ConversionError
from skmergecal.merging import PredictionColumn
from skmergecal.onnx import to_onnx
from tests.onnx.sessions import ask, same


class Rounded(ClassifierMixin, BaseEstimator):
    """A classifier of the user's own: the first column, rounded."""

    def __init__(self, step=0.0):
        self.step = step

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=100)
    X = y[:, None] + rng.normal(size=(100, 3))
    members = [("linear", LogisticRegression().fit(X, y)), ("bayes", GaussianNB().fit(X, y))]
    return MergedClassifier.from_fitted(members, X, y, method="logits"), X, y


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["no", "yes"], object),
        (np.array(["no", "yes"], dtype=object), object),
        ([-7, 10**10], np.int64),
        (np.array([3, 250], dtype=np.uint8), np.int64),
        ([False, True], np.bool_),
        ([1.0, 2.0], np.float64),
    ],
    ids=str,
)
def test_labels_of_any_kind(pair, labels, kind):
    _, X, y = pair
    model = MergedClassifier([("linear", LogisticRegression()), ("bayes", GaussianNB())], cv=2)
    model.fit(X, np.asarray(labels)[y])
    same(model, X)
    assert ask(to_onnx(model, X), X)[0].dtype == kind


def test_members_that_know_codes_of_the_labels(pair):
    _, X, y = pair
    labels = np.array(["no", "yes"])
    coded = LogisticRegression().fit(X, y)
    members = [("linear", coded), ("bayes", GaussianNB().fit(X, labels[y]))]
    model = MergedClassifier.from_fitted(members, X, labels[y], classes={"linear": labels[::-1]})
    same(model, X)
    same(model.estimators_[0], X)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "bool"])
def test_an_array_is_one_input_of_its_type(pair, dtype):
    model, X, _ = pair
    X = (X.clip(0) * 3).astype(dtype)
    converted = to_onnx(model, X)
    (given,) = converted.graph.input
    kind = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
    assert (given.name, kind) == ("X", np.dtype(dtype))
    same(model, X)


def test_a_frame_is_one_input_per_column():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 3)), columns=["Gemm_1", "two words", "ü"])
    frame["ü"] = frame["ü"].astype("float32")
    y = (frame.sum(axis=1) > 0).to_numpy()
    model = MergedClassifier([("linear", LogisticRegression()), ("bayes", GaussianNB())], cv=2)
    same(model.fit(frame, y), frame)
    assert [i.name for i in to_onnx(model, frame).graph.input] == list(frame)
    renamed = frame.set_axis(["label", "a", "b"], axis=1)
    with pytest.raises(ValueError, match=r"X has columns \['label'\], which are outputs"):
        to_onnx(model, renamed)
    twice = frame.set_axis(["a", "a", "b"], axis=1)
    with pytest.raises(ValueError, match="columns of the same name"):
        to_onnx(model, twice)


def test_outputs_have_names_and_shapes_and_the_file_its_versions(pair):
    model, X, _ = pair
    converted = to_onnx(model, X)
    label, proba = converted.graph.output
    assert [d.dim_value for d in label.type.tensor_type.shape.dim] == [0]
    assert [d.dim_value for d in proba.type.tensor_type.shape.dim] == [0, 2]
    assert {o.domain: o.version for o in converted.opset_import} == {"": 18, "ai.onnx.ml": 3}
    assert converted.producer_version == skmergecal.__version__
    onnx.checker.check_model(converted, full_check=True)
    older = to_onnx(model, X, target_opset=15)
    assert older.opset_import[0].version == 15
    newer = to_onnx(model, X, target_opset={"": 20, "ai.onnx.ml": 4})
    assert {o.version for o in newer.opset_import} == {20, 4}
    with pytest.raises(ValueError, match="target_opset should be 13 or more, or a dict"):
        to_onnx(model, X, target_opset=9)
    assert to_onnx(model, X, target_opset=13).opset_import[0].version == 13
    with pytest.raises(ConversionError, match=r"(?s)onnxruntime cannot run.* older target_opset="):
        to_onnx(model, X, target_opset=99)


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    numbers = polars.DataFrame({"a": y + rng.normal(size=80), "n": rng.integers(9, size=80)})
    same(LogisticRegression().fit(numbers, y), numbers)
    holes = numbers.with_columns(n=polars.when(polars.col("n") > 3).then("n"))
    same(HistGradientBoostingClassifier(max_iter=2).fit(holes, y), holes)
    words = polars.DataFrame({"word": np.where(y, "x", "z"), "kind": rng.choice(["u", "v"], 80)})
    words = words.with_columns(polars.col("kind").cast(polars.Categorical))
    same(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(words, y), words)


def test_text_of_pandas_may_be_missing():
    words = pd.DataFrame({"word": pd.array(["x", "z", "x", pd.NA] * 10, dtype="string")})
    encoder = OneHotEncoder(handle_unknown="ignore").fit(words[:3])
    y = np.arange(3) % 2
    model = make_pipeline(encoder, LogisticRegression()).fit(words[:3], y)
    assert to_onnx(model, words).graph.input[0].type.tensor_type.elem_type == 8  # text


def test_collections_of_dask_are_refused(pair):
    dask = pytest.importorskip("dask.array")
    frames = pytest.importorskip("dask.dataframe")
    model, X, _ = pair
    lazy = dask.from_array(X, chunks=(50, 3))
    with pytest.raises(TypeError, match=r"X is a Dask Array.*X\[:500\].compute\(\) for example"):
        to_onnx(model, lazy)
    same(model, lazy[:500].compute())
    frame = frames.from_pandas(pd.DataFrame(X, columns=list("abc")), npartitions=1)
    with pytest.raises(TypeError, match=r"X is a Dask DataFrame.*X.head\(500\) for example"):
        to_onnx(model, frame)
    named = LogisticRegression().fit(frame.head(500), pair[2][:100])
    same(named, frame.head(500))


@pytest.mark.parametrize("model", [Ridge(), LinearSVC(), None, "m", LogisticRegression], ids=str)
def test_what_has_no_probabilities(pair, model):
    _, X, y = pair
    if hasattr(model, "fit") and not isinstance(model, type):
        model.fit(X, y)
    with pytest.raises(TypeError, match=r"model should be a fitted classifier with predict_proba"):
        to_onnx(model, X)
    if isinstance(model, LinearSVC):
        same(TemperatureCalibrator(FrozenEstimator(model)).fit(X, y), X)


def test_rows_that_cannot_be_inputs(pair):
    model, X, y = pair
    with pytest.raises(TypeError, match=r"X is sparse.*toarray"):
        to_onnx(model, csr_array(X))
    same(model, csr_array(X).toarray())
    with pytest.raises(ValueError, match="X has no rows or no columns"):
        to_onnx(model, X[:0])
    dates = pd.DataFrame({"a": X[:, 0], "on": pd.date_range("2020", periods=len(X))})
    front = FunctionTransformer(lambda frame: frame[["a"]].to_numpy())
    dated = make_pipeline(front, LogisticRegression()).fit(dates, y)
    with pytest.raises(TypeError, match="column 'on' of X holds neither numbers nor text"):
        to_onnx(dated, dates)
    with pytest.raises(NotFittedError):
        to_onnx(TemperatureCalibrator(LogisticRegression()), X)
    frame = pd.DataFrame(X, columns=["a", "b", "label"])
    named = LogisticRegression().fit(frame, y)
    with pytest.raises(ValueError, match=r"X has columns \['label'\].*rename them first"):
        to_onnx(named, frame)
    renamed = frame.rename(columns={"label": "c"})
    same(LogisticRegression().fit(renamed, y), renamed)
    words = pd.DataFrame({"a": X[:, 0], "word": np.where(y, "x", "z")})
    encoder = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    same(make_pipeline(encoder, LogisticRegression()).fit(words, y), words)
    days = dates.assign(on=dates["on"].astype("int64") / 1e18)
    same(LogisticRegression().fit(days, y), days)
    column = LogisticRegression().fit(X[:, :1], y)
    with pytest.raises(ValueError, match=r"got shape \(100,\): try X.reshape\(-1, 1\)"):
        to_onnx(column, X[:, 0])
    same(column, X[:, 0].reshape(-1, 1))


def test_an_estimator_without_a_converter_is_named_with_where_it_is(pair):
    _, X, y = pair
    inner = MergedClassifier([("mine", Rounded()), ("bayes", GaussianNB())], cv=2, method="logits")
    outer = MergedClassifier([("inner", inner), ("linear", LogisticRegression())], cv=2).fit(X, y)
    match = r"estimator 'inner/mine' \(Rounded\) cannot be converted.*Leave it out of the merge"
    with pytest.raises(ConversionError, match=match):
        to_onnx(outer, X)
    outer.set_params(inner__mine="drop")
    same(outer.fit(X, y), X)
    step = make_pipeline(SplineTransformer(3), LogisticRegression())
    spline = MergedClassifier([("spline", step), ("bayes", GaussianNB())], cv=2).fit(X, y)
    with pytest.raises(ConversionError, match=r"a step of estimator 'spline' \(SplineTransformer"):
        to_onnx(spline, X)
    stored = FrozenEstimator(PredictionColumn("p", classes=[0, 1]))
    column = MergedClassifier([("p", stored)], weights=None, method="probabilities")
    with pytest.raises(ConversionError, match=r"estimator 'p'.*its predictions are stored"):
        to_onnx(column.fit(pd.DataFrame({"p": y / 2 + 0.2}), y), pd.DataFrame({"p": y / 2 + 0.2}))


def wrong(scope, operator, container):
    """A converter whose probabilities are too large by a step, as a mistake would make them."""
    label, proba = (variable.full_name for variable in operator.outputs)
    column, p, q = (scope.get_unique_variable_name(name) for name in "cpq")
    container.add_initializer("zero", onnx.TensorProto.INT64, [1], [0])
    container.add_initializer("step", onnx.TensorProto.DOUBLE, [], [operator.raw_operator.step])
    container.add_initializer("one", onnx.TensorProto.DOUBLE, [], [1.0])
    container.add_node("Gather", [operator.inputs[0].full_name, "zero"], column, axis=1, name="g")
    container.add_node("Sigmoid", column, p, name="s")
    container.add_node("Add", [p, "step"], q, name="a")
    rest = scope.get_unique_variable_name("r")
    container.add_node("Sub", ["one", q], rest, name="d")
    container.add_node("Concat", [rest, q], proba, axis=1, name="c")
    container.add_node("ArgMax", proba, label, axis=1, keepdims=0, name="m")


def shapes(operator):
    operator.outputs[1].type.shape = [None, 2]


@pytest.fixture(params=[None, {"zipmap": [True, False]}])
def registered(request):
    """A converter that the user has registered."""
    skl2onnx.update_registered_converter(Rounded, "Rounded", shapes, wrong, options=request.param)
    yield
    skl2onnx._supported_operators.sklearn_operator_name_map.pop(Rounded)
    skl2onnx._parse.sklearn_parsers_map.pop(Rounded, None)


def merge_of(members, X, y):
    inner = MergedClassifier(members, method="logits", weights=None)
    pair = [("inner", make_pipeline(StandardScaler(), inner)), ("bayes", GaussianNB())]
    return MergedClassifier(pair, cv=2, method="logits", weights=None).fit(X, y)


@pytest.mark.usefixtures("registered")
def test_the_member_that_differs_most_is_named(pair):
    _, X, y = pair
    members = [("a", Rounded(1e-4)), ("b", Rounded(2e-3)), ("linear", LogisticRegression())]
    model = merge_of(members, X, y)
    match = r"by up to .*tolerance=1e-05.*estimator 'inner/b' \(Rounded\) differs by 0.002"
    with pytest.raises(ConversionError, match=match) as caught:
        to_onnx(model, X)
    assert "pass a larger tolerance=" in str(caught.value)
    sharp = [("sharp", TemperatureCalibrator(Rounded(2e-3), temperature=0.2)), members[2]]
    match = r"estimator 'inner/sharp/estimator' \(Rounded\) differs by 0.002"
    with pytest.raises(ConversionError, match=match):
        to_onnx(merge_of(sharp, X, y), X)
    to_onnx(model, X, tolerance=0.01)
    same(merge_of(members[2:], X, y), X)
    same(merge_of([("right", Rounded()), members[2]], X, y), X)


@pytest.mark.usefixtures("registered")
def test_a_model_that_is_no_merge_is_compared_too(pair):
    _, X, y = pair
    with pytest.raises(ConversionError, match=r"by up to 0\.003"):
        to_onnx(Rounded(0.003).fit(X, y), X)


class Stubborn(LogisticRegression):
    """Its label is not that of the largest probability."""

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_other_labels_are_found(pair):
    _, X, y = pair
    with pytest.raises(ConversionError, match="gives other labels than the classifier"):
        to_onnx(Stubborn().fit(X, y), X)


@pytest.mark.parametrize("tolerance", [0, -1.0, "small"])
def test_a_tolerance_is_a_positive_number(pair, tolerance):
    model, X, _ = pair
    with pytest.raises(ValueError, match="tolerance"):
        to_onnx(model, X, tolerance=tolerance)


@pytest.mark.parametrize("package", ["onnx", "skl2onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(pair, monkeypatch, package):
    model, X, _ = pair
    monkeypatch.setitem(sys.modules, package, None)
    match = rf"converting to ONNX needs {package}: pip install 'skmergecal\[onnx\]'"
    with pytest.raises(ImportError, match=match):
        to_onnx(model, X)
