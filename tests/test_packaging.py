"""What the archives contain: the code, its types and its licence; and all that the README runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The files that setuptools would put into the source distribution and into the wheel, without
#: packing them, which takes three times as long.
LISTS = """
import json, sys
from setuptools import Distribution
dist = Distribution({"script_name": "pyproject.toml"})
dist.parse_config_files()
egg_info = dist.get_command_obj("egg_info")
egg_info.egg_base = sys.argv[1]
egg_info.ensure_finalized()
egg_info.run()
build = dist.get_command_obj("build_py")
build.build_lib = ""
build.ensure_finalized()
source = [name for name in egg_info.filelist.files if ".egg-info" not in name]
print(json.dumps({
    "source": source,
    "wheel": build.get_outputs(include_bytecode=False),
    "metadata": open(egg_info.egg_info + "/PKG-INFO", encoding="utf-8").read(),
}))
"""


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    pytest.importorskip("setuptools", minversion="77")
    command = [sys.executable, "-c", LISTS, str(tmp_path_factory.mktemp("lists"))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def files(folder, pattern="*"):
    """Files below a folder, without what builds and runs leave there."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob(pattern)
        if path.is_file()
        and not {"__pycache__", "_build", "auto_examples", "generated"} & set(path.parts)
    }


def test_wheel_has_the_package_with_its_types_and_nothing_else(lists):
    assert set(lists["wheel"]) == files("skmergecal", "*.py") | {"skmergecal/py.typed"}


def test_source_distribution_has_what_both_commands_of_the_readme_need(lists):
    source = set(lists["source"])
    assert source >= files("skmergecal", "*.py")
    assert source >= files("tests", "*.py") | files("examples", "*.py") | files("docs", "*.rst")
    # Data of examples and tests, models of earlier versions, and what the documentation includes.
    assert source >= files("examples", "*.csv*") | files("tests/data") | files(
        "docs/inventories", "*.inv"
    )
    assert source >= {"LICENSE", "README.md", "conftest.py", "setup.cfg", ".ci/run", "CITATION.cff"}
    assert not [name for name in source if name.endswith(".pyc") or "/_build/" in name]


def test_metadata_names_licence_versions_and_extras(lists):
    metadata = lists["metadata"]
    for line in (
        "License-Expression: BSD-3-Clause",
        "License-File: LICENSE",
        "Classifier: Typing :: Typed",
    ):
        assert line in metadata
    assert f"Requires-Python: >={python_versions(metadata)[0]}" in metadata
    assert "Provides-Extra: neural" in metadata
    assert "Description-Content-Type: text/markdown" in metadata


def python_versions(metadata):
    """Versions of Python that the classifiers name, in their order."""
    prefix = "Classifier: Programming Language :: Python :: 3."
    return [
        f"3.{line.removeprefix(prefix)}"
        for line in metadata.splitlines()
        if line.startswith(prefix)
    ]
