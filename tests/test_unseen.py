"""Test sets that came after the run."""

from __future__ import annotations

import pytest

from comp.errors import DataError
from comp.unseen import find_images, list_folder, list_table


@pytest.fixture
def images(tmp_path):
    for path in ("007.png", "sub/1.2.JPG", "notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    return tmp_path


def test_a_folder_lists_its_images_with_ids_as_the_training_table_has_them(images):
    assert list_folder(images, False).to_dict("list") == {
        "row_id": ["007", "sub/1.2"], "id": ["007", "sub/1.2"], "image": ["007.png", "sub/1.2.JPG"],
    }  # fmt: skip
    assert list(list_folder(images, True)["id"]) == ["007.png", "sub/1.2.JPG"]


def test_two_images_of_one_id_are_refused(images):
    (images / "007.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="two images bear the id '007'"):
        list_folder(images, False)


def test_images_are_found_by_path_by_stem_and_by_name(images):
    assert find_images(["007", "007.png", "1.2", "sub/1.2.JPG"], images / "t.csv", None) == [
        "007.png", "007.png", "sub/1.2.JPG", "sub/1.2.JPG",
    ]  # fmt: skip
    with pytest.raises(DataError, match="no image below .* for 1 of 2 rows: '008'"):
        find_images(["007", "008"], images / "t.csv", None)


def test_a_table_of_rows_and_units(images):
    (images / "t.csv").write_text("patient,scan\np1,007\np1,1.2\n")
    table = list_table(images / "t.csv", "patient", {"row": "scan"})
    assert table.to_dict("list") == {"row_id": ["007", "1.2"], "id": ["p1", "p1"], "image": ["007.png", "sub/1.2.JPG"]}
    with pytest.raises(DataError, match="'p1' stands twice in column 'patient'"):
        list_table(images / "t.csv", "patient", {})
    with pytest.raises(DataError, match="no column 'id'; it has patient, scan"):
        list_table(images / "t.csv", "id", {})
