"""Every statement of the README that can be compared with something is."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import skmergecal

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUALITY = (ROOT / "docs" / "quality.rst").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SNIPPETS = re.findall(r"```python\n(.*?)```\n", README, flags=re.DOTALL)
#: Extras of those who work on the package.
OWN_EXTRAS = {"test", "lint", "bench", "docs"}


def test_readme_is_short():
    assert len(README.splitlines()) <= 90


def test_snippet_prints_the_losses_that_the_text_gives(capsys):
    (snippet,) = SNIPPETS
    for node in ast.parse(snippet).body:
        if isinstance(node, ast.ImportFrom):
            pytest.importorskip(node.module)
    exec(compile(snippet, "README snippet", "exec"), {})
    printed = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    text = re.search(r"^prints .*?\.$", README, flags=re.MULTILINE)[0]
    given = [float(number) for number in re.findall(r"\.\d{3}", text)]
    assert len(given) == 4
    # Versions of the libraries split differently.
    assert printed == pytest.approx(given, abs=0.02)


def test_snippet_is_short_and_scores_rows_that_nothing_has_seen():
    (snippet,) = SNIPPETS
    tree = ast.parse(snippet)
    statements = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    assert len(statements) <= 8
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    rows = {ast.unparse(call.func).split(".")[-1]: ast.unparse(call) for call in calls}
    assert "X_train, y_train" in rows["fit"]
    assert "X_held, y_held" in rows["from_fitted"]
    assert "X_test" in rows["predict_proba"]


def test_losses_are_those_of_the_study():
    table = re.search(r"\| `MergedClassifier\(members\)` .*?\n\n", README, flags=re.DOTALL)[0]
    given = re.findall(r"\| (\.\d{4}) \|", table)
    rows = (
        "``MergedClassifier(members)``",
        "stacking of logits",
        "greedy selection, temperature",
        "soft vote, scikit-learn's temperature",
    )
    measured = [re.search(rf"^{re.escape(row)} +(\.\d{{4}})", QUALITY, re.M)[1] for row in rows]
    assert given == measured


def test_every_extra_is_listed():
    extras = PROJECT["optional-dependencies"]
    listed = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(extras) - OWN_EXTRAS)
    for named in re.findall(r"\.\[([\w,]+)\]", README):
        assert set(named.split(",")) <= set(extras)


def test_badges_say_what_the_metadata_say():
    badges = set(re.findall(r"\(https://img\.shields\.io/badge/(.*?)\)", README))
    python = PROJECT["requires-python"].removeprefix(">=")
    sklearn = next(d for d in PROJECT["dependencies"] if d.startswith("scikit-learn"))
    assert badges == {
        f"python-{python}%2B-blue",
        f"scikit--learn-{sklearn.removeprefix('scikit-learn>=')}%2B-orange",
        "licence-BSD--3--Clause-green",
    }
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https)(.*?)\)", README):
        path, _, section = link.partition("#")
        assert (ROOT / path).exists(), link
        if section:
            text = (ROOT / path).read_text(encoding="utf-8").lower()
            assert re.search(rf"^{section.replace('-', ' ')}$", text, flags=re.MULTILINE), link


def test_ci_runs_the_test_command_as_it_stands():
    command = 'pip install -e ".[test]" && pytest'
    assert command in README
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_citation_has_the_version_and_licence_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {skmergecal.__version__}\n" in citation
    assert "\nlicense: BSD-3-Clause\n" in citation
