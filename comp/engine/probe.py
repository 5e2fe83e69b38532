"""A try-out: a few real training steps and predictions, to see the shapes and to estimate time and memory before a run."""

from __future__ import annotations

import math
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric

from comp.api import ImageSpec, Task
from comp.engine.checkpoint import Progress
from comp.engine.context import StageContext
from comp.engine.lessons import pretend_lessons
from comp.engine.loader.workers import WorkerPool
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, build_network, enter_training, find_layout
from comp.engine.predict import plan_batch, predict_views
from comp.engine.rows import Rows
from comp.engine.sizes import plan_stage_image
from comp.engine.stage import Stage
from comp.engine.sums import LOSS, Sums
from comp.engine.tabular import encode_rows, fit_encoder
from comp.manifest import Manifest
from comp.views import PLAIN

STEPS = 3


@dataclass(frozen=True)
class Trial:
    """What the try-out found.

    Attributes:
        input_shape, output_shape: of one training batch.
        parameters, trainable: numbers of weights; `trainable` in the first stage.
        step_s: seconds of one training step, loading included; predict_s: seconds to predict one image.
        memory_mib: the most that was used: on a GPU of its memory, else of the process.
        faults: updates that could not be made, because the loss or the gradient is no number.
    """

    input_shape: tuple[int, ...]
    features: int
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    loss: float
    step_s: float
    predict_s: float
    memory_mib: float
    faults: int = 0

    def describe_loss(self) -> str:
        """The first loss, and what to do where training from it is no use."""
        if not self.faults:
            return f"first loss {self.loss:.3f}"
        what = "" if math.isnan(self.loss) else ", and then a loss or gradient that is no number"
        do = "look at images and targets, lower optimizer.lr, set train.clip_norm, or train.precision: 32"
        return f"first loss {self.loss:.3f}{what}: {do} (what a run does there is train.on_nan's to say)"


def measure_memory(manifest: Manifest, task: Task, image: ImageSpec, rows: Rows, fabric: Fabric) -> float:
    """Bytes of a GPU that a fold takes at most, by a few steps of each of its stages, with what the average of its weights takes.

    Raises:
        CompError: whatever a run would stumble over at its start.
    """
    torch.cuda.reset_peak_memory_stats(fabric.device)
    most = min(len(rows), 2 * max(stage["train"]["batch_size"] for stage in manifest.stages))
    rows = rows.take(np.linspace(0, len(rows) - 1, most).astype(int)).balance_weights()  # the first may be of one class
    tried = [try_training(manifest, task, image, rows, fabric, index) for index in range(len(manifest.stages))]
    averaged = 4 * tried[0].parameters if any(stage["train"]["ema"] for stage in manifest.stages) else 0
    return torch.cuda.max_memory_reserved(fabric.device) + averaged


def try_training(manifest: Manifest, task: Task, image: ImageSpec, rows: Rows, fabric: Fabric, index: int = 0) -> Trial:
    """Train a stage for a few steps on these rows and predict them; nothing is kept.

    Args:
        index: which stage.

    Raises:
        CompError: whatever a run would stumble over at its start.
    """
    stage = manifest.stages[index]
    stage = {**stage, "train": {**stage["train"], "on_nan": "skip"}}  # what is no number is found out, and said at the end
    counts = ClassCounts(count_classes(task, rows.targets), len(rows))
    key = (manifest.values["seed"], "check")
    encoder = fit_encoder([rows.columns])
    rows = encode_rows(rows, encoder)
    width = encoder.width if encoder else 0
    network = fabric.to_device(build_network(manifest.catalog, manifest.values, task, image, counts, key, width))
    network.to(memory_format=find_layout(network))
    seen = plan_stage_image(stage["image"], image)
    context = StageContext(
        manifest.catalog, task, stage, seen, "check", ("check",), 0, WorkerPool(), lambda event: None, lambda: False
    )
    objective = manifest.catalog.build("objective", stage["objective"], task=task)
    opened = Stage(context, network, fabric, pretend_lessons(objective, rows, task))
    progress, times, losses = Progress(), [], []
    order = np.resize(np.arange(len(rows)), STEPS * opened.batch_size)
    enter_training(network, opened.frozen)
    started = time.monotonic()
    for images, chosen in opened.loader.epoch(order, ("check", 0)):
        sums = Sums(fabric.device, Progress())
        found = opened.train_batch(images, chosen, progress)
        sums.add(found)
        losses.append(float(sums.values[LOSS]) / len(chosen) if found else math.nan)
        now = time.monotonic()
        times.append(now - started)
        started = now
    started = time.monotonic()
    outputs = predict_views(network, fabric, rows, {PLAIN: None}, plan_batch(manifest, image))[PLAIN]
    predict_s = (time.monotonic() - started) / len(rows)
    return Trial(
        (opened.batch_size, seen.channels, *seen.size),
        network.backbone.features,
        (opened.batch_size, outputs.shape[1]),
        sum(weight.numel() for weight in network.parameters()),
        sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
        losses[0],
        min(times[1:] or times),
        predict_s,
        peak_memory_mib(fabric),
        max(progress.skipped, sum(map(math.isnan, losses))),
    )


def peak_memory_mib(fabric: Fabric) -> float:
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated(fabric.device) / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10
