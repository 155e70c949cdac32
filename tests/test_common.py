"""scikit-learn's common checks, with unfitted members."""

from __future__ import annotations

from functools import cache

import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.calibration import ClassShift

OUT_OF_FOLD = "fit_transform gives out-of-fold values on purpose: test_fit_transform_is_out_of_fold"


def merged(*members, **params):
    names = ("weak", "strong")
    return MergedClassifier(list(zip(names, members, strict=True)), cv=2, **params)


# A few steps: members need not be good.
WEAK = LogisticRegression(C=0.1, max_iter=20, tol=0.01)
STRONG = LogisticRegression(max_iter=20, tol=0.01)
QUICK = BernoulliNB()  # takes sparse rows and weights, too, and is fitted three times as fast
CHECKED = [
    merged(QUICK, STRONG),
    merged(QUICK, STRONG, method="probabilities"),
    merged(QUICK, STRONG, refit=False),
    merged(WEAK, STRONG, method="parameters"),
    merged(QUICK, STRONG, weights="greedy", calibrate="both"),
    TemperatureCalibrator(QUICK, cv=2),
    ClassShift(QUICK, cv=2),
    FineTunedClassifier(GaussianNB(), epochs=1, cv=2, random_state=0),
    DistilledClassifier(QUICK, BernoulliNB(binarize=1.0), label_share=0.5, cv=2),
    DistilledClassifier(GaussianNB(), DecisionTreeClassifier(random_state=0), cv=2),
    FineTunedClassifier(SGDClassifier(loss="log_loss", random_state=0), cv=2, random_state=0),
    FineTunedClassifier(
        MLPClassifier((8,), solver="lbfgs", max_iter=20, random_state=0),
        epochs=2,
        cv=2,
        random_state=0,
    ),
]
# Old versions check one of each class: the others take the same way to the rows.
FIRST = {type(estimator): estimator for estimator in reversed(CHECKED)}
BATCHES = "steps on batches: scikit-learn declares the same of SGDClassifier and MLPClassifier"


def expected_failures(estimator):
    failing = {
        "check_transformer_general": OUT_OF_FOLD,
        "check_transformer_data_not_an_array": OUT_OF_FOLD,
    }
    if isinstance(getattr(estimator, "estimator", None), SGDClassifier | MLPClassifier):
        failing["check_sample_weight_equivalence_on_dense_data"] = BATCHES
        failing["check_sample_weight_equivalence_on_sparse_data"] = BATCHES
    return failing


CHECKS = parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures).mark
# scikit-learn writes an estimator out for each of its checks; here each comes in some seventy.
NAMES = {**CHECKS.kwargs, "ids": cache(CHECKS.kwargs["ids"])}


def marked(case):
    """A case of scikit-learn, once if it is not of the first estimator of its class."""
    (estimator, check), marks = getattr(case, "values", case), list(getattr(case, "marks", ()))
    if estimator is not FIRST[type(estimator)]:
        marks.append(pytest.mark.once)
    return pytest.param(estimator, check, marks=marks)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.filterwarnings("ignore:.*MLPClassifier. does not take sample_weight:UserWarning")
@pytest.mark.parametrize(CHECKS.args[0], [*map(marked, CHECKS.args[1])], **NAMES)
def test_scikit_learn_checks(estimator, check, request):
    expected = request.node.get_closest_marker("xfail")
    try:
        check(estimator)
    except Exception as error:
        if expected is None:
            raise
        # pytest formats this traceback, too, and parses all of scikit-learn's checks to do so
        raise error.with_traceback(None) from None
