"""Indirect: images that no column names: files called by an id and more (`<id>_red.png`), or all in a folder that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from comp.listing import Listing, rank_places
from comp.notes import Notes
from comp.tables import name_few

LOOKED = 200
SHARE = 0.95
MOST_ENDINGS = 20


@dataclass(frozen=True)
class Folders:
    """A column whose cells are the names of folders of images, and the folder that these lie in."""

    column: str
    place: str


def find_folders(listing: Listing, table: pd.DataFrame) -> Folders | None:
    """Each row names a folder of its own, with its images."""
    above = {path.rpartition("/")[0] for at, path, *_ in listing.images if not at and "/" in path}
    parents = {folder.rpartition("/")[2]: folder.rpartition("/")[0] or "." for folder in above}
    for column in table:
        names = table[column].str.strip("/").str.rpartition("/")[2]
        if names.is_unique and len(names) > 1 and names.isin(parents).all() and len({parents[name] for name in names}) == 1:
            place, given = parents[names.iloc[0]], table[column].iloc[0].strip("/").removeprefix("./")
            return Folders(str(column), place.removesuffix(given.rpartition("/")[0]).rstrip("/") or ".")
    return None


def conclude_folders_of_rows(listing: Listing, table: pd.DataFrame, sample: pd.DataFrame | None, notes: Notes) -> str | None:
    """`dataset.folders`, `images`, `id`, and the group of the split; None where no column names folders, else the id."""
    found = find_folders(listing, table)
    if found is None:
        return None
    header = "image_id" if sample is None or sample.columns[0] in table else str(sample.columns[0])
    why = f"no column of {', '.join(table)}: the folders' images have no ids of their own"
    own = notes.add("dataset.id", header, why)
    notes.add("dataset.images", found.place, f"holds the folders that {found.column!r} names")
    notes.add("dataset.folders", found.column, "each row names a folder of images; in each image's row, `file` is its name there")
    notes.add("split.group", found.column, "the images of one folder stay together")
    return own


def find_endings(listing: Listing, ids: Sequence[str]) -> list[str]:
    """What the files' names have behind the ids, the same for (nearly) all of them; none where they have nothing."""
    stems = {stem for *_, stem in listing.images}
    first = next((text for text in ids if any(stem.startswith(text) for stem in stems)), "") if ids else ""
    found = sorted({stem[len(first) :] for stem in stems if stem.startswith(first)} - {""}) if first else []
    some = list(ids[:: max(1, len(ids) // LOOKED)])
    # A digit would make 12 an ending of 1.
    tried = [ending for ending in found if not ending[0].isdigit()][:MOST_ENDINGS] if len(found) <= 10 * MOST_ENDINGS else []
    return [ending for ending in tried if sum(text + ending in stems for text in some) >= SHARE * len(some)]


def conclude_endings(listing: Listing, column: str, ids: Sequence[str], tests: Sequence[str] | None, notes: Notes) -> bool:
    """`dataset.images`, and `stack` or `image` as templates of the id's column; whether the files are called so.

    Args:
        tests: the test ids; None: no table of them.
    """
    endings = find_endings(listing, ids)
    if not endings:
        return False
    braced = column if re.search(r"\{.*\}", column) else f"{{{column}}}"
    names = [braced + ending for ending in endings]
    place = rank_places(listing, "train", [text + endings[0] for text in ids[:: max(1, len(ids) // LOOKED)]])[0]
    notes.add("dataset.images", place.name, f"holds {place.share:.0%} of the images looked up by {names[0]}")
    if len(names) > 1:
        question = f"each id has {len(names)} files: are they the channels of one picture, all wanted, in this order?"
        notes.add("dataset.stack", names, f"files end in {name_few(endings)}", question)
    else:
        notes.add("dataset.image", names[0], "the files are called so")
    there = rank_places(listing, "test", [text + endings[0] for text in (tests or ())][:LOOKED])
    if tests is not None and not there:
        notes.add("dataset.test_images", "test_images", "no test set yet", "where will the test images be?")
    elif there and there[0].name != place.name:
        notes.add("dataset.test_images", there[0].name, f"holds {there[0].share:.0%} of the test images")
    return True
