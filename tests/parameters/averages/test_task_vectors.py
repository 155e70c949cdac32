"""Members tuned from one start: arithmetic, TIES and DARE, right on small tensors, too."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    Parameters,
    average_parameters,
    merge_task_vectors,
    read_parameters,
)
from skmergecal.parameters.averages import drop, elect, trim
from tests.strategies import seeds

METHODS = ["arithmetic", "ties", "dare", "dare_ties"]
densities = st.floats(0, 1, exclude_min=True)
shapes = st.sampled_from([(), (1,), (2,), (3, 4), (0, 3), (50,)])


def arrays_of(estimator):
    return read_parameters(estimator).arrays


@given(seed=seeds, density=densities, shape=shapes)
def test_trim_keeps_the_largest_and_at_least_one(seed, density, shape):
    delta = np.random.default_rng(seed).normal(size=shape)
    kept = trim(delta, density)
    n = int(np.ceil(density * delta.size))
    assert kept.shape == shape
    assert np.count_nonzero(kept) == n
    assert n >= min(1, delta.size)
    np.testing.assert_array_equal(kept[kept != 0], delta[kept != 0])
    if 0 < n < delta.size:
        assert np.abs(kept[kept != 0]).min() >= np.abs(delta[kept == 0]).max()


@given(seed=seeds, density=densities, shape=shapes)
def test_drop_keeps_that_many_and_scales_them(seed, density, shape):
    rng = np.random.default_rng(seed)
    delta = rng.normal(size=shape)
    kept = drop(delta, density, np.random.RandomState(seed))
    n = int(np.ceil(density * delta.size))
    assert np.count_nonzero(kept) == n
    np.testing.assert_allclose(kept[kept != 0] * n, delta[kept != 0] * delta.size)
    np.testing.assert_array_equal(kept, drop(delta, density, np.random.RandomState(seed)))


def test_drop_is_right_on_average():
    delta = np.array([3.0, -1.0, 0.5])
    draws = drop(np.tile(delta, (4_000, 1)), 0.4, np.random.RandomState(0))
    assert len(np.unique(draws, axis=0)) == 2**3  # each number is drawn by itself
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - delta) < 4 * error).all()


def test_elect_by_hand():
    deltas = [np.array([1.0, -2.0, 0.0, 1.0]), np.array([3.0, 1.0, 0.0, -1.0])]
    np.testing.assert_array_equal(elect(deltas, np.array([0.5, 0.5])), [2, -2, 0, 0])
    np.testing.assert_allclose(elect(deltas, np.array([0.2, 0.8])), [2.6, 1, 0, -1])


@given(seed=seeds)
def test_elected_signs_agree_and_mirror(seed):
    rng = np.random.default_rng(seed)
    deltas, weights = list(rng.normal(size=(4, 30))), rng.dirichlet(np.ones(4))
    found = elect(deltas, weights)
    total = sum(w * d for w, d in zip(weights, deltas, strict=True))
    np.testing.assert_array_equal(np.sign(found), np.sign(total))
    np.testing.assert_allclose(elect([-d for d in deltas], weights), -found)
    assert (np.abs(found) >= np.abs(total) - 1e-12).all()  # what cancels is left out
    assert (np.abs(found) <= np.abs(deltas).max(axis=0) + 1e-12).all()


@pytest.fixture(scope="module")
def tuned(blobs):
    """A start, and three networks tuned from it on thirds of the rows."""
    start = MLPClassifier((5,), random_state=0)
    start.partial_fit(blobs.X, blobs.y, classes=np.unique(blobs.y))
    members = []
    for rows in np.array_split(np.arange(len(blobs.y)), 3):
        member = pickle.loads(pickle.dumps(start))
        for _ in range(5):
            member.partial_fit(blobs.X[rows], blobs.y[rows])
        members.append(member)
    return start, members


def test_plain_arithmetic_is_the_average(tuned):
    start, members = tuned
    before = pickle.dumps((start, members))
    merged = merge_task_vectors(members, start, weights=[1, 2, 1])
    expected = average_parameters([read_parameters(m) for m in members], [0.25, 0.5, 0.25])
    for name, array in arrays_of(merged).items():
        np.testing.assert_allclose(array, expected.arrays[name], atol=1e-14)
    assert pickle.dumps((start, members)) == before


@pytest.mark.parametrize("method", METHODS)
def test_one_member_is_itself_and_the_start_is_where_nothing_was_learned(tuned, method):
    start, members = tuned
    alone = merge_task_vectors(members[:1], start, method=method)
    same = merge_task_vectors([start, start], start, method=method, density=0.3, random_state=0)
    none = merge_task_vectors(members, start, method=method, density=0.3, scale=0.0)
    for found, expected in [(alone, members[0]), (same, start), (none, start)]:
        for name, array in arrays_of(found).items():
            np.testing.assert_allclose(array, arrays_of(expected)[name], atol=1e-14)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("density", [1e-9, 0.3])
def test_no_tensor_is_trimmed_to_nothing(tuned, method, density):
    start, members = tuned
    merged = merge_task_vectors(members, start, method=method, density=density, random_state=0)
    for name, array in arrays_of(merged).items():
        assert (array != arrays_of(start)[name]).any()


def test_masks_follow_the_seed(tuned):
    start, members = tuned
    settings = {"method": "dare", "density": 0.5}
    a, b, c = (
        merge_task_vectors(members, start, random_state=seed, **settings) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(arrays_of(a)["coefs_[0]"], arrays_of(b)["coefs_[0]"])
    assert (arrays_of(a)["coefs_[0]"] != arrays_of(c)["coefs_[0]"]).any()


def test_scaled_linear_members_and_a_sum_of_what_they_learned(blobs):
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c)).fit(blobs.X[i::2], blobs.y[i::2])
        for i, c in [(0, 0.01), (1, 1.0), (0, 0.1)]
    ]
    merged = merge_task_vectors(models[1:], models[0], scale=2.0)
    start, a, b = (arrays_of(m)["coef_"] for m in models)
    np.testing.assert_allclose(merged.coef_, a + b - start)


def test_whole_numbers_and_types_of_skorch_nets(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
    )
    net = skorch.NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, verbose=0, classes=[0, 1, 2]
    )
    X, y = blobs.X.astype(np.float32), blobs.y.astype(np.int64)
    start = net.fit(X, y)
    members = [pickle.loads(pickle.dumps(start)).partial_fit(X[i::2], y[i::2]) for i in range(2)]
    for method in METHODS:
        merged = merge_task_vectors(members, start, method=method, density=0.5, random_state=0)
        arrays = arrays_of(merged)
        assert arrays["1.num_batches_tracked"] == arrays_of(members[0])["1.num_batches_tracked"]
        assert all(a.dtype == arrays_of(start)[name].dtype for name, a in arrays.items())
        assert merged.predict_proba(X).shape == (200, 3)


def test_uniform_average_of_a_net_is_torchs(blobs):
    torch = pytest.importorskip("torch")
    averaging = pytest.importorskip("torch.optim.swa_utils")
    skorch = pytest.importorskip("skorch")
    nets = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = skorch.NeuralNetClassifier(
            torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)),
            criterion=torch.nn.CrossEntropyLoss,
            classes=[0, 1, 2],
        )
        nets.append(net.initialize())
    average = averaging.AveragedModel(nets[0].module_)
    for net in nets:
        average.update_parameters(net.module_)
    merged = merge_task_vectors(nets, nets[0])
    for name, value in merged.module_.state_dict().items():
        torch.testing.assert_close(value, average.module.state_dict()[name], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("consensus", [None, "sum"])
@pytest.mark.parametrize("density", [1.0, 0.25])
def test_mergekits_functions_agree_on_large_tensors(consensus, density):
    torch = pytest.importorskip("torch")
    kit = pytest.importorskip("mergekit.sparsify")
    arithmetic = pytest.importorskip("mergekit.merge_methods.generalized_task_arithmetic")
    rng = np.random.default_rng(0)
    deltas, weights = rng.normal(size=(3, 400, 100)), np.array([0.5, 0.3, 0.2])
    sparse = [trim(d, density) for d in deltas]
    theirs = torch.stack([kit.magnitude(torch.from_numpy(d), density) for d in deltas])
    np.testing.assert_array_equal(np.stack(sparse), theirs.numpy())
    weighted = theirs * torch.from_numpy(weights)[:, None, None]
    if consensus is None:
        expected, found = weighted.sum(dim=0), np.tensordot(weights, np.stack(sparse), 1)
    else:
        mask = arithmetic.get_mask(weighted, method=consensus)
        share = (torch.from_numpy(weights)[:, None, None] * mask).sum(dim=0)
        expected = (weighted * mask).sum(dim=0) / torch.where(share == 0, 1.0, share)
        found = elect(sparse, weights)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


def test_the_average_is_mergekits_linear_merge_on_large_tensors():
    torch = pytest.importorskip("torch")
    linear = pytest.importorskip("mergekit.merge_methods.linear")
    base = pytest.importorskip("mergekit.merge_methods.base")
    rng = np.random.default_rng(0)
    tensors, weights = rng.normal(size=(3, 400, 100)), np.array([0.5, 0.3, 0.2])
    members = [Parameters({"w": tensor}, {}) for tensor in tensors]
    group = base.TensorGroup.from_tensors([torch.from_numpy(tensor) for tensor in tensors])
    (expected,) = linear.linear_merge([group], parameters={"weight": weights.tolist()})
    found = average_parameters(members, weights).arrays["w"]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-14)


def test_errors(tuned, blobs):
    start, members = tuned
    for settings, match in [
        ({"method": "sum"}, "'method' parameter of merge_task_vectors must be a str among"),
        ({"density": 0.0}, "'density' parameter of .* must be a float in the range"),
        ({"density": 1.1}, "'density' parameter of .* must be a float in the range"),
        ({"scale": np.inf}, "'scale' parameter of .* must be a float in the range"),
        ({"weights": [1, 2]}, r"shape \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=match):
            merge_task_vectors(members, start, **settings)
    with pytest.raises(ValueError, match="at least one fitted estimator; got none"):
        merge_task_vectors([], start)
    other = MLPClassifier((6,), random_state=0).partial_fit(blobs.X, blobs.y, classes=[0, 1, 2])
    with pytest.raises(IncompatibleEstimatorsError, match=r"'base' and 'number 0' cannot"):
        merge_task_vectors(members, other)
