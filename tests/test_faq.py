"""The list of messages in docs/faq.rst, compared with the texts in the code.

What has to be in the list: every warning, every class of ``skmergecal.exceptions``, and every error
of the files in ``FIRST_STEPS``, which come first on the way from a user's models to one.
"""

from __future__ import annotations

import ast
import itertools
import re
from functools import cache
from pathlib import Path

import pytest

from skmergecal import exceptions

ROOT = Path(__file__).parents[1]
FAQ = (ROOT / "docs" / "faq.rst").read_text(encoding="utf-8")
PACKAGE = ROOT / "skmergecal"
FIRST_STEPS = (
    "_optional.py",
    "members/_accept.py",
    "members/_fit_rows.py",
    "members/_labels.py",
    "members/_member.py",
    "members/_no_classifier.py",
    "members/_read.py",
    "merging/_barrier.py",
    "merging/_classifier.py",
    "merging/_settings.py",
    "merging/_to_estimator.py",
    "parameters/_registry.py",
)
#: What stands where the code puts a value.
VALUE = "\0"
#: Each message of the list: a term of a definition list in which "..." is any text.
MESSAGES = [
    message
    for term in re.findall(r"^(``.*)\n   \S", FAQ, flags=re.MULTILINE)
    for message in re.findall(r"``(.*?)``", term)
]


def is_in(message, text):
    """Whether the words between the dots are in the text, in their order."""
    place = 0
    for part in filter(None, map(str.strip, message.split("..."))):
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


def texts_of(node, names):
    """What an expression can be, as far as it is text; a name is what was assigned to it."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else [VALUE]
    if isinstance(node, ast.JoinedStr):
        parts = [texts_of(part, names) for part in node.values]
        return ["".join(choice) for choice in itertools.islice(itertools.product(*parts), 20)]
    if isinstance(node, ast.FormattedValue):
        return names.get(node.value.id, [VALUE]) if isinstance(node.value, ast.Name) else [VALUE]
    if isinstance(node, ast.Name):
        return names.get(node.id, [VALUE])
    if isinstance(node, ast.BinOp):
        return [VALUE + text for text in texts_of(node.right, names)] + texts_of(node.left, names)
    return [VALUE]


@cache
def functions_of(path):
    """Each function of a file: its node, and the texts in it."""
    source = path.read_text(encoding="utf-8")
    if "raise " not in source and "warn_user(" not in source:
        return []
    tree = ast.parse(source)
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        names: dict[str, list[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names.setdefault(node.targets[0].id, []).extend(texts_of(node.value, names))
        strings = (ast.Constant, ast.JoinedStr, ast.BinOp)
        nodes = [node for node in ast.walk(function) if isinstance(node, strings)]
        texts = {text for node in nodes for text in texts_of(node, names) if text.count(" ") > 2}
        found.append((function, texts - {ast.get_docstring(function, clean=False)}))
    return found


def calls(function, name):
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name
    ]


def every_text(paths):
    return {text for path in paths for _, texts in functions_of(path) for text in texts}


def test_there_are_many_messages():
    assert len(MESSAGES) > 60


def test_every_message_of_the_list_is_in_the_code():
    texts = every_text(sorted(PACKAGE.rglob("*.py")))
    for message in MESSAGES:
        assert any(is_in(message, text) for text in texts), f"no such text: {message}"


def test_every_warning_is_in_the_list():
    warned = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "_warnings.py":
            continue
        for function, texts in functions_of(path):
            expected = len(calls(function, "warn_user"))
            warned += expected
            # A text that another function of the file composes, as a question about classes.
            if expected and not any(is_in(m, text) for m in MESSAGES for text in texts):
                texts = every_text(path.parent.glob("*.py"))
            listed = {m for m in MESSAGES if any(is_in(m, text) for text in texts)}
            assert len(listed) >= expected, (
                f"docs/faq.rst lacks a warning of {function.name}, {path}"
            )
    assert warned > 20


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_every_error_of_the_first_steps_is_in_the_list(name):
    path = PACKAGE / name
    for function, texts in functions_of(path):
        raised = [node for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc]
        for node in raised:
            text = ast.unparse(node)
            if "error.reason" in text or "str(unlike)" in text:
                continue  # texts of another function
            own = [t for argument in getattr(node.exc, "args", []) for t in texts_of(argument, {})]
            named = own if any(t.strip(VALUE) for t in own) else texts
            if not any(is_in(m, t) for m in MESSAGES for t in named):
                named = every_text([path])  # a helper beside it composes the text
            assert any(is_in(m, t) for m in MESSAGES for t in named), f"docs/faq.rst: {text}"


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_class_of_exceptions_is_named(name):
    assert re.search(rf"^``.*\({name}\)$", FAQ, flags=re.MULTILINE)
