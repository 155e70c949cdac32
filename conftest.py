"""Examples and tests that need an extra which is not installed are left out."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {"skl2onnx": ["skmergecal/onnx/*", "docs/onnx.rst"]}

collect_ignore_glob = [
    pattern
    for package, patterns in EXTRAS.items()
    if find_spec(package) is None
    for pattern in patterns
]


def pytest_configure(config):
    """Without nets, what imports them is skipped, and their modules have no examples to run."""
    if any(find_spec(package) is None for package in ("torch", "skorch")):
        from tests import without_torch

        config.pluginmanager.register(without_torch)
        config.option.doctest_ignore_import_errors = True
