"""`comp submit --verify`: a submission comes out again byte for byte, and whatever it was made from is missed when it changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from comp.ledger import ledger_path
from comp.project import hash_file

MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
head: {use: own}
augment: []
train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}
post: [{use: temperature}]
"""
HEAD = '''
from torch import nn

from comp.api import Head, Task, plugin


@plugin("head")
def own(task: Task, features: int, /) -> Head:
    """Linear."""
    return nn.Linear(features, task.outputs)
'''


@pytest.fixture(scope="module")
def submitted_source(tiny_source, tmp_path_factory, open_tiny):
    """A workspace with a head of its own and post, submitted with a view that was asked for, once whole and once of a fold."""
    tiny = open_tiny(tiny_source, tmp_path_factory.mktemp("submitted"))
    table = (tiny.data / "sample.csv").read_text().split()
    (tiny.data / "sample.csv").write_text(
        "\n".join(["name,0,1,2", *(f"{line.split(',')[0]},0,0,0" for line in table[1:])]) + "\n"
    )
    tiny.edit("competition.yaml", "submission: {use: labels}", "submission: {use: probabilities}")
    (tiny.write("exp001", MANIFEST) / "own.py").write_text(HEAD)
    tiny.run(only=[0])
    assert tiny.comp("submit", "exp001", "--partial").code == 0
    tiny.run()
    assert tiny.comp("submit", "exp001", "--tta", "hflip").code == 0
    return tiny.root


@pytest.fixture
def submitted(submitted_source, tmp_path, open_tiny):
    return open_tiny(submitted_source, tmp_path)


def verify(tiny, version="v002") -> dict:
    said = tiny.comp("submit", "exp001", "--verify", version, "--json")
    assert said.code == (0 if said.json["same"] else 1), said.err
    return said.json


def run_of(tiny) -> Path:
    return next((tiny.root / "experiments/exp001/runs").glob("*/environment.json")).parent


def hash_workspace(root: Path) -> dict[str, str]:
    return {str(path): hash_file(path) for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith(".lock")}


def test_what_nobody_touched_comes_out_again_and_nothing_is_written(submitted):
    before = hash_workspace(submitted.root)
    for version in ("v001", "v002"):
        found = verify(submitted, version)
        assert (found["same"], found["rebuilt"], found["differences"]) == (True, True, [])
    assert hash_workspace(submitted.root) == before
    said = submitted.comp("submit", "exp001", "--verify", "v002")
    assert said.code == 0 and said.out.startswith("submissions/exp001/v002.csv: the same bytes came out again (run ")


def edit_number(path: Path) -> None:
    """The last digit of a CSV's first answer becomes another."""
    lines = path.read_text().split("\n")
    lines[1] = lines[1][:-1] + str((int(lines[1][-1]) + 1) % 10)
    path.write_text("\n".join(lines))


def edit_json(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def nudge_weights(path: Path) -> None:
    state = safetensors.numpy.load_file(path)
    name = next(name for name, values in state.items() if values.dtype == np.float32)
    state[name] = state[name] + np.float32(1e-3)
    safetensors.numpy.save_file(state, path)


def swap_predictions(run: Path) -> None:
    shutil.copy(run / "fold1/test.parquet", run / "fold0/test.parquet")


def edit_resolved(tiny) -> None:
    tiny.edit(f"{run_of(tiny).relative_to(tiny.root)}/manifest.resolved.yaml", "seed: 42", "seed: 43")


def turn_rows(path: Path) -> None:
    header, *rows = path.read_text().split()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")


OWN, PLUGIN, TABLE = "experiments/exp001/manifest.yaml", "experiments/exp001/own.py", "data/train.csv"
CSV, JSON = "submissions/exp001/v002.csv", "submissions/exp001/v002.json"
TOUCHED: dict[str, tuple[str, str, bool, Callable]] = {
    "an answer": ("file", "v002.csv is not what was written", True, lambda t: edit_number(t.root / CSV)),
    "no file": ("file", "v002.csv is gone", True, lambda t: (t.root / CSV).unlink()),
    "the json": ("record", "v002.json was edited", False, lambda t: edit_json(t.root / JSON, "cv", 1.0)),
    "the ledger": ("ledger", "no row", True, lambda t: ledger_path(t.project).unlink()),
    "weights": ("weights", "fold1/last.safetensors", True, lambda t: nudge_weights(run_of(t) / "fold1/last.safetensors")),
    "no weights": ("weights", "fold0/last.safetensors of run", True, lambda t: (run_of(t) / "fold0/last.safetensors").unlink()),
    "predictions": ("predictions", "fold0/test.parquet", False, lambda t: swap_predictions(run_of(t))),
    "what was resolved": ("run", "manifest.resolved.yaml", True, lambda t: edit_resolved(t)),
    "the manifest": ("manifest", "train.epochs was 1 and is 2", True, lambda t: t.edit(OWN, "epochs: 1", "epochs: 2")),
    "its post": ("manifest", "post.0.use was temperature", True, lambda t: t.edit(OWN, "temperature", "clip, low: 0.1")),
    "a plugin": ("plugin", "head.own", True, lambda t: t.edit(PLUGIN, "Linear.", "Linear!")),
    "no plugin": ("rebuilt", "own", False, lambda t: (t.root / PLUGIN).unlink()),
    "the table": ("tables", "training tables", True, lambda t: t.edit(TABLE, "name,label\n", "name,label\r\n")),
    "the sample": ("sample", "sample submission", False, lambda t: turn_rows(t.data / "sample.csv")),
    "the run": ("rebuilt", "cannot be made again", False, lambda t: shutil.rmtree(run_of(t))),
}


SOON = ("an answer", "the json", "weights", "predictions", "the manifest", "a plugin", "the sample")


@pytest.mark.parametrize("touched", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in TOUCHED])
def test_whatever_changed_is_named(submitted, touched):
    part, words, rebuilt, change = TOUCHED[touched]
    change(submitted)
    found = verify(submitted)
    assert found["rebuilt"] is rebuilt and not found["same"]
    named = [difference for difference in found["differences"] if difference["part"] == part]
    assert named and words in named[0]["what"], found["differences"]
    # Nothing is blamed that is as it was.
    blamed = {difference["part"] for difference in found["differences"]} - {part, "rebuilt"}
    assert blamed == ({"manifest"} if touched == "what was resolved" else set()), found["differences"]


def test_answers_that_differ_are_named_by_their_rows(submitted):
    record = json.loads((submitted.root / JSON).read_text())
    swap_predictions(run_of(submitted))
    [rebuilt] = [difference for difference in verify(submitted)["differences"] if difference["part"] == "rebuilt"]
    assert f"with other answers for {record['rows']} ids (" in rebuilt["what"]


def test_what_is_not_there_or_says_nothing_is_the_users_mistake(submitted):
    file = submitted.root / JSON
    said = submitted.comp("submit", "exp001", "--verify", "v009")
    assert said.code == 2 and "exp001 has v001, v002" in said.err
    said = submitted.comp("submit", "exp001", "--verify", "../../data/train")
    assert said.code == 2 and "there is no submission" in said.err
    for text, words in [
        ("{", "cannot be read"), ("[]", "no `format`"), ('{"format": 1, "comp": "0.0"}', "no hashes"),
        ('{"format": 99}', "install a newer one"),
    ]:  # fmt: skip
        file.write_text(text)
        said = submitted.comp("submit", "exp001", "--verify", "v002")
        assert said.code == 2 and words in said.err and "Traceback" not in said.err
    file.unlink()
    said = submitted.comp("submit", "exp001", "--verify", "v002")
    assert said.code == 2 and "v002.json is gone" in said.err
    said = submitted.comp("submit", "exp001", "--verify", "v001", "--full")
    assert said.code == 2 and "leave out" in said.err


@pytest.mark.slow
def test_a_blend_is_verified_against_its_members(submitted):
    submitted.write("exp002", MANIFEST.replace("{use: own}", "{use: linear}"))
    submitted.run("exp002")
    assert submitted.comp("blend", "exp001", "exp002", "--use", "mean", "--name", "both").code == 0
    assert submitted.comp("submit", "both").code == 0
    found = submitted.comp("submit", "both", "--verify", "v001", "--json").json
    assert found["same"], found
    submitted.run("exp002", sets=["seed=5"])
    found = submitted.comp("submit", "both", "--verify", "v001", "--json").json
    [difference] = found["differences"]
    assert found["rebuilt"] and difference["part"] == "predictions" and "members of both" in difference["what"]
