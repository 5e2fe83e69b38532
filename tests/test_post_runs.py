"""Post on finished runs: scored cross-fitted, submitted as fitted on all OOF, without training."""

from __future__ import annotations

import json

import numpy as np
import pytest

from comp.predictions import read_predictions

POST = "\npost: [{use: temperature}, {use: thresholds, passes: 1}]\n"


def run_folder(tiny, name="exp001"):
    return next((tiny.root / f"experiments/{name}/runs").glob("*/environment.json")).parent


def read_scores(tiny, name="exp001"):
    return json.loads((run_folder(tiny, name) / "scores.json").read_text())


def record(tiny, version="v001", name="exp001"):
    return json.loads((tiny.root / f"submissions/{name}/{version}.json").read_text())


def accuracy_of(tiny, file) -> float:
    answers = dict(line.split(",") for line in (tiny.data / "train.csv").read_text().split()[1:])
    oof = read_predictions(file)
    return float(np.mean([oof.columns[values.argmax()] == answers[name] for name, values in zip(oof.ids, oof.values)]))


@pytest.fixture
def posted(tiny_run):
    """A finished run whose manifest has been given a post since."""
    file = tiny_run.root / "experiments/exp001/manifest.yaml"
    file.write_text(file.read_text() + POST)
    return tiny_run


def test_a_finished_run_is_scored_with_todays_post_and_nothing_trains(posted):
    before = read_scores(posted)
    raw = (run_folder(posted) / "oof.parquet").read_bytes(), (run_folder(posted) / "test.parquet").read_bytes()
    weights = (run_folder(posted) / "fold0/last.safetensors").stat().st_mtime_ns
    said = posted.comp("score", "exp001")
    assert said.code == 0 and "before post (temperature, thresholds) " in said.out
    scores = read_scores(posted)
    assert scores["raw"]["pooled"] == before["pooled"] and scores["raw"]["per_fold"] == before["per_fold"]
    assert [rule["use"] for rule in scores["post"]] == ["temperature", "thresholds"]
    assert scores["post"][1]["state"]["label"]["thresholds"].keys() == {"0", "1", "2"}
    # The two files stay as they were; what was scored lies beside them.
    assert raw == ((run_folder(posted) / "oof.parquet").read_bytes(), (run_folder(posted) / "test.parquet").read_bytes())
    assert scores["pooled"] == accuracy_of(posted, run_folder(posted) / "post.parquet")
    assert len(list((posted.root / "experiments/exp001/runs").iterdir())) == 1
    posted.run()
    assert [event.why for event in posted.names("FoldSkipped")] == ["complete", "complete"]
    assert (run_folder(posted) / "fold0/last.safetensors").stat().st_mtime_ns == weights
    posted.edit("experiments/exp001/manifest.yaml", POST, "\n")
    assert posted.comp("score", "exp001").code == 0
    assert not (run_folder(posted) / "post.parquet").exists() and "raw" not in read_scores(posted)


def test_no_fold_is_scored_by_a_rule_that_saw_its_answers(posted):
    posted.edit("experiments/exp001/manifest.yaml", POST, "\npost: [{use: temperature}]\n")
    posted.comp("score", "exp001")
    answers = dict(line.split(",") for line in (posted.data / "train.csv").read_text().split()[1:])
    raw, scored = (read_predictions(run_folder(posted) / file) for file in ("oof.parquet", "post.parquet"))
    from comp.plugins.post.temperature import temperature

    codes = np.array([raw.columns.index(answers[name]) for name in raw.ids])
    for fold in (0, 1):
        rule = temperature(raw.task)
        rule.fit(raw.values[raw.fold != fold], codes[raw.fold != fold])
        np.testing.assert_allclose(scored.values[raw.fold == fold], rule.apply(raw.values[raw.fold == fold]), atol=1e-12)
    rule.fit(raw.values, codes)
    assert read_scores(posted)["post"][0]["state"]["label"]["temperature"] == pytest.approx(rule.temperature, abs=1e-9)


def test_the_cv_beside_a_submission_is_that_of_the_submission(posted):
    said = posted.comp("submit", "exp001", "--json")
    assert said.code == 0, said.err
    written = record(posted)
    posted.comp("score", "exp001")
    scores = read_scores(posted)
    assert written["cv"] == scores["pooled"] == said.json["cv"] and written["cv_raw"] == scores["raw"]["pooled"]
    assert written["post"] == scores["post"]
    # The answers are those of the rules fitted on all OOF, worked out here from the stored state.
    test = read_predictions(run_folder(posted) / "test.parquet")
    power = 1 / written["post"][0]["state"]["label"]["temperature"]
    cut = np.array(list(written["post"][1]["state"]["label"]["thresholds"].values()))
    warm = np.clip(test.values, 1e-15, 1) ** power
    wanted = {name: test.columns[row.argmax()] for name, row in zip(test.ids, warm / warm.sum(axis=1, keepdims=True) / cut)}
    rows = [line.split(",") for line in (posted.root / "submissions/exp001/v001.csv").read_text().split()[1:]]
    assert dict(rows) == wanted


def test_another_metric_is_of_the_decisions_that_the_manifests_metric_made(posted):
    posted.comp("score", "exp001")
    said = posted.comp("score", "exp001", "--metric", "macro_f1", "--json").json
    assert said["metric"] == "macro_f1" and said["post"] == read_scores(posted)["post"]


def test_board_and_predict_go_by_it(posted):
    said = posted.comp("predict", "exp001", "--test", posted.data / "test", "--out", "later.csv")
    assert said.code == 2 and "`comp score exp001` fits" in said.err
    posted.comp("score", "exp001")
    posted.comp("submit", "exp001")
    assert posted.comp("predict", "exp001", "--test", posted.data / "test", "--out", "later.csv").code == 0
    later = dict(line.split(",") for line in (posted.root / "later.csv").read_text().split()[1:])
    given = dict(line.split(",") for line in (posted.root / "submissions/exp001/v001.csv").read_text().split()[1:])
    assert {name.removesuffix(".png"): label for name, label in later.items()} == given
    [row] = posted.comp("board", "--on", "all", "--json").json
    assert row["cv"] == row["on"] == read_scores(posted)["pooled"]


def test_blends_take_members_before_post_and_have_a_post_of_their_own(posted):
    posted.comp("score", "exp001")
    posted.write("mix", "blend: {use: mean, members: [exp001]}\npost: [{use: thresholds, passes: 1}]\n")
    assert posted.comp("run", "mix").code == 0
    blend, member = (read_predictions(run_folder(posted, name) / "oof.parquet") for name in ("mix", "exp001"))
    np.testing.assert_array_equal(blend.values, member.values)
    scores = read_scores(posted, "mix")
    assert scores["pooled"] == accuracy_of(posted, run_folder(posted, "mix") / "post.parquet")
    assert scores["raw"]["pooled"] == accuracy_of(posted, run_folder(posted, "mix") / "oof.parquet")
    assert posted.comp("submit", "mix").code == 0
    assert record(posted, name="mix")["cv"] == scores["pooled"] and record(posted, name="mix")["post"] == scores["post"]
    # Another post is no other blend.
    posted.edit("experiments/mix/manifest.yaml", "passes: 1", "passes: 2")
    assert posted.comp("score", "mix").code == 0 and read_scores(posted, "mix")["post"][0]["passes"] == 2
    assert read_scores(posted, "mix")["members"] and len(list((posted.root / "experiments/mix/runs").iterdir())) == 1


def test_a_rule_that_does_not_fit_says_so(tiny_run):
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\npost: [{use: thresholds, passs: 3}]")
    said = tiny_run.comp("submit", "exp001")
    assert "no parameter 'passs'; did you mean 'passes'?" in said.out + said.err
    tiny_run.edit("experiments/exp001/manifest.yaml", "passs: 3", "targets: [size]")
    for command in ("score", "run", "check"):
        said = tiny_run.comp(command, "exp001")
        assert said.code == 2 and "there is no target 'size'" in said.err and "Traceback" not in said.err
