"""Keys: what may stand in a manifest, and of what type. What a plugin takes stands in its signature instead.

Defaults that depend on the competition are worked out in defaults; merging and checking are manifest's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from comp.api import TargetKind
from comp.source import REQUIRED, Parameter

COMPETITION_KEYS = ("dataset", "task", "split", "metric", "submission", "leaderboard")
"""What the competition holds fixed; competition.yaml has these keys, and may have what every experiment starts from:"""

STARTING_KEYS = ("extra",)

MODEL_KEYS = (
    "preprocess", "image", "on_bad_image", "augment", "mix", "sampler", "model", "head", "loss", "objective", "optimizer",
    "scheduler", "ensemble", "train", "stages", "search", "tta", "init", "seeds",
)  # fmt: skip
"""What describes a model that is trained, or tuned; a blend has none of them."""

STAGE_KEYS = ("image", "augment", "mix", "sampler", "loss", "objective", "optimizer", "scheduler", "train")
"""What a stage may override."""


class Slot(NamedTuple):
    """A key that takes plugins: which kind, and whether one, one or null, or a list of them."""

    kind: str
    form: Literal["one", "optional", "list"]
    help: str


SLOTS: Mapping[str, Slot] = {
    "dataset": Slot("dataset", "one", "where rows, images and targets come from"),
    "split": Slot("split", "one", "how units are divided into folds"),
    "metric": Slot("metric", "one", "the metric that decides"),
    "also": Slot("metric", "list", "further metrics, for the eye"),
    "submission": Slot("submission", "one", "predictions in the competition's columns"),
    "leaderboard": Slot("leaderboard", "optional", "scores submissions on this machine"),
    "preprocess": Slot("preprocess", "list", "what is done once to every image, before it is resized and stored"),
    "augment": Slot("augment", "list", "transforms of training images, one after another"),
    "mix": Slot("mix", "optional", "mixes the images of a batch"),
    "sampler": Slot("sampler", "one", "which rows an epoch shows"),
    "model": Slot("model", "one", "images to features"),
    "head": Slot("head", "one", "features to outputs"),
    "loss": Slot("loss", "one", "or a mapping of target to loss"),
    "objective": Slot("objective", "one", "one training step's loss"),
    "optimizer": Slot("optimizer", "one", "torch optimizer"),
    "scheduler": Slot("scheduler", "one", "learning rate over time"),
    "ensemble": Slot("ensemble", "optional", "several networks trained together inside a fold"),
    "tta": Slot("tta", "list", "further views of each image in prediction, averaged"),
    "post": Slot("post", "list", "rules fitted on out-of-fold predictions, applied one after another before scoring"),
    "logger": Slot("logger", "list", "readers of a run's events"),
    "blend": Slot("blend", "optional", "a rule from several experiments' predictions to one, instead of a model"),
}  # fmt: skip

KIT_PARAMETERS: Mapping[str, tuple[Parameter, ...]] = {
    "split": (Parameter("repeats", "int", 1, "how often folds are made, with seed, seed + 1, ...; predictions are averaged"),),
    "blend": (
        Parameter("members", "list[str] | dict[str, str]", REQUIRED, "experiments, or a name for each; exp041@DIGEST is one run"),
    ),
    "post": (Parameter("targets", "list[str] | None", None, "targets that it is for; null: all"),),
    "loss": (Parameter("weight", "float", 1.0, "how much it counts beside other targets' (or parts'), from 0"),),
}
"""What every plugin of a kind takes in a manifest because the kit itself reads it; not passed on."""

SECTIONS: Mapping[str, tuple[Parameter, ...]] = {
    "task": (
        Parameter("kind", f"Literal{[*get_args(TargetKind), 'multitarget']} | None", None, "what is predicted"),
        Parameter("targets", "dict[str, str] | None", None, "several targets: the kind of each"),
        Parameter("classes", "int | None", None, "how many classes or labels"),
        Parameter("rows", "int | None", None, "training rows"),
        Parameter("test_rows", "int | None", None, "test rows"),
        Parameter("image_px", "int | None", None, "median short side of the images"),
        Parameter("channels", "int | None", None, "1 grey, 3 colour"),
        Parameter("flip", "bool", True, "whether a mirrored image keeps its class (false: digits, text, left and right)"),
    ),
    "image": (
        Parameter("size", "int | list[int]", 224, "the model's input in training: a side, or [height, width], in pixels"),
        Parameter("predict_size", "Literal['auto'] | int | list[int]", "auto", "in prediction; auto: 1.25 times where crops are"),
        Parameter("fit", "Literal['squash', 'pad', 'crop']", "squash", "how an image of another shape is brought to the size"),
        Parameter("mean", "Literal['auto'] | float | list[float]", "auto", "subtracted (of 0 to 1); auto: as the weights want"),
        Parameter("std", "Literal['auto'] | float | list[float]", "auto", "divides, per channel"),
        Parameter("channels", "Literal['auto'] | int", "auto", "1 or 3; auto: as the images have, 3 for pretrained weights"),
    ),
    "imported": (
        Parameter("oof", "str", REQUIRED, "out-of-fold predictions: a CSV file in the experiment's folder"),
        Parameter("test", "str | None", None, "test predictions, likewise"),
    ),
    "train": (
        Parameter("epochs", "int", 10, "passes over the training rows; with stages, each says its own"),
        Parameter("batch_size", "int", 32, "rows per step"),
        Parameter("precision", "Literal['auto', 'bf16', '16', '32', 16, 32]", "auto", "auto: as the GPU can, 32 on a CPU"),
        Parameter("workers", "Literal['auto'] | int", "auto", "loader processes; auto: by the times of the first batches"),
        Parameter("accumulate", "int", 1, "batches per optimizer step"),
        Parameter("clip_norm", "float", 1.0, "largest gradient norm; 0: not clipped"),
        Parameter(
            "batch_norm",
            "Literal['learn', 'keep']",
            "learn",
            "statistics of batch norm: learn them from the batches, or keep those of the weights that training starts from",
        ),
        Parameter("ema", "Literal['auto'] | bool", "auto", "moving average of the weights; auto: from 500 steps on"),
        Parameter("select", "Literal['last', 'best']", "last", "which epoch's weights predict; best where patience is set"),
        Parameter("patience", "int | None", None, "epochs without a better score before a fold stops"),
        Parameter(
            "monitor",
            "Literal['metric', 'loss']",
            "metric",
            "the held-out score that select: best, start: best, patience and plateau go by: of the metric, or the loss",
        ),
        Parameter(
            "on_nan",
            "Literal['stop', 'skip', 'lower']",
            "stop",
            "an update whose loss or gradient is no number: stop the fold, leave it out, or go back an epoch with half the rate",
        ),
        Parameter("checkpoint_minutes", "float", 10.0, "how often an epoch that takes long is saved in its middle; 0: never"),
        Parameter("compile", "bool", False, "torch.compile"),
        Parameter("channels_last", "bool", True, "images and weights with their channels side by side in memory"),
        Parameter("deterministic", "bool", False, "deterministic kernels on CUDA"),
        Parameter("threads", "Literal['auto'] | int", "auto", "CPU threads"),
        Parameter("devices", "int", 1, "GPUs (without: processes) that share each fold; batch_size and workers are each one's"),
        Parameter("strategy", "Literal['ddp']", "ddp", "how they share it: each has the whole model and batches of its own"),
        Parameter("sync_batch_norm", "bool", False, "statistics of batch norm over the batches of all devices; on GPUs only"),
    ),
}  # fmt: skip

LISTS: Mapping[str, tuple[Parameter, ...]] = {
    "extra": (
        Parameter("table", "str", REQUIRED, "table of the rows, as dataset.train names it"),
        Parameter("data", "str | None", None, "folder of its files; null: dataset.data"),
        Parameter("images", "str | None", None, "folder or archive of its images; null: dataset.images"),
        Parameter("id", "str | None", None, "column of a row's id; null: dataset.id"),
        Parameter("image", "str | None", None, "column of the image; null: dataset.image"),
        Parameter("target", "str | list[str] | None", None, "columns of the targets, in dataset.target's order; null: its names"),
        Parameter("labels", "dict[str, str] | None", None, "their label: ours, where they differ"),
        Parameter("leave_out", "list[str] | None", None, "their labels whose rows are left out"),
        Parameter("weight", "float", 1.0, "how much a row counts beside one of the training table, from 0"),
    ),
}
"""Keys that hold a list of mappings, and what each may hold."""

SEARCH = (
    Parameter(
        "algorithm", "Literal['random', 'grid', 'tpe', 'hyperopt']", "tpe",
        "what draws the next trial: at random; all combinations; Optuna's TPE, or HyperOpt's",
    ),
    Parameter(
        "pruner", "Literal['asha', 'median', 'none']", "asha",
        "what ends a poor trial early: ASHA (by rungs of epochs), a score below the median of the others, or nothing",
    ),
    Parameter("trials", "int", 20, "in all"),
    Parameter("seed", "int | None", None, "of what is drawn; null: the manifest's"),
    Parameter("grace", "int", 1, "epochs that every trial is given before it may be ended"),
    Parameter("reduction", "int", 3, "of ASHA: one trial in so many goes on from a rung"),
)  # fmt: skip
"""How `search:` is searched; every other key in it is a dotted key of the manifest, with its domain (comp.domains)."""

RangeKind = Literal["uniform", "loguniform", "int", "logint"]
RANGES: tuple[RangeKind, ...] = get_args(RangeKind)
"""Domains of numbers: {uniform: [least, greatest]}, ..."""

STAGE_PARAMETERS = (
    Parameter("name", "str", REQUIRED, "of the stage, in reports"),
    Parameter("epochs", "int", REQUIRED, "of the stage"),
    Parameter(
        "freeze",
        "str | list[str] | None",
        None,
        "backbone: the head alone trains; norm: batch-norm is kept; layers:14: the first 14; or patterns of names (blocks.0*)",
    ),
    Parameter("start", "Literal['last', 'best']", "last", "which weights of the stage before it starts from"),
)

PLAIN = (
    Parameter("format", "int", 1, "version of this file's format"),
    Parameter("about", "str", "", "what the idea is, what it should reach and what it costs"),
    Parameter("extends", "str | None", None, "an experiment (exp041), a run of it (exp041@DIGEST) or an example"),
    Parameter("seed", "int", 42, "of everything random in training"),
    Parameter("seeds", "list[int] | None", None, "instead of seed: every fold is trained with each, and their mean predicts"),
    Parameter("init", "str | None", None, "weights to start from: exp041 (fold by fold), exp041/full, or a .safetensors file"),
    Parameter("aggregate", "Literal['mean', 'max', 'noisy_or']", "mean", "one answer from a unit's several rows"),
    Parameter("on_bad_image", "Literal['error', 'skip']", "error", "what to do with a training image that cannot be read"),
)

LIMITS: Mapping[str, tuple[float, float]] = {
    "format": (1, 1), "seed": (0, 2**32 - 1), "seeds": (0, 2**32 - 1), "split.folds": (2, 1000), "image.size": (1, 8192),
    "image.predict_size": (1, 8192),
    "image.channels": (1, 64), "train.epochs": (1, 100_000), "train.batch_size": (1, 1_000_000), "train.workers": (0, 256),
    "train.accumulate": (1, 100_000), "train.clip_norm": (0, float("inf")), "train.patience": (1, 100_000),
    "train.checkpoint_minutes": (0, 100_000),
    "train.threads": (1, 1024), "train.devices": (1, 64), "split.repeats": (1, 100), "split.seed": (0, 2**32 - 101),
    "search.trials": (1, 100_000), "search.seed": (0, 2**32 - 1), "search.grace": (1, 100_000), "search.reduction": (2, 100),
}  # fmt: skip
"""Dotted key -> least and greatest value (of each number, where it takes a list)."""

MANIFEST_KEYS = (
    "format", "about", "extends", "seed", "seeds", "init", "dataset", "extra", "task", "split", "metric", "also", "aggregate",
    "submission", "leaderboard", "blend", "imported", "preprocess", "image", "on_bad_image", "augment", "mix", "sampler", "model",
    "head", "loss", "objective", "optimizer", "scheduler",
    "ensemble", "train", "stages", "search", "tta", "post", "logger",
)  # fmt: skip
"""All of them, in the order in which people read a manifest."""
