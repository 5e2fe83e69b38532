"""Formats: what comp 0.1 wrote (tests/samples) is read today, and the format after the newest is refused with both numbers.

tests/samples is of one run of twelve digits, as it was written; a new format adds a sample and leaves the old one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from comp import changes, folds, formats, ledger, parquet, runs, trials
from comp import events as events_module
from comp.engine import checkpoint, samples, tabular
from comp.errors import CompError, FormatError, ManifestError, PluginError
from comp.manifest import load_competition_file, load_manifest, load_resolved
from comp.predictions import read_predictions, read_raw
from comp.project import Project
from comp.runs import Run, list_runs, read_fold
from comp.stores import store_build
from comp.trials import list_searches, read_trials
from comp.verify import read_sealed

SAMPLES = Path(__file__).parent / "samples"
PLACES = {
    "folds.csv": "folds/default.csv", "folds.json": "folds/default.json", "ledger.csv": "submissions/ledger.csv",
    "v001.json": "submissions/exp001/v001.json", "search.json": "experiments/exp001/search/s/search.json",
    "trials.jsonl": "experiments/exp001/search/s/trials.jsonl", "parents.json": "experiments/exp001/runs/.parents.json",
    "competition.yaml": "competition.yaml", "store.json": "store/store.json",
}  # fmt: skip
"""Where a sample stands in a workspace; the others stand in the run's folder."""
RUN = "experiments/exp001/runs/56559d15"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A workspace of the samples."""
    for sample in SAMPLES.iterdir():
        place = tmp_path / PLACES.get(sample.name, f"{RUN}/{sample.name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample, place)
    (tmp_path / "experiments/exp001/manifest.yaml").write_text("extends: exp000\n")
    (tmp_path / "experiments/exp000").mkdir()
    (tmp_path / "experiments/exp000/manifest.yaml").write_text("seed: 1\n")
    return Project(tmp_path)


def read_all(project: Project) -> dict[str, Callable[[], Any]]:
    """Sample -> today's reader of it."""
    run = project.root / RUN
    return {
        "folds.csv": lambda: folds.read_folds(project.root / "folds/default.csv"),
        "folds.json": lambda: folds.read_state(project.root / "folds/default.csv"),
        "ledger.csv": lambda: ledger.read_ledger(project),
        "v001.json": lambda: read_sealed(project.root / PLACES["v001.json"]),
        "search.json": lambda: list_searches(project, "exp001"),
        "trials.jsonl": lambda: read_trials(project.root / "experiments/exp001/search/s"),
        "parents.json": lambda: changes.find_changed_parents(load_manifest(project, "exp001")),
        "competition.yaml": lambda: load_competition_file(project),
        "manifest.resolved.yaml": lambda: load_resolved(project, "exp001", run / "manifest.resolved.yaml"),
        "environment.json": lambda: list_runs(project, "exp001"),
        "fold.json": lambda: read_fold(run),
        "scores.json": Run("exp001", run.name, run, {}).scores,
        "events.jsonl": lambda: list(events_module.read_events(run / "events.jsonl")),
        "samples.json": lambda: samples.read_stages(run / "samples.json"),
        "columns.json": lambda: tabular.read_encoder(run),
        "oof.parquet": lambda: read_predictions(run / "oof.parquet"),
        "raw.parquet": lambda: read_raw(run / "raw.parquet"),
        "last.ckpt": lambda: checkpoint.load_checkpoint(run / "last.ckpt"),
        "last.safetensors": lambda: checkpoint.load_weights(run / "last.safetensors"),
        "store.json": lambda: store_build.read_record(project.root / "store"),
    }


def test_every_sample_is_read(project: Project) -> None:
    (project.root / "store/pixels.u8").write_bytes(bytes(768))
    found = {name: read() for name, read in read_all(project).items()}
    assert set(found) | {"history.csv"} == {path.name for path in SAMPLES.iterdir()}  # a logger's table, which nobody reads
    assert found["folds.csv"].shape == (12, 2) and found["folds.json"]["split"]["use"] == "stratified"
    [entry] = found["ledger.csv"]
    assert (entry.version, entry.cv, entry.message) == ("v001", 1 / 3, "a sample")
    assert found["v001.json"]["digest"] == "56559d15" and found["v001.json"]["seal"]
    assert [search.folds for search in found["search.json"]] == [["0"]]
    assert [(trial.trial, trial.state, trial.curve) for trial in found["trials.jsonl"]] == [("t0001", "done", [(1, 1 / 3)])]
    assert found["competition.yaml"]["task"]["rows"] == 12
    assert found["manifest.resolved.yaml"].values["model"]["widths"] == [2, 2]
    assert [(run.digest, run.folds) for run in found["environment.json"]] == [("56559d15", ["0", "1"])]
    assert set(found["fold.json"]["files"]) == {"last.safetensors", "oof.parquet", "test.parquet", "samples.json"}
    assert found["scores.json"]["pooled"] == 1 / 3 and found["scores.json"]["complete"]
    kinds = [record["event"] for record in found["events.jsonl"]]
    assert kinds[0] == "RunStarted" and kinds[-1] == "RunFinished" and kinds.count("FoldFinished") == 2
    assert [len(pictures) for pictures in found["samples.json"].values()] == [1]
    assert found["columns.json"].width == 4 and found["columns.json"].classes == {"sex": ["f", "m"]}
    oof, raw = found["oof.parquet"], found["raw.parquet"]
    assert sorted(oof.ids) == sorted(found["folds.csv"]["id"]) and np.allclose(oof.values.sum(axis=1), 1) and len(raw.ids) == 6
    progress, states = found["last.ckpt"]
    assert (progress.epoch, progress.updates, states["network"]["w"].tolist()) == (1, 3, [0.0, 1.0, 2.0])
    assert found["last.safetensors"]["head.1.weight"].shape == (3, 2)
    assert found["store.json"] == {}


# ---- newer ones ----------------------------------------------------------------------------------------------------------

NEWEST = {
    "folds.json": folds.FORMAT, "ledger.csv": ledger.FORMAT, "v001.json": 1, "search.json": trials.FORMAT,
    "trials.jsonl": trials.FORMAT, "parents.json": changes.FORMAT, "competition.yaml": 1, "manifest.resolved.yaml": 1,
    "environment.json": runs.FORMAT, "fold.json": runs.FORMAT, "scores.json": formats.SCORES,
    "events.jsonl": events_module.FORMAT, "samples.json": formats.SAMPLES, "columns.json": tabular.FORMAT,
    "oof.parquet": parquet.FORMAT, "raw.parquet": parquet.FORMAT, "last.ckpt": checkpoint.FORMAT,
    "last.safetensors": checkpoint.WEIGHTS_FORMAT,
}  # fmt: skip


def renew(file: Path, number: int) -> None:
    """Say that a file is of this format."""
    if file.suffix == ".json":
        file.write_text(json.dumps({**json.loads(file.read_text()), "format": number}))
    elif file.suffix == ".jsonl":
        records = [{**json.loads(line), "format": number} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif file.suffix == ".csv":
        head, *rows = file.read_text().splitlines(keepends=True)
        file.write_text(head + "".join(f"{number},{row.partition(',')[2]}" for row in rows))
    elif file.suffix == ".yaml":
        assert "format: 1\n" in file.read_text()
        file.write_text(file.read_text().replace("format: 1\n", f"format: {number}\n", 1))
    elif file.suffix == ".parquet":
        table = pq.read_table(file)
        facts = json.loads(table.schema.metadata[b"comp"])
        pq.write_table(table.replace_schema_metadata({"comp": json.dumps({**facts, "format": number})}), file)
    elif file.suffix == ".ckpt":
        torch.save({**torch.load(file, weights_only=True), "format": number}, file)
    else:
        safetensors.torch.save_file(safetensors.torch.load_file(file), file, {"format": str(number)})


@pytest.mark.parametrize("name", NEWEST)
def test_a_newer_format_is_refused_with_the_one_that_is_known(project: Project, name: str) -> None:
    file, newest = project.root / PLACES.get(name, f"{RUN}/{name}"), NEWEST[name]
    renew(file, newest)
    read_all(project)[name]()
    renew(file, newest + 1)
    with pytest.raises((FormatError, ManifestError)) as caught:
        read_all(project)[name]()
    said = str(caught.value)
    assert file.name in said and str(newest + 1) in said and f"up to {newest}" in said.replace("format ", ""), said
    assert "install" in said or "upgrade" in said


def test_a_store_of_another_format_is_made_anew(project: Project) -> None:
    """A cache: nothing in it is lost."""
    (project.root / "store/pixels.u8").write_bytes(bytes(768))
    renew(project.root / "store/store.json", store_build.FORMAT + 1)
    assert store_build.read_record(project.root / "store") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"format": "x"}', "\x00\xff"])
def test_what_is_none_of_ours_is_refused_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "fold.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match="fold.json"):
        read_fold(tmp_path)
    (tmp_path / "store.json").write_bytes(text.encode("latin-1"))
    assert store_build.read_record(tmp_path) is None


def test_every_format_that_is_written_has_a_sample() -> None:
    """Modules that state a FORMAT, and what shows that theirs is read."""
    root = Path(__file__).parent.parent
    sources = [path for folder in ("comp", "plugins") for path in (root / folder).rglob("*.py")]
    stating = {path.relative_to(root).as_posix() for path in sources if "\nFORMAT = " in path.read_text()}
    keys = {"comp/digest.py", "comp/engine/features.py"}  # part of a name: another format is another file
    others = {"plugins/logger/csv.py", "plugins/logger/mlflow.py", "comp/settled.py", "comp/manifest.py", "comp/submission.py"}
    read = ("folds", "ledger", "trials", "changes", "runs", "events", "parquet")
    known = {*(f"comp/{name}.py" for name in read), "comp/stores/store_build.py"}
    known |= {"comp/engine/tabular.py", "comp/engine/checkpoint.py"}
    assert stating == keys | others | known


def test_the_trackers_own_file_too(tmp_path: Path) -> None:
    from comp.plugins.logger.mlflow import read_ids, write_ids

    write_ids(tmp_path, {"sqlite:///x": {"fold 0": "1"}})
    assert read_ids(tmp_path) == {"sqlite:///x": {"fold 0": "1"}}
    renew(tmp_path / "mlflow.json", 2)
    with pytest.raises((PluginError, CompError), match="format 2; this comp reads up to 1"):
        read_ids(tmp_path)
