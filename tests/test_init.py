from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from comp.competition import open_competition
from comp.errors import WorkspaceError
from comp.folds import open_folds
from comp.init import init_workspace
from comp.manifest import load_manifest
from comp.project import Project
from tests.handed_out import Competition, asked, draw


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return Competition(tmp_path)


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


def test_grey_images_and_broken_ones(tmp_path):
    competition = Competition(tmp_path)
    draw(competition.root / "train_images", competition.ids, mode="L")
    (competition.root / "train_images" / "a03.png").write_bytes(b"")
    competition.train(label=["x", "y"] * 6)
    report, found = competition.init()
    assert found["task"]["channels"] == 1 and "task.channels" in asked(report)


def test_an_existing_workspace_is_left_alone(tmp_path):
    (tmp_path / "competition.yaml").write_text("mine")
    with pytest.raises(WorkspaceError, match="exists already"):
        init_workspace(tmp_path)
    assert (tmp_path / "competition.yaml").read_text() == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="is a file"):
        init_workspace(tmp_path / "file")
