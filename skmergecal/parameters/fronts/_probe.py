"""Maps of fitted steps, found by transforming rows that differ from one row in one column each."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from skmergecal._typing import Array
from skmergecal.parameters.fronts._column_uses import inner_steps
from skmergecal.parameters.fronts._columns import Numbers
from skmergecal.parameters.fronts._rows import Inputs

__all__ = ["MemberFront"]

#: Rows that are transformed at once, which bounds the memory of dense outputs.
_BLOCK = 512

#: How often columns are divided to find those in which a member refuses NaN.
_TRIALS = 64


@dataclass(frozen=True)
class MemberFront:
    """The fitted steps in front of one member, which never warn of categories that they ignore.

    Attributes
    ----------
    steps : list of transformer
    inputs : Inputs
    """

    steps: list[Any]
    inputs: Inputs

    @classmethod
    def of(cls, steps: Sequence[Any], inputs: Inputs) -> MemberFront:
        """A front that transforms as the steps do, and gives arrays."""
        copies = copy.deepcopy(list(steps))
        for step in copies:
            _be_quiet(step)
        return cls(copies, inputs)

    def transform(
        self,
        columns: Sequence[Any],
        base: dict[int, Any],
        changes: Sequence[dict[int, Any]],
        rest: Mapping[int, np.ndarray] | None = None,
    ) -> Any:
        """What the steps make of rows: a base row, each with some changes.

        Parameters
        ----------
        columns : sequence of Numbers or Categories
        base : dict of int to object
        changes : sequence of dict of int to object
        rest : mapping of int to array of shape (n_rows,), optional
            Numbers in other columns, default=0.

        Returns
        -------
        sparse array of shape (n_rows, n_outputs)
        """
        blocks = []
        for start in range(0, len(changes), _BLOCK):
            part = changes[start : start + _BLOCK]
            values = {i: v[start : start + _BLOCK] for i, v in (rest or {}).items()}
            for c in columns:
                i = c.column
                values[i] = c.values([row[i] if i in row else base[i] for row in part])
            Z = self.inputs.rows(values, len(part))
            for step in self.steps:
                Z = step.transform(Z)
            blocks.append(_as_sparse(Z))
        return sparse.csr_array(sparse.vstack(blocks))

    def accepts(
        self,
        columns: Sequence[Any],
        base: dict[int, Any],
        changes: Sequence[dict[int, Any]],
        *,
        finite_only: bool = True,
    ) -> list[bool]:
        """Whether the member takes each row: its steps do not raise, and give finite numbers."""
        if not changes:
            return []
        try:
            Z = self.transform(columns, base, changes)
        except Exception:  # a step of the user's may raise anything
            if len(changes) == 1:
                return [False]
            half = len(changes) // 2
            parts = (changes[:half], changes[half:])
            return [
                a
                for part in parts
                for a in self.accepts(columns, base, part, finite_only=finite_only)
            ]
        finite = np.ones(Z.shape[0], dtype=bool)
        bad = ~np.isfinite(Z.data) & finite_only
        finite[np.repeat(np.arange(Z.shape[0]), np.diff(Z.indptr))[bad]] = False
        return [bool(f) for f in finite]

    def takes_missing(
        self, columns: Sequence[Any], base: dict[int, Any], others: Sequence[int]
    ) -> set[int]:
        """Those of other columns in which the member takes NaN, as far as few trials tell."""
        found: set[int] = set()
        parts = [list(others)] if others else []
        for _ in range(_TRIALS):
            if not parts:
                break
            part = parts.pop(0)
            try:
                self.transform(columns, base, [{}], {i: np.array([np.nan]) for i in part})
                found.update(part)
            except Exception:  # a step of the user's may raise anything
                half = len(part) // 2
                parts += [p for p in (part[:half], part[half:]) if half]
        return found

    def map_of(
        self, columns: Sequence[Any], base: dict[int, Any], changes: Sequence[dict[int, Any]]
    ) -> tuple[Any, Array]:
        """The effect of each change, shape (n_changes, n_outputs), and the outputs of the base."""
        Z = self.transform(columns, base, [{}, *changes])
        start = Z[[0]]
        ones = sparse.csr_array(np.ones((len(changes), 1)))
        effects = sparse.csr_array(Z[1:] - ones @ start)
        effects.eliminate_zeros()
        return effects, np.asarray(start.todense(), dtype=np.float64).ravel()

    def spread_of(self, numbers: Sequence[Numbers], columns: Sequence[Any], base: Any) -> Any:
        """Where the outputs of each column of numbers are 0, and how far they are 1 from there.

        NaN where no output depends on the column alone.
        """
        changes = [{c.column: base[c.column] + 1.0} for c in numbers]
        effects, start = self.map_of(columns, base, changes)
        centre = np.full(len(numbers), np.nan)
        scale = np.full(len(numbers), np.nan)
        for i, number in enumerate(numbers):
            slopes = effects[[i]].tocoo()
            if slopes.nnz == 0:
                continue
            place = int(np.abs(slopes.data).argmax())
            slope, output = slopes.data[place], slopes.col[place]
            scale[i] = 1 / abs(slope)
            alone = effects[:, [output]].nnz == 1
            centre[i] = base[number.column] - start[output] / slope if alone else 0.0
        return centre, scale


def _be_quiet(step: Any) -> None:
    """Let one-hot encoders in a copy of a step ignore what they ignore without a warning."""
    if isinstance(step, OneHotEncoder):
        # What is dropped was noted when it was fitted; these two only say when to warn.
        step.drop = None
        if step.handle_unknown == "warn":
            step.handle_unknown = "infrequent_if_exist"
        return
    for part in inner_steps(step):
        _be_quiet(part)


def _as_sparse(Z: Any) -> Any:
    if hasattr(Z, "toarray"):
        return sparse.csr_array(Z, dtype=np.float64)
    values = Z.to_numpy() if hasattr(Z, "to_numpy") else Z
    return sparse.csr_array(np.asarray(values, dtype=np.float64))
