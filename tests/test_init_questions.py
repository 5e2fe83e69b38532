"""What init could not conclude, and what it concluded wrongly: one edited line settles either."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from comp.check import describe_questions
from comp.cli import main
from comp.competition import open_competition
from comp.errors import ManifestError, WorkspaceError
from comp.folds import open_folds
from comp.init import init_workspace
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project

IDS = [f"a{number:02d}" for number in range(12)]
TEST_IDS = [f"t{number}" for number in range(4)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images of twelve training rows and four test rows; no tables yet."""
    for part, names in (("train_images", IDS), ("test_images", TEST_IDS)):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (20, 30)).save(tmp_path / "data" / part / f"{name}.png")
    return tmp_path / "data"


def write_tables(data: Path, sample: dict, **columns: object) -> None:
    pd.DataFrame({"image_id": IDS, **columns}).to_csv(data / "train.csv", index=False)
    pd.DataFrame({"image_id": TEST_IDS, **sample}).to_csv(data / "sample_submission.csv", index=False)


def read(file: Path) -> dict:
    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def prove(root: Path) -> str:
    """A manifest resolves, tables open and hold together, folds are made. Returns the kind of the task."""
    project = Project(root)
    create_experiment(project, "one")
    manifest = load_manifest(project, "one")
    competition = open_competition(project, manifest)
    open_folds(project, manifest, competition)
    return competition.task.kind


def test_a_target_that_nothing_shows_is_asked_for_and_once_it_is_named_the_rest_follows(data, tmp_path):
    write_tables(data, {"answer": 0.5}, spots=[0, 1] * 6, stripes=list("abc") * 4)
    report = init_workspace(tmp_path / "w", data)
    assert read(report.file)["dataset"]["target"] == "?" and "task" not in read(report.file)
    [question] = [note.question for note in report.questions]
    assert "spots" in question and "stripes" in question
    with pytest.raises(ManifestError, match="competition.yaml:.*dataset.target"):
        create_experiment(Project(tmp_path / "w"), "one")

    edit(report.file, 'target: "?"', "target: stripes  # told by the organisers")
    found = read(init_workspace(tmp_path / "w").file)
    assert found["dataset"]["target"] == "stripes" and found["dataset"]["images"] == "train_images"
    assert (found["task"]["kind"], found["task"]["classes"], found["task"]["rows"]) == ("multiclass", 3, 12)
    text = report.file.read_text(encoding="utf-8")
    assert "# told by the organisers" in text and text.index("task:") < text.index("split:") < text.index("submission:")
    with pytest.raises(WorkspaceError, match="exists already"):
        init_workspace(tmp_path / "w")


def test_images_that_are_nowhere_are_asked_for(data, tmp_path):
    write_tables(data, {"label": "x"}, label=["x", "y"] * 6)
    (data / "train_images").rename(tmp_path / "elsewhere")
    (tmp_path / "w").mkdir()
    report = init_workspace(tmp_path / "w", data)
    assert read(report.file)["dataset"]["images"] == "?"
    assert any("test_images" in note.question for note in report.questions if note.key == "dataset.images")
    (tmp_path / "elsewhere").rename(data / "unpacked")
    edit(report.file, 'images: "?"', "images: unpacked")
    init_workspace(tmp_path / "w")
    assert prove(tmp_path / "w") == "binary"


def test_what_stands_in_the_file_is_not_concluded_against(data, tmp_path):
    write_tables(data, {"label": "x"}, label=["x", "y"] * 6, other=list("abc") * 4)
    (tmp_path / "w").mkdir()
    (tmp_path / "w/competition.yaml").write_text(
        f"# mine\ndataset: {{use: csv, data: {data}, target: other}}\nmetric: {{use: macro_f1}}  # as the page says\n"
    )
    found = read(init_workspace(tmp_path / "w").file)
    assert (found["dataset"]["target"], found["dataset"]["id"], found["task"]["classes"]) == ("other", "image_id", 3)
    assert found["metric"] == {"use": "macro_f1"} and found["split"]["folds"] == 5


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("target: label", "target: grade", "multiclass"),  # more classes than were counted
        ("images: train_images", "images: copies", "binary"),
        ("kind: binary", "kind: ordinal", "ordinal"),
        ("id: image_id", "id: name", "binary"),
        ("test_images: test_images", "test_images: train_images", "binary"),
    ],
)
def test_a_wrong_conclusion_is_one_edited_line(data, tmp_path, old, new, kind):
    write_tables(data, {}, label=["0", "1"] * 6, grade=["0", "1", "2"] * 4, name=[f"n{number}" for number in range(12)])
    pd.DataFrame({"image_id": TEST_IDS, "name": TEST_IDS, "label": "0"}).iloc[:, [0, 2]].to_csv(
        data / "sample_submission.csv", index=False
    )
    (data / "copies").mkdir()
    for name in IDS:
        Image.new("L", (7, 9)).save(data / "copies" / f"{name}.png")
    for number in range(len(IDS)):
        Image.new("L", (7, 9)).save(data / "train_images" / f"n{number}.png")
    file = init_workspace(tmp_path / "w", data).file
    edit(file, f"  {old}\n", f"  {new}\n")
    if "test_images" in new or "id:" in new:
        edit(file, "  sample: sample_submission.csv\n", "")
    assert prove(tmp_path / "w") == kind


def test_a_target_less_and_what_was_said_of_it_is_passed_over(data, tmp_path):
    write_tables(data, {"mask": 0, "age": 0.5}, mask=[0, 1] * 6, age=[number + 0.5 for number in range(12)])
    file = init_workspace(tmp_path / "w", data).file
    assert read(file)["task"]["targets"] == {"mask": "binary", "age": "regression"}
    edit(file, "  target: [mask, age]\n", "  target: mask\n")
    edit(file, "  sample: sample_submission.csv\n", "")
    project = Project(tmp_path / "w")
    assert prove(project.root) == "binary"
    assert load_manifest(project, "one").values["loss"]["use"] == "cross_entropy"


def test_tables_that_do_not_open_as_concluded_are_written_with_the_reason(data, tmp_path, capsys):
    write_tables(data, {"label": "x"}, label=["x", "y"] * 6)
    (data / "sample_submission.csv").write_text("image_id,label\nt0,x\nt0,\n")
    assert main(["init", str(tmp_path / "w"), "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert "stand twice" in out and "comp init" in out
    assert "QUESTION: the tables do not open" in (tmp_path / "w/competition.yaml").read_text()


def test_check_repeats_what_is_still_asked(data, tmp_path):
    write_tables(data, {"label": "x"}, label=["x", "y"] * 6, patient_id=list("abcdef") * 2)
    file = init_workspace(tmp_path / "w", data).file
    project = Project(tmp_path / "w")
    lines = describe_questions(project)
    assert [line.split(" ")[1] for line in lines] == ["split.group:", "metric.use:"]
    assert file.read_text().splitlines()[int(lines[0].split(" ")[0].split(":")[1]) - 1] == "  # group: patient_id"
    text = file.read_text()
    file.write_text("\n".join(line for line in text.splitlines() if "QUESTION: which metric" not in line))
    assert [line.split(" ")[1] for line in describe_questions(project)] == ["split.group:"]
