"""What each of the 23 competitions publishes about its submission, a line each: `FORMS`. Nothing of the kit is used here.

A fact is data where it can be (columns, spelling of an id) and else a small function: what a cell may hold, where the known
labels stand in the training source.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Known = frozenset[str]
Judge = Callable[[str, Known], str | None]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SHOWN = 4


def show(names: list[str]) -> str:
    """The first few names, quoted."""
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


# What one cell may hold: called with the cell and the known labels, each says what is wrong, or None.


def number_in(low: float, high: float) -> Judge:
    """A plain decimal number, finite and in [low, high]."""

    def judge(cell: str, known: Known) -> str | None:
        if NUMBER.fullmatch(cell) and math.isfinite(float(cell)) and low <= float(cell) <= high:
            return None
        return f"{cell!r} is no finite number" + ("" if math.isinf(high) else f" in [{low:g}, {high:g}]")

    return judge


def one_label(cell: str, known: Known) -> str | None:
    """Exactly one known label, spelt as in the training source: 3 is not 3.0, nor 03."""
    return None if cell in known else f"{cell!r} is none of the {len(known)} known labels ({show(sorted(known))})"


def labels(least: int, most: float) -> Judge:
    """Known labels joined by one space, none of them twice."""

    def judge(cell: str, known: Known) -> str | None:
        given = cell.split(" ") if cell else []
        if not least <= len(given) <= most:
            return f"{cell!r} has {len(given)} labels; wanted {least} or more" + (f", at most {most}" if most < math.inf else "")
        twice = [name for name, count in Counter(given).items() if count > 1 and name]
        if twice:
            return f"{cell!r} has {show(twice)} twice"
        return next((fault for name in given if (fault := one_label(name, known)) is not None), None)

    return judge


PROBABILITY, SCORE, BEST_FIVE = number_in(0, 1), number_in(-math.inf, math.inf), labels(1, 5)

# Where the known labels come from: called with the data folder.
Source = Callable[[Path], Known]


def no_labels(data: Path) -> Known:
    """For values that are numbers."""
    return frozenset()


def integers(first: int, last: int) -> Source:
    """A range that the facts state."""
    return lambda data: frozenset(map(str, range(first, last + 1)))


def cells_of(table: str, column: str, *, parted: bool = False, further: tuple[str, ...] = ()) -> Source:
    """The values of a column of a table, or (`parted`) the words in them."""

    def read(data: Path) -> Known:
        cells = [row[column] for row in read_table(data / table)]
        return frozenset(further) | frozenset(word for cell in cells for word in (cell.split() if parted else [cell]) if word)

    return read


def categories_of(file: str) -> Source:
    """The category ids of a COCO file: those of its annotations and those that it lists."""

    def read(data: Path) -> Known:
        content = json.loads((data / file).read_text(encoding="utf-8"))
        annotated = {entry["category_id"] for entry in content["annotations"]}
        listed = {entry.get("category_id", entry.get("id")) for entry in content.get("categories", ())}
        return frozenset(map(str, (annotated | listed) - {None}))

    return read


def folders_in(folder: str) -> Source:
    """The names of the folders below a folder."""
    return lambda data: frozenset(path.name for path in (data / folder).iterdir() if path.is_dir())


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, all cells as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Form:
    """What one competition states of a submission: the id's column and spelling, the other columns, what a cell may hold.

    `columns` is the list itself, or the source of the set of names, whose order is then the sample's.
    """

    id: str
    id_spelling: str
    columns: tuple[str, ...] | Source
    judge: Judge
    known: Source = no_labels
    sums_to_one: bool = False
    sample: str = "sample_submission.csv"


def scored_lines(data: Path) -> Known:
    """ranzcr: the label columns of train.csv without the two that the sample lacks."""
    names = set(read_table(data / "train.csv")[0])
    return frozenset(names - {"StudyInstanceUID", "PatientID", "CVC - Normal", "Swan Ganz Catheter Present"})


FORMS = {
    "aerial-cactus-identification": Form("id", r"[0-9a-f]{32}\.jpg", ("has_cactus",), PROBABILITY),
    "aptos2019-blindness-detection": Form("id_code", r"[0-9a-f]{12}", ("diagnosis",), one_label, integers(0, 4)),
    "cassava-leaf-disease-classification": Form("image_id", r"\d+\.jpg", ("label",), one_label, integers(0, 4)),
    "dog-breed-identification": Form("id", r"[0-9a-f]{32}", cells_of("labels.csv", "breed"), PROBABILITY, sums_to_one=True),
    "dogs-vs-cats-redux-kernels-edition": Form("id", r"[1-9]\d*", ("label",), PROBABILITY),
    "herbarium-2022-fgvc9": Form("Id", r"0|[1-9]\d*", ("Predicted",), one_label, categories_of("train_metadata.json")),
    "histopathologic-cancer-detection": Form("id", r"[0-9a-f]{40}", ("label",), PROBABILITY),
    "hotel-id-2021-fgvc8": Form("image", r"[0-9a-f]{16}\.jpg", ("hotel_id",), BEST_FIVE, cells_of("train.csv", "hotel_id")),
    "imet-2020-fgvc7": Form(
        "id", r"[0-9a-f]{32}", ("attribute_ids",), labels(0, math.inf), cells_of("labels.csv", "attribute_id")
    ),
    "inaturalist-2019-fgvc6": Form(
        "id", r"\d+", ("predicted",), labels(1, math.inf), categories_of("train2019.json"), sample="kaggle_sample_submission.csv"
    ),
    "iwildcam-2020-fgvc7": Form("Id", r"[^.]+", ("Category",), one_label, categories_of("iwildcam2020_train_annotations.json")),
    "leaf-classification": Form("id", r"\d+", cells_of("train.csv", "species"), PROBABILITY, sums_to_one=True),
    "paddy-disease-classification": Form("image_id", r".+\.jpg", ("label",), one_label, cells_of("train.csv", "label")),
    "petfinder-pawpularity-score": Form("Id", r"[0-9a-f]{32}", ("Pawpularity",), number_in(1, 100)),
    "plant-pathology-2020-fgvc7": Form("image_id", r"Test_\d+", ("healthy", "multiple_diseases", "rust", "scab"), SCORE),
    "plant-pathology-2021-fgvc8": Form(
        "image", r"[0-9a-f]{16}\.jpg", ("labels",), labels(1, math.inf), cells_of("train.csv", "labels", parted=True)
    ),
    "plant-seedlings-classification": Form("file", r"[0-9a-f]{9}\.png", ("species",), one_label, folders_in("train")),
    "ranzcr-clip-catheter-line-classification": Form("StudyInstanceUID", r"\d+(\.\d+)+", scored_lines, PROBABILITY),
    "rsna-breast-cancer-detection": Form("prediction_id", r"\d+_[LR]", ("cancer",), PROBABILITY),
    "seti-breakthrough-listen": Form("id", r"[0-9a-f]{12}", ("target",), PROBABILITY),
    "siim-isic-melanoma-classification": Form("image_name", r"[^.]+", ("target",), PROBABILITY),
    "statoil-iceberg-classifier-challenge": Form("id", r"[^.]+", ("is_iceberg",), PROBABILITY, sample="sample_submission.csv.7z"),
    "whale-categorization-playground": Form(
        "Image", r"[0-9a-f]{8}\.jpg", ("Id",), BEST_FIVE, cells_of("train.csv", "Id", further=("new_whale",))
    ),
}
