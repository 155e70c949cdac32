"""Data and fitted members of the conversions."""

from __future__ import annotations

import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def pytest_ignore_collect(collection_path, config):
    """Without the extra there is nothing to test."""
    from importlib.util import find_spec

    missing = find_spec("skl2onnx") is None or find_spec("onnxruntime") is None
    return True if missing and collection_path.name.startswith("test_") else None


def problem(n_classes):
    return make_classification(
        180, 6, n_informative=4, n_classes=n_classes, flip_y=0.1, random_state=n_classes
    )


@pytest.fixture(scope="session", params=[2, 3])
def data(request):
    """Rows and labels of two classes, and of three."""
    return problem(request.param)


@pytest.fixture(scope="session")
def members(data):
    """A member of each way to read: logits, a network, joint densities, votes, raw scores."""
    X, y = data
    models = {
        "linear": make_pipeline(StandardScaler(), LogisticRegression()),
        "network": MLPClassifier((4,), max_iter=300, tol=1e-2, random_state=0),
        "bayes": GaussianNB(),
        "forest": RandomForestClassifier(5, max_depth=5, random_state=0),
        "boosting": HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5),
    }
    return [(name, model.fit(X[:80], y[:80])) for name, model in models.items()]
