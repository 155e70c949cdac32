"""Small skorch nets, for tests of members that are networks."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn


def layers(n_features=8, n_out=3, act=nn.ReLU, end=()):
    return nn.Sequential(
        nn.Linear(n_features, 6), act(), nn.Dropout(0.1), nn.Linear(6, n_out), *end
    )


def net(module=None, **params):
    params = {"max_epochs": 3, "train_split": None, "verbose": 0, "lr": 0.1, **params}
    params.setdefault("criterion", nn.CrossEntropyLoss)
    return NeuralNetClassifier(layers() if module is None else module, **params)


def fitted(data, seed=0, **params):
    torch.manual_seed(seed)
    return net(**params).fit(data.X.astype(np.float32), data.y)
