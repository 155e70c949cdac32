"""Members as people write them: a dict, a list without names, a list of pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, compare_fit_orders, fit_orders

NAMES = ["logisticregression", "gaussiannb"]
FORMS = {
    "pairs": lambda members: list(zip(NAMES, members, strict=True)),
    "dict": lambda members: dict(zip(NAMES, members, strict=True)),
    "list": list,
    "tuple": tuple,
}
form = pytest.mark.parametrize("form", list(FORMS))


def made(form, **params):
    return MergedClassifier(
        FORMS[form]([LogisticRegression(), GaussianNB()]), method="logits", cv=2, **params
    )


@form
def test_each_form_is_the_same_merge_and_is_stored_as_it_came(blobs, form):
    merged = made(form)
    given = merged.estimators
    assert merged.get_params()["estimators"] is given
    merged.fit(blobs.X, blobs.y)
    assert merged.estimators is given
    assert type(clone(merged).estimators) is type(given)
    assert list(merged.named_estimators_) == list(merged.named_estimators) == NAMES
    expected = made("pairs").fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
    for model in (merged, pickle.loads(pickle.dumps(merged)), clone(merged).fit(blobs.X, blobs.y)):
        np.testing.assert_array_equal(model.predict_proba(blobs.X_test), expected)
    assert "LogisticRegression" in merged._repr_html_()


@form
def test_parameters_of_members_are_set_by_name(blobs, form):
    merged = made(form).set_params(logisticregression__C=3.0, weights=None)
    assert merged.get_params()["logisticregression__C"] == 3.0
    merged.set_params(gaussiannb=LogisticRegression(C=0.5))
    assert merged.get_params()["gaussiannb__C"] == 0.5
    assert list(merged.named_estimators) == NAMES
    assert merged.set_params(gaussiannb="drop").fit(blobs.X, blobs.y).weights_.tolist() == [1.0]
    other = {"one": GaussianNB()}
    merged.set_params(estimators=other, one__var_smoothing=1e-3)
    assert merged.estimators is other
    assert other["one"].var_smoothing == 1e-3
    grid = {"logisticregression__C": [0.1, 1.0], "gaussiannb": ["drop", GaussianNB()]}
    search = GridSearchCV(made(form), grid, cv=2).fit(blobs.X, blobs.y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_clones_of_a_dict_keep_what_is_frozen(blobs):
    frozen = FrozenEstimator(GaussianNB().fit(blobs.X, blobs.y))
    member = LogisticRegression(C=2)
    merged = MergedClassifier({"bayes": frozen, "line": member}, cv=2)
    copy = clone(merged)
    assert copy.estimators["bayes"] is frozen
    assert copy.estimators["line"] is not member
    assert copy.estimators["line"].C == 2


def test_members_of_one_class_are_numbered():
    merged = MergedClassifier([GaussianNB(), GaussianNB(var_smoothing=0.1)])
    assert list(merged.named_estimators) == ["gaussiannb-1", "gaussiannb-2"]
    assert merged.get_params()["gaussiannb-2__var_smoothing"] == 0.1


@pytest.mark.parametrize(
    "estimators", [[], {}, [("a", GaussianNB()), GaussianNB()], [GaussianNB(), "drop"], {1: "drop"}]
)
def test_what_is_none_of_the_forms(blobs, estimators):
    merged = MergedClassifier(estimators)
    assert merged.get_params()["estimators"] is estimators
    with pytest.raises(ValueError, match="estimators should be"):
        merged.fit(blobs.X, blobs.y)


@pytest.mark.parametrize("form", ["dict", "list"])
def test_orders_take_them_too(blobs, form):
    members = FORMS[form]([LogisticRegression(), GaussianNB()])
    assert list(fit_orders(members)["merge"].named_estimators) == NAMES
    table = compare_fit_orders(members, blobs.X, blobs.y, cv=2, orders=["merge"], method="logits")
    assert len(table) >= 1
