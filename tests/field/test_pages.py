"""What the first pages say of the package is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from tests.nets import net
from tests.stand_ins import Opaque

ROOT = Path(__file__).parents[2]
X, Y = make_classification(300, 8, n_informative=6, n_classes=3, random_state=0)
X = np.abs(X).astype(np.float32)  # naive Bayes of counts needs X >= 0
FEW = {"n_estimators": 3, "max_iter": 30, "hidden_layer_sizes": (4,), "tol": 1.0, "random_state": 0}


def table_of_plain_estimators():
    """For each class in the guide's table, the methods for which it promises a plain estimator."""
    page = (ROOT / "docs" / "guide" / "parameters.rst").read_text(encoding="utf-8")
    table = page[page.index("   * - members\n") : page.index("``SGDClassifier(loss=")]
    rows = [re.split(r"\n     - ", row) for row in table.split("   * - ")[1:]]
    methods = [cell.strip().strip('`"') for cell in rows[0][1:]]
    found = {}
    for members, *cells in rows[1:]:
        names = re.findall(r"``(\w+)``", members)
        names += ["Opaque"] if "LightGBM" in members else []
        yes = [{"yes": True, "no": False}[cell.strip()] for cell in cells]
        found |= {name: dict(zip(methods, yes, strict=True)) for name in names}
    return found


PROMISED = table_of_plain_estimators()


def member(name):
    if name == "NeuralNetClassifier":
        return net(max_epochs=1)
    if name == "Opaque":
        return Opaque()
    cls = dict(all_estimators("classifier"))[name]
    return cls(**{key: value for key, value in FEW.items() if key in cls().get_params()})


def test_the_table_has_each_method():
    for method in ("logits", "probabilities", "parameters"):
        assert {row[method] for row in PROMISED.values()} == {True, False}


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skmergecal.exceptions.MergeBarrierWarning",
)
@pytest.mark.parametrize("name", PROMISED)
def test_a_plain_estimator_comes_where_the_guide_promises_one(name):
    halves = [member(name).fit(X[i:200:2], Y[i:200:2]) for i in range(2)]

    def plain(method):
        settings = {"alignment": None, "repair": None} if method == "parameters" else {}
        weights = "log_loss" if method == "auto" else None
        merged = MergedClassifier.from_fitted(
            halves, X[200:], Y[200:], method=method, weights=weights, **settings
        )
        return merged, merged.to_estimator(X)

    for method, promised in (PROMISED[name] | {"auto": False}).items():
        if promised:
            merged, one = plain(method)
            assert type(one) is type(halves[0])
            np.testing.assert_allclose(one.predict_proba(X), merged.predict_proba(X), atol=1e-5)
        else:
            with pytest.raises(IncompatibleEstimatorsError):
                plain(method)


def test_only_frozen_members_stay_as_they_are():
    page = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    assert "FrozenEstimator" in page
    fitted = LogisticRegression().fit(X[:50], Y[:50])
    coefficients = fitted.coef_.copy()
    merged = MergedClassifier([("a", FrozenEstimator(fitted))]).fit(X[50:], Y[50:])
    assert merged.estimators_[0].estimator is fitted
    with pytest.warns(UserWarning, match="FrozenEstimator"):
        merged = MergedClassifier([("a", fitted)]).fit(X, Y)
    assert not np.array_equal(merged.estimators_[0].coef_, coefficients)
    np.testing.assert_array_equal(fitted.coef_, coefficients)


def test_the_first_command_needs_scikit_learn_and_matplotlib_only():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r'pip install "\.\[plot\]" && python (\S+)', readme)
    imports = re.findall(r"^ *(?:from|import) (\w+)", (ROOT / script).read_text(), re.M)
    known = {"matplotlib", "numpy", "sklearn", "skmergecal"}
    assert set(imports) <= known | sys.stdlib_module_names


def test_tables_of_the_examples_name_source_and_licence():
    folder = ROOT / "examples" / "data"
    said = (folder / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert [part.splitlines()[0] for part in said] == sorted(p.name for p in folder.glob("*.gz"))
    for part in said:
        assert all(f"- {word}: " in part for word in ("Source", "Licence", "Changes"))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
