"""Dataset csv: ids put together of columns, one target of 0/1 columns, columns by pattern."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from comp.api import DataError
from comp.competition import work_out_task
from comp.plugins.dataset.csv import csv

BREAST = "{patient}_{side}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures of each breast; a picture each of two in the test set."""
    for name in ("1", "2", "3", "4"):
        save(tmp_path / "train_images" / "007" / f"{name}.png")
    for name in ("8", "9"):
        save(tmp_path / "test_images" / "08" / f"{name}.png")
    (tmp_path / "train.csv").write_text("patient,image,side,label\n007,1,L,0\n007,2,L,0\n007,3,R,1\n007,4,R,1\n")
    (tmp_path / "test.csv").write_text("patient,image,side\n08,8,L\n08,9,R\n")
    (tmp_path / "sample.csv").write_text("unit,label\n08_R,0\n08_L,0\n")
    return tmp_path


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(path)


def open_breasts(data: Path, **more: object):
    wishes = {"test": "test.csv", "sample": "sample.csv", "test_images": "test_images", "id": BREAST, "row": "image", **more}
    return csv(data, **wishes)


def test_an_id_of_two_columns(data: Path) -> None:
    tables = open_breasts(data)
    assert tables.train["id"].tolist() == ["007_L", "007_L", "007_R", "007_R"]
    assert tables.train["row_id"].tolist() == ["1", "2", "3", "4"] and tables.train["image"][2] == "train_images/007/3.png"
    assert tables.test["id"].tolist() == ["08_L", "08_R"] and tables.test["image"][0] == "test_images/08/8.png"
    assert tables.id_column == "unit"
    assert open_breasts(data, sample=None).id_column == "id"


def test_the_test_tables_own_id_is_taken_where_it_is_the_samples(data: Path) -> None:
    (data / "test.csv").write_text("unit,patient,image,side\n08_R,?,8,?\n08_L,?,9,?\n")
    assert open_breasts(data).test["id"].tolist() == ["08_R", "08_L"]
    # A column of that name with other values is something else.
    (data / "test.csv").write_text("unit,patient,image,side\n1,08,8,L\n2,08,9,R\n")
    assert open_breasts(data).test["id"].tolist() == ["08_L", "08_R"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{patient}_{arm}", r"train.csv has no column 'arm', which dataset.id '\{patient\}_\{arm\}' wants; it has 'patient'"),
        ("{patient", "is no template"),
        ("{patient}_{}", "empty braces"),
    ],
)
def test_a_template_that_is_none(data: Path, template: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_breasts(data, id=template)


def test_an_empty_part_is_an_empty_id(data: Path) -> None:
    (data / "train.csv").write_text("patient,image,side,label\n007,1,L,0\n007,2,,1\n")
    with pytest.raises(DataError, match="the id is empty in 1 rows, first in data row 2"):
        open_breasts(data)


def test_without_row_repeated_ids_are_told(data: Path) -> None:
    with pytest.raises(DataError, match="'007_L', '007_R'; where several rows make one unit, name.*dataset.row"):
        open_breasts(data, row=None, image="image")


# ---- one target of 0/1 columns -------------------------------------------------------------------------------------------


FLAGS = "id,healthy,rust,scab\n1,1,0,0\n2,0,0,1\n3,0.0,1.0,0.0\n4,0,0,1\n"


def test_columns_with_a_single_one_are_classes_of_one_target(data: Path) -> None:
    (data / "train.csv").write_text(FLAGS)
    tables = csv(data, target=["healthy", "rust", "scab"], one_hot="state")
    assert tables.targets == ("state",) and tables.train["state"].tolist() == ["healthy", "scab", "rust", "scab"]
    task = work_out_task(tables, "multiclass")
    assert (task.kind, task.target.classes) == ("multiclass", ("healthy", "rust", "scab"))
    labels = work_out_task(csv(data, target=["healthy", "rust", "scab"]), None)
    assert labels.kind == "multilabel"


@pytest.mark.parametrize(
    ("text", "wishes", "message"),
    [
        (
            FLAGS + "5,1,0,1\n6,0,0,0\n",
            {},
            r"2 rows do not have 0 and a single 1.*row 5 \(healthy '1', rust '0', scab '1'\)",
        ),
        (FLAGS + "5,1,0,\n", {}, "1 rows do not have 0 and a single 1.*scab ''"),
        (FLAGS, {"target": "healthy"}, "wanted the 0/1 columns of all classes"),
        (FLAGS, {"target": ["healthy", "rot"]}, "train.csv has no column 'rot'"),
        (FLAGS, {"one_hot": "id"}, "a column 'id' already"),
    ],
)
def test_columns_that_are_no_classes(data: Path, text: str, wishes: dict, message: str) -> None:
    (data / "train.csv").write_text(text)
    for name in ("5", "6"):
        save(data / "train_images" / f"{name}.png")
    with pytest.raises(DataError, match=message):
        csv(data, **{"target": ["healthy", "rust", "scab"], "one_hot": "state", **wishes})


def test_the_columns_of_one_hot_are_left_out_of_the_test_table(data: Path) -> None:
    (data / "train.csv").write_text(FLAGS)
    (data / "test.csv").write_text("id,healthy,rust,scab\n8,,,\n9,,,\n")
    tables = csv(data, test="test.csv", test_images="test_images", target=["healthy", "rust", "scab"], one_hot="state")
    assert list(tables.test) == ["row_id", "id", "image"]


# ---- columns by pattern --------------------------------------------------------------------------------------------------


def test_patterns_name_columns_in_the_tables_order(data: Path) -> None:
    (data / "train.csv").write_text("id,m2,label,m10,shape,m*\n" + "".join(f"{row},1,a,2,3,4\n" for row in (1, 2, 3, 4)))
    assert csv(data, columns=["shape", "m?*"]).columns == ("shape", "m2", "m10", "m*")
    assert csv(data, columns=["m2", "m*"]).columns == ("m2", "m*")  # a column that is called so is no pattern
    assert csv(data, columns=["m[0-9]*", "m2"]).columns == ("m2", "m10")
    assert csv(data, columns=["*"]).columns == ("m2", "m10", "shape", "m*")  # neither the id nor the target
    with pytest.raises(DataError, match=r"'margin\*' fits no column of train.csv; it has 'id', 'm2'"):
        csv(data, columns=["margin*"])


def test_the_test_table_must_have_what_a_pattern_found(data: Path) -> None:
    (data / "train.csv").write_text("id,label,m1,m2\n1,a,1,2\n2,b,1,2\n")
    (data / "test.csv").write_text("id,m1\n8,1\n9,1\n")
    with pytest.raises(DataError, match="test.csv has no column 'm2'"):
        csv(data, test="test.csv", test_images="test_images", columns=["m*"])
