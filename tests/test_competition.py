from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from comp.api import Tables, Task
from comp.competition import (
    check_targets,
    encode_targets,
    hash_tables,
    open_competition,
    order_classes,
    unit_table,
    work_out_task,
)
from comp.errors import DataError
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project


def make_tables(train: dict[str, list[str]], sample: dict[str, list[str]] | None = None, **more) -> Tables:
    targets = more.pop("targets", tuple(column for column in train if column not in ("id", "row_id", "image")))
    table = pd.DataFrame(train, dtype=str)
    if "row_id" not in table:
        table["row_id"] = table["id"] if "id" in table else [f"r{i}" for i in range(len(table))]
    for column in ("id", "image"):
        if column not in table:
            table[column] = table["row_id"]
    read_sample = None if sample is None else pd.DataFrame(sample, dtype=str)
    return Tables(table, None, read_sample, id_column="id", targets=targets, files=(), root=Path("."), **more)


# ---- the task ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["10", "9", "1"], "multiclass", ("1", "9", "10")),
        (["b", "a", "B", "a"], "multiclass", ("B", "a", "b")),
        (["10", "9", "x"], "multiclass", ("10", "9", "x")),
        (["NA", "None", "nan"], "multiclass", ("NA", "None", "nan")),
        (["007", "7", "01"], "multiclass", ("01", "007", "7")),
        (["1", "0", "1"], "binary", ("0", "1")),
        (["cat", "dog"], "binary", ("cat", "dog")),
        (["0.5", "1", "2"], "regression", ()),
        (["1.0", "2.0", "3e0"], "multiclass", ("1.0", "2.0", "3e0")),
    ],
)
def test_kind_and_classes_of_one_column(values, kind, classes):
    task = work_out_task(make_tables({"y": values}))
    assert (task.kind, task.target.classes, task.target.columns) == (kind, classes, ("y",))


def test_kind_as_stated():
    tables = make_tables({"grade": ["0", "1", "2", "3"]})
    assert work_out_task(tables, "ordinal").target.classes == ("0", "1", "2", "3")
    assert work_out_task(tables, "regression").target.classes == ()
    # How many classes there are is counted: a corrected target may have more than the one before it.
    for labels in (["0", "1", "2"] * 4, [f"w_{number}" for number in range(30)], ["a", "b"] * 40 + ["c"] * 5):
        assert work_out_task(make_tables({"grade": labels}), "binary").kind == "multiclass"


def test_several_columns():
    flags = {"a": ["1", "0", "1"], "b": ["1", "0", "0"]}
    assert work_out_task(make_tables(flags)).target.classes == ("a", "b")
    assert work_out_task(make_tables(flags), "multitarget").columns == ("a=0", "a=1", "b=0", "b=1")
    mixed = make_tables({"label": ["x", "y", "z"], "age": ["1.5", "2", "3"]})
    assert [target.kind for target in work_out_task(mixed).targets] == ["multiclass", "regression"]
    assert [target.kind for target in work_out_task(mixed, None, {"label": "ordinal"}).targets] == ["ordinal", "regression"]


def test_sets_in_one_column():
    task = work_out_task(make_tables({"labels": ["2 10", "", "10 1"]}, separator=" "))
    assert (task.kind, task.target.classes, task.target.separator) == ("multilabel", ("1", "2", "10"), " ")


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["a", "a"], None, "the training table has 1: 'a'"),
        (["a", "a"], "binary", "is binary, which takes 2 classes; the training table has 1: 'a'"),
        (["a", "b", "c"], "binary", "is binary, which takes 2 classes; the training table has 3: 'a', 'b', 'c'"),
        (["0", "1"] * 50 + ["01"] * 20, "binary", r"has 3: '0', '1', '01' \('01' in 20 of 120 rows\); mend them, or remove"),
        (["yes", "no", "Yes "] * 20, "binary", "the training table has 3: 'yes', 'no', 'Yes '"),
        (["a", "b"] * 40 + ["c"] * 4, "binary", r"'c' in 4 of 84 rows"),
        (["a", "b"], "multilabel", "name the columns of all labels in dataset.target"),
        (["a", "b"], "multiclas", "task.kind is 'multiclas'; wanted one of binary, multiclass"),
    ],
)
def test_kinds_that_the_column_cannot_be(values, kind, message):
    with pytest.raises(DataError, match=message):
        work_out_task(make_tables({"y": values}), kind)


def test_kind_of_a_column_that_is_not_there():
    with pytest.raises(DataError, match="task.targets names 'z', which is no column; the targets are x, y"):
        work_out_task(make_tables({"x": ["1", "2"], "y": ["1", "2"]}), "multitarget", {"z": "binary"})


def test_order_of_classes():
    assert order_classes(["1e1", "-1", "+2", ".5"]) == ("-1", ".5", "+2", "1e1")
    assert order_classes(["é", "z", "a", "Z"]) == ("Z", "a", "z", "é")


# ---- encoding ------------------------------------------------------------------------------------------------------------


def test_encoded_classes_are_positions_in_class_order():
    tables = make_tables({"y": ["10", "9", "x", "9"]})
    found = encode_targets(work_out_task(tables), tables.train)["y"]
    assert found.dtype == np.int64 and found.tolist() == [0, 1, 2, 1]


def test_encoded_labels_and_numbers():
    sets = make_tables({"y": ["b a", "", "b b"]}, separator=" ")
    found = encode_targets(work_out_task(sets), sets.train.iloc[[2, 0, 1]])["y"]
    assert found.dtype == np.float32 and found.tolist() == [[0, 1], [1, 1], [0, 0]]
    flags = make_tables({"p": ["1", "0"], "q": ["0.0", "1.0"]})
    assert encode_targets(work_out_task(flags), flags.train)["labels"].tolist() == [[1, 0], [0, 1]]
    ages = make_tables({"age": ["1.5", "-2", "1e2"]})
    found = encode_targets(work_out_task(ages), ages.train)["age"]
    assert found.dtype == np.float32 and found.tolist() == [1.5, -2, 100]


def test_encoding_names_the_row_that_is_wrong():
    task = work_out_task(make_tables({"y": ["a", "b"], "age": ["1.5", "2"]}, targets=("y", "age")))
    other = make_tables({"id": ["u", "v", "w"], "y": ["a", "c", ""], "age": ["1", "nan", "2"]})
    with pytest.raises(DataError) as caught:
        encode_targets(task, other.train)
    assert str(caught.value).splitlines() == [
        "v: y is 'c', no known class (and 1 more rows)",
        "v: age is 'nan', not a number",
        "2 faults in the tables.",
    ]


def test_unit_table_has_the_first_row_of_each_id():
    tables = make_tables({"row_id": ["1", "2", "3"], "id": ["b", "a", "b"], "y": ["0", "1", "0"]})
    assert unit_table(tables)["row_id"].tolist() == ["1", "2"]


# ---- checks --------------------------------------------------------------------------------------------------------------


def test_rows_of_a_unit_have_one_answer():
    tables = make_tables({"row_id": ["1", "2", "3"], "id": ["a", "a", "b"], "y": ["0", "1", "0"]})
    assert check_targets(work_out_task(tables), tables.train) == [
        "1 ids have rows with different 'y': 'a'; one answer a unit is wanted"
    ]


# ---- contents ------------------------------------------------------------------------------------------------------------


def test_hash_covers_contents_and_not_places(tmp_path):
    tables = make_tables({"y": ["0", "1"]})
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text(text)
    first, same, other = (hash_tables(replace(tables, files=(tmp_path / name / "train.csv",))) for name in "abc")
    assert first == same != other


def test_hash_of_a_dataset_without_files_covers_its_rows():
    tables = make_tables({"y": ["0", "1"]})
    shuffled = replace(tables, train=tables.train.iloc[::-1])
    assert hash_tables(tables) == hash_tables(shuffled)
    assert hash_tables(tables) != hash_tables(make_tables({"y": ["0", "0"]}))


# ---- opening -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "competition.yaml").write_text(
        "dataset: {use: csv, sample: sample_submission.csv, target: y}\nmetric: {use: accuracy}\n"
    )
    (tmp_path / "train.csv").write_text("id,y\n" + "".join(f"{i:02d},{'ab'[i % 2]}\n" for i in range(6)))
    (tmp_path / "sample_submission.csv").write_text("id,y\n")
    (tmp_path / "train_images").mkdir()
    for i in range(6):
        Image.new("L", (4, 4)).save(tmp_path / "train_images" / f"{i:02d}.png")
    project = Project(tmp_path)
    create_experiment(project, "one")
    return project


def test_open_competition(project):
    competition = open_competition(project, load_manifest(project, "one"))
    assert isinstance(competition.task, Task) and competition.task.target.classes == ("a", "b")
    assert (competition.name, competition.root, len(competition.tables.train)) == (project.root.name, project.root, 6)


def test_open_competition_says_all_faults_at_once(project):
    (project.root / "sample_submission.csv").write_text("id,y\nt1,c\n")
    (project.root / "train.csv").write_text("id,y\n00,a\n01,b\n02,\n77,a\n")
    with pytest.raises(DataError) as caught:
        open_competition(project, load_manifest(project, "one"))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[:1]] == ["02"] and "(empty), no known class" in lines[0]
    assert "'c'" in lines[1] and "train_images/77.png" in lines[2] and lines[3] == "3 faults in the tables."


def test_open_competition_leaves_missing_images_to_skip(project):
    (project.root / "train_images" / "03.png").unlink()
    with pytest.raises(DataError, match="train_images/03.png"):
        open_competition(project, load_manifest(project, "one"))
    assert len(open_competition(project, load_manifest(project, "one", ["on_bad_image=skip"])).tables.train) == 6


# ---- auxiliary targets -----------------------------------------------------------------------------------------------------


def test_auxiliary_targets_come_last_and_are_not_scored():
    tables = make_tables({"y": ["a", "b"], "age": ["1.5", "2"], "sex": ["f", "m"]}, targets=("y",), auxiliary=("age", "sex"))
    task = work_out_task(tables)
    assert [(target.name, target.kind, target.scored) for target in task.targets] == [
        ("y", "binary", True), ("age", "regression", False), ("sex", "binary", False),
    ]  # fmt: skip
    assert task.scored == work_out_task(replace(tables, auxiliary=())) and task.scored.outputs == 2
    kinds = {"y": "multiclass", "age": "regression", "sex": "multiclass"}
    assert [target.kind for target in work_out_task(tables, "multitarget", kinds).targets] == list(kinds.values())
    with pytest.raises(DataError, match="one is a target already"):
        work_out_task(replace(tables, auxiliary=("y",)))


def test_auxiliary_targets_of_labels_in_columns():
    tables = make_tables({"a": ["0", "1"], "b": ["1", "1"], "site": ["x", "y"]}, targets=("a", "b"), auxiliary=("site",))
    task = work_out_task(tables)
    assert [(target.name, target.kind) for target in task.targets] == [("labels", "multilabel"), ("site", "binary")]


def test_rows_of_a_unit_may_differ_in_an_auxiliary_target():
    tables = make_tables({"row_id": ["1", "2"], "id": ["u", "u"], "y": ["a", "a"], "side": ["l", "r"]}, targets=("side",))
    assert "1 ids have rows with different 'side'" in check_targets(work_out_task(tables), tables.train)[0]
    table = pd.concat([tables.train, tables.train.assign(row_id=["3", "4"], id="v", y="b")])
    tables = replace(tables, train=table, targets=("y",), auxiliary=("side",))
    assert check_targets(work_out_task(tables), tables.train) == []
