"""Members that know different classes, or the same ones under different names."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError

METHODS = ["auto", "logits", "probabilities", "parameters"]
LETTERS = np.array(["a", "b", "c", "d"])


def model(blobs, labels, only=(0, 1, 2)):
    """A logistic regression that knows some classes of the blobs, by these labels."""
    rows = np.isin(blobs.y, only)
    return LogisticRegression().fit(blobs.X[rows], np.asarray(labels)[blobs.y[rows]])


@pytest.mark.parametrize("method", METHODS)
def test_codes_beside_labels_are_named_and_the_remedy_works(blobs, method):
    members = {"coded": model(blobs, [0, 1, 2]), "named": model(blobs, [1, 2, 3])}
    rows = blobs.X_held, blobs.y_held + 1
    match = (
        r"'coded' has the classes \[0, 1, 2\], y has \[1, 2, 3\].*classes={'coded': \[1, 2, 3\]}"
    )
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted(members, *rows, method=method)
    told = MergedClassifier.from_fitted(members, *rows, method=method, classes={"coded": [1, 2, 3]})
    twins = {"coded": members["named"], "named": members["named"]}
    expected = MergedClassifier.from_fitted(twins, *rows, method=method)
    np.testing.assert_allclose(
        told.predict_proba(blobs.X_test), expected.predict_proba(blobs.X_test), atol=1e-6
    )


@pytest.mark.parametrize("seen", [(1, 2), (0, 1, 2)])
def test_codes_are_seen_from_rows_of_any_classes_and_without_rows(blobs, seen):
    members = {"coded": model(blobs, [0, 1, 2]), "named": model(blobs, [1, 2, 3])}
    rows = np.isin(blobs.y_held, seen)
    X, y = blobs.X_held[rows], blobs.y_held[rows] + 1
    with pytest.raises(ValueError, match="'coded' has the classes"):
        MergedClassifier.from_fitted(members, X, y, method="probabilities")
    with pytest.raises(ValueError, match="'coded' has the classes"):
        MergedClassifier.from_fitted(members, method="probabilities", weights=None)
    own = MergedClassifier(
        [("coded", FrozenEstimator(members["coded"])), ("own", GaussianNB())],
        method="probabilities",
    )
    if len(seen) == 3:
        with pytest.raises(ValueError, match="'coded' has the classes"):
            own.fit(X, y)
    else:  # it may be a site of other classes
        with pytest.warns(UserWarning, match="'coded' has the classes"):
            own.fit(X, y)


def test_labels_that_look_like_codes_are_said_to_be_labels(blobs):
    """Three classes at one site, three at the other: 0 is a label, and no row has it."""
    y = np.minimum(blobs.y + 1, 3)
    members = {"one": model(blobs, [0, 1, 2]), "two": LogisticRegression().fit(blobs.X, y)}
    rows = blobs.X_held, blobs.y_held + 1
    with pytest.raises(ValueError, match=r"If \[0, 1, 2\] are labels of their own, say that"):
        MergedClassifier.from_fitted(members, *rows, method="probabilities")
    merged = MergedClassifier.from_fitted(
        members, *rows, method="probabilities", classes={"one": [0, 1, 2]}
    )
    assert merged.classes_.tolist() == [0, 1, 2, 3]
    # With a row of class 0 there is nothing to ask.
    y = np.append(blobs.y_held + 1, 0)
    X = np.vstack([blobs.X_held, blobs.X_held[:1]])
    assert len(MergedClassifier.from_fitted(members, X, y, method="probabilities").weights_) == 2


def test_equally_many_other_classes_are_a_warning_that_can_be_answered(blobs):
    members = {"lower": model(blobs, ["a", "b", "c"]), "upper": model(blobs, ["A", "B", "c"])}
    rows = blobs.X_held, LETTERS[blobs.y_held]
    match = r"'upper' has the classes .*, y has \['a', 'b', 'c'\]: are these the same\?"
    with pytest.warns(UserWarning, match=match):
        MergedClassifier.from_fitted(members, *rows, method="probabilities")
    with pytest.warns(UserWarning, match="are these the same"):
        MergedClassifier.from_fitted(members, method="probabilities", weights=None)
    with pytest.raises(ValueError, match=r"never saw the classes .*Or estimator 'upper' has the"):
        MergedClassifier.from_fitted(members, *rows)
    for method in METHODS:
        merged = MergedClassifier.from_fitted(
            members, *rows, method=method, classes={"upper": ["a", "b", "c"]}
        )
        assert merged.classes_.tolist() == ["a", "b", "c"]
    other = MergedClassifier.from_fitted(
        members, *rows, method="probabilities", classes={"upper": ["A", "B", "c"]}
    )
    assert other.classes_.tolist() == ["A", "B", "a", "b", "c"]


def test_a_site_without_a_class_gets_remedies_that_work(blobs):
    """The message of each method names another one only where that one works."""
    members = {"narrow": model(blobs, LETTERS, only=(0, 1)), "wide": model(blobs, LETTERS)}
    rows = blobs.X_held, LETTERS[blobs.y_held]
    with pytest.raises(IncompatibleEstimatorsError, match="Use method='probabilities'"):
        MergedClassifier.from_fitted(members, *rows, method="parameters")
    with pytest.raises(IncompatibleEstimatorsError, match=r"'wide' \['a', 'b', 'c'\]"):
        MergedClassifier.from_fitted(members, method="parameters", weights=None)
    for method in ("auto", "logits"):
        match = "leave it out, train it on all classes, or use method='probabilities'"
        with pytest.raises(ValueError, match=match):
            MergedClassifier.from_fitted(members, *rows, method=method)
    pool = MergedClassifier.from_fitted(members, *rows, method="probabilities")
    assert pool.classes_.tolist() == ["a", "b", "c"]
    left_out = MergedClassifier([("narrow", "drop"), ("wide", FrozenEstimator(members["wide"]))])
    assert left_out.fit(*rows).weights_.tolist() == [1.0]
    trained = {**members, "narrow": model(blobs, LETTERS)}
    assert len(MergedClassifier.from_fitted(trained, *rows).weights_) == 2


def test_classes_in_another_order_can_be_merged_by_logits(blobs):
    turned = FrozenEstimator(model(blobs, [2, 1, 0]))
    rows = blobs.X_held, LETTERS[blobs.y_held]
    members = {"a": model(blobs, LETTERS), "b": turned}
    classes = {"b": ["c", "b", "a"]}
    with pytest.raises(IncompatibleEstimatorsError, match=r"another order.*Use method='logits'"):
        MergedClassifier.from_fitted(members, *rows, method="parameters", classes=classes)
    merged = MergedClassifier.from_fitted(members, *rows, method="logits", classes=classes)
    alone = MergedClassifier.from_fitted([members["a"]], *rows, method="logits")
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), alone.predict_proba(blobs.X_test), atol=1e-6
    )


def test_rows_of_labels_that_nobody_knows(blobs):
    members = {"m": model(blobs, [1, 2, 3])}
    y = np.array([1, 2, 3, 4])[np.where(np.arange(200) < 5, 3, blobs.y_held)]
    with pytest.raises(ValueError, match=r"know no others: drop these rows\.$"):
        MergedClassifier.from_fitted(members, blobs.X_held, y)
    assert len(MergedClassifier.from_fitted(members, blobs.X_held[5:], y[5:]).weights_) == 1
    # All rows: then it is not the rows that are wrong.
    strangers = np.array([10, 20])[blobs.y_held % 2]
    coded = model(blobs, [0, 1, 2])
    for estimator in (coded, TemperatureCalibrator(FrozenEstimator(coded), temperature=1.0)):
        if estimator is not coded:
            estimator = estimator.fit(blobs.X_held, blobs.y_held)
        with pytest.raises(ValueError, match=r"'m' has the classes .*was it trained on codes"):
            MergedClassifier.from_fitted({"m": estimator}, blobs.X_held, strangers)
    with pytest.raises(ValueError, match=r"'m' has the classes .*are these the same"):
        MergedClassifier.from_fitted(members, blobs.X_held, LETTERS[blobs.y_held])
