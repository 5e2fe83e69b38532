"""Dataset csv: rows of a unit and a label or target each, pictures named by templates, ids that stand twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from comp.api import STACK, DataError
from comp.competition import work_out_task
from comp.plugins.dataset.csv import csv


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pictures a and b for training, t for the test."""
    for name in ("train/a.png", "train/b.png", "test/t.png", "test/u.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / name)
    return tmp_path


PLACES = {"images": "train", "test_images": "test", "id": "ID"}


def test_a_row_for_each_label_becomes_a_column_for_each(data: Path) -> None:
    (data / "train.csv").write_text("ID,Label\na_sub_x,0\na_any,1\nb_any,0\nb_sub_x,1\nb_any,0\n")
    (data / "sample.csv").write_text("ID,Label\nu_any,0.5\nu_sub_x,0.5\nt_any,0.5\nt_sub_x,0.5\n")
    tables = csv(data, **PLACES, target="Label", long="_", sample="sample.csv")
    assert tables.targets == ("sub_x", "any") and tables.train[["id", "sub_x", "any"]].to_numpy().tolist() == [
        ["a", "0", "1"],
        ["b", "1", "0"],
    ]
    assert tables.train["image"].tolist() == ["train/a.png", "train/b.png"] and tables.test["id"].tolist() == ["u", "t"]
    task = work_out_task(tables, None)
    assert (task.kind, task.target.classes) == ("multilabel", ("sub_x", "any"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ID,Label\na_x,0\na_y,1\nb_x,0\n", "every label of every unit once"),
        ("ID,Label\na_x,0\na_y,1\na_x,1\n", "every label of every unit once"),
        ("ID,Label\na,0\nb,1\n", "not units and labels joined by '_'"),
        ("ID,answer\na_x,0\na_y,1\n", "train.csv has no column 'Label'"),
    ],
)
def test_a_table_that_is_not_long(data: Path, text: str, message: str) -> None:
    (data / "train.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        csv(data, **PLACES, target="Label", long="_")


def test_a_sample_row_for_each_target_is_one_unit(data: Path) -> None:
    (data / "train.csv").write_text("ID,root,vowel_root\na,1,2\nb,0,1\n")
    (data / "sample.csv").write_text("row,target\nt_vowel_root,0\nt_root,0\nu_vowel_root,0\nu_root,0\n")
    wishes = {**PLACES, "target": ["root", "vowel_root"], "sample": "sample.csv"}
    assert csv(data, **wishes).test["image"].tolist() == ["test/t.png", "test/u.png"]
    (data / "test.csv").write_text(
        "row,ID,part\nt_vowel_root,t,vowel_root\nt_root,t,root\nu_vowel_root,u,vowel_root\nu_root,u,root\n"
    )
    assert csv(data, **wishes, test="test.csv").test["id"].tolist() == ["t", "u"]
    # Test rows that repeat without such a sample are as wrong as ever.
    with pytest.raises(DataError, match="2 ids stand twice in 'ID'"):
        csv(data, **{**wishes, "sample": None}, test="test.csv")


def test_pictures_named_by_templates_of_the_id(data: Path) -> None:
    for name in ("train/a", "train/b", "test/t"):
        for colour in ("red", "green"):
            Image.new("L", (2, 2)).save(data / f"{name}_{colour}.png")
    (data / "train.csv").write_text("ID,label\na,x\nb,y\n")
    (data / "sample.csv").write_text("ID,label\nt,x\n")
    tables = csv(data, **PLACES, stack=["{ID}_red", "{ID}_green"], sample="sample.csv")
    assert tables.views == 2 and tables.train["image"].tolist() == [
        f"train/{name}_red.png{STACK}train/{name}_green.png" for name in ("a", "b")
    ]
    assert tables.test["image"].tolist() == [f"test/t_red.png{STACK}test/t_green.png"]
    single = csv(data, **PLACES, image="{ID}_green", sample="sample.csv")
    assert [*single.train["image"], *single.test["image"]] == ["train/a_green.png", "train/b_green.png", "test/t_green.png"]
    with pytest.raises(DataError, match="train.csv has no column '{Id}_green'"):
        csv(data, **PLACES, image="{Id}_green")


@pytest.mark.parametrize(("repeated", "ids", "labels"), [("first", ["a", "b"], ["x", "y"]), ("drop", ["b"], ["y"])])
def test_ids_that_stand_twice(data: Path, repeated: str, ids: list[str], labels: list[str]) -> None:
    (data / "train.csv").write_text("ID,label\na,x\nb,y\na,y\n")
    tables = csv(data, **PLACES, repeated=repeated)
    assert tables.train["id"].tolist() == ids and tables.train["label"].tolist() == labels
    with pytest.raises(DataError, match="1 ids stand twice in 'ID': 'a'"):
        csv(data, **PLACES)


def test_semicolons_and_tabs_between_cells(data: Path) -> None:
    for mark in (";", "\t"):
        (data / "train.csv").write_text(f"ID{mark}label\na{mark}x, or z\nb{mark}y\n")
        assert csv(data, **PLACES).train["label"].tolist() == ["x, or z", "y"]
    (data / "train.csv").write_text("ID,label;y\na,x;y\nb,x\n")
    assert isinstance(csv(data, **PLACES, target="label;y").train, pd.DataFrame)
