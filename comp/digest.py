"""Digest: which part of a resolved manifest changes weights, and the name that a run gets from it.

Contents (tables, folds, weight files, a blend's members) are hashed by whoever reads them and handed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from comp.catalog import Catalog
from comp.errors import WeightsError
from comp.keys import SLOTS, STAGE_KEYS
from comp.project import hash_file, hash_json

FORMAT = 1
LENGTH = 8
NEVER = ("format", "about", "extends", "also", "aggregate", "tta", "post", "submission", "leaderboard", "logger", "search")
"""Keys that change no weights. `metric` and `task` are looked at below."""

NOT_IN_TRAIN = ("workers", "threads", "checkpoint_minutes")
OF_DEVICES = ("devices", "strategy", "sync_batch_norm")
"""Left out where there is one device."""

AS_EVER = (("monitor", "metric"), ("on_nan", "stop"), ("channels_last", True))
"""What runs did before they could be told; left out, so that these keys have renamed none of them."""


def pick_relevant(values: Mapping[str, Any], stages: list[dict[str, Any]]) -> dict[str, Any]:
    """What of a manifest changes weights: plain data, without paths of this machine."""
    kept = {key: value for key, value in values.items() if key not in NEVER and key != "stages"}
    # Of the facts only the kind says what is learned; the others have shaped the defaults, which are here themselves.
    kept["task"] = {key: value for key, value in values["task"].items() if key in ("kind", "targets") and value is not None}
    if not values.get("blend") and not values.get("ensemble") and not metric_selects(stages):
        kept.pop("metric", None)
    if stages:
        idle = NOT_IN_TRAIN if selects(stages) else (*NOT_IN_TRAIN, "monitor")
        idle = idle if values["train"].get("devices", 1) > 1 else (*idle, *OF_DEVICES)
        for key in ("image", "augment", "mix", "sampler", "loss", "objective", "optimizer", "scheduler", "train"):
            kept.pop(key, None)
        kept["stages"] = [
            # A stage's name is for people.
            {key: value for key, value in stage.items() if key != "name"}
            | {"train": {key: value for key, value in stage["train"].items() if key not in idle and (key, value) not in AS_EVER}}
            for stage in stages
        ]  # fmt: skip
    # What is off weighs nothing, so that a key which a later comp adds, off by default, renames no run.
    return _drop_folders({key: value for key, value in kept.items() if value not in (None, [])})


def metric_selects(stages: list[dict[str, Any]]) -> bool:
    """Whether the metric has a say in the weights: it chooses an epoch, ends a fold, or lowers the learning rate."""
    return selects(stages) and any(stage["train"].get("monitor", "metric") == "metric" for stage in stages)


def selects(stages: list[dict[str, Any]]) -> bool:
    """Whether held-out rows have a say in the weights, by the metric or the loss."""
    return any(
        stage["train"].get("select") == "best"
        or stage["train"].get("patience") is not None
        or stage["start"] == "best"
        or "plateau" in str(stage["scheduler"]).lower()
        for stage in stages
    )


def list_specs(relevant: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(kind, spec) of every plugin that the relevant part uses."""
    return ((kind, spec) for _, kind, spec in place_specs(relevant))


def place_specs(relevant: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, Mapping[str, Any]]]:
    """(place, kind, spec) as list_specs; of several stages, steps or targets the place says which (`stages.1.augment.0`)."""
    stages = relevant.get("stages") or ()
    parts = [((), relevant), *((("stages", str(number)) if len(stages) > 1 else (), part) for number, part in enumerate(stages))]
    for where, part in parts:
        for key, value in part.items():
            if key not in SLOTS or value is None:
                continue
            named = enumerate(value) if isinstance(value, list) else value.items() if "use" not in value else ((None, value),)
            for name, spec in named:
                yield (*where, key, *([str(name)] if len(value) > 1 and name is not None else [])), SLOTS[key].kind, spec


def hash_weights(catalog: Catalog, values: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Dotted key -> SHA-256 of every file that an argument annotated Path names (`model.pretrained`, `preprocess.1.file`).

    Raises:
        WeightsError: it is not there, neither in the workspace nor from the current folder.
    """
    found = {}
    # The stages hold what they take from the top level, too.
    idle = (*NEVER, *(STAGE_KEYS if values.get("stages") else ()))
    specs = place_specs({key: value for key, value in values.items() if key not in idle})
    nested = ((kind, (*at, *place), inner) for at, kind, outer in specs for place, inner in catalog.walk_spec(kind, outer))
    for kind, place, spec in nested:
        plugin, _ = catalog.find(kind, spec["use"])
        for parameter in plugin.parameters:
            value, name = spec.get(parameter.name), ".".join((*place, parameter.name))
            if kind == "dataset" or "Path" not in parameter.annotation or not isinstance(value, str):
                continue
            files = [path for path in (root / Path(value).expanduser(), Path(value).expanduser()) if path.is_file()]
            if not files:
                raise WeightsError(f"{name}: there is no file {value} in {root} or {Path.cwd()}")
            found[name] = hash_file(files[0])
    return found


def compute_digest(catalog: Catalog, relevant: Mapping[str, Any], contents: Mapping[str, str]) -> str:
    """8 hex digits over the relevant values, the hashes of contents, and the sources of the plugins used."""
    sources = catalog.source_hashes(list_specs(relevant))
    return hash_json({"format": FORMAT, "values": relevant, "contents": dict(contents), "sources": sources})[:LENGTH]


def _drop_folders(value: Any) -> Any:
    """Absolute paths count by their last part: contents are hashed, and where they lie differs between machines."""
    if isinstance(value, dict):
        return {key: _drop_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_drop_folders(item) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~/", "\\\\")) or re.match(r"[A-Za-z]:[\\/]", value)):
        return PureWindowsPath(value).name if "\\" in value else PurePosixPath(value).name
    return value
