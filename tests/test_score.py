"""`comp score`: stored OOF scored anew."""

from __future__ import annotations

import json

import numpy as np

from comp.predictions import read_predictions, read_raw, write_raw


def run_folder(tiny):
    return next((tiny.root / "experiments/exp001/runs").glob("*/environment.json")).parent


def truth(tiny) -> dict[str, str]:
    return dict(line.split(",") for line in (tiny.data / "train.csv").read_text().split()[1:])


def f1(answers: list[str], given: list[str], label: str) -> float:
    both = sum(a == g == label for a, g in zip(answers, given))
    return 2 * both / (answers.count(label) + given.count(label))


def test_another_metric_is_shown_and_not_stored(tiny_run):
    stored = (run_folder(tiny_run) / "scores.json").read_text()
    said = tiny_run.comp("score", "exp001", "--metric", "macro_f1", "--json")
    oof = read_predictions(run_folder(tiny_run) / "oof.parquet")
    answers = [truth(tiny_run)[name] for name in oof.ids]
    given = [oof.columns[place] for place in oof.values.argmax(axis=1)]
    assert said.json["pooled"] == sum(f1(answers, given, label) for label in "012") / 3
    assert said.json["metric"] == "macro_f1"
    assert (run_folder(tiny_run) / "scores.json").read_text() == stored


def test_todays_metric_is_stored_and_nothing_trains(tiny_run):
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nmetric: {use: log_loss}")
    weights = (run_folder(tiny_run) / "fold0/last.safetensors").stat().st_mtime_ns
    assert tiny_run.comp("score", "exp001").code == 0
    scores = json.loads((run_folder(tiny_run) / "scores.json").read_text())
    assert scores["metric"] == "log_loss" and not scores["greater_is_better"]
    tiny_run.run()
    assert [event.why for event in tiny_run.names("FoldSkipped")] == ["complete", "complete"]
    assert (run_folder(tiny_run) / "fold0/last.safetensors").stat().st_mtime_ns == weights


def test_todays_tta_is_predicted_for_oof_and_test_and_scored(tiny_run):
    before = read_predictions(run_folder(tiny_run) / "oof.parquet")
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]")
    said = tiny_run.comp("score", "exp001", "--json")
    after = read_predictions(run_folder(tiny_run) / "oof.parquet")
    assert said.json["tta"] == [{"use": "hflip"}]
    assert list(after.ids) == list(before.ids) and abs(after.values - before.values).max() > 1e-4
    # Back again: the flipped view is stored, and no longer counts.
    tiny_run.edit("experiments/exp001/manifest.yaml", "\ntta: [{use: hflip}]", "")
    tiny_run.comp("score", "exp001")
    again = read_predictions(run_folder(tiny_run) / "oof.parquet")
    assert (again.values == before.values).all()


def test_a_metric_that_is_not_there_is_refused(tiny_run):
    said = tiny_run.comp("score", "exp001", "--metric", "macro_f")
    assert said.code == 2 and "did you mean 'macro_f1'" in said.err and "Traceback" not in said.err


def test_without_a_run_it_says_what_to_do(tiny):
    said = tiny.comp("score", "exp001")
    assert said.code == 2 and "comp run exp001" in said.err


def test_a_view_that_was_cut_off_between_two_seeds_is_completed(tiny):
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nseeds: [3, 0]")
    tiny.run()
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]")
    path = run_folder(tiny) / "fold0/oof.parquet"
    first = read_raw(path).of_seed(3)
    stopped = np.zeros_like(first.outputs)
    write_raw(path, first.task, first.ids, first.row_ids, {"hflip": stopped}, 3, first.links)
    for fold, file in (("0", "test"), ("1", "oof"), ("1", "test")):
        raw = read_raw(run_folder(tiny) / f"fold{fold}/{file}.parquet")
        for seed in (3, 0):
            part, to = raw.of_seed(seed), run_folder(tiny) / f"fold{fold}/{file}.parquet"
            write_raw(to, part.task, part.ids, part.row_ids, {"hflip": part.outputs}, seed, part.links)
    said = tiny.comp("score", "exp001")
    assert said.code == 0, said.err
    raw = read_raw(path)
    assert {(view, seed) for view, seed in zip(raw.views, raw.seeds)} == {(v, s) for v in ("plain", "hflip") for s in (0, 3)}
    # What was there stays; the other seed's view is a prediction.
    flipped = raw.of_seed(3).outputs[raw.of_seed(3).views == "hflip"]
    assert (flipped == 0).all() and (raw.of_seed(0).outputs != 0).all()
