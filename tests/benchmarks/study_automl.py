"""Run the code of one section of docs/guide/automl.rst, and print the versions that it ran with.

    python tests/benchmarks/study_automl.py SECTION

SECTION is a title on that page, "AutoGluon" for instance, whose package has to be installed. The
code of the first section, which makes the rows, is run before it. The working directory is the root
of the repository. In place of auto-sklearn, its files are written by other models; in the place of
TabPFN, whose weights are a download, naive Bayes counts the rows that it gets.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.naive_bayes import GaussianNB

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "automl.rst"
PACKAGES = (
    "autogluon.tabular",
    "flaml",
    "h2o",
    "optuna",
    "lightgbm",
    "catboost",
    "xgboost-cpu",
    "scikit-learn",
    "numpy",
    "pandas",
)


#: Numbers of rows that the stand-in for TabPFN was given, call by call.
READ: list[int] = []


class TabPFNClassifier(GaussianNB):
    """A stand-in that counts the rows of its predictions."""

    def predict_proba(self, X: Any) -> np.ndarray:
        READ.append(len(X))
        return super().predict_proba(X)


def stand_in_for_tabpfn(names: dict[str, Any]) -> None:
    module = ModuleType("tabpfn")
    module.TabPFNClassifier = TabPFNClassifier
    sys.modules["tabpfn"] = module


def files_of_auto_sklearn(names: dict[str, Any]) -> None:
    """Predictions of three models in the folders and under the names that it gives them."""
    folder = Path("tmp_folder/.auto-sklearn")
    for number in (1, 2, 3):
        run = folder / "runs" / f"1_{number}_0.0"
        run.mkdir(parents=True)
        model = ExtraTreesClassifier(50, max_depth=4 * number, random_state=number)
        model.fit(names["X"], names["y"])
        for part, X in (("ensemble", names["X_held"]), ("test", names["X_test"])):
            np.save(run / f"predictions_{part}_{run.name}.npy", model.predict_proba(X))
    codes = np.unique(names["y_held"], return_inverse=True)[1]
    np.save(folder / "true_targets_ensemble.npy", codes)


#: What is done before the code of a section is run.
BEFORE = {
    "auto-sklearn": files_of_auto_sklearn,
    "TabPFN: a member that is slow": stand_in_for_tabpfn,
}


def code_by_section(page: str) -> dict[str, str]:
    """The code blocks of each section, one after the other."""
    found: dict[str, str] = {}
    titles = list(re.finditer(r"^(.+)\n-{3,}$", page, flags=re.MULTILINE))
    ends = [title.start() for title in titles[1:]] + [len(page)]
    for title, end in zip(titles, ends, strict=True):
        text = page[title.end() : end]
        blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
        found[title[1]] = "\n".join(re.sub(r"^   ", "", b, flags=re.MULTILINE) for b in blocks)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section")
    options = parser.parse_args()
    code = code_by_section(PAGE.read_text(encoding="utf-8"))
    first = next(iter(code))
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(Path.cwd() / "examples", Path(folder) / "examples")
        os.chdir(folder)  # where the packages leave their files
        names: dict[str, Any] = {"__name__": "__main__"}
        start = time.perf_counter()
        for title in dict.fromkeys([first, options.section]):
            BEFORE.get(title, dict)(names)
            exec(compile(code[title], f"{PAGE.name}: {title}", "exec"), names)
        seconds = time.perf_counter() - start
        os.chdir(PAGE.parents[2])
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    if READ:
        print(f"{len(names['X_held'])} rows of fit, {len(names['X_test'])} rows to predict")
        print(f"read for {sum(READ)} rows in {len(READ)} calls: {READ}")
    print(f"{seconds:.0f} s; " + ", ".join(versions))


if __name__ == "__main__":
    main()
