"""The shape of the code: short files, short functions, one door to private names."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest

import skmergecal

PACKAGE = Path(skmergecal.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def _statements(node):
    """The statements below a node, without the parts of expressions, of which there are more."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)


def _docstring_lines(nodes):
    """Numbers of the lines that docstrings take."""
    lines = set()
    for node in nodes:
        kinds = ast.Module | ast.ClassDef | FUNCTIONS
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            lines |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def _code_lines(source, nodes):
    """Numbers of the lines that are neither docstring nor comment nor blank."""
    docs = _docstring_lines(nodes)
    stripped = ((number, line.strip()) for number, line in enumerate(source.splitlines(), 1))
    return {n for n, line in stripped if line and not line.startswith("#") and n not in docs}


@cache
def _nodes(source):
    """The tree of some code, and its statements."""
    tree = ast.parse(source)
    return [tree, *_statements(tree)]


def _too_long(path, source):
    nodes = _nodes(source)
    code = _code_lines(source, nodes)
    functions = {
        f"{path}:{node.name}": len(code & set(range(node.lineno, node.end_lineno + 1)))
        for node in nodes
        if isinstance(node, FUNCTIONS)
    }
    return [str(path)] * (len(code) > 400) + [name for name, n in functions.items() if n > 60]


def test_no_two_classes_have_one_name():
    """A name is enough to find what it means; a leading underscore makes no other name."""
    nodes = [node for path in FILES for node in _nodes(path.read_text(encoding="utf-8"))]
    names = [node.name.strip("_") for node in nodes if isinstance(node, ast.ClassDef)]
    assert not sorted({name for name in names if names.count(name) > 1})


def test_no_file_has_over_400_lines_of_code_and_no_function_over_60():
    sources = ((path, path.read_text(encoding="utf-8")) for path in FILES + TESTS)
    assert not [name for path, source in sources for name in _too_long(path, source)]


def test_what_is_too_long_is_found():
    line = "a = 0\n"
    method = 'class A:\n    @staticmethod\n    def f():\n        """Doc."""\n'
    assert _too_long("b", method + 59 * f"        {line}") == []  # with its first line, 60
    assert _too_long("b", method + 60 * f"        {line}") == ["b:f"]
    inside = f"try:\n    pass\nexcept A:\n    def g():\n{60 * f'        {line}'}"
    assert _too_long("b", inside) == ["b:g"]
    assert _too_long("b", 400 * line + "# no code\n\n") == []
    assert _too_long("b", 401 * line) == ["b"]


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def is_module(*parts):
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").exists()


def test_private_names_come_through_one_door_and_stay_in_their_folder():
    """A private module may be imported in its own folder and below, a private name nowhere."""
    offenders = []
    for path in FILES:
        home = path.relative_to(PACKAGE).parts[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level:
                continue
            top, *parts = (node.module or "").split(".")
            names = [n.name for n in node.names]
            if top == "sklearn" and path.name != "_compat.py":
                offenders += [(str(path), p) for p in parts + names if is_private(p)]
            if top == "skmergecal" and parts != ["_compat"]:
                for name in names:
                    whole = (*parts, name)
                    folders = [whole[:i] for i, part in enumerate(whole) if is_private(part)]
                    private_name = is_private(name) and not is_module(*whole)
                    if private_name or any(home[: len(f)] != f for f in folders):
                        offenders.append((str(path), ".".join(whole)))
    assert not offenders


PUBLIC = [
    (name, getattr(module, name))
    for module in (
        skmergecal,
        skmergecal.calibration,
        skmergecal.candidates,
        skmergecal.monitoring,
        skmergecal.orders,
        skmergecal.tuning,
        skmergecal.pooling,
        skmergecal.parameters,
        skmergecal.metrics,
        skmergecal.exceptions,
    )
    for name in module.__all__
]


@pytest.mark.parametrize(
    "cls",
    [
        skmergecal.FineTunedClassifier,
        skmergecal.MergedClassifier,
        skmergecal.TemperatureCalibrator,
        skmergecal.calibration.ClassShift,
        skmergecal.monitoring.CalibrationMonitor,
    ],
)
def test_documented_defaults_are_the_real_ones(cls):
    doc = inspect.getdoc(cls)
    for name, parameter in inspect.signature(cls).parameters.items():
        line = next(line for line in doc.splitlines() if line.startswith(f"{name} :"))
        if parameter.default is inspect.Parameter.empty:
            assert "default" not in line
        elif parameter.default is None and name in ("alignment", "repair"):
            assert line.endswith("None")
        else:
            default = parameter.default
            text = f'"{default}"' if isinstance(default, str) else repr(default)
            assert line.endswith(f"default={text}"), line


@pytest.mark.parametrize(("name", "thing"), PUBLIC)
def test_what_is_public_is_documented(name, thing):
    assert inspect.getdoc(thing), name
