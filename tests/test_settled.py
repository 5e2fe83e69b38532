"""A competition.yaml that somebody wrote or edited, and `comp init` again in its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from comp.cli import main
from comp.errors import ManifestError, WorkspaceError
from comp.init import init_workspace
from comp.notes import Conclusion
from comp.settled import complete_text

IDS = [f"a{number:02d}" for number in range(12)]
STATED = {"id": "image_id", "target": "label"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace without competition.yaml, its data beside it: images of twelve training rows, a table, no test set."""
    (tmp_path / "data/train_images").mkdir(parents=True)
    for name in IDS:
        Image.new("RGB", (20, 30)).save(tmp_path / f"data/train_images/{name}.png")
    table = pd.DataFrame({"image_id": IDS, "label": list("xy") * 6, "5": list("abc") * 4})
    table.to_csv(tmp_path / "data/train.csv", index=False)
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


def complete(root: Path, text: str) -> dict:
    (root / "competition.yaml").write_text(text, encoding="utf-8")
    return read(init_workspace(root).file.read_text(encoding="utf-8"))


def read(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("id: nope", "train.csv has no column 'nope'. The columns are image_id, label, 5"),
        ("image: nope", "train.csv has no column 'nope'"),
        ("row: nope", "train.csv has no column 'nope'"),
        ('image: "{nope}_front"', "train.csv has no column 'nope'"),
        ("target: [label, nope]", "train.csv has no column 'nope'"),
        ("target: 5", "is 5 (an integer); wanted str"),
        ("train: 5", "is 5 (an integer); wanted str"),
        ("separator: 1", "is 1 (an integer); wanted str"),
        ("traget: label", "no parameter 'traget'; did you mean 'target'?"),
    ],
)
def test_a_wrong_answer_is_a_fault_with_its_place(root, line, said):
    with pytest.raises(ManifestError) as caught:
        complete(root, f"dataset:\n  use: csv\n  data: ../data\n  {line}\n")
    [fault] = caught.value.faults
    assert (fault.file, fault.line, fault.path) == ("competition.yaml", 4, f"dataset.{line.partition(':')[0]}")
    assert said in fault.message


@pytest.mark.parametrize("use", ["", "use: stratified, "])
def test_a_wrong_answer_outside_the_dataset(root, use):
    with pytest.raises(ManifestError) as caught:
        complete(root, f"dataset: {{use: csv, data: ../data}}\nsplit: {{{use}folds: five}}\ntask: {{kind: fish}}\n")
    assert {(fault.line, fault.path) for fault in caught.value.faults} == {(2, "split.folds"), (3, "task.kind")}
    assert not any("parameter" in fault.message for fault in caught.value.faults)


def test_all_wrong_columns_at_once_and_nothing_is_written(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    text = "dataset: {use: csv, data: ../data, id: nope, target: neither}\n"
    (root / "competition.yaml").write_text(text)
    assert main(["init"]) == 2
    said = capsys.readouterr().err
    assert "dataset.id" in said and "dataset.target" in said and "2 faults; nothing was written" in said
    assert (root / "competition.yaml").read_text() == text


def test_columns_that_the_kit_makes_are_no_fault(root):
    found = complete(root, "dataset: {use: csv, data: ../data, target: first, derive: [\"first = (label == 'x')\"]}\n")
    assert found["task"]["rows"] == 12 and found["task"]["classes"] == 2


def test_a_null_says_nothing_where_it_is_no_value(root):
    found = complete(root, "dataset: {use: csv, data: ../data, target: null, train: }\nsplit: {folds: null, group: null}\n")
    assert (found["dataset"]["train"], found["dataset"]["target"]) == ("train.csv", "label")
    assert found["split"] == {"use": "stratified", "folds": 5, "seed": 42, "group": None}


def test_a_flow_mapping_over_two_lines(root):
    text = "# mine\ndataset: {use: csv,\n  data: ../data, target: label}  # as told\nmetric: {use: macro_f1}\n"
    found = complete(root, text)
    assert found["dataset"] == {
        "use": "csv", "data": "../data", "target": "label", "train": "train.csv", "id": "image_id", "images": "train_images",
    } and found["metric"] == {"use": "macro_f1"}  # fmt: skip
    assert (root / "competition.yaml").read_text().startswith("# mine\ndataset:  # as told\n  use: csv\n")


def test_keys_stand_as_far_to_the_right_as_those_that_are_there(root):
    text = 'dataset:\n    use: csv\n    data: ../data\n    id: "?"\nsplit:\n    folds: 3\n'
    found = complete(root, text)
    assert found["dataset"]["id"] == "image_id" and found["split"] == {"folds": 3, "use": "stratified", "seed": 42}
    assert "\n    id: image_id\n" in (root / "competition.yaml").read_text()


@pytest.mark.parametrize(
    ("line", "said"), [("target: []", "dataset.target names no column"), ('separator: ""', "dataset.separator is empty")]
)
def test_an_answer_that_is_empty(root, line, said):
    (root / "competition.yaml").write_text(f"dataset:\n  use: csv\n  data: ../data\n  {line}\n", encoding="utf-8")
    assert said in init_workspace(root).fault


def test_a_key_that_stands_twice(root):
    with pytest.raises(ManifestError, match="competition.yaml:3  dataset.data: stands twice"):
        complete(root, "dataset:\n  data: ../data\n  data: elsewhere\n")


@pytest.mark.parametrize("nothing", ["null", "~", "", "{}", "null  # later"])
def test_a_section_that_is_null_is_opened(root, nothing):
    found = complete(root, f"dataset: {{use: csv, data: ../data, target: label}}\nsplit: {nothing}\n")
    assert found["split"] == {"use": "stratified", "folds": 5, "seed": 42}
    assert ("# later" in (root / "competition.yaml").read_text()) == ("# later" in nothing)


def test_dates_stay_as_written():
    notes = [Conclusion("split.seed", 42, "")]
    text = complete_text("split: {use: time, cuts: [2020-01-02]}\n", notes, {})
    assert read(text) == {"split": {"use": "time", "cuts": ["2020-01-02"], "seed": 42}}


def test_data_in_the_home_folder(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    found = complete(root, "dataset: {use: csv, data: ~/data, target: label}\n")
    assert found["dataset"]["data"] == "~/data" and found["task"]["rows"] == 12


def test_another_dataset_is_opened_as_it_stands(root):
    found = complete(root, "dataset: {use: digits, target: high}\n")
    assert found["dataset"] == {"use": "digits", "target": "high"}
    assert (found["task"]["kind"], found["task"]["rows"], found["task"]["image_px"]) == ("binary", 1347, 8)
    with pytest.raises(WorkspaceError, match="exists already"):
        init_workspace(root)


def test_a_dataset_of_the_users_own(root):
    (root / "plugins").mkdir()
    (root / "plugins/mine.py").write_text(
        "import pandas as pd\nfrom comp.api import Tables, plugin\n\n\n"
        '@plugin("dataset")\ndef mine(root, /, *, rows: int = 4) -> Tables:\n'
        '    """Mine.\n\n    Args:\n        rows: how many.\n    """\n'
        '    names = [f"a{number:02d}" for number in range(rows)]\n'
        '    table = pd.DataFrame({"row_id": names, "id": names, "image": [f"{name}.png" for name in names]})\n'
        '    table["label"] = ["x", "y"] * (rows // 2)\n'
        '    return Tables(table, None, None, "id", ("label",), (), root.parent / "data/train_images")\n'
    )
    found = complete(root, "dataset: {use: mine, rows: 10}\n")
    assert found["dataset"] == {"use": "mine", "rows": 10} and found["task"]["rows"] == 10
    for line in ("rows: ten", 'rows: "?"'):
        with pytest.raises(ManifestError, match="dataset.rows"):
            complete(root, f"dataset: {{use: mine, {line}}}\n")
