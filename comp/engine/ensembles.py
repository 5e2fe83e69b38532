"""Ensembles that own their training loop: what the kit hands them, and the network that they become."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from comp.api import Batch, EnsembleJob
from comp.engine.device import seed_torch
from comp.engine.network import ClassCounts, Network, build_network, find_layout
from comp.engine.randomness import derive_seed, make_generator
from comp.engine.samples import Samples
from comp.engine.stage import TICK_S, Stage
from comp.errors import PluginError, RunError, RunInterrupted
from comp.events import Emit, EpochFinished, Notice, StepFinished

if TYPE_CHECKING:
    from comp.engine.job import FoldJob


class EnsembleNetwork(nn.Module):
    """Several networks that predict as one; prepares images as its members do."""

    def __init__(self, members: nn.Module, template: Network) -> None:
        super().__init__()
        self.members, self.channels_last = members, template.channels_last
        self.register_buffer("scale", template.scale.clone(), persistent=False)
        self.register_buffer("shift", template.shift.clone(), persistent=False)
        self.line = template.line  # as prepare keeps it

    prepare = Network.prepare

    def forward(self, images: torch.Tensor, table: torch.Tensor | None = None) -> torch.Tensor:
        return self.members(images)


def fit_ensemble(job: FoldJob, fabric: Fabric, stage: Stage, emit: Emit, samples: Samples) -> tuple[EnsembleNetwork, PassReport]:
    """Let the manifest's ensemble train its members on this fold. Returns the network, and what it told, yet to be finished.

    `samples` looks at every batch.

    Raises:
        RunInterrupted: a stop was asked for; the fold starts anew, and the message says so.
        RunError: the loss is no longer a number.
        PluginError: model or head add to the loss, which a loop of its own cannot honour.
    """
    if stage.penalties:
        raise PluginError("the ensemble has a training loop of its own, which adds no penalty to the loss: set head.l2: 0")
    values = job.manifest.values
    ensemble = job.manifest.catalog.build("ensemble", values["ensemble"], task=job.task)
    epochs = stage.context.stage["epochs"]
    scale, shift = stage.network.scale, stage.network.shift
    telling = PassReport(job.fold, stage, ensemble.passes(epochs), emit)
    seed_torch(derive_seed(values["seed"], job.fold, "ensemble"), fabric.device)
    given = EnsembleJob(
        make_network=member_maker(job, fabric, stage),
        batches=samples.watch_batches(pass_batches(stage)),
        batches_per_epoch=stage.batches,
        rows=stage.epoch_rows,
        loss=lambda outputs, targets: torch.stack(list(stage.losses(outputs.float(), targets).values())).mean(dim=0),
        links=stage.losses.links,
        clip_norm=stage.clip_norm,
        epochs=epochs,
        optimizer=stage.context.stage["optimizer"],
        device=fabric.device,
        report=telling,
        mean=tuple((-shift / (255 * scale)).flatten().tolist()),
        std=tuple((1 / (255 * scale)).flatten().tolist()),
    )
    with open_precision(fabric, job.fold, emit):
        members = ensemble.fit(given)
    return EnsembleNetwork(members, stage.network).to(fabric.device), telling


def open_precision(fabric: Fabric, fold: str, emit: Emit) -> AbstractContextManager[None]:
    """Half precision around an ensemble's own loop, which knows of none; fp16 wants a loss scaler in the loop, so fp32 there."""
    if fabric.strategy.precision.precision != "16-mixed":
        return fabric.autocast()
    emit(Notice(f"fold {fold}: the ensemble trains in fp32, because its own loop has no loss scaler for fp16", "warning"))
    return nullcontext()


def member_maker(job: FoldJob, fabric: Fabric, stage: Stage) -> Callable[[], Network]:
    """Each call builds the next member, from initial weights of its own."""
    built = iter(range(1_000_000))

    def make_network() -> Network:
        key = (job.manifest.values["seed"], job.fold, "member", next(built))
        counts = ClassCounts(stage.counts, len(stage.rows))
        # What the ensemble draws does not depend on how many members it has built.
        with torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []):
            network = build_network(job.manifest.catalog, job.manifest.values, job.task, job.image, counts, key)
        return fabric.to_device(network).to(memory_format=find_layout(network))

    return make_network


def pass_batches(stage: Stage) -> Callable[..., Iterator[Batch]]:
    """Pass number -> batches, each pass drawn and augmented from its own key; with a `draw`, rows drawn with replacement."""

    def batches(number: int, draw: int | None = None) -> Iterator[Batch]:
        key = (*stage.context.key, number)
        order = stage.draw_order(number)
        for images, rows in stage.loader.epoch(order if draw is None else draw_again(stage, draw)[order], key):
            yield stage.make_batch(images, rows)

    return batches


def draw_again(stage: Stage, draw: int) -> np.ndarray:
    """(N,) int64: for each training row the row that is shown in its stead, the same in every pass of this draw.

    Raises:
        PluginError: a sampler chooses the rows already, by what they are.
    """
    if (use := stage.context.stage["sampler"]["use"]) != "none":
        raise PluginError(f"the ensemble draws its rows itself, so that sampler '{use}' would choose others; remove one")
    return make_generator(*stage.context.key, draw, "draw").integers(len(stage.rows), size=len(stage.rows))


class PassReport:
    """Turns an ensemble's batch reports into the events that views expect, one EpochFinished for each pass over the data."""

    def __init__(self, fold: str, stage: Stage, passes: int, emit: Emit) -> None:
        self.fold, self.stage, self.passes, self.emit = fold, stage, passes, emit
        self.history: list[dict[str, Any]] = []
        self.number, self.loss_sum, self.batches = 0, 0.0, 0
        self.started = self.pass_started = self.ticked = time.monotonic()

    @property
    def mean_loss(self) -> float:
        return self.loss_sum / max(1, self.batches)

    def __call__(self, number: int, batch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"fold {self.fold}, pass {number}, batch {batch + 1} of {self.stage.batches}: the training loss is {loss}. "
                "Lower optimizer.lr, set train.clip_norm, or train.precision: 32."
            )
        if number != self.number:
            self.finish_pass(None, {})
            self.number, self.loss_sum, self.batches, self.pass_started = number, 0.0, 0, time.monotonic()
        self.loss_sum += loss
        self.batches += 1
        now = time.monotonic()
        if now - self.ticked > TICK_S:
            self.ticked = now
            name, batches = self.stage.context.stage["name"], self.stage.batches
            self.emit(StepFinished(self.fold, name, number, self.batches, batches, self.mean_loss, self.samples_per_s(now)))
        if self.stage.context.stop():
            why = "because an ensemble's own loop cannot be resumed"
            raise RunInterrupted("stopped", lost=f"fold {self.fold} starts anew, {why}")

    def samples_per_s(self, now: float) -> float:
        return self.batches * self.stage.batch_size / max(now - self.pass_started, 1e-9)

    def finish(self, held_out_loss: float | None, scores: dict[str, float]) -> list[dict[str, Any]]:
        """After the last pass, when the ensemble has been validated: the record of every pass."""
        self.finish_pass(held_out_loss, scores)
        return self.history

    def finish_pass(self, held_out_loss: float | None, scores: dict[str, float]) -> None:
        now, spec = time.monotonic(), self.stage.context.stage
        record = EpochFinished(
            self.fold,
            spec["name"],
            self.number,
            self.passes,
            self.mean_loss,
            held_out_loss,
            scores,
            float(spec["optimizer"]["lr"]),
            now - self.started,
            self.samples_per_s(now),
            bool(scores),
        )
        self.history.append(
            {"epoch": self.number, "scores": scores, "train_loss": record.train_loss, "held_out_loss": held_out_loss}
        )
        self.emit(record)
