"""The pages of the guide go on from the members that its first page fits."""

from __future__ import annotations

import doctest
from functools import cache
from pathlib import Path

import pytest

GUIDE = Path(__file__).parent / "guide.rst"


@cache
def names_of_the_guide():
    """What the code of the first page defines."""
    text = GUIDE.read_text(encoding="utf-8")
    page = doctest.DocTestParser().get_doctest(text, {}, "guide", str(GUIDE), 0)
    doctest.DocTestRunner().run(page, clear_globs=False)
    return {name: value for name, value in page.globs.items() if not name.startswith("_")}


@pytest.fixture(autouse=True)
def members_of_the_guide(request, doctest_namespace):
    """Hand them to the pages of the guide, and to nothing else."""
    before = dict(doctest_namespace)
    if request.path.parent.name == "guide":
        doctest_namespace.update(names_of_the_guide())
    yield
    doctest_namespace.clear()
    doctest_namespace.update(before)
