"""Examples that need an extra which is not installed are left out."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {"skl2onnx": ["skmergecal/onnx/*", "docs/onnx.rst"]}

collect_ignore_glob = [
    pattern
    for package, patterns in EXTRAS.items()
    if find_spec(package) is None
    for pattern in patterns
]
