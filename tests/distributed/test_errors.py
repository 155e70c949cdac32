"""What goes wrong with Dask collections, and the remedies that the messages name."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skmergecal import MergedClassifier, TemperatureCalibrator, calibration_report
from skmergecal._partitions import DaskPartitions, DaskRun, Rows, delayed
from skmergecal.calibration import ClassShift, fit_temperature
from skmergecal.metrics import expected_calibration_error, smooth_calibration_error
from skmergecal.pooling import fit_logarithmic_pool, logarithmic_pool, soften
from tests.distributed.test_fit import LABELS, MEMBERS, arrays, drawn_again, make_rows

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
db = pytest.importorskip("dask.bag")

X, Y, W = make_rows(1)
DX, DY, DW = arrays([50, 120], X, Y, W)


def fit(*rows, members=MEMBERS, **params):
    return MergedClassifier.from_fitted(members, *rows, **{"method": "logits", **params})


def frozen():
    return {name: FrozenEstimator(model) for name, model in MEMBERS.items()}


WRONG = {
    "partitions": (lambda: fit(DX, arrays([50], Y)[0]), "X has 3, y has 2.*rechunk"),
    "y in memory": (lambda: fit(DX, Y), "y is a ndarray.*from_array"),
    "X in memory": (lambda: fit(X, DY), "X is a ndarray.*from_array"),
    "weights in memory": (lambda: fit(DX, DY, W), "sample_weight is a ndarray.*from_array"),
    "a bag": (lambda: fit(db.from_sequence(X, npartitions=3), DY), "got a Dask Bag: convert it"),
    "lengths": (lambda: fit(DX, arrays([51, 120], Y)[0]), "X has .* rows and y has "),
    "no rows": (lambda: fit(*arrays([0], X[:0], Y[:0])), "no rows in any of its partitions"),
    "no weight": (lambda: fit(DX, DY, DW * 0), "no rows of positive weight"),
    "unknown labels": (
        lambda: fit(DX, arrays([50, 120], np.repeat("z", len(Y)))[0]),
        "y contains labels .'z'",
    ),
    "unfitted": (
        lambda: MergedClassifier({"a": LogisticRegression()}).fit(DX, DY),
        "'a'.* are to be fitted.*from_partitions.*from_fitted",
    ),
    "parameters": (lambda: fit(DX, DY, method="parameters"), "parameters'.*use method='logits'"),
    "scoring": (
        lambda: fit(DX, DY, weights="greedy", scoring="roc_auc_ovr"),
        "scoring='roc_auc_ovr' does not go with Dask.*scoring=None",
    ),
    "memory": (lambda: fit(DX, DY, memory="folder"), "memory='folder' does not go.*memory=None"),
    "fit_transform": (
        lambda: MergedClassifier(frozen(), method="logits").fit_transform(DX, DY),
        "Dask",
    ),
    "calibrated": (
        lambda: TemperatureCalibrator(MergedClassifier(frozen(), method="logits")).fit(DX, DY),
        "are to be fitted.*FrozenEstimator",
    ),
    "groups": (
        lambda: TemperatureCalibrator(FrozenEstimator(MEMBERS["bayes"])).fit(DX, DY, groups=Y),
        "groups.*leave them out",
    ),
    "columns of logits": (
        lambda: TemperatureCalibrator(classes=["a", "b"]).fit(DX, DY),
        "logits have 3 columns, but there are 2 classes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_with_dask_is_an_error(case):
    make, match = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=match):
        make()


CX, CY = (da.from_array(values, chunks=(80, *values.shape[1:])) for values in (X, Y))
FX, FY = (dd.from_pandas(f(t), npartitions=3) for f, t in ((pd.DataFrame, X), (pd.Series, Y)))
SAID = dd.from_pandas(
    pd.DataFrame(MEMBERS["linear"].predict_proba(X)).add_prefix("p"), npartitions=3
)


def stored(predictions):
    return MergedClassifier.from_predictions({"linear": predictions}, FY, method="logits")


#: A part of the message; what gives it; what must work then.
REMEDIES = [
    ("rechunk (Array)", lambda: fit(CX, CY.rechunk(60)),
     lambda: fit(CX, CY.rechunk(60).rechunk(80))),
    ("repartition (DataFrame)", lambda: fit(FX, FY.repartition(npartitions=2)),
     lambda: fit(FX, FY.repartition(npartitions=2).repartition(divisions=FX.divisions))),
    ("dask.array.from_array(values, chunks=...)", lambda: fit(CX, Y),
     lambda: fit(CX, da.from_array(Y, chunks=80))),
    ("dask.dataframe.from_pandas(values, npartitions=...)", lambda: fit(FX, pd.Series(Y)),
     lambda: fit(FX, dd.from_pandas(pd.Series(Y), npartitions=3))),
    ("to_dask_array(), if it is one of Dask", lambda: stored(SAID),
     lambda: stored(SAID.to_dask_array(lengths=True))),
    ("pass X.compute()", lambda: calibration_report(fit(X, Y), CX, CY),
     lambda: calibration_report(fit(X, Y), CX.compute(), CY.compute(), n_resamples=10)),
    ("got a Dask Bag: convert it", lambda: fit(db.from_sequence(X, npartitions=3), CY),
     lambda: fit(db.from_sequence(pd.DataFrame(X).to_dict("records"), npartitions=3)
                 .to_dataframe().values, CY)),
    ("got 3: reshape it", lambda: fit(CX[:, :, None], CY),
     lambda: fit(CX[:, :, None].reshape(CX.shape), CY)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "mistake", "remedy"), REMEDIES, ids=[case[0] for case in REMEDIES]
)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
def test_each_remedy_works(message, mistake, remedy):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        mistake()
    assert remedy() is not None


#: What needs all rows in memory, as it gets some of them from a Dask collection.
IN_MEMORY = {
    "report": lambda model, X, y: calibration_report(model, X, y),
    "member report": lambda model, X, y: model.member_report(X, y),
    "calibration error": lambda _, X, y: smooth_calibration_error((y == "a").astype(int), X),
    "pool": lambda _, X, y: fit_logarithmic_pool([X, X], (y == "a").astype(int)),
    "pooled": lambda _, X, y: logarithmic_pool([X, X], [1, 1]),
    "softened": lambda _, X, y: soften(abs(X) / abs(X).sum(axis=1, keepdims=True), 0.1),
    "temperature": lambda _, X, y: fit_temperature(X, (y == "a").astype(int)),
    "stream": lambda _, X, y: TemperatureCalibrator().partial_fit(X, y, classes=["a", "b", "d"]),
    "one estimator": lambda model, X, y: model.members_log_proba(X),
    "plain estimator": lambda model, X, y: model.to_estimator(X),
    "class shift": lambda model, X, y: ClassShift(FrozenEstimator(model)).fit(X, y),
    "folds": lambda _, X, y: MergedClassifier.from_cv({"a": [MEMBERS["linear"]] * 2}, X, y, 2),
}


@pytest.mark.parametrize("case", IN_MEMORY)
def test_what_takes_arrays_says_so(case):
    """Nothing reads a Dask collection into memory without a word."""
    model = fit(X, Y)
    with pytest.raises((TypeError, ValueError), match=r"Dask.*compute\(\)|Dask.*in memory"):
        IN_MEMORY[case](model, DX, DY)


def test_indexes_that_differ_are_an_error_and_reset_index_is_the_remedy():
    frame = pd.DataFrame(X)
    labels = pd.Series(Y, index=np.arange(len(Y)) + 1)
    rows, y = (dd.from_pandas(table, npartitions=2) for table in (frame, labels))
    with pytest.raises(ValueError, match=r"X and y have different indexes.*reset_index"):
        fit(rows, y)
    assert len(fit(rows.reset_index(drop=True), y.reset_index(drop=True)).weights_) == 3


def one_index_moved():
    """Labels whose second partition has two rows in another order."""
    places = np.arange(len(Y))
    places[[100, 101]] = 101, 100
    return dd.from_pandas(pd.Series(Y, index=places), npartitions=3, sort=False)


#: What differs in one partition, and its number.
UNLIKE = {
    "labels": (lambda: fit(DX, *arrays([50, 120], Y[:-1])), 2),
    "weights": (lambda: fit(DX, DY, *arrays([50, 120], W[:-1])), 2),
    "indexes": (lambda: fit(FX, one_index_moved()), 1),
    "logits": (lambda: TemperatureCalibrator(classes=LABELS).fit(DX, *arrays([49, 119], Y[1:])), 0),
    "scores": (lambda: expected_calibration_error(DW > 0, *arrays([50, 120], W[:-1] / 2)), 2),
    "one each": (
        lambda: MergedClassifier.from_partitions(
            LogisticRegression(), DX, *arrays([50, 120], Y[:-1])
        ),
        2,
    ),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_rows_that_differ_are_an_error_that_names_the_partition(case):
    make, number = UNLIKE[case]
    with pytest.raises(ValueError, match=r"rows in each partition|different indexes") as caught:
        make()
    assert f"in partition {number}" in caught.value.__notes__


def check_notes_of_what_raises():
    """A member fails where there are 70 rows."""

    class Breaks(LogisticRegression):
        def predict_proba(self, X):
            if len(X) == 70:
                msg = "out of order"
                raise RuntimeError(msg)
            return super().predict_proba(X)

    members = {"good": MEMBERS["bayes"], "broken": Breaks().fit(X, Y)}
    with pytest.raises(RuntimeError, match="out of order") as caught:
        fit(DX, DY, members=members)
    notes = " ".join(caught.value.__notes__)
    assert "'broken'" in notes
    assert "in partition 1" in notes


def test_what_raises_names_the_member_and_the_partition():
    check_notes_of_what_raises()


def test_rows_that_come_back_different_are_an_error():
    """As those of a source that draws again where a worker was lost."""
    rng = np.random.default_rng(0)

    def again(make):
        def draw():
            return [delayed(lambda: Rows([make().normal(size=(40, 3))], np.arange(40) % 3, None))()]

        run = DaskRun()
        rows = DaskPartitions.of(run, draw())
        rows.reduce(Rows.sizes)
        run.stored[0][:] = draw()
        return rows.reduce(Rows.sizes)

    with pytest.raises(ValueError, match=r"partition 0 came back different.*a seed for each"):
        again(lambda: rng)
    assert again(lambda: np.random.default_rng(7))  # the remedy


def test_two_columns_of_a_source_that_draws_at_random_have_the_same_rows():
    source = drawn_again(4)
    model = LogisticRegression().fit(X, LABELS[X.argmax(axis=1)])
    model = TemperatureCalibrator(FrozenEstimator(model), alpha=1.0)
    with pytest.warns(UserWarning, match="feature names"):
        model.fit(source[["p", "q", "r"]], source["y"])
    assert model.temperature_ < 1  # it is always right
