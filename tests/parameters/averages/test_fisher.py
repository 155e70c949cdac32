"""Fisher-weighted averaging: the information against differences, and what the average is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmergecal import TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    average_parameters,
    diagonal_fisher,
    fisher_average,
    read_parameters,
    write_parameters,
)


def network(data, activation="relu", depth=1, seed=0):
    net = MLPClassifier((4,) * depth, activation=activation, random_state=seed)
    return net.partial_fit(data.X, data.y, classes=np.unique(data.y))


def by_differences(estimator, X, step=1e-5):
    """The definition: expected squares of numerical derivatives of log-probabilities."""
    parameters = read_parameters(estimator)
    p = estimator.predict_proba(X)
    found = {}
    for name, array in parameters.arrays.items():
        found[name] = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = copy.deepcopy(parameters)
                moved.arrays[name].setflags(write=True)
                moved.arrays[name][place] += sign * step
                sides.append(np.log(write_parameters(estimator, moved).predict_proba(X)))
            slope = (sides[0] - sides[1]) / (2 * step)
            found[name][place] = (p * slope**2).sum(axis=1).mean()
    return found


def models(data, activations):
    bayes = make_pipeline(PolynomialFeatures(1), MultinomialNB())
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    yield LogisticRegression().fit(data.X, data.y)
    yield linear.fit(data.X, data.y)
    yield bayes.fit(np.abs(data.X), data.y)
    yield TemperatureCalibrator(LogisticRegression(), temperature=3.0).fit(data.X, data.y)
    for activation in activations:
        yield network(data, activation, depth=2)


@pytest.mark.parametrize(
    ("problem", "activations"), [("binary", ["relu", "logistic"]), ("blobs", ["identity", "tanh"])]
)
def test_the_information_is_what_differences_say(problem, activations, request):
    data = request.getfixturevalue(problem)
    X = data.X_test[:7]
    for model in models(data, activations):
        expected = by_differences(model, X)
        found = diagonal_fisher(model, X)
        assert set(found) == set(expected)
        for name, array in found.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-7)


def test_nets_by_automatic_differentiation(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    torch.manual_seed(0)
    reference = network(blobs, "tanh")
    module = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    net = skorch.NeuralNetClassifier(
        module, criterion=torch.nn.CrossEntropyLoss, classes=[0, 1, 2], max_epochs=1, verbose=0
    ).initialize()
    with torch.no_grad():
        for layer, w, b in zip(
            [net.module_[0], net.module_[2]], reference.coefs_, reference.intercepts_, strict=True
        ):
            layer.weight.copy_(torch.from_numpy(w.T))
            layer.bias.copy_(torch.from_numpy(b))
    X = blobs.X.astype(np.float32)
    before = pickle.dumps(net.module_.state_dict())
    found, expected = diagonal_fisher(net, X), diagonal_fisher(reference, X)
    for layer, number in (("0", 0), ("2", 1)):
        np.testing.assert_allclose(
            found[f"{layer}.weight"], expected[f"coefs_[{number}]"].T, rtol=1e-3, atol=1e-7
        )
        np.testing.assert_allclose(
            found[f"{layer}.bias"], expected[f"intercepts_[{number}]"], rtol=1e-3, atol=1e-7
        )
    assert pickle.dumps(net.module_.state_dict()) == before
    assert net.module_.training == module.training
    merged = fisher_average([net, net], X)
    torch.testing.assert_close(merged.module_[0].weight, net.module_[0].weight)


def test_batch_normalisation_is_averaged_plainly_where_it_is_not_trained(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    X, y = blobs.X.astype(np.float32), blobs.y.astype(np.int64)
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3)]
        net = skorch.NeuralNetClassifier(
            torch.nn.Sequential(*layers),
            criterion=torch.nn.CrossEntropyLoss,
            max_epochs=2,
            verbose=0,
        )
        nets.append(net.fit(X, y))
    merged = read_parameters(fisher_average(nets, X, weights=[1, 3])).arrays
    plain = average_parameters([read_parameters(n) for n in nets], [0.25, 0.75]).arrays
    np.testing.assert_array_equal(merged["1.running_mean"], plain["1.running_mean"])
    assert merged["1.num_batches_tracked"] == plain["1.num_batches_tracked"]
    assert (merged["0.weight"] != plain["0.weight"]).any()


def test_the_average_by_its_formula(blobs):
    members = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.01, 1.0)]
    before = pickle.dumps(members)
    merged = fisher_average(members, blobs.X, weights=[1, 3])
    assert pickle.dumps(members) == before
    f = [w * diagonal_fisher(m, blobs.X)["coef_"] for w, m in zip([1, 3], members, strict=True)]
    expected = (f[0] * members[0].coef_ + f[1] * members[1].coef_) / (f[0] + f[1])
    np.testing.assert_allclose(merged.coef_, expected, rtol=1e-10)
    assert type(merged) is LogisticRegression


def test_same_members_and_unused_parameters(blobs):
    net = network(blobs)
    same = fisher_average([net, net], blobs.X, weights=[1, 2])
    for found, expected in zip(same.coefs_, net.coefs_, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    dead = [copy.deepcopy(net) for _ in range(2)]
    for i, member in enumerate(dead):
        member.intercepts_[0][0] = -1e9  # a unit that never fires
        member.coefs_[0][:, 0] = i
    merged = fisher_average(dead, blobs.X, weights=[1, 3])
    np.testing.assert_allclose(merged.coefs_[0][:, 0], 0.75)


def test_errors(blobs):
    X = blobs.X
    tree = DecisionTreeClassifier().fit(X, blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="DecisionTreeClassifier cannot be"):
        fisher_average([tree], X)
    rest = SGDClassifier(loss="log_loss", random_state=0).fit(X, blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="of SGDClassifier is not known"):
        fisher_average([rest, rest], X)
    with pytest.raises(ValueError, match="at least one fitted estimator; got none"):
        fisher_average([], X)
    with pytest.raises(ValueError, match="'floor' parameter of fisher_average must be"):
        fisher_average([rest], X, floor=0.0)


def test_nets_without_logits(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    module = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Softmax(dim=-1))
    net = skorch.NeuralNetClassifier(module, classes=[0, 1, 2]).initialize()
    with pytest.raises(IncompatibleEstimatorsError, match="with criterion NLLLoss is not known"):
        diagonal_fisher(net, blobs.X.astype(np.float32))


def test_the_fisher_information_is_that_of_the_probabilities(blobs):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")

    def net(**settings):
        torch.manual_seed(0)
        module, criterion = torch.nn.Linear(8, 3), torch.nn.CrossEntropyLoss
        return skorch.NeuralNetClassifier(
            module, criterion=criterion, classes=[0, 1, 2], **settings
        ).initialize()

    X = blobs.X.astype(np.float32)
    same = net(predict_nonlinearity=torch.nn.Softmax(dim=-1))
    halved = net(predict_nonlinearity=lambda z: torch.softmax(z / 2, dim=-1))
    twice = net()
    with torch.no_grad():
        twice.module_.weight /= 2
        twice.module_.bias /= 2
    plain, found = diagonal_fisher(net(), X), diagonal_fisher(same, X)
    np.testing.assert_allclose(found["weight"], plain["weight"], rtol=1e-4)
    found, expected = diagonal_fisher(halved, X), diagonal_fisher(twice, X)
    np.testing.assert_allclose(4 * found["weight"], expected["weight"], rtol=1e-4)
