"""What a report is given of the data, in a run from end to end."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from comp.competition import open_competition
from comp.manifest import load_manifest
from comp.predictions import read_predictions
from comp.shown import look_at_files, place_first, read_first


def report_of(tiny) -> str:
    return next((tiny.root / "experiments/exp001/runs").glob("*/report.html")).read_text()


def section(text: str, head: str) -> str:
    return text.partition(f"<h2>{head}")[2].partition("</section>")[0]


def read_grid(text: str) -> dict[str, tuple[np.ndarray, list[str]]]:
    """id -> picture and the other lines."""
    found = {}
    for jpeg, lines in re.findall(r'base64,([^"]*)" alt[^>]*>(.*?)</li>', text, re.S):
        unit, *others = re.findall(r"<div.*?>(.*?)</div>", lines)
        found[unit] = cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_GRAYSCALE), others
    return found


def nearest(picture: np.ndarray, folder: Path) -> str:
    """Which file's image it is."""
    away = {}
    for file in folder.iterdir():
        image = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), picture.shape, interpolation=cv2.INTER_LINEAR)
        away[file.stem] = np.abs(image.astype(float) - picture).mean()
    return min(away, key=away.get)


def lose_all_but_one(folder: Path) -> None:
    for file in sorted(folder.iterdir())[1:]:
        file.unlink()


def test_a_run_shows_its_data(tiny_run) -> None:
    text = report_of(tiny_run)
    run_folder = next((tiny_run.root / "experiments/exp001/runs").glob("*/oof.parquet")).parent
    truth = pd.read_csv(tiny_run.data / "train.csv", dtype=str).set_index("name")["label"]
    oof = read_predictions(run_folder / "oof.parquet")
    answers = pd.Series(oof.values.argmax(axis=1).astype(str), oof.ids)
    wrong = answers.index[answers != truth[answers.index]]
    mistakes = read_grid(section(text, "Surest mistakes"))
    assert len(mistakes) == min(24, len(wrong)) and set(mistakes) <= set(wrong)
    for unit, (picture, (true, predicted)) in list(mistakes.items())[:5]:
        assert nearest(picture, tiny_run.data / "train") == unit
        assert true == f"true: {truth[unit]}" and predicted.startswith(f"predicted: {answers[unit]} (")
    test = read_predictions(run_folder / "test.parquet")
    shown = read_grid(section(text, "Test pictures"))
    assert list(shown) == list(test.ids)
    for unit, values in zip(test.ids, test.values, strict=True):
        assert shown[unit][1] == [f"{values.argmax()} ({values.max():.0%})"]
        assert nearest(shown[unit][0], tiny_run.data / "test") == unit
    counts = re.findall(r"<tr><td>(\d)</td><td>(\d+)</td>.*?<td>(\d+)</td><td>[^<]*</td></tr>", section(text, "Counts"), re.S)
    predicted = np.bincount(test.values.argmax(axis=1), minlength=3)
    assert counts == [(str(digit), "20", str(predicted[digit])) for digit in range(3)]


def test_training_pictures_are_kept_by_every_fold(tiny_run) -> None:
    files = sorted((tiny_run.root / "experiments/exp001/runs").glob("*/fold*/samples.json"))
    assert [file.parent.name for file in files] == ["fold0", "fold1"]
    [kept] = json.loads(files[0].read_text())["stages"].values()
    assert section(report_of(tiny_run), "Training pictures").count("<img") == len(kept) == 16  # of two batches


@pytest.mark.parametrize("gone", ["samples", "images"])
def test_a_finished_run_gets_its_report_whatever_is_gone(tiny_run, gone: str) -> None:
    [run_folder] = [file.parent for file in (tiny_run.root / "experiments/exp001/runs").glob("*/report.html")]
    before = report_of(tiny_run)
    (run_folder / "report.html").unlink()
    if gone == "samples":  # as a run that was trained before there were any
        for file in run_folder.glob("fold*/samples.json"):
            file.unlink()
    else:
        shutil.rmtree(tiny_run.root / ".comp")
        for folder in ("train", "test"):
            lose_all_but_one(tiny_run.data / folder)
    said = tiny_run.comp("run", "exp001")
    assert said.code == 0 and "nothing was trained" in said.out + said.err, said.err
    text = report_of(tiny_run)
    if gone == "samples":
        assert "This run kept none" in text and text.count("<img") > 12
        assert read_grid(section(text, "Test pictures")).keys() == read_grid(section(before, "Test pictures")).keys()
    else:
        assert "11 of these 12 images cannot be shown" in text and "there is no such file" in text
        assert section(text, "Training pictures") == section(before, "Training pictures")
    assert section(text, "Classes") == section(before, "Classes")


def test_a_run_that_is_to_train_still_wants_its_images(tiny_run) -> None:
    lose_all_but_one(tiny_run.data / "train")
    said = tiny_run.comp("run", "exp001", "--set", "train.epochs=2")
    assert said.code == 2 and "are not there" in said.err
    assert tiny_run.comp("score", "exp001").code == 0


def test_a_blend_reads_its_images_from_their_files(tiny_run) -> None:
    tiny_run.write("exp002", "extends: exp001\nseed: 7\n")
    tiny_run.run("exp002")
    said = tiny_run.comp("blend", "exp001", "exp002", "--name", "both")
    assert said.code == 0, said.err
    text = next((tiny_run.root / "experiments/both/runs").glob("*/report.html")).read_text()
    shown = read_grid(section(text, "Test pictures"))
    assert len(shown) == 12 and all(nearest(picture, tiny_run.data / "test") == unit for unit, (picture, _) in shown.items())
    assert "Training pictures" not in text


def test_files_tell_why_an_image_is_not_there(tiny) -> None:
    (tiny.data / "test/0000.png").unlink(missing_ok=True)
    competition = open_competition(tiny.project, load_manifest(tiny.project, "exp001"), demand_images=False)
    tables = competition.tables
    unit, reference = tables.test["id"].iloc[0], tables.test["image"].iloc[0]
    (tables.root / reference).write_bytes(b"no picture")
    [broken, strange] = look_at_files(tables)("test", [unit, "nobody"])
    assert reference in broken and strange == "nobody: not in the table any more"
    assert read_first(tables, f"{tables.train['image'].iloc[0]}//").shape[:2] == (8, 8)


def test_a_datasets_own_reader_is_asked(tiny) -> None:
    tables = open_competition(tiny.project, load_manifest(tiny.project, "exp001")).tables
    bands = np.arange(8 * 9 * 5, dtype=np.uint16).reshape(8, 9, 5) * 100
    [image] = look_at_files(replace(tables, read=lambda ref: bands))("train", [tables.train["id"].iloc[3]])
    assert image.shape == (8, 9, 5) and image.dtype == np.uint8


def test_the_first_row_of_a_unit_counts() -> None:
    assert place_first(np.array(["a", "b", "a", "c"], dtype=object), ["c", "a", "x"]) == {"a": 0, "c": 3}
