"""Running a blend end to end, against means worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from comp.predictions import Predictions, read_predictions, write_predictions


def run_folder(tiny, name):
    return next((tiny.root / f"experiments/{name}/runs").glob("*/environment.json")).parent


@pytest.fixture(scope="module")
def pair_source(copy_tiny):
    """Two runs, `exp001` and `other`, and a blend of them that has not run."""
    tiny = copy_tiny(MANIFEST)
    tiny.write("other", MANIFEST + "seed: 7\n")
    tiny.run()
    tiny.run("other")
    tiny.write("mix", "blend: {use: mean, members: [exp001, other]}\n")
    return tiny.root


@pytest.fixture
def pair(pair_source, tmp_path, open_tiny):
    return open_tiny(pair_source, tmp_path)


MANIFEST = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}
"""


def test_the_mean_of_two_runs_joined_by_id(pair):
    # The second member's rows in another order: positions must not matter.
    for file in ("oof.parquet", "test.parquet"):
        path = run_folder(pair, "other") / file
        one = read_predictions(path)
        turned = slice(None, None, -1)
        fold = None if one.fold is None else one.fold[turned]
        write_predictions(path, Predictions(one.task, one.ids[turned], one.values[turned], fold))
    result = pair.run("mix")
    for file in ("oof.parquet", "test.parquet"):
        members = [read_predictions(run_folder(pair, name) / file) for name in ("exp001", "other")]
        by_id = [dict(zip(member.ids, member.values)) for member in members]
        blended = read_predictions(result.folder / file)
        assert len(blended.ids) == len(by_id[0])
        for name, values in zip(blended.ids, blended.values):
            assert np.allclose(values, (by_id[0][name] + by_id[1][name]) / 2, atol=1e-15)
    assert result.complete and result.scores["members"].keys() == {"exp001", "other"}


def test_a_blend_is_submitted_scored_and_blended_again_like_a_run(pair):
    assert pair.comp("run", "mix").code == 0
    first = json.loads((run_folder(pair, "mix") / "environment.json").read_text())
    said = pair.comp("run", "mix")
    assert "blends these predictions already" in said.out
    assert json.loads((run_folder(pair, "mix") / "environment.json").read_text()) == first
    said = pair.comp("submit", "mix", "--json")
    assert said.code == 0, said.err
    assert said.json["digest"] == run_folder(pair, "mix").name and said.json["version"] == "v001"
    assert pair.comp("score", "mix", "--metric", "log_loss").code == 0
    assert pair.comp("score", "mix").code == 0
    assert json.loads((run_folder(pair, "mix") / "scores.json").read_text())["members"].keys() == {"exp001", "other"}
    assert pair.comp("board", "--on", "all").code == 0
    check = pair.comp("check", "mix", "--json").json
    assert ["60 OOF ids and 12 test ids in common"] == [line for line in dict(check["sections"])["members"] if "common" in line]


def test_wrong_ids_are_refused_and_nothing_is_written(pair):
    path = run_folder(pair, "other") / "oof.parquet"
    oof = read_predictions(path)
    lost = oof.ids[0]
    write_predictions(path, Predictions(oof.task, oof.ids[1:], oof.values[1:], oof.fold[1:]))
    said = pair.comp("run", "mix")
    assert said.code == 2 and lost in said.err and "Traceback" not in said.err
    assert not (pair.root / "experiments/mix/runs").exists()


def test_a_member_without_a_complete_run_is_named(pair):
    pair.write("late")
    pair.write("mix", "blend: {use: mean, members: [exp001, late]}\n")
    said = pair.comp("run", "mix")
    assert said.code == 2 and "late has no complete run" in said.err


def test_a_member_that_changed_makes_another_blend_and_submit_says_so(pair):
    pair.run("mix")
    pair.edit("experiments/other/manifest.yaml", "seed: 7", "seed: 8")
    pair.run("other")
    said = pair.comp("submit", "mix")
    assert said.code == 0 and "members of mix have other predictions than when run" in said.out + said.err
    pair.run("mix")
    assert len(list((pair.root / "experiments/mix/runs").glob("*/scores.json"))) == 2


@pytest.mark.parametrize("option", [["--full"], ["--debug"], ["--only", "0"], ["--folds", "3"]])
def test_what_only_training_could_do_is_refused(pair, option):
    said = pair.comp("run", "mix", *option)
    assert said.code == 2 and f"{option[0]} cannot be honoured" in said.err


def test_wishes_for_a_model_are_refused(pair):
    pair.run("mix")
    for wish in (["--tta", "hflip"], ["--full"]):
        said = pair.comp("submit", "mix", *wish)
        assert said.code == 2 and "mix is a blend" in said.err
    said = pair.comp("predict", "mix", "--test", pair.data / "test", "--out", "out.csv")
    assert said.code == 2 and "`comp predict` its members: exp001@" in said.err
