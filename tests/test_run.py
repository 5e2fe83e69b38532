"""`comp run`: what trains again and what does not, stopping and going on, several processes on one run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from comp.errors import RunInterrupted, WorkspaceError
from comp.manifest import load_manifest
from comp.plan import plan_run
from comp.predictions import read_predictions, read_raw
from comp.run import choose_folds, run_experiment, shorten

LOSS = '''
from torch import nn

from comp.api import Loss, Task, plugin


@plugin("loss")
def plain(task: Task, /) -> Loss:
    """Cross-entropy."""
    return nn.CrossEntropyLoss(reduction="none")
'''


def folders(tiny, name: str = "exp001"):
    return sorted(file.parent for file in (tiny.root / f"experiments/{name}/runs").glob("*/environment.json"))


def trained(tiny) -> list[str]:
    return [event.fold for event in tiny.names("FoldFinished")]


def digest_of(tiny, name: str = "exp001", **options) -> str:
    return plan_run(tiny.project, load_manifest(tiny.project, name, **options)).run.digest


# ---- running again -------------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_files(tiny_run):
    (folder,) = folders(tiny_run)
    there = {path.name for path in folder.iterdir()}
    assert there >= {"manifest.resolved.yaml", "environment.json", "folds.csv", "events.jsonl", "scores.json", "report.html"}
    assert {path.name for path in (folder / "fold0").iterdir()} >= {
        "last.safetensors",
        "oof.parquet",
        "test.parquet",
        "fold.json",
    }
    assert not (folder / "fold0/last.ckpt").exists()
    oof, test = read_predictions(folder / "oof.parquet"), read_predictions(folder / "test.parquet")
    assert len(oof.ids) == 60 and len(test.ids) == 12
    assert np.allclose(oof.values.sum(axis=1), 1)


def test_running_again_says_complete_and_trains_nothing(tiny_run):
    said = tiny_run.comp("run", "exp001")
    assert said.code == 0 and "complete already; nothing was trained" in said.out
    tiny_run.run()
    assert [event.why for event in tiny_run.names("FoldSkipped")] == ["complete", "complete"]
    assert len(folders(tiny_run)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "about: another word",
        "metric: {use: log_loss}",
        "also: [{use: macro_f1}]",
        "tta: [{use: hflip}]",
        "submission: {use: probabilities}",
        "logger: []",
    ],
)
def test_what_changes_no_weights_changes_no_digest(tiny_run, line):
    with open(tiny_run.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write(line + "\n")
    tiny_run.run()
    assert trained(tiny_run) == [] and len(folders(tiny_run)) == 1


@pytest.mark.parametrize("line", ["seed: 7", "loss: {use: focal}", "split: {seed: 1}", "head: {use: mlp}"])
def test_a_key_that_trains_makes_another_run(tiny_run, line):
    with open(tiny_run.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write(line + "\n")
    assert digest_of(tiny_run) != folders(tiny_run)[0].name


def test_a_metric_that_selects_makes_another_run(tiny_run):
    tiny_run.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 2, select: best")
    by_accuracy = digest_of(tiny_run)
    assert digest_of(tiny_run, sets=["metric={use: log_loss}"]) != by_accuracy


def test_a_changed_training_table_trains_anew(tiny_run):
    lines = (tiny_run.data / "train.csv").read_text().splitlines()
    name, label = lines[1].split(",")
    lines[1] = f"{name},{(int(label) + 1) % 3}"
    (tiny_run.data / "train.csv").write_text("\n".join(lines) + "\n")
    tiny_run.run()
    assert trained(tiny_run) == ["0", "1"] and len(folders(tiny_run)) == 2


def test_a_changed_test_table_does_not(tiny_run):
    lines = (tiny_run.data / "test.csv").read_text().splitlines()
    (tiny_run.data / "test.csv").write_text("\n".join(lines[:-1]) + "\n")
    tiny_run.run()
    assert trained(tiny_run) == []


def test_a_line_of_the_experiments_own_plugin_trains_anew(tiny):
    folder = tiny.write("exp001", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + "loss: {use: plain}\n")
    (folder / "plain.py").write_text(LOSS)
    tiny.run()
    assert trained(tiny) == ["0", "1"]
    (folder / "plain.py").write_text(LOSS + "# a reason\n")
    tiny.run()
    assert trained(tiny) == ["0", "1"]
    tiny.run()
    assert trained(tiny) == []


def test_folds_one_by_one_equal_all_at_once(tiny, tiny_run):
    for fold in (1, 0):
        result = tiny.run(only=[fold])
        assert result.complete == (fold == 0)
        (started,) = tiny.names("RunStarted")
        assert started.folds == [str(fold)]  # what this call is to train, which the time left is worked out from
    (mine,), (theirs,) = folders(tiny), folders(tiny_run)
    assert mine.name == theirs.name
    assert_same_predictions(mine, theirs, ["fold0", "fold1"])


def assert_same_predictions(mine, theirs, parts):
    for part in parts:
        for file in ("oof.parquet", "test.parquet"):
            one, other = read_raw(mine / part / file), read_raw(theirs / part / file)
            assert (one.row_ids == other.row_ids).all() and (one.outputs == other.outputs).all(), (part, file)
        # Weights, bit for bit.
        assert (mine / part / "last.safetensors").read_bytes() == (theirs / part / "last.safetensors").read_bytes()
    one, other = read_predictions(mine / "oof.parquet"), read_predictions(theirs / "oof.parquet")
    assert (one.ids == other.ids).all() and (one.values == other.values).all()


def test_a_fold_that_does_not_exist_is_refused_and_nothing_is_made(tiny):
    said = tiny.comp("run", "exp001", "--only", "2")
    assert said.code == 2 and "the folds are 0, 1" in said.err
    assert not (tiny.root / "experiments/exp001/runs").exists()


def test_full_comes_last_and_stands_beside_the_folds(tiny):
    plan = plan_run(tiny.project, load_manifest(tiny.project, "exp001"))
    assert choose_folds(plan, None, True) == ["0", "1", "full"]
    assert choose_folds(plan, [1], False) == ["1"]
    with pytest.raises(WorkspaceError):
        choose_folds(plan, [-1], False)


def test_folds_has_a_run_of_its_own(tiny_run):
    result = tiny_run.run(folds=3, only=[0])
    assert json.loads((result.folder / "environment.json").read_text())["folds"] == ["0", "1", "2"]
    assert len(folders(tiny_run)) == 2 and not result.complete


def test_debug_is_kept_apart(tiny):
    result = tiny.run(place="debug")
    assert result.folder.parent.name == "debug" and not folders(tiny)
    assert result.complete and result.scores["coverage"]["units"] == 60


def test_shorten_trains_an_epoch_in_each_stage(tiny):
    manifest = load_manifest(tiny.project, "exp001", ["train.epochs=9"])
    assert [stage["epochs"] for stage in shorten(manifest).stages] == [1]
    tiny.edit("experiments/exp001/manifest.yaml", "train: {epochs: 1, ", "train: {")
    stages = "stages=[{name: head, epochs: 3, freeze: backbone}, {name: all, epochs: 4}]"
    assert [stage["epochs"] for stage in shorten(load_manifest(tiny.project, "exp001", [stages])).stages] == [1, 1]


# ---- what is said --------------------------------------------------------------------------------------------------------


def test_an_unpinned_parent_that_changed_is_said_once(tiny):
    tiny.write("child", "extends: exp001\n")
    tiny.run("child", only=[0])
    assert not [event for event in tiny.names("Notice") if "extends" in event.text]
    tiny.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 2")
    check = tiny.comp("check", "child", "--json")
    assert "exp001, which child extends, has changed since the last run: train.epochs was 1 and is 2" in check.json["warnings"][0]
    tiny.run("child", only=[0])
    (notice,) = [event for event in tiny.names("Notice") if "extends" in event.text]
    assert notice.level == "warning" and "extends: exp001@DIGEST" in notice.text
    tiny.run("child", only=[0])
    assert not [event for event in tiny.names("Notice") if "extends" in event.text]


def test_what_was_skipped_is_listed(tiny):
    names = sorted(path.stem for path in (tiny.data / "train").iterdir())
    (tiny.data / f"train/{names[0]}.png").write_bytes(b"")
    (tiny.data / f"train/{names[5]}.png").unlink()
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\non_bad_image: skip")
    result = tiny.run()
    (notice,) = [event.text for event in tiny.names("Notice") if "skipped" in event.text]
    assert "skipped 2 of 60 training images" in notice and names[0] in notice and names[5] in notice
    skipped = pd.read_csv(result.folder / "skipped.csv", dtype=str)
    assert list(skipped["row_id"]) == [names[0], names[5]] and all(skipped["why"])
    assert result.scores["coverage"] == {"scored": 58, "units": 60}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("absent", "there is no test set yet"),
        ("empty", "the test set is empty"),
        ("stub", "the test set has 2 rows to 60 for training, and may be a stub"),
    ],
)
def test_a_test_set_that_is_not_there_is_said(tiny, change, said):
    if change == "absent":
        shutil.rmtree(tiny.data / "test")
    else:
        rows = (tiny.data / "test.csv").read_text().splitlines()[: 1 if change == "empty" else 3]
        (tiny.data / "test.csv").write_text("\n".join(rows) + "\n")
    result = tiny.run(only=[0])
    assert any(said in event.text for event in tiny.names("Notice"))
    assert (result.folder / "fold0/test.parquet").exists() == (change == "stub")


def test_the_result_as_json(tiny_run):
    found = tiny_run.comp("run", "exp001", "--json").json
    assert found["complete"] and found["digest"] == folders(tiny_run)[0].name and found["scores"]["metric"] == "accuracy"


# ---- stopping and going on -----------------------------------------------------------------------------------------------


RANDOM = """\
model: {use: cnn, widths: [8, 8], hidden: 16, dropout: 0.5}
image: {size: 16}
augment: [{use: light, flip: false}]
mix: {use: mixup}
train: {epochs: 3, batch_size: 16, workers: 0, threads: 1, ema: true}
split: {folds: 3}
"""
"""Whatever is drawn at random while a fold trains."""

PARTS = ["fold0", "fold1", "fold2"]
KILLS = [("StoreProgress", 1), ("EpochFinished", 2), ("PredictionProgress", 3), ("FoldFinished", 1)]


@pytest.fixture(scope="module")
def whole(copy_tiny):
    """A run that nobody interrupted."""
    tiny = copy_tiny(RANDOM)
    return tiny.run().folder


@pytest.fixture(scope="module")
def driven(copy_tiny, drive_processes):
    """Three workspaces: killed again and again; stopped by Ctrl-C and by a scheduler; run by two processes at once."""
    killed, stopped, shared = (copy_tiny(RANDOM) for _ in range(3))
    waves = [
        *([killed.job("run", "exp001", at=at, signal="SIGKILL")] for at in KILLS),
        [killed.job("run", "exp001")],
        [stopped.job("run", "exp001", at=("EpochFinished", 2), signal="SIGINT")],
        [stopped.job("run", "exp001", at=("FoldFinished", 1), signal="SIGTERM")],
        [stopped.job("run", "exp001")],
        [shared.job("run", "exp001"), shared.job("run", "exp001")],
    ]
    return killed, stopped, shared, drive_processes(waves)


def read_records(folder, *names):
    records = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] in names]


def test_killed_and_resumed_equals_uninterrupted(whole, driven):
    killed, _, _, processes = driven
    assert processes.codes[: len(KILLS) + 1] == [[-9]] * len(KILLS) + [[0]]
    (folder,) = folders(killed)  # none of the killed ones left a lock that stopped the next
    assert folder.name == whole.name
    assert_same_predictions(folder, whole, PARTS)
    assert json.loads((folder / "scores.json").read_text())["pooled"] == json.loads((whole / "scores.json").read_text())["pooled"]


def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(whole, driven):
    _, stopped, _, processes = driven
    assert processes.codes[len(KILLS) + 1 : len(KILLS) + 4] == [[130], [130], [0]]
    assert processes.err.count("everything is saved: `comp run exp001` goes on where it stopped") == 2
    (folder,) = folders(stopped)
    assert len(read_records(folder, "RunStopped")) == 2
    resumed = [(record["fold"], record["resumed_epoch"]) for record in read_records(folder, "FoldStarted")]
    assert resumed[:2] == [("0", 0), ("0", 2)]  # the second process went on in fold 0 where the first had stopped
    assert [record["fold"] for record in read_records(folder, "FoldFinished")] == ["0", "1", "2"]
    assert_same_predictions(folder, whole, PARTS)


def test_two_processes_share_the_folds(whole, driven):
    _, _, shared, processes = driven
    assert processes.codes[-1] == [0, 0]
    (folder,) = folders(shared)
    assert sorted(record["fold"] for record in read_records(folder, "FoldFinished")) == ["0", "1", "2"]
    assert [record["complete"] for record in read_records(folder, "RunFinished")] == [True, True]
    assert "in another process" in {record["why"] for record in read_records(folder, "FoldSkipped")}
    assert_same_predictions(folder, whole, PARTS)


def test_what_is_lost_by_an_interruption_is_said(tiny, monkeypatch):
    def stop(*_given):
        raise RunInterrupted("stopped", lost="fold 0 starts anew, because an ensemble's own loop cannot be resumed")

    monkeypatch.setattr("comp.material.Material.train_fold", stop)
    with pytest.raises(RunInterrupted) as caught:
        tiny.run()
    assert str(caught.value) == (
        "interrupted; fold 0 starts anew, because an ensemble's own loop cannot be resumed; the rest is saved: "
        "`comp run exp001` goes on."
    )


# ---- hours ---------------------------------------------------------------------------------------------------------------


def test_when_the_hours_are_over_what_is_done_is_merged_and_the_command_goes_on(tiny, hours_over):
    tiny.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 3")

    def dawdle(event) -> None:
        tiny.events.append(event)
        if type(event).__name__ == "EpochFinished" and event.fold == "1" and event.epoch == 0:
            hours_over()

    result = run_experiment(tiny.project, "exp001", emit=dawdle, max_hours=8.5)
    assert not result.complete and result.scores["folds_done"] == ["0"]
    assert (result.folder / "report.html").exists() and (result.folder / "fold1/last.ckpt").exists()
    stopped, finished = [event for event in tiny.events if type(event).__name__ in ("RunStopped", "RunFinished")]
    notice = tiny.events[-1]
    assert stopped.why == "out of time" and not finished.complete
    assert "hours are over; everything is saved: `comp run exp001 --max-hours 8.5` goes on" in notice.text
    tiny.events.clear()
    assert tiny.run().complete
    assert [event.resumed_epoch for event in tiny.names("FoldStarted")] == [1]


def test_hours_that_are_over_are_no_failure(tiny):
    said = tiny.comp("run", "exp001", "--max-hours", "0.0000001")
    assert said.code == 0 and "not complete yet" in said.out and "goes on where it stopped" in said.out
    assert tiny.comp("run", "exp001", "--max-hours", "0").code == 2
