"""skorch nets as members: their raw output, labels of any kind, averaged parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal._numerics import log_softmax
from skmergecal.members._member import read_raw
from skmergecal.members._read import choose_reader
from tests.nets import fitted, layers, net

NAMES = np.array(["ape", "bee", "cat"])


@pytest.fixture
def nets(blobs):
    return {str(seed): fitted(blobs, seed) for seed in range(2)}


def state(model):
    """Everything of a net that prediction might touch."""
    modules = [m for m in vars(model).values() if isinstance(m, nn.Module)]
    tensors = [t.clone() for m in modules for t in m.state_dict().values()]
    flags = [part.training for m in modules for part in m.modules()]
    return tensors, flags, torch.get_rng_state()


def assert_same_state(a, b):
    assert all(torch.equal(x, y) for x, y in zip(a[0], b[0], strict=True))
    assert a[1] == b[1]
    assert torch.equal(a[2], b[2])


def test_raw_output_is_read_before_the_non_linearity(blobs):
    model = fitted(blobs)
    with torch.no_grad():
        model.module_[3].weight *= 1e4  # so sure that probabilities are 0 in float32
    assert (model.predict_proba(blobs.X_test.astype(np.float32)) == 0).any()
    assert choose_reader("m", model, None) == "skorch_logits"
    raw = read_raw("m", model, "skorch_logits", blobs.X_test, 3)
    with torch.no_grad():
        logits = model.module_(torch.as_tensor(blobs.X_test, dtype=torch.float32)).double().numpy()
    np.testing.assert_allclose(raw, log_softmax(logits), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("method", ["logits", "probabilities", "parameters"])
def test_float64_rows_and_frames(blobs, nets, method):
    settings = {"method": method, "on_barrier": "warn", "barrier_tolerance": 1e9}
    merged = MergedClassifier.from_fitted(nets, blobs.X_held, blobs.y_held, **settings)
    frame = pd.DataFrame(blobs.X_held)
    from_frame = MergedClassifier.from_fitted(nets, frame, blobs.y_held, **settings)
    np.testing.assert_array_equal(
        merged.predict_proba(blobs.X_test), from_frame.predict_proba(pd.DataFrame(blobs.X_test))
    )


def test_whole_numbers_reach_a_net_of_linear_layers(digits):
    torch.manual_seed(0)
    model = net(layers(64, 10)).fit(digits.X[:200].astype(np.float32), digits.y[:200])
    X, y = (16 * digits.X_held[:200]).astype(int), digits.y_held[:200]
    a = MergedClassifier.from_fitted([model], X, y)
    b = MergedClassifier.from_fitted([model], X.astype(float), y)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X.astype(float)))


@pytest.mark.parametrize("whole", [True, False])
def test_unfitted_nets_of_float64_modules_and_on_whole_numbers(digits, whole):
    torch.manual_seed(0)
    module = layers(64, 10) if whole else layers(64, 10).double()
    settings = {"max_epochs": 8, "batch_size": 20, "lr": 0.02 if whole else 0.5}
    X, y = digits.X[:120], digits.y[:120]
    X = (16 * X).astype(int) if whole else X
    steps = make_pipeline(make_pipeline(FunctionTransformer(), net(module, **settings)))
    for member in (net(module, **settings), steps):
        model = TemperatureCalibrator(member, cv=2).fit(X, y)
        assert model.score(X, y) > 0.2  # what it learns in a few epochs; by chance .1


def test_a_net_that_never_saw_a_class_has_probability_0_there(blobs):
    two = blobs.y != 2
    torch.manual_seed(0)
    narrow = net(layers(n_out=2), classes=["ape", "bee"])
    narrow.fit(blobs.X[two].astype(np.float32), blobs.y[two])
    wide = LogisticRegression().fit(blobs.X, NAMES[blobs.y])
    members = {"narrow": narrow, "wide": wide}
    rows = blobs.X_held, NAMES[blobs.y_held]
    merged = MergedClassifier.from_fitted(members, *rows, method="probabilities", weights=[3, 1])
    expected = 0.25 * wide.predict_proba(blobs.X_test)
    expected[:, :2] += 0.75 * narrow.predict_proba(blobs.X_test.astype(np.float32))
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"'narrow' never saw the classes \['cat'\]"):
        MergedClassifier.from_fitted(members, *rows)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_a_module_that_names_columns_gets_columns():
    class TwoColumns(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, age, income):
            return self.linear(torch.cat([age, income], dim=1).float())

    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=60), "income": rng.normal(size=60)})
    y = (X["age"] + rng.normal(size=60) > 0).to_numpy().astype(int)
    torch.manual_seed(0)
    model = net(TwoColumns).fit(X, y)
    merged = MergedClassifier.from_fitted([model], X, y, weights=None)
    np.testing.assert_allclose(merged.predict_proba(X), model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_unfitted_nets_learn_labels_of_any_kind(blobs, method):
    torch.manual_seed(0)
    members = [
        ("net", net(max_epochs=6, batch_size=25, lr=0.5)),
        ("logistic", LogisticRegression()),
    ]
    model = MergedClassifier(members, method=method, calibrate="both", cv=2)
    model.fit(blobs.X, NAMES[blobs.y])
    assert set(model.predict(blobs.X_test)) <= set(NAMES)
    assert model.score(blobs.X_test, NAMES[blobs.y_test]) > 0.5
    assert model.estimators_[0].classes_.tolist() == NAMES.tolist()
    assert members[0][1].classes is None


def test_unfitted_net_at_the_end_of_a_pipeline(blobs):
    torch.manual_seed(0)
    member = make_pipeline(StandardScaler(), net(max_epochs=10, batch_size=25, lr=0.5))
    model = MergedClassifier([("m", member)], weights=None, cv=2).fit(blobs.X, NAMES[blobs.y])
    assert model.score(blobs.X_test, NAMES[blobs.y_test]) > 0.5


def binary_net(**params):
    params = {"max_epochs": 10, "train_split": None, "verbose": 0, "lr": 0.1, **params}
    return NeuralNetBinaryClassifier(layers(6, 1), **params)


def test_binary_nets_with_their_own_labels(binary):
    torch.manual_seed(0)
    model = binary_net().fit(binary.X.astype(np.float32), binary.y.astype(np.float32))
    merged = MergedClassifier.from_fitted([model], binary.X_held, binary.y_held, weights=None)
    expected = model.predict_proba(binary.X_test.astype(np.float32))
    np.testing.assert_allclose(merged.predict_proba(binary.X_test), expected, atol=1e-6)
    assert (
        merged.predict(binary.X_test).tolist()
        == model.predict(binary.X_test.astype(np.float32)).tolist()
    )
    with pytest.raises(ValueError, match=r"has the classes \[0, 1\], y has \['ape', 'bee'\]"):
        MergedClassifier.from_fitted([model], binary.X_held, NAMES[binary.y_held])
    named = MergedClassifier.from_fitted(
        [model], binary.X_held, NAMES[binary.y_held], weights=None, classes=["ape", "bee"]
    )
    np.testing.assert_allclose(named.predict_proba(binary.X_test), expected, atol=1e-6)


def test_unfitted_binary_nets_learn_labels_of_any_kind(binary, blobs):
    torch.manual_seed(0)
    own = binary_net(max_epochs=10, batch_size=20, lr=0.5)
    calibrator = TemperatureCalibrator(own, cv=2).fit(binary.X, NAMES[binary.y])
    assert calibrator.classes_.tolist() == ["ape", "bee"]
    assert calibrator.score(binary.X_test, NAMES[binary.y_test]) > 0.6
    with pytest.raises(ValueError, match="needs two classes"):
        TemperatureCalibrator(binary_net(), cv=2).fit(blobs.X[:, :6], blobs.y)


def test_a_net_trained_on_encoded_labels_names_its_classes(blobs):
    named = fitted(blobs, classes=NAMES.tolist())
    merged = MergedClassifier.from_fitted([named], blobs.X_held, NAMES[blobs.y_held])
    assert merged.classes_.tolist() == NAMES.tolist()
    other = fitted(blobs, classes=["cat", "bee", "ape"])
    aligned = MergedClassifier.from_fitted([other], weights=None)
    np.testing.assert_allclose(
        aligned.predict_proba(blobs.X_test)[:, ::-1],
        other.predict_proba(blobs.X_test.astype(np.float32)),
        atol=1e-6,
    )


def test_nothing_is_guessed_about_encoded_labels(blobs, nets):
    for labels in (NAMES[blobs.y_held], np.array([3, 13, 23])[blobs.y_held]):
        for method in ("logits", "probabilities"):
            with pytest.raises(ValueError, match=r"'0' has the classes \[0, 1, 2\].*classes="):
                MergedClassifier.from_fitted(nets, blobs.X_held, labels, method=method)
    hidden = TemperatureCalibrator(FrozenEstimator(nets["0"]), temperature=2.0)
    hidden.fit(blobs.X_held, blobs.y_held)
    pair = [("hidden", FrozenEstimator(hidden)), ("own", LogisticRegression())]
    with pytest.raises(ValueError, match="'hidden' has the classes"):
        MergedClassifier(pair, method="probabilities").fit(
            blobs.X_held, np.array([3, 13, 23])[blobs.y_held]
        )


def test_a_net_that_says_probabilities_and_means_logits(blobs):
    wrong = fitted(blobs, criterion=nn.NLLLoss, max_epochs=1)
    with pytest.raises(ValueError, match=r"criterion=torch.nn.CrossEntropyLoss"):
        MergedClassifier.from_fitted([wrong], blobs.X_held, blobs.y_held)


def test_a_net_without_a_nonlinearity_is_read_as_logits(blobs):
    model = fitted(blobs)
    expected = read_raw("m", model, "skorch_logits", blobs.X_test, 3)
    model.set_params(predict_nonlinearity=None)
    merged = MergedClassifier.from_fitted([model], weights=None)
    np.testing.assert_allclose(merged.predict_log_proba(blobs.X_test), expected, atol=1e-9)


def test_a_net_that_ends_in_a_softmax(blobs):
    right = fitted(blobs, criterion=nn.NLLLoss, module=layers(end=(nn.Softmax(dim=-1),)))
    assert choose_reader("m", right) == "skorch_proba"
    for method in ("logits", "probabilities", "parameters"):
        merged = MergedClassifier.from_fitted(
            [right, right], blobs.X_held, blobs.y_held, method=method, weights=None
        )
        expected = right.predict_proba(blobs.X_test.astype(np.float32))
        np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-6)


@pytest.mark.parametrize("method", ["logits", "probabilities", "parameters"])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_net_changes(blobs, nets, method, training):
    for model in nets.values():
        model.module_.train(training)
        model.criterion_.train(not training)
    before = {name: state(model) for name, model in nets.items()}
    merged = MergedClassifier.from_fitted(
        nets,
        blobs.X_held,
        blobs.y_held,
        method=method,
        calibrate="both",
        barrier_tolerance=1e9,
    )
    merged.predict_proba(blobs.X_test)
    for name, model in nets.items():
        assert_same_state(before[name], state(model))


def test_unfitted_nets_are_not_cached(blobs, tmp_path):
    """Their weights come from torch's random state, which no key holds."""
    X, y = blobs.X.astype(np.float32), blobs.y
    linear = net(nn.Linear, module__in_features=8, module__out_features=3, max_epochs=1)
    model = MergedClassifier([("net", linear)], weights=None, memory=tmp_path)
    torch.manual_seed(0)
    one, other = (model.fit(X, y).predict_proba(X) for _ in range(2))
    assert np.abs(one - other).max() > 1e-6


def test_sample_weights_and_nets(blobs):
    with pytest.warns(UserWarning, match="'net' .NeuralNetClassifier. does not take sample_weight"):
        MergedClassifier([("net", net())], cv=2).fit(
            blobs.X, blobs.y, sample_weight=np.ones(len(blobs.y))
        )
