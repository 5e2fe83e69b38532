"""What a fold keeps on disk: the state it resumes from (last.ckpt) and the weights that predict (*.safetensors).

last.ckpt is plain data and tensors, read with weights_only. It lives while the fold trains, the one before it beside it
(last.ckpt.1), and both go when the fold is complete. When they are written is comp.engine.saves' to say.
"""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from comp.errors import FormatError, RunError, WeightsError

FORMAT = 2
"""Of checkpoints. 2 counts what train.on_nan did; 1 is read as well."""

WEIGHTS_FORMAT = 1


@dataclass
class Progress:
    """How far a fold has come. Counts restart where their comment says so.

    Attributes:
        stage: index of the stage being trained.
        epoch: epochs finished in this stage.
        batch: loader batches finished in the current epoch.
        updates: optimizer steps of this stage, those that were left out included.
        skipped: updates of the current epoch that were left out (train.on_nan: skip).
        lowered: how often this stage has gone back with half the learning rate (train.on_nan: lower).
        loss_sum, rows: running sum of row losses in the current epoch, and of how many rows.
        part_sums: the same by target.
        history: one record per finished epoch of the fold, as EpochFinished carries it.
        best_score, best_epoch: the best so far of what train.monitor names (greater is better), its epoch in the fold (-1: none).
        elapsed_s: time spent training, over all resumptions.
    """

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    rows: int = 0
    part_sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int = -1
    elapsed_s: float = 0.0
    skipped: int = 0
    lowered: int = 0

    def enter_stage(self, index: int) -> Progress:
        """At the start of another stage of the same fold."""
        kept = ("history", "best_score", "best_epoch", "elapsed_s")
        return Progress(stage=index, **{name: getattr(self, name) for name in kept})

    def end_epoch(self) -> None:
        """At the start of the next one."""
        self.epoch += 1
        self.batch = self.rows = self.skipped = 0
        self.loss_sum, self.part_sums = 0.0, {}

    def scores_of(self, epoch: int) -> dict[str, float]:
        """Held-out scores of an epoch of the fold; none where it had none."""
        return next((record["scores"] for record in self.history if record["epoch"] == epoch), {})


def save_checkpoint(path: Path, progress: Progress, states: Mapping[str, Any], keep: Path | None = None) -> None:
    """Write a resumable state in one step: a killed process leaves the old file or the new one, never half of one.

    Args:
        keep: what the old file becomes, if there is one.

    Raises:
        RunError: the disk is full, or the folder cannot be written; the old file is still there.
    """
    with write_beside(path) as temporary:
        with open(temporary, "wb") as file:
            torch.save({"format": FORMAT, "progress": asdict(progress), **states}, file)
            file.flush()
            os.fsync(file.fileno())
        if keep and path.exists():
            os.replace(path, keep)


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """The name to write a file under, which becomes `path` at the end.

    Raises:
        RunError: it could not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed the run's folder
        yield temporary
        os.replace(temporary, path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        # torch says where its own writer stands; why nothing could be written is what it was handling then.
        reason = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(reason, (OSError, safetensors.SafetensorError)):
            raise
        why = getattr(reason, "strerror", None) or reason
        raise RunError(f"{path} cannot be written: {why}. What was saved before is kept: the same command goes on.") from error
    finally:
        with suppress(OSError):  # of a folder that cannot be written
            temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[Progress, dict[str, Any]] | None:
    """The state to resume from, on the CPU, or None where there is none.

    Raises:
        FormatError: a newer comp wrote it.
        WeightsError: it is not what was written.
        RunError: it cannot be read now, and may be whole.
    """
    try:
        if not path.exists():
            return None
        check_sums(path)
        states = torch.load(path, map_location="cpu", weights_only=True)
        number = states.pop("format")
    except pickle.UnpicklingError as error:  # whose text says how to run what is in there all the same
        why = "it holds more than numbers and tensors, which might run code, or is damaged"
        raise WeightsError(f"{path} cannot be read ({why}); delete it to train this fold from its start.") from error
    except Exception as error:  # zipfile and torch's unpickler raise whatever they meet in a damaged file
        refuse_unreadable(path, error)
        raise WeightsError(f"{path} cannot be read ({error}); delete it to train this fold from its start.") from error
    if number > FORMAT:
        raise FormatError(
            f"{path} has format {number}, was written by a newer comp, and this one reads up to {FORMAT}; install that, or "
            "delete the file to train this fold anew."
        )
    return Progress(**states.pop("progress")), states


def refuse_unreadable(path: Path, error: Exception) -> None:
    """Raises RunError: it is not the file's content that is to blame, but rights, the disk or memory."""
    why = None
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # where a damaged archive's table leads nowhere
        why = error.strerror
    elif isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error):
        why = "out of memory"
    if why:
        raise RunError(f"{path} cannot be read now: {why}. It is left as it is: mend that, and run the same again.") from error


def check_sums(path: Path) -> None:
    """Raises ValueError: a part of the file has not the checksum that torch wrote with it (and does not look at on reading)."""
    with zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise ValueError(f"the checksum of {broken} is wrong")


def copy_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the weights on the CPU, which later training does not change."""
    return {name: value.detach().to("cpu", copy=True) for name, value in module.state_dict().items()}


def save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write weights as safetensors, in one step.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    with write_beside(path) as temporary:
        whole = {name: value.contiguous() for name, value in state.items()}
        safetensors.torch.save_file(whole, temporary, {"format": str(WEIGHTS_FORMAT)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights written by `save_weights`.

    Raises:
        WeightsError: the file is not there or is damaged.
        FormatError: a newer comp wrote it.
        RunError: it cannot be read now, and may be whole.
    """
    if not path.exists():
        raise WeightsError(f"{path} is not there: this fold has no finished weights. Run the experiment first.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            number = (file.metadata() or {}).get("format", "")
        weights = safetensors.torch.load_file(path)
    except Exception as error:  # safetensors raises its own error type, or OSError
        refuse_unreadable(path, error)
        raise WeightsError(f"{path} cannot be read ({error}); delete the fold's folder and run again.") from error
    if number.isdecimal() and int(number) > WEIGHTS_FORMAT:  # others write `pt` there
        raise FormatError(f"{path} has format {number}; this comp reads up to {WEIGHTS_FORMAT}: install a newer one.")
    return weights


def load_initial(network: nn.Module, path: Path, tell: Callable[[str], None]) -> None:
    """Start a network (with `backbone` and `head`) from the weights of another run, or of a file.

    Args:
        path: weights that a run saved, or a backbone's own (safetensors); a head of another shape stays as it is.
        tell: is told where it starts from, and whether the head is new.

    Raises:
        WeightsError: the file is not there, is damaged, or lacks weights of the backbone.
    """
    given = load_weights(path)
    own = network.state_dict()
    if not any(name.startswith("backbone.") for name in given):
        given = {f"backbone.{name}": value for name, value in given.items()}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    lacking = [name for name in own if name.startswith("backbone.") and name not in fitting]
    if lacking:
        shown = f"{lacking[0].removeprefix('backbone.')} and {len(lacking) - 1} more" if len(lacking) > 1 else lacking[0]
        raise WeightsError(f"init: {path} does not fit the model: it has no weights of that shape for {shown}")
    network.load_state_dict(fitting, strict=False)
    anew = [name for name in own if name.startswith("head.") and name not in fitting]
    tell(f"starts from {path}" + (", with a new head (the one there has other shapes)" if anew else ""))
