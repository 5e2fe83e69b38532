"""Files of somebody else: in each place where one is read, a pickle that would run code is refused in words, and nothing has run.

Arrays of images are in tests/fuzz/test_images.py.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from comp.errors import CompError, FormatError, ManifestError, PredictionsError, WeightsError, WorkspaceError
from comp.project import hash_file


class Marks:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def save(write: Callable[..., Any], *given: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    write(*given, file, **settings)
    return file.getvalue()


FORMS: dict[str, Callable[[Marks], bytes]] = {
    "pickle": pickle.dumps,
    "checkpoint": lambda marks: save(torch.save, {"format": 1, "progress": {}, "network": marks}),
    "old checkpoint": lambda marks: save(torch.save, {"w": marks}, _use_new_zipfile_serialization=False),
    "array": lambda marks: save(lambda array, file: np.save(file, array), np.array([marks], dtype=object)),
}


@pytest.fixture(params=FORMS)
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The bytes; at the end it is known that nobody stepped in."""
    mark = tmp_path / "ran"
    data = FORMS[request.param](Marks(mark))
    assert b"mkdir" in data
    yield data
    assert not mark.exists()


def test_a_trap_works(tmp_path: Path) -> None:
    """Else nothing here could fail."""
    pickle.loads(FORMS["pickle"](Marks(tmp_path / "one")))
    torch.load(io.BytesIO(FORMS["checkpoint"](Marks(tmp_path / "two"))), weights_only=False)
    torch.load(io.BytesIO(FORMS["old checkpoint"](Marks(tmp_path / "three"))), weights_only=False)
    np.load(io.BytesIO(FORMS["array"](Marks(tmp_path / "four"))), allow_pickle=True)
    assert len(list(tmp_path.iterdir())) == 4


def test_checkpoints_weights_and_features(trap: bytes, tmp_path: Path) -> None:
    from comp.api import ImageSpec
    from comp.engine.checkpoint import load_checkpoint, load_initial, load_weights
    from comp.engine.features import load_features
    from comp.plugins.model.timm import timm

    def write(name: str) -> Path:
        (tmp_path / name).write_bytes(trap)
        return tmp_path / name

    with pytest.raises(WeightsError, match="last.ckpt cannot be read") as caught:
        load_checkpoint(write("last.ckpt"))
    assert "weights_only" not in str(caught.value)  # torch says how to run it all the same
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(write("best.safetensors"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_initial(torch.nn.Linear(1, 1), tmp_path / "best.safetensors", print)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        load_features(write("features-0.npy"))
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(WeightsError, match=name) as caught:
            timm(ImageSpec((32, 32), (32, 32)), arch="test_resnet", pretrained=write(name))
        assert "weights_only" not in str(caught.value)


def test_tables_and_predictions(trap: bytes, tmp_path: Path) -> None:
    from comp.plugins.dataset._tables import read_sheet
    from comp.predictions import read_predictions, read_raw
    from comp.unseen import read_sample

    for name in ("t.csv", "t.parquet", "t.json", "t.jsonl", "t.csv.gz", "t.csv.zip", "t.csv.7z"):
        (tmp_path / name).write_bytes(trap)
        with pytest.raises(CompError, match=name):
            read_sheet(tmp_path / name)
    with pytest.raises(CompError):
        read_sample(tmp_path / "t.csv")
    for read in (read_predictions, read_raw):
        with pytest.raises(PredictionsError, match="cannot be read"):
            read(tmp_path / "t.parquet")


def test_records(trap: bytes, tmp_path: Path, sheets: Any) -> None:
    """What stands as JSON, YAML or CSV beside a run, in its experiment or in the workspace."""
    from comp.engine.samples import read_stages
    from comp.engine.tabular import FILE, read_encoder
    from comp.events import read_events
    from comp.folds import read_state
    from comp.ledger import read_ledger
    from comp.manifest import load_manifest
    from comp.runs import Run, list_runs, read_fold
    from comp.stores.store_build import read_found
    from comp.trials import list_searches, read_trials

    project = sheets.project
    sheets.write("exp001", "")
    run = project.experiments / "exp001/runs/aaaaaaaa"
    search = project.experiments / "exp001/search/bbbbbbbb"
    for folder in (run, search, project.submissions):
        folder.mkdir(parents=True)
    readers: dict[Path, Callable[[], Any]] = {
        run / "fold.json": lambda: read_fold(run),
        run / "environment.json": lambda: list_runs(project, "exp001"),
        run / "scores.json": Run("exp001", "aaaaaaaa", run, {}).scores,
        run / "samples.json": lambda: read_stages(run / "samples.json"),
        run / FILE: lambda: read_encoder(run),
        run / "events.jsonl": lambda: list(read_events(run / "events.jsonl")),
        search / "search.json": lambda: list_searches(project, "exp001"),
        search / "trials.jsonl": lambda: read_trials(search),
        tmp_path / "folds.json": lambda: read_state(tmp_path / "folds.csv"),
        project.submissions / "ledger.csv": lambda: read_ledger(project),
        project.experiments / "exp001/manifest.yaml": lambda: load_manifest(project, "exp001"),
    }
    for file, read in readers.items():
        file.write_bytes(trap + b"\n")
        with pytest.raises((FormatError, ManifestError, CompError), match=file.stem):
            read()
        file.unlink()
    (run / "store.json").write_bytes(trap)
    assert read_found(run) is None  # made anew


@pytest.mark.parametrize("form", ["checkpoint"])
def test_a_run_a_merge_an_import_and_an_init_of_such_files(tiny_run: Any, tmp_path: Path, form: str) -> None:
    """The commands themselves, each given one: exit code 2 (or 1, of a run), a message, no traceback, no mark."""
    mark = tmp_path / "ran"
    trap = FORMS[form](Marks(mark))
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    foreign = tmp_path / "foreign" / run.name
    shutil.copytree(run, foreign)

    for name in ("oof.csv", "train.csv"):
        (tmp_path / name).write_bytes(trap)
    refused = [tiny_run.comp("import", "mate", "--oof", str(tmp_path / "oof.csv"))]
    for name in ("fold0/last.safetensors", "fold0/oof.parquet", "environment.json", "manifest.resolved.yaml"):
        before = (foreign / name).read_bytes()
        (foreign / name).write_bytes(trap)
        if name.startswith("fold0"):  # its maker would have signed it
            record = json.loads((foreign / "fold0/fold.json").read_text())
            record["files"][name.removeprefix("fold0/")] = hash_file(foreign / name)
            (foreign / "fold0/fold.json").write_text(json.dumps(record))
        if name != "fold0/last.safetensors":
            shutil.rmtree(run / "fold0", ignore_errors=True)
            refused.append(tiny_run.comp("merge", str(foreign), "exp001"))
        (foreign / name).write_bytes(before)

    tiny_run.write("exp002", (tiny_run.root / "experiments/exp001/manifest.yaml").read_text() + "init: w.safetensors\n")
    (tiny_run.root / "w.safetensors").write_bytes(trap)
    refused.append(tiny_run.comp("run", "exp002"))
    for name in ("last.ckpt", "last.ckpt.1"):
        (run / "fold1").mkdir(exist_ok=True)
        (run / "fold1" / name).write_bytes(trap)
    (run / "fold1/fold.json").unlink()
    refused.append(tiny_run.comp("run", "exp001", "--only", "1"))
    for said in refused:
        assert said.code in (1, 2) and said.err.strip() and "Traceback" not in said.err, said
        assert "fault of comp" not in said.err, said.err
    assert not mark.exists()


# ---- plugins -------------------------------------------------------------------------------------------------------------

FOREIGN = """\
from pathlib import Path
from comp.api import plugin

Path({mark!r}).mkdir()


@plugin("loss")
def foreign(task, /, *, strength: float = 1.0):
    "A loss of somebody else."
    raise ValueError
"""


def test_foreign_plugins_are_listed_shown_and_left_alone_without_being_imported(tiny: Any, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tiny.root / "plugins").mkdir()
    (tiny.root / "plugins/foreign.py").write_text(FOREIGN.format(mark=str(mark)))
    assert "foreign" in tiny.comp("plugins", "list").out
    assert "strength" in tiny.comp("plugins", "show", "foreign").out
    assert tiny.comp("show", "exp001").code == 0 and tiny.comp("check", "exp001").code == 0
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nloss: {use: foreign, strenght: 2}")
    said = tiny.comp("check", "exp001")
    assert said.code == 2 and "strength" in said.err
    assert not mark.exists()


def test_the_package_of_an_entry_point_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from comp.catalog import build_catalog

    mark = tmp_path / "ran"
    package = tmp_path / "foreign_kit/inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    (package / "losses.py").write_text(FOREIGN.format(mark=str(mark)))
    facts = tmp_path / "foreign_kit-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-kit\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[comp.plugins]\nloss.foreign = foreign_kit.inner.losses:foreign\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin, _ = build_catalog(None).find("loss", "foreign")
    assert plugin.file == package / "losses.py" and [item.name for item in plugin.parameters] == ["strength"]
    assert not mark.exists()
