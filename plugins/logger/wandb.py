"""Weights & Biases: a run of theirs for each fold, or for each trial of a search, grouped by experiment; offline by default."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from comp.api import Logger, PluginError, plugin

from ._told import ASKED_FOR, count_epochs, list_values, read_manifest

if TYPE_CHECKING:
    from wandb import Run, Settings

START_S, FINISH_S = 30.0, 60.0
"""How long training waits for a server that does not answer: at a fold's start, and for what is not sent yet at its end."""


@plugin("logger")
def wandb(folder: Path, /, *, project: str = "comp", mode: Literal["offline", "online"] = "offline") -> Logger:
    """Losses, held-out scores and learning rates by epoch, with the manifest as config, under wandb/ in the run's folder.

    Offline nothing is sent and no account is needed; `wandb sync RUN/wandb/offline-run-*` sends it later. A fold is a run of
    the group EXPERIMENT, a trial one of the group EXPERIMENT/search. Resumed online, a fold goes on in its run; offline it
    begins another part of the same run. The account's key is read by wandb itself, from WANDB_API_KEY or `wandb login`.

    Args:
        project: the project that they belong to.
        mode: offline, or online, which sends while it trains.

    Raises:
        PluginError: the package wandb is not installed; online without an account.

    Example: {use: wandb}
    """
    try:
        import wandb as library
    except ImportError as error:
        raise PluginError("logger wandb needs the package wandb: pip install 'comp-kit[wandb]'") from error
    if mode == "online" and not library.login(prompt=False, verify=False):
        raise PluginError("wandb knows no account: `wandb login`, WANDB_API_KEY, or `mode: offline`, which needs none")
    return Wandb(Path(folder), project, mode)


class Wandb:
    """Attributes:
    place: runs | trials | debug.
    open: fold (for a trial: TRIAL) -> the run of theirs that it writes to.
    """

    TRIAL = "trial"

    def __init__(self, folder: Path, project: str, mode: str) -> None:
        self.folder, self.project, self.mode = folder.absolute(), project, mode
        self.experiment, self.place, self.digest = self.folder.parts[-3:]
        self.open: dict[str, Run] = {}
        self.folds: list[str] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "RunStarted":
                self.folds = [str(fold) for fold in event["folds"]]
            case "FoldStarted":
                self._open(str(event["fold"]))
            case "EpochFinished":
                self._open(str(event["fold"])).log(list_values(event), step=count_epochs(event, self.place, self.folds))
            case "FoldFinished":
                self._summarise(event)
            case "RunFinished" if self.TRIAL in self.open:
                self.open[self.TRIAL].summary["score"] = event["scores"].get("pooled")
                self._close(self.TRIAL)
            case "RunStopped":
                self.close(exit_code=int(event["why"] not in ASKED_FOR))

    def close(self, exit_code: int = 0) -> None:
        for name in list(self.open):
            self._close(name, exit_code)

    def _name(self, fold: str) -> str:
        return self.TRIAL if self.place == "trials" else fold

    def _open(self, fold: str) -> Run:
        import wandb as library

        name = self._name(fold)
        if name not in self.open:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = {"experiment": self.experiment, "digest": self.digest, "fold": name}
            self.open[name] = library.init(
                project=self.project,
                id=find_id(self.folder / "wandb", name),
                name=f"{self.experiment}@{self.digest} {name if name in (self.TRIAL, 'full') else f'fold {name}'}",
                group=f"{self.experiment}/search" if name == self.TRIAL else self.experiment,
                job_type=name if name in (self.TRIAL, "full") else "fold",
                config={**about, **read_manifest(self.folder)},
                dir=str(self.folder),
                mode=self.mode,
                resume="allow" if self.mode == "online" else None,
                settings=choose_settings(),
            )
        return self.open[name]

    def _summarise(self, event: Mapping[str, Any]) -> None:
        """How a fold ended; its run of theirs ends with it, that of a trial with the last fold."""
        name = self._name(str(event["fold"]))
        if name not in self.open:
            return
        summary = {f"final/{metric}": score for metric, score in event["scores"].items()}
        self.open[name].summary.update({**summary, "best_epoch": event["best_epoch"], "trained_s": event["elapsed_s"]})
        if name != self.TRIAL:
            self._close(name)

    def _close(self, name: str, exit_code: int = 0) -> None:
        self.open.pop(name).finish(exit_code=exit_code)


def choose_settings() -> Settings:
    """No word on the terminal, which the live view has; nothing of the machine, the command line, git or the user's code."""
    import wandb as library

    return library.Settings(
        silent=True, console="off", disable_git=True, disable_code=True, x_disable_meta=True, x_disable_stats=True,
        reinit="create_new", init_timeout=START_S, finish_timeout=FINISH_S,
    )  # fmt: skip


def find_id(folder: Path, name: str) -> str:
    """The id of a run of theirs, drawn once and kept, so that what is resumed goes on in it."""
    file = folder / f"{name}.id"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
        os.replace(temporary, file)
    return file.read_text(encoding="utf-8")
