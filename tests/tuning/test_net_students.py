"""Nets as students: fitted to the labels once, and trained from there towards the teacher."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import DistilledClassifier
from tests.tuning.test_distilled_classifier import CODES, X_TEST, Y_TEST, X, Y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Counted(MLPClassifier):
    """Counts its fits, and notes the classes of their rows."""

    fits: list[int] = []  # noqa: RUF012 - one list for all clones

    def fit(self, X, y, sample_weight=None):
        Counted.fits.append(len(set(np.asarray(y).tolist())))
        return super().fit(X, y)


def small(net=MLPClassifier):
    return net((4,), max_iter=5, random_state=0)


def torch_net():
    torch = pytest.importorskip("torch")
    from tests.nets import layers, net

    torch.manual_seed(0)
    return net(layers(6, 3, torch.nn.Tanh), max_epochs=1)


@pytest.fixture(scope="module")
def teacher():
    """Naive Bayes of other rows."""
    return FrozenEstimator(GaussianNB().fit(X_TEST, Y_TEST))


def test_one_fit_serves_all_shares(teacher):
    Counted.fits.clear()
    model = DistilledClassifier(small(Counted), teacher, cv=2, random_state=0).fit(X, Y)
    assert Counted.fits == [3] * 3  # of two folds and of all rows
    half = DistilledClassifier(small(), teacher, label_share=model.label_share_, random_state=0)
    assert np.array_equal(model.predict_proba(X_TEST), half.fit(X, Y).predict_proba(X_TEST))


@pytest.mark.parametrize("kind", ["perceptron", "Pipeline", "skorch"])
@pytest.mark.parametrize("share", [0.0, 1.0, "auto"])
def test_a_net_without_rows_of_a_class_that_the_teacher_knows(teacher, kind, share):
    net = {
        "perceptron": small,
        "Pipeline": lambda: make_pipeline(StandardScaler(), small()),
        "skorch": torch_net,
    }[kind]()
    # The last class is in one row: a fold lacks it, or all rows do.
    some = np.flatnonzero(CODES != 2)[:30]
    sets = [np.r_[some, np.argmax(CODES)]]
    for rows in sets if share == "auto" else [some, *sets]:
        folds = [(np.arange(1, len(rows), 2), np.arange(0, len(rows), 2))]
        folds.append(folds[0][::-1])
        model = DistilledClassifier(
            net, teacher, label_share=share, cv=folds, synthetic_rows=0.1, random_state=0
        )
        given = X[rows].astype(np.float32)
        p = model.fit(given, Y[rows]).predict_proba(X_TEST.astype(np.float32))
        assert p.shape == (80, 3)
        assert np.isfinite(model.predict_log_proba(X_TEST.astype(np.float32))).all()
        lost = model.classes_.tolist().index(Y[np.argmax(CODES)])
        if share == 0.0:
            assert p[:, lost].mean() > 0.1  # as the teacher says


def test_rows_without_labels_do_not_take_part_in_the_fit_to_labels(teacher):
    Counted.fits.clear()
    rows = np.flatnonzero(CODES != 2)[:60]
    model = DistilledClassifier(small(Counted), teacher, label_share=0.5, random_state=0)
    model.fit(X[rows], Y[rows], X_unlabeled=X)
    assert Counted.fits == [3]  # one row of the class without labels
    DistilledClassifier(small(Counted), teacher, label_share=0.0, random_state=0).fit(X)
    assert len(Counted.fits) == 2
