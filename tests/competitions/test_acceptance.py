"""The independent checker: it takes good files of every kind and refuses each single mistake, naming its row or column."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest

from tests.competitions.acceptance import find_faults
from tests.competitions.facts import FORMS

CACTUS, GRADES, BREEDS = "aerial-cactus-identification", "aptos2019-blindness-detection", "dog-breed-identification"
HOTELS, ATTRIBUTES, DISEASES = "hotel-id-2021-fgvc8", "imet-2020-fgvc7", "plant-pathology-2021-fgvc8"
SEEDLINGS, CATHETERS, ICEBERGS = (
    "plant-seedlings-classification",
    "ranzcr-clip-catheter-line-classification",
    "statoil-iceberg-classifier-challenge",
)
WILDCAM, PAWS, PLANTS, SPECIES = (
    "iwildcam-2020-fgvc7",
    "petfinder-pawpularity-score",
    "plant-pathology-2020-fgvc7",
    "inaturalist-2019-fgvc6",
)
HEX = "0123456789abcdef"
SCORED = [
    "ETT - Abnormal",
    "ETT - Borderline",
    "ETT - Normal",
    "NGT - Abnormal",
    "NGT - Borderline",
    "NGT - Incompletely Imaged",
    "NGT - Normal",
    "CVC - Abnormal",
    "CVC - Borderline",
]

Rows = list[list[str]]


def name_hex(number: int, length: int, ending: str = "") -> str:
    """A name of hexadecimal digits that begins with zeros."""
    return f"{number * 37:0{length}x}{ending}"


def save(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_data(slug: str, data: Path, good: Rows) -> None:
    """The sample (with the ids of `good`) and what the known labels stand in, for the kinds that need it."""
    data.mkdir()
    tables = {
        BREEDS: ("labels.csv", [["id", "breed"], ["a", "pug"], ["b", "black-and-tan_coonhound"], ["c", "boxer"], ["d", "pug"]]),
        HOTELS: (
            "train.csv",
            [["image", "chain", "hotel_id", "timestamp"], *([f"{k}.jpg", "3", str(k), "now"] for k in range(11, 19))],
        ),
        ATTRIBUTES: ("labels.csv", [["attribute_id", "attribute_name"], ["0", "country::x"], ["7", "tag::y"], ["13", "tag::z"]]),
        DISEASES: ("train.csv", [["image", "labels"], ["a.jpg", "scab rust"], ["b.jpg", "healthy"], ["c.jpg", "scab complex"]]),
        CATHETERS: (
            "train.csv",
            [
                ["StudyInstanceUID", *SCORED, "CVC - Normal", "Swan Ganz Catheter Present", "PatientID"],
                ["1.2", *"00000000000", "p"],
            ],
        ),
    }
    if slug in tables:
        save(data / tables[slug][0], tables[slug][1])
    if slug == SEEDLINGS:
        for name in ("Sugar beet", "Shepherds Purse", "Small-flowered Cranesbill"):
            (data / "train" / name).mkdir(parents=True)
    coco = {"annotations": [{"image_id": 1, "category_id": 3}, {"image_id": 2, "category_id": 675}], "categories": [{"id": 0}]}
    for file in ("iwildcam2020_train_annotations.json", "train2019.json"):
        (data / file).write_text(json.dumps(coco), encoding="utf-8")
    sample = data / ("kaggle_sample_submission.csv" if slug == SPECIES else "sample_submission.csv")
    save(sample, [good[0], *([row[0], *["0"] * (len(row) - 1)] for row in good[1:])])
    if slug == ICEBERGS:
        with py7zr.SevenZipFile(data / "sample_submission.csv.7z", "w") as archive:
            archive.write(sample, "sample_submission.csv")
        sample.unlink()


GOOD: dict[str, Rows] = {
    CACTUS: [["id", "has_cactus"], *([name_hex(k, 32, ".jpg"), v] for k, v in enumerate(["0", "0.25", "1e-07", "1.0"]))],
    GRADES: [["id_code", "diagnosis"], *([name_hex(k, 12), v] for k, v in enumerate(["0", "4", "2", "2"]))],
    BREEDS: [
        ["id", "black-and-tan_coonhound", "boxer", "pug"],
        *([name_hex(k, 32), *v.split()] for k, v in enumerate(["0.2 0.3 0.5", "1 0 0", "0.333333 0.333333 0.333333"])),
    ],
    HOTELS: [["image", "hotel_id"], *([name_hex(k, 16, ".jpg"), v] for k, v in enumerate(["11 12 13 14 15", "18", "16 11"]))],
    ATTRIBUTES: [["id", "attribute_ids"], *([name_hex(k, 32), v] for k, v in enumerate(["0 7", "", "13"]))],
    DISEASES: [["image", "labels"], *([name_hex(k, 16, ".jpg"), v] for k, v in enumerate(["scab rust", "healthy", "complex"]))],
    SEEDLINGS: [
        ["file", "species"],
        *([name_hex(k, 9, ".png"), v] for k, v in enumerate(["Sugar beet", "Small-flowered Cranesbill"])),
    ],
    CATHETERS: [
        ["StudyInstanceUID", *SCORED],
        *([f"1.2.826.0.1.{k}", *["0.125"] * 8, v] for k, v in enumerate(["1", "0", "0.5"])),
    ],
    ICEBERGS: [["id", "is_iceberg"], *([name_hex(k, 8), v] for k, v in enumerate(["0.5", "0.9", "0.01"]))],
    WILDCAM: [["Id", "Category"], *([f"96b004ea-21bc-{k}", v] for k, v in enumerate(["0", "675", "3"]))],
    SPECIES: [["id", "predicted"], *([str(k), v] for k, v in enumerate(["3 675 0", "3", "675 0"], 268243))],
    PAWS: [["Id", "Pawpularity"], *([name_hex(k, 32), v] for k, v in enumerate(["1", "100.0", "38.42"]))],
    PLANTS: [
        ["image_id", "healthy", "multiple_diseases", "rust", "scab"],
        *([f"Test_{k}", *v.split()] for k, v in enumerate(["0.25 0.25 0.25 0.25", "-3.5 7 0 1e2", "1 1 0 0"])),
    ],
}


def check(slug: str, folder: Path, rows: Rows) -> list[str]:
    """The faults of these rows as a submission for data made for the slug's good ones."""
    write_data(slug, folder / "data", GOOD[slug])
    save(folder / "given.csv", rows)
    return find_faults(slug, folder / "given.csv", folder / "data")


@pytest.mark.parametrize("slug", GOOD)
def test_a_good_file_passes(slug: str, tmp_path: Path):
    assert check(slug, tmp_path, GOOD[slug]) == []


def drop(rows: Rows) -> Rows:
    return [rows[0], *rows[2:]]


def double(rows: Rows) -> Rows:
    return [*rows, rows[-1]]


def double_in_place(rows: Rows) -> Rows:
    return [*rows[:-1], rows[1]]


def reverse(rows: Rows) -> Rows:
    return [rows[0], *rows[:0:-1]]


def swap_columns(rows: Rows) -> Rows:
    return [[*row[:-2], row[-1], row[-2]] for row in rows]


def rename_the_last_column(rows: Rows) -> Rows:
    return [[*rows[0][:-1], rows[0][-1].lower() + "s"], *rows[1:]]


def drop_the_last_column(rows: Rows) -> Rows:
    return [row[:-1] for row in rows]


def add_an_index(rows: Rows) -> Rows:
    return [["", *rows[0]], *([str(number), *row] for number, row in enumerate(rows[1:]))]


def cut_a_row(rows: Rows) -> Rows:
    return [*rows[:-1], rows[-1][:-1]]


def respell_the_id(rows: Rows) -> Rows:
    name = rows[1][0]
    return [rows[0], [name.rpartition(".")[0] if "." in name else name + ".jpg", *rows[1][1:]], *rows[2:]]


def empty_the_id(rows: Rows) -> Rows:
    return [rows[0], ["", *rows[1][1:]], *rows[2:]]


def append_a_blank_line(rows: Rows) -> Rows:
    return [*rows, []]


WHOLE_FILE: dict[Callable[[Rows], Rows], str] = {
    drop: r"row 1 of the sample: id '.+' is missing",
    double: r"row \d+: id '.+' stands in row \d+ already",
    double_in_place: r"row \d+: id '.+' stands in row 1 already",
    reverse: r"row 1: id '.+' stands where the sample has '.+'",
    swap_columns: r"header: column '.+' stands where '.+' belongs",
    rename_the_last_column: r"header: column '.+' missing; column '.+' not asked for",
    drop_the_last_column: r"header: column '.+' missing",
    add_an_index: r"header: column '' not asked for",
    cut_a_row: r"row \d+: \d+ cells instead of \d+",
    respell_the_id: r"row 1: id '.+' is not in the sample",
    empty_the_id: r"row 1: id '' is not in the sample",
    append_a_blank_line: r"row \d+: 0 cells instead of \d+",
}


@pytest.mark.parametrize("change", WHOLE_FILE, ids=lambda change: change.__name__)
@pytest.mark.parametrize("slug", GOOD)
def test_a_change_of_rows_or_columns_is_refused(slug: str, change: Callable[[Rows], Rows], tmp_path: Path):
    faults = check(slug, tmp_path, change(GOOD[slug]))
    assert any(re.match(WHOLE_FILE[change], fault) for fault in faults), faults


CELLS = {
    CACTUS: ["1.2", "-0.01", "nan", "NaN", "inf", "", "0,5", "0.5 ", "yes", "1_0", "[0.5]"],
    GRADES: ["5", "-1", "2.0", "1.7", "", "nan", "02", "1 2", "one"],
    BREEDS: ["1.2", "-0.1", "nan", "", "pug", "0.9"],
    HOTELS: ["11 12 13 14 15 16", "11 11", "", "nan", "99", "11,12", "11  12", " 11", "11 12 ", "11.0"],
    ATTRIBUTES: ["0 0", "1", "7.0", "nan", "0  7", "7,13", "[]"],
    DISEASES: ["", "scab scab", "mildew", "Scab", "scab,rust", "nan"],
    SEEDLINGS: ["sugar beet", "Sugar_beet", "Charlock", "", "nan", "0"],
    CATHETERS: ["1.2", "-1", "nan", "", "True"],
    ICEBERGS: ["1.2", "nan", ""],
    WILDCAM: ["1", "3.0", "-3", "", "nan", "3 675"],
    SPECIES: ["4", "3 3", "3.0", "", "nan"],
    PAWS: ["0.99", "100.01", "0", "nan", "inf", "", "38,42"],
    PLANTS: ["nan", "inf", "-inf", "1e999", "", "healthy"],
}


@pytest.mark.parametrize(("slug", "cell"), [(slug, cell) for slug, cells in CELLS.items() for cell in cells])
def test_a_wrong_cell_is_refused_by_row_and_column(slug: str, cell: str, tmp_path: Path):
    header, first, second, *rest = GOOD[slug]
    faults = check(slug, tmp_path, [header, first, [*second[:-1], cell], *rest])
    assert len(faults) == 1, faults
    assert faults[0].startswith(f"row 2 ({second[0]})"), faults
    assert f"column {header[-1]!r}" in faults[0] or "sum to" in faults[0], faults


def test_a_row_of_class_probabilities_sums_to_one(tmp_path: Path):
    rows = [GOOD[BREEDS][0], [GOOD[BREEDS][1][0], "0.2", "0.3", "0.6"], *GOOD[BREEDS][2:]]
    assert check(BREEDS, tmp_path, rows) == [f"row 1 ({rows[1][0]}): the probabilities sum to 1.1000 instead of 1"]


def test_every_fault_is_named(tmp_path: Path):
    header, *rows = GOOD[CACTUS]
    faults = check(CACTUS, tmp_path, [header, [rows[0][0], "2"], ["strange", "0"], *rows[2:]])
    assert [fault.split(":")[0] for fault in faults] == [
        "row 2",
        "row 2 of the sample",
        f"row 1 ({rows[0][0]}), column 'has_cactus'",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda raw: b"\xef\xbb\xbf" + raw, "header: a byte order mark"),
        (lambda raw: raw.replace(b"Sugar", b"S\xfcgar"), "row 1: byte 0xfc is not UTF-8"),
        (lambda raw: raw.replace(b"\n", b"\r\n", 1), "row 0: ends unlike the others"),
        (lambda raw: raw.replace(b"\n", b"\r"), "row 0: ends unlike the others"),
        (lambda raw: raw.replace(b"Sugar", b'"Sugar'), "row 2: "),
        (lambda raw: raw.replace(b",", b";"), "header: column 'file', 'species' missing"),
        (lambda raw: raw.decode().encode("utf-16"), "row 0: byte 0xff is not UTF-8"),
        (lambda raw: b"", "header: the file is empty"),
    ],
)
def test_wrong_bytes_are_refused(change: Callable[[bytes], bytes], fault: str, tmp_path: Path):
    assert check(SEEDLINGS, tmp_path, GOOD[SEEDLINGS]) == []
    given = tmp_path / "given.csv"
    given.write_bytes(change(given.read_bytes()))
    faults = find_faults(SEEDLINGS, given, tmp_path / "data")
    assert any(line.startswith(fault) for line in faults), faults


def test_lines_may_end_by_crlf_and_cells_be_quoted(tmp_path: Path):
    check(SEEDLINGS, tmp_path, GOOD[SEEDLINGS])
    given = tmp_path / "given.csv"
    given.write_bytes(given.read_bytes().replace(b"\n", b"\r\n").replace(b"Sugar beet", b'"Sugar beet"'))
    assert find_faults(SEEDLINGS, given, tmp_path / "data") == []


def test_a_sample_that_belies_the_facts_is_no_data_of_the_competition(tmp_path: Path):
    write_data(CACTUS, tmp_path / "data", GOOD[CACTUS])
    save(tmp_path / "data" / "sample_submission.csv", [GOOD[CACTUS][0], ["7", "0.5"]])
    with pytest.raises(ValueError, match="ids '7'"):
        find_faults(CACTUS, tmp_path / "given.csv", tmp_path / "data")


@pytest.mark.parametrize("slug", FORMS)
def test_the_perfect_submission_of_each_miniature_passes_and_its_changes_do_not(slug: str, tmp_path: Path):
    solution = importlib.import_module(f"tests.competitions.minis.{slug.replace('-', '_')}").write(tmp_path / "data")
    rows = [list(solution.columns), *solution.to_numpy().tolist()]
    for change in (list, *WHOLE_FILE):
        save(tmp_path / "given.csv", change(rows))
        faults = find_faults(slug, tmp_path / "given.csv", tmp_path / "data")
        assert bool(faults) == (change is not list), (change.__name__, faults[:5])
