"""Names that code only writes to: counters and logs, which do not change what it returns."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType

__all__ = ["globals_read", "imported_modules", "names_read", "names_written"]

_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_LOADS = (*_ATTRIBUTES, "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")
_STORES = ("STORE_ATTR", "STORE_GLOBAL", "STORE_NAME", "STORE_DEREF")
_JUMPS = {*dis.hasjrel, *dis.hasjabs}
_ENDS = ("RETURN", "RAISE", "YIELD", "RERAISE")
#: Methods that put something into a container.
_PUTS = {"append", "appendleft", "extend", "insert", "add", "update", "setdefault"}


def names_read(code: CodeType) -> set[str]:
    """Names of globals, attributes and imports that have an effect on what the code does."""
    steps = list(dis.get_instructions(code))
    return {
        step.argval
        for i, step in enumerate(steps)
        if isinstance(step.argval, str)
        and step.opname not in _STORES
        and not (step.opname in _LOADS and _is_written_back(steps, i))
    }


def names_written(code: CodeType) -> set[str]:
    """Names that stand for something that the code adds to or counts up."""
    steps = list(dis.get_instructions(code))
    return {
        step.argval
        for i, step in enumerate(steps)
        if step.opname in _LOADS and _is_written_back(steps, i)
    }


def globals_read(code: CodeType) -> set[str]:
    """Names that are looked up in the module, or among the built-in functions."""
    return {
        s.argval for s in dis.get_instructions(code) if s.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }


def imported_modules(code: CodeType) -> Iterator[tuple[str, int]]:
    """Modules that the code imports, with the number of dots in front of a relative name."""
    steps = list(dis.get_instructions(code))
    for i, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":  # after the constants: number of dots, names
            yield step.argval, int(steps[i - 2].argval)


def _is_written_back(steps: list[dis.Instruction], start: int) -> bool:
    """Whether what a name stands for is loaded to put something into it, and for nothing else.

    Follows the interpreter's stack to the instruction that takes the loaded value away:
    ``N += 1``, ``LOG.append(x)``, ``COUNTS[k] = COUNTS.get(k, 0) + 1``. Whatever has a branch
    inside counts as read.
    """
    name = steps[start].argval
    depth = _effect(steps[start]) + (steps[start].opname in _ATTRIBUTES)
    methods, container = [], steps[start]
    for previous, step in pairwise(steps[start:]):
        if step.opcode in _JUMPS or step.opname.startswith(_ENDS):
            return False
        if depth == 1 and step.opname in _ATTRIBUTES:
            methods.append(step.argval)
        in_place = previous.opname == "SWAP"
        before, depth = depth, depth + _effect(step)
        if depth <= 0:
            break
        container = step if depth == 2 else container
    else:
        return False
    if step.opname == "POP_TOP":
        return bool(methods) and methods[0] in _PUTS
    if step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
        is_key = before == 1
        same = container.opname in _LOADS and container.argval == name
        return not is_key and (before == 2 or in_place or same)
    return step.opname in _STORES and step.argval == name


def _effect(step: dis.Instruction) -> int:
    """By how much an instruction changes the number of values on the stack."""
    argument = step.arg if step.opcode >= dis.HAVE_ARGUMENT else None
    return dis.stack_effect(step.opcode, argument, jump=False)
