"""Defaults: what every key of a manifest is where nobody states it, fitted to the competition's facts.

The rules and the measurements behind them are the kit's own (README, "Defaults"); merging stated values over these is manifest's.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from comp.keys import SECTIONS

STEPS = 2000
MANY_ROWS = 5000
PLAIN_NETWORK_PX = 64
LARGEST_PX = 384
SMALLEST_PX = 16
# Architectures that fine-tune best at a third of the learning rate of plain convolutional networks.
GENTLE = re.compile(
    r"(vit|swin|deit|convnext|beit|eva|maxvit|maxxvit|cait|xcit|pvt|twins|coat|coatnet|mvit|volo|hiera|davit|caformer|convformer"
    r"|poolformer|efficientformer|tiny_vit|edgenext|crossvit|gcvit|nextvit|fastvit|levit|tnt|pit|nest|visformer|flexivit|samvit)"
)
PRESETS = ("light", "medium", "heavy")


@dataclass(frozen=True)
class Facts:
    """What competition.yaml's `task:` says about the data. None: unknown.

    Attributes:
        targets: name -> kind, where there are several.
        image_px: median short side.
        flip: a mirrored image keeps its class.
    """

    kind: str = "multiclass"
    targets: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    image_px: int | None = None
    flip: bool = True


def read_facts(task: Mapping[str, Any], dataset: Mapping[str, Any] = MappingProxyType({})) -> Facts:
    """From a `task:` mapping; what is missing or of a wrong type (checked elsewhere) counts as unknown.

    Args:
        dataset: names the targets. What the task still says of columns that are targets no more is left out.
    """

    def number(key: str) -> int | None:
        value = task.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    targets = task.get("targets")
    kind = task.get("kind")
    one_hot, auxiliary = dataset.get("one_hot"), dataset.get("auxiliary")
    # The one target that 0/1 columns become is called by its own name, not by theirs.
    scored = one_hot if isinstance(one_hot, str) else dataset.get("target")
    if isinstance(targets, dict) and isinstance(scored, str | list):
        named = [*([scored] if isinstance(scored, str) else scored), *(auxiliary if isinstance(auxiliary, list) else ())]
        targets = {name: of for name, of in targets.items() if name in named}
        kind = "multiclass" if kind == "multitarget" and len(named) == 1 else kind
    return Facts(
        kind=kind if isinstance(kind, str) else "multiclass",
        targets=targets if isinstance(targets, dict) else {},
        rows=number("rows"),
        image_px=number("image_px"),
        flip=task.get("flip") is not False,
    )


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, without torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def choose_model(facts: Facts, gpu: bool | None = None) -> dict[str, Any]:
    """The default model. It depends on the machine, so `comp new` writes what it chose into the manifest.

    Args:
        gpu: whether to choose for a GPU; None: as this machine has.
    """
    if facts.image_px is not None and facts.image_px <= PLAIN_NETWORK_PX:
        return {"use": "cnn"}
    arch = "convnext_tiny" if (has_gpu() if gpu is None else gpu) else "mobilenetv3_small_100"
    return {"use": "timm", "arch": arch, "pretrained": True}


def choose_size(facts: Facts) -> int:
    """Side in pixels that a model is trained at."""
    return max(SMALLEST_PX, min(LARGEST_PX, facts.image_px or 224))


def choose_loss(facts: Facts, metric: str | None) -> dict[str, Any]:
    """`metric`: competition.yaml's, because an experiment's own does not change the loss."""

    def of_kind(kind: str) -> dict[str, Any]:
        if kind in ("multilabel", "regression"):
            return {"use": "bce" if kind == "multilabel" else "mse"}
        return {"use": "cross_entropy", "smoothing": 0.1 if metric == "accuracy" else 0.0}

    losses = {name: of_kind(kind) for name, kind in facts.targets.items()}
    if losses and any(loss != next(iter(losses.values())) for loss in losses.values()):
        return losses
    return of_kind(next(iter(facts.targets.values()), facts.kind))


def imply_uses(facts: Facts) -> dict[str, str]:
    """Key -> the plugin that is meant where a mapping has no `use`."""
    several = len(facts.targets) > 1 or facts.kind == "multitarget"
    multilabel = facts.kind == "multilabel"
    return {
        "split": "multilabel" if multilabel else "stratified",
        "submission": "multilabel" if multilabel else "labels",
        "sampler": "none",
        "model": choose_model(facts)["use"],
        "head": "multitarget" if several else "multilabel" if multilabel else "linear",
        "loss": choose_loss(facts, None).get("use", ""),
        "objective": "supervised",
        "optimizer": "timm",
        "scheduler": "cosine",
    }


def work_out_defaults(
    facts: Facts, stated: Mapping[str, Any], metric: str | None, default_of: Callable[[str, str, str], Any]
) -> dict[str, Any]:
    """Every key's default, given what is stated (an optimizer's learning rate depends on the model, and so on).

    Args:
        stated: plain, unchecked; what is of a wrong type counts as not stated.
        metric: name of competition.yaml's metric.
        default_of: (kind, plugin, parameter) -> the plugin's own default, None where it has none.
    """
    uses = imply_uses(facts)
    found: dict[str, Any] = {
        "about": "", "seed": 42, "task": {}, "split": {"use": uses["split"], "folds": 5, "seed": 42}, "also": [],
        "submission": {"use": uses["submission"]}, "leaderboard": None, "logger": [{"use": "csv"}], "blend": None,
        "extra": [], "aggregate": "mean", "post": [],
    }  # fmt: skip
    if stated.get("blend") is not None or stated.get("imported") is not None:
        return {**found, "tta": []}
    model = _overlay(choose_model(facts), stated.get("model"))
    augment = stated.get("augment")
    if not isinstance(augment, list):
        # Where no mirror image helps, what stands at the edge often matters: crop 0.8 took the digits from 0.994 to 0.997 (OOF).
        augment = [{"use": "light"}] if facts.flip else [{"use": "light", "flip": False, "crop": 0.8}]
    while isinstance(inner := model.get("backbone"), dict):
        model = inner  # in multi_image, fusion, autoencoder: whose weights are pretrained, or not
    scratch = not model.get("pretrained", default_of("model", str(model.get("use")), "pretrained"))
    folds = _number(_overlay(found["split"], stated.get("split")).get("folds"), 5)
    return found | {
        "preprocess": [],
        "image": {**_section("image"), "size": choose_size(facts)},
        "on_bad_image": "error",
        "init": None,
        "seeds": None,
        "augment": augment,
        "mix": None,
        "sampler": {"use": "none"},
        "model": choose_model(facts),
        "head": {"use": uses["head"]},
        "loss": choose_loss(facts, metric),
        "objective": {"use": "supervised"},
        "optimizer": _choose_optimizer(model, scratch),
        "scheduler": {"use": "cosine", "warmup": 0.05},
        "ensemble": None,
        # An ensemble with a loop of its own puts batch norm into train mode.
        "train": _choose_training(facts, _overlay({}, stated.get("train")), folds, scratch)
        | ({"batch_norm": "learn"} if stated.get("ensemble") else {}),
        "stages": None,
        "tta": [{"use": "hflip"}] if facts.flip and trains_with_flip(augment) else [],
    }


def _choose_optimizer(model: Mapping[str, Any], scratch: bool) -> dict[str, Any]:
    found = {"use": "timm", "opt": "adamw", "lr": 3e-4, "head_lr": 3e-3, "weight_decay": 0.05}
    if scratch:
        return {**found, "lr": 1e-3, "head_lr": None}
    return {**found, "lr": 1e-4, "head_lr": 1e-3} if GENTLE.match(str(model.get("arch", ""))) else found


def _choose_training(facts: Facts, stated: Mapping[str, Any], folds: int, scratch: bool) -> dict[str, Any]:
    batch = 64 if facts.rows and facts.rows >= MANY_ROWS else 32
    steps = (facts.rows or 6400) * (folds - 1) / folds / max(1, _number(stated.get("batch_size"), batch))
    return {
        **_section("train"),
        "batch_size": batch,
        "batch_norm": "learn" if scratch or not facts.rows or facts.rows >= MANY_ROWS else "keep",
        "epochs": 30 if scratch else min(20, max(5, round(STEPS / max(1, steps)))),
        "select": "last" if stated.get("patience") is None else "best",
    }


def _section(key: str) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in SECTIONS[key]}


def _overlay(below: Mapping[str, Any], over: Any) -> dict[str, Any]:
    """As merging would, one level deep."""
    if not isinstance(over, dict):
        return dict(below)
    return {**({} if over.get("use", below.get("use")) != below.get("use") else below), **over}


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value > 1 else otherwise


def trains_with_flip(augment: Sequence[Any]) -> bool:
    """Whether training mirrors images left to right: a preset that has not turned it off, or HorizontalFlip."""
    return any(
        (item.get("use") in PRESETS and item.get("flip") is not False)
        or (item.get("use") == "on_device" and item.get("flip") != 0)
        or str(item.get("use")).endswith("HorizontalFlip")
        for item in augment
        if isinstance(item, dict)
    )
