"""Shown: what a run's report shows of the data: counts of the training rows, the test predictions, and single images by id.

Which of them stand in the report is comp.report's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from comp.api import STACK, Tables
from comp.competition import encode_targets
from comp.errors import ImageError
from comp.images import read_image, read_own
from comp.merge import apply_post
from comp.pictures import THUMBNAIL_PX, Look, Shown
from comp.plan import RunPlan
from comp.predictions import Predictions, read_predictions

if TYPE_CHECKING:
    from comp.engine.rows import Rows
    from comp.material import Material

READERS = 4


def show_run(plan: RunPlan, look: Look) -> Shown:
    """What the report of this run shows. `look`: how it comes by images."""
    task, tables = plan.competition.task, plan.competition.tables
    return Shown(task.targets, encode_targets(task, tables.train), read_submitted(plan), look)


def read_submitted(plan: RunPlan) -> Predictions | None:
    """The test predictions after post; None where there are none yet, or no test set."""
    file, scores = plan.run.folder / "test.parquet", plan.run.scores()
    if scores is None or not file.exists():
        return None
    predicted = apply_post(plan, read_predictions(file), scores)
    return predicted if len(predicted.ids) else None


def look_in_stores(material: Material) -> Look:
    """Images as the run's stores keep them, which costs nothing."""

    def look(what: str, ids: Sequence[str]) -> list[np.ndarray | str]:
        rows = material.train if what == "train" else material.test
        return [f"{unit}: not among the images that were read" for unit in ids] if rows is None else take_images(rows, ids)

    return look


def take_images(rows: Rows, ids: Sequence[str]) -> list[np.ndarray | str]:
    """The image of each unit's first row, or why it could not be read."""
    first = place_first(rows.ids, ids)
    found: list[np.ndarray | str] = []
    for unit in ids:
        place = first.get(unit)
        position = None if place is None else int(rows.positions[place])
        if position is None:
            found.append(f"{unit}: not among the images that were read")
        elif position in rows.store.bad:
            found.append(f"{unit}: {rows.store.bad[position]}")
        else:
            found.append(rows.store.take(np.array([position]))[0])
    return found


def look_at_files(tables: Tables) -> Look:
    """Images from where the tables say that they lie, one by one: for a run that trains nothing now."""

    def look(what: str, ids: Sequence[str]) -> list[np.ndarray | str]:
        table: pd.DataFrame | None = tables.train if what == "train" else tables.test
        if table is None:
            return [f"{unit}: there is no such table any more" for unit in ids]
        first, refs = place_first(table["id"].to_numpy(dtype=object), ids), table["image"].to_numpy(dtype=object)

        def read(unit: str) -> np.ndarray | str:
            return read_first(tables, refs[first[unit]]) if unit in first else f"{unit}: not in the table any more"

        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(read, ids))

    return look


def read_first(tables: Tables, ref: str) -> np.ndarray | str:
    """An image (of a stack the first that is there), or why it cannot be read."""
    part = next((part for part in ref.split(STACK) if part), "")
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    try:
        return read_image(tables.root / part, size) if tables.read is None else read_own(tables.read, part, size)
    except ImageError as error:
        return str(error)


def place_first(ids: np.ndarray, wanted: Sequence[str]) -> dict[str, int]:
    """Where each of these units first stands."""
    asked, found = set(wanted), {}
    for place, unit in enumerate(ids):
        if unit in asked:
            found.setdefault(unit, place)
    return found
