"""New: an experiment's folder, with a short manifest and the schema that editors complete it from.

What a manifest means is manifest's business; this module writes one, has it checked, and takes everything back if it is at fault.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from comp.defaults import Facts, choose_model, choose_size, read_facts
from comp.errors import ManifestError, WorkspaceError
from comp.formats import read_record
from comp.inline import to_yaml
from comp.keys import COMPETITION_KEYS
from comp.layers import read_set
from comp.manifest import load_competition_file, load_manifest, load_resolved
from comp.marked import DEFAULT, mark, read_yaml, unmark
from comp.project import MANIFEST_FILE, Project, atomic_write, check_name, hash_json
from comp.runs import FORMAT, list_runs
from comp.search import state_values
from comp.signature import json_schema
from comp.trials import Search, TrialRecord, find_trial

SCHEMA_FILE = "manifest.schema.json"
MOST_LINES = 15


def create_experiment(project: Project, name: str | None = None, source: str | None = None, sets: Sequence[str] = ()) -> Path:
    """Make an experiment and return its folder; on an error nothing stays behind.

    Args:
        name: None takes the next free `expNNN`.
        source: what it extends: an experiment, pinned to its newest complete run where it has one; a run of one
            (`exp041@3f9a1c20`); a trial of its searches (`exp041/best`, `exp041/t0017`); or an example that comp ships, which
            is copied where `name` is its own: so that others which extend it, start from it or blend it find this one.
        sets: `key=value` texts, written into the manifest.

    Raises:
        WorkspaceError: a bad name, one that exists, or a source that does not.
        ManifestError: all faults of competition.yaml, the source or `sets`.
    """
    folder = claim_folder(project, name)
    with remove_on_failure(folder):
        is_given = any(text.startswith(("blend=", "blend.", "imported=")) for text in sets)
        own = start_manifest(project, folder, source, is_given=is_given)
        write_manifest(project, folder, own)
        catalog = load_manifest(project, folder.name, sets).catalog
        if sets:
            write_manifest(project, folder, lay_sets(project, folder.name, own, sets))
            load_manifest(project, folder.name)
        atomic_write(folder / SCHEMA_FILE, json.dumps(json_schema(catalog), ensure_ascii=False, indent=1) + "\n")
    return folder


@contextmanager
def remove_on_failure(folder: Path) -> Iterator[None]:
    """A new experiment's folder goes again where what fills it fails or is interrupted; a faulty manifest says so."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder)
        if isinstance(error, ManifestError):
            raise ManifestError(error.faults, "nothing was made") from error
        raise


def claim_folder(project: Project, name: str | None) -> Path:
    """A new, empty folder. Two processes that ask at once get two.

    Raises:
        WorkspaceError: the name is bad or taken, or the folder cannot be written.
    """
    try:
        project.experiments.mkdir(exist_ok=True)
        while True:
            folder = project.experiments / (project.next_free_name() if name is None else check_name(name))
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                if name is not None:
                    free = project.next_free_name()
                    raise WorkspaceError(
                        f"experiment {name!r} exists already ({folder}); another name is wanted, {free} is free"
                    ) from None
    except OSError as error:
        raise WorkspaceError(f"{project.experiments} cannot be written: {error.strerror}") from error


def start_manifest(project: Project, folder: Path, source: str | None, is_given: bool) -> dict[str, Any]:
    """The manifest's own keys before `--set`: what it extends, or else model and size, so that it means the same elsewhere."""
    if source is not None and "/" in source:
        return restate_trial(project, folder, source)
    if source == folder.name:
        return copy_example(project, source)
    if source is not None:
        return {"about": "", "extends": pin_source(project, folder, source)}
    if is_given:
        return {"about": ""}
    facts = read_stated(project)
    return {"about": "", "model": choose_model(facts), "image": {"size": choose_size(facts)}}


def copy_example(project: Project, name: str) -> dict[str, Any]:
    """The keys of an example that comp ships.

    Raises:
        WorkspaceError: there is none.
    """
    example = project.parent(name) / MANIFEST_FILE
    values, faults = read_yaml(example, str(example))
    if faults:
        raise ManifestError(faults)
    return unmark(values)


def pin_source(project: Project, folder: Path, source: str) -> str:
    """What `extends` says; where that is a run, what it resolved to is copied into the child's folder.

    Raises:
        WorkspaceError: there is no such experiment, example or run.
    """
    parent, _, digest = source.partition("@")
    place = project.parent(parent)
    runs = list_runs(project, parent) if place.parent == project.experiments else []
    found = [run for run in runs if (run.digest.startswith(digest) if digest else run.complete)]
    if digest and len(found) != 1:
        there = ", ".join(run.digest for run in runs) or "none"
        raise WorkspaceError(f"{source}: {len(found)} runs of {parent} begin with {digest!r}; there are: {there}")
    if not found:
        return parent
    resolved, faults = read_yaml(found[0].folder / "manifest.resolved.yaml", f"{parent}@{found[0].digest}")
    if faults:
        raise ManifestError(faults)
    kept = {key: value for key, value in unmark(resolved).items() if key not in COMPETITION_KEYS}
    return write_pin(folder, f"{parent}@{found[0].digest}", kept)


def write_pin(folder: Path, pinned: str, values: Mapping[str, Any]) -> str:
    """What a run resolved to, beside the manifest that extends it."""
    atomic_write(folder / "extends" / f"{pinned}.yaml", dump_yaml(values))
    return pinned


def dump_yaml(values: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    yaml.dump(dict(values), text)
    return text.getvalue()


# ---- trials --------------------------------------------------------------------------------------------------------------


def restate_trial(project: Project, folder: Path, reference: str) -> dict[str, Any]:
    """The keys of a manifest that makes a trial's run again: what the search drew, over a pin of all that the trial resolved to.

    Raises:
        WorkspaceError: there is no such trial, it never began to train, or it cannot be made again.
    """
    search, record = find_trial(project, reference)
    run = project.experiments / search.experiment / "trials" / (record.digest or "none")
    file = run / "manifest.resolved.yaml"
    if not file.is_file():
        why = f": {record.why}" if record.why else ""
        raise WorkspaceError(
            f"{reference}: {record.trial} has left no run ({record.state}{why}); there is nothing to make again."
        )
    trial = load_resolved(project, search.experiment, file)
    fixed = {key: trial.values.get(key) for key in COMPETITION_KEYS}
    pinned = write_pin(folder, f"{search.experiment}@{record.digest}", {k: v for k, v in trial.values.items() if k not in fixed})
    own = {"about": describe_trial(search, record), "extends": pinned}
    write_manifest(project, folder, own)
    today = load_manifest(project, folder.name).values
    # What is pinned has the competition's own keys from competition.yaml; an experiment that said otherwise goes on saying so.
    own |= {key: value for key, value in fixed.items() if value is not None and hash_json(today.get(key)) != hash_json(value)}
    write_manifest(project, folder, own)
    # A null, which restores what is underneath, is in the pin.
    drawn = {key: value for key, value in record.values.items() if value is not None}
    own = lay_sets(project, folder.name, own, state_values(drawn))
    write_manifest(project, folder, own)
    contents = read_record(run / "environment.json", FORMAT)["contents"]
    if load_manifest(project, folder.name).digest(contents) != record.digest:
        raise WorkspaceError(
            f"{reference}: {record.trial} cannot be made again, because competition.yaml or code of a plugin has changed since; "
            f"`comp tune {search.experiment}` searches anew."
        )
    return own


def describe_trial(search: Search, record: TrialRecord) -> str:
    """Where a manifest is from, for its `about`."""
    folds = f"fold{'s' * (len(search.folds) > 1)} {', '.join(search.folds)}"
    score = "no score" if record.score is None else f"{search.metric} {record.score:.6g} on {folds}, which chose it"
    confirmed = "" if record.confirmed is None else f"; {record.confirmed:.6g} on the other folds"
    return f"Trial {record.trial} ({record.state}) of search {search.digest} of {search.experiment}: {score}{confirmed}"


# ---- --set ---------------------------------------------------------------------------------------------------------------


def lay_sets(project: Project, name: str, own: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """The manifest's own keys with `--set`, already checked, laid over them in order."""
    found = dict(own)
    for position, text in enumerate(sets):
        before = sets[:position]
        values, _ = read_set(text, lambda before=before: mark(load_manifest(project, name, before).values, DEFAULT))
        found = overlay(found, unmark(values))
    return found


def overlay(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As layers merge, except that null stays, to say to a parent's value what it says."""
    found = dict(below)
    for key, item in over.items():
        under = found.get(key)
        if key == "search" and isinstance(under, dict) and isinstance(item, dict):
            found[key] = {**under, **item}
            continue
        same = isinstance(under, dict) and isinstance(item, dict) and item.get("use", under.get("use")) == under.get("use")
        found[key] = overlay(under, item) if same else item
    return found


# ---- the file ------------------------------------------------------------------------------------------------------------


def read_stated(project: Project) -> Facts:
    stated = load_competition_file(project)
    return read_facts(stated.get("task") or {}, stated.get("dataset") or {})


def write_manifest(project: Project, folder: Path, own: Mapping[str, Any]) -> None:
    facts = read_stated(project)
    atomic_write(folder / MANIFEST_FILE, compose_manifest(folder.name, own, facts))


def compose_manifest(name: str, own: Mapping[str, Any], facts: Facts) -> str:
    """The manifest's text: a key a line, then hints as far as there is room."""
    lines = [
        f"# yaml-language-server: $schema=./{SCHEMA_FILE}",
        f"# `comp show {name}` prints every key, its value and where it comes from; `comp run {name}` trains.",
    ]
    for key, value in own.items():
        asked = "  # what the idea is, what it should reach, what it costs" if key == "about" and not value else ""
        lines.append(f"{key}: {to_yaml(value)}{asked}")
    if "blend" not in own and "imported" not in own:
        flip = "" if facts.flip else ", flip: false"
        hints = {
            "augment": f"[{{use: medium{flip}}}]  # light, medium, heavy, or a list of A.*: any albumentations transform",
            "mix": "{use: cutmix, alpha: 1.0}",
            "optimizer": "{lr: 5.0e-4}",
            "train": "{epochs: 20, batch_size: 32}",
            "seed": "43",
        }
        room = MOST_LINES - len(lines)
        lines += [f"# {key}: {hint}" for key, hint in hints.items() if key not in own][: max(0, room)]
    return "\n".join(lines) + "\n"
