"""Columns worked out of others, and rows for the images of folders, as dataset csv has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comp.api import DataError
from comp.plugins.dataset.csv import csv

MASKS = [
    "band = (age >= 30) + (age >= 60)",
    "mask = (file == 'incorrect_mask') + 2*(file == 'normal')",
    "ans = mask*6 + (gender == 'female')*3 + band",
]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people with three pictures each; a test picture; a hidden file as some systems leave them."""
    files = {
        "1_male_29": ("mask1.jpg", "normal.jpg", "._mask1.jpg"), "2_female_60": ("mask1.jpg", "incorrect_mask.png", "notes.txt")
    }  # fmt: skip
    for folder, names in files.items():
        (tmp_path / "images" / folder).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (2, 2)).save(tmp_path / "images" / folder / name, format="PNG")
    (tmp_path / "eval").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "eval" / "0a.jpg")
    (tmp_path / "train.csv").write_text("id,gender,age,path\n1,male,29,1_male_29\n2,female,60,2_female_60\n")
    (tmp_path / "info.csv").write_text("ImageID,ans\n0a.jpg,0\n")
    return tmp_path


def open_people(folder: Path, **changed):
    given = {"images": "images", "test_images": "eval", "test": "info.csv", "sample": "info.csv", "id": "ImageID"}
    return csv(folder, **given | {"folders": "path", "target": "ans", "derive": MASKS} | changed)


def test_a_row_for_each_image_of_a_persons_folder(people: Path) -> None:
    tables = open_people(people)
    named = ["1_male_29/mask1", "1_male_29/normal", "2_female_60/incorrect_mask", "2_female_60/mask1"]
    assert tables.train["id"].tolist() == named
    assert tables.train["image"].tolist()[2] == "images/2_female_60/incorrect_mask.png"
    assert tables.train["file"].tolist() == ["mask1", "normal", "incorrect_mask", "mask1"]
    assert tables.train["ans"].tolist() == ["0", "12", "11", "5"] and tables.train["band"].tolist() == ["0", "0", "2", "2"]
    assert tables.test["id"].tolist() == ["0a.jpg"] and tables.test["image"].tolist() == ["eval/0a.jpg"]
    assert tables.files == ()  # so that a further image is a further row of the digest


def test_images_of_one_unit(people: Path) -> None:
    tables = open_people(people, id="id", row="picture", test=None, sample=None, target="gender", derive=[])
    assert tables.train["id"].tolist() == ["1", "1", "2", "2"] and tables.train["row_id"].tolist()[0] == "1_male_29/mask1"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"folders": "place"}, "wants 'place' among them"),
        ({"id": "gender"}, "a new name for the images' own ids, not 'gender'"),
        ({"derive": ["ans = age*2 + gender"]}, "'male' is no number; wanted"),
        ({"derive": ["ans = weight"]}, "has no column 'weight'; it has 'id', 'gender', 'age', 'path', 'file', 'ImageID'"),
        ({"derive": ["ans: age"]}, "wanted name = a formula"),
        ({"derive": ["age = age*2"]}, "makes a column 'age', which train.csv has already"),
        ({"derive": ["ans = age == 29 == 3"]}, "is no part of a formula"),
    ],
)
def test_what_cannot_be_worked_out(people: Path, changed, said) -> None:
    with pytest.raises(DataError, match=said):
        open_people(people, **changed)


def test_folders_without_images_outside_and_twice(people: Path) -> None:
    for line, said in {
        "3,male,1,none": "1 folders have no image below images/: 'none'", "3,male,1,1_male_29": "or twice: '1_male_29'",
        "3,male,1,../x": "outside the images",
    }.items():  # fmt: skip
        (people / "train.csv").write_text(f"id,gender,age,path\n1,male,29,1_male_29\n{line}\n")
        with pytest.raises(DataError, match=said):
            open_people(people)


def test_the_test_table_gets_what_can_be_worked_out(people: Path) -> None:
    (people / "info.csv").write_text("ImageID,age\n0a.jpg,31.5\n")
    tables = open_people(people, sample=None, columns=["band"])
    assert tables.test["band"].tolist() == ["1"] and "ans" not in tables.test
    (people / "info.csv").write_text("ImageID,ans\n0a.jpg,0\n")
    assert open_people(people, target="mask").test["id"].tolist() == ["0a.jpg"]  # `ans` is the sample's, not worked out


def test_numbers_with_a_fraction_stay_so(people: Path) -> None:
    (people / "train.csv").write_text("id,gender,age,path\n1,male,29.5,1_male_29\n2,female,60,2_female_60\n")
    tables = open_people(people, derive=["twice = age*2", "less = age - 1", "ans = gender == 'male'"])
    assert tables.train["twice"].tolist() == ["59"] * 2 + ["120"] * 2 and tables.train["less"].tolist()[::2] == ["28.5", "59"]
    assert tables.train["ans"].tolist() == ["1", "1", "0", "0"]


# ---- numbers and texts ---------------------------------------------------------------------------------------------------


def open_sites(folder: Path, train: list[str], test: list[str] | None, derive: list[str], **changed):
    """A table with columns `site` and `y` (0, 1, 0, …), of the training rows and, unless None, of test rows."""
    folder.mkdir(exist_ok=True)
    for number in range(max(len(train), len(test or ()))):
        Image.new("RGB", (2, 2)).save(folder / f"{number}.png")
    rows = [f"{number},{cell},{number % 2}\n" for number, cell in enumerate(train)]
    (folder / "train.csv").write_text("".join(["id,site,y\n", *rows]))
    if test is not None:
        (folder / "test.csv").write_text("id,site\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(test)))
    given = {"images": ".", "test": "test.csv" if test is not None else None, "target": "y", "derive": derive}
    return csv(folder, **given | changed)


def test_numbers_and_texts_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\"s = site == '1'\".*a number, site, with a text, '1'; .*\(site == 1\)"):
        open_sites(tmp_path, ["1", "2", "1"], None, ["s = site == '1'"])
    with pytest.raises(DataError, match=r"a text, site, which holds 'NA'; wanted quotes, as in \(site == '3'\)"):
        open_sites(tmp_path, ["1", "NA", "3"], None, ["s = site == 3"])


def test_the_training_table_decides_what_a_column_holds(tmp_path: Path) -> None:
    derive, said = ["s = site == 3"], "'site' holds numbers in the training table; in test.csv, data row 2, it is 'NA'"
    with pytest.raises(DataError, match=said):
        open_sites(tmp_path, ["1", "3", "2"], ["3", "NA"], derive, columns=["s"])
    # In the test set alone they would be numbers.
    tables = open_sites(tmp_path, ["1", "NA", "3"], ["3", "1", "3"], ["s = site == '3'"], columns=["s"])
    assert tables.train["s"].tolist() == ["0", "0", "1"] and tables.test["s"].tolist() == ["1", "0", "1"]
    assert tables.facts == {"kinds": {"site": "text"}}
    tables = open_sites(tmp_path, ["1", "3", "2"], ["3.0", "2.5"], derive, columns=["s"])
    assert tables.test["s"].tolist() == ["1", "0"]


def test_a_test_set_that_comes_later_is_read_as_the_training_table_was(tmp_path: Path) -> None:
    tables = open_sites(tmp_path / "data", ["1", "NA", "3"], None, ["s = site == '3'"], columns=["s"])
    open_sites(tmp_path / "later", ["1"], ["3", "1"], [])
    none = dict.fromkeys(["row", "image", "stack", "extension", "separator", "series", "order", "test_images", "planes", "bands"])
    arguments = none | {"id": "id", "bag": 0, "neighbours": 0, "layout": "auto", "window": "auto", "range": None}
    derive = ["s = site == '3'"]
    unseen = csv.unseen(tmp_path / "later/test.csv", tables, False, tables.facts, derive=derive, **arguments)
    assert unseen.test["s"].tolist() == ["1", "0"]
    with pytest.raises(DataError, match="'site' holds numbers in the training table; in test.csv"):
        (tmp_path / "later/test.csv").write_text("id,site\n0,NA\n")
        facts = {"kinds": {"site": "number"}}
        csv.unseen(tmp_path / "later/test.csv", tables, False, facts, derive=["s = site == 3"], **arguments)


def test_an_extra_table_is_measured_though_kinds_are_known(tmp_path: Path) -> None:
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.full((4, 4), 100.0 * number))
    (tmp_path / "train.csv").write_text("id,site,y\n0,1,0\n1,NA,1\n")
    given = {"images": ".", "target": "y", "derive": ["s = site == '1'"]}
    tables = csv(tmp_path, None, **given)
    again = csv(tmp_path, {"kinds": {"site": "text"}}, **given)
    assert tables.facts == again.facts and set(tables.facts) == {"limits", "kinds"}


def test_long_ids_are_not_rounded(tmp_path: Path) -> None:
    ids = ["90071992547409931", "90071992547409929", "12345678901234567891"]
    tables = open_sites(tmp_path, ids, None, ["same = site", "s = (site == 90071992547409931) + 2*(site > 90071992547409929)"])
    assert tables.train["same"].tolist() == ids and tables.train["s"].tolist() == ["3", "0", "2"]
    with pytest.raises(DataError, match="'site \\* 1' becomes too large; wanted results below"):
        open_sites(tmp_path, ids, None, ["s = site*1"])
    with pytest.raises(DataError, match="'site' of train.csv holds a number that is too large"):
        open_sites(tmp_path, ["9" * 400 + ".5", "1"], None, ["s = site"])


# ---- what a model is given -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"derive": ["m = y*10"], "columns": ["m"]}, "dataset.columns: 'm' is worked out of 'y', a target or auxiliary"),
        ({"derive": ["m = y*10", "n = m + site"], "columns": ["n"]}, "'n' is worked out of 'y'"),
        ({"derive": ["m = site*10", "n = m + 1"], "auxiliary": ["m"], "columns": ["n"]}, "'n' is worked out of 'm'"),
        ({"derive": ["m = y*10"], "columns": ["m*"]}, "'m' is worked out of 'y'"),
        ({"derive": ["m = y*10"], "neighbours": 1, "order": "m"}, "'m' is worked out of 'y'"),
        ({"derive": [], "columns": ["y"]}, "'y' is a target or auxiliary"),
    ],
)
def test_no_model_is_given_the_answer(tmp_path: Path, changed, said) -> None:
    with pytest.raises(DataError, match=said):
        open_sites(tmp_path, ["1", "2", "1"], None, **changed)


def test_a_column_beside_the_target_is_given(tmp_path: Path) -> None:
    """What the target is worked out of, too, and a weight that goes by the label, which no model sees."""
    derive = ["twice = site*2", "t = (site > 1)", "w = 1 + y"]
    tables = open_sites(tmp_path, ["1", "2", "1"], ["2"], derive, columns=["twice"], target="t", weight="w")
    assert tables.columns == ("twice",) and tables.test["twice"].tolist() == ["4"] and tables.weight == "w"
