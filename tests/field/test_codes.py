"""Members that take no labels but 0..k-1, as XGBoost, and models that were trained on codes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
    compare_fit_orders,
    fit_orders,
    merge_path,
)
from tests.nets import layers, net

NAMES = np.array(["bad", "good", "medium"])


class TakesCodes(ClassifierMixin, BaseEstimator):
    """Refuses labels other than 0..k-1, as XGBClassifier does, and forgets what they were."""

    def __init__(self, smoothing=1e-3):
        self.smoothing = smoothing

    def fit(self, X, y, sample_weight=None, eval_set=None):
        found = np.unique(np.asarray(y))
        if not np.array_equal(found, np.arange(len(found))):
            raise ValueError(f"Expected: {np.arange(len(found))}, got {found}")
        self.model_ = GaussianNB(var_smoothing=self.smoothing).fit(X, y, sample_weight)
        self.scores_ = [self.model_.score(*pair) for pair in eval_set or []]
        return self

    @property
    def classes_(self):
        return np.arange(len(self.model_.classes_))

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


class EncodesItself(TakesCodes):
    """Takes any labels, and calls them 0..k-1 afterwards."""

    def fit(self, X, y):
        return super().fit(X, np.unique(y, return_inverse=True)[1])


KINDS = {
    "bare": TakesCodes,
    "pipeline": lambda: make_pipeline(StandardScaler(), TakesCodes()),
    "search": lambda: GridSearchCV(TakesCodes(), {"smoothing": [1e-3]}, cv=2),
    "search in a pipeline": lambda: make_pipeline(
        StandardScaler(), GridSearchCV(TakesCodes(), {"smoothing": [1e-3]}, cv=2)
    ),
    "bagging": lambda: BaggingClassifier(TakesCodes(), n_estimators=2, random_state=0),
    "calibrated": lambda: CalibratedClassifierCV(TakesCodes(), cv=2),
    "calibrator": lambda: TemperatureCalibrator(TakesCodes(), cv=2),
    "forgetful": EncodesItself,
}
LABELS = {
    "names": NAMES,
    "1..3": np.array([1, 2, 3]),
    "from -1": np.array([-1, 0, 1]),
    "gaps": np.array([3, 13, 23]),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_member_that_takes_codes_is_fitted_on_labels_of_any_kind(blobs, kind):
    def fitted(y):
        return MergedClassifier([("m", KINDS[kind]())], method="logits", cv=2).fit(blobs.X, y)

    expected = fitted(blobs.y).predict_proba(blobs.X_test)
    turn = list(KINDS).index(kind) % 3  # each kind of labels with several kinds of members
    for labels in (NAMES, list(LABELS.values())[1 + turn]):
        merged = fitted(labels[blobs.y])
        assert merged.classes_.tolist() == labels.tolist()
        np.testing.assert_array_equal(merged.predict_proba(blobs.X_test), expected)
        np.testing.assert_array_equal(merged.predict(blobs.X_test), labels[expected.argmax(axis=1)])


class Weighted(TakesCodes):
    """Its weights of classes are by the labels that the user has."""

    def __init__(self, smoothing=1e-3, class_weight=None):
        super().__init__(smoothing)
        self.class_weight = class_weight

    def fit(self, X, y):
        return super().fit(X, y, np.array([self.class_weight[label] for label in y.tolist()]))


@pytest.mark.parametrize(
    "build",
    [
        lambda member: member,
        lambda member: make_pipeline(StandardScaler(), member),
        lambda member: GridSearchCV(member, {"smoothing": [1e-3]}, cv=2),
    ],
    ids=["bare", "pipeline", "search"],
)
def test_weights_of_classes_are_by_label(blobs, build):
    weights, probas = [1.0, 5.0, 2.0], []
    for labels in (NAMES, np.arange(3)):
        by_label = dict(zip(labels.tolist(), weights, strict=True))
        member = build(Weighted(class_weight=by_label))
        merged = MergedClassifier([("m", member)], weights=None).fit(blobs.X, labels[blobs.y])
        probas.append(merged.predict_proba(blobs.X_test))
    np.testing.assert_array_equal(*probas)


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("labels", [[0, 1, 2], NAMES])
def test_a_fold_that_misses_a_class(blobs, lost, labels):
    y = np.where(blobs.y == lost, (lost + 1) % 3, blobs.y)
    y[7] = lost
    folds = [(np.setdiff1d(np.arange(200), t), t) for t in np.array_split(np.arange(200), 2)]

    def held_out(member):
        model = MergedClassifier([("m", member)], method="logits", weights=None, cv=folds)
        with pytest.warns(UserWarning, match="training rows miss classes"):
            return model.fit_held_out(blobs.X, np.asarray(labels)[y]).log_proba

    # Scores without a fitted temperature: both members are softened in the same way.
    expected = held_out(EncodesItself())
    np.testing.assert_array_equal(held_out(TakesCodes()), expected)
    assert np.isfinite(expected).all()


def test_two_classes_named_minus_one_and_one(binary):
    for labels in ([-1, 1], [False, True], ["no", "yes"]):
        y = np.array(labels)[binary.y]
        model = TemperatureCalibrator(TakesCodes(), cv=3).fit(binary.X, y)
        assert model.classes_.tolist() == labels
        assert model.score(binary.X, y) > 0.7


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("kind", ["merged", "in a pipeline", "calibrator"])
def test_eval_set_gets_the_codes_of_its_labels(blobs, routing, kind):
    member = TakesCodes().set_fit_request(eval_set=True, sample_weight=True)
    plain = FunctionTransformer()
    model = {
        "merged": lambda: MergedClassifier([("m", member)], cv=2),
        "in a pipeline": lambda: MergedClassifier([("m", make_pipeline(plain, member))], cv=2),
        "calibrator": lambda: TemperatureCalibrator(member, cv=2),
    }[kind]()
    rows, weight = [(blobs.X_held, NAMES[blobs.y_held])], np.ones(len(blobs.X))
    model.fit(blobs.X, NAMES[blobs.y], sample_weight=weight, eval_set=rows)
    fitted = model.estimator_ if kind == "calibrator" else model.estimators_[0]
    fitted = fitted[-1] if kind == "in a pipeline" else fitted
    bayes = GaussianNB(var_smoothing=1e-3).fit(blobs.X, blobs.y)
    assert fitted.scores_ == [bayes.score(blobs.X_held, blobs.y_held)]


class Rows:
    """Rows of a kind that a library has for itself, as CatBoost's Pool."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __iter__(self):
        return iter((self.X, np.searchsorted(NAMES, self.y)))


@pytest.mark.parametrize(
    "spelled",
    [
        lambda X, y: [(X, y)] * 2,
        lambda X, y: [[X, y]] * 2,
        lambda X, y: ((X, y), (X, y)),
        lambda X, y: [Rows(X, y)] * 2,
        lambda X, y: (X, y),
        Rows,
    ],
    ids=["pairs", "lists", "tuple of pairs", "own kind in a list", "one pair", "own kind"],
)
def test_eval_set_in_the_spellings_of_libraries(blobs, routing, spelled):
    class Spelled(TakesCodes):
        def fit(self, X, y, eval_set=None):
            several = isinstance(eval_set, list)
            return super().fit(X, y, eval_set=eval_set if several else [eval_set])

    model = MergedClassifier([("m", Spelled().set_fit_request(eval_set=True))], weights=None)
    rows = spelled(blobs.X_held, NAMES[blobs.y_held])
    scores = model.fit(blobs.X, NAMES[blobs.y], eval_set=rows).estimators_[0].scores_
    assert set(scores) == {
        GaussianNB(var_smoothing=1e-3).fit(blobs.X, blobs.y).score(blobs.X_held, blobs.y_held)
    }


def test_eval_set_with_a_label_that_no_row_has(blobs, routing):
    member = TakesCodes().set_fit_request(eval_set=True)
    known = blobs.y != 2
    X, y = blobs.X[known], NAMES[blobs.y[known]]
    model = MergedClassifier([("m", member)], weights=None)
    with pytest.raises(ValueError, match="Expected") as caught:
        model.fit(X, y, eval_set=[(blobs.X_held, NAMES[blobs.y_held])])
    assert any("leave these rows out of it" in note for note in caught.value.__notes__)
    known = blobs.y_held != 2
    model.fit(X, y, eval_set=[(blobs.X_held[known], NAMES[blobs.y_held[known]])])  # the remedy
    assert len(model.estimators_[0].scores_) == 1


def test_comparing_orders_of_members_that_take_codes(blobs):
    members = [("codes", TakesCodes()), ("labels", LogisticRegression())]
    settings = {"method": "logits", "weights": None}

    def scores(y):
        table = compare_fit_orders(members, blobs.X, y, cv=2, random_state=0, **settings)
        return table["mean"].to_numpy()

    np.testing.assert_allclose(scores(NAMES[blobs.y]), scores(blobs.y), rtol=1e-12)
    order = fit_orders(members, **settings, cv=2)["calibrate-then-merge"]
    assert order.fit(blobs.X, NAMES[blobs.y]).classes_.tolist() == NAMES.tolist()


@pytest.mark.parametrize("teacher", [TakesCodes(), net(layers(), max_epochs=2)])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_teachers_that_take_codes(blobs, teacher):
    student = MLPClassifier((4,), max_iter=1, random_state=0)
    model = FineTunedClassifier(student, target="members", teacher=teacher, random_state=0)
    X = blobs.X.astype(np.float32)
    predictions = []
    for y in (NAMES[blobs.y], blobs.y):
        torch.manual_seed(0)
        predictions.append(clone(model).fit(X, y).predict(X))
    np.testing.assert_array_equal(predictions[0], NAMES[predictions[1]])


def test_nets_in_searches_learn_labels_of_any_kind(blobs):
    torch.manual_seed(0)
    X = blobs.X.astype(np.float32)
    search = GridSearchCV(net(layers()), {"lr": [0.1]}, cv=2)
    merged = MergedClassifier([("net", search)], weights=None).fit(X, NAMES[blobs.y])
    expected = NAMES[merged.estimators_[0].predict(X)]
    np.testing.assert_array_equal(merged.predict(X), expected)


def test_a_fit_that_fails_for_another_reason_says_so(blobs):
    class Broken(TakesCodes):
        def fit(self, X, y):
            super().fit(X, y)
            raise RuntimeError("no space left")

    class NeedsPositive(GaussianNB):
        fits = 0

        def fit(self, X, y):
            type(self).fits += 1
            if np.min(X) < 0:
                raise ValueError("negative values")
            return super().fit(X, y)

    with pytest.raises(ValueError, match="Expected") as caught:
        MergedClassifier([("b", Broken())]).fit(blobs.X, NAMES[blobs.y])
    assert "no space left" in " ".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="no space left"):
        MergedClassifier([("b", Broken())]).fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="negative values") as caught:
        MergedClassifier([("b", NeedsPositive())]).fit(blobs.X, NAMES[blobs.y])
    assert caught.value.__notes__ == ["while fitting estimator 'b'"]
    for member, labels, fits in (
        (NeedsPositive(), range(3), 1),  # codes would be the same labels
        (NeedsPositive(), NAMES, 2),
        (TemperatureCalibrator(NeedsPositive()), NAMES, 2),  # it tried codes itself
    ):
        NeedsPositive.fits = 0
        with pytest.raises(ValueError, match="negative values"):
            MergedClassifier([("b", member)]).fit(blobs.X, np.asarray(labels)[blobs.y])
        assert NeedsPositive.fits == fits


def test_a_net_whose_fit_fails_is_fitted_once(blobs):
    """It learns labels of any kind: codes would not help."""
    forwards = []

    class Broken(torch.nn.Module):
        def forward(self, X):
            forwards.append(len(X))
            raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        MergedClassifier([("net", net(layers(end=[Broken()])))]).fit(
            blobs.X.astype(np.float32), NAMES[blobs.y]
        )
    assert len(forwards) == 1


def on_codes(blobs):
    return TakesCodes().fit(blobs.X, blobs.y)


@pytest.mark.parametrize(
    ("labels", "method"),
    list(zip(LABELS, ["auto", "logits", "probabilities", "auto"], strict=True)),
)
def test_a_frozen_model_on_codes_is_named_and_the_remedies_work(blobs, labels, method):
    labels, model = LABELS[labels], on_codes(blobs)
    y = labels[blobs.y_held]
    named = re.escape(str(labels.tolist()))
    match = (
        rf"'xgb' has the classes \[0, 1, 2\], y has {named}: was it trained on codes\?"
        rf".*classes={{'xgb': {named}}}.*pass y as it was"
    )
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted({"xgb": model}, blobs.X_held, y, method=method)
    expected = MergedClassifier.from_fitted(
        {"xgb": model}, blobs.X_held, blobs.y_held, method=method
    ).predict_proba(blobs.X_test)
    for classes in ({"xgb": labels.tolist()}, labels):
        merged = MergedClassifier.from_fitted(
            {"xgb": model}, blobs.X_held, y, method=method, classes=classes
        )
        np.testing.assert_array_equal(merged.predict_proba(blobs.X_test), expected)
        assert set(merged.predict(blobs.X_test)) <= set(labels)


def test_a_calibrator_is_told_what_codes_mean(blobs):
    frozen = FrozenEstimator(on_codes(blobs))
    y = NAMES[blobs.y_held]
    with pytest.raises(ValueError, match=r"TemperatureCalibrator\(\.\.\., classes=\['bad', 'good'"):
        TemperatureCalibrator(frozen).fit(blobs.X_held, y)
    expected = TemperatureCalibrator(frozen).fit(blobs.X_held, blobs.y_held)
    told = TemperatureCalibrator(frozen, classes=NAMES.tolist())
    assert told.fit(blobs.X_held, y).temperature_ == expected.temperature_
    assert clone(told).fit(blobs.X_held, y).score(blobs.X_test, NAMES[blobs.y_test]) > 0.5
    stream = clone(told).partial_fit(blobs.X_held, y)
    assert stream.classes_.tolist() == NAMES.tolist()
    shared = TemperatureCalibrator.from_statistics(
        stream.statistics_, frozen, classes=NAMES.tolist()
    )
    np.testing.assert_array_equal(shared.predict(blobs.X_test), stream.predict(blobs.X_test))


def test_reports_paths_and_streams_ask_what_codes_mean(blobs):
    model, y = LogisticRegression().fit(blobs.X, blobs.y), NAMES[blobs.y_held]
    match = "has the classes .* was it trained on codes.*pass y as it was in training"
    with pytest.raises(ValueError, match=match):
        calibration_report(model, blobs.X_held, y)
    with pytest.raises(ValueError, match=match):
        merge_path(model, model, blobs.X_held, y)
    with pytest.raises(ValueError, match=match):
        TemperatureCalibrator(FrozenEstimator(model)).partial_fit(blobs.X_held, y)
    few = {"n_resamples": 9}
    calibration_report(model, blobs.X_held, blobs.y_held, **few)  # as it was in training
    merge_path(model, model, blobs.X_held, blobs.y_held, n_points=2)
    told = TemperatureCalibrator(FrozenEstimator(model), classes=NAMES, temperature=1.0)
    report = calibration_report(told.fit(blobs.X_held, y), blobs.X_held, y, **few)
    assert list(report.classes) == NAMES.tolist()


def test_columns_in_another_order_than_the_sorted_labels(blobs):
    order = np.array(["medium", "bad", "good"])  # of the codes 0, 1, 2
    y, y_test = order[blobs.y_held], order[blobs.y_test]
    models = {
        "bayes": GaussianNB().fit(blobs.X, blobs.y),
        "logistic": LogisticRegression().fit(blobs.X, blobs.y),
    }
    for method in ("auto", "logits", "probabilities"):
        merged = MergedClassifier.from_fitted(models, blobs.X_held, y, method=method, classes=order)
        encoded = MergedClassifier.from_fitted(models, blobs.X_held, blobs.y_held, method=method)
        scores = cross_val_score(merged, blobs.X_held, y, cv=2)
        expected = cross_val_score(encoded, blobs.X_held, blobs.y_held, cv=2)
        np.testing.assert_array_equal(scores, expected)
    # And beside a member that knows the labels, and one that is fitted here.
    named = LogisticRegression().fit(blobs.X, order[blobs.y])
    mixed = MergedClassifier.from_fitted(
        {**models, "named": named}, blobs.X_held, y, classes=dict.fromkeys(models, order)
    )
    assert mixed.score(blobs.X_test, y_test) > 0.5
    assert mixed.named_estimators_.bayes.score(blobs.X_test, y_test) > 0.5
    assert mixed.named_estimators_.bayes.theta_ is models["bayes"].theta_
    own = MergedClassifier([*mixed.estimators[:2], ("own", GaussianNB())], cv=2)
    assert own.fit(blobs.X_held, y).score(blobs.X_test, y_test) > 0.5


def test_parameters_and_tuning_of_models_on_codes(blobs):
    order = np.array(["medium", "bad", "good"])
    y, y_test = order[blobs.y_held], order[blobs.y_test]
    logistic = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.1, 1.0)]
    merged = MergedClassifier.from_fitted(
        logistic, blobs.X_held, y, method="parameters", classes=order
    )
    encoded = MergedClassifier.from_fitted(
        logistic, blobs.X_held, blobs.y_held, method="parameters"
    )
    assert merged.score(blobs.X_test, y_test) == encoded.score(blobs.X_test, blobs.y_test)
    sgd = [SGDClassifier(loss="log_loss", random_state=s).fit(blobs.X, blobs.y) for s in range(2)]
    mlp = [
        MLPClassifier((4,), solver="lbfgs", tol=0.01, random_state=s).fit(blobs.X, blobs.y)
        for s in range(2)
    ]
    start = MergedClassifier.from_fitted(
        mlp, blobs.X_held, y, method="parameters", classes=order, barrier_tolerance=100.0
    )
    for model in (start, *merged_of(sgd[:1], blobs, y, order)):
        tuned = FineTunedClassifier(FrozenEstimator(model), epochs=5, random_state=0)
        assert tuned.fit(blobs.X_held, y).score(blobs.X_test, y_test) > 0.5


def merged_of(models, blobs, y, order):
    """Calibrators of models on codes, frozen."""
    for model in models:
        calibrator = TemperatureCalibrator(FrozenEstimator(model), classes=order, temperature=1.0)
        yield calibrator.fit(blobs.X_held, y)


def test_classes_that_cannot_be_meant(blobs, members):
    rows = blobs.X_held, NAMES[blobs.y_held]
    for classes in (["bad", "good"], ["bad", "good", "good"], [["bad", "good", "medium"]]):
        with pytest.raises(ValueError, match=r"classes should give estimator 'm' one label for ea"):
            MergedClassifier.from_fitted({"m": on_codes(blobs)}, *rows, classes={"m": classes})
    with pytest.raises(ValueError, match=r"classes names \['n'\].*among the members \['m'\]"):
        MergedClassifier.from_fitted({"m": on_codes(blobs)}, *rows, classes={"n": NAMES})
    with pytest.raises(ValueError, match="classes is for estimator=None or"):
        TemperatureCalibrator(TakesCodes(), classes=NAMES).fit(*rows)


def test_series_and_categories_reach_a_member_that_takes_codes(blobs):
    index = np.arange(len(blobs.y)) + 1000
    X = pd.DataFrame(blobs.X, columns=list("abcdefgh"), index=index)
    for y in (
        pd.Series(pd.Categorical(NAMES[blobs.y]), index=index),
        pd.Series(NAMES[blobs.y].astype(object), index=index),
    ):
        merged = MergedClassifier([("m", TakesCodes())], cv=2).fit(X, y)
        assert merged.score(X, y) > 0.5
