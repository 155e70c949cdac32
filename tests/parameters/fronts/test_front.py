"""Members that each have their own fitted preprocessing become one plain Pipeline, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    StandardScaler,
    TargetEncoder,
)

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    average_parameters,
    merge_logits,
    read_parameters,
    write_parameters,
)
from tests.parameters.fronts.sites import (
    awkward,
    columns,
    imputed,
    is_plain,
    logistic,
    members_of,
    one_hot,
    people,
    perceptron,
    with_unknown,
)

FRONTS = {
    "scaler": lambda: (columns(StandardScaler(), "drop"), False),
    "imputer": lambda: (columns(imputed(), "drop"), True),
    "imputer that drops, scaler, one-hot": lambda: (
        columns(make_pipeline(SimpleImputer(), StandardScaler()), one_hot()),
        True,
    ),
    "drop=": lambda: (
        columns(imputed(MinMaxScaler(), add_indicator=True), one_hot(drop="first")),
        True,
    ),
    "min_frequency": lambda: (
        columns(
            imputed(StandardScaler(), strategy="median"),
            one_hot(min_frequency=0.2, handle_unknown="infrequent_if_exist"),
        ),
        True,
    ),
    "ordinal": lambda: (
        columns(
            imputed(StandardScaler()),
            make_pipeline(SimpleImputer(strategy="most_frequent"), with_unknown(), MinMaxScaler()),
        ),
        True,
    ),
    "target encoder": lambda: (
        columns(imputed(StandardScaler()), TargetEncoder()),
        True,
    ),
    "passthrough": lambda: (columns("passthrough", one_hot(sparse_output=False)), False),
}


pytestmark = pytest.mark.filterwarnings(
    # What members say at each of their own predictions.
    "ignore:Skipping features without any observed values",
    "ignore:Found unknown categories",
    "ignore:lbfgs failed to converge",
)


@pytest.mark.parametrize("front", FRONTS)
def test_linear_members_become_one_that_is_their_pool(front):
    gaps = FRONTS[front]()[1]
    members = members_of(lambda: FRONTS[front]()[0], logistic, gaps)
    plain = merge_logits(members, [0.7, 0.3])
    X, _ = awkward(gaps=gaps)
    logits = [member.decision_function(X) for member in members]
    expected = 0.7 * logits[0] + 0.3 * logits[1]
    np.testing.assert_allclose(plain.decision_function(X), expected, atol=1e-9, rtol=1e-9)
    assert is_plain(plain)


def assert_second_is_kept(members, gaps, atol):
    """On the common front of all, the second member gives what it did."""
    X, _ = awkward(gaps=gaps)
    second = average_parameters([read_parameters(m) for m in members], [0.0, 1.0])
    plain = write_parameters(members[0], second)
    np.testing.assert_allclose(plain.predict_proba(X), members[1].predict_proba(X), atol=atol)
    assert is_plain(plain)


@pytest.mark.parametrize("front", FRONTS)
def test_each_net_gives_the_same_on_the_common_front(front):
    gaps = FRONTS[front]()[1]
    members = members_of(lambda: FRONTS[front]()[0], perceptron, gaps)
    assert_second_is_kept(members, gaps, atol=1e-8)


def test_one_model_of_members_with_their_own_preprocessing():
    X, y = awkward()
    members = members_of(lambda: FRONTS["min_frequency"]()[0], logistic, gaps=True)
    merged = MergedClassifier.from_fitted(members, X, y, method="parameters")
    pool = MergedClassifier.from_fitted(members, X, y, method="logits", weights=merged.weights_)
    plain = merged.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), pool.predict_proba(X), atol=1e-9)
    assert is_plain(merged.merged_estimator_)
    assert list(plain.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="columns are missing"):
        plain.predict_proba(X.drop(columns="city"))


def narrow(X):
    return np.asarray(X, dtype=np.float32)


def dense(X):
    return (X.toarray() if hasattr(X, "toarray") else X).astype(np.float32)


def net(seed, n_features, act=None):
    torch = pytest.importorskip("torch")
    from tests.nets import layers
    from tests.nets import net as classifier

    torch.manual_seed(seed)
    return classifier(layers(n_features, 2, act or torch.nn.Tanh), max_epochs=5)


def nets_of(front, gaps):
    found = []
    for seed in range(2):
        X, y = people(seed, gaps=gaps, cities="abcdef"[: 4 + seed])
        before = make_pipeline(
            front().set_params(sparse_threshold=0.0), FunctionTransformer(narrow)
        )
        width = before.fit_transform(X, y).shape[1]
        model = net(seed, width).set_params(classes=["no", "yes"])
        found.append(
            make_pipeline(before, model.fit(before.transform(X), (y == "yes").astype(int)))
        )
    return found


@pytest.mark.parametrize("front", FRONTS)
def test_each_torch_net_gives_the_same_on_the_common_front(front):
    gaps = FRONTS[front]()[1]
    members = nets_of(lambda: FRONTS[front]()[0], gaps)
    assert_second_is_kept(members, gaps, atol=1e-6)


def test_nets_are_aligned_on_the_common_front():
    X, y = awkward()
    members = nets_of(lambda: FRONTS["imputer that drops, scaler, one-hot"]()[0], gaps=True)
    merged = MergedClassifier.from_fitted(members, X, y, method="parameters", weights=None)
    assert "aligned" in merged.merge_report_.stages
    assert merged.barrier_ < 0.05
    plain = merged.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-6)
    assert [type(step).__name__ for _, step in plain.steps][:2] == [
        "ColumnTransformer",
        "FunctionTransformer",
    ]


def sized(kind, width):
    """A module, and the parameters of a net that give it its number of inputs."""
    torch = pytest.importorskip("torch")

    class Sized(torch.nn.Module):
        def __init__(self, first=3, sizes=(3, 4), hidden=4):
            super().__init__()
            self.inner = torch.nn.Linear(sizes[0] if kind == "first of a list" else first, hidden)
            self.out = torch.nn.Linear(hidden, 2)

        def forward(self, X):
            return self.out(torch.tanh(self.inner(X)))

    if kind == "module":
        return Sized(width), {}
    sizes = {"module__sizes": [width, 4]} if kind == "first of a list" else {"module__first": width}
    return Sized, {**sizes, "module__hidden": width if kind == "one of two" else 4}


@pytest.mark.parametrize("kind", ["one size", "one of two", "first of a list", "module"])
def test_a_merged_net_can_be_cloned_and_fitted_again(kind):
    torch = pytest.importorskip("torch")
    from skorch import NeuralNetClassifier

    members = []
    for seed in range(2):
        X, y = people(seed, n=30, cities="abcdef"[: 5 + seed])
        # Hidden layers as wide as the input have to agree, and so do the widths of the members.
        few = {"max_categories": 3} if kind == "one of two" else {}
        front = columns(imputed(), one_hot(**few), sparse_threshold=0.0)
        before = make_pipeline(front, FunctionTransformer(narrow))
        module, sizes = sized(kind, before.fit_transform(X, y).shape[1])
        settings = {"criterion": torch.nn.CrossEntropyLoss, "train_split": None, "verbose": 0}
        net = NeuralNetClassifier(module, max_epochs=1, classes=[0, 1], **sizes, **settings)
        members.append(make_pipeline(before, net.fit(before.transform(X), (y == "yes") * 1)))
    state = torch.get_rng_state()
    second = average_parameters([read_parameters(m) for m in members], [0.0, 1.0])
    plain = write_parameters(members[0], second)
    assert torch.equal(state, torch.get_rng_state())
    width = plain[-1].module_.inner.weight.shape[1]
    assert width != members[0][-1].module_.inner.weight.shape[1]
    again = clone(plain).fit(X.fillna({"lost": 0.0}), (y == "yes") * 1)
    assert again[-1].module_.inner.weight.shape[1] == width
    assert members[0][-1].module_.inner.weight.shape[1] != width


def test_a_net_whose_input_goes_two_ways_is_refused():
    torch = pytest.importorskip("torch")

    class Skips(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.hidden = torch.nn.Linear(width, width)
            self.out = torch.nn.Linear(width, 2)

        def forward(self, X):
            return self.out(X + torch.relu(self.hidden(X)))

    from tests.nets import net as classifier

    members = []
    for seed in range(2):
        X, y = people(seed, cities="abcdef"[: 4 + seed])
        before = make_pipeline(columns(imputed(), one_hot()), FunctionTransformer(dense))
        width = before.fit_transform(X, y).shape[1]
        torch.manual_seed(seed)
        model = classifier(Skips(width), classes=["no", "yes"], lr=1e-2)
        model.fit(before.transform(X), (y == "yes").astype(int))
        members.append(make_pipeline(before, model))
    parameters = [read_parameters(member) for member in members]
    with pytest.raises(IncompatibleEstimatorsError, match="no affine layer that alone takes"):
        average_parameters(parameters, [0.5, 0.5])
    merged = MergedClassifier.from_fitted(members, X, y, method="logits")  # the remedy
    assert merged.predict_proba(X).shape == (60, 2)
