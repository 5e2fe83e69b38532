"""comp.digest: what trains anew and what does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comp.manifest import Manifest, load_manifest
from comp.project import Project

COMPETITION = """\
dataset: {use: csv, data: /somewhere/of/mine}
task: {kind: multiclass, rows: 1698, test_rows: 350, image_px: 227}
split: {use: stratified, folds: 5, seed: 42}
metric: {use: accuracy}
submission: {use: labels}
"""
MANIFEST = """\
about: x
model: {use: timm, arch: resnet18, pretrained: false}
loss: {use: mine}
"""
MINE = 'from comp.api import plugin\n@plugin("loss")\ndef mine(*, gamma: float = 2.0): "x"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    folder = tmp_path / "experiments" / "exp001"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(MANIFEST)
    (folder / "mine.py").write_text(MINE)
    return Project(tmp_path)


def load(project: Project, *sets: str) -> Manifest:
    return load_manifest(project, "exp001", sets)


def test_a_digest_is_eight_hex_digits_and_stays(project: Project) -> None:
    digest = load(project).digest({"tables": "a", "folds": "b"})
    assert re.fullmatch("[0-9a-f]{8}", digest)
    assert load(project).digest({"folds": "b", "tables": "a"}) == digest


@pytest.mark.parametrize(
    "change",
    [
        "about=other", "metric={use: macro_f1}", "also=[{use: auc}]", "tta=[]", "submission={use: probabilities}", "logger=[]",
        "leaderboard={use: digits}", "train.workers=3", "train.threads=1",
        "train.checkpoint_minutes=1", "train.on_nan=stop", "dataset.data=/elsewhere/mine", "task.rows=1699",
        "task.test_rows=1", "loss.gamma=2", "train.precision=auto", "stages=null", "train.epochs=30",
    ],
)  # fmt: skip
def test_what_does_not_train_again(project: Project, change: str) -> None:
    assert load(project, change).digest({}) == load(project).digest({})


@pytest.mark.parametrize(
    "change",
    [
        "seed=1", "loss.gamma=2.5", "train.epochs=31", "train.batch_size=16", "train.precision=bf16", "train.precision=32",
        "train.select=best", "train.deterministic=true", "train.on_nan=skip", "image.size=128", "image.predict_size=256",
        "augment=[]", "mix={use: mixup}",
        "model.arch=resnet34", "split.folds=3", "on_bad_image=skip", "dataset.target=other",
        "head.dropout=0.5", "task.kind=binary",
        "ensemble={use: torchensemble}", "sampler={use: imbalanced}", "stages=[{name: a, epochs: 29}, {name: b, epochs: 1}]",
    ],
)  # fmt: skip
def test_what_trains_again(project: Project, change: str) -> None:
    assert load(project, change).digest({}) != load(project).digest({})


def test_contents_count(project: Project) -> None:
    manifest = load(project)
    assert len({manifest.digest({}), manifest.digest({"tables": "a"}), manifest.digest({"tables": "b"})}) == 3


PLATEAUS = ["{use: plateau, patience: 2}", "{use: timm, sched: plateau}", "{use: torch, name: ReduceLROnPlateau}"]


@pytest.mark.parametrize("selecting", ["train.patience=3", "train.select=best", *(f"scheduler={spec}" for spec in PLATEAUS)])
def test_a_metric_that_selects_trains_again(project: Project, selecting: str) -> None:
    assert load(project, selecting).selects_epoch()
    assert not load(project).selects_epoch()
    assert load(project, selecting, "metric={use: macro_f1}").digest({}) != load(project, selecting).digest({})


@pytest.mark.parametrize("selecting", ["train.patience=3", "train.select=best", *(f"scheduler={spec}" for spec in PLATEAUS)])
def test_where_the_loss_selects_another_metric_trains_nothing_anew(project: Project, selecting: str) -> None:
    sets = (selecting, "train.monitor=loss")
    assert not load(project, *sets).selects_epoch()
    assert load(project, *sets, "metric={use: macro_f1}").digest({}) == load(project, *sets).digest({})
    assert load(project, *sets).digest({}) != load(project, selecting).digest({})


def test_where_nothing_selects_it_does_not_matter_what_would(project: Project) -> None:
    assert load(project, "train.monitor=loss").digest({}) == load(project).digest({})


def test_the_metric_is_looked_at_as_before_one_could_say_so(project: Project) -> None:
    for sets in ((), ("train.patience=3",)):
        assert not {"monitor", "on_nan"} & set(load(project, *sets).relevant()["stages"][0]["train"])


@pytest.mark.parametrize("stage", ["patience: 3", "select: best"])
def test_it_matters_for_all_stages_where_one_selects(project: Project, stage: str) -> None:
    both = [
        f"stages=[{{name: a, epochs: 1, train: {{monitor: {what}}}}}, {{name: b, epochs: 2, train: {{{stage}}}}}]"
        for what in ("metric", "loss")
    ]
    assert len({load(project, text).digest({}) for text in both}) == 2


def test_a_stage_that_starts_from_the_best_selects(project: Project) -> None:
    stages = "stages=[{name: a, epochs: 1}, {name: b, epochs: 2, start: best}]"
    assert load(project, stages).selects_epoch()


def test_each_file_has_a_key_of_its_own(project: Project, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(name)
    (project.experiments / "exp001" / "mine.py").write_text(
        "from pathlib import Path\n" + MINE.replace("gamma: float = 2.0", "file: Path | None = None")
    )
    crop = "{use: bbox_crop, file: %s.csv}"
    alone = load(project, f"preprocess=[{crop % 'a'}]", "loss.file=b.csv").weight_hashes()
    assert sorted(alone) == ["loss.file", "preprocess.file"]
    both = load(project, f"preprocess=[{crop % 'a'}, {crop % 'b'}]").weight_hashes()
    assert sorted(both) == ["preprocess.0.file", "preprocess.1.file"] and len(set(both.values())) == 2
    stage = "{name: %s, epochs: 1, loss: {use: mine, file: %s.csv}}"
    stages = f"stages=[{stage % ('x', 'a')}, {stage % ('y', 'b')}]"
    staged = load(project, stages).weight_hashes()
    assert sorted(staged) == ["stages.0.loss.file", "stages.1.loss.file"] and len(set(staged.values())) == 2
    before = [load(project, f"preprocess=[{crop % 'a'}, {crop % 'b'}]"), load(project, stages)]
    before = [manifest.digest(manifest.weight_hashes()) for manifest in before]
    (tmp_path / "a.csv").write_text("other")
    after = [load(project, f"preprocess=[{crop % 'a'}, {crop % 'b'}]"), load(project, stages)]
    assert all(manifest.digest(manifest.weight_hashes()) != old for manifest, old in zip(after, before, strict=True))


def test_names_of_stages_do_not_count(project: Project) -> None:
    one, two = (load(project, f"stages=[{{name: {name}, epochs: 2}}]").digest({}) for name in ("a", "b"))
    assert one == two


def test_one_stage_is_the_same_as_its_epochs(project: Project) -> None:
    assert load(project, "stages=[{name: only, epochs: 7}]").digest({}) == load(project, "train.epochs=7").digest({})


def test_a_line_of_ones_own_plugin_counts_and_one_that_is_not_used_does_not(project: Project) -> None:
    before = load(project).digest({})
    (project.experiments / "exp001" / "unused.py").write_text(MINE.replace("mine", "unused"))
    assert load(project).digest({}) == before
    (project.experiments / "exp001" / "mine.py").write_text(MINE + "# changed\n")
    assert load(project).digest({}) != before


def test_where_the_workspace_lies_does_not_count(project: Project, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tmp_path / "experiments", tmp_path / "other" / "experiments")
    shutil.copy(tmp_path / "competition.yaml", tmp_path / "other")
    assert load(Project(tmp_path / "other")).digest({}) == load(project).digest({})


def test_the_relevant_part_of_a_blend(project: Project) -> None:
    (project.experiments / "b").mkdir()
    (project.experiments / "b" / "manifest.yaml").write_text("blend: {use: mean, members: [exp001]}\n")
    relevant = load_manifest(project, "b").relevant()
    assert relevant["blend"]["members"] == ["exp001"]
    assert relevant["metric"]["use"] == "accuracy"
    assert "train" not in relevant
