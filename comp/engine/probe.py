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
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, build_network, enter_training
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.rows import Rows
from comp.engine.sizes import plan_stage_image
from comp.engine.stage import LOSS, Stage
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


def try_training(manifest: Manifest, task: Task, image: ImageSpec, rows: Rows, fabric: Fabric) -> Trial:
    """Train the first stage for a few steps on these rows and predict them; nothing is kept.

    Raises:
        CompError: whatever a run would stumble over at its start.
    """
    stage = manifest.stages[0]
    counts = ClassCounts(count_classes(task, rows.targets), len(rows))
    key = (manifest.values["seed"], "check")
    encoder = fit_encoder([rows.columns])
    rows = encode_rows(rows, encoder)
    width = encoder.width if encoder else 0
    network = fabric.to_device(build_network(manifest.catalog, manifest.values, task, image, counts, key, width))
    network.to(memory_format=torch.channels_last)
    seen = plan_stage_image(stage["image"], image)
    context = StageContext(manifest.catalog, task, stage, seen, "check", ("check",), 0, 0, lambda event: None, lambda: False)
    objective = manifest.catalog.build("objective", stage["objective"], task=task)
    opened = Stage(context, network, fabric, pretend_lessons(objective, rows, task))
    progress, times, losses = Progress(), [], []
    order = np.resize(np.arange(len(rows)), STEPS * opened.batch_size)
    enter_training(network, opened.frozen)
    started = time.monotonic()
    for images, chosen in opened.loader.epoch(order, ("check", 0)):
        opened.sums = {}
        opened.add(opened.train_batch(images, chosen, progress))
        losses.append(float(opened.sums[LOSS]) / len(chosen))
        now = time.monotonic()
        times.append(now - started)
        started = now
    opened.close()
    batch = PredictBatch(opened.batch_size, image.predict_size)
    started = time.monotonic()
    outputs = predict_views(network, fabric, rows, {PLAIN: None}, batch)[PLAIN]
    predict_s = (time.monotonic() - started) / len(rows)
    return Trial(
        (opened.batch_size, seen.channels, *seen.size),
        network.backbone.features,
        (opened.batch_size, outputs.shape[1]),
        sum(weight.numel() for weight in network.parameters()),
        sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
        losses[0] if math.isfinite(losses[0]) else math.nan,
        min(times[1:] or times),
        predict_s,
        peak_memory_mib(fabric),
    )


def peak_memory_mib(fabric: Fabric) -> float:
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated(fabric.device) / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10
