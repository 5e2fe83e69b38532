"""The board and `--on`, over runs written by hand with scores that can be worked out."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.api import Target, Task
from comp.board import BoardRow, collect_board, describe_board
from comp.errors import PredictionsError, WorkspaceError
from comp.ledger import Entry, append_entry, record_score
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.predictions import Predictions, write_predictions
from comp.project import Project

DATASET = '''
from pathlib import Path

import pandas as pd

from comp.api import Tables, plugin


@plugin("dataset")
def tiny(root: Path, /, *, target: str = "label") -> Tables:
    """Twelve units, no pictures.

    Args:
        target: what is predicted.
    """
    rows = pd.DataFrame({"id": [f"u{number:02}" for number in range(12)], "label": list("abc") * 4, "other": list("xy") * 6})
    rows = rows.assign(row_id=rows["id"], image=rows["id"])
    return Tables(rows, None, None, "id", (target,), (), root, read=lambda image: None)
'''
COMPETITION = """\
format: 1
dataset: {use: tiny, target: label}
task: {kind: multiclass, classes: 3, rows: 12, test_rows: 0, image_px: 16, channels: 3, flip: true}
split: {use: plain, folds: 3}
metric: {use: accuracy}
submission: {use: labels}
"""
IDS = [f"u{number:02}" for number in range(12)]
TRUTH = np.arange(12) % 3
FOLDS = np.arange(12) // 4
LABEL = Target("label", "multiclass", ("a", "b", "c"), ("label",))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/tiny.py").write_text(DATASET)
    (tmp_path / "folds").mkdir()
    pd.DataFrame({"id": IDS, "fold": FOLDS}).to_csv(tmp_path / "folds/default.csv", index=False)
    return Project(tmp_path)


def add_run(
    project: Project,
    name: str,
    wrong: tuple[str, ...] = (),
    done: tuple[int, ...] = (0, 1, 2),
    sets: tuple[str, ...] = (),
    made_at: float = 1000.0,
    target: Target = LABEL,
    scores: dict | None = None,
) -> str:
    """A run whose OOF is right but for the ids `wrong`; returns its digest."""
    if name not in project.names():
        create_experiment(project, name)
    manifest = load_manifest(project, name, sets)
    contents = {"tables": "t", "folds": "f"}
    digest = manifest.digest(contents)
    folder = project.experiment(name) / "runs" / digest
    folder.mkdir(parents=True)
    (folder / "manifest.resolved.yaml").write_text(manifest.dump())
    (folder / "environment.json").write_text(
        json.dumps({"format": 1, "made_at": made_at, "folds": ["0", "1", "2"], "contents": contents})
    )
    for fold in done:
        (folder / f"fold{fold}").mkdir()
        (folder / f"fold{fold}/fold.json").write_text('{"format": 1}')
    if not done:
        return digest
    held = np.isin(FOLDS, done)
    answers = np.array([(TRUTH[i] + (IDS[i] in wrong)) % target.width for i in range(12)])[held]
    ids = np.array(IDS, dtype=object)[held]
    write_predictions(
        folder / "oof.parquet", Predictions(Task((target,)), ids, np.eye(target.width)[answers] * 0.9 + 0.03, FOLDS[held])
    )
    record = {
        "format": 1,
        "metric": manifest.values["metric"]["use"],
        "greater_is_better": True,
        "pooled": 1 - len(wrong) / held.sum(),
        "std": 0.01,
        "folds_done": [str(fold) for fold in done],
        "complete": len(done) == 3,
        "elapsed_s": 30.0,
    }
    (folder / "scores.json").write_text(json.dumps({**record, **(scores or {})}))
    return digest


def by_name(rows: list[BoardRow]) -> dict[str, BoardRow]:
    return {row.experiment: row for row in rows}


def test_best_first_and_experiments_without_score_last(project):
    add_run(project, "worse", wrong=("u00", "u01"))
    add_run(project, "better", wrong=("u00",))
    create_experiment(project, "idle")
    rows = collect_board(project, None)
    assert [row.experiment for row in rows] == ["better", "worse", "idle"]
    assert rows[0].cv == pytest.approx(11 / 12) and (rows[0].folds_done, rows[0].folds) == (3, 3)
    assert rows[0].marks == () and rows[2].marks == ("no run",)


def test_of_metrics_that_fall_the_lowest_is_first(project):
    (project.root / "competition.yaml").write_text(COMPETITION.replace("accuracy", "log_loss"))
    for name, pooled in (("low", 0.3), ("high", 0.5)):
        add_run(project, name, scores={"pooled": pooled, "greater_is_better": False})
    assert [row.experiment for row in collect_board(project, None)] == ["low", "high"]


def test_overrides_are_marked_and_defaults_written_out_are_none(project):
    add_run(project, "same", sets=("split.folds=3", "metric={use: accuracy, threshold: 0.5}"))
    add_run(project, "folds", sets=("split.seed=7",))
    add_run(project, "metric", sets=("metric={use: macro_f1}",))
    add_run(project, "target", sets=("dataset.target=other",))
    rows = by_name(collect_board(project, None))
    assert rows["same"].marks == ()
    assert rows["folds"].marks[0] == "other folds"
    assert rows["metric"].marks[0] == "other metric"
    assert rows["target"].marks[0] == "other targets"


def test_other_metrics_stand_below_the_competitions(project):
    add_run(project, "mine", wrong=("u00",))
    add_run(project, "strange", sets=("metric={use: macro_f1}",))
    assert [row.experiment for row in collect_board(project, None)] == ["mine", "strange"]


def test_a_manifest_that_changed_is_marked(project):
    add_run(project, "exp001")
    assert collect_board(project, None)[0].marks == ()
    manifest = project.experiment("exp001") / "manifest.yaml"
    manifest.write_text(manifest.read_text() + "seed: 7\n")
    assert collect_board(project, None)[0].marks == ("the manifest has changed since",)
    manifest.write_text(manifest.read_text().replace("seed: 7", "about: the same training"))
    manifest.write_text(manifest.read_text().replace('about: ""', "", 1))
    assert collect_board(project, None)[0].marks == ()
    manifest.write_text("loss: {use: nonsense}\n")
    assert collect_board(project, None)[0].marks == ("the manifest has faults now",)


def test_the_newest_complete_run_counts_or_else_the_fullest(project):
    old = add_run(project, "exp001", made_at=1000.0)
    new = add_run(project, "exp001", sets=("seed=7",), made_at=2000.0)
    add_run(project, "exp001", sets=("seed=8",), made_at=3000.0, done=(0, 1))
    assert collect_board(project, None)[0].digest == new != old

    fullest = add_run(project, "exp002", done=(0, 1), made_at=1000.0)
    add_run(project, "exp002", done=(0,), sets=("seed=7",), made_at=2000.0)
    [row] = [row for row in collect_board(project, None) if row.experiment == "exp002"]
    assert (row.digest, row.folds_done, row.folds) == (fullest, 2, 3)


def test_a_run_without_a_finished_fold_has_no_score(project):
    add_run(project, "exp001", done=())
    [row] = collect_board(project, None)
    assert (row.cv, row.folds_done, row.folds) == (None, 0, 3)
    assert "0/3" in "\n".join(describe_board([row]))


def test_scores_of_submissions_belong_to_the_run_that_made_them(project):
    digest = add_run(project, "exp001")
    for version, of in (("v001", "00000000"), ("v002", digest)):
        append_entry(project, Entry("2026-01-01", "exp001", version, of, 0.9, 0.01, "accuracy", sha256="ab"))
        (project.submissions / "exp001").mkdir(exist_ok=True)
        (project.submissions / "exp001" / f"{version}.json").write_text(
            json.dumps({"local": {"public": 0.7 if of == digest else 0.1}})
        )
    record_score(project, "exp001", "v001", public=0.2, private=0.3)
    [row] = collect_board(project, None)
    assert (row.local, row.public, row.private) == (0.7, None, None)
    record_score(project, "exp001", "v002", public=0.8)
    assert collect_board(project, None)[0].public == 0.8


def test_on_compares_on_the_units_that_all_predicted(project):
    # Fold 0 is u00..u03, fold 1 u04..u07. `full` has all, `half` the folds 0 and 1 only.
    add_run(project, "full", wrong=("u00", "u01", "u08"))
    add_run(project, "half", wrong=("u00", "u04"), done=(0, 1))
    rows = by_name(collect_board(project, "0"))
    assert (rows["full"].on, rows["half"].on, rows["full"].on_units) == (0.5, 0.75, 4)
    rows = by_name(collect_board(project, "0, 1"))
    assert (rows["full"].on, rows["half"].on, rows["half"].on_units) == (0.75, 0.75, 8)
    everything = collect_board(project, "all")
    assert {row.on_units for row in everything} == {8}
    assert [row.experiment for row in collect_board(project, "0")] == ["half", "full"]


def test_on_scores_by_the_competitions_metric(project):
    add_run(project, "mine", wrong=("u00",))
    add_run(project, "strange", wrong=("u00",), sets=("metric={use: macro_f1}",), scores={"pooled": 0.1})
    assert {row.on for row in collect_board(project, "all")} == {11 / 12}


def test_other_targets_are_not_compared(project):
    add_run(project, "mine", wrong=("u00",))
    other = Target("other", "binary", ("x", "y"), ("other",))
    add_run(project, "target", sets=("dataset.target=other",), target=other, made_at=2000.0)
    rows = by_name(collect_board(project, "all"))
    assert rows["mine"].on == pytest.approx(11 / 12) and rows["target"].on is None
    assert rows["target"].marks.count("other targets") == 1


def test_on_needs_folds_that_exist_and_units_in_common(project):
    create_experiment(project, "idle")
    with pytest.raises(PredictionsError, match="nothing to compare yet"):
        collect_board(project, "0")
    add_run(project, "first", done=(0,))
    add_run(project, "second", done=(1,))
    for wrong in ("3", "-1", "x", ""):
        with pytest.raises(WorkspaceError, match="the folds are 0, 1, 2"):
            collect_board(project, wrong)
    with pytest.raises(PredictionsError, match="no unit that all 2 experiments have predicted"):
        collect_board(project, "0")


def test_the_table_leaves_out_what_nothing_fills():
    row = BoardRow(
        "exp001",
        digest="3f9a1c20",
        metric="accuracy",
        cv=0.9312,
        cv_std=0.0041,
        folds_done=5,
        folds=5,
        elapsed_s=200.0,
        made_at=time.time() - 7300,
    )
    assert describe_board([row]) == [
        "experiment  digest                 CV  metric    folds  time  age",
        "──────────  ────────  ───────────────  ────────  ─────  ────  ───",
        "exp001      3f9a1c20  0.9312 ± 0.0041  accuracy    5/5  3:20  2 h",
    ]


def test_an_empty_board_says_how_to_begin():
    assert describe_board([]) == ["no experiments yet; `comp new exp001` makes one."]
