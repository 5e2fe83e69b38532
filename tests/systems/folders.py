"""Folders: digits as pictures in class folders, the form of the paintings and of the butterflies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.competitions.drawing import take_digits


def write_classes(place: Path, names: Sequence[str], counts: Sequence[int], test: bool = False, skip: int = 0) -> dict[str, str]:
    """counts[k] pictures of digit k in the folder names[k] below `place`; returns file -> class, in the order of the paths.

    Args:
        skip: so many of each digit are left out before.
    """
    taken: dict[int, int] = {}
    found = {}
    for number, drawing in enumerate(take_digits([count + skip for count in counts], test)):
        taken[drawing.digit] = taken.get(drawing.digit, 0) + 1
        if taken[drawing.digit] > skip:
            path = f"{names[drawing.digit]}/pic_{number:03d}.jpg"
            drawing.save(place / path, 32, 32)
            found[path] = names[drawing.digit]
    return dict(sorted(found.items()))


def write_competition(root: Path, **keys: Any) -> None:
    """competition.yaml; JSON is YAML, too."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "competition.yaml").write_text(json.dumps({"format": 1, **keys}))


def read_fold(root: Path, name: str, fold: str = "0") -> tuple[Path, dict[str, Any]]:
    """The folder of a fold of the only run of an experiment, and what its fold.json holds."""
    [record] = (root / "experiments" / name / "runs").glob(f"*/{'' if fold == 'full' else 'fold'}{fold}/fold.json")
    return record.parent, json.loads(record.read_text())


def read_events(root: Path, name: str) -> list[dict[str, Any]]:
    [file] = (root / "experiments" / name / "runs").glob("*/events.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]
