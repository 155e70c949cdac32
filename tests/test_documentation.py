"""Reference, guide and examples are whole, and lead to each other."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import operator
import re
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

import skmergecal

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
GUIDE = [DOCS / "getting_started.rst", DOCS / "guide.rst", *sorted((DOCS / "guide").glob("*.rst"))]
MODULES = [skmergecal, *(getattr(skmergecal, name) for name in skmergecal.__all__)]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in filter(inspect.ismodule, MODULES)
    for name in module.__all__
    if not inspect.ismodule(getattr(module, name)) and not name.startswith("__")
}


def read(path):
    return path.read_text(encoding="utf-8")


LISTED = r"   ([A-Za-z_][\w.]*)$|\.\. (?:autofunction|py:data):: (\w+)"


def in_reference():
    """Every object that the reference describes."""
    module, found = skmergecal, []
    for line in read(DOCS / "api.rst").splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = importlib.import_module(match[1])
        elif match := re.match(LISTED, line):
            found.append(operator.attrgetter(match[1] or match[2])(module))
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_reference(name):
    assert any(PUBLIC[name] is thing for thing in in_reference())


#: What docs/contributing.rst promises of docstrings, in the codes of numpydoc: parameters (in
#: order, with type and description), what is returned; and of what is not a method also See Also
#: and an example.
OF_METHODS = {"GL08", "PR01", "PR03", "PR04", "PR07", "RT01", "RT02", "RT03", "SA04"}
OF_NAMES = OF_METHODS | {"SA01", "EX01"}


def test_docstrings_have_the_sections_that_are_promised():
    validate = pytest.importorskip("numpydoc.validate").validate
    promised = {}
    for name, thing in {id(thing): (name, thing) for name, thing in PUBLIC.items()}.values():
        if inspect.isclass(thing):
            promised |= {
                f"{name}.{method}": OF_METHODS
                for method, function in inspect.getmembers(thing, inspect.isroutine)
                if not method.startswith("_") and is_ours(function)
            }
        if callable(thing):
            # What users never make has no parameters, but attributes.
            is_record = inspect.isclass(thing) and "\nParameters\n" not in inspect.getdoc(thing)
            promised[name] = OF_NAMES - ({"PR01"} if is_record else set())
    missing = [
        f"{name}: {code} {text}"
        for name, codes in promised.items()
        for code, text in validate(name)["errors"]
        if code in codes
    ]
    assert missing == []


def is_ours(function):
    return (getattr(function, "__module__", None) or "").startswith("skmergecal.")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_guide_and_each_example_lead_to_each_other(path):
    label = f"sphx_glr_auto_examples_{path.name}"
    assert any(label in read(page) for page in GUIDE)
    assert re.search(r":(ref|doc):`", read(path))


@pytest.mark.parametrize("page", GUIDE, ids=lambda path: path.stem)
def test_each_page_of_the_guide_leads_to_the_reference(page):
    assert re.search(r":(class|func|meth):`~skmergecal", read(page)) or page.stem == "guide"


MEASURED = [DOCS / f"{name}.rst" for name in ("quality", "deploying", "orders", "merged_nets")]


@pytest.mark.parametrize("name", ["index", "which_settings"])
def test_numbers_of_pages_that_advise_are_those_of_the_studies(name):
    numbers = set(re.findall(r"(?<=\s)\.\d{4}", read(DOCS / f"{name}.rst")))
    assert len(numbers) >= 3
    measured = "".join(read(page) for page in MEASURED)
    for number in numbers:
        assert number in measured, number


def test_scripts_that_the_pages_name_exist():
    named = {
        script
        for page in DOCS.rglob("*.rst")
        if "_build" not in page.parts and "auto_examples" not in page.parts
        for script in re.findall(r"(?:tests|examples)/[\w/]+\.py", read(page))
    }
    assert named
    for script in named:
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", GUIDE, ids=lambda path: path.stem)
def test_code_that_is_only_shown_is_python_with_names_that_exist(page):
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", read(page))
    for block in blocks:
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("skmergecal"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)
            elif isinstance(node, ast.Call) and getattr(node.func, "value", None) is not None:
                owner, name = node.func.value, node.func.attr
                if isinstance(owner, ast.Name) and owner.id == "MergedClassifier":
                    assert hasattr(skmergecal.MergedClassifier, name)


#: What the glossary calls otherwise, or what no sentence needs.
OTHER_WORDS = (
    r"sure|surer|unsure|anew|mended|miscalibration|underconfident|nobody can tell|which is none"
)


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.rst")), *GUIDE], ids=lambda path: path.stem)
def test_pages_use_the_words_of_the_glossary(page):
    # Readers search for other words, too: keywords are for the search alone.
    text = re.sub(r":keywords:.*", "", read(page))
    found = re.search(rf"\b({OTHER_WORDS})\b", text, flags=re.IGNORECASE)
    assert found is None, found[0]
    # The glossary names this spelling, too.
    assert "overconfident" not in text or page.stem == "glossary"


WANTED = ("lightgbm", "xgboost", "catboost", "onnx", "deploy", "overconfident", "save")


@pytest.mark.parametrize("word", WANTED)
def test_a_page_that_helps_has_the_word_that_readers_search_for(word):
    pages = [page for page in (*DOCS.glob("*.rst"), *GUIDE) if page.stem not in ("changes", "api")]
    assert sum(word in read(page).lower() for page in set(pages)) >= 2


def test_every_example_is_in_a_section_of_the_gallery():
    index = read(DOCS / "examples.rst")
    shown, listed = (
        re.findall(pattern, index, flags=re.M)
        for pattern in (r"^   \.\./examples/(plot_\w+)\.py$", r"^   auto_examples/(plot_\w+)$")
    )
    assert shown == listed
    assert sorted(shown) == [path.stem for path in EXAMPLES]


RECIPES = re.findall(
    r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", (DOCS / "recipes.rst").read_text("utf-8")
)


@pytest.fixture(scope="module")
def names_of_the_recipes():
    """What the first lines of the recipes define."""
    lines = doctest.DocTestParser().get_examples(
        read(DOCS / "recipes.rst").split("Merge LightGBM")[0]
    )
    names: dict = {}
    exec("".join(line.source for line in lines), names)
    return names


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_recipes_with_other_packages_run(number, names_of_the_recipes, tmp_path, monkeypatch):
    code = textwrap.dedent(RECIPES[number])
    monkeypatch.chdir(tmp_path)
    if "persistence" in code:
        pytest.importorskip("skops")
        pytest.importorskip("safetensors")
    if "onnx" in code:
        pytest.importorskip("skl2onnx")
        pytest.importorskip("onnxruntime")
    for node in ast.parse(code).body:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            pytest.importorskip(module)
    exec(code, dict(names_of_the_recipes))


def test_tree_of_the_architecture_lists_every_file():
    package = ROOT / "skmergecal"
    files = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.name not in ("__init__.py", "_version.py")
    }
    folders: list[str] = []
    listed = set()
    for bars, name in re.findall(
        r"^   ([│ ]*)[├└]── ([\w.]+/?)", read(DOCS / "contributing.rst"), re.M
    ):
        folders[len(bars) // 4 :] = [name]
        if not name.endswith("/"):
            listed.add("".join(folders))
    assert files - listed == set()
    assert {name for name in listed if name.endswith(".py")} - files <= {"_version.py"}


def test_no_row_of_a_table_is_lost():
    """A row whose first cell is empty belongs to the row above; below a border there is none."""
    border, lost = re.compile(r"([=-]+)( +[=-]+)+"), []
    for page in sorted(DOCS.rglob("*.rst")):
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, (above, line) in enumerate(pairwise(lines), start=2):
            first = border.fullmatch(above)
            if first and line.strip() and not line[: len(first[1])].strip():
                lost.append(f"{page.relative_to(DOCS)}:{number}")
    assert not lost
