"""Remedies for merges, folds, labels and searches: each mistake, its message, what to do."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    ReliabilityDisplay,
    TemperatureCalibrator,
    members_from_search,
)
from skmergecal.calibration import fit_temperature
from skmergecal.candidates import weight_distribution
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    align_parameters,
    dense_network,
    fold_temperature,
    merge_parameters,
    read_parameters,
    write_parameters,
)
from tests.networks import random_mlp

X, Y = make_classification(
    90, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
)
X32, ONES = X.astype(np.float32), np.ones(90)
FAR = np.where(np.arange(90) == 0, 9, Y)  # one row of a class that no member knows
FOLDS = list(KFold(2).split(X))


def pool(*members, X=X, y=Y, **settings):
    named = {chr(97 + i): member for i, member in enumerate(members)}
    return MergedClassifier.from_fitted(named, X, y, **settings)


def averaged(*members, **settings):
    return pool(*members, method="parameters", **{"barrier_tolerance": 99.0, **settings})


def bayes(rows=slice(None)):
    return GaussianNB().fit(X[rows], Y[rows])


def from_cv(splits=FOLDS, models=None, X=X, y=Y, **settings):
    models = {"m": [bayes(train) for train, _ in FOLDS]} if models is None else models
    return MergedClassifier.from_cv(models, X, y, splits, **settings)


def calibrated(rows=slice(None), y=Y, **settings):
    model = TemperatureCalibrator(FrozenEstimator(bayes()), **settings)
    return model.fit(X[rows], y[rows])


def streamed(rows=slice(None)):
    model = TemperatureCalibrator(FrozenEstimator(bayes()))
    return model.partial_fit(X[rows], FAR[rows])


def tuned(rows=slice(None)):
    net = FrozenEstimator(random_mlp(0, (4,)))
    return FineTunedClassifier(net, epochs=1, random_state=0).fit(X[rows], FAR[rows])


class Noted(nn.Module):
    """An attribute that is read, but plays no part in predictions."""

    def __init__(self, note="a"):
        super().__init__()
        self.note, self.linear = note, nn.Linear(5, 3)

    def forward(self, x):
        return self.linear(x) if self.note else None


class LastFirst(nn.Module):
    """Layers in another order than they are called in."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(5, 3), nn.Linear(5, 5)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


def net(module, X=X32):
    torch.manual_seed(0)
    settings = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "train_split": None}
    return NeuralNetClassifier(module, verbose=0, **settings).fit(X, Y)


def scaled_inside(module):
    scaler = StandardScaler().fit(X32)
    return make_pipeline(scaler, net(module, scaler.transform(X32)))


class Misdescribed(MLPClassifier):
    """Registered with the description of another activation."""


@read_parameters.register(Misdescribed)
def _(estimator):
    plain = random_mlp(0, (4,))
    plain.__dict__.update(vars(estimator))
    names = [("coefs_[0]", "intercepts_[0]"), ("coefs_[1]", "intercepts_[1]")]
    return replace(read_parameters(plain), network=dense_network(names, "tanh", 5))


@write_parameters.register(Misdescribed)
def _(estimator, parameters):
    written = write_parameters(random_mlp(0, (4,)), parameters)
    return misdescribed(written)


def misdescribed(net):
    model = Misdescribed(**net.get_params())
    model.__dict__.update(vars(net))
    return model


def unlike_nets():
    """Of one shape, but with other activations."""
    nets = random_mlp(0, (4,)), random_mlp(1, (4,), "tanh")
    return [replace(read_parameters(m), architecture={"type": "own"}) for m in nets]


def plain_score(estimator, X, y):
    return np.mean(estimator.predict(X) == y)


def right(y, labels, sample_weight=None):
    return np.average(labels == y, weights=sample_weight)


def picky_score(estimator, X, y):
    if (y == 2).sum() < 2:
        raise ValueError("needs two rows of the last class")
    return np.mean(estimator.predict_proba(X)[y == 2, 2])


def greedy(scoring, sample_weight=ONES, rows=slice(None)):
    members = {"a": bayes(), "b": bayes(slice(0, 60))}
    how = {"method": "logits", "weights": "greedy", "scoring": scoring}
    return MergedClassifier.from_fitted(members, X[rows], Y[rows], sample_weight, **how)


def estimate(scoring, rows=slice(None)):
    return greedy(scoring, None, rows).loss_estimate_


TWO_OF_LAST = np.r_[np.flatnonzero(Y < 2)[:40], np.flatnonzero(Y == 2)[:2]]


def stored(**settings):
    p = bayes().predict_proba(X)
    return MergedClassifier.from_predictions({"a": p, "b": p[:, ::-1]}, Y, **settings)


def predicted(names):
    model = stored(weights=None)
    return model.predict({name: bayes().predict_proba(X) for name in names})


TREES = DecisionTreeClassifier(random_state=0)


def search(depths=(1, 2), fit=True, scoring="neg_log_loss"):
    model = GridSearchCV(TREES, {"max_depth": list(depths)}, cv=2, scoring=scoring)
    return model.fit(X, Y) if fit else model


def drawn(depths):
    space = {"max_depth": depths}
    return RandomizedSearchCV(TREES, space, n_iter=len(depths), cv=2, random_state=0).fit(X, Y)


def drawn_weights(names):
    return weight_distribution(names).rvs(random_state=0)


PAIR = [("a", GaussianNB()), ("b", GaussianNB(var_smoothing=0.1))]
HUGE = np.c_[1e3 * Y, -1e3 * Y, np.zeros(90)]
SEPARABLE = 40 * np.eye(3)[Y]

#: A part of the message; what gives it; what must work then.
CASES = [
    ("drop these rows", lambda: pool(bayes(), y=FAR), lambda: pool(bayes(), X=X[1:], y=FAR[1:])),
    ("drop these rows", lambda: streamed(slice(None)), lambda: streamed(slice(1, None))),
    ("drop these rows", tuned, lambda: tuned(slice(1, None))),
    ("Pass all labels as classes=.",
     lambda: TemperatureCalibrator(classes=[0, 1, 2]).fit(HUGE, FAR),
     lambda: TemperatureCalibrator(classes=[0, 1, 2, 9]).fit(np.c_[HUGE, HUGE[:, 0]], FAR)),
    ("or, as a parameter of the calibrator, for a FrozenEstimator",
     lambda: TemperatureCalibrator(GaussianNB(), classes=[0, 1, 2], cv=2).fit(X, Y),
     lambda: TemperatureCalibrator(GaussianNB(), cv=2).fit(X, Y),
     lambda: calibrated(classes=[0, 1, 2])),
    ("wrap a classifier", lambda: read_parameters(TemperatureCalibrator().fit(SEPARABLE / 9, Y)),
     lambda: read_parameters(TemperatureCalibrator(LogisticRegression(), cv=2).fit(X, Y))),
    ("Calibrate on more rows, on rows that the model has not seen, or with alpha=1",
     lambda: fit_temperature(SEPARABLE, Y), lambda: fit_temperature(SEPARABLE, Y, alpha=1),
     lambda: fit_temperature(np.r_[SEPARABLE, SEPARABLE], np.r_[Y, FAR % 3])),
    ("Pass classes= with every label",
     lambda: ReliabilityDisplay.from_predictions(FAR, np.ones((90, 3)) / 3, classes=[0, 1, 2]),
     lambda: ReliabilityDisplay.from_predictions(FAR, np.ones((90, 4)) / 4, classes=[0, 1, 2, 9])),
    ("pass one pair for each model", lambda: from_cv(FOLDS[:1]), from_cv),
    ("pass (train, test) without common rows",
     lambda: from_cv([(FOLDS[0][1], FOLDS[0][1]), FOLDS[1]]), from_cv),
    ("it should name the members", lambda: from_cv({"other": FOLDS}),
     lambda: from_cv({"m": FOLDS})),
    ("use another method, or pass unfitted members", lambda: from_cv(method="parameters"),
     lambda: from_cv(method="logits"),
     lambda: MergedClassifier([("a", LogisticRegression())], method="parameters", cv=2).fit(X, Y)),
    ("use another method, or pass the fitted models", lambda: stored(method="parameters"),
     lambda: stored(method="logits"),
     lambda: averaged(LogisticRegression().fit(X, Y), LogisticRegression(C=0.1).fit(X, Y))),
    ("pass those of all members, under the names of the fit", lambda: predicted("a"),
     lambda: predicted("ab")),
    ("pass held-out X and y to from_fitted",
     lambda: averaged(*linear(), X=None, y=None, weights=None),
     lambda: averaged(*linear(), weights=None)),
    ("set it to one value in both if it plays no part",
     lambda: averaged(net(Noted("a")), net(Noted("b")), alignment=None),
     lambda: averaged(net(Noted("a")), net(Noted("a")))),
    ("pass alignment=None, or use method='logits'",
     lambda: averaged(*wrongly_described(), alignment="weights"),
     lambda: averaged(*wrongly_described(), alignment=None, repair=None),
     lambda: pool(*wrongly_described(), method="logits")),
    ("Scale the data before they reach the members",
     lambda: averaged(*[scaled_inside(LastFirst()) for _ in range(2)], alignment=None),
     lambda: averaged(net(LastFirst(), scaled()), net(LastFirst(), scaled()), X=scaled()),
     lambda: pool(scaled_inside(LastFirst()), scaled_inside(LastFirst()), method="logits")),
    ("use calibrate='merged'",
     lambda: averaged(*lasts_first(), X=X32, calibrate="members", alignment=None),
     lambda: averaged(net(LastFirst()), net(LastFirst()), X=X32, calibrate="merged"),
     lambda: pool(net(LastFirst()), X=X32, method="logits", calibrate="members")),
    ("the networks differ in how their layers are connected: use method='logits'",
     lambda: merge_parameters(unlike_nets(), [0.5, 0.5], alignment="weights"),
     lambda: pool(random_mlp(0, (4,)), random_mlp(1, (4,), "tanh"), method="logits")),
    ("sklearn.metrics.make_scorer of a metric that does", lambda: greedy(plain_score),
     lambda: greedy(make_scorer(right)), lambda: greedy(plain_score, None)),
    ("Pass more rows, or scoring=None", lambda: estimate(picky_score, TWO_OF_LAST),
     lambda: estimate(picky_score), lambda: estimate(None, TWO_OF_LAST)),
    ("Pass n_members=2, or try more candidates", lambda: members_from_search(search(), 3),
     lambda: members_from_search(search(), 2), lambda: members_from_search(search((1, 2, 3)), 3)),
    ("Repair the fits, and search again", lambda: members_from_search(without_scores(), 1),
     lambda: members_from_search(search(), 1)),
    ("X and y should be passed together", lambda: members_from_search(search(), 1, X=X),
     lambda: members_from_search(search(), 1), lambda: members_from_search(search(), 1, X=X, y=Y)),
    ("pass X and y, too", lambda: members_from_search(search(), 1, sample_weight=ONES),
     lambda: members_from_search(search(), 1, X=X, y=Y, sample_weight=ONES)),
    ("call its fit(X, y) first", lambda: members_from_search(search(fit=False), 1),
     lambda: members_from_search(search(), 1)),
    ("are merged by MergedClassifier.from_fitted", lambda: members_from_search(bayes(), 1),
     lambda: pool(bayes())),
    ("search with one scoring=",
     lambda: members_from_search([search(), drawn([1, 3])], 2),
     lambda: members_from_search([search(), search((3, 4))], 2),
     lambda: members_from_search(search(), 1) + members_from_search(drawn([1, 3]), 1)),
    ("of a list of members, pass [name for name, _ in members]", lambda: drawn_weights(PAIR),
     lambda: drawn_weights([name for name, _ in PAIR])),
]  # fmt: skip


def lasts_first():
    return [net(LastFirst()) for _ in range(2)]


def linear():
    return [LogisticRegression(C=c).fit(X, Y) for c in (0.1, 1.0)]


def scaled():
    return StandardScaler().fit_transform(X32)


def wrongly_described():
    return [misdescribed(random_mlp(seed, (4,))) for seed in (0, 1)]


def without_scores():
    """A search whose fits all failed."""
    failed = search()
    failed.cv_results_["mean_test_score"][:] = np.nan
    return failed


class LastFirstAndNarrow(nn.Module):
    """The layer that is defined first takes fewer columns than the rows have."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(4, 3), nn.Linear(5, 4)

    forward = LastFirst.forward


def test_scaling_is_kept_before_a_net_whose_first_layer_is_another_one():
    same = [scaled_inside(LastFirstAndNarrow()) for _ in range(2)]
    assert "scaler" in averaged(*same, X=X32).merged_estimator_.steps[0][0]
    scaler = StandardScaler().fit(X32[:50])
    other = make_pipeline(scaler, net(LastFirstAndNarrow(), scaler.transform(X32)))
    with pytest.raises(IncompatibleEstimatorsError, match=r"cannot be folded .*'logits'"):
        averaged(same[0], other, X=X32, alignment=None)
    assert pool(same[0], other, X=X32, method="logits").score(X32, Y) > 0.2


@pytest.mark.parametrize(
    ("message", "mistake", "remedies"), [(m, f, r) for m, f, *r in CASES], ids=[c[0] for c in CASES]
)
def test_each_remedy_works(message, mistake, remedies):
    expected = (AttributeError, NotFittedError, TypeError, ValueError, UserWarning)
    with pytest.raises(expected, match=re.escape(message)):
        mistake()
    for remedy in remedies:
        assert remedy() is not None


def test_units_whose_permutation_changes_the_logits_are_left_as_they_are(monkeypatch):
    """What no description of a network gives: arrays that are changed where they are matched."""

    def spoil(arrays, spaces):
        arrays["coefs_[0]"] *= 2

    monkeypatch.setattr("skmergecal._networks._align.balance", spoil)
    nets = [read_parameters(random_mlp(seed, (4,))) for seed in (0, 1)]
    with pytest.raises(RuntimeError, match=r"changed its logits by .*: use alignment=None"):
        align_parameters(nets, by="weights")
    merged = merge_parameters(nets, [0.5, 0.5], alignment=None, repair=None).parameters
    mean = (nets[0].arrays["coefs_[0]"] + nets[1].arrays["coefs_[0]"]) / 2
    np.testing.assert_allclose(merged.arrays["coefs_[0]"], mean)


def test_log_odds_that_bernoulli_naive_bayes_cannot_hold():
    rows = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    model = BernoulliNB(alpha=1e-10).fit(rows, [0, 0, 1, 1])
    read = read_parameters(model)
    kept = write_parameters(model, fold_temperature(read, 0.8)).predict_log_proba(rows)
    expected = model.predict_joint_log_proba(rows) / 0.8
    expected -= np.logaddexp.reduce(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(kept, expected, rtol=1e-3)
    refused = r"BernoulliNB cannot hold log-odds of .* above 36.7 .*use calibrate='merged'"
    with pytest.raises(IncompatibleEstimatorsError, match=refused):
        write_parameters(model, fold_temperature(read, 0.5))
