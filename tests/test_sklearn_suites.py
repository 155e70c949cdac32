"""scikit-learn's own tests of soft voting and of metadata routing, run on this package.

Its wheel ships them. Thin adapters give our estimators the signatures that the tests use; what
differs on purpose is listed with the reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import pytest
import sklearn.ensemble

from skmergecal import MergedClassifier, TemperatureCalibrator

for _suite in ("sklearn.ensemble.tests.test_voting", "sklearn.tests.metadata_routing_common"):
    pytest.importorskip(_suite, reason="this scikit-learn comes without its tests")


class SoftVote(MergedClassifier):
    """The linear pool with given weights, under the signature of VotingClassifier."""

    def __init__(
        self,
        estimators,
        *,
        voting="soft",
        weights=None,
        n_jobs=None,
        flatten_transform=True,
        verbose=False,
    ):
        super().__init__(estimators, method="probabilities", weights=weights, n_jobs=n_jobs)
        self.voting = voting
        self.flatten_transform = flatten_transform
        self.verbose = verbose


class OfOne(MergedClassifier):
    """A merge of one member, under the signature of a meta-estimator of one estimator."""

    def __init__(self, estimator=None, *, cv=5):
        super().__init__([("estimator", estimator)], method="probabilities", cv=cv)
        self.estimator = estimator

    def _validate_names(self, names):
        """The member has the name of the parameter that it is."""


def load(name, **replaced):
    """A copy of a module of tests, imported while names of scikit-learn stand for ours."""
    found = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(found)
    before = {key: getattr(sklearn.ensemble, key) for key in replaced}
    try:
        for key, value in replaced.items():
            setattr(sklearn.ensemble, key, value)
        found.loader.exec_module(module)
    finally:
        for key, value in before.items():
            setattr(sklearn.ensemble, key, value)
    return module


SoftVote.__name__ = "VotingClassifier"  # some messages are compared
VOTING = load("sklearn.ensemble.tests.test_voting", VotingClassifier=SoftVote)
ROUTING = load("sklearn.tests.test_metaestimators_metadata_routing")


def _gives_a_column_per_class():
    """Whether the classifiers of the suites do; those of old versions give two for any classes."""
    consumer = ROUTING.ConsumingClassifier().fit(ROUTING.X, ROUTING.y)
    return consumer.predict_proba(ROUTING.X).shape[1] == len(consumer.classes_)


needs_consistent_classifiers = pytest.mark.skipif(
    not _gives_a_column_per_class(), reason="its classifiers give two columns for three classes"
)

#: Tests of voting that fail here, and why they should.
DIFFERENCES = {
    "test_voting_classifier_estimator_init": "errors name the parameter in words of our own",
    "test_predictproba_hardvoting": "votes are soft: there is no voting='hard'",
    "test_predict_proba_on_toy_problem": "votes are soft: there is no voting='hard'",
    "test_multilabel": "multilabel targets are refused, with the remedy",
    "test_sample_weight": "a member that takes no weights is fitted without, with a warning",
    "test_sample_weight_kwargs": "its member has no classes_, by which columns are aligned",
    "test_set_estimator_drop": "transform gives the pool's log-probabilities, see test_transform",
    "test_transform": "transform gives the pool's log-probabilities, not the members' columns",
    "test_voting_verbose": "progress is told to callbacks, there is no verbose=",
    "test_get_features_names_out_classifier": "transform has one column per class of the pool",
    "test_get_features_names_out_classifier_error": "there is no flatten_transform=False",
    "test_routing_passed_metadata_not_supported": "it passes a text for the list of estimators",
}
#: It starts processes for many seconds; tests/test_contract.py runs members in parallel.
SLOW = {"test_parallel_fit"}
#: The same as DIFFERENCES for metadata routing.
ROUTING_DIFFERENCES = {
    "test_metadata_routed_to_sub_estimator_in_pipeline": (
        "our estimators take sample_weight themselves, and it does not let them request it"
    ),
}


@pytest.fixture
def global_random_seed():
    return 0


def _adapted(name, test):
    """A test of scikit-learn; parameters and fixtures are found through its signature."""
    marks = [pytest.mark.filterwarnings("ignore::skmergecal.exceptions.RefitWarning")]
    if name == "test_metadata_routing_for_voting_estimators":
        marks.append(needs_consistent_classifiers)
    if name in DIFFERENCES:
        marks.append(pytest.mark.xfail(reason=DIFFERENCES[name], strict=False))
    for mark in marks:
        test = mark(test)
    return test


for _name, _test in vars(VOTING).items():
    if _name.startswith("test_") and "regressor" not in _name and _name not in SLOW:
        globals()[f"test_vote_{_name.removeprefix('test_')}"] = _adapted(_name, _test)

_ROW = {
    "estimator_name": "estimator",
    "estimator": "classifier",
    "X": ROUTING.X,
    "y": ROUTING.y,
    "estimator_routing_methods": ["fit"],
    "preserves_metadata": "subset",  # members are cross-fitted
    "cv_name": "cv",
    "cv_routing_methods": ["fit"],
}
ROWS = [{"metaestimator": kind, **_ROW} for kind in (TemperatureCalibrator, OfOne)]


NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.xfail(reason=ROUTING_DIFFERENCES[name])
        if name in ROUTING_DIFFERENCES
        else (),
    )
    for name, test in vars(ROUTING).items()
    if name.startswith("test_") and "metaestimator" in inspect.signature(test).parameters
]


# Its classifiers give random probabilities, without information.
@needs_consistent_classifiers
@pytest.mark.filterwarnings("ignore:.*no finite temperature")
@pytest.mark.parametrize("row", ROWS, ids=["calibrator", "merge"])
@pytest.mark.parametrize("name", NAMES)
def test_routing(name, row):
    getattr(ROUTING, name)(row)
