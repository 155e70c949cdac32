"""skorch nets in saved models: their class comes from the caller, their tensors from the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.persistence import TRUSTED_TYPES, load, save
from tests.nets import layers, net
from tests.saved_models import LABELS, X, Y

skops = pytest.importorskip("skops.io")
pytest.importorskip("safetensors")

F32 = X.astype(np.float32)
ROWS, CODES, NEW = F32[80:140], Y[80:140], F32[200:]


class Normed(nn.Module):
    """A module with buffers: one that is saved with it by torch, and one that is not."""

    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.register_buffer("shift", torch.zeros(6), persistent=False)
        self.low = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))

    def forward(self, X):
        return self.out(self.norm(X) + self.shift) + self.low


def unfitted(module=None, **params):
    return net(layers(6, 3) if module is None else module, max_epochs=1, **params)


def fitted(seed=0, labels=Y, **params):
    torch.manual_seed(seed)
    return unfitted(**params).fit(F32[:80], labels[:80])


@pytest.fixture(scope="module")
def two():
    return {"a": fitted(0), "b": fitted(1)}


def pool(members, **params):
    return MergedClassifier.from_fitted(members, ROWS, CODES, **params)


def tuned(members):
    start = FrozenEstimator(members["a"])
    return FineTunedClassifier(start, epochs=1, random_state=0).fit(ROWS, CODES)


def in_pipelines(members):
    scaled = make_pipeline(StandardScaler(), unfitted()).fit(F32[:80], Y[:80])
    return pool({"net": scaled, "bayes": GaussianNB().fit(F32[:80], Y[:80])})


def fitted_here(members):
    return MergedClassifier({"a": unfitted(), "b": GaussianNB()}, cv=2).fit(ROWS, LABELS[CODES])


def nested(members):
    inner = pool(members, method="logits")
    return pool({"outer": inner, "again": members["a"], "tuned": tuned(members)})


def merged(members):
    return pool(members, method="parameters", repair=None, barrier_tolerance=1e3)


CASES = {
    "pool": (pool, ["a", "b"]),
    "merged": (merged, ["a", "b"]),
    "tuned": (tuned, ["estimator"]),
    "calibrated": (
        lambda two: TemperatureCalibrator(FrozenEstimator(two["a"])).fit(ROWS, CODES),
        ["estimator"],
    ),
    "in pipelines": (in_pipelines, ["net"]),
    "fitted here": (fitted_here, ["a"]),
    "fold averages": (
        lambda two: MergedClassifier({"a": unfitted()}, cv=2, refit=False).fit(ROWS, CODES),
        ["a"],
    ),
    "nested": (nested, ["outer/a", "outer/b", "tuned"]),
    "merged in a calibrator": (
        lambda two: TemperatureCalibrator(FrozenEstimator(merged(two))).fit(ROWS, CODES),
        ["a", "b"],
    ),
    "alone": (lambda two: two["a"], ["estimator"]),
}


def same(loaded, saved, rows=NEW):
    np.testing.assert_array_equal(loaded.predict_proba(rows), saved.predict_proba(rows))
    np.testing.assert_array_equal(loaded.predict(rows), saved.predict(rows))


@pytest.mark.parametrize("name", CASES)
def test_nets_come_back_to_the_last_bit(name, two, tmp_path):
    make, names = CASES[name]
    saved, path = make(two), tmp_path / "model"
    weights = [p.clone() for p in two["a"].module_.parameters()]
    like, state = unfitted(), torch.get_rng_state()
    save(saved, path)
    loaded = load(path, net=like)
    assert torch.equal(torch.get_rng_state(), state)
    same(loaded, saved)
    same(load(path, net={name: unfitted() for name in names}), saved)
    assert all(map(torch.equal, weights, two["a"].module_.parameters()))
    save(loaded, path)
    same(load(path, net=unfitted()), saved)


def test_tensors_come_back_on_the_device_of_the_callers_net(two, tmp_path, monkeypatch):
    """They are written from the CPU, and the file names no device: "meta" stands for another."""
    cpu, moved = torch.Tensor.cpu, []

    def to_cpu(tensor):
        moved.append(tensor.shape)
        return cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", to_cpu)
    save(two["a"], tmp_path / "model")
    assert {p.shape for p in two["a"].module_.parameters()} <= set(moved)
    for device in ("cpu", "meta"):
        loaded = load(tmp_path / "model", net=unfitted(device=device))
        assert loaded.device == device
        assert {p.device.type for p in loaded.module_.parameters()} == {device}


def test_names_are_those_of_the_members(two, tmp_path):
    save(pool(two), tmp_path / "model")
    for given in (None, {}, {"a": unfitted()}, {"a": unfitted(), "b": None}):
        with pytest.raises(
            ValueError, match=r"the nets \['a', 'b'\]; for \[.*'b'\] there is no net"
        ):
            load(tmp_path / "model", net=given)
    with pytest.raises(
        ValueError, match=r"for \['c'\] there is a net in net=, but not in the file"
    ):
        load(tmp_path / "model", net={name: unfitted() for name in "abc"})
    with pytest.raises(TypeError, match="net should be an unfitted skorch net; got GaussianNB"):
        load(tmp_path / "model", net=GaussianNB())
    bayes = TemperatureCalibrator(FrozenEstimator(GaussianNB().fit(ROWS, CODES))).fit(ROWS, CODES)
    save(bayes, tmp_path / "model")
    with pytest.raises(ValueError, match="holds no nets, but net= was passed: leave it out"):
        load(tmp_path / "model", net=unfitted())
    same(load(tmp_path / "model"), bayes)


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (lambda: layers(6, 3, end=[nn.Linear(3, 3)]), r"module_\.4\.bias"),
        (lambda: layers(6, 3).double(), "float64"),
        (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, 3)), "5"),
    ],
)
def test_another_module_is_refused(module, match, two, tmp_path):
    save(pool(two), tmp_path / "model")
    with pytest.raises(ValueError, match=f"(?s)other tensors in the file.*{match}.*same layers"):
        load(tmp_path / "model", net=unfitted(module()))


def test_buffers_types_and_labels(tmp_path):
    torch.manual_seed(0)
    wanted = NeuralNetClassifier(Normed, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    own = clone(wanted).set_params(train_split=None).fit(F32[:80], Y[:80])
    own.module_.shift += 0.25
    labelled = pool({"a": own}, weights=None, method="logits")
    strings = TemperatureCalibrator(FrozenEstimator(own), classes=LABELS).fit(ROWS, LABELS[CODES])
    for saved in (labelled, strings):
        save(saved, tmp_path / "model")
        same(load(tmp_path / "model", net=wanted), saved)
    binary = NeuralNetBinaryClassifier(nn.Linear(6, 1), max_epochs=1, verbose=0, train_split=None)
    merge = MergedClassifier({"a": binary}, cv=2, method="logits").fit(ROWS, LABELS[CODES % 2])
    save(merge, tmp_path / "model")
    same(load(tmp_path / "model", net=binary), merge)


def test_tied_and_lazy_weights(tmp_path):
    torch.manual_seed(0)
    tied = nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 3))
    tied[0](torch.zeros(1, 6))
    tied[2].weight = tied[0].weight
    own = net(tied, max_epochs=1).fit(F32[:80], Y[:80])
    save(own, tmp_path / "model")
    same(load(tmp_path / "model", net=net(tied)), own)
    fresh = nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 3))
    loaded = load(tmp_path / "model", net=net(fresh))
    same(loaded, own)


def test_a_model_that_changed_its_module_after_fit_is_not_saved(tmp_path):
    own = fitted(module=lambda: layers(6, 3))
    own.module_.double()
    with pytest.raises(ValueError, match=r"not saved, for it could not be loaded again.*float64"):
        save(own, tmp_path / "model")
    bare = pool({"a": fitted()})
    bare.extra_ = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"Linear outside of a skorch net.*NeuralNetClassifier"):
        save(bare, tmp_path / "model")
    assert not list(tmp_path.iterdir())
    bare.extra_ = unfitted(bare.extra_)
    save(bare, tmp_path / "model")
    own = {"a": unfitted(), "estimator": unfitted(nn.Linear(2, 2))}
    assert type(load(tmp_path / "model", net=own).extra_) is NeuralNetClassifier


class Counting(nn.Linear):
    """A module whose state is more than tensors."""

    calls = 3

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_state_that_is_no_tensor_is_not_saved(tmp_path):
    own = fitted(module=Counting(6, 3))
    with pytest.raises(
        TypeError, match=r"no tensor, \['_extra_state'\].*as parameters and buffers"
    ):
        save(own, tmp_path / "model")
    registered = nn.Linear(6, 3)
    registered.register_buffer("calls", torch.tensor(3))
    own = fitted(module=registered)
    save(own, tmp_path / "model")
    loaded = load(tmp_path / "model", net=unfitted(registered))
    assert int(loaded.module_.calls) == 3


def test_types_of_nets_are_never_trusted(two, tmp_path):
    """What skops alone writes of a net, in a file of ours."""
    import sys

    from skmergecal.persistence import _archive

    class_net = NeuralNetClassifier(nn.Linear, module__in_features=6, module__out_features=3)
    content = skops.dumps(class_net)
    file = _archive.Archive("skorch.classifier.NeuralNetClassifier", None, [], content, None)
    (tmp_path / "model").write_bytes(file.to_bytes())
    with pytest.raises(ValueError, match="types that are not trusted"):
        load(tmp_path / "model")
    trusted = skops.get_untrusted_types(data=content)
    with pytest.raises(ValueError, match="skorch and torch unpickle what they find"):
        load(tmp_path / "model", trusted=trusted)
    module = sys.modules[__name__]
    module.Own = type("Own", (NeuralNetClassifier,), {"__module__": __name__})
    content = skops.dumps(module.Own(nn.Linear))
    file = _archive.Archive(f"{__name__}.Own", None, [], content, None)
    (tmp_path / "model").write_bytes(file.to_bytes())
    names = [n for n in skops.get_untrusted_types(data=content) if not n.startswith("torch")]
    with pytest.raises(ValueError, match=r"not trusted|skorch and torch unpickle"):
        load(tmp_path / "model", trusted=[*TRUSTED_TYPES, *names])
    with pytest.raises(ValueError, match="skorch and torch unpickle"):
        load(tmp_path / "model", trusted=[f"{__name__}.Own", *trusted])
