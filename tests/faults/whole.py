"""What of a run must be the same bits whatever happened on the way, and what must hold after any kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from comp.engine.checkpoint import load_weights
from comp.events import read_events
from comp.ledger import read_ledger
from comp.predictions import read_predictions, read_raw
from comp.runs import hash_files
from tests.conftest import Tiny

RANDOM = """\
model: {use: cnn, widths: [8, 8], hidden: 16, dropout: 0.5}
image: {size: 16}
augment: [{use: light, flip: false}]
mix: {use: mixup}
train: {epochs: 3, batch_size: 8, workers: 0, threads: 1, ema: true, select: best, checkpoint_minutes: 0.0001}
tta: [{use: hflip}]
"""
"""Whatever is drawn at random while a fold trains, and whatever a fold can leave; saved after (nearly) every step."""

OF_A_PROCESS = {"samples.json", "reconstructions.json"}
"""Pictures for the report: of what the fold's last process saw."""


def run_folder(tiny: Tiny, name: str = "exp001") -> Path:
    (folder,) = (file.parent for file in (tiny.root / f"experiments/{name}/runs").glob("*/environment.json"))
    return folder


def list_results(tiny: Tiny) -> dict[str, Any]:
    """Weights and predictions by their bytes, scores, records and submissions without the times in them."""
    folder = run_folder(tiny)
    found: dict[str, Any] = {"digest": folder.name}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in (".safetensors", ".parquet"):
            found[name] = path.read_bytes()
        elif path.name in ("scores.json", "fold.json"):
            found[name] = drop_times(json.loads(path.read_text()))
        elif path.name in ("manifest.resolved.yaml", "folds.csv"):
            found[name] = path.read_text()
    for path in sorted((tiny.root / "submissions").glob("*/v*.csv")):
        found[path.name] = path.read_bytes()
    entries = [(entry.experiment, entry.version, entry.cv, entry.sha256, entry.message) for entry in read_ledger(tiny.project)]
    return found | {"ledger": entries}


def drop_times(record: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key != "elapsed_s"}
    if "files" in kept:
        kept["files"] = {name: digest for name, digest in kept["files"].items() if Path(name).name not in OF_A_PROCESS}
    return kept


def assert_same(tiny: Tiny, wanted: dict[str, Any]) -> None:
    found = list_results(tiny)
    assert found.keys() == wanted.keys()
    differing = [name for name in wanted if found[name] != wanted[name]]
    assert not differing, differing


def assert_readable(tiny: Tiny) -> None:
    """Whatever stands under its own name is whole."""
    for path in tiny.root.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or path.is_relative_to(tiny.data):
            continue
        if path.suffix == ".safetensors":
            assert load_weights(path)
        elif path.name.startswith("last.ckpt"):
            assert torch.load(path, weights_only=True)["format"]
        elif path.suffix == ".parquet":
            read_raw(path) if path.parent.name.startswith("fold") else read_predictions(path)
        elif path.suffix == ".json":
            record = json.loads(path.read_text())
            if path.name == "fold.json":
                assert hash_files(path.parent) == record["files"]
        elif path.name == "events.jsonl":
            list(read_events(path))
    read_ledger(tiny.project)


def list_litter(tiny: Tiny) -> list[str]:
    """What a killed process may leave, and the next one is to remove."""
    return [path.relative_to(tiny.root).as_posix() for path in tiny.root.rglob("*") if path.suffix in (".tmp", ".unfinished")]
