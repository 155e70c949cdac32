"""Fits of Dask collections: the numbers of a fit of all rows in memory."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal._partitions import DaskRun
from skmergecal.members import read_partitions
from skmergecal.merging import PredictionColumn

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
dask = pytest.importorskip("dask")
delayed = dask.delayed
Callback = pytest.importorskip("dask.callbacks").Callback
key_split = pytest.importorskip("dask.utils").key_split

N, K = 240, 3
LABELS = np.array(["a", "b", "d"])


def make_rows(seed, n=N):
    rng = np.random.default_rng(seed)
    y = rng.integers(K, size=n)
    return np.eye(K)[y] + 0.8 * rng.normal(size=(n, K)), LABELS[y], rng.integers(0, 3, n) / 2


def make_members():
    X, y, _ = make_rows(0)
    forest = RandomForestClassifier(5, max_depth=4, random_state=0)
    return {
        "forest": forest.fit(X, y),
        "linear": LogisticRegression().fit(X[:50], y[:50]),
        "bayes": GaussianNB().fit(X[:40, :], y[:40]),
    }


MEMBERS = make_members()
X_0, Y_0, _ = make_rows(0)
#: "two" knows no "d".
TWO_CLASSES = {**MEMBERS, "two": GaussianNB().fit(X_0[Y_0 != "d"], Y_0[Y_0 != "d"])}


def arrays(ends, *values):
    """Dask arrays with these ends of chunks, some of them empty, of sizes that are not known."""
    ends = [0, *sorted(ends), len(values[0])]
    made = []
    for own in values:
        shape = (np.nan, *own.shape[1:])
        parts = [
            da.from_delayed(delayed(own[a:b]), shape, dtype=own.dtype) for a, b in pairwise(ends)
        ]
        made.append(da.concatenate(parts, allow_unknown_chunksizes=True))
    return made


def drawn_again(n_partitions):
    """A Dask DataFrame whose rows are drawn again each time; y is the largest of the others."""
    rng = np.random.default_rng(0)

    def draw(_):
        a = rng.normal(size=(50, 3))
        frame = pd.DataFrame(a, columns=["p", "q", "r"])
        return frame.assign(y=LABELS[a.argmax(axis=1)])

    return dd.from_map(draw, range(n_partitions), meta=draw(0).iloc[:0])


def frames(ends, X, y, weight):
    """Columns of one Dask DataFrame; y a categorical that knows other categories in each part."""
    ends = [0, *sorted(ends), len(y)]
    frame = pd.DataFrame(X, columns=["p", "q", "r"]).assign(w=weight, y=y)
    frame.index = np.arange(len(y)) % 7
    parts = [frame.iloc[a:b].assign(y=lambda f: f.y.astype("category")) for a, b in pairwise(ends)]
    whole = dd.from_delayed(
        [delayed(part) for part in parts], meta=parts[0].iloc[:0], verify_meta=False
    )
    return whole[["p", "q", "r"]], whole["y"], whole["w"]


def check_same(parts, whole, X):
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(parts.classes_, whole.classes_)
    if getattr(whole, "class_counts_", None) is not None:
        np.testing.assert_allclose(parts.class_counts_, whole.class_counts_)


def check_same_estimates(parts, whole):
    for name in ("loss", "standard_error", "gain", "gain_standard_error"):
        own, expected = (getattr(m.loss_estimate_, name) for m in (parts, whole))
        assert own == pytest.approx(expected, rel=1e-8, abs=1e-10)
    for name in ("by_member", "by_pool"):
        own, expected = (getattr(m.loss_estimate_, name) for m in (parts, whole))
        assert own == pytest.approx(expected, rel=1e-8)


WAYS = [
    {},
    {"calibrate": "merged"},
    {"method": "logits", "weights": "classwise"},
    {"method": "logits", "weights": "classwise", "alpha": 3.0, "calibrate": "merged"},
    {"method": "logits"},
    {"method": "logits", "alpha": 0.5, "calibrate": "members"},
    {"method": "logits", "calibrate": "both"},
    {"method": "logits", "weights": [1, 2, 3], "calibrate": "both"},
    {"method": "logits", "weights": None, "calibrate": "merged"},
    {"method": "probabilities"},
    {"method": "probabilities", "calibrate": "both"},
    {"method": "probabilities", "calibrate": "merged", "weights": [3, 1, 1]},
]


@pytest.mark.thorough
@pytest.mark.parametrize("params", WAYS, ids=str)
@given(
    seed=st.integers(1, 10**6),
    ends=st.lists(st.integers(0, N), max_size=5),
    weighted=st.booleans(),
)
@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
def test_merges_are_those_of_all_rows(params, seed, ends, weighted):
    X, y, weight = make_rows(seed)
    weight = weight if weighted else None
    whole = MergedClassifier.from_fitted(MEMBERS, X, y, weight, **params)
    own = arrays(ends, *(v for v in (X, y, weight) if v is not None))
    parts = MergedClassifier.from_fitted(MEMBERS, *own, **params)
    check_same(parts, whole, X)
    check_same_estimates(parts, whole)
    assert parts.n_features_in_ == K


@pytest.mark.thorough
@pytest.mark.parametrize("params", [{}, {"method": "logits", "weights": "classwise"}], ids=str)
def test_the_default_where_a_class_has_one_row_or_none(params):
    X, y, _ = make_rows(11)
    X, y = X[y != "d"], y[y != "d"]
    for lost in (True, False):
        if not lost:
            X, y = np.vstack([X, [[0.1, 0.2, 0.9]]]), np.append(y, "d")
        own = arrays([20, 21, 80, len(y) - 1], X, y)
        models = []
        for rows in ((X, y), own):
            if lost:
                with pytest.warns(UserWarning, match="no held-out row has the classes"):
                    models.append(MergedClassifier.from_fitted(MEMBERS, *rows, **params))
            else:
                models.append(MergedClassifier.from_fitted(MEMBERS, *rows, **params))
        check_same(models[1], models[0], X)
        check_same_estimates(models[1], models[0])


LOGITS = {"method": "logits", "alpha": 1.0}
#: Number of partitions, how many results a task combines, and settings: 201 partitions take seconds
#: for each way to learn, 16 are combined by as many levels of tasks where each combines two.
PARTITIONS = [
    (1, 16, LOGITS),
    (3, 16, LOGITS),
    (16, 16, LOGITS),
    pytest.param(201, 16, LOGITS, marks=pytest.mark.thorough),
    *((16, 2, {**LOGITS, "weights": weights}) for weights in ("greedy", "classwise")),
    (16, 2, {}),
]


@pytest.mark.parametrize(("n_parts", "fan_in", "how"), PARTITIONS, ids=str)
def test_the_number_of_partitions_changes_nothing(n_parts, fan_in, how, monkeypatch):
    """They are of random sizes; of many most are empty, as partitions with rows take their time."""
    monkeypatch.setattr("skmergecal._partitions._dask._FAN_IN", fan_in)
    X, y, weight = make_rows(3)
    two = {name: MEMBERS[name] for name in ("linear", "bayes")}
    rng = np.random.default_rng(n_parts)
    ends = rng.choice(rng.integers(0, N + 1, 20), n_parts - 1).tolist()
    whole = MergedClassifier.from_fitted(two, X, y, weight, **how)
    parts = MergedClassifier.from_fitted(two, *arrays(ends, X, y, weight), **how)
    check_same(parts, whole, X)


@pytest.mark.parametrize("params", [{"method": "logits"}, {"method": "probabilities"}], ids=str)
def test_greedy_selection_is_that_of_all_rows(params):
    X, y, weight = make_rows(5)
    whole = MergedClassifier.from_fitted(MEMBERS, X, y, weight, weights="greedy", **params)
    found = []
    for ends in ([30, 30, 100], []):
        own = arrays(ends, X, y, weight)
        parts = MergedClassifier.from_fitted(MEMBERS, *own, weights="greedy", **params)
        np.testing.assert_allclose(parts.weights_, whole.weights_, rtol=1e-12)
        found.append(parts)
    check_same_estimates(*found)
    # In memory other rows are together in a fifth.
    estimate, expected = found[0].loss_estimate_, whole.loss_estimate_
    assert abs(estimate.loss - expected.loss) < 0.5 * expected.standard_error
    assert abs(estimate.gain - expected.gain) < 2 * expected.gain_standard_error


def test_frames_with_categoricals_that_know_different_categories():
    X, y, weight = make_rows(2)
    names = ["p", "q", "r"]
    members = {
        name: model.__class__(**model.get_params()).fit(pd.DataFrame(X, columns=names), y)
        for name, model in MEMBERS.items()
    }
    frame = pd.DataFrame(X, columns=names)
    whole = MergedClassifier.from_fitted(members, frame, y, weight, method="logits")
    parts = MergedClassifier.from_fitted(members, *frames([60, 61], X, y, weight), method="logits")
    check_same(parts, whole, frame)
    assert parts.feature_names_in_.tolist() == names


def test_rows_that_a_shuffle_on_disk_has_moved_stay_together():
    """Each fit shuffles again, under names of its own."""
    X, y, weight = make_rows(12)
    names = ["p", "q", "r"]
    frame = pd.DataFrame(X, columns=names).assign(y=y, w=weight, place=np.arange(N) * 7 % 5)
    model = GaussianNB().fit(pd.DataFrame(X_0, columns=names), Y_0)
    members = {"bayes": model, "linear": LogisticRegression().fit(frame[names][:60], y[:60])}
    rows = dd.from_pandas(frame, npartitions=3).shuffle("place", shuffle_method="disk")
    own = rows[names], rows["y"], rows["w"]
    parts = MergedClassifier.from_fitted(members, *own, method="logits")
    whole = MergedClassifier.from_fitted(members, frame[names], y, weight, method="logits")
    check_same(parts, whole, frame[names])
    assert parts.score(*own) == pytest.approx(whole.score(frame[names], y, weight), abs=1e-12)


@pytest.mark.parametrize("missing_classes", ["auto", "soften"])
def test_members_that_lack_a_class(missing_classes):
    X, y, _ = make_rows(4)
    how = {"method": "probabilities", "missing_classes": missing_classes}
    whole = MergedClassifier.from_fitted(TWO_CLASSES, X, y, **how)
    parts = MergedClassifier.from_fitted(TWO_CLASSES, *arrays([7, 70], X, y), **how)
    check_same(parts, whole, X)
    for method in ("logits", "probabilities"):
        with pytest.raises(ValueError, match="'two' never saw the classes"):
            MergedClassifier.from_fitted(
                TWO_CLASSES, *arrays([7, 70], X, y), method=method, missing_classes="error"
            )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_calibrator_of_a_frozen_member(name, weighted):
    X, y, weight = make_rows(6)
    given = (X, y, weight) if weighted else (X, y)
    frozen = FrozenEstimator(MEMBERS[name])
    whole = TemperatureCalibrator(frozen).fit(*given)
    parts = TemperatureCalibrator(frozen).fit(*arrays([1, 1, 90], *given))
    check_same(parts, whole, X)
    np.testing.assert_allclose(parts.temperature_interval_, whole.temperature_interval_, rtol=1e-5)


@pytest.mark.parametrize("classes", [None, LABELS])
def test_a_calibrator_of_bare_logits(classes):
    X, y, weight = make_rows(7)
    whole = TemperatureCalibrator(classes=classes).fit(X, y, weight)
    parts = TemperatureCalibrator(classes=classes).fit(*arrays([100], X, y, weight))
    check_same(parts, whole, X)
    frame, labels, w = frames([100], X, y, weight)
    parts = TemperatureCalibrator(classes=classes).fit(frame, labels, w)
    assert parts.temperature_ == pytest.approx(whole.temperature_, rel=1e-9)
    assert parts.feature_names_in_.tolist() == ["p", "q", "r"]


@pytest.mark.parametrize("method", ["logits", "probabilities"])
@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_rounded_members_are_softened_as_in_memory(decimals, method):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    stored = {  # u without zeros, v with some
        name: (1 / (1 + np.exp(-scale * (y - 0.5 + 0.4 * rng.normal(size=400))))).round(decimals)
        for name, scale in (("u", 2), ("v", 10))
    }
    labels, *columns = arrays([10, 300], y, *stored.values())
    given = dict(zip(stored, columns, strict=True))
    how = {"method": method, "calibrate": "merged"}
    whole = MergedClassifier.from_predictions(stored, y, **how)
    parts = MergedClassifier.from_predictions(given, labels, **how)
    certain = {name: np.array([0.0, 0.3, 1.0]) for name in stored}
    check_same(parts, whole, certain)


@pytest.mark.parametrize("kind", ["dict", "frame"])
def test_stored_predictions(kind):
    X, y, _ = make_rows(8)
    y = np.where(y == "a", "a", "b")
    stored = {name: 0.1 + 0.8 * (X[:, k] > 0.5) for k, name in enumerate("uvw")}
    stored["u"][5] = 0.0
    whole = MergedClassifier.from_predictions(stored, y, method="logits")
    labels, *columns = arrays([10, 10, 200], y, *stored.values())
    given = dict(zip(stored, columns, strict=True))
    if kind == "frame":
        given = dd.from_pandas(pd.DataFrame(stored), npartitions=3)
        labels = dd.from_pandas(pd.Series(y), npartitions=3)
    parts = MergedClassifier.from_predictions(given, labels, method="logits")
    check_same(parts, whole, stored)
    np.testing.assert_allclose(
        parts.predict_proba(given).compute(), whole.predict_proba(stored), atol=1e-9
    )


def test_rows_with_missing_predictions_can_be_dropped():
    X, y, _ = make_rows(9)
    y = np.where(y == "a", "a", "b")
    stored = {name: 0.1 + 0.8 * (X[:, k] > 0.5) for k, name in enumerate("uvw")}
    stored["v"][[3, 50, 51]] = np.nan
    labels, *columns = arrays([10, 51], y, *stored.values())
    given = dict(zip(stored, columns, strict=True))
    how = {"method": "logits", "missing": "drop_rows"}
    whole = MergedClassifier.from_predictions(stored, y, **how)
    parts = MergedClassifier.from_predictions(given, labels, **how)
    np.testing.assert_allclose(parts.weights_, whole.weights_, rtol=1e-9)
    with pytest.raises(ValueError, match="predictions 'v' have NaN in 1"):
        MergedClassifier.from_predictions(given, labels, method="logits")


def test_names_of_tasks_and_lines_tell_what_is_done(capsys):
    X, y, _ = make_rows(1)
    own = arrays([100], X, y)
    names = set()

    class Watches(Callback):
        def _pretask(self, key, dsk, state):
            names.add(key_split(key))

    with Watches():
        MergedClassifier.from_fitted(MEMBERS, *own, method="logits", verbose=1)
        TemperatureCalibrator(FrozenEstimator(MEMBERS["bayes"]), verbose=1).fit(*own)
    expected = {"round 3 of the logarithmic pool", "opinions of forest, linear, bayes"}
    assert {*expected, "opinion of estimator", "round 2 of the temperature"} <= names
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("[MergedClassifier] round 3 of the log") for line in lines)
    assert any(line.startswith("[MergedClassifier] opinions of forest") for line in lines)
    assert any(line.startswith("[TemperatureCalibrator] round 2 of the") for line in lines)
    MergedClassifier.from_fitted(MEMBERS, *own, method="logits")
    MergedClassifier.from_fitted(MEMBERS, X, y, method="logits", verbose=1)
    assert not capsys.readouterr().out


def test_the_estimate_of_a_pool_without_a_finite_optimum():
    """Members are mostly wrong, so that the pool ignores them; weights are repetitions."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=60)
    p = [0.5 + (0.5 - y) * rng.uniform(-0.1, 0.5, size=60) for _ in "ab"]
    labels, u, v, twice = arrays([20, 21], y, *p, np.full(60, 2.0))
    found = []
    for data in ((labels, u, v, twice), arrays([50], *(np.tile(own, 2) for own in (y, *p)))):
        stored, weight = {"u": data[1], "v": data[2]}, [*data[3:], None][0]
        with pytest.warns(ConvergenceWarning, match="no finite temperature"):
            found.append(
                MergedClassifier.from_predictions(
                    stored, data[0], weight, method="logits", alpha=0.0, classes=[0, 1]
                )
            )
    check_same_estimates(*found)
    assert found[0].loss_estimate_.loss == pytest.approx(np.log(2), abs=0.05)


def rounds_of(members, **params):
    """How often Dask computes something during a fit."""
    computed = []

    def get(graph, keys, **how):
        computed.append(keys)
        return dask.get(graph, keys, **how)

    X, y, _ = make_rows(1)
    with dask.config.set(scheduler=get):
        MergedClassifier.from_fitted(members, *arrays([50, 90, 91], X, y), **params)
    return len(computed)


def test_dask_goes_through_all_tasks_once_not_for_each_partition(monkeypatch):
    graph = pytest.importorskip("dask.highlevelgraph").HighLevelGraph
    seen, cull = [], graph.cull

    def counted(*args, **how):
        seen.append(None)
        return cull(*args, **how)

    monkeypatch.setattr(graph, "cull", counted)
    X, y, weight = make_rows(3)
    found = []
    for n_parts in (2, 9):
        seen.clear()
        own = arrays([*range(20, 20 + n_parts)], X, y, weight)
        MergedClassifier.from_fitted(MEMBERS, *own, **LOGITS)
        TemperatureCalibrator(FrozenEstimator(MEMBERS["bayes"])).fit(*own)
        found.append(len(seen))
    assert found[1] <= found[0] + 2  # a search may take a step more


def test_temperatures_of_members_are_found_in_the_same_rounds():
    """A search may take a step more or less; three searches do not take three times as many."""
    how = {"method": "logits", "weights": None, "calibrate": "members"}
    one = {"linear": MEMBERS["linear"]}
    assert rounds_of(MEMBERS, **how) <= 1.3 * rounds_of(one, **how)


@pytest.mark.parametrize("params", [{}, {"method": "logits"}, {"method": "probabilities"}], ids=str)
def test_stored_predictions_in_float32_are_kept_so(params):
    """Zeros are softened before log-probabilities are rounded."""
    rng = np.random.default_rng(5)
    y = rng.integers(2, size=N)
    p = np.clip(0.5 + (y - 0.5) * 0.6 + 0.25 * rng.normal(size=(3, N)), 0, 1).astype(np.float32)
    stored = dict(zip("uvw", p, strict=True))
    whole = MergedClassifier.from_predictions(stored, y, **params)
    found = []
    for ends in ([], [20, 20, 190]):
        labels, *columns = arrays(ends, y, *p)
        given = dict(zip("uvw", columns, strict=True))
        found.append(MergedClassifier.from_predictions(given, labels, **params))
        np.testing.assert_allclose(
            found[-1].predict_proba(stored), whole.predict_proba(stored), atol=1e-6
        )
    np.testing.assert_allclose(*(m.predict_proba(stored) for m in found), atol=1e-9)


def test_what_is_kept_of_float32_takes_half_of_the_memory():
    rng = np.random.default_rng(5)
    y, p = rng.integers(2, size=N), rng.dirichlet([1, 1], size=N)
    sizes = []
    for kind in (np.float32, np.float64):
        run = DaskRun()
        labels, column = arrays([50], y, p.astype(kind))
        pair = ("u", FrozenEstimator(PredictionColumn("u", classes=[0, 1])))
        assert read_partitions([pair], run, {"u": column}, labels, None).log_rows is not None
        (raw, logs) = (dask.compute(*parts) for parts in run.stored)
        sizes.append(sum(z.nbytes for part in raw for z in part.raw))
        sizes.append(sum(z.nbytes for part in logs for z in part.opinions))
    assert sizes == [8 * N, 8 * N, 16 * N, 16 * N]
