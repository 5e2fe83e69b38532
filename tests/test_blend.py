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


@pytest.mark.parametrize("use", ["mean", "geometric", "rank", "weighted", "hillclimb", "stacking"])
def test_blend_writes_a_manifest_runs_it_and_says_what_each_member_is_worth(pair, use):
    said = pair.comp("blend", "exp001", "other", "--use", use, "--name", "ours")
    assert said.code == 0, said.err
    assert f'blend: {{use: {use}, members: [exp001, other]}}' in (pair.root / "experiments/ours/manifest.yaml").read_text()
    scores = json.loads((run_folder(pair, "ours") / "scores.json").read_text())
    blend = scores["blend"]
    assert blend["rule"] == use and blend["drop_one"].keys() == blend["scores"].keys() == {"exp001", "other"}
    own = json.loads((run_folder(pair, "exp001") / "scores.json").read_text())
    assert blend["scores"]["exp001"] == own["pooled"] and scores["elapsed_s"] > 0
    members = [read_predictions(run_folder(pair, name) / "oof.parquet") for name in ("exp001", "other")]
    place = {unit: row for row, unit in enumerate(members[1].ids)}
    other = members[1].values[[place[unit] for unit in members[0].ids]]
    wanted = np.mean([np.corrcoef(members[0].values[:, k], other[:, k])[0, 1] for k in range(3)])
    assert blend["correlation"]["exp001"]["other"] == pytest.approx(wanted)
    header = next(line for line in said.out.splitlines() if line.startswith("member "))
    titles = ["member", "run", "alone", *([] if use == "stacking" else ["weight"]), "without", "r exp001", "r other"]
    assert header.replace("r exp001", "r_exp001").replace("r other", "r_other").split() == [t.replace(" ", "_") for t in titles]
    assert "Members" in (run_folder(pair, "ours") / "report.html").read_text()
    assert pair.comp("submit", "ours").code == 0 and pair.comp("score", "ours").code == 0
    again = json.loads((run_folder(pair, "ours") / "scores.json").read_text())
    assert again["blend"] == blend and again["elapsed_s"] == scores["elapsed_s"]


def test_the_score_of_a_fitted_rule_is_nested(pair):
    pair.comp("blend", "exp001", "other", "--use", "weighted", "--name", "ours")
    answers = dict(line.split(",") for line in (pair.data / "train.csv").read_text().split()[1:])
    members = {name: read_predictions(run_folder(pair, name) / "oof.parquet") for name in ("exp001", "other")}
    blended = read_predictions(run_folder(pair, "ours") / "oof.parquet")
    ids, fold = members["exp001"].ids, members["exp001"].fold
    place = {unit: row for row, unit in enumerate(members["other"].ids)}
    first, second = members["exp001"].values, members["other"].values[[place[unit] for unit in ids]]
    codes = np.array([blended.columns.index(answers[unit]) for unit in ids])
    grid = np.linspace(0, 1, 2001)
    for held_out in (0, 1):
        rows = fold != held_out
        losses = [-np.log((w * first + (1 - w) * second)[rows, codes[rows]]).mean() for w in grid]
        weight = grid[int(np.argmin(losses))]
        wanted = (weight * first + (1 - weight) * second)[~rows]
        np.testing.assert_allclose(blended.values[~rows], wanted, atol=2e-3)


def test_blend_takes_sets_and_the_next_free_name(pair):
    said = pair.comp("blend", "exp001", "other", "--use", "hillclimb", "--set", "blend.steps=3", "--json")
    assert said.code == 0 and said.json["name"] == "exp002"
    text = (pair.root / "experiments/exp002/manifest.yaml").read_text()
    assert "blend: {use: hillclimb, members: [exp001, other], steps: 3}" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exp001", "nobody"], "there is no experiment 'nobody'"),
        (["exp001", "other", "--use", "hilclimb"], "did you mean 'hillclimb'?"),
        (["exp001", "late"], "late has no complete run"),
        (["exp001", "exp001"], "exp001 stands twice"),
        (["exp001", "other", "--use", "compose"], "2 members (exp001, other) predict the target 'label'"),
        (["exp001", "other", "--use", "mean", "--set", "blend.weights={exp001: 1.0}"], "the members are exp001, other"),
    ],
)
def test_a_blend_that_cannot_be_leaves_nothing_behind(pair, words, said):
    pair.write("late")
    told = pair.comp("blend", *words, "--name", "ours")
    assert told.code == 2 and said in told.err and "Traceback" not in told.err
    assert not (pair.root / "experiments/ours").exists()


def test_groups_of_labels_are_composed_to_a_joint_code(pair):
    # digit 0, 1, 2 as two questions: is it round (0), and is it a one; `ans` has no member of its own.
    table = [line.split(",") for line in (pair.data / "train.csv").read_text().split()[1:]]
    rows = [f"{name},{label},{int(label == '0')},{int(label == '2')}" for name, label in table]
    (pair.data / "train.csv").write_text("name,label,round,swan\n" + "\n".join(rows) + "\n")
    for question in ("round", "swan"):
        pair.write(question, MANIFEST + f"dataset: {{target: {question}}}\ntask: {{kind: binary, classes: 2}}\n")
        said = pair.comp("run", question)
        assert said.code == 0, said.err
    pair.write("joint", "blend: {use: compose, members: {a: round, b: swan}, code: (1 - a)*(1 + b)}\n")
    said = pair.comp("run", "joint")
    assert said.code == 0, said.err
    both = [read_predictions(run_folder(pair, question) / "oof.parquet") for question in ("round", "swan")]
    parts = [dict(zip(one.ids, one.values)) for one in both]
    joint = read_predictions(run_folder(pair, "joint") / "oof.parquet")
    for unit, values in zip(joint.ids, joint.values):
        (a0, a1), (b0, b1) = parts[0][unit], parts[1][unit]
        np.testing.assert_allclose(values, [a1, a0 * b0, a0 * b1], atol=1e-12)
    scores = json.loads((run_folder(pair, "joint") / "scores.json").read_text())
    assert scores["blend"]["scores"] == {} and scores["blend"]["drop_one"] == {} and scores["blend"]["correlation"] == {}
    pair.write("wrong", "blend: {use: mean, members: [exp001, round]}\n")
    said = pair.comp("run", "wrong")
    assert said.code == 2 and "round (against the competition) predicts the targets round; wanted label" in said.err
    said = pair.comp("check", "joint", "--json")
    assert said.code == 0, said.err
