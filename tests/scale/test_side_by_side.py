"""`comp run A B --gpus cpu,cpu`: which fold goes where and when, and (few, they are slow) real processes that are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from comp.errors import RunError, RunInterrupted, WorkspaceError
from comp.predictions import read_raw
from comp.scale.crew import Child
from comp.scale.several import run_several

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16, dropout: 0.5}
image: {size: 16}
augment: []
train: {epochs: 2, batch_size: 16, workers: 0, threads: 1}
"""


def run(tiny, *names: str, devices=("cpu", "cpu"), at: Callable[[Any], None] = lambda event: None, **wishes: Any):
    def emit(event) -> None:
        tiny.events.append(event)
        at(event)

    return run_several(tiny.project, list(names), devices, emit=emit, **wishes)


def once(kind: str, act: Callable[[], None]) -> Callable[[Any], None]:
    """Acts at the first event of this kind."""
    done: list[Any] = []

    def at(event) -> None:
        if type(event).__name__ == kind and not done:
            done.append(event)
            act()

    return at


def assert_same_fold(mine, theirs) -> None:
    for file in ("oof.parquet", "test.parquet"):
        one, other = read_raw(mine / file), read_raw(theirs / file)
        assert (one.row_ids == other.row_ids).all() and (one.outputs == other.outputs).all(), file
    assert (mine / "last.safetensors").read_bytes() == (theirs / "last.safetensors").read_bytes()


class Actor(Child):
    """A child without a process, who answers each order at once by what `play(device number, fold)` says: done, die, fail, hold.

    `given` is the list of (number, experiment, fold) that all of them were given.
    """

    def __init__(self, number: int, play: Callable[[int, str], str], given: list[tuple[int, str, str]]) -> None:
        self.number, self.play, self.given = number, play, given
        self.device, self.order, self.ready = "cpu", None, False
        self.looking, self.rooms, self.blind = None, [], ""
        self.pipe, self.there = multiprocessing.Pipe()
        self.there.send({"say": "ready", "missing": ""})

    def give(self, order) -> None:
        self.order = order
        self.given.append((self.number, order.name, order.fold))
        answer = self.play(self.number, order.fold)
        if answer == "die":
            self.there.close()
        elif answer == "fail":
            self.there.send({"say": "failed", "why": "the loss is nan", "while_running": True})
        elif answer == "done":
            self.there.send({"say": "done"})

    def stop(self) -> None:
        if self.order:
            self.there.send({"say": "interrupted", "lost": ""})

    def describe_end(self) -> str:
        return "was killed by SIGKILL"

    def close(self) -> None:
        self.pipe.close()


@pytest.fixture
def act(monkeypatch) -> Callable[..., list[tuple[int, str, str]]]:
    """Lets actors be the children: by `play`; returns what they will have been given."""

    def cast(play: Callable[[int, str], str]) -> list[tuple[int, str, str]]:
        given: list[tuple[int, str, str]] = []
        numbers: list[int] = []

        def make(device: str, threads: int, cores: int) -> Actor:
            numbers.append(len(numbers))
            return Actor(numbers[-1], play, given)

        monkeypatch.setattr("comp.scale.side_by_side.Child", make)
        return given

    return cast


def test_each_device_takes_the_next_fold_and_full_waits_for_all(tiny, act):
    tiny.write("exp002", MANIFEST)
    given = act(lambda number, fold: "done")
    run(tiny, "exp001", "exp002", full=True)
    first, second = ([fold for _, name, fold in given if name == wanted] for wanted in ("exp001", "exp002"))
    assert sorted(first) == sorted(second) == ["0", "1", "full"] and first[-1] == second[-1] == "full"
    assert {number for number, _, _ in given} == {0, 1}
    queued = [event for event in tiny.events if type(event).__name__ == "FoldQueued"]
    assert [(event.fold, event.epochs) for event in queued][:3] == [("exp001/0", 1), ("exp001/1", 1), ("exp001/full", 1)]


def test_a_fold_has_as_many_threads_however_many_are_left(tiny, monkeypatch):
    threads: list[int] = []

    def make(device: str, count: int, cores: int) -> Actor:
        threads.append(count)
        return Actor(0, lambda number, fold: "done", [])

    monkeypatch.setattr("comp.scale.side_by_side.Child", make)
    monkeypatch.setattr("comp.scale.crew.os.cpu_count", lambda: 8)
    run(tiny, "exp001", only=[0])
    assert threads == [4], "half of them, though no other fold takes the other half"


def test_a_fold_whose_child_died_is_tried_elsewhere(tiny, act):
    given = act(lambda number, fold: "die" if number == 0 and fold == "0" else "done")
    run(tiny, "exp001")
    assert [number for number, _, fold in given if fold == "0"] == [0, 1]
    assert "fold 0: the process on the CPU was killed by SIGKILL; the fold is tried once more" in [
        event.text for event in tiny.events if type(event).__name__ == "Notice"
    ]


def test_a_fold_that_kills_twice_fails_and_the_others_go_on(tiny, act):
    tiny.write("exp002", MANIFEST)
    given = act(lambda number, fold: "die" if fold == "1" else "done")
    with pytest.raises(RunError) as caught:
        run(tiny, "exp001", "exp002", only=[1], devices=["cpu"])
    for name in ("exp001", "exp002"):
        assert f"{name}: fold 1: the process on the CPU was killed by SIGKILL, the second one" in str(caught.value)
    assert "`comp run exp001 exp002 --only 1 --gpus cpu` goes on where that was" in str(caught.value)
    assert [name for _, name, _ in given] == ["exp001"] * 2 + ["exp002"] * 2
    for folder in tiny.root.glob("experiments/*/runs/*"):
        last = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()][-1]
        assert last["event"] == "RunStopped" and "SIGKILL" in last["why"]


def test_a_fold_that_fails_ends_its_experiment_alone(tiny, act):
    tiny.write("exp002", MANIFEST)
    given = act(lambda number, fold: "fail" if fold == "0" else "done")
    with pytest.raises(RunError, match="2 of 2 experiments failed"):
        run(tiny, "exp001", "exp002", devices=["cpu"])
    assert given == [(0, "exp001", "0"), (0, "exp002", "0")]  # neither's fold 1


def test_a_fold_of_another_process_is_waited_for(tiny, act):
    folder = tiny.run(only=[0]).folder
    (folder / "fold1").mkdir()
    lock = FileLock(folder / "fold1/.lock")
    lock.acquire()
    tiny.events.clear()
    given = act(lambda number, fold: "done")

    def release(event) -> None:
        if type(event).__name__ == "FoldSkipped" and event.why == "in another process":
            assert not given
            lock.release()

    run(tiny, "exp001", at=release)
    assert [(fold.fold, fold.why) for fold in tiny.names("FoldSkipped")] == [("0", "complete"), ("1", "in another process")]
    assert [fold for _, _, fold in given] == ["1"]


def test_when_the_hours_are_over_all_are_merged_as_far_as_they_are(tiny, act, hours_over):
    tiny.run(only=[0])
    tiny.write("exp002", MANIFEST)
    tiny.events.clear()
    act(lambda number, fold: hours_over() or "hold")
    results = run(tiny, "exp001", "exp002", max_hours=9)
    assert [result.complete for result in results.values()] == [False, False]
    assert results["exp001"].scores["folds_done"] == ["0"] and results["exp002"].scores is None
    assert tiny.events[-1].text.endswith("`comp run exp001 exp002 --max-hours 9 --gpus cpu,cpu` goes on where it stopped.")


def test_what_is_whole_already_needs_no_process(tiny_run, act):
    given = act(lambda number, fold: "done")
    assert run(tiny_run, "exp001")["exp001"].complete and not given
    assert {event.why for event in tiny_run.names("FoldSkipped")} == {"complete"}


def test_what_trains_nothing_has_no_use_for_devices(tiny):
    tiny.write("exp002", MANIFEST)
    tiny.write("mean", "blend: {use: mean, members: [exp001, exp002]}\n")
    said = tiny.comp("run", "exp001", "exp002", "mean", "--gpus", "cpu,cpu")
    assert said.code == 2 and "mean trains nothing and has no use for --gpus" in said.err


def test_devices_that_share_a_fold_do_not_mix_with_folds_that_are_shared_out(tiny, act):
    given = act(lambda number, fold: "done")
    tiny.write("exp002", MANIFEST.replace("threads: 1", "threads: 1, devices: 2"))
    with pytest.raises(WorkspaceError, match=r"exp002: train.devices: 2 shares a fold among devices, and --gpus cpu,cpu gives"):
        run(tiny, "exp001", "exp002")
    assert not given and not list(tiny.root.glob("experiments/*/runs"))


def test_a_gpu_that_is_not_there_is_an_error(tiny, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = tiny.comp("run", "exp001", "--gpus", "0,1")
    assert said.code == 2 and "--gpus 0: CUDA_VISIBLE_DEVICES= leaves 0 GPUs here" in said.err
    assert tiny.comp("run", "exp001", "--gpus", "gpu0").code == 2


# ---- real processes ------------------------------------------------------------------------------------------------------


def test_two_experiments_a_killed_child_and_the_bits_of_one_process(tiny, tiny_run, monkeypatch):
    children: list[Child] = []
    monkeypatch.setattr("comp.scale.side_by_side.Child", lambda *given: children.append(Child(*given)) or children[-1])

    def kill() -> None:
        next(child for child in children if child.order).process.kill()

    for workspace in (tiny, tiny_run):
        workspace.write("exp001", MANIFEST)
        workspace.write("exp002", MANIFEST + "seed: 7\n")
    results = run(tiny, "exp001", "exp002", at=once("EpochFinished", kill), only=[0])
    assert multiprocessing.active_children() == []
    assert [result.scores["folds_done"] for result in results.values()] == [["0"], ["0"]]
    (said,) = [event.text for event in tiny.events if getattr(event, "level", "") == "warning"]
    assert "was killed by SIGKILL; the fold is tried once more" in said
    for name in ("exp001", "exp002"):
        started = [event for event in tiny.events if type(event).__name__ == "RunStarted" and event.experiment == name]
        assert [event.folds for event in started] == [[f"{name}/0"]]
        assert_same_fold(results[name].folder / "fold0", tiny_run.run(name, only=[0]).folder / "fold0")
        logged = [json.loads(line) for line in (results[name].folder / "events.jsonl").read_text().splitlines()]
        assert [record["event"] for record in logged].count("RunStarted") == 1
        assert {record["fold"] for record in logged if record["event"] == "EpochFinished"} == {"0"}


def test_ctrl_c_saves_all_and_says_how_to_go_on(tiny, tiny_run):
    for workspace in (tiny, tiny_run):
        workspace.write("exp001", MANIFEST)
    with pytest.raises(RunInterrupted) as caught:
        run(tiny, "exp001", at=once("EpochFinished", lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert "everything is saved: `comp run exp001 --gpus cpu,cpu` goes on where it stopped" in str(caught.value)
    assert multiprocessing.active_children() == []
    whole, alone = tiny.run(only=[0]), tiny_run.run(only=[0])
    assert_same_fold(whole.folder / "fold0", alone.folder / "fold0")


@pytest.mark.slow
def test_children_of_a_parent_that_was_killed_save_and_end(tiny):
    tiny.write("exp001", MANIFEST.replace("epochs: 2", "epochs: 300"))
    code = "import sys; from comp.cli import main; sys.exit(main(['run', 'exp001', '--gpus', 'cpu']))"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tiny.root, stdout=subprocess.PIPE, text=True)
    next(line for line in parent.stdout if "epoch 2/300" in line)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children and not any(Path(f"/proc/{child}").exists() for child in children)
    assert list(tiny.root.glob("experiments/exp001/runs/*/fold0/last.ckpt"))
