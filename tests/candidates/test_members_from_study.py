"""Trials of studies as members: stand-ins for studies, and Optuna itself where it is installed."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmergecal import (
    MergedClassifier,
    TemperatureCalibrator,
    members_from_search,
    members_from_study,
    suggest_weights,
)

X, Y = make_classification(120, 5, n_informative=4, n_redundant=0, flip_y=0.2, random_state=0)
NAN = float("nan")


def make_trial(value, state="COMPLETE", **params):
    return SimpleNamespace(params=params, value=value, state=SimpleNamespace(name=state))


def make_study(*trials, directions=("MINIMIZE",)):
    return SimpleNamespace(
        trials=list(trials),
        best_trials=list(trials[:2]),
        directions=[SimpleNamespace(name=name) for name in directions],
    )


def make_model(trial):
    if trial.params["kind"] == "tree":
        return DecisionTreeClassifier(max_depth=trial.params["depth"])
    return make_pipeline(StandardScaler(), LogisticRegression(C=trial.params["C"])).fit(X, Y)


TRIALS = [
    make_trial(0.5, kind="tree", depth=1),
    make_trial(0.1, "FAIL", kind="tree", depth=7),
    make_trial(0.4, kind="linear", C=0.25),
    make_trial(0.2, "PRUNED", kind="tree", depth=8),
    make_trial(0.3, kind="tree", depth=2),
    make_trial(0.45, kind="tree", depth=2),
    make_trial(NAN, kind="tree", depth=5),
    make_trial(None, "RUNNING", kind="tree", depth=6),
]
EXPECTED = [
    "decisiontree kind=tree depth=2",
    "logisticregression kind=linear C=0.25",
    "decisiontree kind=tree depth=1",
]


@pytest.mark.parametrize("direction", ["MINIMIZE", "MAXIMIZE"])
def test_complete_trials_are_ordered_by_their_values(direction):
    members = members_from_study(make_study(*TRIALS, directions=[direction]), make_model, 3)
    names = [name for name, _ in members]
    if direction == "MINIMIZE":
        assert names == EXPECTED
    else:
        assert names == [EXPECTED[2], EXPECTED[0], EXPECTED[1]]
    merged = MergedClassifier(members, cv=2).fit(X, Y)  # no warning of models that are fitted
    assert merged.score(X, Y) > 0.6


def test_fewer_trials_than_asked_are_all_taken():
    study = make_study(*TRIALS)
    with pytest.warns(UserWarning, match="n_members=8, but study has 3 different.*n_members=3"):
        members = members_from_study(study, make_model)
    assert [name for name, _ in members] == EXPECTED
    with pytest.raises(ValueError, match="study has no candidate with a score"):
        members_from_study(make_study(TRIALS[1], TRIALS[6]), make_model)


def test_a_study_of_several_objectives_is_left_to_the_user():
    study = make_study(*TRIALS[:3:2], directions=["MINIMIZE", "MINIMIZE"])
    study.trials[0].number, study.trials[1].number = 0, 2
    with pytest.raises(ValueError, match=r"one objective.* it has 2") as error:
        members_from_study(study, make_model)
    remedy = str(error.value).partition("yourself: ")[2]
    members = eval(remedy, {"study": study, "make_estimator": make_model})
    assert [name for name, _ in members] == ["trial 0", "trial 2"]
    MergedClassifier([members[0], ("b", LogisticRegression())], cv=2).fit(X, Y)


@pytest.mark.parametrize("returned", [None, 0.5])
def test_an_objective_is_no_make_estimator(returned):
    with pytest.raises(TypeError, match=r"make_estimator should return .*return the estimator"):
        members_from_study(make_study(*TRIALS), lambda trial: returned)


def test_searches_and_studies_are_told_apart():
    search = GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2).fit(X, Y)
    with pytest.raises(TypeError, match=r"GridSearchCV: of a fitted search, use members_from_sea"):
        members_from_study(search, make_model)
    with pytest.raises(TypeError, match=r"use members_from_study\(study, make_estimator\)"):
        members_from_search(make_study(*TRIALS))


class OptunaSearch:
    """A stand-in for OptunaSearchCV, whose ``cv_results_`` is no table of parameters."""

    def __init__(self, estimator, study):
        self.estimator, self.study_ = estimator, study
        self.scoring, self.cv = None, 2

    @property
    def cv_results_(self):
        raise AssertionError


def test_a_search_of_optuna_has_a_study():
    trials = [make_trial(v, C=c) for v, c in ((0.2, 1.0), (0.9, 3.0), (NAN, 4.0), (0.7, 2.0))]
    study = make_study(*trials, make_trial(None, "FAIL", C=9), directions=["MAXIMIZE"])
    search = OptunaSearch(LogisticRegression(), study)
    found = members_from_search(search, 3)
    assert [name for name, _ in found] == [f"logisticregression C={c}" for c in (3, 2, 1)]
    assert len(members_from_search(search, 1, X=X, y=Y)) == 1


@pytest.fixture
def optuna():
    import optuna  # takes a second, which only these tests need

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield optuna
    optuna.logging.set_verbosity(before)


@pytest.fixture
def optuna_search(optuna):
    import optuna_integration as integration

    with warnings.catch_warnings():
        # experimental, older tags than scikit-learn's, and means of folds that all failed
        warnings.simplefilter("ignore")
        yield lambda *args, **settings: integration.OptunaSearchCV(
            *args, cv=2, scoring="neg_log_loss", random_state=0, **settings
        ).fit(X, Y)


@pytest.fixture(scope="module")
def frozen():
    models = {"bayes": GaussianNB().fit(X, Y), "logistic": LogisticRegression().fit(X, Y)}
    return [(name, FrozenEstimator(model)) for name, model in models.items()]


def test_a_real_study_of_weights(optuna, frozen):
    def make(trial):
        weights = suggest_weights(trial, ["bayes", "logistic"])
        return MergedClassifier(frozen, method="logits", weights=weights)

    def objective(trial):
        return cross_val_score(make(trial), X, Y, scoring="neg_log_loss", cv=2).mean()

    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=6)
    (name, best), _ = members_from_study(study, make, n_members=2)
    assert name.startswith("merged weight bayes=")
    found = cross_val_score(best, X, Y, scoring="neg_log_loss", cv=2).mean()
    assert found == pytest.approx(study.best_value)
    values = sorted((t.value for t in study.trials), reverse=True)
    assert values[0] == study.best_value


def test_a_real_search_of_optuna(optuna, optuna_search):
    space = {"C": optuna.distributions.FloatDistribution(1e-3, 10, log=True)}
    search = optuna_search(LogisticRegression(), space, n_trials=5)
    members = members_from_search(search, 3)
    assert search.best_params_["C"] == members[0][1].C
    tree = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1]}, scoring="neg_log_loss", cv=2)
    assert len(members_from_search([search, tree.fit(X, Y)], 6)) == 6
    assert MergedClassifier(members, cv=search.cv).fit(X, Y).weights_.sum() == pytest.approx(1)


def test_a_real_search_of_optuna_over_a_merge(optuna, optuna_search, frozen):
    choose = optuna.distributions.CategoricalDistribution
    space = {
        "method": choose(["auto", "logits", "probabilities"]),
        "weights": choose(["log_loss", "classwise", None]),
        "calibrate": choose([None, "members", "merged", "both"]),
    }
    search = optuna_search(MergedClassifier(frozen), space, n_trials=5)
    members = members_from_search(search, 2)
    assert all(np.isfinite(t.value) for t in search.trials_ if t.state.name == "COMPLETE")
    assert search.best_params_["method"] == members[0][1].method


def test_a_real_search_of_optuna_over_a_temperature(optuna, optuna_search, frozen):
    space = {"temperature": optuna.distributions.FloatDistribution(0.2, 5, log=True)}
    search = optuna_search(TemperatureCalibrator(frozen[0][1]), space, n_trials=4)
    assert 0.2 <= search.best_estimator_.temperature_ <= 5
