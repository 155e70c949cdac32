"""One warning for a fit: nested estimators, folds, worker threads and searches say it once."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import (
    MergedClassifier,
    TemperatureCalibrator,
    WeightsDisplay,
    compare_fit_orders,
)
from skmergecal.exceptions import MergeBarrierWarning


@pytest.fixture(scope="module")
def easy():
    """Rows that every model gets right, so that no finite temperature is best."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    return rng.normal(size=(60, 2)) + 20 * y[:, None], y


def all_of(call, category=ConvergenceWarning):
    """The texts of every warning, those of the same place and text too."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    found = [w for w in found if issubclass(w.category, category)]
    assert all(w.filename == __file__ for w in found), [w.filename for w in found]
    return [str(w.message) for w in found]


def own():
    return [("bayes", GaussianNB()), ("lda", LinearDiscriminantAnalysis())]


def calibrated(**settings):
    """The members with temperatures of maximum likelihood: a penalty would have a best one."""
    return [(n, TemperatureCalibrator(e, alpha=0, **settings)) for n, e in own()]


POOL = {"method": "logits", "weights": None}
RIDGELESS = {"method": "logits", "alpha": 0.0}
BOTH = "estimator 'bayes' and estimator 'lda'"
NESTED = {
    "pool": (lambda: MergedClassifier(own(), **RIDGELESS), "the logit pool"),
    "members": (lambda: MergedClassifier(calibrated(), **POOL), BOTH),
    "all": (
        lambda: MergedClassifier(calibrated(), **RIDGELESS),
        "estimator 'bayes', estimator 'lda' and the logit pool",
    ),
    "a calibrated merge": (
        lambda: TemperatureCalibrator(MergedClassifier(own(), **RIDGELESS)),
        "the logit pool",
    ),
    "in a pipeline": (
        lambda: MergedClassifier(
            [(n, make_pipeline(StandardScaler(), e)) for n, e in calibrated()],
            **POOL,
            calibrate="merged",
        ),
        BOTH,
    ),
    "a merge of merges": (
        lambda: MergedClassifier(
            [("inner", MergedClassifier(calibrated(), **POOL)), ("lda", own()[1][1])],
            **POOL,
        ),
        "estimator 'inner'",
    ),
    "alone": (lambda: TemperatureCalibrator(GaussianNB(), alpha=0), None),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_fit_warns_once_and_lists_the_members_without_numbers(easy, name):
    X, y = easy
    make, who = NESTED[name]
    (text,) = all_of(lambda: make().fit(X, y))
    start = "no finite temperature is best" + (f" for {who}: " if who else ": ")
    assert text.startswith(start)
    assert all_of(lambda: make().fit(X[:40] * 1.1, y[:40])) == [text]


@pytest.mark.parametrize("calibrate", ["members", "merged", "both"])
def test_temperatures_with_the_default_penalty_have_no_bound_to_warn_of(easy, calibrate):
    X, y = easy
    members = [(n, TemperatureCalibrator(e)) for n, e in own()]
    assert not all_of(lambda: MergedClassifier(members, **POOL, calibrate=calibrate).fit(X, y))


def test_workers_hand_their_warnings_over(easy):
    X, y = easy
    members = calibrated()
    with joblib.parallel_config("threading", n_jobs=2):
        (text,) = all_of(lambda: MergedClassifier(members, **POOL).fit(X, y))
    assert BOTH in text


def test_two_reasons_are_one_warning(easy):
    X, y = easy
    members = [("prior", DummyClassifier()), ("bayes", GaussianNB())]
    members = [(name, TemperatureCalibrator(e, alpha=0)) for name, e in members]
    merged = MergedClassifier(members, **POOL)
    (text,) = all_of(lambda: merged.fit(X[:45], y[:45]))
    assert "for estimator 'prior': the logits carry no information" in text
    assert "for estimator 'bayes': the largest logit is the true class" in text


def test_a_grid_search_warns_once_for_each_fit(easy):
    X, y = easy
    merged = MergedClassifier(calibrated(cv=2), **POOL, cv=2)
    search = GridSearchCV(merged, {"calibrate": ["members", "both"]}, cv=2)
    texts = all_of(lambda: search.fit(X, y))
    assert len(texts) <= 2 * 2 + 1
    assert len(set(texts)) <= 2


def test_reports_of_a_merge_do_not_repeat_what_its_fit_said(easy):
    X, y = easy
    members = {name: e.fit(X, y) for name, e in own()}
    fit = {}
    all_of(lambda: fit.update(m=MergedClassifier.from_fitted(members, X, y, **RIDGELESS)))
    merged = fit["m"]
    assert not all_of(lambda: merged.member_report(X, y, level=0.9, n_resamples=2), Warning)
    assert not all_of(
        lambda: WeightsDisplay.from_estimator(merged, X, y, n_resamples=2, plot=False), Warning
    )


def test_comparing_orders_warns_once_and_says_how_far_it_is(easy, capsys):
    X, y = easy
    how = {**RIDGELESS, "cv": 2, "random_state": 0}
    texts = all_of(lambda: compare_fit_orders(own(), X, y, verbose=1, **how))
    assert len(texts) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (1 + 4)  # the members and four orders, in both folds
    assert lines[0].startswith("[compare_fit_orders] fold 1 of 2: members fitted in ")
    assert "fold 2 of 2: merge-then-calibrate (3 of 4) scores " in lines[8]
    all_of(lambda: compare_fit_orders(own(), X, y, **how))
    assert not capsys.readouterr().out


def test_a_barrier_and_few_weights_are_told_without_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = (X.prod(axis=1) > 0).astype(int) + 2 * (X[:, 0] > 1)
    how = {"hidden_layer_sizes": (9,), "max_iter": 150, "tol": 1.0, "n_iter_no_change": 150}
    nets = [MLPClassifier(random_state=k, learning_rate_init=0.05, **how) for k in (0, 1)]

    def merge(rows):
        fitted = [net.fit(X[rows], y[rows]) for net in nets]
        how = {"method": "parameters", "alignment": None, "repair": None}
        MergedClassifier.from_fitted(fitted, X, y, **how)

    first, second = (
        all_of(lambda rows=rows: merge(rows), MergeBarrierWarning)
        for rows in (slice(None), slice(100))
    )
    assert first == second
    assert len(first) == 1
    few = [
        all_of(
            lambda w=w: TemperatureCalibrator(FrozenEstimator(GaussianNB().fit(X, y))).fit(
                X, y, np.full(120, w)
            ),
            UserWarning,
        )[:1]
        for w in (1e-3, 2e-3)
    ]
    assert few[0] == few[1]
    assert few[0][0].startswith("sample_weight adds up to fewer than the 4 classes")


def test_what_the_warnings_advise_ends_them():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = rng.normal(size=(300, 2)) + 2 * y[:, None]
    model = FrozenEstimator(GaussianNB().fit(X[:100], y[:100]))
    unseen = slice(100, None)
    right = 100 + np.flatnonzero(model.predict(X[unseen]) == y[unseen])[:9]
    weight = np.full(200, 1e-4)

    def fit(rows, weight=None, alpha=0):
        calibrator = TemperatureCalibrator(model, alpha=alpha)
        return all_of(lambda: calibrator.fit(X[rows], y[rows], weight), UserWarning)

    (text,) = fit(right)
    assert "Calibrate on more rows" in text
    assert not fit(unseen)
    assert "or with alpha=1" in text
    assert not fit(right, alpha=1)
    (text,) = fit(unseen, weight)
    assert "scale them so that they add up to the number of rows" in text
    assert not fit(unseen, weight * 200 / weight.sum())


class Rounds(GaussianNB):
    """Gives two decimals, which do not add up to 1 in every row."""

    def predict_proba(self, X):
        return super().predict_proba(X).round(2)


def test_a_prediction_warns_once_for_all_members():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 2)) + y[:, None] / 2
    members = {f"m{k}": Rounds(var_smoothing=s).fit(X, y) for k, s in enumerate((1e-9, 0.5, 1))}
    fitted = {}
    (text,) = all_of(
        lambda: fitted.update(m=MergedClassifier.from_fitted(members, X, y)), UserWarning
    )
    (again,) = all_of(lambda: fitted["m"].predict_proba(X), UserWarning)
    assert all(f"'m{k}'" in text and f"'m{k}'" in again for k in range(3))


def test_warnings_as_errors_stop_a_fit(easy):
    X, y = easy
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="no finite temperature"):
            MergedClassifier(own(), **RIDGELESS).fit(X, y)
        LogisticRegression().fit(X, y)
