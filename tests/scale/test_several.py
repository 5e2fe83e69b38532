"""`comp run A B C` in one process: one after another, and what becomes of the others when one fails."""

from __future__ import annotations

import json

import pytest

from comp.errors import CompError, RunError, RunInterrupted
from comp.given import RunResult
from comp.scale.several import raise_failures, run_several

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}
"""
DIVERGES = MANIFEST + "optimizer: {lr: 1.0e+30}\n"


def test_one_after_another_each_with_its_own_lines(tiny):
    tiny.write("exp002", MANIFEST + "seed: 7\n")
    said = tiny.comp("run", "exp001", "exp002", "--only", "0")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    done = [line.split()[1] for line in lines if line.startswith("fold ") and "  done  " in line]
    assert done == ["exp001/0", "exp002/0"]
    assert lines.index("exp001") < lines.index("exp002")
    assert [line for line in lines if line.endswith("report.html")] == [
        str(file.relative_to(tiny.root)) for file in sorted(tiny.root.glob("experiments/*/runs/*/report.html"))
    ]
    again = tiny.comp("run", "exp001", "exp002", "--only", "0", "--json")
    assert sorted(json.loads(again.out)) == ["exp001", "exp002"] and not json.loads(again.out)["exp001"]["complete"]


def test_one_that_fails_does_not_keep_the_others_from_their_turn(tiny):
    tiny.write("bad", DIVERGES)
    said = tiny.comp("run", "bad", "exp001")
    assert said.code == 2
    assert "warning: bad: failed, and the others go on: " in said.out
    assert said.err.startswith("bad: ") and "diverged" in said.err
    assert said.err.splitlines()[-1] == "1 of 2 experiments failed; the others are done."
    assert list(tiny.root.glob("experiments/exp001/runs/*/scores.json"))


def test_a_fault_of_the_last_is_said_before_the_first_is_run(tiny):
    tiny.write("bad", MANIFEST + "loss: {use: fokal}\n")
    said = tiny.comp("run", "exp001", "bad")
    assert said.code == 2 and "fokal" in said.err
    assert not list(tiny.root.glob("experiments/*/runs/*"))


def test_a_name_twice_is_refused(tiny):
    said = tiny.comp("run", "exp001", "exp001")
    assert said.code == 2 and "exp001: named twice." in said.err


def test_an_interruption_ends_them_all_and_the_command_names_them_all(tiny, monkeypatch):
    tiny.write("exp002", MANIFEST)

    def stop(*_given):
        raise RunInterrupted("stopped")

    monkeypatch.setattr("comp.material.Material.train_fold", stop)
    with pytest.raises(RunInterrupted) as caught:
        run_several(tiny.project, ["exp001", "exp002"], emit=tiny.events.append, sets=["seed=3"])
    assert "`comp run exp001 exp002 --set seed=3` goes on where it stopped" in str(caught.value)
    assert not list(tiny.root.glob("experiments/exp002/runs/*"))


def test_where_the_hours_are_over_the_next_does_not_begin(tiny, hours_over):
    tiny.write("exp002", MANIFEST)

    def dawdle(event) -> None:
        if type(event).__name__ == "RunStarted":
            hours_over()

    results = run_several(tiny.project, ["exp001", "exp002"], emit=dawdle, max_hours=9)
    assert list(results) == ["exp001"] and not results["exp001"].complete


def test_how_several_failures_are_said(tiny):
    fine = RunResult("3f9a1c20", tiny.root, True, {})
    raise_failures({"a": fine}, ["a"])
    with pytest.raises(RunError, match="^the loss is nan$"):
        raise_failures({"a": RunError("the loss is nan")}, ["a"])
    outcomes = {"a": RunError("the loss is nan"), "b": CompError("no such file"), "c": fine}
    with pytest.raises(RunError) as caught:
        raise_failures(outcomes, ["a", "b", "c"])
    assert str(caught.value) == "a: the loss is nan\nb: no such file\n2 of 3 experiments failed; the others are done."
    with pytest.raises(ZeroDivisionError):  # a fault of comp or of a plugin, whose traceback is wanted
        raise_failures({**outcomes, "c": ZeroDivisionError()}, ["a", "b", "c"])
