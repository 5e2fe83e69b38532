"""Init: a workspace, from a folder of data, a known competition's form or the embedded digits: competition.yaml with its reasons.

What the files say is concluded in conclude; here it is put together, tried out, and written. What could not be concluded
stands there as "?" with its question; once that is settled, init in the same folder completes the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comp.api import Tables, Task
from comp.catalog import build_catalog
from comp.competition import work_out_task
from comp.conclude import CONCLUDED, conclude_dataset
from comp.errors import DataError, WorkspaceError
from comp.forms import propose_form
from comp.images import probe_images
from comp.inline import to_yaml
from comp.known import KnownForm, open_form
from comp.new import create_experiment
from comp.notes import Conclusion, Notes, as_mapping
from comp.project import Project, atomic_write
from comp.propose import propose_columns, propose_flip, propose_split
from comp.settled import complete_text, read_settled, write_text
from comp.tables import check_tables, raise_faults

SAMPLE = 200
DIGITS = (Conclusion("dataset.use", "digits", "no --data: scikit-learn's handwritten digits, embedded"),)


@dataclass(frozen=True)
class InitReport:
    """What `comp init` made.

    Attributes:
        file: the competition.yaml.
        conclusions: every key, with its reason.
        experiment: the first one's folder, of a known competition.
        fault: why the tables could not be opened, so that facts and form are missing; "" where they could.
    """

    file: Path
    conclusions: tuple[Conclusion, ...]
    experiment: Path | None = None
    fault: str = field(default="")

    @property
    def questions(self) -> tuple[Conclusion, ...]:
        return tuple(note for note in self.conclusions if note.question)


def init_workspace(folder: Path, data: Path | None = None, slug: str | None = None) -> InitReport:
    """Make `folder` a workspace for the competition whose files lie in `data` (None: the embedded digits).

    A workspace whose competition.yaml is not complete, since it had questions, is completed; what stands there is kept.

    Args:
        slug: of a known competition, or the beginning of one: nothing is guessed, and its first experiment is made.

    Raises:
        WorkspaceError: there is a complete competition.yaml already, the folder cannot be written, or no such competition.
        DataError: the files do not show what is to be predicted; nothing is written. Of a known competition: they do not fit.
    """
    folder = folder.expanduser().resolve()
    project = Project(folder)
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; wanted a folder for the workspace")
    data = None if data is None else data.expanduser().resolve()
    if project.competition_file.exists():
        return complete_workspace(project, data, slug)
    if slug is not None:
        return start_known(project, data, open_form(slug))
    notes = Notes(list(DIGITS))
    if data is not None:
        notes = Notes()
        conclude_dataset(data, show_folder(data, folder), notes)
    fault = conclude_rest(project, notes)
    if data is None:
        notes.add("leaderboard.use", "digits", "the answers are on this machine")
        # What is guessed of them is known to be right, and nothing is left to choose.
        notes.found = [replace(note, question="") for note in notes.found if not note.choice]
    source = "the embedded digits" if data is None else data.name
    head = [f"The competition, worked out by `comp init` from {source}. Every experiment builds on it."]
    atomic_write(project.competition_file, write_text(notes.found, head))
    return InitReport(project.competition_file, tuple(notes.found), fault=fault)


def show_folder(data: Path, folder: Path) -> str:
    """From the workspace where the data lie in it, so that both can be moved; else absolute."""
    return data.relative_to(folder).as_posix() if data.is_relative_to(folder) else str(data)


def complete_workspace(project: Project, data: Path | None, slug: str | None) -> InitReport:
    """Conclude what competition.yaml lacks from what it says by now.

    Raises:
        WorkspaceError: it lacks nothing.
        ManifestError: what it says is wrong.
    """
    file = project.competition_file
    notes = None if slug is not None else read_settled(project)
    if notes is None:
        raise WorkspaceError(f"{file} exists already; edit it, or choose another folder for a new workspace")
    settled = notes.settled
    if settled.get("dataset.use", "csv") in CONCLUDED:
        place = data or (project.root / Path(settled.get("dataset.data", ".")).expanduser()).resolve()
        conclude_dataset(place, show_folder(place, project.root), notes)
    known = {note.key for note in notes.found}
    notes.found += [Conclusion(key, value, "as it stands there") for key, value in settled.items() if key not in known]
    fault = conclude_rest(project, notes)
    atomic_write(file, complete_text(file.read_text(encoding="utf-8-sig"), notes.found, settled))
    return InitReport(file, tuple(notes.found), fault=fault)


def start_known(project: Project, data: Path | None, form: KnownForm) -> InitReport:
    """competition.yaml and the first experiment of a known competition.

    Raises:
        WorkspaceError: no data are given.
        DataError: the files are not as this competition hands them out; nothing is written.
    """
    if data is None:
        raise WorkspaceError(f"--competition {form.slug} wants --data DIR, the folder of the competition's files")
    shown = show_folder(data, project.root)
    notes = Notes(list(form.conclude(shown)))
    tables = open_tables(project, notes)
    stated = as_mapping(notes.found).get("task") or {}
    count_facts(work_out_task(tables, stated.get("kind"), stated.get("targets")), tables, notes)
    notes.found = [replace(note, question="") for note in notes.found]
    about = f"{form.slug}, written by `comp init --competition {form.slug}`. Every experiment builds on it."
    atomic_write(project.competition_file, write_text(notes.found, [about, *form.head]))
    sets = [f"{key}={to_yaml(value)}" for key, value in form.manifest.items()]
    try:
        experiment = create_experiment(project, None, None, sets)
    except BaseException:
        project.competition_file.unlink()
        raise
    return InitReport(project.competition_file, tuple(notes.found), experiment)


# ---- facts and proposals -------------------------------------------------------------------------------------------------


def conclude_rest(project: Project, notes: Notes) -> str:
    """What follows from the tables: facts, split, form. Nothing while they cannot be opened; then why not, else ""."""
    if notes.unknown:
        return ""
    try:
        tables = open_tables(project, notes)
        stated = as_mapping(notes.found).get("task") or {}
        task = work_out_task(tables, stated.get("kind"), notes.settled.get("task.targets"))
    except DataError as error:
        first = notes.found[0]
        text = " ".join(str(error).split())
        notes.found[0] = replace(first, question=f"the tables do not open as concluded: {text}")
        return str(error)
    if notes.get("task.kind") is None:
        notes.add("task.kind", task.kind, f"{sum(len(target.classes) for target in task.targets)} classes")
    if len(task.targets) > 1:
        notes.add("task.targets", {target.name: target.kind for target in task.targets}, "each by its own values")
    count_facts(task, tables, notes)
    flip, why, question = propose_flip(task, [column for target in task.targets for column in target.columns])
    notes.add("task.flip", flip, why, question)
    propose_columns(task, tables.train, tables.test, notes)
    propose_split(task, tables.train, tables.test, notes)
    propose_form(task, tables.sample, notes)
    return ""


def open_tables(project: Project, notes: Notes) -> Tables:
    """Raises: DataError: they cannot be opened, or do not hold together."""
    spec: Mapping[str, Any] = as_mapping([note for note in notes.found if note.value is not None])["dataset"]
    tables = build_catalog(project).build("dataset", spec, root=project.root, facts=None)
    raise_faults(check_tables(tables))
    return tables


def count_facts(task: Task, tables: Tables, notes: Notes) -> None:
    """The facts that the defaults are fitted to."""
    probe = probe_images([*tables.train["image"]], tables.root, tables.read, SAMPLE)
    bad = f"; {len(probe.bad)} cannot be read, such as {next(iter(probe.bad))}" if probe.bad else ""
    looked = f"{probe.looked} images looked at{bad}"
    tests = 0 if tables.test is None else len(tables.test)
    notes.add("task.classes", max(len(target.classes) for target in task.targets) or None, "counted")
    notes.add("task.rows", len(tables.train), "counted")
    notes.add("task.test_rows", tests, "counted" if tables.test is not None else "no test set yet")
    notes.add("task.image_px", probe.short_px or None, f"median short side of {looked}")
    asked = "are the broken images to be left out (`on_bad_image: skip` in a manifest)?" if probe.bad else ""
    notes.add("task.channels", probe.channels, looked, asked)
