"""What plugins are written against: the decorator, the nouns they are given, and the contract of each kind.

A plugin is a function whose signature is its schema. Before `/` stands what the kit supplies (any of the names that OFFERS
lists for the kind, in any order), after `*` what a manifest may set. Nothing here imports torch, numpy or pandas, so that a
plugin can be listed and described without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NewType, Protocol, TypeVar

from comp.errors import CompError, DataError, FoldsError, ImageError, MetricUndefined, PluginError, SubmissionError, WeightsError
from comp.formula import Formula, read_formula
from comp.packed import is_packed, unpack_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import nn

__all__ = [
    "OFFERS", "KINDS", "STACK", "PICTURES", "ARRAYS", "plugin", "Spec", "Target", "Task", "Tables", "Units", "ImageSpec",
    "Metric", "Mixed", "Batch", "EnsembleJob", "Split", "Preprocess", "Augment", "DeviceAugment", "Mix", "Sampler", "Backbone",
    "Head", "Loss", "Objective", "Scheduler", "Ensemble", "Gatherer", "View", "Score", "Post", "Blend",
    "SubmissionForm", "Logger", "Leaderboard", "CompError", "DataError", "FoldsError", "ImageError", "MetricUndefined",
    "PluginError", "SubmissionError", "WeightsError", "is_packed", "unpack_table", "Formula",
    "read_formula",
]  # fmt: skip

OFFERS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("root", "facts"),                   # -> Tables
    "split": ("units",),                            # -> Split
    "preprocess": ("tables", "root"),               # -> Preprocess
    "augment": ("image",),                          # -> Augment (one transform, or a list of them)
    "mix": ("task",),                               # -> Mix
    "sampler": ("task", "targets", "batch_size"),   # -> Sampler
    "model": ("task", "image", "table_width", "build"),  # -> Backbone
    "head": ("task", "features", "counts", "rows"), # -> Head
    "loss": ("task", "counts", "rows", "build"),    # -> Loss
    "objective": ("task",),                         # -> Objective
    "optimizer": ("network",),                      # -> torch.optim.Optimizer
    "scheduler": ("optimizer", "steps", "epochs", "early_stopping"),  # -> Scheduler
    "ensemble": ("task", "epochs"),                 # -> Ensemble, or Gatherer
    "metric": ("task",),                            # -> Metric
    "tta": ("image",),                              # -> dict of name -> View
    "post": ("task", "score"),                      # -> Post
    "blend": ("task", "score", "members"),          # -> Blend
    "submission": ("task", "sample"),               # -> SubmissionForm
    "logger": ("folder",),                          # -> Logger
    "leaderboard": ("root", "tables"),              # -> Leaderboard
}  # fmt: skip
"""Every kind of plugin, with the names of what the kit supplies to it before the `/`."""

KINDS = tuple(OFFERS)

Spec = NewType("Spec", dict[str, Any])
"""Annotation of a parameter that holds another plugin of the same kind: a mapping `{use: …, arguments}`, checked as such.

`Spec`, `list[Spec]`, `dict[str, Spec]` and their unions with None. The kit supplies `build` to kinds that nest: `build(spec)`
returns what that plugin returns for the same offers, `build(spec, image=other)` with another.
"""

F = TypeVar("F", bound=Callable[..., Any])


def plugin(
    kind: str,
    *,
    family: str | None = None,
    names: str | None = None,
    signature: str | None = None,
    on: Literal["device"] | None = None,
) -> Callable[[F], F]:
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
        on: `device` for an `augment` that is a DeviceAugment: it changes batches where the network computes.

    Raises:
        PluginError: the kind does not exist.
    """
    if kind not in OFFERS:
        raise PluginError(f"@plugin({kind!r}): there is no such kind; the kinds are {', '.join(KINDS)}")

    def mark(function: F) -> F:
        marks = {"kind": kind, "family": family, "names": names, "signature": signature, "on": on}
        function.__comp_plugin__ = marks  # type: ignore[attr-defined]
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
        scored: false for an auxiliary target: it is trained, and stands in raw fold files only.
    """

    name: str
    kind: TargetKind
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    separator: str | None = None
    scored: bool = True

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
    """What is predicted. A model's raw output is (N, outputs): the targets' outputs side by side, in this order (auxiliary ones
    last)."""

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

    @property
    def scored(self) -> Task:
        """Without the auxiliary targets: what merged predictions, metrics and submissions hold."""
        return replace(self, targets=tuple(target for target in self.targets if target.scored))

    def only(self, name: str) -> Task:
        return replace(self, targets=tuple(target for target in self.targets if target.name == name))


PICTURES = frozenset(".jpg .jpeg .png .bmp .gif .tif .tiff .webp .ppm .pgm .jp2".split())
"""Endings of image files that the kit decodes."""

ARRAYS = frozenset(".npy .npz .dcm .dicom .ima".split())
"""Endings of files of images that a dataset reads itself."""

STACK = "//"
"""Joins the references of several images that one row stacks: `a.png//b.png`, or `a.png//` where the second is missing."""


class Read(Protocol):
    """A dataset's own reader: one reference (never a stack) -> (H, W) or (H, W, C) uint8 or uint16, or an image file's bytes.

    It is called from several threads at once. Whatever it raises is that image's fault. A function will do.

    Attributes (both optional):
        key: text; what its answers depend on besides the files: arguments, measured ranges. Another key makes another store.
        sources: reference -> the files, from the tables' root, that the image is read from: a changed one makes another store,
            a missing one is said before anything is read.
    """

    def __call__(self, ref: str, /) -> np.ndarray | bytes: ...


# ---- what flows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """What a dataset plugin returns.

    Supplied `root`: the workspace; `facts`: Tables.facts of the training table, for an extra table, or None. The plugin's
    function may bear an attribute `unseen`, which opens a test set that came after a run: called with (test: Path, tables,
    ids_have_endings: bool, facts, **arguments of the manifest), it returns `tables` with another test, root and read.

    Attributes:
        train: one row per image (or per stack of images), with `row_id` (text, unique), `id` (text, the unit), `image` (text:
            what `read` or the image store takes; several are joined by STACK), then the table's own columns under their own
            names (targets, groups, weights).
        test: the same without targets; None where there is no test set yet.
        sample: the sample submission as text (every column dtype str, empty cells as ""), or None.
        id_column: the header of the id in the sample and in submissions.
        targets: the training columns that hold the targets.
        files: the table files that training reads; their contents are covered by the digest.
        root: what relative image references are relative to.
        read: for formats of the dataset's own. None: image files.
        separator: what joins several labels in a target column that holds sets.
        auxiliary: further training columns that are trained as targets, and not scored.
        weight: the training column that says how much a row counts (numbers from 0 on), or None.
        columns: columns of both tables that a model may join to the image features.
        views: how many images a reference stacks along the channels (each part one, an empty one is black).
        facts: what was learned of the training table and images and prediction needs (plain data; stored with a run).
    """

    train: pd.DataFrame
    test: pd.DataFrame | None
    sample: pd.DataFrame | None
    id_column: str
    targets: tuple[str, ...]
    files: tuple[Path, ...]
    root: Path
    read: Read | None = None
    separator: str | None = None
    auxiliary: tuple[str, ...] = ()
    weight: str | None = None
    columns: tuple[str, ...] = ()
    views: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Units:
    """What is divided into folds: one row per unit.

    Attributes:
        table: (U rows) `id` and the training columns, the first row of each unit.
        strata: (U,) int64, the class to balance over folds (several targets: their combinations; values: quantile bins).
        labels: (U, L) float32 0/1 for a multilabel task (or one-hot of all targets), for iterative stratification.
        values: (U, R) float64, the targets that are numbers.
    """

    table: pd.DataFrame
    strata: np.ndarray
    labels: np.ndarray
    values: np.ndarray

    def number_combinations(self, by: Sequence[str]) -> np.ndarray:
        """(U,) int64: which combination of the cells of these columns a unit has, numbered in their order.

        Raises:
            FoldsError: no such column, or none is named.
        """
        absent = [column for column in by if column not in self.table]
        if absent or not by:
            lacking = f"no column {absent[0]!r}" if absent else "it names no column"
            raise FoldsError(f"split.by: {lacking}; the training table has {', '.join(self.table.columns)}")
        return self.table.groupby(list(by), sort=True).ngroup().to_numpy(dtype="int64")


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
        images: (B, C, H, W) float, normalised, channels_last unless train.channels_last is off.
        targets: target name -> (B,) int64 class, (B, L) float 0/1 labels, or (B,) float values.
        weights: (B,) float row weights, 1 on average over the training rows.
        table: (B, F) float features of the row's own columns, for a backbone that takes them; None without.
        labelled: (B,) bool: rows whose targets count; the others came for an objective's sake (Objective.rows). None: all.
        teacher: target name -> (B, width) float probabilities or values of the objective's teachers; None without.
    """

    images: torch.Tensor
    targets: dict[str, torch.Tensor]
    weights: torch.Tensor
    table: torch.Tensor | None = None
    labelled: torch.Tensor | None = None
    teacher: dict[str, torch.Tensor] | None = None


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


class Preprocess(Protocol):
    """Kind `preprocess`: (H, W, C) uint8 as decoded, in full size, and its reference -> (H', W', C') uint8.

    Called once per image from several threads, before the image is resized into the store, for training, held-out, test and
    later images alike. Supplied `tables`: as the dataset gave them (with a run's later test set, that one); `root`: the
    workspace. What it raises is that image's fault.

    Attributes (optional):
        key: reference -> text; what its answer depends on besides image, arguments and source: a box of that image, say.
    """

    def __call__(self, image: np.ndarray, ref: str, /) -> np.ndarray: ...


class Augment(Protocol):
    """Kind `augment`: an albumentations transform, or a list of them (a preset), built once per stage and worker.

    Applied to (H, W, C) uint8 images of the store, in training only; seeded per image by the kit.
    """

    def __call__(self, *, image: np.ndarray) -> dict[str, Any]: ...


class DeviceAugment(Protocol):
    """Kind `augment`, marked `on="device"`: changes whole batches of training images where the network computes.

    Such entries stand last in `augment`. Called with images (B, C, H, W) float32 in [0, 1] on the device, in the size that they
    are stored in (the training size where transforms before it crop or resize), and `drawn`: (B, draws) float64 in (0, 1), which
    depend on (epoch, row, n-th time in the epoch) alone. Returns (B, C, H', W') in [0, 1]; what is not of the training size is
    resized. An image's result depends on its own row of both only.

    Attributes:
        draws: how many numbers it is given for each image.
    """

    draws: int

    def __call__(self, images: torch.Tensor, drawn: np.ndarray, /) -> torch.Tensor: ...


class Mix(Protocol):
    """Kind `mix`: called once per training step, on the device; all randomness from `generator` (a CPU generator)."""

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> Mixed | None: ...


class Sampler(Protocol):
    """Kind `sampler`: which training rows an epoch shows, in which order.

    Supplied `targets`: target name -> array over the training rows of the fold (int64 classes, float32 labels or values);
    `batch_size`: the rows of a step, for samplers that fill batches: positions are cut into batches in the order returned.
    Called once per epoch; returns (M,) int64 positions in the training rows; all randomness from `generator`.
    """

    def __call__(self, generator: np.random.Generator) -> np.ndarray: ...


class Backbone(Protocol):
    """Kind `model`: an nn.Module from normalised images (B, C, H, W) to pooled features (B, features).

    It leaves the images as they are (nothing in place): those of several folds are given the same ones.
    Supplied `table_width`: how many features of the row's own columns there are, 0 without.
    Attribute `takes_table` (optional): true, and forward is called with (images, table (B, table_width) float).
    Further methods take images, too; an objective reaches them through the network's `method` (reconstruct).

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
    Method `fit(features, targets)` (optional): called after training with the features (N, features) of the fold's
    training rows, unaugmented, and their targets; what it keeps in buffers is saved with the weights.
    Method `penalty()` (optional, of any module within model or head): a scalar that is added to each training step's loss.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor: ...


class Loss(Protocol):
    """Kind `loss`: called with raw outputs (B, width) and targets of one target; returns (B,) losses, one per row.

    Supplied `task`: of exactly one target; `counts`: (width,) float64 training rows of the fold per class; `rows`: how many
    training rows there are; `build`: makes the loss of a nested Spec. Targets are (B,) int64 classes, or (B, width) float
    probabilities of them (a teacher's), which a loss may refuse; (B, L) float labels; (B,) values. Weights of classes are 1 on
    average over the training rows.
    Attribute `link` (optional): how its raw outputs become probabilities, where that differs from Target.link.
    """

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor: ...


class Objective(Protocol):
    """Kind `objective`: one training step's loss, a scalar, and its parts by target.

    `loss` maps raw outputs and targets to {target: (B,) losses}; `mixed` is what `mix` made of the images, or None.
    `network(images, table, method)` gives raw outputs, or what the backbone's method of that name gives.

    Attributes (all optional):
        rows: which rows it learns from besides the fold's training rows: `held_out` and `test`, without their labels.
        teachers: experiments whose predictions come as Batch.teacher, from models that never saw the fold's held-out labels.
        choose: {target: (N, width) teacher's probabilities} -> (N,) bool: which of the unlabelled rows take part.
        teaches_labelled: false where the teachers' answers for the fold's own training rows are not looked at.
        share: weight of an unlabelled row, where a labelled one has 1.
        restore: called with the network after each backward pass.
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

    Supplied `steps`: optimizer steps of the stage; `epochs`: epochs of the stage; `early_stopping`: train.patience, or None.
    `step` is called before each optimizer step with its number (from 0), `epoch` after each epoch with the held-out score that
    train.monitor names (greater is better, a loss has its sign changed; None without one).
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
        batches: pass number (0, 1, ...) -> iterator of Batch; each pass is differently shuffled and augmented. With a second
            number, the rows are drawn with replacement: one draw for each such number, the same in all passes.
        batches_per_epoch: how many batches a pass has.
        rows: how many training rows there are.
        loss: raw outputs, {target: tensor} -> (B,) losses.
        links: target name -> how its raw outputs become probabilities.
        clip_norm: the largest gradient norm; 0: not clipped.
        epochs: passes per member.
        optimizer: the manifest's optimizer mapping.
        device: where the networks and batches live.
        report: called after each batch with (pass number, batch number, loss).
        mean, std: per channel, what images in 0..1 were normalised with.
    """

    make_network: Callable[[], nn.Module]
    batches: Callable[..., Iterator[Batch]]
    batches_per_epoch: int
    rows: int
    loss: Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
    links: Mapping[str, Link]
    clip_norm: float
    epochs: int
    optimizer: Mapping[str, Any]
    device: torch.device
    report: Callable[[int, int, float], None]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Ensemble(Protocol):
    """Kind `ensemble`: several networks trained together inside a fold, predicting as one.

    `fit` trains and returns a module from images to raw outputs; `assemble` builds the same module with untrained weights,
    so that a stored state_dict can be loaded into it (`links` as in EnsembleJob). `passes`: how many passes a fit takes.
    """

    def fit(self, job: EnsembleJob) -> nn.Module: ...

    def assemble(self, make_network: Callable[[], nn.Module], links: Mapping[str, Link]) -> nn.Module: ...

    def passes(self, epochs: int) -> int: ...


class Gatherer(Protocol):
    """Kind `ensemble`, the sort that has no loop of its own: one network made of the epochs of an ordinary fold.

    It takes `epochs` (of the fold, over all stages) before the `/`: by that the kit tells it from an Ensemble. `gather` is
    called after each epoch with its number in the fold, the weights that were validated (a copy on the CPU, to keep) and their
    held-out score (greater is better; None without held-out rows). `finish` is called after the last epoch; `judge(weights)`
    is such a score of other weights, `renew(weights)` the same weights with the batch-norm statistics that the training rows
    give. It returns the weights that predict and the epochs that they are made of, or None: the last epoch's are kept.
    `state` (plain data and tensors) is saved while the fold trains and given back to `load`.

    Attribute `chooses`: whether it looks at held-out scores, so that the fold's own score flatters.
    """

    chooses: bool

    def gather(self, epoch: int, weights: dict[str, torch.Tensor], score: float | None) -> None: ...

    def finish(
        self,
        judge: Callable[[dict[str, torch.Tensor]], float | None],
        renew: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    ) -> tuple[dict[str, torch.Tensor], list[int]] | None: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any]) -> None: ...


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


class Score(Protocol):
    """The metric that decides, as a blend or a post is given it: greater is always better, minus infinity where it is undefined.

    Called with targets and predictions in the form in which the plugin itself is given them. `by_class`: the same arguments ->
    (width,) float64 (NaN where a class has none), or None where the metric has no scores by class, or for several targets.
    """

    def __call__(self, targets: Any, predictions: np.ndarray) -> float: ...

    def by_class(self, targets: Any, predictions: np.ndarray) -> np.ndarray | None: ...


class Post(Protocol):
    """Kind `post`: what is done to predictions before they are scored and submitted, fitted on OOF. One for each target.

    Supplied `task`: of exactly one target; `score`: a Score of that target. Predictions are (N, width) float64 probabilities,
    or (N,) values; `fit` is given those of the rows that are scored, with their targets as a metric has them. `apply` returns
    the same shape, in which argmax, 0.5 or the value itself is the decision. `state` is what was fitted, as plain JSON data;
    `load` puts it back in place of a fit.
    """

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None: ...

    def apply(self, predictions: np.ndarray) -> np.ndarray: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: Mapping[str, Any]) -> None: ...


class Blend(Protocol):
    """Kind `blend`: one prediction from several experiments'.

    Supplied `score`: a Score of the whole task; `members`: name -> the Task that it predicts. `fit` is called with
    {member: (N, outputs) probabilities} and the targets of the rows that are scored; `predict` with members of the same names,
    returns (M, outputs). To find out what a member is worth, both are called without it. Where members are too large to hold,
    the mapping reads an array each time that it is asked for, and its `read_parts(name)` gives (slice of rows, values) part by
    part, each in the memory of the one before.

    Attributes (optional):
        weights: after `fit`, member -> its share, for reports; one of weight 0 has no part in what `predict` returns.
        any_targets: true where members may predict other targets than the blend; else the kit refuses such.
    """

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None: ...

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray: ...


class SubmissionForm(Protocol):
    """Kind `submission`: predictions in the competition's columns.

    Supplied `sample`: the sample submission as text, or None. Called with `id` (text) and (N, outputs) probabilities or
    values, in any order; returns a table with the sample's columns. The kit orders the rows and checks the result.
    `rows_sum_to_one` (attribute): whether the form demands that the answer columns of a row sum to 1. Optional attributes:
    `separator`: what joins several answers in a cell; `keys`: the columns that name a row together, where the first alone does
    not; `units`: the ids that the sample asks for, where its rows are not the units.
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
