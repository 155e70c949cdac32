"""Inventories of other projects' documentation, with classes, functions and exceptions only.

    python docs/inventories/reduce.py NAME FILE [DOTTED.NAME ...]

FILE is the ``objects.inv`` of the documentation of NAME; it becomes ``NAME.inv`` here, so that no
build of the documentation needs the network. Further names are those that are newer than FILE; they
have pages like that of the others. Those here come from the packages python-sklearn-doc 1.2.1,
python-scipy-doc 1.10.1, python-pandas-doc 1.5.3 and python3.11-doc of Debian 12.
"""

import sys
import zlib
from pathlib import Path

KEPT = {"py:class", "py:function", "py:exception"}


def main(name: str, path: str, *newer: str) -> None:
    """Write the reduced inventory."""
    head, _, body = Path(path).read_bytes().partition(b"zlib.\n")
    lines = [
        line
        for line in zlib.decompress(body).decode("utf-8").splitlines()
        if line.split(" ")[1] in KEPT and "._" not in line
    ]
    lines += [f"{new} py:class 1 modules/generated/{new}.html#$ -" for new in newer]
    reduced = zlib.compress("\n".join(sorted(lines)).encode() + b"\n", 9)
    Path(__file__).with_name(f"{name}.inv").write_bytes(head + b"zlib.\n" + reduced)


main(*sys.argv[1:])
