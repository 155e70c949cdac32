"""Arrays for members that know feature names, and frames for those that know none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
    merge_path,
)

rng = np.random.default_rng(0)
y = np.arange(90) % 3
ARRAY = rng.normal(size=(90, 3)) + y[:, None]
FRAME = pd.DataFrame(ARRAY, columns=["age", "dose", "weight"])
INTEGERS = pd.DataFrame(ARRAY.round(), columns=list("abc")).astype({"a": int, "b": "float32"})


class NamesColumnsItself(LogisticRegression):
    """As a boosting library does: columns of an array get names, of which it warns ever after."""

    def fit(self, X, y):
        super().fit(X, y)
        self.feature_names_in_ = np.array([f"Column_{i}" for i in range(X.shape[1])], dtype=object)
        return self


def fitted(X):
    forest = RandomForestClassifier(2, random_state=0).fit(X, y)
    calibrated = TemperatureCalibrator(FrozenEstimator(GaussianNB().fit(X, y))).fit(X, y)
    return {
        "linear": LogisticRegression().fit(X, y),
        "forest": forest,
        "pipeline": make_pipeline(StandardScaler(), GaussianNB()).fit(X, y),
        "calibrated": calibrated,
        "frozen": FrozenEstimator(LogisticRegression(C=0.1).fit(X, y)),
    }


def warned(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = call()
    return result, [str(w.message) for w in found]


@pytest.mark.parametrize("how", [{}, {"method": "logits", "weights": None}], ids=str)
@pytest.mark.parametrize(
    ("known", "given", "start"),
    [
        (FRAME, ARRAY, "X does not have valid feature names, but"),
        (ARRAY, FRAME, "X has feature names, but"),
    ],
    ids=["names are missing", "names are new"],
)
def test_members_with_other_names_are_told_of_once(known, given, start, how):
    members = fitted(known)
    merged, texts = warned(lambda: MergedClassifier.from_fitted(members, given, y, **how))
    (text,) = texts
    assert text.startswith(start)
    assert all(repr(name) in text for name in members)
    assert "Pass rows of the kind that fitted the model" in text
    p, texts = warned(lambda: merged.predict_proba(given))
    assert not texts
    # The remedy: nothing is said, and the numbers are the same.
    same, texts = warned(lambda: MergedClassifier.from_fitted(members, known, y, **how))
    assert not texts
    np.testing.assert_array_equal(same.predict_proba(known), p)
    _, texts = warned(lambda: merged.member_report(given, y))
    assert len(texts) == 1


def test_frames_of_other_number_types_are_told_of_once_too():
    """Types of pandas, and truth values beside numbers, come as objects of its frames."""
    flag = FRAME.assign(dose=FRAME["dose"] > 1)
    whole = FRAME.round().astype({"age": int}).convert_dtypes()
    missing = whole.assign(age=whole["age"].mask(np.arange(90) % 7 == 0))
    for given in (flag, whole, missing):
        known = given.to_numpy(dtype=float, na_value=np.nan)
        trees = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5)
        members = {str(n): clone(trees).set_params(max_depth=n).fit(known, y) for n in (2, 3)}
        merged, (text,) = warned(lambda g=given, m=members: MergedClassifier.from_fitted(m, g, y))
        assert text.startswith("X has feature names, but")
        same = MergedClassifier.from_fitted(members, known, y)
        np.testing.assert_array_equal(merged.predict_proba(given), same.predict_proba(known))


def test_a_merge_that_knows_names_warns_in_its_own_name_only():
    merged = MergedClassifier.from_fitted(fitted(FRAME), FRAME, y)
    p, (text,) = warned(lambda: merged.predict_proba(ARRAY))
    assert "MergedClassifier was fitted with feature names" in text
    np.testing.assert_array_equal(p, merged.predict_proba(FRAME))


@pytest.mark.parametrize(("known", "given"), [(FRAME, ARRAY), (ARRAY, FRAME)])
def test_training_further_and_the_path_between_nets_warn_once(known, given):
    nets = [
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=k)).fit(
            known, y > 0
        )
        for k in (0, 1)
    ]
    frozen = FrozenEstimator(nets[0])
    how = {"epochs": 2, "random_state": 0}
    tuned, texts = warned(lambda: FineTunedClassifier(frozen, **how).fit(given, y > 0))
    assert len(texts) == 1
    same = FineTunedClassifier(frozen, **how).fit(known, y > 0)
    # Frames and arrays lie in memory in another order: sums differ by rounding.
    p = tuned.predict_proba(given)
    np.testing.assert_allclose(p, same.predict_proba(known), rtol=1e-10)
    _, (text,) = warned(lambda: merge_path(*nets, given, y > 0))
    assert "estimator 'a' and estimator 'b'" in text
    net = MLPClassifier((3,), max_iter=20, tol=1, random_state=0).fit(given, y)
    teacher = FrozenEstimator(make_pipeline(StandardScaler(), GaussianNB()).fit(known, y))
    how |= {"target": "members", "teacher": teacher, "augment": "both"}
    _, (text,) = warned(lambda: FineTunedClassifier(FrozenEstimator(net), **how).fit(given, y))
    assert "estimator 'teacher'" in text


@pytest.mark.parametrize("own", [False, True], ids=["as it is", "calibrated"])
def test_a_report_and_a_stream_warn_once(own):
    model = LogisticRegression().fit(FRAME, y)
    if own:
        model = TemperatureCalibrator(FrozenEstimator(model)).fit(FRAME, y)
    _, texts = warned(lambda: calibration_report(model, ARRAY, y, n_resamples=9))
    assert len(texts) == 1
    stream = TemperatureCalibrator(FrozenEstimator(model))
    _, texts = warned(lambda: stream.partial_fit(ARRAY, y).partial_fit(ARRAY, y))
    assert len(texts) == 1


def test_names_that_a_library_made_up_are_nothing_to_warn_of():
    members = [("own", NamesColumnsItself()), ("bayes", GaussianNB())]
    merged, texts = warned(lambda: MergedClassifier(members, cv=2).fit(ARRAY, y))
    assert not texts
    _, texts = warned(lambda: merged.predict_proba(ARRAY))
    assert not texts
    frozen = {name: member.fit(ARRAY, y) for name, member in members}
    again, texts = warned(lambda: MergedClassifier.from_fitted(frozen, ARRAY, y))
    assert not texts
    np.testing.assert_allclose(again.predict_proba(ARRAY), merged.predict_proba(ARRAY), atol=0.2)


def test_frames_of_several_types_and_text_reach_members_as_before():
    members = {"bayes": GaussianNB().fit(INTEGERS.to_numpy(), y)}
    merged, _ = warned(lambda: MergedClassifier.from_fitted(members, INTEGERS, y, weights=None))
    own = members["bayes"].predict_proba(INTEGERS.to_numpy())
    np.testing.assert_allclose(merged.predict_proba(INTEGERS), own, atol=1e-12)
    text = INTEGERS.assign(b="x")
    with pytest.raises(ValueError, match="could not convert string to float"):
        warned(lambda: MergedClassifier.from_fitted(members, text, y))
