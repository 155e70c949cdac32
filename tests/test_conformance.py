"""What the comparison in the documentation says of this package, and that its table is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conformance_peers import PACKAGES
from tests.benchmarks.study_conformance import INPUTS, nets_of_seeds, outcome, searched_weights

TABLE = Path(__file__).parents[1] / "docs" / "conformance.inc"


@pytest.mark.parametrize("check", [c for c in INPUTS if c not in (nets_of_seeds, searched_weights)])
def test_awkward_inputs(check):
    assert outcome(check, PACKAGES[0]) in ("right", "finite")


def test_the_table_has_a_row_for_each_input_and_a_column_for_each_package():
    lines = [line.strip() for line in TABLE.read_text(encoding="utf-8").splitlines()]
    rows = [line.removeprefix("* - ") for line in lines if line.startswith("* - ")]
    assert rows == ["input", *(check.__doc__.strip() for check in INPUTS)]
    assert [line for line in lines if line in {f"- {p.name}" for p in PACKAGES}] == [
        f"- {p.name}" for p in PACKAGES
    ]
