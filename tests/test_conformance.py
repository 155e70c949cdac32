"""What the comparison in the documentation says of this package, and that its table is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conformance_peers import PACKAGES
from tests.benchmarks.study_conformance import INPUTS, nets_of_seeds, outcome, searched_weights

TABLE = Path(__file__).parents[1] / "docs" / "conformance.inc"


LINES = [line.strip() for line in TABLE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, marks=[pytest.mark.thorough] if check is searched_weights else [])
        for check in INPUTS
        if check is not nets_of_seeds
    ],
)
def test_the_table_says_what_this_package_does(check):
    row = LINES.index(f"* - {check.__doc__.strip()}")
    assert LINES[row + 1] == f"- {outcome(check, PACKAGES[0])}"


def test_this_package_is_never_wrong_without_a_word():
    own = [LINES[i + 1] for i, line in enumerate(LINES) if line.startswith("* - ")]
    assert not [cell for cell in own if "**" in cell]


def test_the_table_has_a_row_for_each_input_and_a_column_for_each_package():
    rows = [line.removeprefix("* - ") for line in LINES if line.startswith("* - ")]
    assert rows == ["input", *(check.__doc__.strip() for check in INPUTS)]
    assert [line for line in LINES if line in {f"- {p.name}" for p in PACKAGES}] == [
        f"- {p.name}" for p in PACKAGES
    ]
