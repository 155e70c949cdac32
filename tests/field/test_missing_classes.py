"""Sites with unlike classes: what missing_classes= makes of classes that members do not know."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError

LETTERS = np.array(["a", "b", "c"])
METHODS = ["auto", "logits", "probabilities"]


def site(blobs, only, kind=LogisticRegression, **params):
    """A model of a site that has rows of some classes."""
    rows = np.isin(blobs.y, only)
    return kind(**params).fit(blobs.X[rows], LETTERS[blobs.y[rows]])


@pytest.fixture(scope="module")
def sites(blobs):
    return {
        "ab": site(blobs, (0, 1)),
        "bc": site(blobs, (1, 2), DecisionTreeClassifier, max_depth=4, random_state=0),
        "abc": site(blobs, (0, 1, 2), GaussianNB),
    }


def held(blobs):
    return blobs.X_held, LETTERS[blobs.y_held]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("weights", "calibrate"),
    [("log_loss", None), ("log_loss", "both"), ("greedy", None), ([0.2, 0.3, 0.5], "merged")],
)
def test_sites_are_merged_by_every_pool(blobs, sites, method, weights, calibrate):
    how = {"method": method, "weights": weights, "calibrate": calibrate}
    merged = MergedClassifier.from_fitted(sites, *held(blobs), missing_classes="soften", **how)
    assert merged.classes_.tolist() == ["a", "b", "c"]
    p = merged.predict_proba(blobs.X_test)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p > 0).all()
    for copy in (pickle.loads(pickle.dumps(merged)), clone(merged).fit(*held(blobs))):
        np.testing.assert_array_equal(copy.predict_proba(blobs.X_test), p)
    assert "loss_estimate" in merged.member_report(*held(blobs))


@pytest.mark.parametrize("method", ["logits", "probabilities"])
@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("kind", [LogisticRegression, GaussianNB, KNeighborsClassifier])
def test_the_unknown_class_gets_its_share_and_the_rest_is_scaled(blobs, method, rows, kind):
    member = site(blobs, (0, 2), kind)
    other = site(blobs, (0, 1, 2))
    data, softening = (held(blobs), 1 / 201) if rows else ((), 1e-4)
    merged = MergedClassifier.from_fitted(
        [member, other], *data, method=method, weights=[1, 0], missing_classes="soften"
    )
    p = merged.predict_proba(blobs.X_test)
    share = softening / 3
    np.testing.assert_allclose(p[:, 1], share, rtol=1e-9)
    own = member.predict_proba(blobs.X_test)
    if method == "probabilities" or kind is not KNeighborsClassifier:  # its zeros are softened
        np.testing.assert_allclose(p[:, [0, 2]], own * (1 - share), rtol=1e-9)
    # Frequency weights count as rows.
    if rows:
        merged.fit(*held(blobs), np.full(200, 2.0))
        np.testing.assert_allclose(merged.predict_proba(blobs.X_test)[:, 1], 1 / 401 / 3)


def test_the_linear_pool_is_finite_where_zeros_were_infinite_losses(blobs):
    members = {"ab": site(blobs, (0, 1)), "bc": site(blobs, (1, 2))}
    X, y = held(blobs)
    with_zeros = MergedClassifier.from_fitted(members, X, y, method="probabilities", weights=[1, 0])
    soft = MergedClassifier.from_fitted(
        members, X, y, method="probabilities", weights=[1, 0], missing_classes="soften"
    )
    assert (with_zeros.predict_proba(X)[:, 2] == 0).all()
    assert np.isfinite(soft.predict_log_proba(X)).all()


@pytest.mark.parametrize("method", [*METHODS, "parameters"])
@pytest.mark.parametrize("rows", [True, False])
def test_an_error_names_remedies_that_work(blobs, method, rows):
    members = {"ab": site(blobs, (0, 1)), "abc": site(blobs, (0, 1, 2))}
    data, how = (held(blobs), {}) if rows else ((), {"weights": None})
    how["method"] = method
    match = r"'ab' never saw the classes \['c'\].*leave it out.*missing_classes='soften'.*than 'par"
    with pytest.raises(ValueError, match=match):
        MergedClassifier.from_fitted(members, *data, missing_classes="error", **how)
    if method == "parameters" and rows:
        with pytest.raises(IncompatibleEstimatorsError, match="Use method='probabilities'"):
            MergedClassifier.from_fitted(members, *data, missing_classes="soften", **how)
    other = {"method": "logits"} if method == "parameters" else {}
    MergedClassifier.from_fitted(members, *data, missing_classes="soften", **{**how, **other})
    if method != "parameters":
        del members["ab"]
        MergedClassifier.from_fitted(members, *data, missing_classes="error", **how)


@pytest.mark.parametrize("method", ["auto", "logits"])
def test_auto_names_softening_too(blobs, sites, method):
    with pytest.raises(ValueError, match="or missing_classes='soften', where it gives each"):
        MergedClassifier.from_fitted(sites, *held(blobs), method=method)


def test_names_that_may_be_mistaken_are_asked_about(blobs):
    upper = np.array(["A", "B", "c"])
    members = {"one": site(blobs, (0, 1, 2)), "two": GaussianNB().fit(blobs.X, upper[blobs.y])}
    for method in METHODS[1:]:
        with pytest.warns(UserWarning, match="'two' has the classes .*are these the same"):
            MergedClassifier.from_fitted(
                members, *held(blobs), method=method, missing_classes="soften"
            )


def rare(blobs):
    """Rows of a class that stand in one fold, all of them."""
    y = np.where(blobs.y == 2, 1, blobs.y)
    y[:3] = 2
    folds = [(np.setdiff1d(np.arange(200), t), t) for t in np.array_split(np.arange(200), 2)]
    return blobs.X, LETTERS[y], folds


OWN = [
    ("line", LogisticRegression()),
    ("tree", DecisionTreeClassifier(max_depth=4, random_state=0)),
]


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_fold_without_a_class(blobs, method, refit):
    X, y, folds = rare(blobs)
    merged = MergedClassifier(OWN, method=method, cv=folds, refit=refit)
    with pytest.raises(ValueError, match=r"rows miss classes: {'line': \['c'\].*'error'"):
        clone(merged).set_params(missing_classes="error").fit(X, y)
    with pytest.warns(UserWarning, match="rows miss classes"):
        warned = clone(merged).fit(X, y)
    soft = clone(merged).set_params(missing_classes="soften").fit(X, y)  # says nothing
    if refit:  # the final members know all classes
        np.testing.assert_allclose(
            soft.predict_proba(X), warned.predict_proba(X), atol=0.05 if method != "auto" else 0.2
        )
    else:
        own = soft.estimators_[1]
        share = 1 / 201 / 3
        first = own.estimators[0]
        assert "c" not in first.classes_
        assert own.missing_share == pytest.approx(share)
        assert (own.predict_proba(X)[:, 2] > 0).all()
    p = soft.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(soft)).predict_proba(X), p)
    # The other remedy: folds that all have the class.
    other = clone(merged).set_params(missing_classes="error", cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.fit(X, y)


@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_held_out_rows_of_a_fold_get_the_same_share(blobs, method):
    X, y, folds = rare(blobs)
    member = [("line", LogisticRegression())]
    how = {"method": method, "weights": None, "cv": folds, "missing_classes": "soften"}
    log_proba = MergedClassifier(member, **how).fit_held_out(X, y).log_proba
    first = folds[0][1]
    np.testing.assert_allclose(np.exp(log_proba[first, 2]), 1 / 201 / 3)
    own = LogisticRegression().fit(X[folds[0][0]], y[folds[0][0]]).predict_proba(X[first])
    np.testing.assert_allclose(np.exp(log_proba[first, :2]), own * (1 - 1 / 201 / 3))


def test_models_of_folds_that_exist(blobs):
    X, y, folds = rare(blobs)
    models = {"line": [LogisticRegression().fit(X[train], y[train]) for train, _ in folds]}
    for method in METHODS:
        how = {"method": method}
        with pytest.raises(ValueError, match=re.escape("miss classes: {'line': ['c']}")):
            MergedClassifier.from_cv(models, X, y, folds, missing_classes="error", **how)
        soft = MergedClassifier.from_cv(models, X, y, folds, missing_classes="soften", **how)
        assert (soft.predict_proba(X) > 0).all()


def test_members_of_both_kinds_in_a_search_with_memory(blobs, tmp_path):
    """A frozen site without a class, and one that is fitted here."""
    members = [("ab", FrozenEstimator(site(blobs, (0, 1)))), ("own", GaussianNB())]
    merged = MergedClassifier(members, cv=2, memory=str(tmp_path), method="probabilities")
    grid = {"missing_classes": ["auto", "soften"], "method": ["probabilities"]}
    X, y = held(blobs)
    GridSearchCV(merged, grid, cv=2).fit(X, y)
    for how in ("auto", "soften"):
        plain = clone(merged).set_params(memory=None, missing_classes=how).fit(X, y)
        kept = clone(merged).set_params(missing_classes=how).fit(X, y)
        np.testing.assert_array_equal(plain.predict_proba(X), kept.predict_proba(X))
    assert (plain.predict_proba(X)[:, 2] > 0).all()


def test_no_plain_estimator_gives_these_probabilities(blobs):
    members = [site(blobs, (0, 1)), site(blobs, (0, 1, 2))]
    for method in ("logits", "probabilities"):
        merged = MergedClassifier.from_fitted(
            members, *held(blobs), method=method, weights=None, missing_classes="soften"
        )
        with pytest.raises(IncompatibleEstimatorsError, match="missing_classes='soften'"):
            merged.to_estimator()


def test_a_name_that_there_is_not(blobs):
    with pytest.raises(ValueError, match="missing_classes"):
        MergedClassifier(OWN, missing_classes="drop").fit(blobs.X, blobs.y)
