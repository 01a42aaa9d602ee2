"""Values of Python as plain data, so that what a program returned can be compared in another process.

`encode` runs on both sides; its source is sent to the other. Equal values have equal codes, as far as Python calls them
equal: 1, 1.0 and True are, a list and a tuple are not. What has no code is equal to nothing.
"""

from __future__ import annotations

from typing import Any


def encode(value: Any) -> Any:
    """Return the code of a value; None when it has none."""
    if value is None:
        return ["none"]
    if isinstance(value, (bool, int)):
        return ["number", str(int(value))]
    if isinstance(value, float):
        if value != value:
            return None
        return ["number", str(int(value)) if value.is_integer() else repr(value)]
    if isinstance(value, complex):
        return ["complex", repr(value)]
    if isinstance(value, str):
        return ["text", str(value)]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, dict):
        parts = [[encode(key), encode(item)] for key, item in value.items()]
        return None if any(None in part for part in parts) else ["dict", sorted(parts, key=repr)]
    kinds = {"list": list, "tuple": tuple, "set": (set, frozenset)}
    for name, kind in kinds.items():
        if isinstance(value, kind):  # type: ignore[arg-type]
            codes = [encode(item) for item in value]
            return None if None in codes else [name, sorted(codes, key=repr) if name == "set" else codes]
    return None


def loosened(code: Any) -> Any:
    """Return a code in which tuples are lists, for expected values that JSON has said."""
    if not isinstance(code, list):
        return code
    if code[:1] == ["tuple"]:
        code = ["list", *code[1:]]
    return [loosened(part) for part in code]
