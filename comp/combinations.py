"""Combinations: what the keys of a manifest demand of each other, checked after each of them by itself (checking)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from comp.catalog import Catalog
from comp.checking import Checker, Key
from comp.digest import OF_DEVICES
from comp.errors import Fault, WorkspaceError
from comp.keys import MODEL_KEYS
from comp.marked import Marked, unmark
from comp.project import Project


def check_required(checker: Checker, competition: str) -> None:
    for key in ("dataset", "metric"):
        if checker.tree.get(key) is None:
            checker.faults.append(Fault(competition, 0, key, "is missing; `comp init` writes it"))


def check_blend(checker: Checker, project: Project, name: str, stated: Marked) -> None:
    """A blend has no model, and its members exist."""
    refuse_model(checker, stated, f"a blend trains no model ({stated.value['blend'].origin}); remove one of the two")
    members = (checker.values.get("blend") or {}).get("members")
    members = members if isinstance(members, dict | list) else None  # what is neither was noted by its type
    for key, member in members.items() if isinstance(members, dict) else enumerate(members or ()):
        other, _, digest = str(member).partition("@")
        path = ("blend", "members", str(key))
        try:
            runs = project.experiment(other) / "runs"
        except WorkspaceError as error:
            checker.note(path, str(error))
            continue
        if other == name:
            checker.note(path, "a blend cannot be a member of itself")
        elif isinstance(members, list) and member in members[: int(key)]:
            checker.note(path, f"{member} stands twice")
        elif digest and not (runs / digest).is_dir():
            there = ", ".join(sorted(path.name for path in runs.iterdir() if path.is_dir())) if runs.is_dir() else ""
            checker.note(path, f"{other} has no run {digest}{f' (it has {there})' if there else ''}")
    if members is not None and not members:
        checker.note(("blend", "members"), "is empty; wanted the experiments to blend")


def check_imported(checker: Checker, stated: Marked) -> None:
    """Imported predictions have no model, and their files lie in the experiment's folder."""
    origin = stated.value["imported"].origin
    refuse_model(checker, stated, f"imported predictions have no model ({origin}); remove one of the two")
    for key, file in (checker.values.get("imported") or {}).items():
        if isinstance(file, str) and (PurePosixPath(file).name != file or "\\" in file):
            checker.note(("imported", key), f"is {file!r}; wanted the name of a file in the experiment's own folder")


def refuse_model(checker: Checker, stated: Marked, message: str) -> None:
    for key in MODEL_KEYS:
        # What such a run resolved to bears an empty `tta`.
        if (node := stated.get(key)) is not None and node.value not in (None, []):
            checker.faults.append(Fault(node.origin.file, node.origin.line, key, message))


def check_model(checker: Checker) -> None:
    """What the keys of a model that is trained demand of each other."""
    for check in (check_ensemble, check_seeds, check_order, check_devices):
        check(checker)


def check_seeds(checker: Checker) -> None:
    seeds = checker.values.get("seeds")
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds)):
        checker.note(("seeds",), f"is {seeds}; wanted several numbers, each once")


def check_order(checker: Checker) -> None:
    """What is done on the device comes after what is done in the loader: run-wide, and in each stage that says its own."""
    stages = unmark(checker.tree).get("stages")
    places: list[tuple[Key, Any]] = [(("augment",), checker.values.get("augment"))]
    for number, stage in enumerate(stages if isinstance(stages, list) else ()):
        places += [(("stages", str(number), "augment"), stage.get("augment"))] if isinstance(stage, dict) else []
    for path, specs in places:
        before = ""
        for number, spec in enumerate(specs if isinstance(specs, list) else ()):
            use = spec.get("use") if isinstance(spec, dict) else None
            if isinstance(use, str) and is_on_device(checker.catalog, use):
                before = use
            elif before:
                checker.note((*path, str(number)), f"{use!r} is done in the loader, before {before!r} on the device: move it")


def check_devices(checker: Checker) -> None:
    """Several devices share a fold from its first stage to its last, and its weights lie in memory in one way."""
    train = checker.values.get("train", {})
    if train.get("sync_batch_norm") and train.get("devices") == 1:
        checker.note(("train", "sync_batch_norm"), "is for several devices, and train.devices is 1; leave one of the two out")
    stages = unmark(checker.tree).get("stages")
    for number, stage in enumerate(stages if isinstance(stages, list) else ()):
        own = stage.get("train") if isinstance(stage, dict) else None
        for key in (*OF_DEVICES, "channels_last"):
            if isinstance(own, dict) and key in own:
                checker.note(("stages", str(number), "train", key), f"is one for the whole fold; it stands in train.{key}")


def check_ensemble(checker: Checker) -> None:
    """An ensemble that owns its training loop cannot honour all keys: that is a fault, not silence. One made of a fold's epochs
    takes the place of choosing one of them."""
    ensemble = checker.values.get("ensemble")
    if not ensemble or not ensemble["use"]:
        return
    train = checker.values.get("train", {})
    if is_gatherer(checker.catalog, ensemble["use"]):
        if train.get("select") == "best":
            key = "select" if train.get("patience") is None else "patience"  # which implies the other
            why = f"takes one epoch; the ensemble {ensemble['use']!r} makes a network of several: set train.select: last"
            checker.note(("train", key), why)
        return
    refused: list[tuple[Key, bool]] = [
        (("stages",), bool(unmark(checker.tree).get("stages"))),
        (("mix",), checker.values.get("mix") is not None),
        (("train", "ema"), train.get("ema") is True),
        (("init",), checker.values.get("init") is not None),
        (("objective",), (checker.values.get("objective") or {}).get("use") not in (None, "", "supervised")),
        (("train", "batch_norm"), train.get("batch_norm") == "keep"),
        (("train", "on_nan"), train.get("on_nan") != "stop"),
        (("train", "accumulate"), isinstance(train.get("accumulate"), int) and train["accumulate"] > 1),
        (("train", "devices"), isinstance(train.get("devices"), int) and train["devices"] > 1),
    ]
    for path, given in refused:
        if given:
            checker.note(path, f"the ensemble {ensemble['use']!r} has a training loop of its own and cannot honour this")


def is_on_device(catalog: Catalog, use: str) -> bool:
    """Whether the augment of this name changes batches on the device (comp.api.DeviceAugment)."""
    plugin = catalog.plugins.get(("augment", use))
    return plugin is not None and plugin.on == "device"


def is_gatherer(catalog: Catalog, use: str) -> bool:
    """Whether the ensemble of this name is made of the epochs of an ordinary fold (comp.api.Gatherer)."""
    plugin = catalog.plugins.get(("ensemble", use))
    return plugin is not None and "epochs" in plugin.supplied
