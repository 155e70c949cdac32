"""Nets whose probabilities are what a nonlinearity of their own makes of the output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from skmergecal import DistilledClassifier, FineTunedClassifier, MergedClassifier
from tests.nets import net

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = np.argmax(X[:, :3] + 0.5 * RNG.normal(size=(90, 3)), axis=1).astype(np.int64)
TEACHER = FrozenEstimator(LogisticRegression(C=0.1).fit(X, Y))
SOFTMAX = nn.Softmax(dim=-1)


class Focal(nn.Module):
    def forward(self, z, y):
        log_proba = torch.log_softmax(z, -1).gather(1, y[:, None])[:, 0]
        return (-((1 - log_proba.exp()) ** 2) * log_proba).mean()


def fitted(seed=0, width=4, act=nn.ReLU, link=SOFTMAX, **settings):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, 3))
    settings = {"criterion": Focal, "predict_nonlinearity": link, **settings}
    return net(module, **settings).fit(X, Y)


def tuned(member, **settings):
    settings = {"target": "members", "teacher": TEACHER, "random_state": 0, **settings}
    return FineTunedClassifier(FrozenEstimator(member), **settings).fit(X, Y)


def distance(model):
    return log_loss(np.argmax(TEACHER.predict_proba(X), axis=1), model.predict_proba(X))


def test_probabilities_are_learned_through_the_nonlinearity():
    member = fitted()
    model = tuned(member, epochs=3, learning_rate=0.02)
    assert np.all(np.diff(model.loss_curve_) < 0)
    assert distance(model) < distance(member) - 0.02
    plain = fitted(criterion=nn.CrossEntropyLoss, link="auto", max_epochs=0)
    same = fitted(max_epochs=0)
    curves = [tuned(m, epochs=1, learning_rate=0.02).loss_curve_ for m in (plain, same)]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


def test_students_and_merges_learn_through_the_nonlinearity():
    student = DistilledClassifier(
        clone(fitted()), TEACHER, label_share=0.0, synthetic_rows=0, random_state=0
    ).fit(X, Y)
    assert np.isfinite(student.predict_proba(X)).all()
    members = [fitted(0, act=nn.Softshrink), fitted(1, width=6, act=nn.Softshrink)]
    merged = MergedClassifier.from_fitted(
        members, X, Y, method="parameters", weights=None, barrier_tolerance=9
    )
    assert merged.merge_report_.chosen.startswith("distilled")


def test_what_cannot_be_differentiated_is_refused():
    member = fitted(link=lambda z: torch.softmax(z.detach(), dim=-1))
    with pytest.raises(ValueError, match="predict_nonlinearity of NeuralNetClassifier cannot be"):
        tuned(member)


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(ValueError, match=r"NaN in epoch . of 9: .* smaller learning_rate"):
        tuned(fitted(), target="labels", teacher=None, epochs=9, learning_rate=1e30)


class Half(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, width).half(), nn.Linear(width, 3).half()

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.half()))).float()


def test_a_merge_that_cannot_be_trained_keeps_a_member():
    members = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        members.append(net(Half()).fit(X, Y))
    merged = MergedClassifier.from_fitted(
        members, X, Y, method="parameters", weights=None, barrier_tolerance=9
    )
    assert np.isfinite(merged.predict_proba(X)).all()
