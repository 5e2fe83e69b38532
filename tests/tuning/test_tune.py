"""`comp tune` on a Ray of its own: searches that end, are killed, are told to end, and fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from comp.errors import RunError, WorkspaceError
from comp.predictions import link_outputs, read_raw
from comp.run import run_experiment
from comp.runs import fold_folder, read_fold
from comp.scale.cluster import Cluster, Node
from comp.stopping import Stop
from comp.trials import TrialRecord, list_searches
from comp.tuning.tune import claim_search, confirm_trial, run_trials, share_cluster, tune_experiment
from comp.tuning.tuner import Share
from comp.tuning.wishes import Wishes, begin_search, plan_trials

ray = pytest.mark.usefixtures("one_cluster")

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: EPOCHS, batch_size: 16, workers: 0}
search:
  trials: 4
  algorithm: ALGORITHM
  pruner: PRUNER
  VARIED
"""
BROKEN = """\
from comp.api import plugin

@plugin("logger")
class broken:
    '''Fails.'''
    def __init__(self, folder, /) -> None: pass
    def __call__(self, event) -> None: raise OSError("no way to the tracker")
    def close(self) -> None: pass
"""
LR = "optimizer.lr: {loguniform: [1.0e-3, 1.0e-1]}"
COMMAND = "import sys; from comp.cli import main; sys.exit(main(sys.argv[1:]))"


def write(tiny, varied=LR, algorithm="tpe", pruner="asha", epochs=2) -> None:
    text = MANIFEST.replace("VARIED", varied).replace("ALGORITHM", algorithm).replace("PRUNER", pruner)
    tiny.write("exp001", text.replace("EPOCHS", str(epochs)))


def tune(tiny, *args: str) -> subprocess.Popen:
    """The command in a process of its own, and of its own group, as a terminal starts it."""
    command = [sys.executable, "-c", COMMAND, "tune", "exp001", *args]
    return subprocess.Popen(
        command, cwd=tiny.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def trials(tiny) -> list:
    return [record for search in list_searches(tiny.project, "exp001") for record in search.trials()]


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_checkpoint(tiny) -> bool:
    return any((tiny.root / "experiments/exp001/trials").glob("*/fold0/last.ckpt"))


def end(process: subprocess.Popen, number: int) -> tuple[int, str, str]:
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


def find_processes(root: Path) -> list[str]:
    """Processes that work in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(entry / "cwd")).is_relative_to(root):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return [words for words in found if words]


@ray
def test_a_search_from_one_command_to_its_report_and_on(tiny):
    write(tiny, "optimizer.lr: {choice: [0.01, 0.03, 1.0e+30]}", algorithm="grid", pruner="none")
    (tiny.root / "experiments/exp001/broken.py").write_text(BROKEN)
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nlogger: [{use: broken}]")
    said = tiny.comp("tune", "exp001", "--confirm", "--json")
    assert said.code == 0, said.err
    by_lr = {record.values["optimizer.lr"]: record for record in trials(tiny)}
    assert {lr: record.state for lr, record in by_lr.items()} == {0.01: "done", 0.03: "done", 1e30: "failed"}
    assert "the training loss is nan" in by_lr[1e30].why and "optimizer.lr" in by_lr[1e30].why
    best = max((by_lr[0.01], by_lr[0.03]), key=lambda record: record.score)
    assert said.json["complete"] and said.json["trials"] == {"done": 2, "pruned": 0, "failed": 1, "running": 0}
    assert (said.json["best"], said.json["score"]) == (best.trial, best.score)
    for record in (by_lr[0.01], by_lr[0.03]):
        run = tiny.root / "experiments/exp001/trials" / record.digest
        assert record.score == read_fold(fold_folder(run, "0"))["scores"]["accuracy"] == record.curve[-1][1]
        assert record.epochs == 2 and [epoch for epoch, _ in record.curve] == [1, 2] and not (run / "test.parquet").exists()
    run = tiny.root / "experiments/exp001/trials" / best.digest
    assert said.json["confirmed"] == read_fold(fold_folder(run, "1"))["scores"]["accuracy"]
    folder = Path(said.json["folder"])
    assert (folder / "report.html").exists() and not list(folder.glob(".tune-*"))
    records = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    warnings = [record["text"] for record in records if record.get("level") == "warning"]
    assert warnings == ["logger broken failed and is left out from here on: no way to the tracker"]  # once for all trials
    events = [record["event"] for record in records]
    assert (events[0], events[-1]) == ("SearchStarted", "SearchFinished")
    assert events.count("TrialStarted") == events.count("TrialFinished") == 3
    # Nothing is left to do: no Ray is started for it.
    began = time.monotonic()
    again = tiny.comp("tune", "exp001", "--confirm", "--json")
    assert again.json == said.json and time.monotonic() - began < 20 and "Ray cluster" not in again.err


@ray
def test_a_search_that_is_killed_and_told_to_end_goes_on(tiny):
    """Killed in its first trials, then Ctrl-C, then to its end: every trial is there once, as if nothing had happened."""
    write(tiny, epochs=30, pruner="none")
    process = tune(tiny)
    wait_for(lambda: any(record.state == "done" for record in trials(tiny)), process)
    code, _, _ = end(process, signal.SIGKILL)
    assert code == -signal.SIGKILL
    killed = trials(tiny)
    deadline = time.monotonic() + 60
    while find_processes(tiny.root) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not find_processes(tiny.root), "trials outlive the driver"

    process = tune(tiny, "--trials", "5")
    count = len([record for record in killed if record.state != "running"])
    wait_for(lambda: len([record for record in trials(tiny) if record.state != "running"]) > count, process)
    code, out, err = end(process, signal.SIGINT)
    assert code == 130 and err.strip().splitlines()[-1].endswith("`comp tune exp001 --trials 5` goes on.")
    assert "Traceback" not in out + err
    ended = [record for record in trials(tiny) if record.state != "running"]

    result = tune_experiment(tiny.project, "exp001", Wishes(trials=5), tiny.events.append)
    records = trials(tiny)
    assert result.complete and result.trials == {"done": 5, "pruned": 0, "failed": 0, "running": 0}
    assert [record.trial for record in records] == [f"t{number:04d}" for number in range(1, 6)]
    assert records[: len(killed)] and [record.drawn for record in records[: len(killed)]] == [record.drawn for record in killed]
    assert len({record.digest for record in records}) == 5
    assert [record for record in records if record in ended] == ended, "what had ended stays as it was"
    told = [event for event in tiny.events if type(event).__name__ == "TrialFinished"]
    assert sorted(event.trial for event in told) == [record.trial for record in records]
    # What was interrupted scores what it would have scored at a stretch.
    late = max(records, key=lambda record: record.trial)
    text = (tiny.root / "experiments/exp001/manifest.yaml").read_text().partition("search:")[0]
    tiny.write("exp002", text + f"optimizer: {{lr: {late.values['optimizer.lr']!r}}}\n")
    whole = run_experiment(tiny.project, "exp002", sets=("train.threads=1",), only=[0], emit=tiny.events.append)
    assert whole.scores["per_fold"]["0"] == late.score and whole.digest == late.digest


@ray
@pytest.mark.slow
def test_poor_trials_are_pruned_over_all_their_folds(tiny):
    write(tiny, "optimizer.lr: {choice: [1.0e-7, 0.02, 1.1e-7, 1.2e-7]}", algorithm="grid", epochs=9)
    result = tune_experiment(tiny.project, "exp001", Wishes(only=None), tiny.events.append)
    assert result.complete and result.trials["pruned"] >= 1 and result.values["optimizer.lr"] == 0.02
    for record in trials(tiny):
        assert (record.state == "pruned" and record.epochs < 18) or (record.state == "done" and record.epochs == 18)
        assert record.state == "pruned" or set(record.per_fold) == {"0", "1"}


def test_what_a_trial_is_given_of_the_cluster(tiny):
    write(tiny)
    with_gpus = Cluster("", "a", (Node("a", "first", 8.0, 0.0), Node("b", "second", 4.0, 2.0)))
    without = Cluster("", "a", (Node("a", "first", 8.0, 0.0),))

    def share(cluster, **wishes):
        return share_cluster(begin_search(tiny.project, "exp001", Wishes(**wishes)), cluster, tiny.events.append)

    assert share(without) == Share(1.0, 0.0) and share(with_gpus) == Share(1.0, 1.0)
    assert share(with_gpus, gpu=0.5, cpu=2.0) == Share(2.0, 0.5) and share(with_gpus, gpu=0.0) == Share(1.0, 0.0)
    assert share(without, sets=("train.threads=3",)) == Share(3.0, 0.0)
    assert share(with_gpus, sets=("train.devices=2",)) == Share(2.0, 2.0)
    tiny.events.clear()
    share(without, cpu=2.0)
    assert [event.text for event in tiny.events] == [
        "train.threads: auto is 2 threads for each trial here, by the CPUs that it gets of the cluster"
    ]
    with pytest.raises(WorkspaceError, match=r"a trial of exp001 asks for 1 CPU and 0\.5 GPU.*no node of the cluster has that"):
        share(without, gpu=0.5)
    with pytest.raises(WorkspaceError, match="asks for 6 CPUs and 1 GPU"):
        share(with_gpus, cpu=6.0)


def test_one_call_at_a_time(tiny):
    write(tiny)
    search = begin_search(tiny.project, "exp001", Wishes()).search
    with claim_search(search), pytest.raises(WorkspaceError, match="another `comp tune` runs this search"):
        tune_experiment(tiny.project, "exp001", Wishes(), tiny.events.append)


def test_the_best_is_confirmed_by_the_metric_of_today(tiny):
    """The folds that did not choose it were trained when another metric decided."""
    write(tiny)
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nloss: {use: cross_entropy, smoothing: 0}")
    run = tiny.run("exp001", sets=("optimizer.lr=0.02", "train.threads=1"), only=[1], place="trials")
    tiny.edit("competition.yaml", "metric: {use: accuracy}", "metric: {use: log_loss}")
    opened = begin_search(tiny.project, "exp001", Wishes(confirm=True))
    best = TrialRecord("t0001", {}, {"optimizer.lr": 0.02}, run.digest, "done", 0.5)
    confirmed = confirm_trial(opened, best, tiny.events.append)
    fold = fold_folder(run.folder, "1")
    assert "accuracy" in read_fold(fold)["scores"], "it was not trained again"
    raw = read_raw(fold / "oof.parquet")
    answers = dict(line.split(",") for line in (tiny.data / "train.csv").read_text().split()[1:])
    right = link_outputs(raw.outputs, raw.task, raw.links)[range(len(raw.ids)), [int(answers[name]) for name in raw.ids]]
    assert confirmed == pytest.approx(float(-np.log(right).mean()))


@pytest.mark.parametrize(
    ("error", "wanted"), [(OSError(28, "No space left"), RunError), (KeyError("fold"), KeyError)], ids=["disk", "bug"]
)
def test_what_could_not_be_noted_of_trials_is_the_end_of_the_command(tiny, monkeypatch, error, wanted):
    def fit(plan, order, share, logbook, scratch):
        with logbook.guard():
            raise error

    write(tiny)
    opened = begin_search(tiny.project, "exp001", Wishes())
    opened.search.folder.mkdir(parents=True)
    monkeypatch.setattr(
        "comp.tuning.tune.connect", lambda *_, **__: nullcontext(Cluster("", "a", (Node("a", "first", 8.0, 0.0),)))
    )
    monkeypatch.setattr("comp.tuning.tune.fit", fit)
    with pytest.raises(wanted, match="No space left|fold"):
        run_trials(opened, plan_trials(opened), tiny.events.append, Stop())
