"""Tables as the pages of docs/ have them."""

from __future__ import annotations

import pandas as pd


def as_rst(frame: pd.DataFrame, index: str, decimals: int = 4, *, ratios: bool = False) -> str:
    """A simple table of reStructuredText; numbers below 1 without their 0, but for ratios."""

    def text(value: object) -> str:
        if isinstance(value, str):
            return value
        few = not ratios and 0 < abs(value) < 10 ** (1 - decimals)
        shown = f"{value:.{decimals + 2 * few}f}"
        return shown.replace("0.", ".", 1) if abs(value) < 1 and not ratios else shown

    def code(name: str) -> str:
        return f"``{name}``" if "=" in name or "(" in name else name

    rows = [[index, *map(code, map(str, frame))]]
    rows += [[code(str(i)), *map(text, r)] for i, r in zip(frame.index, frame.values, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = " ".join("=" * w for w in widths)
    lines = [" ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
