"""Init: a workspace, from a folder of data or from the embedded digits: competition.yaml with its reasons and questions.

What the files say is concluded in conclude and look; here it is put together, tried out, and written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from comp.api import Tables, Task
from comp.catalog import build_catalog
from comp.competition import work_out_task
from comp.conclude import conclude_dataset
from comp.errors import WorkspaceError
from comp.images import probe_images
from comp.inline import to_yaml
from comp.notes import Conclusion, Notes, as_mapping
from comp.project import Project, atomic_write
from comp.propose import propose_flip, propose_form, propose_split
from comp.tables import check_tables, raise_faults

FORMAT = 1
ORDER = ("dataset", "task", "split", "metric", "submission", "leaderboard")
SAMPLE = 200
DIGITS = (Conclusion("dataset.use", "digits", "no --data: scikit-learn's handwritten digits, embedded"),)


@dataclass(frozen=True)
class InitReport:
    """What `comp init` made.

    Attributes:
        file: the competition.yaml.
        conclusions: every key, with its reason.
    """

    file: Path
    conclusions: tuple[Conclusion, ...]

    @property
    def questions(self) -> tuple[Conclusion, ...]:
        return tuple(note for note in self.conclusions if note.question)


def init_workspace(folder: Path, data: Path | None = None) -> InitReport:
    """Make `folder` a workspace for the competition whose files lie in `data` (None: the embedded digits).

    Raises:
        WorkspaceError: there is a competition.yaml already, or the folder cannot be written.
        DataError: the files do not show what is to be predicted, or the tables have faults; nothing is written.
    """
    folder = folder.expanduser().resolve()
    project = Project(folder)
    if project.competition_file.exists():
        raise WorkspaceError(f"{project.competition_file} exists already; edit it, or choose another folder for a new workspace")
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file; wanted a folder for the workspace")
    notes, kind = Notes(list(DIGITS)), None
    if data is not None:
        data = data.expanduser().resolve()
        notes.found, kind = conclude_dataset(data, show_folder(data, folder))
    tables = build_catalog(None).build("dataset", as_mapping(notes.found)["dataset"], root=folder, facts=None)
    raise_faults(check_tables(tables))
    task = work_out_task(tables, kind)
    conclude_task(task, tables, notes)
    propose_split(task, tables.train, [tables.test], notes)
    propose_form(task, tables.sample, notes)
    if data is None:
        notes.add("leaderboard.use", "digits", "the answers are on this machine")
        notes.found = [replace(note, question="") for note in notes.found]  # these guesses are known to be right
    atomic_write(project.competition_file, write_yaml(notes.found, data))
    return InitReport(project.competition_file, tuple(notes.found))


def show_folder(data: Path, folder: Path) -> str:
    """From the workspace where the data lie in it, so that both can be moved; else absolute."""
    return data.relative_to(folder).as_posix() if data.is_relative_to(folder) else str(data)


def conclude_task(task: Task, tables: Tables, notes: Notes) -> None:
    """The facts that the defaults are fitted to."""
    if not any(note.key == "task.kind" for note in notes.found):
        notes.add("task.kind", task.kind, f"{sum(len(target.classes) for target in task.targets)} classes")
    if len(task.targets) > 1:
        notes.add("task.targets", {target.name: target.kind for target in task.targets}, "each by its own values")
    probe = probe_images([*tables.train["image"]], tables.root, tables.read, SAMPLE)
    bad = f"; {len(probe.bad)} cannot be read, such as {next(iter(probe.bad))}" if probe.bad else ""
    looked = f"{probe.looked} images looked at{bad}"
    notes.add("task.classes", max(len(target.classes) for target in task.targets) or None, "counted")
    notes.add("task.rows", len(tables.train), "counted")
    notes.add(
        "task.test_rows",
        0 if tables.test is None else len(tables.test),
        "counted" if tables.test is not None else "no test set yet",
    )
    notes.add("task.image_px", probe.short_px or None, f"median short side of {looked}")
    notes.add(
        "task.channels",
        probe.channels,
        looked,
        "are the broken images to be left out (`on_bad_image: skip` in a manifest)?" if probe.bad else "",
    )
    flip, why, question = propose_flip(task, [column for target in task.targets for column in target.columns])
    notes.add("task.flip", flip, why, question)


# ---- the file ------------------------------------------------------------------------------------------------------------


def write_yaml(notes: Sequence[Conclusion], data: Path | None) -> str:
    """competition.yaml: its keys in order, a question above the key that it is about."""
    source = "the embedded digits" if data is None else data.name
    lines = [f"# The competition, worked out by `comp init` from {source}. Every experiment builds on it."]
    if any(note.question for note in notes):
        lines.append("# Lines marked QUESTION are guesses: settle them before the first run.")
    lines.append(f"format: {FORMAT}")
    for key in ORDER:
        # null would say "the default", which is what a missing key says.
        own = [
            note
            for note in notes
            if note.key.partition(".")[0] == key and (note.value is not None or note.choice or note.question)
        ]
        lines += [f"{key}:"] if own else []
        for note in own:
            lines += [f"  # QUESTION: {note.question}"] if note.question else []
            line = note.choice or f"{note.key.partition('.')[2]}: {to_yaml(note.value)}"
            lines.append(f"  # {line}" if note.value is None else f"  {line}")
    return "\n".join(lines) + "\n"
