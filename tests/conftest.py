"""Data and fitted members that many tests share; one thread for torch."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from itertools import product
from random import Random

import numpy as np
import pytest
from _pytest.doctest import DoctestModule
from _pytest.mark.expression import Expression
from hypothesis import settings
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.folds import FOLDS, fitted_on_folds

# The same examples in every run; machines are noisy, so that no example is timed.
settings.register_profile("default", max_examples=30, derandomize=True, deadline=None)
settings.register_profile("few", settings.get_profile("default"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


#: What CI runs without coverage beside the sweeps of hypothesis: extremes, simulations, layouts of
#: pictures, wrong parameters of every function, scikit-learn's own checks and tests, and what goes
#: through many parts at once: pages (``.rst``), snippets, searches, identities of merging; and what
#: reads files instead of running them.
THOROUGH = {
    "test_structure.py",
    "test_documentation.py",
    "test_readme.py",
    "test_faq.py",
    "test_packaging.py",
    "test_search.py",
    "test_extremes.py",
    "test_risk_coverage.py",
    "test_displays.py",
    "test_common.py",
    "test_sklearn_suites.py",
    "test_wrong_parameters.py",
    "test_wrong_parameters_of_methods.py",
}


#: What old versions cannot change, or need not repeat: texts, and code on pages whose calls are
#: tested one by one; what an import loads; files of arrays; the source code of members; how often
#: members are asked, and what is remembered; processor time; wrong parameters, of which those of
#: methods are tried on all versions; remedies of messages; arithmetic on what members say, and on
#: parameters of nets (torch has one version). Other tests make the same calls of other packages.
#: Simulations of arithmetic are marked where they are.
ONCE = {
    "test_documentation.py",
    "test_readme.py",
    "test_faq.py",
    "test_packaging.py",
    "test_structure.py",
    "test_import.py",
    "test_code.py",
    "test_growth.py",
    "test_extreme_weights.py",
    "test_no_work_twice.py",
    "test_rows_seen_in_training.py",
    "test_slow_teachers.py",
    "test_wrong_parameters.py",
    "checkpoints/test_merge.py",
    "test_conformance.py",
    "_memory/test_recent.py",
    "test_memory_of_loaded_models.py",
    "test_memory_reads_rows_once.py",
    "test_memory_sees_changes.py",
    "test_shared_output_buffers.py",
    "test_remedies_for_*.py",
    "test_clipped_probabilities.py",
    "test_rounded_probabilities.py",
    "test_architectures.py",
    "calibration/test_penalty.py",
    "merging/test_distil_members.py",
    "merging/test_identities.py",
    "merging/test_loss_estimate.py",
    "merging/test_member_report.py",
    "merging/test_one_model.py",
    "merging/test_stand_alone.py",
    "averages/test_task_vectors.py",
    "fronts/test_front.py",
    "field/test_threads.py",
    "field/test_own_nets.py",
}


#: The marks of pyproject.toml.
MARKS = ("thorough", "once", "gallery", "cheap")
#: Folders of arithmetic on arrays. Old versions run each function there in the other tests, which
#: is enough to see that a function of NumPy or SciPy is missing or means something else.
ARITHMETIC = {"_networks", "_partitions", "_temperature", "monitoring", "pooling"}
#: Folders of public functions on arrays: of these, the thorough tests.
FUNCTIONS = {"metrics"}


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Leave doctest out here: it would read every object of each file of tests for examples."""
    return [found for found in (yield) if not isinstance(found, DoctestModule)]


def pytest_ignore_collect(collection_path, config):
    """Do not import files, all tests of which would be left out by their marks."""
    if collection_path.suffix != ".py" or not config.option.markexpr:
        return None
    thorough, once = marks_of_file(collection_path)
    known = {"once": True} if once else {}
    if thorough or not has_a_sweep(collection_path):
        known["thorough"] = thorough
    return None if can_be_chosen(config.option.markexpr, known) else True


def can_be_chosen(marks, known):
    """Whether an expression holds for some tests, of which some marks are known."""
    expression = Expression.compile(marks)
    others = [name for name in MARKS if name not in known]
    for values in product([True, False], repeat=len(others)):
        of_test = {**dict(zip(others, values, strict=True)), **known}
        if expression.evaluate(lambda name, of_test=of_test, **_: of_test.get(name, True)):
            return True
        if expression.evaluate(lambda name, of_test=of_test, **_: of_test.get(name, False)):
            return True
    return False


def has_a_sweep(path):
    """Whether a file names hypothesis or the mark of thorough tests."""
    text = path.read_text(encoding="utf-8")
    return "hypothesis" in text or "thorough" in text


@cache
def marks_of_file(path):
    """Whether all tests of a file are thorough, and whether all run once."""
    page = path.suffix == ".rst"
    thorough = page or path.name in THOROUGH or path.match("merging/test_identities.py")
    arithmetic = path.parent.name in ARITHMETIC and path.name.startswith("test_")
    return thorough, page or arithmetic or any(path.match(name) for name in ONCE)


def pytest_collection_modifyitems(config, items):
    """Mark the thorough tests; keep some cases of each test where the profile has few examples."""
    cases = defaultdict(list)
    for item in items:
        sweep = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        thorough, once = marks_of_file(item.path)
        thorough = thorough or sweep
        if thorough:
            item.add_marker(pytest.mark.thorough)
        if once or (thorough and item.path.parent.name in FUNCTIONS):
            item.add_marker(pytest.mark.once)
        if hasattr(item, "callspec") and item.originalname != "test_scikit_learn_checks":
            cases[item.path, item.cls, item.originalname].append(item)
    if settings().max_examples < settings.get_profile("default").max_examples:
        left_out = {item for of_one_test in cases.values() for item in beyond_few(of_one_test)}
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def beyond_few(cases):
    """All cases of a test but some that are varied: about the square root of their number.

    They are drawn at random, with the test's name for a seed, so that tests over the same kinds
    draw different ones. Of a product of parameters each value of each parameter is kept.
    """
    order = Random(cases[0].originalname).sample(cases, len(cases))
    together = defaultdict(list)  # names that are given together have the same indices
    for name in cases[0].callspec.params:
        together[tuple(case.callspec.indices[name] for case in order)].append(name)
    if len(together) == 1:
        return order[max(2, round(len(order) ** 0.5)) :]
    left_out, seen = [], set()
    for case in order:
        params = case.callspec.params
        values = {(*names, *(id(params[name]) for name in names)) for names in together.values()}
        if values <= seen:
            left_out.append(case)
        seen |= values
    return left_out


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread():
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Problem:
    """A classification problem in three parts: for members, for merging, for scoring."""

    def __init__(self, X, y, seed=0):
        order = np.random.default_rng(seed).permutation(len(y))
        parts = np.array_split(order, 3)
        (self.X, self.y), (self.X_held, self.y_held), (self.X_test, self.y_test) = (
            (X[p], y[p]) for p in parts
        )


@pytest.fixture(scope="session")
def blobs():
    """Three overlapping classes, so that optimal temperatures are finite."""
    X, y = make_classification(
        600, 8, n_informative=5, n_classes=3, class_sep=0.8, flip_y=0.15, random_state=3
    )
    return Problem(X, y)


@pytest.fixture(scope="session")
def binary():
    X, y = make_classification(600, 6, n_informative=4, flip_y=0.2, random_state=5)
    return Problem(X, y)


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return Problem(X / 16, y)


@pytest.fixture(scope="session")
def cancer():
    return Problem(*load_breast_cancer(return_X_y=True))


def make_members(X, y, n_features=None):
    """Fitted members of five families."""
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y),
        "lda": LinearDiscriminantAnalysis().fit(X, y),
        "bayes": GaussianNB().fit(X, y),
        "forest": RandomForestClassifier(20, random_state=0).fit(X, y),
        "mlp": MLPClassifier((16,), alpha=1.0, max_iter=2000, random_state=0).fit(X, y),
    }


@pytest.fixture(scope="session")
def members(blobs):
    return make_members(blobs.X, blobs.y)


@pytest.fixture(scope="session")
def binary_members(binary):
    return make_members(binary.X, binary.y)


@pytest.fixture(scope="session")
def splits(blobs):
    """Folds of a cross-validation that is over."""
    return list(FOLDS.split(blobs.X, blobs.y))


@pytest.fixture(scope="session")
def fold_models(blobs, splits):
    """The models that were fitted on them."""
    return fitted_on_folds(blobs.X, blobs.y, splits)
