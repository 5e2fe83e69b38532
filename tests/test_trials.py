"""comp.trials: what searches leave on disk; a trial as an experiment of its own; searches on the board."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comp.errors import FormatError, WorkspaceError
from comp.manifest import load_manifest
from comp.marked import parse_yaml, unmark
from comp.new import create_experiment
from comp.plan import plan_run
from comp.search import open_space, to_sets
from comp.trials import (
    Search,
    TrialRecord,
    best_trial,
    claim_trial,
    digest_search,
    find_trial,
    list_searches,
    open_search,
    read_trials,
    write_search,
    write_trial,
)

if TYPE_CHECKING:
    from tests.conftest import Sheets, Tiny

SEARCH = """\
search:
  trials: 3
  optimizer.lr: {loguniform: [1e-4, 1e-2]}
  loss: {choice: [{use: cross_entropy}, {use: focal, gamma: {uniform: [1, 3]}}]}
"""


def begin(sheets: Sheets, text: str = SEARCH, *sets: str, folds: tuple[str, ...] = ("0",)) -> Search:
    manifest = sheets.load(text, *sets)
    space = open_space(manifest)
    search = open_search(manifest, space, {"tables": "a"}, sets=sets, folds=folds, greater_is_better=True)
    return write_search(search, space.settings.trials)


def test_a_search_states_what_it_is(sheets: Sheets) -> None:
    search = begin(sheets, SEARCH, "train.epochs=3")
    assert search.folder == sheets.project.experiments / "exp001" / "search" / search.digest
    state = json.loads((search.folder / "search.json").read_text())
    assert state["space"] == {
        "optimizer.lr": {"loguniform": [1e-4, 1e-2]},
        "loss": {"choice": [{"use": "cross_entropy"}, {"use": "focal", "gamma": {"uniform": [1, 3]}}]},
    }
    assert state["settings"] == {"algorithm": "tpe", "pruner": "asha", "trials": 3, "seed": 42, "grace": 1, "reduction": 3}
    assert [parameter["name"] for parameter in state["parameters"]] == ["optimizer.lr", "loss", "loss.1.gamma"]
    assert (search.metric, search.folds, state["sets"], state["format"]) == ("accuracy", ["0"], ["train.epochs=3"], 1)
    assert list_searches(sheets.project, "exp001") == [search]


def test_the_digest_covers_what_is_searched_not_how(sheets: Sheets) -> None:
    def digest(*sets: str, contents: str = "a", folds: tuple[str, ...] = ("0",)) -> str:
        manifest = sheets.load(SEARCH, *sets)
        return digest_search(manifest, open_space(manifest), {"tables": contents}, folds)

    same = digest()
    how = ["search.trials=50", "search.algorithm=random", "search.pruner=none", "search.seed=7", "search.grace=2", "about=x"]
    assert {digest(text) for text in how} == {same}
    what = [
        "search.optimizer.lr={loguniform: [1e-4, 1e-1]}", "search.loss=null", "train.batch_size=8", "metric={use: macro_f1}"
    ]  # fmt: skip
    others = {*(digest(text) for text in what), digest(contents="b"), digest(folds=("0", "1"))}
    assert len(others) == 6 and same not in others


def test_opened_again_it_keeps_its_age_and_takes_the_new_settings(sheets: Sheets) -> None:
    first = begin(sheets)
    again = begin(sheets, SEARCH, "search.trials=9")
    assert (again.digest, again.state["made_at"]) == (first.digest, first.state["made_at"])
    assert again.state["opened_at"] > first.state["opened_at"]
    assert list_searches(sheets.project, "exp001")[0].state["settings"]["trials"] == 9


def test_a_later_line_of_a_trial_replaces_the_earlier(sheets: Sheets) -> None:
    search = begin(sheets)
    one = claim_trial(search, {"optimizer.lr": 1e-3, "loss": 0}, {"optimizer.lr": 1e-3, "loss": {"use": "cross_entropy"}}, "aaaa")
    two = claim_trial(search, {"optimizer.lr": 1e-2, "loss": 0}, {"optimizer.lr": 1e-2, "loss": {"use": "cross_entropy"}})
    assert (one.trial, two.trial, one.state, two.digest) == ("t0001", "t0002", "running", "")
    done = replace(one, state="done", score=0.1 + 0.2, per_fold={"0": 0.3}, curve=[(1, 0.25), (2, 0.3)], epochs=2, elapsed_s=1.5)
    write_trial(search.folder, done)
    assert read_trials(search.folder) == [done, two]
    with open(search.folder / "trials.jsonl", "a") as file:
        file.write('{"trial": "t00')
    assert read_trials(search.folder) == [done, two]
    write_trial(search.folder, replace(two, state="failed", why="out of\u2028memory"))
    assert [record.why for record in read_trials(search.folder)] == ["", "out of\u2028memory"]


def test_numbers_go_on_over_all_searches_of_an_experiment(sheets: Sheets) -> None:
    search, other = begin(sheets), begin(sheets, SEARCH, "train.epochs=3")
    assert search.digest != other.digest
    assert [claim_trial(each, {}, {}).trial for each in (search, other, search)] == ["t0001", "t0002", "t0003"]
    assert find_trial(sheets.project, "exp001/t0002")[0] == other


def test_the_best_is_a_done_one_by_the_metrics_direction() -> None:
    def make(trial: str, state: str, score: float | None) -> TrialRecord:
        return TrialRecord(trial, {}, {}, state=state, score=score)

    trials = [
        make("t0001", "done", 0.5), make("t0002", "pruned", 0.9), make("t0003", "done", 0.7), make("t0004", "failed", None),
        make("t0005", "done", 0.7), make("t0006", "running", 0.95), make("t0007", "done", None),
    ]  # fmt: skip
    assert best_trial(trials, True) == trials[2]
    assert best_trial(trials, False) == trials[0]
    assert best_trial(trials[1:2], True) is None


def test_a_search_that_nobody_worked_on_leaves_nothing(sheets: Sheets) -> None:
    manifest = sheets.load(SEARCH)
    search = open_search(manifest, open_space(manifest), {}, sets=(), folds=["0"], greater_is_better=True)
    assert not search.folder.exists()
    assert write_search(search, 12).state["trials"] == 12 == list_searches(sheets.project, "exp001")[0].state["trials"]


def test_best_is_of_the_newest_search_that_has_one(sheets: Sheets) -> None:
    older = begin(sheets)
    done = replace(claim_trial(older, {}, {}), state="done", score=0.5)
    write_trial(older.folder, done)
    empty = begin(sheets, SEARCH, "train.epochs=3")
    assert list_searches(sheets.project, "exp001") == [empty, older]
    assert find_trial(sheets.project, "exp001/best") == (older, done)


def test_what_a_reference_does_not_find(sheets: Sheets) -> None:
    sheets.load(SEARCH)
    with pytest.raises(WorkspaceError, match="exp001 has no search; `comp tune exp001` makes one"):
        find_trial(sheets.project, "exp001/best")
    search = begin(sheets)
    with pytest.raises(WorkspaceError, match="no trial of exp001 was trained to its end yet"):
        find_trial(sheets.project, "exp001/best")
    claim_trial(search, {}, {})
    with pytest.raises(WorkspaceError, match=r"exp001 has no trial 't17'; wanted best, or one of its trials \(t0001 to t0001\)"):
        find_trial(sheets.project, "exp001/t17")
    with pytest.raises(WorkspaceError, match="did you mean 'best'"):
        find_trial(sheets.project, "exp001/bets")
    with pytest.raises(WorkspaceError, match="there is no experiment 'exp002'"):
        find_trial(sheets.project, "exp002/best")


def test_files_of_a_newer_version(sheets: Sheets) -> None:
    search = begin(sheets)
    (search.folder / "trials.jsonl").write_text('{"format": 2, "trial": "t0001"}\n')
    with pytest.raises(FormatError, match="has format 2; this comp reads up to 1"):
        search.trials()
    (search.folder / "search.json").write_text('{"format": 2}')
    with pytest.raises(FormatError, match="search.json has format 2"):
        list_searches(sheets.project, "exp001")


# ---- a trial as an experiment --------------------------------------------------------------------------------------------

MANIFEST = """\
about: the base
split: {use: stratified, folds: 3, seed: 7}
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: [{use: A.Affine, rotate: [-5, 5], p: 0.5}, {use: A.HorizontalFlip, p: 0.5}]
train: {epochs: 2, batch_size: 16, workers: 0, threads: 1}
search:
  optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}
  loss: {choice: [{use: cross_entropy}, {use: focal, gamma: {uniform: [1, 3]}}]}
  mix: {choice: [null, {use: cutmix}]}
  model: {choice: [{use: cnn, widths: [8]}, {use: cnn, widths: [8, 8]}]}
  augment.0.p: {uniform: [0, 1]}
  train.patience: {choice: [null, 3]}
  optimizer.weight_decay: {formula: 0.1 * optimizer.lr}
"""
DRAWN = {
    "optimizer.lr": 0.1 / 3, "loss": 1, "loss.1.gamma": 5 / 3, "mix": 0, "model": 0, "augment.0.p": 1 / 7, "train.patience": 0,
}  # fmt: skip


def tried(tiny: Tiny, *sets: str, manifest: str = MANIFEST, **more: int) -> tuple[Search, TrialRecord]:
    """A search with one trial, trained as `comp tune` would; `more` is drawn besides."""
    drawn = DRAWN | {key.replace("__", "."): number for key, number in more.items()}
    tiny.write("exp001", manifest)
    base = load_manifest(tiny.project, "exp001", sets)
    space = open_space(base)
    contents = plan_run(tiny.project, base).run.state["contents"]
    search = write_search(open_search(base, space, contents, sets=sets, folds=["0"], greater_is_better=True), 6)
    values = space.settle(drawn)
    result = tiny.run(sets=[*sets, *to_sets(values)], only=[0], place="trials")
    record = claim_trial(search, drawn, values, result.digest)
    score = json.loads((result.folder / "fold0" / "fold.json").read_text())["scores"]["accuracy"]
    record = replace(record, state="done", score=score, per_fold={"0": score}, epochs=2)
    write_trial(search.folder, record)
    return search, record


def test_a_trial_becomes_an_experiment_that_makes_the_same_run(tiny: Tiny) -> None:
    search, record = tried(tiny, "train.batch_size=8")
    texts = []
    for name, reference in (("exp043", "exp001/best"), ("exp044", "exp001/t0001")):
        said = tiny.comp("new", name, "--from", reference)
        assert said.code == 0, said.err
        texts.append((tiny.root / "experiments" / name / "manifest.yaml").read_text())
    assert texts[0].replace("exp043", "exp044") == texts[1]
    own = unmark(parse_yaml(texts[0], "")[0])
    assert own.pop("about") == (
        f"Trial t0001 (done) of search {search.digest} of exp001: accuracy {record.score:.6g} on fold 0, which chose it"
    )
    assert own.pop("extends") == f"exp001@{record.digest}"
    assert own["optimizer"] == {"lr": 0.01, "weight_decay": 0.001}
    assert own["loss"] == {"use": "focal", "gamma": 5 / 3}
    assert own["split"]["folds"] == 3
    assert [step["p"] for step in own["augment"]] == [1 / 7, 0.5]
    assert sorted(own) == ["augment", "loss", "model", "optimizer", "split"]
    result = tiny.run("exp043", only=[0])
    assert result.digest == record.digest
    assert result.folder.parent.name == "runs"
    assert json.loads((result.folder / "fold0" / "fold.json").read_text())["scores"]["accuracy"] == record.score


def test_a_stage_that_was_searched(tiny: Tiny) -> None:
    stages = "stages: [{name: a, epochs: 1}, {name: b, epochs: 1, optimizer: {lr: 1.0e-3}}]"
    manifest = MANIFEST.replace("train: {epochs: 2, ", f"{stages}\ntrain: {{")
    manifest += "  stages.1.optimizer.lr: {choice: [1.0e-4, 2.0e-4]}\n"
    _, record = tried(tiny, manifest=manifest, stages__1__optimizer__lr=1)
    create_experiment(tiny.project, "exp043", "exp001/best")
    assert load_manifest(tiny.project, "exp043").stages[1]["optimizer"]["lr"] == 2e-4
    assert tiny.run("exp043", only=[0]).digest == record.digest


def test_a_trial_that_cannot_be_made_again_is_refused(tiny: Tiny) -> None:
    search, record = tried(tiny)
    claim_trial(search, DRAWN, record.values)
    said = tiny.comp("new", "exp043", "--from", "exp001/t0002")
    assert said.code == 2 and "t0002 has left no run (running); there is nothing to make again" in said.err
    folder = tiny.root / "experiments/exp001/trials" / record.digest
    environment = json.loads((folder / "environment.json").read_text())
    environment["contents"]["tables"] = "changed"
    (folder / "environment.json").write_text(json.dumps(environment))
    said = tiny.comp("new", "exp043", "--from", "exp001/best")
    assert said.code == 2 and "t0001 cannot be made again" in said.err
    assert not (tiny.root / "experiments/exp043").exists()


# ---- the board -----------------------------------------------------------------------------------------------------------


def test_the_board_shows_searches(tiny: Tiny) -> None:
    assert "search" not in tiny.comp("board").out
    search, record = tried(tiny)
    write_trial(search.folder, replace(record, confirmed=0.5))
    write_trial(search.folder, replace(claim_trial(search, {}, {}), state="pruned", score=2.0))
    write_trial(search.folder, replace(claim_trial(search, {}, {}), state="failed", why="NaN"))
    rows = [row for row in tiny.comp("board", "--json").json if "search" in row]
    assert [(row["experiment"], row["search"], row["done"], row["pruned"], row["failed"]) for row in rows] == [
        ("exp001", search.digest, 1, 1, 1)
    ]
    assert (rows[0]["best"], rows[0]["score"], rows[0]["confirmed"], rows[0]["marks"]) == ("t0001", record.score, 0.5, [])
    said = tiny.comp("board").out
    assert f"exp001     {search.digest}  t0001" in said
    assert "on the folds that chose the trial" in said
    assert record.digest not in said, "a trial is no run of its experiment"
    tiny.edit("experiments/exp001/manifest.yaml", "widths: [8, 8], hidden: 16}", "widths: [8, 8], hidden: 8}")
    assert "the manifest has changed since" in tiny.comp("board").out
    tiny.edit("experiments/exp001/manifest.yaml", "search:", "serach:")
    assert "the manifest has faults or no search now" in tiny.comp("board").out


def test_a_trial_is_no_run_to_submit(tiny: Tiny) -> None:
    tried(tiny)
    said = tiny.comp("submit", "exp001")
    assert said.code == 2 and "exp001 has no complete run (no runs at all)" in said.err
    assert not Path(tiny.root / "submissions").exists()
