"""The pages of the guide go on from the members that its first page fits."""

from __future__ import annotations

import doctest
from functools import cache
from pathlib import Path

import pytest

GUIDE = Path(__file__).parent / "guide.rst"
#: Packages without which a page cannot run.
NEEDED = {
    "deploying.rst": ["skops", "safetensors", "mlflow"],
    "recipes.rst": ["skorch"],
    "past_one_machine.rst": ["dask.dataframe", "distributed", "pyarrow"],
}


def pytest_collection_modifyitems(items):
    """MLflow warns of itself; its database, and Dask, use what other packages are about to drop."""
    for item in items:
        if item.path.name == "past_one_machine.rst":
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
        if item.path.name == "deploying.rst":
            for ignored in ("ignore::DeprecationWarning", "ignore::UserWarning:mlflow"):
                item.add_marker(pytest.mark.filterwarnings(ignored))


@cache
def names_of_the_guide():
    """What the code of the first page defines."""
    text = GUIDE.read_text(encoding="utf-8")
    page = doctest.DocTestParser().get_doctest(text, {}, "guide", str(GUIDE), 0)
    doctest.DocTestRunner().run(page, clear_globs=False)
    return {name: value for name, value in page.globs.items() if not name.startswith("_")}


@pytest.fixture(autouse=True)
def packages_and_folder_of_the_page(request, tmp_path, monkeypatch):
    """Pages that write files do so in a folder of their own."""
    if request.path.name in NEEDED:
        for name in NEEDED[request.path.name]:
            pytest.importorskip(name)
        monkeypatch.chdir(tmp_path)
        # MLflow builds its database in three seconds
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


@pytest.fixture(autouse=True)
def members_of_the_guide(request, doctest_namespace):
    """Hand them to the pages of the guide, and to nothing else."""
    before = dict(doctest_namespace)
    if request.path.parent.name == "guide":
        doctest_namespace.update(names_of_the_guide())
    yield
    doctest_namespace.clear()
    doctest_namespace.update(before)
