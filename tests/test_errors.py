"""Every row of the design's error table, and what else users get wrong."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import (
    IncompatibleEstimatorsError,
    MergeBarrierError,
    MergeBarrierWarning,
    RefitWarning,
)
from skmergecal.parameters import read_parameters


def unfitted():
    return [("a", LogisticRegression()), ("b", GaussianNB())]


class Constant(ClassifierMixin, BaseEstimator):
    """Gives whatever it is told to."""

    def __init__(self, output=None):
        self.output = output

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.tile(self.output, (len(X), 1))


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, 2, 3], r"shape \(2,\), one per estimator; got \(3,\)"),
        ([1, -1], "non-negative"),
        ([1, np.nan], "finite"),
        ([0, 0], "all 0"),
        ({"a": 1, "c": 1}, r"unknown names \['c'\], missing names \['b'\]"),
        ({"a": 1}, r"missing names \['b'\]"),
    ],
)
def test_weights(blobs, weights, match):
    with pytest.raises(ValueError, match=match):
        MergedClassifier(unfitted(), weights=weights).fit(blobs.X, blobs.y)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-310, np.nan, np.inf, "warm"])
def test_temperature_must_be_positive(blobs, temperature):
    with pytest.raises(ValueError, match="'temperature' parameter of TemperatureCalibrator"):
        TemperatureCalibrator(temperature=temperature).fit(blobs.X[:, :3], blobs.y)


@pytest.mark.parametrize("name", ["alignment", "repair"])
def test_alignment_and_repair_are_chosen_by_name(blobs, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of MergedClassifier must be a str"):
        MergedClassifier(unfitted(), **{name: "magic"}).fit(blobs.X, blobs.y)


def fitted_nets(blobs, *settings):
    nets = [MLPClassifier(max_iter=5, random_state=0, **s) for s in settings]
    with pytest.warns(UserWarning, match="iterations"):
        return {chr(97 + i): net.fit(blobs.X, blobs.y) for i, net in enumerate(nets)}


def test_different_architectures_name_the_first_tensor_and_both_shapes(blobs):
    nets = fitted_nets(blobs, {"hidden_layer_sizes": (5,)}, {"hidden_layer_sizes": (7,)})
    match = r"'a' and 'b'.*'coefs_\[0\]' has shape \(8, 5\) and \(8, 7\)"
    with pytest.raises(IncompatibleEstimatorsError, match=match):
        MergedClassifier.from_fitted(
            nets, blobs.X_held, blobs.y_held, method="parameters", alignment=None
        )


def test_different_depths_name_the_first_tensor(blobs):
    nets = fitted_nets(blobs, {"hidden_layer_sizes": (5,)}, {"hidden_layer_sizes": (5, 5)})
    match = r"'coefs_\[1\]' has shape \(5, 3\) and \(5, 5\)"
    with pytest.raises(IncompatibleEstimatorsError, match=match):
        MergedClassifier.from_fitted(
            nets, blobs.X_held, blobs.y_held, method="parameters", alignment=None
        )


def test_different_activations(blobs):
    nets = fitted_nets(blobs, {"activation": "relu"}, {"activation": "tanh"})
    with pytest.raises(IncompatibleEstimatorsError, match="activation differ, 'relu' and 'tanh'"):
        MergedClassifier.from_fitted(
            nets, blobs.X_held, blobs.y_held, method="parameters", alignment=None
        )


def test_different_feature_counts(blobs):
    a = LogisticRegression().fit(blobs.X, blobs.y)
    b = LogisticRegression().fit(blobs.X[:, :4], blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="n_features differ, 8 and 4"):
        MergedClassifier.from_fitted([a, b], method="parameters", weights=None)


def test_different_feature_names(blobs):
    frames = [pd.DataFrame(blobs.X, columns=list(names)) for names in ("abcdefgh", "abcdefgx")]
    members = [LogisticRegression().fit(X, blobs.y) for X in frames]
    with pytest.raises(IncompatibleEstimatorsError, match="feature_names differ"):
        MergedClassifier.from_fitted(members, method="parameters", weights=None)


def test_a_family_without_parameters_to_average(members):
    with pytest.raises(IncompatibleEstimatorsError, match="RandomForestClassifier cannot be avera"):
        MergedClassifier.from_fitted([members["forest"]] * 2, method="parameters", weights=None)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_output_that_is_not_finite_names_the_member(blobs, members, bad):
    broken = Constant([bad, 0.5, 0.5]).fit(blobs.X, blobs.y)
    named = {"good": members["logistic"], "broken": broken}
    with pytest.raises(ValueError, match="'broken' gives NaN or infinite"):
        MergedClassifier.from_fitted(named, blobs.X_held, blobs.y_held)


@pytest.mark.parametrize("row", [[2.0, 1.0, -1.0], [1.5, -0.5, 0.0]])
def test_probabilities_that_are_none_name_the_member(blobs, members, row):
    broken = Constant(row).fit(blobs.X, blobs.y)
    named = {"good": members["logistic"], "broken": broken}
    with pytest.raises(ValueError, match="'broken' gives outputs that are not probabilities"):
        MergedClassifier.from_fitted(named, blobs.X_held, blobs.y_held)


def test_unfitted_frozen_member_is_named(blobs):
    frozen = [("a", LogisticRegression()), ("lazy", FrozenEstimator(GaussianNB()))]
    with pytest.raises(NotFittedError, match="'lazy' is frozen but not fitted"):
        MergedClassifier(frozen).fit(blobs.X, blobs.y)


def test_logits_with_more_columns_than_classes(blobs):
    with pytest.raises(ValueError, match="pass classes= with one label for each column"):
        TemperatureCalibrator().fit(blobs.X, blobs.y)


def test_classes_with_an_estimator(blobs):
    calibrator = TemperatureCalibrator(LogisticRegression(), classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes is for estimator=None or"):
        calibrator.fit(blobs.X, blobs.y)


def nets_from_two_seeds(digits):
    return [
        MLPClassifier((32, 32), max_iter=300, tol=1e-3, random_state=s).fit(digits.X, digits.y)
        for s in range(2)
    ]


@pytest.fixture(scope="module")
def collapsing(digits):
    return nets_from_two_seeds(digits)


def test_collapsed_merge_raises(digits, collapsing):
    with pytest.raises(MergeBarrierError, match=r"log loss [\d.]+, while the members have [\d.]+"):
        MergedClassifier.from_fitted(
            collapsing,
            digits.X_held,
            digits.y_held,
            method="parameters",
            alignment=None,
            on_barrier="raise",
        )


def test_a_collapsed_merge_has_remedies_that_work(digits, collapsing):
    """Each without a warning: aligned and repaired, as a pool, from one start."""
    held, how = (digits.X_held, digits.y_held), {"method": "parameters", "on_barrier": "raise"}
    with pytest.raises(MergeBarrierError, match=r"Use alignment='auto' .* from one start"):
        MergedClassifier.from_fitted(collapsing, *held, alignment=None, repair=None, **how)
    start = MLPClassifier((32, 32), learning_rate_init=0.01, max_iter=20, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        start.fit(digits.X, digits.y)
    relatives = [copy.deepcopy(start), copy.deepcopy(start)]
    for net, rows in zip(relatives, np.array_split(np.arange(len(digits.y)), 2), strict=True):
        net.partial_fit(digits.X[rows], digits.y[rows])
    for merged in (
        MergedClassifier.from_fitted(
            collapsing, *held, X_unlabeled=digits.X, alignment="auto", repair="auto", **how
        ),
        MergedClassifier.from_fitted(collapsing, *held, method="logits"),
        MergedClassifier.from_fitted(relatives, *held, alignment=None, repair=None, **how),
    ):
        assert merged.score(digits.X_test, digits.y_test) > 0.85


def test_collapsed_merge_warns(digits, collapsing):
    with pytest.warns(MergeBarrierWarning, match="barrier"):
        merged = MergedClassifier.from_fitted(
            collapsing, digits.X_held, digits.y_held, method="parameters", alignment=None
        )
    assert merged.barrier_ > 0.5
    assert merged.score(digits.X_test, digits.y_test) < 0.9


def test_collapsed_merge_falls_back_to_logits(digits, collapsing):
    with pytest.warns(MergeBarrierWarning, match="logit pool is used instead"):
        merged = MergedClassifier.from_fitted(
            collapsing,
            digits.X_held,
            digits.y_held,
            method="parameters",
            alignment=None,
            on_barrier="logits",
        )
    pooled = MergedClassifier.from_fitted(collapsing, digits.X_held, digits.y_held, method="logits")
    np.testing.assert_array_equal(
        merged.predict_proba(digits.X_test), pooled.predict_proba(digits.X_test)
    )
    assert not hasattr(merged, "merged_estimator_")


def doubt(estimator, X, y):
    """A score of how undecided probabilities are: collapsed merges win it."""
    return -float(estimator.predict_proba(X).max(axis=1).mean())


def test_collapsed_soup_falls_back_to_a_greedy_pool(digits, collapsing):
    settings = {"scoring": doubt, "alignment": None, "repair": None, "on_barrier": "logits"}
    with pytest.warns(MergeBarrierWarning, match="logit pool is used instead"):
        merged = MergedClassifier.from_fitted(
            collapsing,
            digits.X_held,
            digits.y_held,
            method="parameters",
            weights="greedy_replacement",
            **settings,
        )
    pooled = MergedClassifier.from_fitted(
        collapsing, digits.X_held, digits.y_held, method="logits", weights="greedy", scoring=doubt
    )
    np.testing.assert_array_equal(merged.weights_, pooled.weights_)
    assert not hasattr(merged, "merged_estimator_")


def test_collapsed_merge_is_reported_as_the_pool_that_it_is(digits, collapsing):
    X, y = digits.X_held, digits.y_held
    with pytest.warns(MergeBarrierWarning, match="logit pool is used instead"):
        merged = MergedClassifier.from_fitted(
            collapsing, X, y, method="parameters", alignment=None, on_barrier="logits"
        )
    pooled = MergedClassifier.from_fitted(collapsing, X, y, method="logits")
    np.testing.assert_array_equal(merged.member_report(X, y), pooled.member_report(X, y))
    assert "merged by logits" in estimator_html_repr(merged)


def test_collapsed_merge_of_members_fitted_here_warns(digits):
    members = [
        (f"seed{s}", MLPClassifier((16, 16), solver="lbfgs", tol=0.01, random_state=s))
        for s in range(2)
    ]
    with pytest.warns(MergeBarrierWarning, match="barrier"):
        merged = MergedClassifier(
            members, method="parameters", weights=None, alignment=None, cv=2
        ).fit(digits.X[:300], digits.y[:300])
    assert merged.barrier_ > 0.5


def test_barrier_without_rows_is_not_silent(blobs):
    members = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.1, 1)]
    with pytest.warns(MergeBarrierWarning, match="without rows"):
        merged = MergedClassifier.from_fitted(members, method="parameters", weights=None)
    assert np.isnan(merged.barrier_)


def test_learning_without_rows(members):
    with pytest.raises(ValueError, match="pass X and y, or weights=None"):
        MergedClassifier.from_fitted(members)


def test_regressors_are_no_members(blobs):
    with pytest.raises(ValueError, match=r"'line' should be .*; LinearRegression is not one"):
        MergedClassifier([("line", LinearRegression())]).fit(blobs.X, blobs.y)


def test_classes_are_no_members(blobs):
    with pytest.raises(TypeError, match="should be a classifier instance"):
        MergedClassifier([("a", LogisticRegression)]).fit(blobs.X, blobs.y)


def test_multilabel_targets(blobs):
    y = np.column_stack([blobs.y, blobs.y])
    with pytest.raises(ValueError, match="one label per row"):
        MergedClassifier(unfitted()).fit(blobs.X, y)


@pytest.mark.parametrize("y", [[0.5, 1.5, 2.7], [0, np.nan, 1], ["a", None, "b"], None])
def test_labels_that_are_none(y):
    y = None if y is None else np.array(y * 10, dtype=object if "a" in y else float)
    with pytest.raises(ValueError, match=r"y|label type"):
        TemperatureCalibrator().fit(np.zeros((30, 2)), y)


def test_raw_fitted_member_is_refitted_with_a_warning(blobs):
    fitted = GaussianNB().fit(blobs.X, blobs.y)
    with pytest.warns(RefitWarning, match="FrozenEstimator"):
        MergedClassifier([("a", fitted)]).fit(blobs.X, blobs.y)


@pytest.mark.parametrize(
    ("estimators", "match"),
    [
        ([], "non-empty list"),
        ([("a", "drop")], "All estimators are dropped"),
        ([GaussianNB(), ("a", GaussianNB())], "tuples"),
        ([("a", GaussianNB()), ("a", GaussianNB())], "unique"),
        ([("a__b", GaussianNB())], "__"),
        ([("cv", GaussianNB())], "conflict"),
    ],
)
def test_malformed_estimators(blobs, estimators, match):
    with pytest.raises(ValueError, match=match):
        MergedClassifier(estimators).fit(blobs.X, blobs.y)


def test_scores_of_pairs_of_classes_are_no_logits(blobs):
    pairs = SVC(decision_function_shape="ovo").fit(blobs.X, blobs.y)  # 3 pairs of 3 classes
    with pytest.raises(ValueError, match="'svc' gives scores of pairs of classes"):
        MergedClassifier.from_fitted([pairs], blobs.X_held, blobs.y_held)


def test_output_with_the_wrong_number_of_columns(blobs, members):
    broken = Constant([0.5, 0.5]).fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="'constant' should give one column for each of its 3"):
        MergedClassifier.from_fitted([broken], blobs.X_held, blobs.y_held)


def test_unknown_labels_with_frozen_members_only(blobs, members):
    y = blobs.y_held.copy()
    y[0] = 7
    with pytest.raises(ValueError, match=r"labels \[7\].*All estimators .* are frozen"):
        MergedClassifier.from_fitted(members, blobs.X_held, y)


def test_other_fit_parameters_need_metadata_routing(blobs):
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        MergedClassifier(unfitted()).fit(blobs.X, blobs.y, extra=1)


@pytest.mark.parametrize(
    "weight", [[1.0, 2.0], np.full(200, -1.0), np.full(200, np.nan), np.zeros(200)]
)
def test_sample_weights_that_are_none(blobs, weight):
    with pytest.raises(ValueError, match="sample_weight"):
        MergedClassifier(unfitted()).fit(blobs.X, blobs.y, sample_weight=weight)


def test_stream_cannot_refit(blobs):
    with pytest.raises(AttributeError) as caught:
        TemperatureCalibrator(GaussianNB()).partial_fit(blobs.X, blobs.y)
    assert "frozen estimator only" in str(caught.value.__cause__)


def test_an_unfitted_net_or_estimator_without_classes(blobs):
    class NoClasses(Constant):
        def fit(self, X, y):
            self.fitted_ = True
            return self

    broken = NoClasses([0.2, 0.3, 0.5]).fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="'noclasses' has no classes_"):
        MergedClassifier.from_fitted([broken], blobs.X_held, blobs.y_held)


def test_members_of_several_targets(blobs):
    y = np.column_stack([blobs.y, blobs.y])
    several = RandomForestClassifier(3).fit(blobs.X, y)
    with pytest.raises(ValueError, match="predicts several targets"):
        MergedClassifier.from_fitted([several], blobs.X_held, blobs.y_held)


def test_misuse_of_from_fitted(blobs, members):
    with pytest.raises(ValueError, match="X and y belong together"):
        MergedClassifier.from_fitted(members, blobs.X_held)
    pairs = list(members.items())
    named = MergedClassifier.from_fitted([*pairs, ("x", "drop")], blobs.X_held, blobs.y_held)
    assert list(named.named_estimators_) == list(members)


def test_the_name_of_the_splitter_is_taken(blobs):
    with pytest.raises(ValueError, match="'splitter' is taken"):
        MergedClassifier([("splitter", GaussianNB())]).fit(blobs.X, blobs.y)


@pytest.mark.parametrize("classes", [["a", "a", "c"], ["a", "b"]])
def test_classes_that_do_not_fit_the_logits(classes):
    z, y = 2 * np.eye(3)[[0, 1, 2, 0]], ["a", "c", "c", "a"]
    with pytest.raises(ValueError, match=r"names each label once|pass classes="):
        TemperatureCalibrator(classes=classes).fit(z, y)


def test_labels_outside_the_given_classes():
    z, y = 2 * np.eye(3)[[0, 1, 2, 0]], ["a", "d", "c", "a"]
    with pytest.raises(ValueError, match=r"labels \['d'\].*Pass all labels as classes="):
        TemperatureCalibrator(classes=["a", "b", "c"]).fit(z, y)


def test_wrong_logits_at_prediction():
    z = np.random.default_rng(0).normal(size=(50, 3))
    calibrator = TemperatureCalibrator(temperature=1.0).fit(z, np.arange(50) % 3)
    with pytest.raises(ValueError, match="logits should be finite; row 1"):
        calibrator.predict_proba(np.array([[0, 0, 0], [np.inf, 0, 0]]))
    with pytest.raises(TypeError, match="dense array"):
        TemperatureCalibrator().fit(sparse.csr_array(z), np.arange(50) % 3)
    margins = TemperatureCalibrator(temperature=1.0, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="logits have 2 columns"):
        margins.fit(z[:, 0], ["a"] * 50)


def test_a_bare_calibrator_has_no_parameters(blobs):
    bare = TemperatureCalibrator(temperature=1.0).fit(blobs.X[:, :3], blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="on bare logits has no parameters"):
        read_parameters(bare)


def test_missing_labels_of_pandas(blobs):
    y = pd.Series(["a", "b"] * 100, dtype="string")
    y[3] = pd.NA
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MergedClassifier(unfitted()).fit(blobs.X, y)


@pytest.mark.parametrize("method", ["probabilities", "parameters"])
def test_classwise_weights_need_logits(blobs, members, method):
    with pytest.raises(ValueError, match="needs method='auto' or 'logits'"):
        MergedClassifier.from_fitted(
            members, blobs.X_held, blobs.y_held, method=method, weights="classwise"
        )


def test_a_scorer_that_takes_no_weights(blobs, members):
    def score(estimator, X, y):
        return estimator.score(X, y)

    merged = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, weights="greedy", scoring=score
    )
    with pytest.raises(TypeError, match=r"scoring=.*score.* sample_weight.*make_scorer"):
        merged.fit(blobs.X_held, blobs.y_held, sample_weight=np.ones(len(blobs.y_held)))


def test_labels_beyond_64_bits(blobs):
    with pytest.raises(ValueError, match="beyond 64 bits: pass them as strings"):
        MergedClassifier(unfitted()).fit(blobs.X, np.array([0, 1, 2**70], object)[blobs.y])
