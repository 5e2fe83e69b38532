"""Formats: JSON files of ours are read up to the format that is known; what a newer comp wrote, or none, is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comp import __version__
from comp.errors import FormatError

SCORES = 1
"""Of scores.json, which many read."""

SAMPLES = 1
"""Of samples.json: the pictures that a network was shown."""


def read_record(file: Path, newest: int) -> dict[str, Any]:
    """What a JSON file says.

    Args:
        newest: the format up to which it is known.

    Raises:
        FormatError: a newer comp wrote it, or it is none of ours, or damaged.
    """
    return parse_record(file, file.read_bytes(), newest)


def parse_record(file: Path, text: str | bytes, newest: int) -> dict[str, Any]:
    """What a line of `file`, or all of it, says. Raises: FormatError: as read_record."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file} cannot be read ({error}). Was it edited by hand?") from error
    number = record.get("format") if isinstance(record, dict) else None
    if not isinstance(number, int):
        raise FormatError(f"{file} has no `format`: it is no file of comp, or was edited by hand.")
    if number > newest:
        writer = f"comp {record['comp']} wrote it, this is {__version__}" if "comp" in record else f"this is comp {__version__}"
        raise FormatError(f"{file} has format {number}; this comp reads up to {newest}: install a newer one ({writer}).")
    return record
