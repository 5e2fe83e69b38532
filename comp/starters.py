"""Starters: for each kind a plugin of at most 15 lines that works as it stands, for `comp plugins new` and for the README.

`NAME` stands where the plugin's name goes. What each kind is given and returns is written in comp.api.
"""

from __future__ import annotations

import keyword
from pathlib import Path

from comp.catalog import build_catalog
from comp.errors import WorkspaceError
from comp.project import Project, atomic_write

STARTERS = {
    "dataset": '''
from pathlib import Path

import pandas as pd

from comp.api import Tables, plugin

@plugin("dataset")
def NAME(root: Path, /, *, train: str = "train.csv", target: str = "label") -> Tables:
    """One row per image of a table with the columns `image` and the target.

    Args:
        train: the table, in the workspace.
        target: the column that is predicted."""
    rows = pd.read_csv(root / train, dtype=str).assign(row_id=lambda table: table["image"], id=lambda table: table["image"])
    return Tables(rows, None, None, "id", (target,), (root / train,), root)
''',
    "split": '''
import numpy as np

from comp.api import Units, plugin

@plugin("split")
def NAME(units: Units, /, *, folds: int = 5) -> np.ndarray:
    """Deals the units out in turn, in the order of the table.

    Args:
        folds: how many folds there are.
    """
    return np.arange(len(units.table)) % folds
''',
    "preprocess": '''
import numpy as np

from comp.api import Preprocess, plugin

@plugin("preprocess")
def NAME(*, share: float = 0.8) -> Preprocess:
    """Keeps the middle of every image.

    Args:
        share: of its height and width, from 0 to 1.
    """
    def cut(image: np.ndarray, ref: str) -> np.ndarray:
        top, left = (round(side * (1 - share) / 2) for side in image.shape[:2])
        return image[top : image.shape[0] - top, left : image.shape[1] - left]
    return cut
''',
    "augment": '''
import albumentations

from comp.api import Augment, ImageSpec, plugin

@plugin("augment")
def NAME(image: ImageSpec, /, *, p: float = 0.5) -> Augment:
    """Turns images by a quarter, a half or three quarters.

    Args:
        p: how often.
    """
    return albumentations.RandomRotate90(p=p)
''',
    "mix": '''
import torch

from comp.api import Mix, Mixed, plugin

@plugin("mix")
def NAME(*, share: float = 0.8) -> Mix:
    """Lays a second image of the batch faintly over each.

    Args:
        share: how much of an image is its own."""
    def mix(images: torch.Tensor, generator: torch.Generator) -> Mixed:
        partner = torch.randperm(len(images), generator=generator).to(images.device)
        own = torch.full((len(images),), share, device=images.device)
        return Mixed(share * images + (1 - share) * images[partner], partner, own)
    return mix
''',
    "sampler": '''
import numpy as np

from comp.api import Sampler, Task, plugin

@plugin("sampler")
def NAME(task: Task, targets: dict, /, *, share: float = 0.5) -> Sampler:
    """Each epoch shows another random part of the training rows.

    Args:
        share: how large the part is, above 0 and up to 1.
    """
    rows = len(targets[task.targets[0].name])
    return lambda generator: generator.permutation(rows)[: max(1, round(share * rows))]
''',
    "model": '''
from torch import nn

from comp.api import Backbone, ImageSpec, plugin

@plugin("model")
def NAME(image: ImageSpec, /, *, width: int = 64) -> Backbone:
    """Two convolutions and a mean over the image.

    Args:
        width: channels, and features at the end."""
    first, second = nn.Conv2d(image.channels, width, 3, 2, 1), nn.Conv2d(width, width, 3, 2, 1)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.features, model.mean, model.std, model.any_size = width, (0.5,) * image.channels, (0.5,) * image.channels, True
    return model
''',
    "head": '''
from torch import nn

from comp.api import Head, Task, plugin

@plugin("head")
def NAME(task: Task, features: int, /, *, dropout: float = 0.2) -> Head:
    """A layer norm, dropout and a linear layer.

    Args:
        dropout: share of the features that is dropped in training.
    """
    return nn.Sequential(nn.LayerNorm(features), nn.Dropout(dropout), nn.Linear(features, task.outputs))
''',
    "loss": '''
import torch
from torch.nn import functional

from comp.api import Loss, Task, plugin

@plugin("loss")
def NAME(task: Task, /, *, smoothing: float = 0.05) -> Loss:
    """Cross-entropy with softened targets, for classes.

    Args:
        smoothing: what the other classes get of a target, together."""
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=smoothing, reduction="none")
    return loss
''',
    "objective": '''
import torch

from comp.api import Objective, plugin

@plugin("objective")
def NAME() -> Objective:
    """The mean loss over rows and targets; for manifests without `mix`."""
    def step(network, batch, mixed, loss):
        parts = {name: (batch.weights * rows).mean() for name, rows in loss(network(batch.images), batch.targets).items()}
        return torch.stack(list(parts.values())).mean(), {name: part.detach() for name, part in parts.items()}
    return step
''',
    "optimizer": '''
import torch

from comp.api import plugin

@plugin("optimizer")
def NAME(network: torch.nn.Module, /, *, lr: float = 0.01, momentum: float = 0.9) -> torch.optim.Optimizer:
    """Plain SGD on everything that is not frozen.

    Args:
        lr: learning rate.
        momentum: share of the last step that is kept.
    """
    return torch.optim.SGD([part for part in network.parameters() if part.requires_grad], lr=lr, momentum=momentum)
''',
    "scheduler": '''
from comp.api import plugin
@plugin("scheduler")
class NAME:
    """The learning rate falls in a straight line.

    Args:
        end: the share of it that is left at the end."""
    def __init__(self, optimizer, steps: int, /, *, end: float = 0.0) -> None:
        self.groups, self.steps, self.end = optimizer.param_groups, steps, end
        self.full = [group["lr"] for group in self.groups]
    def step(self, step: int) -> None:
        for group, full in zip(self.groups, self.full): group["lr"] = full * (1 - (1 - self.end) * step / self.steps)
    def epoch(self, epoch: int, score: float | None) -> None: pass
    def state_dict(self) -> dict: return {"full": self.full}
    def load_state_dict(self, state: dict) -> None: self.full = state["full"]
''',
    "ensemble": '''
import torch
from comp.api import EnsembleJob, plugin
@plugin("ensemble")
class NAME:
    """One network, trained by a plain loop: the place to start from."""
    def __init__(self) -> None: self.passes = lambda epochs: epochs
    def assemble(self, make_network, links) -> torch.nn.Module: return make_network()
    def fit(self, job: EnsembleJob) -> torch.nn.Module:
        network = job.make_network().to(job.device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=job.optimizer["lr"])
        for number, position, batch in ((n, i, b) for n in range(job.epochs) for i, b in enumerate(job.batches(n))):
            loss = job.loss(network(batch.images), batch.targets).mean()
            optimizer.zero_grad(), loss.backward(), optimizer.step()
            job.report(number, position, float(loss.detach()))
        return network
''',
    "metric": '''
import numpy as np

from comp.api import Metric, Task, plugin

@plugin("metric")
def NAME(task: Task, /, *, k: int = 3) -> Metric:
    """Share of units whose class is among the likeliest k.

    Args:
        k: how many classes may be named."""
    def hits(targets: np.ndarray, predictions: np.ndarray) -> float:
        return float((np.argsort(-predictions, axis=1)[:, :k] == targets[:, None]).any(axis=1).mean())
    return Metric(hits, greater_is_better=True)
''',
    "tta": '''
from comp.api import View, plugin

@plugin("tta")
def NAME(*, turns: int = 2) -> dict[str, View]:
    """The image turned by quarters.

    Args:
        turns: how many quarters.
    """
    return {"NAME": lambda images: images.rot90(turns, dims=(2, 3))}
''',
    "post": '''
import numpy as np

from comp.api import plugin

@plugin("post")
class NAME:
    """Moves values by their mean error.

    Args:
        share: how much of it, from 0 to 1."""
    def __init__(self, *, share: float = 1.0) -> None: self.share, self.move = share, 0.0
    def fit(self, predictions, targets) -> None: self.move = self.share * float((targets - predictions).mean())
    def apply(self, predictions) -> np.ndarray: return predictions + self.move
    def state(self) -> dict: return {"move": self.move}
    def load(self, state: dict) -> None: self.move = state["move"]
''',
    "blend": '''
import numpy as np

from comp.api import plugin

@plugin("blend")
class NAME:
    """The members' median, cell by cell."""
    def __init__(self) -> None: pass
    def fit(self, members: dict, targets: dict) -> None: pass
    def predict(self, members: dict) -> np.ndarray: return np.median(list(members.values()), axis=0)
''',
    "submission": '''
import pandas as pd

from comp.api import Task, plugin

@plugin("submission")
class NAME:
    """The likeliest class of each id, under the sample's headers."""
    rows_sum_to_one = False
    def __init__(self, task: Task, sample: pd.DataFrame | None, /) -> None:
        self.classes, columns = task.target.classes, None if sample is None else sample.columns
        self.columns = ["id", task.target.name] if columns is None else list(columns)
    def __call__(self, ids, predictions) -> pd.DataFrame:
        answers = [self.classes[position] for position in predictions.argmax(axis=1)]
        return pd.DataFrame({self.columns[0]: list(ids), self.columns[1]: answers})
''',
    "logger": '''
from pathlib import Path

from comp.api import plugin

@plugin("logger")
class NAME:
    """A line per epoch in epochs.txt of the run's folder."""
    def __init__(self, folder: Path, /) -> None: self.file = open(Path(folder) / "epochs.txt", "a")
    def __call__(self, event: dict) -> None:
        if event["event"] == "EpochFinished":
            print(event["fold"], event["epoch"], event["scores"], file=self.file, flush=True)
    def close(self) -> None: self.file.close()
''',
    "leaderboard": '''
from pathlib import Path

import pandas as pd

from comp.api import Leaderboard, plugin

@plugin("leaderboard")
def NAME(root: Path, /, *, answers: str = "answers.csv") -> Leaderboard:
    """Share of right answers, by a file of answers that looks like a submission.

    Args:
        answers: that file, in the workspace."""
    truth = pd.read_csv(root / answers, dtype=str, index_col=0).iloc[:, 0]
    given = lambda file: pd.read_csv(file, dtype=str, index_col=0).iloc[:, 0].reindex(truth.index)
    return lambda file: {"public": float((given(file) == truth).mean())}
''',
}  # fmt: skip


def start_plugin(project: Project, kind: str, name: str, experiment: str | None) -> Path:
    """Write the starter of a kind under a name: into plugins/KIND/ of the workspace, or into an experiment's folder.

    Raises:
        WorkspaceError: the name cannot be a plugin's, or is taken.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or not name.isascii():
        raise WorkspaceError(f"{name!r} cannot name a plugin: wanted letters, digits and _, a letter first (my_{kind})")
    folders = [project.experiment(experiment)] if experiment else []
    taken = build_catalog(project, folders).plugins.get((kind, name))
    if taken:
        raise WorkspaceError(f"there is a {kind} {name!r} already: {taken.file}:{taken.line}; choose another name")
    file = (folders[0] if folders else project.plugins / kind) / f"{name}.py"
    if file.exists():
        raise WorkspaceError(f"{file} exists already; choose another name")
    atomic_write(file, STARTERS[kind].lstrip("\n").replace("NAME", name))
    return file
