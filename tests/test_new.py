from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from comp.defaults import Facts
from comp.errors import ManifestError, WorkspaceError
from comp.init import init_workspace
from comp.manifest import load_manifest
from comp.new import compose_manifest, create_experiment
from comp.project import COMPETITION_FILE, Project, examples_folder

COMPETITION = "dataset: {use: digits}\ntask: {kind: multiclass, rows: 3000, image_px: 227}\nmetric: {use: accuracy}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / COMPETITION_FILE).write_text(COMPETITION)
    return Project(tmp_path)


def read(folder: Path) -> str:
    return (folder / "manifest.yaml").read_text()


def fake_run(project: Project, name: str, digest: str, made_at: float = 1.0, complete: bool = True) -> Path:
    """What a run leaves that `comp new --from` looks at."""
    folder = project.experiments / name / "runs" / digest
    (folder / "fold0").mkdir(parents=True)
    (folder / "manifest.resolved.yaml").write_text(load_manifest(project, name).dump())
    (folder / "environment.json").write_text(json.dumps({"format": 1, "folds": ["0"], "made_at": made_at}))
    if complete:
        (folder / "fold0" / "fold.json").write_text("{}")
        (folder / "scores.json").write_text(json.dumps({"format": 1, "complete": True}))
    return folder


def test_a_new_experiment_is_short_and_complete(project):
    folder = create_experiment(project, "first")
    text = read(folder)
    assert folder == project.experiments / "first" and len(text.splitlines()) <= 15
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.schema.json", "manifest.yaml"]
    assert json.loads((folder / "manifest.schema.json").read_text())["properties"]["model"]
    assert re.search(r'^about: ""  # ', text, re.M) and "image: {size: 227}" in text


def test_the_model_is_written_so_that_it_means_the_same_elsewhere(project, monkeypatch):
    monkeypatch.setattr("comp.defaults.has_gpu", lambda: True)
    assert "model: {use: timm, arch: convnext_tiny, pretrained: true}" in read(create_experiment(project, "on_gpu"))
    monkeypatch.setattr("comp.defaults.has_gpu", lambda: False)
    assert "arch: mobilenetv3_small_100" in read(create_experiment(project, "on_cpu"))
    assert load_manifest(project, "on_gpu").values["model"]["arch"] == "convnext_tiny"


@pytest.mark.parametrize("flip", [True, False])
def test_hints_are_valid_when_taken(project, flip):
    (project.root / COMPETITION_FILE).write_text(COMPETITION.replace("rows", f"flip: {str(flip).lower()}, rows"))
    folder = create_experiment(project, "first")
    hints = re.findall(r"^# (\w+): ", read(folder), re.M)
    assert hints == ["augment", "mix", "optimizer", "train", "seed"]
    (folder / "manifest.yaml").write_text(re.sub(r"^# (\w+: )", r"\1", read(folder), flags=re.M))
    values = load_manifest(project, "first").values
    assert values["seed"] == 43 and values["augment"][0]["use"] == "medium" and values["mix"]["use"] == "cutmix"
    assert values["augment"][0]["flip"] is flip


def test_names_count_up(project):
    assert [create_experiment(project).name for _ in range(2)] == ["exp001", "exp002"]
    (project.experiments / "exp041").mkdir()
    assert create_experiment(project).name == "exp042"


@pytest.mark.parametrize("name", ["Exp1", "1st", "a-b", "../x", "a/b", "/tmp/x", "", ".hidden", "a" * 65])
def test_bad_names(project, name):
    with pytest.raises(WorkspaceError, match="cannot name an experiment"):
        create_experiment(project, name)
    assert list(project.experiments.iterdir()) == []


def test_an_existing_experiment_is_left_alone(project):
    text = read(create_experiment(project, "exp001"))
    with pytest.raises(WorkspaceError, match="'exp001' exists already .*exp002 is free"):
        create_experiment(project, "exp001", sets=["seed=3"])
    assert read(project.experiments / "exp001") == text


# ---- --set ---------------------------------------------------------------------------------------------------------------


def test_set_is_written_into_the_manifest(project):
    sets = [
        "about=focal loss, 0.93",
        "loss={use: focal, gamma: 3}",
        "train.epochs=4",
        "optimizer.lr=1e-5",
        "model.arch=resnet18",
        "augment.0.use=heavy",
    ]
    folder = create_experiment(project, "first", sets=sets)
    text, values = read(folder), load_manifest(project, "first").values
    assert 'about: "focal loss, 0.93"\n' in text and "model: {use: timm, arch: resnet18, pretrained: true}" in text
    assert values["loss"]["gamma"] == 3 and values["train"]["epochs"] == 4 and values["optimizer"]["lr"] == 1e-5
    assert [item["use"] for item in values["augment"]] == ["heavy"]
    assert len(text.splitlines()) <= 15 and "# train:" not in text


def test_set_of_another_model_replaces_it(project):
    text = read(create_experiment(project, "first", sets=["model.use=cnn"]))
    assert "model: {use: cnn}" in text


def test_set_to_null_says_so(project):
    create_experiment(project, "parent", sets=["mix={use: cutmix}"])
    folder = create_experiment(project, "child", "parent", sets=["mix=null"])
    assert "mix: null" in read(folder) and load_manifest(project, "child").values["mix"] is None


def test_set_that_is_wrong_leaves_nothing(project):
    with pytest.raises(ManifestError) as caught:
        create_experiment(project, "first", sets=["train.epochz=4", "loss.use=focla", "seed"])
    text = str(caught.value)
    assert "--set train.epochz=4  train.epochz: " in text and "did you mean 'focal'?" in text and "wanted key=value" in text
    assert text.endswith("3 faults; nothing was made.")
    assert list(project.experiments.iterdir()) == []


def test_a_blend_has_no_model(project):
    for name in ("a", "b"):
        create_experiment(project, name)
    text = read(create_experiment(project, "both", sets=["blend={use: mean, members: [a, b]}"]))
    assert "blend: {use: mean, members: [a, b]}" in text and "model" not in text and "image" not in text
    text = read(create_experiment(project, "mate", sets=["imported={oof: oof.csv}"]))
    assert "imported: {oof: oof.csv}" in text and "model" not in text and "augment" not in text


# ---- --from --------------------------------------------------------------------------------------------------------------


def test_from_an_experiment_without_a_run(project):
    create_experiment(project, "parent", sets=["train.epochs=3"])
    fake_run(project, "parent", "aaaaaaaa", complete=False)
    folder = create_experiment(project, "child", "parent", sets=["seed=7"])
    assert "extends: parent\n" in read(folder) and not (folder / "extends").exists() and "model" not in read(folder)
    create_again = load_manifest(project, "child").values
    assert create_again["train"]["epochs"] == 3 and create_again["seed"] == 7


def test_from_an_experiment_with_runs_is_pinned_to_the_newest_complete_one(project):
    create_experiment(project, "parent", sets=["train.epochs=3"])
    fake_run(project, "parent", "aaaaaaaa", 1.0)
    fake_run(project, "parent", "bbbbbbbb", 3.0)
    fake_run(project, "parent", "cccccccc", 2.0)
    fake_run(project, "parent", "dddddddd", 4.0, complete=False)
    folder = create_experiment(project, "child", "parent")
    assert "extends: parent@bbbbbbbb\n" in read(folder)
    copy = (folder / "extends" / "parent@bbbbbbbb.yaml").read_text()
    assert copy.startswith("format: 1\n") and not re.search("^(dataset|split|metric|submission|leaderboard|task):", copy, re.M)
    # The pin holds when the parent changes, and when its runs are gone.
    (project.experiments / "parent" / "manifest.yaml").write_text("train: {epochs: 9}\n")
    (project.experiments / "parent" / "runs").rename(project.root / "elsewhere")
    assert load_manifest(project, "child").values["train"]["epochs"] == 3
    # What the competition fixes is not pinned.
    (project.root / COMPETITION_FILE).write_text(COMPETITION + "split: {use: plain, folds: 3}\n")
    assert load_manifest(project, "child").values["split"]["folds"] == 3


def test_from_a_stated_run(project):
    create_experiment(project, "parent")
    fake_run(project, "parent", "aaaaaaaa", 1.0)
    fake_run(project, "parent", "abcdef01", 2.0)
    assert "extends: parent@aaaaaaaa\n" in read(create_experiment(project, "child", "parent@aaa"))
    with pytest.raises(WorkspaceError, match="parent@a: 2 runs of parent begin with 'a'; there are: abcdef01, aaaaaaaa"):
        create_experiment(project, "other", "parent@a")
    with pytest.raises(WorkspaceError, match="0 runs of parent begin with 'f'"):
        create_experiment(project, "other", "parent@f")
    assert not (project.experiments / "other").exists()


def test_from_something_that_is_not_there(project):
    create_experiment(project, "exp041")
    with pytest.raises(WorkspaceError, match="'exp04'; did you mean 'exp041'"):
        create_experiment(project, "child", "exp04")
    with pytest.raises(WorkspaceError):
        create_experiment(project, "child", "child")
    assert not (project.experiments / "child").exists()


def test_from_an_example(project, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    (shipped / "paintings").mkdir(parents=True)
    (shipped / "paintings" / "manifest.yaml").write_text("train: {epochs: 8}\n")
    monkeypatch.setattr("comp.project.examples_folder", lambda: shipped)
    monkeypatch.setattr("comp.catalog.examples_folder", lambda: shipped)
    assert examples_folder() != shipped
    assert "extends: paintings\n" in read(create_experiment(project, "mine", "paintings"))
    assert load_manifest(project, "mine").values["train"]["epochs"] == 8


def test_an_example_under_its_own_name_is_a_copy_that_its_children_extend(project, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    for name, text in (("first", "train: {epochs: 8}\nseed: 3\n"), ("second", "extends: first\nseed: 4\n")):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "manifest.yaml").write_text(text)
    monkeypatch.setattr("comp.project.examples_folder", lambda: shipped)
    monkeypatch.setattr("comp.catalog.examples_folder", lambda: shipped)
    assert "extends" not in read(create_experiment(project, "first", "first", ["train.epochs=9", "about=mine"]))
    own = load_manifest(project, "first")
    assert (own.values["train"]["epochs"], own.values["seed"], own.values["about"], own.parents) == (9, 3, "mine", ())
    create_experiment(project, "second", "second")
    child = load_manifest(project, "second")
    assert (child.values["train"]["epochs"], child.values["seed"], child.parents) == (9, 4, ("first",))


# ---- the rest ------------------------------------------------------------------------------------------------------------


def test_faults_of_the_competition_are_said(project):
    (project.root / COMPETITION_FILE).write_text("dataset: {use: digit}\nmetric: {use: accuracy}\n")
    with pytest.raises(ManifestError, match="competition.yaml:1 .*did you mean 'digits'"):
        create_experiment(project, "first")
    assert list(project.experiments.iterdir()) == []


def test_many_keys_leave_no_room_for_hints():
    text = compose_manifest("x", {f"key{i}": i for i in range(12)}, Facts())
    assert len(text.splitlines()) == 15 and text.count("\n# ") == 2


def test_new_imports_nothing_heavy(tmp_path):
    init_workspace(tmp_path)
    code = (
        "import sys; from pathlib import Path; from comp.project import Project; from comp.new import create_experiment\n"
        "project = Project(Path(sys.argv[1])); create_experiment(project, 'a')\n"
        "create_experiment(project, 'b', 'a', ['train.epochs=2'])\n"
        "heavy = 'torch', 'numpy', 'pandas', 'timm', 'sklearn', 'albumentations', 'cv2', 'PIL'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
