"""Labels of any kind give the same probabilities; classes are aligned by label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier, TemperatureCalibrator

NAMES = np.array(["ape", "bee", "cat"])


def shifted(y):
    return pd.Series(NAMES[y].astype(object), index=np.arange(len(y)) + 1000)


# (encoding, column of each code 0, 1, 2 in the sorted labels)
ENCODINGS = {
    "0..k-1": (lambda y: y, [0, 1, 2]),
    "gaps": (lambda y: np.array([3, 13, 23])[y], [0, 1, 2]),
    "negative": (lambda y: y - 5, [0, 1, 2]),
    "huge": (lambda y: y * 10**8, [0, 1, 2]),
    "strings": (lambda y: NAMES[y], [0, 1, 2]),
    "categorical": (lambda y: pd.Series(pd.Categorical(NAMES[y])), [0, 1, 2]),
    "object series, shifted index": (shifted, [0, 1, 2]),
    "reversed": (lambda y: 2 - y, [2, 1, 0]),
    "floats": (lambda y: y.astype(float) + 2, [0, 1, 2]),
    "string series": (lambda y: pd.Series(NAMES[y]), [0, 1, 2]),
}


def lda(shrinkage):
    # Its fit does not depend on the order of the classes, as a solver's stopping point would.
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)


def models():
    members = [("lda", lda(0.1)), ("bayes", GaussianNB())]
    linear = [("weak", lda(0.9)), ("strong", lda(0.1))]
    return {
        "logits": MergedClassifier(members, calibrate="both", cv=2),
        "probabilities": MergedClassifier(members, method="probabilities", cv=2),
        "parameters": MergedClassifier(linear, method="parameters", cv=2),
        "calibrator": TemperatureCalibrator(GaussianNB(), cv=2),
    }


@pytest.fixture(scope="module")
def of_plain_labels(blobs):
    return {name: model.fit(blobs.X, blobs.y) for name, model in models().items()}


# each encoding with two of the four models, each of these with five encodings
PAIRS = [
    (model, encoding)
    for i, encoding in enumerate(ENCODINGS)
    for j, model in enumerate(models())
    if (i + j) % 2 == 0
]


@pytest.mark.parametrize(("model", "encoding"), PAIRS)
def test_ten_encodings_give_the_same_probabilities(blobs, of_plain_labels, model, encoding):
    encode, columns = ENCODINGS[encoding]
    expected = of_plain_labels[model]
    got = models()[model].fit(blobs.X, encode(blobs.y))
    np.testing.assert_allclose(
        got.predict_proba(blobs.X_test)[:, columns],
        expected.predict_proba(blobs.X_test),
        atol=1e-12,
    )
    codes = expected.predict(blobs.X_test)
    np.testing.assert_array_equal(got.predict(blobs.X_test), np.asarray(encode(codes)))


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_bare_logits_give_the_same_probabilities(encoding):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    encode, columns = ENCODINGS[encoding]
    order = np.argsort(columns)
    expected = TemperatureCalibrator().fit(z, y).predict_proba(z)
    got = TemperatureCalibrator().fit(z[:, order], encode(y)).predict_proba(z[:, order])
    np.testing.assert_allclose(got[:, columns], expected, atol=1e-12)


@pytest.fixture(scope="module")
def of_binary_labels(binary):
    model = MergedClassifier([("a", LogisticRegression())], cv=2)
    return model.fit(binary.X, binary.y).predict_proba(binary.X_test)


@pytest.mark.parametrize("kind", [bool, np.int8, "str", "category", "boolean", "Int64"])
def test_binary_labels(binary, of_binary_labels, kind):
    y = pd.Series(binary.y.astype(bool if kind in (bool, "boolean") else int)).astype(kind)
    got = MergedClassifier([("a", LogisticRegression())], cv=2).fit(binary.X, y)
    np.testing.assert_allclose(got.predict_proba(binary.X_test), of_binary_labels, atol=1e-12)


def test_a_class_that_a_frozen_member_never_saw(blobs):
    two = blobs.y != 2
    narrow = LogisticRegression().fit(blobs.X[two], blobs.y[two])
    wide = LogisticRegression().fit(blobs.X, blobs.y)
    members = {"wide": wide, "narrow": narrow}
    match = r"'narrow' never saw the classes \[2\]"
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held)
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted(members, weights=None)
    with pytest.raises(ValueError, match=r"'narrow' has the classes \[0, 1\]"):
        MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, method="parameters")
    linear = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="probabilities", weights=[1, 3]
    )
    expected = 0.25 * wide.predict_proba(blobs.X_test)
    expected[:, :2] += 0.75 * narrow.predict_proba(blobs.X_test)
    np.testing.assert_allclose(linear.predict_proba(blobs.X_test), expected, atol=1e-12)


@pytest.mark.parametrize("calibrate", ["members", "merged", "both"])
def test_linear_pool_calibrates_members_of_fewer_classes(blobs, calibrate):
    two = blobs.y != 2
    members = {
        "wide": LogisticRegression().fit(blobs.X, blobs.y),
        "narrow": LogisticRegression().fit(blobs.X[two], blobs.y[two]),
    }
    merged = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="probabilities", calibrate=calibrate
    )
    proba = merged.predict_proba(blobs.X_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    if calibrate == "members":
        alone = MergedClassifier.from_fitted(
            members,
            blobs.X_held,
            blobs.y_held,
            method="probabilities",
            calibrate="members",
            weights=[0, 1],
        )
        assert (alone.predict_proba(blobs.X_test)[:, 2] == 0).all()


def test_columns_of_frozen_members_are_aligned_by_label(blobs):
    class Backwards(LogisticRegression):
        """Its columns are in descending order of the labels."""

        def fit(self, X, y):
            super().fit(X, y)
            self.coef_, self.intercept_ = self.coef_[::-1], self.intercept_[::-1]
            self.classes_ = self.classes_[::-1]
            return self

    forwards = LogisticRegression().fit(blobs.X, blobs.y)
    backwards = Backwards().fit(blobs.X, blobs.y)
    for method in ("logits", "probabilities"):
        merged = MergedClassifier.from_fitted([forwards, backwards], weights=None, method=method)
        np.testing.assert_allclose(
            merged.predict_proba(blobs.X_test), forwards.predict_proba(blobs.X_test), atol=1e-12
        )


def test_classes_are_the_union_of_members_and_y(blobs):
    frozen = FrozenEstimator(DecisionTreeClassifier(max_depth=3).fit(blobs.X, blobs.y))
    two = blobs.y_held != 2
    mixed = MergedClassifier(
        [("frozen", frozen), ("own", GaussianNB())], method="probabilities", cv=2
    )
    mixed.fit(blobs.X_held[two], blobs.y_held[two])
    np.testing.assert_array_equal(mixed.classes_, [0, 1, 2])
    assert mixed.predict_proba(blobs.X_test).shape == (200, 3)


def test_a_class_missing_from_the_calibration_rows_is_fine(blobs, members):
    two = blobs.y_held != 2
    for method, weights in (("logits", "log_loss"), ("probabilities", "greedy")):
        merged = MergedClassifier.from_fitted(
            members, blobs.X_held[two], blobs.y_held[two], method=method, weights=weights
        )
        np.testing.assert_array_equal(merged.classes_, [0, 1, 2])
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 3))
    calibrator = TemperatureCalibrator(classes=["a", "b", "c"])
    calibrator.fit(z, np.where((z + rng.gumbel(size=z.shape)).argmax(axis=1) == 0, "a", "b"))
    assert calibrator.predict_proba(z).shape == (50, 3)


def test_a_class_that_one_fold_missed_is_softened_with_a_warning(blobs):
    y = blobs.y.copy()
    y[y == 2] = 1
    y[7] = 2  # one row: its own fold's clone never sees the class
    folds = [(np.setdiff1d(np.arange(200), t), t) for t in np.array_split(np.arange(200), 2)]
    for member in (GaussianNB(), DecisionTreeClassifier(max_depth=2, random_state=0)):
        merged = MergedClassifier([("m", member)], cv=folds)
        with pytest.warns(UserWarning, match=r"training rows miss classes: {'m': \[2\]}"):
            held = merged.fit_held_out(blobs.X, y)
        assert np.isfinite(held.log_proba).all()
        member_view = merged._merge.members[0]
        assert member_view.softening == pytest.approx(1 / 201)


def test_strings_and_numbers_do_not_mix(blobs):
    a = LogisticRegression().fit(blobs.X, blobs.y)
    b = LogisticRegression().fit(blobs.X, NAMES[blobs.y])
    match = r"'logisticregression-2' has the classes \['ape', 'bee', 'cat'\], y has \[0, 1, 2\]"
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted([a, b], blobs.X_held, blobs.y_held)


@pytest.mark.parametrize("calibrate", [None, "members", "both"])
def test_parameters_where_one_fold_missed_a_class(blobs, calibrate):
    y = blobs.y.copy()
    y[y == 2] = 1
    y[7] = 2
    folds = [(np.setdiff1d(np.arange(200), t), t) for t in np.array_split(np.arange(200), 2)]
    members = [("weak", LogisticRegression(C=0.1)), ("strong", LogisticRegression())]
    model = MergedClassifier(members, method="parameters", calibrate=calibrate, cv=folds)
    with pytest.warns(UserWarning, match="training rows miss classes"):
        model.fit(blobs.X, y)
    assert np.isfinite(model.temperature_)
    assert np.isfinite(model.barrier_)
    assert model.predict_proba(blobs.X_test).max() > 0.9


def test_a_frozen_member_of_the_first_class_alone(blobs):
    """Its one label 0 is no code of another label."""
    first = blobs.y == 0
    one = FrozenEstimator(GaussianNB().fit(blobs.X[first], blobs.y[first]))
    members = [("one", one), ("all", GaussianNB())]
    merged = MergedClassifier(members, method="probabilities", weights=None, cv=2)
    merged.fit(blobs.X_held, blobs.y_held)
    assert merged.classes_.tolist() == [0, 1, 2]
    assert np.isfinite(merged.predict_proba(blobs.X_test)).all()


def test_a_class_that_a_member_without_zeros_lacks_has_its_share(blobs):
    """That share is there whether or not the member is softened besides."""
    few = blobs.y != 2
    smooth = CalibratedClassifierCV(GaussianNB(), cv=2).fit(blobs.X[few], blobs.y[few])
    logistic = LogisticRegression().fit(blobs.X, blobs.y)
    merged = MergedClassifier.from_fitted(
        [smooth, logistic],
        blobs.X_held,
        blobs.y_held,
        method="logits",
        weights=None,
        missing_classes="soften",
    )
    share = 1 / (len(blobs.y_held) + 1) / 3
    p, full = (m.predict_proba(blobs.X_test) for m in (smooth, logistic))
    filled = np.column_stack([(1 - share) * p, np.full(len(p), share)])
    pooled = np.sqrt(filled * full)
    expected = pooled / pooled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, rtol=1e-9)
