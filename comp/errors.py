"""Every error that a user can cause or must act on, and the exit code it ends the program with.

    CompError                  exit 2: the user's mistake, said on one screen without a traceback
    ├── WorkspaceError         no workspace here, a bad name, something exists already, a folder that cannot be written
    ├── PluginError            a plugin that does not parse, is named twice, or breaks its kind's contract
    ├── ManifestError          faults of a manifest or of competition.yaml; holds all of them
    ├── DataError              tables: a missing column, an id twice, a label that is unknown
    │   └── ImageError         an image that is missing or cannot be read
    ├── FoldsError             folds that cannot be made, or no longer fit the tables
    ├── PredictionsError       stored predictions that are missing or do not fit together
    ├── SubmissionError        a submission that the sample's form refuses
    ├── WeightsError           weights that are not there, or do not fit the model
    ├── FormatError            a file of ours written by a newer version
    ├── MetricUndefined        a metric that has no value for these predictions
    └── RunError               exit 1: a run that failed while it ran
        └── RunInterrupted     exit 130: Ctrl-C, after the state was saved
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LONGEST, MOST = 2000, 200
"""Characters of one fault, and faults, that a message holds."""


class CompError(Exception):
    """What was given, what was wanted and the next step, in its message."""

    exit_code = 2


class WorkspaceError(CompError):
    pass


class PluginError(CompError):
    pass


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file: where it stands and what to do about it.

    `line` counts from 1; 0 means the whole file. `path` is the dotted key, as in `loss.gamma`.
    """

    file: Path | str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return crop(f"{where}  {self.path}: {self.message}" if self.path else f"{where}  {self.message}")


def crop(text: str) -> str:
    """What a message holds of a text that may be a whole file."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 100]} … {text[-90:]}"


class ManifestError(CompError):
    """All faults of a manifest at once."""

    def __init__(self, faults: list[Fault], consequence: str = "nothing was run") -> None:
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        shown = [*map(str, self.faults[:MOST]), *([f"… and {len(self.faults) - MOST} more"] if len(self.faults) > MOST else [])]
        super().__init__("\n".join([*shown, f"{count}; {consequence}."]))


class DataError(CompError):
    pass


class ImageError(DataError):
    pass


class FoldsError(CompError):
    pass


class PredictionsError(CompError):
    pass


class SubmissionError(CompError):
    pass


class WeightsError(CompError):
    pass


class FormatError(CompError):
    pass


class MetricUndefined(CompError):
    pass


class RunError(CompError):
    exit_code = 1


class RunInterrupted(RunError):
    """`lost`: what was not saved, and why; empty where the state is."""

    exit_code = 130

    def __init__(self, message: str, lost: str = "") -> None:
        super().__init__(message)
        self.lost = lost
