"""A volume of bytes as it is written in YAML: a number of bytes, or `500 GB` in powers of 1000."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
"""Powers of 1000 (spec S9: a KB is 1000 bytes)."""


def volume(written: object) -> object:
    """The bytes of a text like `1.5 TB`; anything else as it is, for pydantic to check. Raises ValueError."""
    if not isinstance(written, str):
        return written
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?B)?\s*", written, re.IGNORECASE)
    if found is None:
        raise ValueError(f"{written!r} is no volume; write a number of bytes, or one with {', '.join(UNITS)}: 500 GB")
    number, unit = found.groups()
    return round(float(number) * UNITS[(unit or "B").upper()])


Volume = Annotated[
    int,
    BeforeValidator(volume),
    Field(gt=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string", "examples": ["500 GB"]}]}),
]
