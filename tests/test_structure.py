"""The shape of the code: short files, short functions, one door to private names."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import skmergecal

PACKAGE = Path(skmergecal.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", FILES + TESTS, ids=lambda p: p.stem)
def test_no_file_over_400_lines_and_no_function_over_60(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_private_names_of_scikit_learn_come_through_one_door(path):
    if path.name == "_compat.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            private = [n.name for n in node.names if n.name.startswith("_")]
            assert not private
            assert not any(part.startswith("_") for part in node.module.split("."))


PUBLIC = [
    (name, getattr(module, name))
    for module in (
        skmergecal,
        skmergecal.calibration,
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
