"""Inline: plain data as YAML on one line, for the files that comp writes with comments around it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*")
UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML takes for line breaks, or refuses to read, unless it is escaped."""

NOT_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def to_yaml(value: Any) -> str:
    """Text is quoted where YAML (1.1 or 1.2) could read it as something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_yaml(str(key))}: {to_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(to_yaml(item) for item in value) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT:
        return value
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
