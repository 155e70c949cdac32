"""Models of folds that exist already: from_cv reads each on the rows that it did not see."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import (
    KFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier
from tests.folds import FOLDS, fitted_on_folds


def test_rows_that_some_member_never_held_out_are_left_out_for_all(blobs, fold_models):
    X, y = blobs.X, blobs.y
    later = list(TimeSeriesSplit(3).split(X))
    models = {
        "bayes": fitted_on_folds(X, y, later, [("bayes", GaussianNB())])["bayes"],
        "logistic": fold_models["logistic"],
    }
    folds = {"bayes": later, "logistic": list(FOLDS.split(X, y))}
    merged = MergedClassifier.from_cv(models, X, y, folds)
    n_never = len(y) - sum(len(test) for _, test in later)
    weight = np.r_[np.zeros(n_never), np.ones(len(y) - n_never)]
    same = MergedClassifier.from_cv(models, X, y, folds, weight)
    np.testing.assert_allclose(merged.weights_, same.weights_, rtol=1e-12)
    apart = {"bayes": later, "logistic": [(s[0], s[1][s[1] < n_never]) for s in folds["logistic"]]}
    with pytest.raises(ValueError, match="no row is held out by a model of every member"):
        MergedClassifier.from_cv(models, X, y, apart)


def test_masks_are_rows_and_a_generator_serves_all_members(blobs, splits, fold_models):
    everyone = np.arange(len(blobs.y))
    masks = [tuple(np.isin(everyone, part) for part in split) for split in splits]
    expected = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splits)
    for same in (masks, (split for split in splits), [list(split) for split in masks]):
        merged = MergedClassifier.from_cv(list(fold_models.items()), blobs.X, blobs.y, same)
        np.testing.assert_array_equal(merged.weights_, expected.weights_)
    unshuffled = {n: m[:2] for n, m in fold_models.items()}
    by_number = MergedClassifier.from_cv(unshuffled, blobs.X, blobs.y, 2)
    by_splitter = MergedClassifier.from_cv(unshuffled, blobs.X, blobs.y, StratifiedKFold(2))
    np.testing.assert_array_equal(by_number.weights_, by_splitter.weights_)


class Drifting(KFold):
    """A splitter of one's own, with rows of its own at each call."""

    def split(self, X, y=None, groups=None):
        self.calls = getattr(self, "calls", 0) + 1
        return KFold(self.n_splits, shuffle=True, random_state=self.calls).split(X)


@pytest.mark.parametrize(
    ("splitter", "does"),
    [
        (StratifiedKFold(3, shuffle=True), "shuffles"),  # also where two calls agree by chance
        (KFold(3, shuffle=True, random_state=np.random.RandomState(0)), "shuffles"),
        (ShuffleSplit(3), "shuffles"),
        (Drifting(3), "splits"),
    ],
)
def test_a_splitter_gives_the_same_rows_at_each_call(blobs, splits, fold_models, splitter, does):
    with pytest.raises(ValueError, match=f"{does} .* at each call: pass the splitter with"):
        MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splitter)
    MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, FOLDS)
    MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splits)


def test_repeated_folds_are_one_member_for_each_repeat(blobs):
    repeats = RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)
    folds = list(repeats.split(blobs.X, blobs.y))
    models = fitted_on_folds(blobs.X, blobs.y, folds, [("bayes", GaussianNB())])["bayes"]
    with pytest.raises(ValueError, match=r"200 rows.*'bayes'.*several members.*a dict by name"):
        MergedClassifier.from_cv({"bayes": models}, blobs.X, blobs.y, repeats)
    merged = MergedClassifier.from_cv(
        {"first": models[:2], "second": models[2:]},
        blobs.X,
        blobs.y,
        {"first": folds[:2], "second": folds[2:]},
    )
    assert merged.score(blobs.X_test, blobs.y_test) > 0.5


def wrong_splits(splits):
    (train, test), *others = splits
    return {
        r"'logistic' has 3 models, but splits has 2 pairs": splits[:2],
        r"'logistic', fold 1, has rows both in train and in test": [(test, test), *others],
        r"numbers of rows from 0 to 199": [(train, test + 1000), *others],
        r"'logistic', fold 2, should hold numbers of rows": [
            splits[0],
            (train, np.ones(7, dtype=bool)),
            splits[2],
        ],
        r"splits names \['logistic'\]; it should name the members": {"logistic": splits},
        r"splits should be a list of \(train, test\) rows": "folds",
        r"splits\['bayes'\] should be a list": {
            "logistic": splits,
            "trees": splits,
            "bayes": None,
        },
    }


@pytest.mark.parametrize("number", range(7))
def test_splits_that_do_not_belong_to_the_models(blobs, splits, fold_models, number):
    message, given = list(wrong_splits(splits).items())[number]
    with pytest.raises(ValueError, match=message):
        MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, given)


def test_fold_models_that_are_none(blobs, splits, fold_models):
    def of(models):
        return MergedClassifier.from_cv(models, blobs.X, blobs.y, splits)

    with pytest.raises(ValueError, match=r"fold_models\['bayes'\] should be a list"):
        of({"bayes": fold_models["bayes"][0]})
    with pytest.raises(ValueError, match="a dict of lists of fitted classifiers"):
        of(fold_models["bayes"])
    with pytest.raises(ValueError, match=r"'bayes, fold 2' is not fitted"):
        of({"bayes": [fold_models["bayes"][0], GaussianNB(), GaussianNB()]})
    unknown = np.r_[3, blobs.y[1:]]
    with pytest.raises(ValueError, match="know no others: drop these rows"):
        MergedClassifier.from_cv(fold_models, blobs.X, unknown, splits)
    weight = np.r_[0, np.ones(len(unknown) - 1)]
    MergedClassifier.from_cv(fold_models, blobs.X, unknown, splits, weight)


@pytest.mark.parametrize("method", ["auto", "logits"])
def test_models_trained_on_codes_get_their_labels(blobs, splits, fold_models, method):
    labels = np.array(["low", "mid", "top"])
    y = labels[blobs.y]
    with pytest.raises(ValueError, match=r"from_cv\(\.\.\., classes="):
        MergedClassifier.from_cv(fold_models, blobs.X, y, splits)
    named = MergedClassifier.from_cv(fold_models, blobs.X, y, splits, classes=labels, method=method)
    plain = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splits, method=method)
    np.testing.assert_array_equal(
        named.predict_proba(blobs.X_test), plain.predict_proba(blobs.X_test)
    )
    assert set(named.estimators_[0].predict(blobs.X_test)) == set(labels)
