from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from comp.api import Target, Task
from comp.competition import open_competition
from comp.errors import DataError, WorkspaceError
from comp.folds import open_folds
from comp.init import InitReport, init_workspace
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.notes import Notes, as_mapping
from comp.project import Project
from comp.propose import propose_form


def draw(folder: Path, names, suffix=".png", mode="RGB", size=(20, 30)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new(mode, size).save(folder / f"{name}{suffix}", format="PNG")


class Competition:
    """Writes what a competition hands out: n training rows and 4 test rows."""

    def __init__(self, root: Path, n: int = 12) -> None:
        self.root, self.n = root / "data", n
        self.ids = [f"a{i:02d}" for i in range(n)]
        self.test_ids = [f"t{i}" for i in range(4)]
        draw(self.root / "train_images", self.ids)
        draw(self.root / "test_images", self.test_ids)

    def train(self, name="train.csv", id="image_id", **columns) -> None:
        pd.DataFrame({id: self.ids, **columns}).to_csv(self.root / name, index=False)

    def sample(self, id="image_id", name="sample_submission.csv", **columns) -> None:
        pd.DataFrame({id: self.test_ids, **{key: [value] * 4 for key, value in columns.items()}}).to_csv(
            self.root / name, index=False
        )

    def init(self) -> tuple[InitReport, dict]:
        """And prove that what was concluded works: a manifest resolves, tables open, folds are made."""
        folder = self.root.parent / "workspace"
        report = init_workspace(folder, self.root)
        project = Project(folder)
        create_experiment(project, "one")
        manifest = load_manifest(project, "one")
        open_folds(project, manifest, open_competition(project, manifest))
        return report, YAML(typ="safe", pure=True).load(report.file.read_text(encoding="utf-8"))


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


def asked(report: InitReport) -> set[str]:
    return {note.key for note in report.questions}


def test_without_data_the_digits(tmp_path):
    report = init_workspace(tmp_path / "new" / "folder")
    text = report.file.read_text()
    assert report.questions == () and report.file == tmp_path / "new" / "folder" / "competition.yaml"
    found = YAML(typ="safe", pure=True).load(text)
    assert found["task"] == {
        "kind": "multiclass",
        "classes": 10,
        "rows": 1347,
        "test_rows": 450,
        "image_px": 8,
        "channels": 1,
        "flip": False,
    }
    assert found["dataset"] == {"use": "digits"} and found["leaderboard"] == {"use": "digits"}


def test_the_checkout_is_the_workspace_that_init_makes(tmp_path):
    checkout = Path(__file__).parents[1] / "competition.yaml"
    assert init_workspace(tmp_path).file.read_text() == checkout.read_text()


def test_labels(competition):
    competition.train(label=["cat", "dog", "owl"] * 4)
    competition.sample(label="cat")
    report, found = competition.init()
    assert found["dataset"] == {
        "use": "csv", "data": str(competition.root), "train": "train.csv", "sample": "sample_submission.csv", "id": "image_id",
        "images": "train_images", "test_images": "test_images", "target": "label",
    }  # fmt: skip
    assert found["task"] == {
        "kind": "multiclass",
        "classes": 3,
        "rows": 12,
        "test_rows": 4,
        "image_px": 20,
        "channels": 3,
        "flip": True,
    }
    assert found["submission"] == {"use": "labels"} and found["metric"] == {"use": "accuracy"}
    assert asked(report) == {"metric.use"}
    assert all(note.why for note in report.conclusions)


def test_questions_stand_above_their_key(competition):
    competition.train(label=["cat", "dog", "owl"] * 4, patient_id=list("aabbccddeeff"))
    competition.sample(label="cat")
    report, found = competition.init()
    lines = report.file.read_text().splitlines()
    place = lines.index("  # group: patient_id")
    assert lines[place - 1].startswith("  # QUESTION: will the test set bring a new 'patient_id'?")
    assert lines[lines.index("  use: accuracy") - 1].startswith("  # QUESTION: which metric")
    assert "group" not in found["split"] and asked(report) == {"metric.use", "split.group"}
    # The line works when it is taken.
    report.file.write_text(report.file.read_text().replace("  # group", "  group"))
    project = Project(report.file.parent)
    manifest = load_manifest(project, "one")
    folds = open_folds(project, manifest, open_competition(project, manifest))
    assert (folds.of(competition.ids).reshape(6, 2)[:, 0] == folds.of(competition.ids).reshape(6, 2)[:, 1]).all()


def test_data_inside_the_workspace_are_named_from_it(competition):
    competition.train(label=["cat", "dog", "owl"] * 4)
    report = init_workspace(competition.root.parent, competition.root)
    assert "\n  data: data\n" in report.file.read_text()
    assert "\n  data: .\n" in init_workspace(competition.root, competition.root).file.read_text().replace('"."', ".")


def test_columns_of_class_probabilities(competition):
    competition.train(name="labels.csv", id="id", breed=["pug", "collie", "whippet"] * 4)
    competition.sample(id="id", pug=1 / 3, collie=1 / 3, whippet=1 / 3)
    _, found = competition.init()
    assert found["dataset"]["target"] == "breed" and found["dataset"]["train"] == "labels.csv"
    assert found["submission"] == {"use": "probabilities"} and found["metric"] == {"use": "log_loss"}


def test_a_probability_of_one_class(competition):
    competition.train(id="id", has_cactus=[0, 1] * 6)
    competition.sample(id="id", has_cactus=0.5)
    _, found = competition.init()
    assert found["task"]["kind"] == "binary"
    assert found["submission"] == {"use": "probability"} and found["metric"] == {"use": "auc"}


def test_several_classes_a_row_are_the_likeliest(competition):
    competition.train(id="id", whale=["new_whale", "w_1", "w_2"] * 4)
    competition.sample(id="id", whale="new_whale w_1 w_2")
    report, found = competition.init()
    assert found["submission"] == {"use": "topk", "k": 3} and found["metric"] == {"use": "map_at_k", "k": 3}
    assert {"submission.use", "metric.use"} <= asked(report)


def test_one_probability_of_several_classes(competition):
    competition.train(id="id", lesion=["mel", "nv", "bcc"] * 4)
    competition.sample(id="id", mel=0.5)
    _, found = competition.init()
    assert found["submission"] == {"use": "probability"} and found["metric"] == {"use": "auc"}


def test_a_row_for_each_class_named_in_a_column(competition):
    competition.train(id="id", breed=["pug", "collie"] * 6)
    rows = [(name, breed, 0.5) for name in competition.test_ids for breed in ("pug", "collie")]
    pd.DataFrame(rows, columns=["id", "breed", "p"]).to_csv(competition.root / "sample_submission.csv", index=False)
    pd.DataFrame({"id": competition.test_ids}).to_csv(competition.root / "test.csv", index=False)
    _, found = competition.init()
    assert found["submission"] == {"use": "long"} and found["dataset"]["target"] == "breed"


def test_a_row_for_each_label_named_in_the_id():
    task = Task((Target("marks", "multilabel", ("any", "sub_any"), ("any", "sub_any")),))
    rows = [(f"{name}-{label}", "0.5") for name in "xyz" for label in task.target.classes]
    notes = Notes()
    propose_form(task, pd.DataFrame(rows, columns=["ID", "Label"], dtype=str), notes)
    found = as_mapping(notes.found)
    assert found["submission"] == {"use": "long", "separator": "-"} and found["metric"] == {"use": "auc"}


def test_a_sample_that_numbers_its_rows_and_classes(tmp_path):
    for part, names in (("train/cat", "ab"), ("train/dog", "cd"), ("test/0", "xyz")):
        draw(tmp_path / "data" / part, names)
    pd.DataFrame({"answer value": [0, 0, 1]}).to_csv(tmp_path / "data" / "sample_submission.csv")
    report = init_workspace(tmp_path / "workspace", tmp_path / "data")
    found = YAML(typ="safe", pure=True).load(report.file.read_text(encoding="utf-8"))
    assert found["submission"] == {"use": "labels", "write": "number"} and "submission.use" in asked(report)
    project = Project(tmp_path / "workspace")
    create_experiment(project, "one")
    tables = open_competition(project, load_manifest(project, "one")).tables
    assert tables.id_column == "" and tables.test["id"].tolist() == ["test/0/x.png", "test/0/y.png", "test/0/z.png"]


def test_zero_and_one_could_be_either(competition):
    competition.train(id="id", target=[0, 1] * 6)
    competition.sample(id="id", target=0)
    report, found = competition.init()
    assert found["submission"] == {"use": "labels"} and "submission.use" in asked(report)


def test_one_hot_columns(competition):
    competition.train(scab=[0, 1, 1] * 4, rust=[1, 1, 0] * 4, PatientID=list("aabbccddeeff"))
    competition.sample(scab=0.5, rust=0.5)
    report, found = competition.init()
    assert found["dataset"]["target"] == ["scab", "rust"] and found["task"]["kind"] == "multilabel"
    assert (
        found["split"]["use"] == "multilabel"
        and found["submission"] == {"use": "multilabel"}
        and found["metric"] == {"use": "auc"}
    )
    assert "task.kind" not in asked(report) and "split.group" in asked(report)


def test_one_hot_columns_that_exclude_each_other_are_asked_about(competition):
    competition.train(healthy=[1, 0] * 6, rust=[0, 1] * 6)
    competition.sample(healthy=0.5, rust=0.5)
    assert "task.kind" in asked(competition.init()[0])


def test_sets_of_labels(competition):
    competition.train(labels=["scab", "rust", "scab rust", "healthy"] * 3)
    competition.sample(labels="healthy")
    report, found = competition.init()
    assert found["dataset"]["separator"] == " " and found["task"]["kind"] == "multilabel" and found["task"]["classes"] == 3
    assert found["submission"] == {"use": "multilabel"} and "dataset.separator" not in asked(report)


def test_class_names_with_spaces_are_no_sets(competition):
    competition.train(species=["Sugar beet", "Common wheat", "Maize"] * 4)
    competition.sample(species="Sugar beet")
    _, found = competition.init()
    assert "separator" not in found["dataset"] and found["task"]["classes"] == 3


def test_a_number(competition):
    competition.train(id="Id", Pawpularity=list(range(30, 42)))
    competition.sample(id="Id", Pawpularity=42.57)
    report, found = competition.init()
    assert found["task"]["kind"] == "regression" and "classes" not in found["task"]
    assert found["metric"] == {"use": "rmse"} and "task.kind" in asked(report)


def test_grades_may_have_an_order(competition):
    competition.train(id="id_code", diagnosis=[0, 1, 2, 3] * 3)
    competition.sample(id="id_code", diagnosis=0)
    report, found = competition.init()
    assert found["task"]["kind"] == "multiclass" and "ordinal" in report.questions[0].question


def test_several_targets(competition):
    competition.train(
        label=["Greek_character01", "Greek_character02", "Tagalog_character01"] * 4,
        alphabet=["Greek", "Greek", "Tagalog"] * 4,
        drawer=list("abcd") * 3,
    )
    competition.sample(label="Greek_character01", alphabet="Greek")
    report, found = competition.init()
    assert found["task"]["kind"] == "multitarget" and found["task"]["targets"] == {"label": "multiclass", "alphabet": "binary"}
    assert found["task"]["flip"] is False and "split.group" in asked(report)


def test_headers_that_differ_are_asked_about(competition):
    competition.train(category_id=["7", "19", "7"] * 4, location=list("ab") * 6)
    competition.sample(id="Id", Predicted="7")
    report, found = competition.init()
    assert (found["dataset"]["id"], found["dataset"]["target"]) == ("image_id", "category_id")
    assert {"dataset.id", "dataset.target"} <= asked(report)


def test_a_column_of_paths(tmp_path):
    competition = Competition(tmp_path)
    competition.train(file=[f"train_images/{name}.png" for name in competition.ids], label=["x", "y"] * 6)
    table = pd.read_csv(competition.root / "train.csv")
    table["image_id"] = [f"n{i}" for i in range(12)]
    table.to_csv(competition.root / "train.csv", index=False)
    competition.sample(label="x")
    _, found = competition.init()
    assert found["dataset"]["image"] == "file" and found["dataset"]["images"] == "train_images"


def test_ids_with_an_extension_and_one_folder_for_all(tmp_path):
    competition = Competition(tmp_path)
    draw(competition.root / "images", [*competition.ids, *competition.test_ids])
    for name in ("train_images", "test_images"):
        for file in (competition.root / name).iterdir():
            file.unlink()
    competition.ids = [f"{name}.png" for name in competition.ids]
    competition.test_ids = [f"{name}.png" for name in competition.test_ids]
    competition.train(label=["x", "y"] * 6)
    competition.sample(label="x")
    _, found = competition.init()
    assert found["dataset"]["images"] == found["dataset"]["test_images"] == "images" and found["task"]["test_rows"] == 4


def test_several_images_make_a_unit(competition):
    competition.train(label=[0, 0, 1, 1] * 3, study=np.repeat(["s1", "s2", "s3", "s4", "s5", "s6"], 2))
    pd.DataFrame({"study": ["s8", "s9"], "label": ["0", "0"]}).to_csv(competition.root / "sample_submission.csv", index=False)
    pd.DataFrame({"image_id": competition.test_ids, "study": ["s8", "s8", "s9", "s9"]}).to_csv(
        competition.root / "test.csv", index=False
    )
    _, found = competition.init()
    assert (found["dataset"]["id"], found["dataset"]["row"]) == ("study", "image_id")


def test_no_test_set_yet(competition):
    competition.train(label=["x", "y"] * 6)
    competition.sample(label="x")
    for file in (competition.root / "test_images").iterdir():
        file.unlink()
    report, found = competition.init()
    assert found["task"]["test_rows"] == 0 and "dataset.test_images" in asked(report)


def test_grey_images_and_broken_ones(tmp_path):
    competition = Competition(tmp_path)
    draw(competition.root / "train_images", competition.ids, mode="L")
    (competition.root / "train_images" / "a03.png").write_bytes(b"")
    competition.train(label=["x", "y"] * 6)
    report, found = competition.init()
    assert found["task"]["channels"] == 1 and "task.channels" in asked(report)


@pytest.mark.parametrize(
    ("classes", "flip"),
    [
        ([str(i) for i in range(10)], False),
        (list("abcdefghijkl"), False),
        (["left_hand", "righthand"], False),
        (["turnLeft", "turnRight"], False),
        (["0", "1", "2", "3", "4"], True),
        (["bright", "cleft"], True),
    ],
)
def test_flip_by_class_names(tmp_path, classes, flip):
    competition = Competition(tmp_path, n=2 * len(classes))
    competition.train(kind=classes * 2)
    competition.sample(kind=classes[0])
    assert competition.init()[1]["task"]["flip"] is flip


def test_a_folder_per_class(tmp_path):
    root = tmp_path / "data"
    for part in ("train", "valid", "test"):
        for name in ("Pieris rapae", "Vanessa cardui"):
            draw(root / part / name, [f"{part}{i}" for i in range(5)])
    report = init_workspace(tmp_path / "w", root)
    found = YAML(typ="safe", pure=True).load(report.file.read_text())
    assert found["dataset"] == {"use": "folder", "data": str(root), "train": "train", "valid": "valid", "test": "test"}
    assert found["task"]["rows"] == 20 and found["task"]["test_rows"] == 10 and found["task"]["kind"] == "binary"
    found = YAML(typ="safe", pure=True).load(init_workspace(tmp_path / "v", root / "train").file.read_text())
    assert found["dataset"]["train"] == "." and found["task"]["test_rows"] == 0


def test_what_cannot_be_concluded(competition, tmp_path):
    with pytest.raises(DataError, match="holds no training table .* and no folders of images per class"):
        init_workspace(tmp_path / "w", tmp_path)
    competition.train(label=["x", "y"] * 6)
    for file in (competition.root / "train_images").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="holds the images of 'image_id' .*'a00', 'a01', 'a02'.*: unpack them there"):
        init_workspace(tmp_path / "w", competition.root)
    with pytest.raises(DataError, match="there is no folder"):
        init_workspace(tmp_path / "w", tmp_path / "nowhere")
    assert not (tmp_path / "w").exists()


def test_an_existing_workspace_is_left_alone(tmp_path):
    (tmp_path / "competition.yaml").write_text("mine")
    with pytest.raises(WorkspaceError, match="exists already"):
        init_workspace(tmp_path)
    assert (tmp_path / "competition.yaml").read_text() == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="is a file"):
        init_workspace(tmp_path / "file")
