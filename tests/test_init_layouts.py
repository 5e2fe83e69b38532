"""What init makes of folders that are laid out in other ways: nothing here is one of the known competitions."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from comp.errors import DataError
from comp.init import InitReport, init_workspace
from tests.handed_out import asked, prove


def draw(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 30)).save(root / name, format="PNG")


def write(path: Path, columns: str, *rows: tuple) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns.split()).to_csv(path, index=False)


def conclude(tmp_path: Path, settle: tuple[str, str] | None = None) -> tuple[InitReport, dict]:
    """And prove that what was concluded (after one edited line, where there is one to edit) can be worked with."""
    report = init_workspace(tmp_path / "w", tmp_path / "data")
    if settle is not None:
        text = report.file.read_text(encoding="utf-8")
        assert text.count(settle[0]) == 1
        report.file.write_text(text.replace(*settle), encoding="utf-8")
        report = init_workspace(tmp_path / "w")
    return report, prove(report)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (("chest/train", "chest/val", "chest/test"), {"train": "chest/train", "valid": "chest/val", "test": "chest/test"}),
        (("seg_train/seg_train", "", "seg_test/seg_test"), {"train": "seg_train/seg_train", "test": "seg_test/seg_test"}),
        (("flowers", "", ""), {"train": "flowers"}),
        (("Training Data", "", "Test Data"), {"train": "Training Data", "test": "Test Data"}),
    ],
)
def test_class_folders_further_down_and_called_otherwise(tmp_path, parts, wanted):
    for part in filter(None, parts):
        draw(tmp_path / "data", *(f"{part}/{name}/{part[:2]}{number}.png" for name in ("rose", "tulip") for number in range(6)))
    _, found = conclude(tmp_path)
    assert found["dataset"] == {"use": "folder", "data": str(tmp_path / "data"), **wanted} and found["task"]["classes"] == 2


def test_class_folders_in_the_only_folder_of_an_archive(tmp_path):
    draw(tmp_path, "one.png")
    (tmp_path / "data").mkdir()
    for part, names in (
        ("train", [f"{name}/{number}.png" for name in ("rose", "tulip") for number in range(6)]),
        ("test", ["7.png"]),
    ):
        with zipfile.ZipFile(tmp_path / "data" / f"{part}.zip", "w") as archive:
            for name in names:
                archive.write(tmp_path / "one.png", f"{part}/{name}")
    _, found = conclude(tmp_path)
    assert (found["dataset"]["train"], found["dataset"]["test"]) == ("train.zip", "test.zip")
    assert (found["task"]["classes"], found["task"]["rows"], found["task"]["test_rows"]) == (2, 12, 1)


def test_a_table_in_another_encoding_is_told_of(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/a{number}.png" for number in range(12)), "test/t.png", "test/u.png")
    write(data / "train.csv", "id label", *((f"a{number}", ("가지", "포도")[number % 2]) for number in range(12)))
    write(data / "sample_submission.csv", "id label", ("t", "가지"), ("u", "가지"))
    (data / "test.csv").write_bytes("id,설명\nt,시험\nu,시험\n".encode("cp949"))
    report, found = conclude(tmp_path)
    assert "test" not in found["dataset"] and found["task"]["test_rows"] == 2
    assert "  # test: test.csv\n" in report.file.read_text(encoding="utf-8")
    [question] = [note.question for note in report.questions if note.key == "dataset.test"]
    assert "test.csv is not UTF-8" in question
    (data / "train.csv").write_bytes((data / "train.csv").read_text(encoding="utf-8").encode("cp949"))
    with pytest.raises(DataError, match="train.csv is not UTF-8"):
        init_workspace(tmp_path / "v", data)


def test_names_of_files_from_a_mac(tmp_path):
    data = tmp_path / "data"
    names = [f"가지_{number}.png" for number in range(12)]
    draw(data, *(unicodedata.normalize("NFD", f"train/{name}") for name in names), unicodedata.normalize("NFD", "test/포도.png"))
    write(data / "train.csv", "file label", *((name, "xy"[number % 2]) for number, name in enumerate(names)))
    write(data / "sample_submission.csv", "file label", ("포도.png", "x"))
    _, found = conclude(tmp_path)
    assert (found["dataset"]["images"], found["dataset"]["test_images"], found["task"]["test_rows"]) == ("train", "test", 1)


def test_a_folder_of_images_for_each_row(tmp_path):
    data = tmp_path / "data"
    draw(
        data,
        *(f"train/images/p{row}/{name}.png" for row in range(12) for name in ("mask", "normal")),
        "eval/images/t.png",
        "eval/images/u.png",
    )
    write(data / "train/train.csv", "id gender age path", *((row, "fm"[row % 2], 20 + row, f"p{row}") for row in range(12)))
    write(data / "eval/info.csv", "ImageID ans", ("t.png", 0), ("u.png", 0))
    first = init_workspace(tmp_path / "first", data)
    [question] = [note.question for note in first.questions if note.key == "dataset.target"]
    assert "gender" in question and "`file`" in question and "derive" in question
    _, found = conclude(tmp_path, ('target: "?"', "target: gender"))
    wanted = {"train": "train/train.csv", "sample": "eval/info.csv", "id": "ImageID", "images": "train/images", "folders": "path"}
    assert found["dataset"].items() >= wanted.items() and found["split"]["group"] == "path"
    assert (found["task"]["rows"], found["task"]["test_rows"]) == (24, 2)


def test_several_files_of_an_id_are_channels(tmp_path):
    data = tmp_path / "data"
    ids = [f"id{number}" for number in range(12)]
    draw(data, *(f"train/{name}_{end}.png" for name in ids for end in ("red", "blue")), "test/t_red.png", "test/t_blue.png")
    write(data / "train.csv", "Id Target", *((name, number % 3) for number, name in enumerate(ids)))
    write(data / "sample_submission.csv", "Id Predicted", ("t", 0))
    report, found = conclude(tmp_path)
    assert found["dataset"]["stack"] == ["{Id}_blue", "{Id}_red"] and "dataset.stack" in asked(report)
    assert (found["dataset"]["images"], found["dataset"]["test_images"]) == ("train", "test")


def test_files_called_by_an_id_and_more(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"images/{number}_small.png" for number in range(14)))
    write(data / "train.csv", "id label", *((number, "xy"[number % 2]) for number in range(12)))
    write(data / "sample_submission.csv", "id label", (12, "x"), (13, "x"))
    _, found = conclude(tmp_path)
    assert found["dataset"]["image"] == "{id}_small" and found["task"]["test_rows"] == 2


def test_a_row_for_each_label_in_both_tables(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/ID_{number}.png" for number in range(12)), "test/ID_t.png")
    labels = ("bleeding", "old_bleeding", "any")
    rows = [(f"ID_{number}_{label}", int(number % 4 > place)) for number in range(12) for place, label in enumerate(labels)]
    write(data / "train.csv", "ID Label", *rows)
    write(data / "sample_submission.csv", "ID Label", *((f"ID_t_{label}", 0.5) for label in labels))
    _, found = conclude(tmp_path)
    assert (found["dataset"]["long"], found["dataset"]["target"], found["dataset"]["id"]) == ("_", "Label", "ID")
    assert found["submission"] == {"use": "long", "separator": "_"} and found["task"]["test_rows"] == 1
    assert (found["task"]["kind"], found["task"]["rows"]) == ("multilabel", 12)


def test_ids_of_two_sides_are_no_long_table(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/{row // 2}_{('left', 'right')[row % 2]}.png" for row in range(12)))
    write(data / "train.csv", "image level", *((f"{row // 2}_{('left', 'right')[row % 2]}", row % 2) for row in range(12)))
    _, found = conclude(tmp_path)
    assert "long" not in found["dataset"] and found["task"]["rows"] == 12 and found["task"]["kind"] == "binary"


@pytest.mark.parametrize("listed", [False, True])
def test_a_sample_row_for_each_target(tmp_path, listed):
    data = tmp_path / "data"
    draw(data, *(f"train/Train_{number}.png" for number in range(12)), "test/Test_0.png", "test/Test_1.png")
    write(data / "train.csv", "image_id root vowel sign", *((f"Train_{row}", row % 3, row % 2, "§") for row in range(12)))
    rows = [(f"Test_{number}_{target}", f"Test_{number}", target) for number in range(2) for target in ("root", "vowel")]
    write(data / "sample_submission.csv", "row_id target", *((row[0], 0) for row in rows))
    if listed:
        write(data / "test.csv", "row_id image_id component", *rows)
    _, found = conclude(tmp_path)
    assert (found["dataset"]["id"], found["dataset"]["target"]) == ("image_id", ["root", "vowel"])
    assert found["submission"] == {"use": "long", "separator": "_", "answer": "label"}
    assert found["task"]["test_rows"] == 2 and found["metric"]["use"] == "accuracy"


def test_a_few_ids_that_stand_twice(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/a{number}.png" for number in range(20)))
    rows = [(f"a{number}", "xyz"[number % 3]) for number in range(20)]
    write(data / "train.csv", "id label", *rows, rows[4], ("a7", "z"))
    report, found = conclude(tmp_path)
    assert found["dataset"]["repeated"] == "first" and found["task"]["rows"] == 20
    [question] = [note.question for note in report.questions if note.key == "dataset.repeated"]
    assert "2 ids stand twice ('a4', 'a7'), 2 of these rows say different things" in question


def test_sets_that_only_the_sample_gives_away(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/a{number}.png" for number in range(12)), "test/t.png")
    sets = ["clear road water", "cloudy haze", "clear forest mine"]
    write(data / "train.csv", "image tags", *((f"a{number}", sets[number % 3]) for number in range(12)))
    write(data / "sample_submission.csv", "image tags", ("t", "clear water"))
    report, found = conclude(tmp_path)
    assert found["dataset"]["separator"] == " " and found["task"]["kind"] == "multilabel" and "dataset.separator" in asked(report)


def test_many_whole_numbers_of_an_age_are_a_number(tmp_path):
    data = tmp_path / "data"
    draw(data, *(f"train/a{number}.png" for number in range(24)))
    write(data / "train.csv", "image age", *((f"a{number}", 20 + number // 2) for number in range(24)))
    report, found = conclude(tmp_path)
    assert found["task"]["kind"] == "regression" and "task.kind" in asked(report)
