"""NaN that the steps of members refuse, one merged net refuses, too."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmergecal.parameters import average_parameters, read_parameters, write_parameters


def narrow(X):
    return np.asarray(X, dtype=np.float32)


def strict(X):
    return np.asarray_chkfinite(X, dtype=np.float32)


def merged(pairs, cast):
    """One net of two; the first column is only scaled, the others go through PCA."""
    torch = pytest.importorskip("torch")
    from tests.nets import layers
    from tests.nets import net as classifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    members = []
    for seed in range(2):
        turned = make_pipeline(StandardScaler(), PCA(2)) if pairs else StandardScaler()
        front = ColumnTransformer([("a", StandardScaler(), [0]), ("b", turned, [1, 2])])
        before = make_pipeline(front, FunctionTransformer(cast)).fit(X[seed::2])
        torch.manual_seed(seed)
        net = classifier(layers(3, 2, torch.nn.Tanh), max_epochs=1)
        members.append(make_pipeline(before, net.fit(before.transform(X), y)))
    second = average_parameters([read_parameters(m) for m in members], [0.0, 1.0])
    plain = write_parameters(members[0], second)
    np.testing.assert_allclose(plain.predict_proba(X), members[1].predict_proba(X), atol=1e-5)
    return plain, members[1], X


@pytest.mark.parametrize(("pairs", "cast"), [(True, narrow), (False, narrow), (False, strict)])
def test_a_net_refuses_nan_where_its_members_do(pairs, cast):
    plain, member, X = merged(pairs, cast)
    assert b"skmergecal" not in pickle.dumps(plain[:-1])
    for column in range(3):
        gaps = X.copy()
        gaps[::4, column] = np.nan
        if cast is strict or (pairs and column > 0):
            for model in (member, plain):
                with pytest.raises(ValueError, match=r"contains NaN|infs or NaNs"):
                    model.predict_proba(gaps)
        else:
            found, expected = (model.predict_proba(gaps) for model in (plain, member))
            np.testing.assert_allclose(found, expected, atol=1e-5)
