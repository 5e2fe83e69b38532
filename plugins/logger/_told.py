"""What trackers are told of a run: the same names, steps and ends in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

ASKED_FOR = "interrupted", "out of time"
"""Ends that are no failure."""


def list_values(event: Mapping[str, Any]) -> dict[str, float]:
    """What an epoch is worth: losses, learning rate, pace, and each held-out score; what there is none of is left out."""
    values = {
        "loss/train": event["train_loss"],
        "loss/held_out": event["held_out_loss"],
        "lr": event["lr"],
        "samples_per_s": event["samples_per_s"],
        **{f"score/{metric}": score for metric, score in event["scores"].items()},
        **({f"loss/train/{target}": value for target, value in event["parts"].items()} if len(event["parts"]) > 1 else {}),
    }
    return {name: value for name, value in values.items() if value is not None}


def count_epochs(event: Mapping[str, Any], place: str, folds: Sequence[str]) -> int:
    """The step of an epoch: over a fold; over all folds of a trial (`place` is trials), which are one run of theirs."""
    fold = str(event["fold"])
    before = folds.index(fold) if place == "trials" and fold in folds else 0
    return before * event["epochs"] + event["epoch"]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The run's resolved manifest; empty where there is none."""
    file = folder / "manifest.resolved.yaml"
    try:
        return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8")) or {}
    except (OSError, YAMLError):
        return {}
