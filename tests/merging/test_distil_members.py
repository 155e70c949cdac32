"""Nets that cannot be aligned become one that learned from their pool."""

from __future__ import annotations

import copy
import pickle
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.helper import SliceDict
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, merge_path
from skmergecal.exceptions import (
    IncompatibleEstimatorsError,
    MergeBarrierError,
    MergeBarrierWarning,
)
from skmergecal.persistence import load, save
from tests.nets import layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] + 0.3 * RNG.normal(size=300) > 0).astype(np.int64) + (X[:, 2] > 1)
TRAIN, HELD, TEST = (X[:140], Y[:140]), (X[140:220], Y[140:220]), (X[220:], Y[220:])


class Attention(nn.Module):
    """Each column is a token."""

    def __init__(self, width=8):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(4, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        tokens = x[:, :, None] * self.tokens
        return self.out(self.attention(tokens, tokens, tokens)[0].mean(1))


class Periodic(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.angles = nn.Linear(4, width)
        self.out = nn.Linear(2 * width, 3)

    def forward(self, x):
        angles = self.angles(x)
        return self.out(torch.cat([angles.sin(), angles.cos()], dim=1))


class Recurrent(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.cells, self.out = nn.GRU(1, width, batch_first=True), nn.Linear(width, 3)

    def forward(self, x):
        return self.out(self.cells(x[:, :, None])[0][:, -1])


class Ranked(nn.Module):
    """Sorts its units; with dropout and statistics of the rows."""

    def __init__(self, width=8):
        super().__init__()
        self.hidden = nn.Linear(4, width)
        self.norm, self.drop, self.out = nn.BatchNorm1d(width), nn.Dropout(0.1), nn.Linear(width, 3)

    def forward(self, x):
        return self.out(self.drop(torch.sort(self.norm(self.hidden(x)), dim=1).values))


MODULES = [Attention, Ranked]


def unfitted(module, **params):
    params = {"max_epochs": 12, "lr": 0.02, "batch_size": 35, "classes": [0, 1, 2], **params}
    return NeuralNetClassifier(
        module() if isinstance(module, type) else module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        train_split=None,
        verbose=0,
        iterator_valid__batch_size=-1,  # all rows: batches take most of the time of a prediction
        **params,
    )


def net(module, seed=0, rows=TRAIN, **params):
    torch.manual_seed(seed)
    return unfitted(module, **params).fit(*rows)


def merged(members, **settings):
    settings = {"method": "parameters", "X_unlabeled": TRAIN[0][:40], **settings}
    return MergedClassifier.from_fitted(members, *HELD, **settings)


def divergence(pool, model):
    p, q = (np.log(m.predict_proba(TEST[0]).astype(float) + 1e-12) for m in (pool, model))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


@pytest.fixture(scope="module", params=MODULES)
def pair(request):
    return {name: net(request.param, seed) for seed, name in enumerate("ab")}


def test_one_net_follows_the_pool_of_nets_that_cannot_be_traced(pair):
    """Nearer to it than they are, and they stay as they are to the byte."""
    before = [(m.module_.training, pickle.dumps(m.module_.state_dict())) for m in pair.values()]
    stream = torch.get_rng_state()
    one = merged(pair, weights=None, X_unlabeled=TRAIN[0])
    assert torch.equal(torch.get_rng_state(), stream)
    after = [(m.module_.training, pickle.dumps(m.module_.state_dict())) for m in pair.values()]
    assert after == before
    report = one.merge_report_
    assert report.chosen in ("distilled from member 'a'", "distilled from member 'b'")
    assert report.stages[report.chosen] == report.merged < report.stages["plain"]
    assert f"merged ({report.chosen})" in str(report)
    pool = MergedClassifier.from_fitted(pair, *HELD, method="logits", weights=None)
    mean = np.mean([divergence(pool, member) for member in pair.values()])
    assert divergence(pool, one) < 0.5 * mean
    plain = one.to_estimator(TEST[0])
    assert type(plain) is NeuralNetClassifier
    assert type(plain.module_) is type(pair["a"].module_)


@cache
def mlp(*widths, seed=0, activation="relu"):
    """The same perceptron for each test that asks; none changes it."""
    params = {"activation": activation, "max_iter": 300, "tol": 1e-3, "learning_rate_init": 0.02}
    return MLPClassifier(widths, random_state=seed, **params).fit(*TRAIN)


@pytest.mark.parametrize(
    ("members", "largest"),
    [
        (lambda: [mlp(8, seed=1), mlp(12, seed=1)], 1),
        (lambda: [mlp(6, 6), mlp(6)], 0),
        (lambda: [mlp(8), mlp(8, activation="tanh")], 0),
        (lambda: [net(layers(4), max_epochs=4), net(Recurrent, max_epochs=8)], 1),
        (lambda: [make_pipeline(StandardScaler().fit(X[:80]), mlp(12)), net(layers(4)), mlp(9)], 0),
    ],
    ids=["widths", "depths", "activations, a tie", "modules", "libraries"],
)
def test_unequal_nets_are_distilled_into_the_largest(members, largest):
    torch.manual_seed(0)  # modules are made here, before their nets are seeded
    members = dict(zip("abc", members(), strict=False))
    one = merged(members)
    assert one.merge_report_.chosen == f"distilled from member {'abc'[largest]!r}"
    assert list(one.merge_report_.stages) == [one.merge_report_.chosen]
    assert one.merge_report_.merged < max(one.merge_report_.members.values())
    with pytest.raises(IncompatibleEstimatorsError, match="cannot be averaged"):
        merged(members, alignment=None)


def unlike():
    """Two perceptrons that cannot be aligned."""
    return [mlp(8, seed=2), mlp(8, seed=2, activation="tanh")]


def test_a_merge_without_labelled_rows_is_not_measured():
    settings = {"method": "parameters", "weights": None}
    with pytest.warns(MergeBarrierWarning, match="without rows it cannot be measured"):
        unmeasured = MergedClassifier.from_fitted(unlike(), X_unlabeled=TRAIN[0], **settings)
    report = unmeasured.merge_report_
    assert report.chosen.startswith("distilled from ")
    assert np.isnan([report.z, report.best_member_loss, report.merged]).all()
    pair = [net(Ranked, seed, max_epochs=1) for seed in range(2)]
    with pytest.raises(IncompatibleEstimatorsError, match="pass X, or X_unlabeled, or use align"):
        MergedClassifier.from_fitted(pair, **settings)
    with pytest.warns(MergeBarrierWarning, match="without rows"):
        MergedClassifier.from_fitted(pair, alignment=None, **settings)


def test_a_distilled_merge_is_saved_loaded_and_tuned(tmp_path):
    """Also where the net that it was made from is not the first."""
    pytest.importorskip("skops"), pytest.importorskip("safetensors")
    one = merged({"a": net(Periodic, max_epochs=4), "b": net(Periodic(10), max_epochs=4)})
    assert one.merge_report_.chosen == "distilled from member 'b'"
    save(one, tmp_path / "one")
    loaded = load(tmp_path / "one", net={"a": unfitted(Periodic), "b": unfitted(Periodic(10))})
    np.testing.assert_array_equal(loaded.predict_proba(TEST[0]), one.predict_proba(TEST[0]))
    assert loaded.merge_report_ == one.merge_report_
    settings = {"epochs": 1, "random_state": 0}
    for target in ("labels", "members"):
        tuned = FineTunedClassifier(FrozenEstimator(one), target=target, **settings).fit(*HELD)
        assert tuned.score(*TEST) > 0.4


@pytest.mark.filterwarnings("ignore::skmergecal.exceptions.MergeBarrierWarning")
def test_members_of_unlike_widths_are_fitted_merged_and_searched():
    """Their pool out of fold is the goal; greedy soups train one net, not one for each choice."""
    members = [
        (f"w{w}", MLPClassifier((w,), solver="lbfgs", alpha=1, tol=0.1, random_state=w))
        for w in (3, 4)
    ]
    search = GridSearchCV(
        MergedClassifier(members, method="parameters", cv=2),
        {"weights": [None, "greedy"]},
        cv=[(np.arange(100), np.arange(100, 140))],
    ).fit(*TRAIN)
    best = search.best_estimator_
    assert best.merge_report_.chosen.endswith("'w4'") or best.weights_.max() == 1
    assert search.predict_proba(TEST[0]).shape == (len(TEST[0]), 3)


def biased(perceptron):
    """The same with a logit that is shifted, and so worse."""
    worse = copy.deepcopy(perceptron)
    worse.intercepts_[-1][0] += 6.0
    return worse


def test_a_merge_that_is_clearly_worse_than_its_best_member_is_not_silent():
    """It is no worse than the members are on average."""
    good, other = unlike()
    pair = [good, biased(other)]
    on_held = partial(merged, X_unlabeled=None)
    with pytest.warns(
        MergeBarrierWarning, match=r"best member by more than two .*merge_report_\.z"
    ):
        one = on_held(pair, weights=None)
    report = one.merge_report_
    assert one.barrier_ < 0
    y = HELD[1]
    losses = [
        -np.log(m.predict_proba(HELD[0])[np.arange(len(y)), y].astype(float))
        for m in (one, pair[0])
    ]
    d = losses[0] - losses[1]
    assert report.z == pytest.approx(d.mean() / d.std(ddof=1) * len(d) ** 0.5, rel=1e-4)
    with pytest.raises(MergeBarrierError, match=r"less by [\d.]+ standard errors.*'log_loss'"):
        on_held(pair, weights=None, on_barrier="raise")
    assert on_held(pair, on_barrier="raise").merge_report_.z < 2  # the remedy: learned weights
    with pytest.warns(MergeBarrierWarning, match="logit pool is used instead"):
        pooled = on_held(pair, weights=None, on_barrier="logits")
    assert not hasattr(pooled, "merged_estimator_")
    on_held(pair, weights=None, barrier_tolerance=1.0)


def test_without_a_weak_member_a_merge_is_about_as_good_as_the_best():
    good = unlike()
    with pytest.raises(MergeBarrierError, match="or leave these out"):
        merged([*good, biased(good[1])], weights=None, on_barrier="raise")
    assert merged(good, weights=None, on_barrier="raise").merge_report_.z < 2


@pytest.mark.filterwarnings("ignore::skmergecal.exceptions.MergeBarrierWarning")
def test_more_rows_bring_a_merged_net_nearer_to_the_pool():
    good, other = unlike()
    pair = [good, biased(other)]
    pool = MergedClassifier.from_fitted(pair, *HELD, method="logits", weights=None)
    few, more = (merged(pair, weights=None, X_unlabeled=rows) for rows in (None, TRAIN[0]))
    assert divergence(pool, more) < divergence(pool, few)


class WithoutGradients(Ranked):
    """Once it is fitted it can only predict."""

    fitted = False

    def forward(self, x):
        found = super().forward(x)
        return found.detach() if self.fitted else found


def test_nets_that_cannot_be_trained_are_pooled():
    pair = [net(WithoutGradients, seed, max_epochs=4) for seed in range(2)]
    for member in pair:
        member.module_.fitted = True
    refused = r"cannot be trained towards the pool: .*does not require grad.*use method='logits'"
    with pytest.raises(IncompatibleEstimatorsError, match=refused):
        merged(pair, weights=None)
    pooled = merged(pair, weights=None, method="logits", X_unlabeled=None)
    assert pooled.predict_proba(TEST[0]).shape == (len(TEST[0]), 3)


class Pooled(nn.Module):
    """It takes rows of four columns, or of five, of which the last is not looked at."""

    def __init__(self):
        super().__init__()
        self.window, self.out = nn.Conv1d(1, 4, 1), nn.Linear(8, 3)

    def forward(self, x):
        found = nn.functional.max_pool1d(torch.relu(self.window(x[:, None])), 2)
        return self.out(found.flatten(1))


def test_nets_are_described_for_rows_of_their_width():
    """And not for the first width that they take, at which no row could be compared."""
    wide, pair = np.hstack([X, X[:, :1]]), []
    for seed in range(2):
        pair.append(net(Pooled, seed, (wide[:140], Y[:140])))
    settings = {"method": "parameters", "barrier_tolerance": 9.0}
    one = MergedClassifier.from_fitted(pair, wide[140:220], Y[140:220], **settings)
    assert not one.merge_report_.chosen.startswith("distilled from")
    assert one.score(wide[220:], Y[220:]) > 0.4


class TwoInputs(nn.Module):
    """Numbers, and codes of two categories."""

    def __init__(self):
        super().__init__()
        self.table, self.hidden = nn.Embedding(3, 2), nn.Linear(6, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, num, cat):
        codes = self.table(cat.long()).flatten(1)
        return self.out(torch.relu(self.hidden(torch.cat([num, codes], dim=1))))


class Masked(nn.Module):
    """The second input may be left out."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x, mask=None):
        h = torch.relu(self.hidden(x))
        return self.out(h if mask is None else h * mask)


def two_inputs(x):
    return SliceDict(num=x[:, :2], cat=np.digitize(x[:, 2:], [-0.5, 0.5]))


def beside_each_other(x):
    inputs = two_inputs(x)
    return np.hstack([inputs["cat"], inputs["num"]]).astype(np.float32)


def masked(x):
    return SliceDict(x=x, mask=np.ones((len(x), 8), dtype=np.float32))


class Crossed(nn.Module):
    """A product over both inputs, which a description cannot contain."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Bilinear(2, 2, 8), nn.Linear(8, 3)

    def forward(self, num, cat):
        return self.out(torch.relu(self.hidden(num, cat.to(num.dtype))))


class Named(nn.Module):
    """Each column of a frame is an argument."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, b, a, d, c):
        return self.out(torch.relu(self.hidden(torch.cat([a, b, c, d], dim=1))))


def frame(x):
    return pd.DataFrame(x, columns=list("cbda"))


def by_argument(X):
    """What skorch makes of a frame, here of arrays that can be written to, for its own fit."""
    if not hasattr(X, "columns"):
        return X
    return SliceDict(**{name: np.array(X[name]).reshape(-1, 1) for name in X})


@pytest.mark.parametrize(
    ("module", "inputs", "distilled"),
    [
        (TwoInputs, two_inputs, False),
        (Masked, masked, False),
        (Named, frame, False),
        (Crossed, two_inputs, True),
        (Masked, lambda x: SliceDict(x=x), False),
        (Masked, lambda x: x, False),
    ],
    ids=["numbers and codes", "a mask", "a frame", "crossed", "one input by name", "no mask"],
)
def test_nets_of_several_inputs_become_one(module, inputs, distilled):
    """They are aligned, or distilled where the module cannot be described."""
    train, held, test = ((inputs(x), y) for x, y in (TRAIN, HELD, TEST))
    pair = [net(module, seed, (by_argument(train[0]), train[1])) for seed in range(2)]
    before = pickle.dumps((train[0], held[0], [member.module_.state_dict() for member in pair]))
    settings = {"weights": None, "barrier_tolerance": 9.0}
    one = MergedClassifier.from_fitted(
        pair, *held, method="parameters", X_unlabeled=train[0][:20], **settings
    )
    after = pickle.dumps((train[0], held[0], [member.module_.state_dict() for member in pair]))
    assert after == before
    assert one.merge_report_.chosen.startswith("distilled from ") == distilled
    assert ("aligned" in one.merge_report_.stages) != distilled
    losses = [log_loss(test[1], m.predict_proba(by_argument(test[0]))) for m in pair]
    assert log_loss(test[1], one.predict_proba(test[0])) < 1.05 * np.mean(losses)


class OneMatrix(TwoInputs):
    """The same net, which takes its inputs side by side."""

    def forward(self, x):
        return super().forward(x[:, 2:], x[:, :2])


def test_a_net_of_two_inputs_is_merged_as_that_of_one_matrix():
    found = []
    for module, inputs in ((TwoInputs, two_inputs), (OneMatrix, beside_each_other)):
        train, held, test = (inputs(x) for x, _ in (TRAIN, HELD, TEST))
        pair = [net(module, seed, (train, TRAIN[1])) for seed in (0, 1)]
        one = MergedClassifier.from_fitted(
            pair, held, HELD[1], method="parameters", X_unlabeled=train, barrier_tolerance=9.0
        )
        found.append((one.merge_report_.chosen, one.predict_proba(test)))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=1e-5)


def test_rows_that_do_not_count_do_not_describe_nets_of_two_inputs():
    pair = [net(TwoInputs, seed, (two_inputs(TRAIN[0]), TRAIN[1]), max_epochs=1) for seed in (0, 1)]
    held, weight = two_inputs(HELD[0].copy()), np.ones(len(HELD[1]))
    held["num"][:9] = np.nan
    weight[:9] = 0.0
    one = MergedClassifier.from_fitted(
        pair, held, HELD[1], weight, method="parameters", weights=None, barrier_tolerance=9.0
    )
    assert "aligned" in one.merge_report_.stages


def test_the_path_to_a_net_of_several_inputs_with_its_units_in_another_order_is_flat():
    one = net(TwoInputs, 0, (two_inputs(TRAIN[0]), TRAIN[1]))
    other = copy.deepcopy(one)
    with torch.no_grad():
        for tensor in (other.module_.hidden.weight, other.module_.hidden.bias):
            tensor.copy_(tensor.flip(0))
        other.module_.out.weight.copy_(other.module_.out.weight.flip(1))
    rows = (two_inputs(TEST[0]), TEST[1])
    plain, aligned = (
        merge_path(one, other, *rows, n_points=3, alignment=how) for how in (None, "weights")
    )
    assert abs(plain.loss[1] - plain.loss[0]) > 0.005
    np.testing.assert_allclose(aligned.loss, plain.loss[0], rtol=1e-6)


def test_rows_without_labels_have_the_inputs_of_the_others():
    pair = [net(TwoInputs, seed, (two_inputs(TRAIN[0]), TRAIN[1]), max_epochs=1) for seed in (0, 1)]
    settings = {"method": "parameters", "barrier_tolerance": 9.0}
    held = two_inputs(HELD[0])
    for other in (SliceDict(num=TRAIN[0][:, :2]), TRAIN[0]):
        with pytest.raises(
            ValueError, match="should be a SliceDict with the inputs of X: num, cat"
        ):
            MergedClassifier.from_fitted(pair, held, HELD[1], X_unlabeled=other, **settings)


def test_several_inputs_that_cannot_be_described_are_not_aligned_on_request():
    pair = [net(Crossed, seed, (two_inputs(TRAIN[0]), TRAIN[1]), max_epochs=1) for seed in (0, 1)]
    held = (two_inputs(HELD[0]), HELD[1])
    refused = r"layer 'hidden' of type Bilinear.*alignment=None.*or use method='logits'"
    with pytest.raises(IncompatibleEstimatorsError, match=refused):
        MergedClassifier.from_fitted(pair, *held, method="parameters", alignment="weights")
    for remedy in ({"method": "parameters", "alignment": None}, {"method": "logits"}):
        one = MergedClassifier.from_fitted(pair, *held, **remedy, barrier_tolerance=9.0)
        assert one.predict_proba(held[0]).shape == (len(HELD[0]), 3)
