"""`comp submit`: the right predictions, checked, numbered, traceable."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from comp.predictions import link_outputs, read_raw
from comp.views import PLAIN


def run_folder(tiny, name="exp001"):
    return next((tiny.root / f"experiments/{name}/runs").glob("*/environment.json")).parent


def read_answers(tiny, version="v001", name="exp001") -> list[list[str]]:
    return [line.split(",") for line in (tiny.root / f"submissions/{name}/{version}.csv").read_text().split()]


def record(tiny, version="v001", name="exp001") -> dict:
    return json.loads((tiny.root / f"submissions/{name}/{version}.json").read_text())


def mean_of_folds(tiny, folds=("fold0", "fold1"), views=(PLAIN,)) -> dict[str, str]:
    """id -> class, worked out from the raw files alone."""
    total: dict[str, np.ndarray] = {}
    for fold in folds:
        raw = read_raw(run_folder(tiny) / fold / "test.parquet")
        probabilities = link_outputs(raw.outputs, raw.task, raw.links)
        for name, view, values in zip(raw.ids, raw.views, probabilities):
            if view in views:
                total[name] = total.get(name, 0) + values
    return {name: raw.task.columns[int(np.argmax(values))] for name, values in total.items()}


def test_a_submission_is_the_folds_mean_in_the_samples_order(tiny_run):
    said = tiny_run.comp("submit", "exp001", "-m", "first", "--json")
    header, *rows = read_answers(tiny_run)
    sample = [line.split(",")[0] for line in (tiny_run.data / "sample.csv").read_text().split()[1:]]
    assert header == ["name", "label"] and [row[0] for row in rows] == sample
    assert dict(rows) == mean_of_folds(tiny_run)
    written = record(tiny_run)
    scores = json.loads((run_folder(tiny_run) / "scores.json").read_text())
    assert written["cv"] == scores["pooled"] == said.json["cv"] and written["message"] == "first"
    assert (
        written["digest"] == run_folder(tiny_run).name == said.json["digest"] and not written["full"] and not written["partial"]
    )
    assert written["plugins"].keys() >= {"model.cnn", "submission.labels", "loss.cross_entropy"} or not written["plugins"]
    (row,) = tiny_run.comp("ledger", "--json").json
    assert (row["experiment"], row["version"], row["message"], row["sha256"]) == ("exp001", "v001", "first", written["sha256"])


def test_the_same_content_twice_says_which_it_equals(tiny_run):
    tiny_run.comp("submit", "exp001")
    said = tiny_run.comp("submit", "exp001")
    assert said.code == 0 and "has this content already: v001; nothing was written" in said.out
    assert [path.name for path in sorted((tiny_run.root / "submissions/exp001").glob("v*"))] == ["v001.csv", "v001.json"]
    assert len(tiny_run.comp("ledger", "--json").json) == 1


def test_tta_is_done_to_oof_too_and_its_cv_is_recorded(tiny_run):
    before = json.loads((run_folder(tiny_run) / "scores.json").read_text())["pooled"]
    assert tiny_run.comp("submit", "exp001", "--tta", "hflip").code == 0
    raw = read_raw(run_folder(tiny_run) / "fold0/oof.parquet")
    assert set(raw.views) == {"plain", "hflip"}
    answers = dict(line.split(",") for line in (tiny_run.data / "train.csv").read_text().split()[1:])
    right = []
    for fold in ("fold0", "fold1"):
        raw = read_raw(run_folder(tiny_run) / fold / "oof.parquet")
        probabilities = link_outputs(raw.outputs, raw.task, raw.links)
        for name in set(raw.ids):
            mean = probabilities[raw.ids == name].mean(axis=0)
            right.append(raw.task.columns[int(mean.argmax())] == answers[name])
    written = record(tiny_run)
    assert written["tta"] == [{"use": "hflip"}] and written["cv"] == np.mean(right)
    assert dict(read_answers(tiny_run)[1:]) == mean_of_folds(tiny_run, views=("plain", "hflip"))
    # The manifest's own tta is untouched, and so are the run's two files and scores.
    assert json.loads((run_folder(tiny_run) / "scores.json").read_text())["pooled"] == before


def test_an_incomplete_run_is_refused_unless_partial(tiny):
    tiny.run(only=[1])
    said = tiny.comp("submit", "exp001")
    assert said.code == 2 and "1 of 2 folds" in said.err and not (tiny.root / "submissions").exists()
    said = tiny.comp("submit", "exp001", "--partial")
    assert said.code == 0 and "partial: 1 of 2 folds" in said.out + said.err
    assert record(tiny)["partial"] and record(tiny)["folds"] == ["1"]
    assert record(tiny)["coverage"] == {"scored": 30, "units": 60}
    assert dict(read_answers(tiny)[1:]) == mean_of_folds(tiny, ["fold1"])


def test_full_goes_alone_with_the_folds_cv_beside_it(tiny_run):
    said = tiny_run.comp("submit", "exp001", "--full")
    assert said.code == 2 and "comp run exp001 --full" in said.err
    tiny_run.run(full=True)
    assert [event.fold for event in tiny_run.names("FoldFinished")] == ["full"]
    assert tiny_run.comp("submit", "exp001", "--full").code == 0
    scores = json.loads((run_folder(tiny_run) / "scores.json").read_text())
    written = record(tiny_run)
    assert written["full"] and written["folds"] == ["full"] and written["cv"] == scores["pooled"]
    assert dict(read_answers(tiny_run)[1:]) == mean_of_folds(tiny_run, ["full"])
    assert not (run_folder(tiny_run) / "full/oof.parquet").exists()
    # Without --full it has no part in the answers.
    tiny_run.comp("submit", "exp001")
    assert dict(read_answers(tiny_run, record_version(tiny_run))[1:]) == mean_of_folds(tiny_run)


def record_version(tiny) -> str:
    return sorted(path.stem for path in (tiny.root / "submissions/exp001").glob("v*.csv"))[-1]


def test_full_names_the_run_that_has_one(tiny_run):
    tiny_run.run(full=True)
    first = run_folder(tiny_run).name
    tiny_run.run(sets=["seed=7"])
    said = tiny_run.comp("submit", "exp001", "--full")
    assert said.code == 2 and f"exp001@{first} has one" in said.err
    assert tiny_run.comp("submit", f"exp001@{first}", "--full").code == 0


@pytest.mark.parametrize("change", ["absent", "empty"])
def test_without_test_predictions_it_is_refused(tiny, change):
    if change == "absent":
        shutil.rmtree(tiny.data / "test")
    else:
        (tiny.data / "test.csv").write_text("name\n")
    tiny.run()
    said = tiny.comp("submit", "exp001")
    assert said.code == 2 and "comp predict exp001" in said.err and "Traceback" not in said.err
    assert not (tiny.root / "submissions").exists()


def test_a_stub_is_refused_where_the_sample_wants_more(tiny):
    (tiny.data / "test.csv").write_text("\n".join((tiny.data / "test.csv").read_text().split()[:3]) + "\n")
    tiny.run()
    said = tiny.comp("submit", "exp001")
    assert said.code == 2 and "of the sample's 12 have no prediction" in said.err
    assert not list((tiny.root / "submissions").rglob("*.csv"))


def test_a_stub_with_a_stub_of_a_sample_is_marked(tiny):
    for file in ("test.csv", "sample.csv"):
        lines = (tiny.data / file).read_text().split()
        (tiny.data / file).write_text("\n".join([lines[0], *sorted(lines[1:])[:2]]) + "\n")
    tiny.run()
    said = tiny.comp("submit", "exp001", "--json")
    assert said.code == 0 and "may be a stub" in said.json["warnings"][0]


def test_stored_predictions_are_submitted_without_torch(tiny_run):
    code = "import sys; from comp.cli import main; code = main(['submit', 'exp001']); print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tiny_run.root, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_code_edited_since_the_run_is_said_and_the_runs_own_is_recorded(tiny):
    folder = tiny.write(
        "exp001", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + "metric: {use: mine}\nhead: {use: own}\n"
    )
    (folder / "mine.py").write_text(METRIC)
    (folder / "own.py").write_text(HEAD)
    tiny.run()
    before = json.loads((run_folder(tiny) / "environment.json").read_text())["plugins"]["head.own"]
    (folder / "own.py").write_text(HEAD + "# edited\n")
    said = tiny.comp("submit", "exp001")
    assert said.code == 0 and "the code of head.own has changed since run" in said.out + said.err
    assert record(tiny)["plugins"]["head.own"] == before


METRIC = '''
from comp.api import Metric, Task, plugin


@plugin("metric")
def mine(task: Task, /) -> Metric:
    """Accuracy."""
    return Metric(lambda targets, predictions: float((predictions.argmax(axis=1) == targets).mean()))
'''
HEAD = '''
from torch import nn

from comp.api import Head, Task, plugin


@plugin("head")
def own(task: Task, features: int, /) -> Head:
    """Linear."""
    return nn.Linear(features, task.outputs)
'''
