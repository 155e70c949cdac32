"""Predictions and PredictionColumn: frames, and what is refused, with remedies that work."""

import numpy as np
import pytest

from skmergecal import MergedClassifier, calibration_report
from skmergecal.merging import PredictionColumn, Predictions
from tests.stand_ins import LazyFrame

Y = np.tile([0, 1, 1], 20)
RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.3, size=(60, 3)) + 0.5 * np.eye(3)[[0, 2, 1]][Y]
P /= P.sum(axis=1, keepdims=True)
YES = np.clip(0.4 * Y + RNG.uniform(0.05, 0.5, size=60), 0, 1)
TWO = {"a": YES, "b": YES[::-1] * 0.3 + 0.4 * Y}


class PolarsFrame:
    """As that of polars: columns by name, rows through scikit-learn's own case for its module."""

    def __init__(self, columns):
        self._columns = {name: np.asarray(values) for name, values in columns.items()}

    @property
    def columns(self):
        return list(self._columns)

    @property
    def shape(self):
        return len(next(iter(self._columns.values()))), len(self._columns)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, list):
            return PolarsFrame({name: self._columns[name] for name in key})
        return self._columns[key]

    def to_numpy(self):
        return np.column_stack(list(self._columns.values()))

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


def test_frames_have_one_column_for_each_member_of_two_classes():
    import pandas

    expected = MergedClassifier.from_predictions(TWO, Y)
    for frame in (pandas.DataFrame({**TWO}, index=np.arange(60) + 7), PolarsFrame(TWO)):
        merged = MergedClassifier.from_predictions(frame, Y)
        wide = type(frame)({"other": np.full(60, np.nan), **TWO})
        np.testing.assert_array_equal(merged.predict_proba(wide), expected.predict_proba(TWO))
    assert not hasattr(merged, "n_features_in_")


def test_two_levels_of_columns_are_members_and_classes():
    import pandas

    labels = np.array(["x", "y", "z"])
    other, how = P[:, [0, 2, 1]], {"classes": labels, "method": "logits"}
    expected = MergedClassifier.from_predictions({"a": P, "b": other}, labels[Y], **how)
    levels = [("b", "y"), ("a", "z"), ("a", "x"), ("b", "x"), ("b", "z"), ("a", "y")]
    columns = {(m, c): {"a": P, "b": other}[m][:, "xyz".index(c)] for m, c in levels}
    frame = pandas.DataFrame(columns)
    assert frame.columns.nlevels == 2
    merged = MergedClassifier.from_predictions(frame, pandas.Series(labels[Y]), **how)
    np.testing.assert_allclose(  # members come in another order
        merged.predict_proba(frame), expected.predict_proba(frame), rtol=1e-9
    )
    some = Predictions(frame)[Y == 0]
    np.testing.assert_array_equal(merged.predict_proba(some), merged.predict_proba(frame)[Y == 0])


@pytest.mark.parametrize("labels", [[10, 20, 30], ["x", "y", "z"], [2, 0, 5]])
def test_frames_of_a_member_are_put_in_the_order_of_the_classes(labels):
    import pandas

    column = PredictionColumn("a", classes=labels)
    turned = pandas.DataFrame(P[:, [1, 2, 0]], columns=[labels[c] for c in (1, 2, 0)])
    as_text = turned.rename(columns=str)  # what a CSV file makes of numbers
    for frame in (turned, as_text):
        np.testing.assert_array_equal(column.predict_proba({"a": frame}), P)
    mean = column.predict_proba({"a": [turned, pandas.DataFrame(P, columns=labels)]})
    np.testing.assert_allclose(mean, P, rtol=1e-15)
    # Numbered columns are in the order of the classes.
    np.testing.assert_array_equal(column.predict_proba({"a": pandas.DataFrame(P)}), P)
    wrong = turned.rename(columns={labels[0]: "p"})
    with pytest.raises(ValueError, match="name them by class, or pass to_numpy"):
        column.predict_proba({"a": wrong})
    np.testing.assert_array_equal(column.predict_proba({"a": wrong.to_numpy()[:, [2, 0, 1]]}), P)


def test_numbered_columns_are_refused_where_they_may_be_places_or_classes():
    import pandas

    column, frame = PredictionColumn("a", classes=[2, 0, 1]), pandas.DataFrame(P)
    with pytest.raises(
        ValueError, match=r"may be names of the classes \[2, 0, 1\] or their places"
    ):
        column.predict_proba({"a": frame})
    np.testing.assert_array_equal(column.predict_proba({"a": frame.to_numpy()}), P)
    by_name = column.predict_proba({"a": frame.rename(columns=str)})
    np.testing.assert_array_equal(by_name, P[:, [2, 0, 1]])
    in_order = PredictionColumn("a", classes=[0, 1, 2])
    np.testing.assert_array_equal(in_order.predict_proba({"a": frame}), P)


def test_a_column_predicts_what_is_stored():
    column = PredictionColumn("a", classes=["n", "y"], logarithmic=True)
    margins = np.array([-1.0, 0.5, 3.0])
    p = column.predict_proba({"a": margins})
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-margins)))
    np.testing.assert_allclose(column.predict_log_proba({"a": margins}), np.log(p))
    assert column.predict({"a": margins}).tolist() == ["n", "y", "y"]
    stored = PredictionColumn("a", classes=[0, 1]).predict_log_proba({"a": [0.0, 0.25]})
    np.testing.assert_array_equal(
        stored, np.log([[1, 1e-300], [0.75, 0.25]]) - [[0, np.inf], [0, 0]]
    )
    unknown = PredictionColumn("a")
    with pytest.raises(AttributeError, match="pass classes=, or call fit"):
        unknown.predict({"a": [0.2]})
    assert unknown.fit({"a": [0.2, 0.4]}, [5, 3]).predict({"a": [0.2]}).tolist() == [3]


def from_predictions(predictions, y=Y, **params):
    return MergedClassifier.from_predictions(predictions, y, method="logits", **params)


@pytest.mark.parametrize(
    ("wrong", "error", "match", "right"),
    [
        ([P], TypeError, "name the members", {"a": P}),
        (P, TypeError, "name the members", {"a": P}),
        (LazyFrame({"a": YES}), TypeError, r"pass predictions.collect\(\)", {"a": YES}),
        ({}, ValueError, "at least one member", {"a": P}),
        ({5: YES}, ValueError, "named by str", {"5": YES}),
        ({"a": YES, "b": YES[1:]}, ValueError, "same rows for all", {"a": YES, "b": YES}),
        ({"a": [YES, YES[1:]]}, ValueError, "NaN where a model has no", {"a": [YES, YES * np.nan]}),
        ({"a": ["x"] * 60}, ValueError, "'a' should hold numbers", {"a": YES}),
        ({"a": 0.5}, ValueError, "should have shape", {"a": YES}),
        ({"a": YES * 100}, ValueError, "are not probabilities", {"a": YES}),
        ({"a": np.c_[1 - YES, YES] * 100}, ValueError, "divide percentages by 100", {"a": YES}),
        ({"a": P[:, :2]}, ValueError, "probabilities with one column for each class", {"a": YES}),
        ({"a": P}, ValueError, "pass all columns, and in classes=", {"a": YES}),
        ({"a": np.where(YES > 0.8, np.inf, YES)}, ValueError, "infinite values", {"a": YES}),
    ],
)
def test_errors_name_what_came_and_a_remedy(wrong, error, match, right):
    with pytest.raises(error, match=match):
        from_predictions(wrong)
    classes = [0, 1, 2] if right.get("a") is P else None
    assert from_predictions(right, classes=classes).predict_proba(right).shape[0] == 60


def test_logarithms_are_told():
    logs = {"a": np.log(np.c_[1 - YES, YES]), "b": np.c_[-YES, YES * 3]}
    with pytest.raises(ValueError, match="logits with logarithmic=True"):
        from_predictions(logs)
    from_predictions(logs, logarithmic=True)
    with pytest.warns(UserWarning, match="predictions 'a' look like probabilities"):
        from_predictions({"a": np.c_[1 - YES, YES]}, logarithmic=True)
    zeros = {"a": np.c_[np.where(YES > 0.8, -np.inf, 0.0), np.zeros(60)]}
    with pytest.raises(ValueError, match="pass probabilities with logarithmic=False, or clip logs"):
        from_predictions(zeros, logarithmic=True)
    from_predictions({"a": np.maximum(zeros["a"], -30)}, logarithmic=True)
    proba = np.exp(zeros["a"])
    from_predictions({"a": proba / proba.sum(axis=1, keepdims=True)})


def test_classes_and_names_that_are_not_there():
    with pytest.raises(ValueError, match="names each label once"):
        from_predictions({"a": YES}, classes=[0, 0])
    with pytest.raises(ValueError, match=r"labels \[1\] that are not among the classes \[0, 5\]"):
        from_predictions({"a": YES}, classes=[0, 5])
    merged = from_predictions(TWO, weights=[1, 0])
    for predict in (merged.predict, merged.predict_proba, merged.members_log_proba):
        with pytest.raises(ValueError, match=r"predictions of \['b'\] are missing"):
            predict({"a": YES})
        with pytest.raises(ValueError, match="'b' have NaN in 60 of 60 rows"):
            predict({"a": YES, "b": YES * np.nan})
    with pytest.raises(TypeError, match="name the members"):
        merged.predict(np.column_stack([YES, YES]))
    with pytest.raises(ValueError, match="60 rows, but y has 59 labels"):
        from_predictions(TWO, Y[1:])
    with pytest.raises(ValueError, match=r"MergedClassifier\.from_fitted"):
        MergedClassifier.from_predictions(TWO, Y, method="parameters")


def test_missing_rows_everywhere_and_wrong_settings():
    lacking = {"a": np.where(Y == 0, np.nan, YES), "b": np.where(Y == 1, np.nan, YES)}
    with pytest.raises(ValueError, match="Leave out the members that have few"):
        from_predictions(lacking, missing="drop_rows")
    both = {"a": YES, "b": lacking["b"], "c": YES}
    from_predictions({"a": YES, "c": YES}, missing="drop_rows")
    with pytest.raises(ValueError, match="missing='drop_rows' does so"):
        from_predictions(both)
    with pytest.raises(ValueError, match="The 'missing' parameter"):
        from_predictions(TWO, missing="skip")
    with pytest.raises(ValueError, match="The 'logarithmic' parameter"):
        from_predictions(TWO, logarithmic="yes")


def test_single_numbers_select_no_rows():
    stored = Predictions(TWO)
    with pytest.raises(TypeError, match="a slice, a mask or an array of numbers"):
        stored[3]
    assert stored[[3]].shape == stored[3:4].shape == (1,)
    with pytest.raises(KeyError):
        stored["other"]


def test_a_plain_dict_elsewhere_names_the_remedy():
    merged = from_predictions(TWO)
    with pytest.raises(TypeError, match=r"skmergecal\.merging\.Predictions\(X\)"):
        calibration_report(merged, TWO, Y)
    calibration_report(merged, Predictions(TWO), Y, n_resamples=5)
