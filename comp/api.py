"""What plugins are written against: the decorator, the nouns they are given, and the contract of each kind.

A plugin is a function whose signature is its schema. Before `/` stands what the kit supplies (any of the names that OFFERS
lists for the kind, in any order), after `*` what a manifest may set. Nothing here imports torch, numpy or pandas, so that a
plugin can be listed and described without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from comp.errors import CompError, DataError, FoldsError, ImageError, MetricUndefined, PluginError, SubmissionError, WeightsError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import nn

__all__ = [
    "OFFERS", "KINDS", "plugin", "Target", "Task", "Tables", "Units", "ImageSpec", "Metric", "Mixed", "Batch", "EnsembleJob",
    "Split", "Augment", "Mix", "Sampler", "Backbone", "Head", "Loss", "Objective", "Scheduler", "Ensemble", "View", "Blend",
    "SubmissionForm", "Logger", "Leaderboard", "CompError", "DataError", "FoldsError", "ImageError", "MetricUndefined",
    "PluginError", "SubmissionError", "WeightsError",
]  # fmt: skip

OFFERS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("root",),                           # -> Tables
    "split": ("units",),                            # -> Split
    "augment": ("image",),                          # -> Augment (one transform, or a list of them)
    "mix": ("task",),                               # -> Mix
    "sampler": ("task", "targets"),                 # -> Sampler
    "model": ("task", "image"),                     # -> Backbone
    "head": ("task", "features", "counts", "rows"), # -> Head
    "loss": ("task", "counts", "rows"),             # -> Loss
    "objective": (),                                # -> Objective
    "optimizer": ("network",),                      # -> torch.optim.Optimizer
    "scheduler": ("optimizer", "steps", "epochs"),  # -> Scheduler
    "ensemble": ("task",),                          # -> Ensemble
    "metric": ("task",),                            # -> Metric
    "tta": ("image",),                              # -> dict of name -> View
    "blend": ("task",),                             # -> Blend
    "submission": ("task", "sample"),               # -> SubmissionForm
    "logger": ("folder",),                          # -> Logger
    "leaderboard": ("root",),                       # -> Leaderboard
}  # fmt: skip
"""Every kind of plugin, with the names of what the kit supplies to it before the `/`."""

KINDS = tuple(OFFERS)

F = TypeVar("F", bound=Callable[..., Any])


def plugin(kind: str, *, family: str | None = None, names: str | None = None, signature: str | None = None) -> Callable[[F], F]:
    """Mark a function (or class) as the plugin of this kind that bears its name. Registers nothing, imports nothing.

    All arguments are literals, because the catalog reads them from the source without importing it.

    Args:
        kind: one of KINDS.
        family: makes the plugin a family that passes a name and its arguments through to a library: a prefix that ends in
            a dot (`A.`: `use: A.HorizontalFlip`, the rest of the name is the kit-supplied parameter `name`) or the
            keyword parameter that holds the library's name (`arch`: `use: timm, arch: resnet18`).
        names: function of the same module, `() -> Iterable[str]`: the library's names, for did-you-mean.
        signature: function of the same module, `(name: str, arguments: dict) -> inspect.Signature | None`: what the
            library's thing accepts. Where it ends in `**kwargs` the function builds the thing once, cheaply, and lets its
            TypeError or ValueError through: that message becomes the fault.

    Raises:
        PluginError: the kind does not exist.
    """
    if kind not in OFFERS:
        raise PluginError(f"@plugin({kind!r}): there is no such kind; the kinds are {', '.join(KINDS)}")

    def mark(function: F) -> F:
        function.__comp_plugin__ = {"kind": kind, "family": family, "names": names, "signature": signature}  # type: ignore[attr-defined]
        return function

    return mark


# ---- the task ------------------------------------------------------------------------------------------------------------

TargetKind = Literal["binary", "multiclass", "multilabel", "ordinal", "regression", "ranking"]
Link = Literal["softmax", "sigmoid", "identity"]


@dataclass(frozen=True)
class Target:
    """One thing that is predicted.

    Attributes:
        name: its column, as the training table names it; for a multilabel target of several columns, a name for them all.
        kind: binary and ranking are multiclass with a particular submission; ordinal is multiclass with an order.
        classes: the classes as text, exactly as the tables write them, in class order (numeric if all are numbers, else by
            code point). Multilabel: the labels. Regression: empty.
        columns: the columns of the training table that hold it; several for multilabel in one-hot form.
        separator: what joins the labels of a multilabel target that stands in one column.
    """

    name: str
    kind: TargetKind
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    separator: str | None = None

    @property
    def width(self) -> int:
        """How many raw outputs it takes: one per class, or one for a number."""
        return len(self.classes) or 1

    @property
    def link(self) -> Link:
        """How raw outputs become probabilities (or values), unless the loss says otherwise."""
        return {"regression": "identity", "multilabel": "sigmoid"}.get(self.kind, "softmax")  # type: ignore[return-value]


@dataclass(frozen=True)
class Task:
    """What is predicted. A model's raw output is (N, outputs): the targets' outputs side by side, in this order."""

    targets: tuple[Target, ...]

    @property
    def kind(self) -> str:
        return self.targets[0].kind if len(self.targets) == 1 else "multitarget"

    @property
    def target(self) -> Target:
        """The only target. Losses and metrics are always given a task of exactly one."""
        assert len(self.targets) == 1
        return self.targets[0]

    @property
    def outputs(self) -> int:
        return sum(target.width for target in self.targets)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each target stands among the outputs."""
        found, start = {}, 0
        for target in self.targets:
            found[target.name] = slice(start, start + target.width)
            start += target.width
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each output: the class, or `target=class` where there are several targets; the target for a number."""
        several = len(self.targets) > 1
        return tuple(
            (f"{target.name}={name}" if several else name) if target.classes else target.name
            for target in self.targets
            for name in target.classes or (target.name,)
        )

    def only(self, name: str) -> Task:
        return replace(self, targets=tuple(target for target in self.targets if target.name == name))


# ---- what flows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """What a dataset plugin returns.

    Attributes:
        train: one row per image, with `row_id` (text, unique), `id` (text, the unit), `image` (text: what `read` or the
            image store takes), then the table's own columns under their own names (targets, groups, weights).
        test: the same without targets; None where there is no test set yet.
        sample: the sample submission as text (every column dtype str, empty cells as ""), or None.
        id_column: the header of the id in the sample and in submissions.
        targets: the training columns that hold the targets.
        files: the table files that training reads; their contents are covered by the digest.
        root: what relative image references are relative to.
        read: for formats of the dataset's own: reference -> (H, W) or (H, W, C) array, uint8 or uint16. None: image files.
        separator: what joins several labels in a target column that holds sets.
    """

    train: pd.DataFrame
    test: pd.DataFrame | None
    sample: pd.DataFrame | None
    id_column: str
    targets: tuple[str, ...]
    files: tuple[Path, ...]
    root: Path
    read: Callable[[str], np.ndarray] | None = None
    separator: str | None = None


@dataclass(frozen=True)
class Units:
    """What is divided into folds: one row per unit.

    Attributes:
        table: (U rows) `id` and the training columns, the first row of each unit.
        strata: (U,) int64, the class to balance over folds (several targets: their combinations; values: quantile bins).
        labels: (U, L) float32 0/1 for a multilabel task (or one-hot of all targets), for iterative stratification.
    """

    table: pd.DataFrame
    strata: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ImageSpec:
    """The pictures a model sees.

    Attributes:
        size: (height, width) in pixels that the model is trained at.
        predict_size: (height, width) of held-out and test images.
        channels: 1, 3 or more.
        mean, std: per channel, on the scale 0..1; None: what the weights want.
    """

    size: tuple[int, int]
    predict_size: tuple[int, int]
    channels: int = 3
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Batch:
    """What an objective is given, on the device.

    Attributes:
        images: (B, C, H, W) float, normalised, channels_last.
        targets: target name -> (B,) int64 class, (B, L) float 0/1 labels, or (B,) float values.
        weights: (B,) float row weights, 1 on average over the training rows.
    """

    images: torch.Tensor
    targets: dict[str, torch.Tensor]
    weights: torch.Tensor


@dataclass(frozen=True)
class Mixed:
    """Images blended in pairs: image i holds `share[i]` of itself and the rest of image `partner[i]`.

    The loss of a mixed image is share * loss(own target) + (1 - share) * loss(partner's target), which is right for any
    loss, for any kind of target and for odd batches.
    """

    images: torch.Tensor
    partner: torch.Tensor
    share: torch.Tensor


# ---- the contracts, one for each kind ------------------------------------------------------------------------------------


class Split(Protocol):
    """Kind `split`: the function itself, called with Units, returns the fold of each unit.

    Returns (U,) int64 in [0, folds), or -1 for units that are never held out. Called once; the result is stored.
    """

    def __call__(self, units: Units, /) -> np.ndarray: ...


class Augment(Protocol):
    """Kind `augment`: an albumentations transform, or a list of them (a preset), built once per stage and worker.

    Applied to (H, W, C) uint8 images of the store, in training only; seeded per image by the kit.
    """

    def __call__(self, *, image: np.ndarray) -> dict[str, Any]: ...


class Mix(Protocol):
    """Kind `mix`: called once per training step, on the device; all randomness from `generator` (a CPU generator)."""

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> Mixed | None: ...


class Sampler(Protocol):
    """Kind `sampler`: which training rows an epoch shows, in which order.

    Supplied `targets`: target name -> array over the training rows of the fold (int64 classes, float32 labels or values).
    Called once per epoch; returns (M,) int64 positions in the training rows; all randomness from `generator`.
    """

    def __call__(self, generator: np.random.Generator) -> np.ndarray: ...


class Backbone(Protocol):
    """Kind `model`: an nn.Module from normalised images (B, C, H, W) to pooled features (B, features).

    Attributes:
        features: width of what forward returns.
        mean, std: per channel, what its weights want (used where `image.mean` is auto).
        any_size: whether it takes images of another size than it was built for.
    """

    features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    any_size: bool

    def forward(self, images: torch.Tensor) -> torch.Tensor: ...


class Head(Protocol):
    """Kind `head`: an nn.Module from features (B, features) to raw outputs (B, task.outputs).

    Supplied `features`: int; `counts`: target name -> (width,) float64 training rows per class (empty for values); `rows`:
    how many training rows there are.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor: ...


class Loss(Protocol):
    """Kind `loss`: called with raw outputs (B, width) and targets of one target; returns (B,) losses, one per row.

    Supplied `task`: of exactly one target; `counts`: (width,) float64 training rows of the fold per class; `rows`: how many
    training rows there are.
    Attribute `link` (optional): how its raw outputs become probabilities, where that differs from Target.link.
    """

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor: ...


class Objective(Protocol):
    """Kind `objective`: one training step's loss, a scalar, and its parts by target.

    `loss` maps raw outputs and targets to {target: (B,) losses}; `mixed` is what `mix` made of the images, or None.
    """

    def __call__(
        self,
        network: nn.Module,
        batch: Batch,
        mixed: Mixed | None,
        loss: Callable[[torch.Tensor, dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]: ...


class Scheduler(Protocol):
    """Kind `scheduler`: sets the optimizer's learning rates.

    Supplied `steps`: optimizer steps of the stage; `epochs`: epochs of the stage. `step` is called before each optimizer
    step with its number (from 0), `epoch` after each epoch with the held-out score (greater is better; None without one).
    """

    def step(self, step: int) -> None: ...

    def epoch(self, epoch: int, score: float | None) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class EnsembleJob:
    """What an ensemble that owns its training loop is given for one fold.

    Attributes:
        make_network: builds one member: an nn.Module from normalised images to raw outputs.
        batches: pass number (0, 1, ...) -> iterator of Batch; each pass is differently shuffled and augmented.
        batches_per_epoch: how many batches a pass has.
        rows: how many training rows there are.
        loss: raw outputs, {target: tensor} -> (B,) losses.
        links: target name -> how its raw outputs become probabilities.
        clip_norm: the largest gradient norm; 0: not clipped.
        epochs: passes per member.
        optimizer: the manifest's optimizer mapping.
        device: where the networks and batches live.
        report: called after each batch with (pass number, batch number, loss).
    """

    make_network: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[Batch]]
    batches_per_epoch: int
    rows: int
    loss: Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
    links: Mapping[str, Link]
    clip_norm: float
    epochs: int
    optimizer: Mapping[str, Any]
    device: torch.device
    report: Callable[[int, int, float], None]


class Ensemble(Protocol):
    """Kind `ensemble`: several networks trained together inside a fold, predicting as one.

    `fit` trains and returns a module from images to raw outputs; `assemble` builds the same module with untrained weights,
    so that a stored state_dict can be loaded into it (`links` as in EnsembleJob). `passes`: how many passes a fit takes.
    """

    def fit(self, job: EnsembleJob) -> nn.Module: ...

    def assemble(self, make_network: Callable[[], nn.Module], links: Mapping[str, Link]) -> nn.Module: ...

    def passes(self, epochs: int) -> int: ...


@dataclass(frozen=True)
class Metric:
    """Kind `metric`: what a metric plugin returns. Always of one target; the kit averages over targets.

    Attributes:
        compute: targets ((N,) int64 classes, (N, L) float32 labels or (N,) float values) and predictions ((N, width)
            float64 probabilities, or (N,) values) -> the score. Raises MetricUndefined where it has none.
        greater_is_better: the direction.
        per_class: the same arguments -> (width,) float64 scores by class (NaN where a class has none), or None.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]
    greater_is_better: bool = True
    per_class: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


class View(Protocol):
    """Kind `tta` returns {name: View}: one more view of normalised images (B, C, H, W), averaged with the plain one."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor: ...


class Blend(Protocol):
    """Kind `blend`: one prediction from several experiments'.

    `fit` is called with {member: (N, outputs) probabilities} and the targets of the rows that are scored; `predict` with
    members of the same names, returns (M, outputs).
    """

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None: ...

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray: ...


class SubmissionForm(Protocol):
    """Kind `submission`: predictions in the competition's columns.

    Supplied `sample`: the sample submission as text, or None. Called with `id` (text) and (N, outputs) probabilities or
    values, in any order; returns a table with the sample's columns. The kit orders the rows and checks the result.
    `rows_sum_to_one` (attribute): whether the form demands that the answer columns of a row sum to 1.
    """

    rows_sum_to_one: bool

    def __call__(self, ids: Sequence[str], predictions: np.ndarray) -> pd.DataFrame: ...


class Logger(Protocol):
    """Kind `logger`: a reader of a run's events (comp.events, as mappings with an `event` name). Never stops a run."""

    def __call__(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class Leaderboard(Protocol):
    """Kind `leaderboard`: scores a submission file on this machine. Returns e.g. {"public": 0.9911}."""

    def __call__(self, submission: Path) -> dict[str, float]: ...
