"""Remedies for members, their parameters and nets: each mistake, its message, what to do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.parameters import (
    Parameters,
    align_parameters,
    average_parameters,
    fisher_average,
    fold_affine_input,
    merge_parameters,
    merge_probabilities,
    read_parameters,
    write_parameters,
)
from tests.networks import random_mlp, rows
from tests.stand_ins import LazyFrame

X, Y = make_classification(
    90, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0
)
X32, HALF = X.astype(np.float32), [0.5, 0.5]


def pool(*members, X=X, y=Y, **settings):
    named = {chr(97 + i): member for i, member in enumerate(members)}
    return MergedClassifier.from_fitted(named, X, y, **settings)


def averaged(*members, **settings):
    return pool(*members, method="parameters", barrier_tolerance=99.0, **settings)


def unfitted(model, name="m", X=X, y=Y):
    return MergedClassifier([(name, model)], cv=2, method="probabilities").fit(X, y)


def linear(C=1.0, columns=slice(None)):
    return LogisticRegression(C=C).fit(X[:, columns], Y)


def forest(seed=0, y=Y):
    return RandomForestClassifier(3, random_state=seed).fit(X, y)


def warmed(model):
    return TemperatureCalibrator(FrozenEstimator(model), temperature=2.0).fit(X, Y)


def mlp(seed=0, hidden=(4,)):
    return random_mlp(seed, hidden)


def read(*models):
    return [read_parameters(model) for model in models]


def net(module=None, cls=NeuralNetClassifier, fit=True, y=Y, **settings):
    torch.manual_seed(0)
    module = module or nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    given = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "train_split": None, "verbose": 0}
    model = cls(module, **{**given, **settings})
    return model.fit(X32, y) if fit else model


def tuned(model, *, X=X, y=Y, sample_weight=None, X_unlabeled=None, **settings):
    model = FineTunedClassifier(model, epochs=1, random_state=0, **settings)
    return model.fit(X, y, sample_weight=sample_weight, X_unlabeled=X_unlabeled)


def taught(model=None, teacher=None, **settings):
    model = MLP if model is None else model
    teacher = linear() if teacher is None else teacher
    return tuned(model, target="members", teacher=FrozenEstimator(teacher), **settings)


def framed(**settings):
    """A net of named columns."""
    own = MLPClassifier((4,), random_state=0).partial_fit(FRAME, Y, classes=[0, 1, 2])
    return taught(FrozenEstimator(own), LogisticRegression().fit(FRAME, Y), X=FRAME, **settings)


class Broken(GaussianNB):
    """Gives NaN in its last row."""

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[-1] = np.nan
        return proba


class Corrected(Broken):
    def predict_proba(self, X):
        proba = super().predict_proba(X)
        proba[-1] = 1 / 3
        return proba


class Centroids(ClassifierMixin, BaseEstimator):
    """A class of a user, which is not registered."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.centroids_ = np.array([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def decision_function(self, X):
        return -((X[:, None] - self.centroids_) ** 2).sum(axis=2) / 10


class ReadOnly(Centroids):
    """One for which only the function that reads is registered."""


def read_centroids(estimator):
    return Parameters({"centroids": estimator.centroids_}, {"type": "Centroids"})


def write_centroids(like, parameters):
    merged = clone(like)
    merged.centroids_, merged.classes_ = parameters.arrays["centroids"], like.classes_
    return merged


read_parameters.register(ReadOnly, read_centroids)


def centroids(cls=Centroids):
    return [cls().fit(X[i::2], Y[i::2]) for i in range(2)]


def registered(cls=Centroids):
    """The remedy, on a class of its own: what is registered stays so."""
    own = type("Registered", (cls,), {})
    read_parameters.register(own, read_centroids)
    write_parameters.register(own, write_centroids)
    halves = centroids(own)
    merged = averaged(*halves, weights=None, calibrate="merged")
    np.testing.assert_allclose(
        merged.merged_estimator_.centroids_, (halves[0].centroids_ + halves[1].centroids_) / 2
    )
    return merged


class Labelled(nn.Module):
    """An attribute that plays no part in predictions."""

    def __init__(self, note="a"):
        super().__init__()
        self.note, self.linear = note, nn.Linear(5, 3)

    def forward(self, x):
        return self.linear(x)


class Branching(Labelled):
    """Not traced, nor differentiated row by row."""

    def forward(self, x):
        return self.linear(x) if float(x.sum()) > 0 else -self.linear(-x)


class OwnLoss(nn.Module):
    """A criterion without a reduction, of probabilities."""

    def forward(self, output, target):
        return nn.functional.nll_loss(output.log(), target)


def own_loss():
    module = nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=1))
    return FrozenEstimator(net(module, criterion=OwnLoss))


class Booster:
    """As that of xgboost: no labels, no fit."""

    __module__ = "xgboost.core"

    def __init__(self, model):
        self._model = model

    def save_model(self, path):
        np.savez(path, coef=self._model.coef_, intercept=self._model.intercept_)


class XGBClassifier(LogisticRegression):
    """As that of xgboost: it reads what a Booster saved."""

    def load_model(self, path):
        with np.load(path) as saved:
            self.coef_, self.intercept_ = saved["coef"], saved["intercept"]
        self.classes_ = np.arange(3)


def loaded(tmp):
    booster = Booster(linear())
    booster.save_model(tmp / "model.npz")
    model = XGBClassifier()
    model.load_model(tmp / "model.npz")
    return pool(model)


BCE = {"criterion": nn.BCEWithLogitsLoss}
LAZY_Y, LAZY_Z = LazyFrame(Y), LazyFrame(linear().decision_function(X))
LOGITS = TemperatureCalibrator()
NETS = mlp(0), mlp(1)
MLP = FrozenEstimator(NETS[0])
SGD = SGDClassifier(loss="log_loss", random_state=0)
FRAME = pd.DataFrame(X, columns=list("abcde"))

#: A part of the message; what gives it; what must work then.
CASES = [
    ("use skorch.NeuralNetClassifier", lambda: unfitted(net(cls=NeuralNet, fit=False), X=X32),
     lambda: unfitted(net(fit=False), X=X32)),
    ("use skorch.NeuralNetClassifier", lambda: pool(net(cls=NeuralNet)), lambda: pool(net())),
    ("or register the class", lambda: averaged(*centroids()), registered,
     lambda: pool(*centroids(), method="logits")),
    ("register one, as for read_parameters",
     lambda: averaged(*centroids(ReadOnly)), lambda: registered(ReadOnly)),
    ("pass y.collect()", lambda: pool(linear(), y=LAZY_Y),
     lambda: pool(linear(), y=LAZY_Y.collect())),
    ("pass y.collect()", lambda: unfitted(GaussianNB(), y=LAZY_Y),
     lambda: unfitted(GaussianNB(), y=LAZY_Y.collect())),
    ("pass logits.collect()", lambda: LOGITS.fit(LAZY_Z, Y),
     lambda: LOGITS.fit(LAZY_Z.collect(), Y)),
    ("pass X_unlabeled.collect()", lambda: taught(X_unlabeled=LazyFrame(X)),
     lambda: taught(X_unlabeled=LazyFrame(X).collect())),
    ("freeze it: sklearn.frozen.FrozenEstimator", lambda: unfitted(linear()),
     lambda: unfitted(FrozenEstimator(linear())), lambda: pool(linear())),
    ("choose another name", lambda: unfitted(GaussianNB(), name="self"),
     lambda: unfitted(GaussianNB(), name="own")),
    ("fit one classifier for each", lambda: pool(forest(y=np.column_stack([Y, Y]))),
     lambda: pool(forest())),
    ("correct or drop this member", lambda: pool(Broken().fit(X, Y), linear()),
     lambda: pool(Corrected().fit(X, Y), linear()), lambda: pool(linear())),
    ("use a classifier that gives probabilities or scores",
     lambda: unfitted(Labels()), lambda: unfitted(RidgeClassifier())),
    ("set decision_function_shape='ovr'",
     lambda: pool(SVC(decision_function_shape="ovo").fit(X, Y)),
     lambda: pool(SVC(decision_function_shape="ovr").fit(X, Y))),
    ("Pass all labels as classes= to the net.",
     lambda: unfitted(net(fit=False, classes=[0, 1]), X=X32),
     lambda: unfitted(net(fit=False, classes=[0, 1, 2]), X=X32)),
    ("use NeuralNetClassifier with CrossEntropyLoss",
     lambda: unfitted(net(cls=NeuralNetBinaryClassifier, fit=False, **BCE), X=X32),
     lambda: unfitted(net(fit=False), X=X32)),
    ("use members of one architecture, or method='logits'",
     lambda: averaged(linear(), bernoulli()), lambda: averaged(linear(), linear(0.1)),
     lambda: pool(linear(), bernoulli(), method="logits")),
    ("use calibrate='merged', or method='logits'",
     lambda: averaged(*centroids(Known), calibrate="members"),
     lambda: averaged(*centroids(Known), calibrate="merged"),
     lambda: pool(*centroids(Known), method="logits", calibrate="members")),
    ("scale the data before passing them to the members",
     lambda: fold_affine_input(*read(*centroids(Known)[:1]), np.ones(5), np.zeros(5)),
     lambda: averaged(*centroids(Known), X=StandardScaler().fit_transform(X))),
    ("pass X, or use alignment='weights' with repair=None",
     lambda: merge_parameters(read(*NETS), HALF, alignment="select"),
     lambda: merge_parameters(read(*NETS), HALF, alignment="select", X=rows(20)),
     lambda: merge_parameters(read(*NETS), HALF, alignment="weights", repair=None)),
    ("pass X, or use by='weights'", lambda: align_parameters(read(*NETS), by="activations"),
     lambda: align_parameters(read(*NETS), by="activations", X=rows(20)),
     lambda: align_parameters(read(*NETS), by="weights")),
    ("Pass alignment=None to average the parameters as they are, or use method='logits'",
     lambda: averaged(*branching(), alignment="weights"),
     lambda: averaged(*branching(), alignment=None), lambda: pool(*branching(), method="logits")),
    ("use alignment=None and repair=None",
     lambda: averaged(*centroids(Known), alignment="weights"),
     lambda: averaged(*centroids(Known), alignment=None, repair=None)),
    ("use CrossEntropyLoss, or average_parameters",
     lambda: fisher_average([net(criterion=nn.MultiMarginLoss)] * 2, X32),
     lambda: fisher_average([net()] * 2, X32),
     lambda: average_parameters(read(*[net(criterion=nn.MultiMarginLoss)] * 2), HALF)),
    ("cannot be taken row by row", lambda: fisher_average(branching(), X32),
     lambda: average_parameters(read(*branching()), HALF)),
    ("merge the forests without temperatures",
     lambda: merge_probabilities([warmed(forest(0)), warmed(forest(1))], HALF),
     lambda: merge_probabilities([forest(0), forest(1)], HALF)),
    ("use method='parameters'",
     lambda: pool(*NETS, weights=None, method="logits").to_estimator(X),
     lambda: averaged(*NETS).to_estimator(X)),
    ("load_model(path) of an xgboost.XGBClassifier()", lambda: pool(Booster(linear())), loaded),
    ("X_unlabeled teaches nothing here", lambda: tuned(MLP, X_unlabeled=X),
     lambda: taught(X_unlabeled=X), lambda: tuned(MLP)),
    ("teacher is for target='members'",
     lambda: tuned(MLP, teacher=FrozenEstimator(linear())), taught),
    ("with the columns of X, in the same order",
     lambda: framed(X_unlabeled=FRAME[list("edcba")]), lambda: framed(X_unlabeled=FRAME)),
    ("pass a dense numeric array or a DataFrame, or augment=None",
     lambda: taught(X=sparse.csr_matrix(X), augment="both"),
     lambda: taught(X=X, augment="both"), lambda: framed(augment="both"),
     lambda: taught(X=sparse.csr_matrix(X))),
    ("both should know the same",
     lambda: taught(teacher=LogisticRegression().fit(X[Y > 0], Y[Y > 0])), taught),
    ("pass a MergedClassifier(method='parameters') as the estimator, or a frozen classifier",
     lambda: tuned(MLP, target="members"), taught,
     lambda: tuned(FrozenEstimator(averaged(*NETS)), target="members")),
    ("set its alpha instead", lambda: tuned(by_sgd(), weight_decay=0.1),
     lambda: tuned(by_sgd(alpha=0.1))),
    ("target='members' trains skorch nets and MLPClassifier", lambda: taught(SGD), taught),
    ("pass learning_rate=None", lambda: tuned(GaussianNB(), learning_rate=0.1),
     lambda: tuned(GaussianNB(), learning_rate=None)),
    ("set its own parameters", lambda: tuned(clone(SGD), weight_decay=0.1),
     lambda: tuned(clone(SGD).set_params(alpha=0.1))),
    ("fit without sample_weight, or use target='members'",
     lambda: tuned(own_loss(), X=X32, sample_weight=np.ones(90)),
     lambda: tuned(own_loss(), X=X32),
     lambda: taught(own_loss(), X=X32, sample_weight=np.ones(90))),
]  # fmt: skip


class Labels(ClassifierMixin, BaseEstimator):
    """A classifier that gives labels only."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self


class Known(Centroids):
    """A registered class, of which neither a first nor a last layer is known."""


read_parameters.register(Known, read_centroids)
write_parameters.register(Known, write_centroids)


def bernoulli():
    return BernoulliNB().fit(X, Y)


def by_sgd(**settings):
    return FrozenEstimator(mlp(0).set_params(solver="sgd", **settings))


def branching():
    return [net(Branching()) for _ in range(2)]


@pytest.mark.parametrize(
    ("message", "mistake", "remedies"), [(m, f, r) for m, f, *r in CASES], ids=[c[0] for c in CASES]
)
def test_each_remedy_works(message, mistake, remedies, tmp_path):
    with pytest.raises((TypeError, ValueError, UserWarning), match=re.escape(message)):
        mistake()
    for remedy in remedies:
        assert (remedy(tmp_path) if remedy is loaded else remedy()) is not None
