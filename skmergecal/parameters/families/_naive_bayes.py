"""Naive Bayes of counts: logits are linear in the natural parameters, as for linear models."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB

from skmergecal._typing import Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._parameters import (
    FirstLayer,
    Parameters,
    describe_features,
    set_features,
)
from skmergecal.parameters._registry import read_parameters, write_parameters


def _architecture(estimator: Estimator, **settings: object) -> dict[str, object]:
    return {
        "type": type(estimator).__name__,
        "classes": tuple(estimator.classes_.tolist()),
        **describe_features(estimator),
        **settings,
    }


def _blank(like: Estimator, parameters: Parameters) -> Estimator:
    """A clone with classes and features only: the counts of a member do not fit the merge."""
    merged = clone(like)
    merged.classes_ = like.classes_.copy()
    set_features(merged, parameters)
    return merged


def _read_multinomial(estimator: MultinomialNB) -> Parameters:
    names = ("feature_log_prob_", "class_log_prior_")
    return Parameters(
        arrays={name: getattr(estimator, name) for name in names},
        architecture=_architecture(estimator),
        first=FirstLayer(*names, feature_axis=1),
        output=names,
    )


def _write_multinomial(like: MultinomialNB, parameters: Parameters) -> Estimator:
    merged = _blank(like, parameters)
    merged.feature_log_prob_ = parameters.arrays["feature_log_prob_"].copy()
    merged.class_log_prior_ = parameters.arrays["class_log_prior_"].copy()
    return merged


def _read_complement(estimator: ComplementNB) -> Parameters:
    # ComplementNB uses the class prior only if there is a single class.
    return Parameters(
        arrays={"feature_log_prob_": estimator.feature_log_prob_},
        architecture=_architecture(estimator),
        output=("feature_log_prob_",),
    )


def _write_complement(like: ComplementNB, parameters: Parameters) -> Estimator:
    merged = _blank(like, parameters)
    merged.feature_log_prob_ = parameters.arrays["feature_log_prob_"].copy()
    merged.class_log_prior_ = like.class_log_prior_.copy()
    return merged


def _read_bernoulli(estimator: BernoulliNB) -> Parameters:
    """Log-odds of each feature, and the joint log-likelihood of a row of zeros."""
    present = estimator.feature_log_prob_
    absent = np.log(-np.expm1(present))
    return Parameters(
        arrays={
            "log_odds": present - absent,
            "class_log_joint": estimator.class_log_prior_ + absent.sum(axis=1),
        },
        architecture=_architecture(estimator, binarize=estimator.binarize),
        output=("log_odds", "class_log_joint"),
    )


def _write_bernoulli(like: BernoulliNB, parameters: Parameters) -> Estimator:
    merged = _blank(like, parameters)
    log_odds = parameters.arrays["log_odds"]
    merged.feature_log_prob_ = -np.logaddexp(0.0, -log_odds)
    if (np.exp(merged.feature_log_prob_) == 1).any():
        msg = (
            f"BernoulliNB cannot hold log-odds of {log_odds.max():.3g} of a feature: above 36.7 "
            "the probabilities whose logarithms feature_log_prob_ has round to 1. A temperature "
            "below 1 has made them so large"
        )
        remedy = "use calibrate='merged', or method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    absent = -np.logaddexp(0.0, log_odds)
    # Log-probabilities up to a constant, which cancels when they are normalised.
    merged.class_log_prior_ = parameters.arrays["class_log_joint"] - absent.sum(axis=1)
    return merged


for _family, _read, _write in (
    (MultinomialNB, _read_multinomial, _write_multinomial),
    (ComplementNB, _read_complement, _write_complement),
    (BernoulliNB, _read_bernoulli, _write_bernoulli),
):
    read_parameters.register(_family, _read)
    write_parameters.register(_family, _write)
