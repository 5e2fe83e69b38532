"""TensorBoard event files of a run: `tensorboard --logdir RUN/tensorboard` shows its folds as curves side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comp.api import Logger, PluginError, plugin

from ._told import list_values

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@plugin("logger")
def tensorboard(folder: Path, /) -> Logger:
    """Writes losses, held-out scores and learning rates of every fold under tensorboard/ in the run's folder, by epoch.

    Raises:
        PluginError: the package tensorboard is not installed.

    Example: {use: tensorboard}
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: F401
    except ImportError as error:
        raise PluginError("logger tensorboard needs the package tensorboard: pip install 'comp-kit[tensorboard]'") from error
    return Curves(Path(folder) / "tensorboard")


class Curves:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, SummaryWriter] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "FoldStarted":
            self._open(str(event["fold"]), event["resumed_epoch"])
        elif event["event"] == "EpochFinished":
            self._write(event)
        elif event["event"] == "FoldFinished" and (writer := self.writers.pop(str(event["fold"]), None)):
            writer.close()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()

    def _open(self, fold: str, resumed_epoch: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        if fold not in self.writers:
            # Epochs that a killed run had written after its last checkpoint are trained again: hide their first points.
            purge = resumed_epoch if resumed_epoch else None
            self.writers[fold] = SummaryWriter(str(self.folder / (fold if fold == "full" else f"fold{fold}")), purge_step=purge)
        return self.writers[fold]

    def _write(self, event: Mapping[str, Any]) -> None:
        writer = self._open(str(event["fold"]), 0)
        for tag, value in list_values(event).items():
            writer.add_scalar(tag, value, event["epoch"], walltime=event["time"])
        writer.flush()
