"""State as JSON: dataclasses, arrays and plain values, to the bit and without pickle."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["from_text", "to_text"]

#: Changes where states of older versions cannot be read any longer.
VERSION = 1
_DTYPES = {"f": "<f8", "i": "<i8", "u": "<u8", "b": "|b1"}


def to_text(state: dict[str, Any]) -> str:
    """A state as JSON."""
    content = {"format": "skmergecal.monitoring", "version": VERSION, "state": _pack(state)}
    return json.dumps(content, allow_nan=False)


def from_text(text: str, classes: dict[str, type]) -> dict[str, Any]:
    """The state of some JSON.

    Parameters
    ----------
    text : str
    classes : dict of str to type
        The dataclasses that may be in it, by name.

    Raises
    ------
    ValueError
        If it is not such a state, or one of another version.
    """
    try:
        content = json.loads(text)
        version = content["version"]
        ours = content["format"] == "skmergecal.monitoring"
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(_no_state("it is no JSON of to_json")) from error
    if not ours or version != VERSION:
        raise ValueError(_no_state(f"its version is {version!r}, not {VERSION}"))
    try:
        state = _unpack(content["state"], classes)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(_no_state(f"it is damaged ({error})")) from error
    if not isinstance(state, dict):
        raise ValueError(_no_state("it is damaged"))
    return state


def _no_state(why: str) -> str:
    return f"text should be what to_json of a monitor gave; {why}: write it again with to_json"


def _pack(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.datetime64):
        return {"date": str(value)}
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _DTYPES:
            return {"labels": [_pack(v) for v in value.tolist()]}
        dtype = "<f4" if value.dtype == np.float32 else _DTYPES[value.dtype.kind]
        data = base64.b64encode(np.ascontiguousarray(value, dtype=dtype).tobytes()).decode()
        return {"array": dtype, "shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {"dict": [[_pack(k), _pack(v)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        return [_pack(v) for v in value]
    if is_dataclass(value):
        return {
            "class": type(value).__name__,
            "fields": {field.name: _pack(getattr(value, field.name)) for field in fields(value)},
        }
    msg = f"{type(value).__name__} {value!r} cannot be written as JSON: use str or int labels"
    raise TypeError(msg)


def _unpack(value: Any, classes: dict[str, type]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, classes) for v in value]
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "date" in value:
        return np.datetime64(value["date"])
    if "labels" in value:
        return np.array([_unpack(v, classes) for v in value["labels"]])
    if "array" in value:
        if value["array"] not in ("<f4", *_DTYPES.values()):
            msg = f"unknown dtype {value['array']!r}"
            raise ValueError(msg)
        flat = np.frombuffer(base64.b64decode(value["data"]), dtype=value["array"])
        return flat.reshape(value["shape"]).copy()
    if "dict" in value:
        return {_unpack(k, classes): _unpack(v, classes) for k, v in value["dict"]}
    found = classes[value["class"]]
    return found(**{name: _unpack(v, classes) for name, v in value["fields"].items()})
