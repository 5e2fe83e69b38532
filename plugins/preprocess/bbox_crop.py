"""Preprocess `bbox_crop`: only what lies in an image's box, from columns of the tables or from a file of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import STACK, PluginError, Preprocess, Tables, plugin

from ._boxes import Box, cut_out


@plugin("preprocess")
def bbox_crop(
    tables: Tables,
    root: Path,
    /,
    *,
    columns: list[str] = ["x", "y", "width", "height"],  # noqa: B006 (a literal, as a signature that is a schema needs)
    file: Path | None = None,
    key: str = "image",
    corners: bool = False,
    margin: float = 0.0,
    square: bool = False,
) -> Preprocess:
    """Cut an image's box out, in pixels of the whole image. An image without a box stays whole.

    Args:
        columns: left, top, width and height of the box.
        file: a CSV of boxes, from the workspace; null: the columns stand in the training and test tables.
        key: the file's column that names the image: its row_id, id, path or file name, with or without an extension.
        corners: whether the columns are left, top, right and bottom.
        margin: share of the box's size that is added on each side, from 0.
        square: whether the shorter side is widened to the longer one.

    Raises:
        PluginError: no such file, no such columns, or boxes that are no numbers.

    Example: {use: bbox_crop, file: boxes.csv, key: image_id, columns: [x1, y1, x2, y2], corners: true, margin: 0.1}
    """
    if len(columns) != 4 or margin < 0:
        raise PluginError(f"bbox_crop: columns are {columns}, margin {margin}; wanted four columns and a margin from 0")
    boxes = read_file(root, file, key, columns, tables) if file is not None else read_columns(tables, columns)
    numbers = {ref: tuple(map(float, box)) for ref, box in boxes.items()}
    if corners:
        numbers = {ref: (x, y, right - x, bottom - y) for ref, (x, y, right, bottom) in numbers.items()}
    return CropToBox(numbers, margin, square)


@dataclass(frozen=True)
class CropToBox:
    """`boxes`: reference -> box."""

    boxes: Mapping[str, Box]
    margin: float
    square: bool

    def __call__(self, image: np.ndarray, ref: str) -> np.ndarray:
        box = self.boxes.get(ref)
        return image if box is None else cut_out(image, box, self.margin, self.square)

    def key(self, ref: str) -> str:
        return str(self.boxes.get(ref, ""))


def read_columns(tables: Tables, columns: list[str]) -> dict[str, list[str]]:
    """Reference -> the box's four texts, from the tables; rows with empty cells have none."""
    found: dict[str, list[str]] = {}
    for name, table in (("training", tables.train), ("test", tables.test)):
        if table is None or not len(table):
            continue
        absent = [column for column in columns if column not in table]
        if absent:
            lacking = ", ".join(map(repr, absent))
            raise PluginError(f"bbox_crop: the {name} table has no column {lacking}; it has {', '.join(table)}")
        found |= dict(zip(table["image"], check_numbers(table[columns], name).to_numpy().tolist(), strict=True))
    return {ref: box for ref, box in found.items() if "" not in box}


def read_file(root: Path, file: Path, key: str, columns: list[str], tables: Tables) -> dict[str, list[str]]:
    """The same from a file; several boxes of an image: the first."""
    place = next((path for path in (root / file, file) if path.is_file()), None)
    if place is None:
        raise PluginError(f"bbox_crop: there is no file {file} in {root}")
    table = pd.read_csv(place, dtype=str, na_filter=False, encoding="utf-8-sig")
    absent = [column for column in (key, *columns) if column not in table]
    if absent:
        raise PluginError(f"bbox_crop: {file} has no column {', '.join(map(repr, absent))}; it has {', '.join(table)}")
    table = table.drop_duplicates(key)
    boxes = dict(zip(table[key], check_numbers(table[columns], str(file)).to_numpy().tolist(), strict=True))
    found = {}
    for rows in (tables.train, tables.test):
        if rows is None:
            continue
        for row_id, unit, stack in zip(rows["row_id"], rows["id"], rows["image"], strict=True):
            for ref in stack.split(STACK):
                names = (ref, Path(ref).name, Path(ref).stem, row_id, unit)
                box = next((boxes[name] for name in names if name in boxes), None)
                if box is not None and "" not in box:
                    found[ref] = box
    return found


def check_numbers(boxes: pd.DataFrame, name: str) -> pd.DataFrame:
    """Raises PluginError: a cell that is neither empty nor a number."""
    wrong = boxes.apply(lambda cells: pd.to_numeric(cells, errors="coerce").isna() & (cells != "")).any(axis=1)
    if wrong.any():
        first = boxes[wrong].iloc[0].tolist()
        raise PluginError(f"bbox_crop: {name} has {int(wrong.sum())} boxes that are no numbers, such as {first}")
    return boxes
