"""Every snippet of the README runs; its commands are those that CI runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number, capsys):
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), {})
    assert capsys.readouterr().out


def test_there_is_a_snippet_for_each_use():
    assert len(SNIPPETS) == 3
    for word in ("from_fitted", "GridSearchCV", "NeuralNetClassifier"):
        assert any(word in snippet for snippet in SNIPPETS)


def test_ci_runs_the_test_command_as_it_stands():
    command = 'pip install -e ".[test]" && pytest'
    assert command in README
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
