"""One member for each partition: trained where its rows lie, merged on rows that none has seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from skmergecal import MergedClassifier
from skmergecal.members._partition_splits import SplitFacts, blocks_of_partitions
from tests.distributed.test_fit import LABELS, N, arrays, drawn_again, make_rows

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

X, Y, W = make_rows(1)
#: Uneven, one of them empty.
ENDS = [60, 60, 130]


DX, DY, DW = arrays(ENDS, X, Y, W)


def fit(*rows, estimator=None, **params):
    how = {"random_state": 0, "method": "logits", "weights": None, **params}
    estimator = GaussianNB() if estimator is None else estimator
    return MergedClassifier.from_partitions(estimator, *rows, **how)


class Remembers(LogisticRegression):
    """Knows which rows it was trained on, by their first column."""

    def fit(self, X, y, sample_weight=None):
        first = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
        self.rows_ = np.asarray(first)
        self.weights_of_rows_ = sample_weight
        return super().fit(X, y, sample_weight)


def trained_on(merged, values=X):
    """Numbers of the rows that each member was trained on."""
    places = {value: number for number, value in enumerate(values[:, 0].tolist())}
    return {
        name: np.array([places[value] for value in member.estimator.rows_.tolist()])
        for name, member in merged.named_estimators_.items()
    }


def by_hand(merged, X, y, weight, **params):
    """The same members, trained and merged in memory."""
    rows = trained_on(merged)
    held = np.setdiff1d(np.arange(len(y)), np.concatenate([*rows.values()]))
    if weight is not None:
        held = held[weight[held] > 0]

    def weights(numbers):
        return None if weight is None else weight[numbers]

    members = {
        name: LogisticRegression().fit(X[own], y[own], weights(own)) for name, own in rows.items()
    }
    how = {"missing_classes": "soften", **params}
    return MergedClassifier.from_fitted(members, X[held], y[held], weights(held), **how)


@pytest.mark.parametrize(
    ("method", "weighted"), [("logits", True), ("probabilities", False), ("parameters", True)]
)
def test_the_merge_is_that_of_the_same_members_in_memory(method, weighted):
    given = [v for v in (X, Y, W if weighted else None) if v is not None]
    merged = MergedClassifier.from_partitions(
        Remembers(), *arrays(ENDS, *given), random_state=0, method=method, calibrate="merged"
    )
    assert [*merged.named_estimators_] == ["partition_0", "partition_2", "partition_3"]
    rows = trained_on(merged)
    for own, (first, last) in zip(rows.values(), [(0, 60), (60, 130), (130, N)], strict=True):
        counted = np.sum(W[first:last] > 0) if weighted else last - first
        assert own.min() >= first
        assert own.max() < last
        assert abs(len(own) - 0.8 * counted) <= 1
    hand = by_hand(merged, *given, *[None] * (3 - len(given)), method=method, calibrate="merged")
    np.testing.assert_allclose(merged.predict_proba(X), hand.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(merged.weights_, hand.weights_, atol=1e-7)
    assert merged.loss_estimate_.loss == pytest.approx(hand.loss_estimate_.loss)
    assert merged.n_features_in_ == 3
    if weighted:
        used = merged.estimators_[1].estimator.weights_of_rows_
        np.testing.assert_array_equal(used, W[rows["partition_2"]])


def test_all_pools_together_are_those_of_the_same_members_in_memory():
    merged = MergedClassifier.from_partitions(Remembers(), *arrays(ENDS, X, Y), random_state=0)
    hand = by_hand(merged, X, Y, None)
    np.testing.assert_allclose(merged.predict_proba(X), hand.predict_proba(X), atol=1e-8)


def test_frames_with_categoricals_that_know_different_categories():
    frame = pd.DataFrame(X, columns=["p", "q", "r"])
    frame["site"] = np.where(X[:, 0] > 0.5, "here", np.where(X[:, 1] > 0.5, "there", "far"))
    parts = [
        part.assign(site=part.site.astype("category"), y=pd.Categorical(Y[part.index]))
        for part in (frame[:50], frame[50:60], frame[60:])
    ]
    parts[1] = parts[1].assign(site=pd.Categorical(["elsewhere"] * 10))
    rows = dd.from_delayed([dask.delayed(p) for p in parts], meta=parts[0][:0], verify_meta=False)
    encoder = OneHotEncoder(handle_unknown="ignore")
    merged = MergedClassifier.from_partitions(
        make_pipeline(encoder, LogisticRegression()),
        rows[["site", "p"]],
        rows["y"],
        n_members=2,
        random_state=0,
        method="logits",
    )
    encoders = [member.estimator.steps[0][1] for member in merged.estimators_]
    assert [*encoders[0].categories_[0]] == ["elsewhere", "far", "here", "there"]
    assert merged.feature_names_in_.tolist() == ["site", "p"]
    assert merged.predict_proba(frame[["site", "p"]]).shape == (N, 3)


def forest(**params):
    return RandomForestClassifier(4, max_depth=3, **params)


def test_the_same_seed_gives_the_same_bits_with_any_scheduler():
    rows = arrays(ENDS, X, Y)
    found = []
    for scheduler, seed in [("synchronous", 3), ("threads", 3), ("synchronous", 4)]:
        with dask.config.set(scheduler=scheduler):
            found.append(fit(*rows, estimator=forest(), random_state=seed).predict_proba(X))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_open_seeds_are_set_for_each_member_and_others_stay():
    inner = forest()
    chain = make_pipeline(StandardScaler(), inner)
    frozen = FrozenEstimator(forest().fit(X, Y))
    rows = arrays(ENDS, X, Y)
    np.random.seed(0)  # noqa: NPY002
    how = {"method": "logits", "weights": None}
    one = MergedClassifier.from_partitions(chain, *rows, random_state=None, **how)
    two = MergedClassifier.from_partitions(chain, *rows, random_state=None, **how)
    seeds = [e.estimator.steps[-1][1].random_state for m in (one, two) for e in m.estimators_]
    assert len(set(seeds)) == 6
    assert inner.random_state is None
    kept = MergedClassifier.from_partitions(forest(random_state=7), *rows, **how)
    assert [member.estimator.random_state for member in kept.estimators_] == [7, 7, 7]
    with pytest.raises(ValueError, match=r"estimator is frozen.*from_fitted"):
        MergedClassifier.from_partitions(frozen, *rows)
    assert frozen.estimator.random_state is None


@pytest.mark.parametrize("n_groups", [2, 9])
def test_groups_are_trained_on_or_held_out_as_a_whole(n_groups):
    groups = np.repeat([0, 1000, 2000], [60, 70, N - 130]) + np.arange(N) * 7 % n_groups
    names = np.array([f"patient {number}" for number in groups])
    merged = fit(DX, DY, estimator=Remembers(), groups=arrays(ENDS, names)[0])
    rows = np.concatenate([*trained_on(merged).values()])
    held = np.setdiff1d(np.arange(N), rows)
    assert len(held)
    assert not set(groups[rows]) & set(groups[held])
    if n_groups > 2:
        assert abs(len(held) / N - 0.2) < 0.1


def test_groups_in_several_partitions_give_a_warning_and_shuffle_is_the_remedy():
    frame = pd.DataFrame(X, columns=["p", "q", "r"]).assign(y=Y, patient=np.arange(N) // 3 % 40)
    rows = dd.from_pandas(frame, npartitions=3)

    def fit_groups(rows):
        return fit(rows[["p", "q", "r"]], rows["y"], groups=rows["patient"])

    with pytest.warns(UserWarning, match=r"40 of 40 groups.*shuffle\(on="):
        fit_groups(rows)
    fit_groups(rows.shuffle(on="patient"))


def test_partitions_of_one_class_join_the_next_and_the_last_the_one_before():
    order = np.argsort(Y, kind="stable")
    rows, labels = X[order], Y[order]
    a, b = (int(np.sum(label >= Y)) for label in ("a", "b"))
    own = arrays([20, a + 10, b - 5, b + 10], rows, labels)
    with pytest.warns(UserWarning, match=r"partitions \[0, 2, 4\] have rows of one class.*shuffle"):
        merged = fit(*own, estimator=Remembers())
    trained = trained_on(merged, rows)
    assert [*trained] == ["partition_0", "partition_2"]
    assert trained["partition_0"].max() < a + 10 <= trained["partition_2"].min()
    assert [len(member.classes_) for member in merged.estimators_] == [2, 2]
    assert (merged.predict_proba(X) > 0).all()
    mixed = arrays([60, 120], X, Y)  # shuffled
    assert len(fit(*mixed).weights_) == 3


def test_classes_that_a_partition_lacks_follow_missing_classes():
    kept = (np.arange(N) >= 80) | (Y != "d")
    own = arrays([50], X[kept], Y[kept])
    merged = fit(*own)
    assert merged.estimators_[0].classes_.tolist() == ["a", "b"]
    assert merged.classes_.tolist() == LABELS.tolist()
    for stricter in ("error", "auto"):
        with pytest.raises(ValueError, match=r"'partition_0' never saw.*missing_classes='soften'"):
            fit(*own, missing_classes=stricter)


def test_neighbours_are_trained_on_together_where_partitions_are_many():
    labels = np.where(Y == "a", 3, -7)
    own = arrays([40, 80, 120, 160, 200], X, labels)
    merged = fit(*own, estimator=Remembers(), n_members=2)
    assert [*merged.named_estimators_] == ["partition_0", "partition_3"]
    assert merged.classes_.tolist() == [-7, 3]
    both = trained_on(merged)
    assert both["partition_0"].max() < 120 <= both["partition_3"].min()
    facts = SplitFacts(np.array([0, 1]), np.empty(0), 1, (10, 5, 10.0))
    blocks = blocks_of_partitions([facts] * 201, None)
    assert len(blocks) == 32
    assert [number for block in blocks for number in block] == [*range(201)]


@pytest.mark.parametrize("held_out", [0.05, 0.5, 0.95])
def test_a_share_of_each_class_is_held_out_and_one_row_is_trained_on(held_out):
    labels = np.repeat(["a", "b", "d"], [N - 31, 30, 1])
    merged = fit(*arrays([], X, labels), estimator=Remembers(), held_out=held_out)
    own = labels[trained_on(merged)["partition_0"]]
    for label, count in [("a", N - 31), ("b", 30), ("d", 1)]:
        assert np.sum(own == label) >= 1
        assert abs(np.sum(own == label) - (1 - held_out) * count) <= 1


def test_nets_begin_with_seeds_of_their_own_and_leave_those_of_torch():
    torch, nets = pytest.importorskip("torch"), pytest.importorskip("tests.nets")
    net = nets.net(nets.layers(3, 3), max_epochs=1)
    rows = arrays([120], X.astype(np.float32), Y)
    before = torch.get_rng_state()
    found = []
    for scheduler, seed in [("synchronous", 3), ("threads", 3), ("synchronous", 4)]:
        with dask.config.set(scheduler=scheduler):
            how = {"estimator": net, "random_state": seed}
            found.append(fit(*rows, **how).predict_proba(X.astype(np.float32)))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    assert torch.equal(before, torch.get_rng_state())


def test_a_clone_is_fitted_on_new_rows_with_the_members_as_they_are():
    merged = fit(DX, DY, weights="log_loss")
    new_X, new_y, _ = make_rows(2)
    again = clone(merged).fit(new_X, new_y)
    assert again.estimators_[0].estimator is merged.estimators_[0].estimator
    assert (again.weights_ != merged.weights_).any()


WRONG = {
    "arrays": (lambda: fit(X, Y), r"X is a ndarray.*from_array.*from_pandas.*MergedClassifier"),
    "y in memory": (lambda: fit(DX, Y), "y is a ndarray.*from_array"),
    "groups in memory": (lambda: fit(DX, DY, groups=Y), "groups is a ndarray.*from_array"),
    "partitions": (lambda: fit(DX, arrays([50], Y)[0]), "X has 4, y has 2.*rechunk"),
    "lengths": (
        lambda: fit(DX, arrays([61, 61, 130], Y)[0]),
        "X has (60 rows and y has 61|70 rows and y has 69)",  # whichever is read first
    ),
    "one class": (lambda: fit(DX, arrays(ENDS, np.repeat("z", N))[0]), "one class in all"),
    "no weight": (lambda: fit(DX, DY, DW * 0), "no rows of positive weight"),
    "too many": (lambda: fit(DX, DY, n_members=4), "n_members=4, but there are 3.*repartition"),
    "held_out": (lambda: fit(DX, DY, held_out=1.0), "'held_out' parameter.*must be a float"),
    "method": (lambda: fit(DX, DY, method="mean"), "'method' parameter"),
    "weights": (lambda: fit(DX, DY, weights=[1, 2]), r"weights should have shape \(3,\)"),
    "memory": (lambda: fit(DX, DY, memory="folder"), "memory='folder' does not go.*memory=None"),
    "regressor": (lambda: fit(DX, DY, estimator=StandardScaler()), "estimator 'estimator'"),
    "no probabilities": (lambda: fit(DX, DY, estimator=SVC(kernel="none")), "kernel"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_an_error(case):
    make, match = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=match):
        make()


def test_remedies_of_errors_work():
    assert len(fit(da.from_array(X, chunks=(80, -1)), da.from_array(Y, chunks=80)).weights_) == 3
    frame = pd.DataFrame(X).assign(y=Y)
    rows = dd.from_pandas(frame, npartitions=2)
    features = rows[[0, 1, 2]].rename(columns=str)
    with pytest.raises(ValueError, match="n_members=3"):
        fit(features, rows["y"], n_members=3)
    parts = rows.repartition(npartitions=3)
    assert len(fit(parts[[0, 1, 2]].rename(columns=str), parts["y"], n_members=3).weights_) == 3
    few = arrays([6], *(values[:12] for values in (X, Y)))
    with pytest.raises(ValueError, match=r"held_out=1e-09 keeps no row.*larger held_out"):
        fit(*few, held_out=1e-9)
    assert len(fit(*few, held_out=0.4).weights_) == 2


class Fails(GaussianNB):
    """Fails on 56 rows."""

    def fit(self, X, y):
        if len(X) == 56:
            msg = "out of order"
            raise RuntimeError(msg)
        return super().fit(X, y)


def test_a_fit_that_fails_names_the_member():
    with pytest.raises(RuntimeError, match="out of order") as caught:
        fit(DX, DY, estimator=Fails())
    assert "'partition_2'" in " ".join(caught.value.__notes__)


def test_members_that_take_no_weights_give_a_warning():
    from sklearn.neighbors import KNeighborsClassifier

    with pytest.warns(UserWarning, match=r"KNeighborsClassifier\) does not take sample_weight"):
        fit(DX, DY, DW, estimator=KNeighborsClassifier())


def test_rows_that_come_back_different_are_an_error():
    rows = drawn_again(2)
    with pytest.raises(ValueError, match=r"partition \d came back different"):
        fit(rows[["p", "q", "r"]], rows["y"])
