"""A stage of a fold: epochs under one optimizer, one schedule and one choice of what is frozen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from comp.api import Batch
from comp.engine.augment import AugmentPlan
from comp.engine.average import WeightAverage
from comp.engine.batches import gather_batch, send_rows
from comp.engine.checkpoint import Progress
from comp.engine.context import StageContext, Step
from comp.engine.data import TrainLoader
from comp.engine.device import free_memory, is_mixed, renew_scaler, seed_torch
from comp.engine.losses import TaskLoss, build_losses, count_classes
from comp.engine.network import Network, enter_training, freeze_parts
from comp.engine.order import check_order
from comp.engine.randomness import derive_seed, make_generator
from comp.engine.ranks import Ranks
from comp.engine.rows import Rows
from comp.errors import RunError, RunInterrupted
from comp.events import Notice, StepFinished

if TYPE_CHECKING:
    from comp.engine.features import StoredFeatures

TICK_S = 0.1
LOSS = ""  # beside the targets' names

Means = dict[str, tuple[torch.Tensor, int]]
"""What a micro-batch's loss was: LOSS and each target -> mean over the rows, and how many rows."""
EMA_FROM_STEPS = 500


class Stage:
    """Trains a network; holds what must survive from step to step (optimizer, schedule, average of the weights).

    `features`: what it learns from in place of images, where its backbone is frozen and shown the same in every epoch."""

    def __init__(self, context: StageContext, network: Network, fabric: Fabric, train: Rows) -> None:
        self.context, self.network, self.fabric, self.rows = context, network, fabric, train
        self.ranks = Ranks(fabric)
        build, stage = context.catalog.build, context.stage
        settings = stage["train"]
        self.batch_size: int = settings["batch_size"]
        self.per_step: int = settings["accumulate"] * self.ranks.count  # batches
        self.clip_norm: float = settings["clip_norm"]
        known = {"task": context.task, "targets": dict(train.targets), "batch_size": self.batch_size}
        self.sampler = build("sampler", stage["sampler"], **known)
        self.epoch_rows: int | None = None
        self.epoch_rows = len(self.draw_order(0))
        self.batches = math.ceil(self.epoch_rows / self.batch_size)
        self.steps = math.ceil(self.batches / self.per_step) * stage["epochs"]
        labels = train.targets if train.labelled is None else train.take(np.flatnonzero(train.labelled)).targets
        self.counts = count_classes(context.task, labels)
        self.losses: TaskLoss = build_losses(context.catalog, stage["loss"], context.task, labels, fabric.device)
        self.objective = build("objective", stage["objective"], task=context.task)
        self.penalties = [part.penalty for part in network.modules() if callable(getattr(part, "penalty", None))]
        self.after_backward: Callable[[Network], None] | None = getattr(self.objective, "restore", None)
        self.mix = build("mix", stage["mix"], task=context.task) if stage["mix"] else None
        self.frozen = freeze_parts(network, stage["freeze"])
        if settings["batch_norm"] == "keep":
            self.frozen += [part for part in network.backbone.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self.optimizer = build("optimizer", stage["optimizer"], network=network)
        span = {"steps": self.steps, "epochs": stage["epochs"], "early_stopping": settings["patience"]}
        self.scheduler = build("scheduler", stage["scheduler"], optimizer=self.optimizer, **span)
        self.ema = self.start_average(settings["ema"])
        self.module = torch.compile(network) if settings["compile"] else network
        if is_mixed(fabric):  # in fp32 Fabric's wrapper would only cost time
            self.module = fabric.setup_module(self.module)
        self.fabric_optimizer = fabric.setup_optimizers(self.optimizer)
        renew_scaler(fabric)
        self.data = send_rows(train, fabric.device)
        self.loader = self.open_loader()
        self.features: StoredFeatures | None = None
        self.micro_rows = self.batch_size
        self.group: list[Step] = []
        self.sums: dict[str, torch.Tensor] = {}

    def start_average(self, asked: bool | str) -> WeightAverage | None:
        """The running average of the weights; `auto` takes one where the stage is long enough to have a horizon."""
        if asked is False or (asked == "auto" and self.steps < EMA_FROM_STEPS):
            return None
        return WeightAverage(self.network, self.steps)

    def open_loader(self) -> TrainLoader:
        specs = self.context.stage["augment"]
        augment = AugmentPlan(self.context.catalog, tuple(specs), self.context.image) if specs else None
        rows, size = self.rows, self.context.image.size
        pin = self.fabric.device.type == "cuda"
        return TrainLoader(rows.store, rows.positions, rows.keys, augment, size, self.batch_size, self.context.workers, pin=pin)

    @property
    def predictor(self) -> Network:
        """The network that is validated, saved and predicts: the averaged one where there is one."""
        return self.ema.module if self.ema else self.network

    def draw_order(self, epoch: int) -> np.ndarray:
        """Which training rows the epoch shows, in which order: (M,) positions, M the same in every epoch.

        Raises:
            PluginError: the sampler's answer is none.
        """
        use = self.context.stage["sampler"]["use"]
        answer = self.sampler(make_generator(*self.context.key, epoch, "order"))
        return check_order(answer, use, len(self.rows), self.batch_size, epoch, self.epoch_rows)

    def train_epoch(self, progress: Progress) -> None:
        """One pass over the data, from the batch where `progress` stands.

        Raises:
            RunInterrupted: a stop was asked for; the state is that after a whole step, and `progress` says which.
            RunError: the loss is no longer a number.
        """
        enter_training(self.network, self.frozen)
        order = self.draw_order(progress.epoch)
        self.ranks.start_sums(progress)
        self.sums = {name: self.make_sum(value) for name, value in {LOSS: progress.loss_sum, **progress.part_sums}.items()}
        ticked, ticked_rows = time.monotonic(), progress.rows
        for images, rows in self.open_batches(order, progress):
            self.add(self.train_batch(images, rows, progress))
            progress.rows += len(rows)
            progress.batch = min(progress.batch + self.ranks.count, self.batches)
            now = time.monotonic()
            if now - ticked > TICK_S:
                self.tick(progress, self.ranks.count * (progress.rows - ticked_rows) / (now - ticked))
                ticked, ticked_rows = now, progress.rows
            if progress.batch % self.per_step == 0 and self.ranks.stops(self.context.stop):
                self.tick(progress, 0.0, whole=True)
                raise RunInterrupted("stopped")
        self.tick(progress, 0.0, whole=True)

    def open_batches(self, order: np.ndarray, progress: Progress) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's batches of an epoch from where `progress` stands: images, or (B, F) features where they are stored."""
        first, every = progress.batch + self.ranks.rank, self.ranks.count
        if self.features is None:
            batches = self.loader.epoch(order, (*self.context.key, progress.epoch), first, every)
        else:
            batches = self.features.batches(self.rows, self.context.image.size, order, self.batch_size, first, every)
        return batches if every == 1 else self.ranks.fill_turns(batches, math.ceil((self.batches - progress.batch) / every))

    def make_sum(self, value: float) -> torch.Tensor:
        kind = torch.float32 if self.fabric.device.type == "mps" else torch.float64  # which MPS does not know
        return torch.tensor(value, dtype=kind, device=self.fabric.device)

    def add(self, losses: list[Means]) -> None:
        for micro in losses:
            for name, (mean, rows) in micro.items():
                if name not in self.sums:
                    self.sums[name] = self.make_sum(0.0)
                self.sums[name].add_(mean, alpha=rows)

    def tick(self, progress: Progress, samples_per_s: float, *, whole: bool = False) -> None:
        """Bring `progress` up to date and tell. `whole`: with what the other ranks have summed."""
        context = self.context
        progress.part_sums = {name: float(value) for name, value in self.sums.items()}
        progress.loss_sum = progress.part_sums.pop(LOSS)
        if whole:
            self.ranks.join_sums(progress)
        loss = progress.loss_sum / max(1, progress.rows)
        epoch = context.first_epoch + progress.epoch
        if not math.isfinite(loss):
            raise RunError(
                f"fold {context.fold}, epoch {epoch}, by batch {progress.batch} of {self.batches}: the training loss is {loss}. "
                "Lower optimizer.lr, set train.clip_norm, or train.precision: 32; the last saved epoch is kept."
            )
        context.emit(StepFinished(context.fold, context.stage["name"], epoch, progress.batch, self.batches, loss, samples_per_s))

    def train_batch(self, images: torch.Tensor, rows: torch.Tensor, progress: Progress) -> list[Means]:
        """Forward, backward and, at the end of an accumulation group, one optimizer step.

        Returns the losses of each micro-batch (one, where memory suffices).
        """
        start = progress.batch // self.per_step * self.per_step * self.batch_size
        group_rows = min(start + self.per_step * self.batch_size, self.epoch_rows) - start
        number, turned = progress.batch + self.ranks.rank, progress.batch + self.ranks.count
        self.group.append(Step(images, rows, derive_seed(*self.context.key, progress.epoch, number, "step")))
        todo = self.group[-1:]
        whole = turned <= self.batches
        while True:
            try:
                with nullcontext() if whole else self.ranks.apart(self.network):
                    losses = [self.backward(step, group_rows) for step in todo][-1]
                break
            except torch.OutOfMemoryError as error:
                failure = error.with_traceback(None)  # whose frames hold what fills the memory
            if self.after_backward:
                self.after_backward(self.network)
            self.split_batches(len(rows), failure)
            todo = self.group
        if turned % self.per_step == 0 or turned >= self.batches:
            self.update(progress)
            self.group = []
        return losses

    def backward(self, step: Step, group_rows: int) -> list[Means]:
        seed_torch(step.seed, self.fabric.device)  # what libraries draw from the global generator: dropout, stochastic depth
        generator = torch.Generator().manual_seed(step.seed) if self.mix else None
        losses = []
        for images, rows in self.split(step):
            batch = self.make_batch(images, rows)
            mixed = self.mix(batch.images, generator) if self.mix else None
            loss, parts = self.objective(self.module, batch, mixed, self.losses)
            whole = sum((penalty() for penalty in self.penalties), loss)
            self.fabric.backward(whole if len(rows) == group_rows else whole * (len(rows) / group_rows))
            if self.after_backward:
                self.after_backward(self.network)
            losses.append({name: (mean.detach(), len(rows)) for name, mean in {LOSS: loss, **parts}.items()})
        return losses

    def split(self, step: Step) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Images and rows in pieces of nearly equal size, of `micro_rows` at most; none of a turn without rows."""
        pieces = math.ceil(len(step.rows) / self.micro_rows)
        if pieces < 2:
            return [(step.images, step.rows)] * pieces
        return zip(step.images.tensor_split(pieces), step.rows.tensor_split(pieces), strict=True)

    def make_batch(self, images: torch.Tensor, rows: torch.Tensor) -> Batch:
        images, rows = (given.to(self.fabric.device, non_blocking=True) for given in (images, rows))
        return gather_batch(self.data, images if images.is_floating_point() else self.network.prepare(images), rows)

    def update(self, progress: Progress) -> None:
        if self.ranks.count > 1:
            self.ranks.sum_gradients(self.network, self.context.stop(), any(len(step.rows) for step in self.group))
        if self.clip_norm:
            self.fabric.clip_gradients(self.network, self.fabric_optimizer, max_norm=self.clip_norm, error_if_nonfinite=False)
        self.scheduler.step(progress.updates)
        self.fabric_optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.network, progress.updates)
        progress.updates += 1

    def split_batches(self, rows: int, failure: Exception) -> None:
        """After running out of memory: half the micro-batch, twice the accumulation, and the group of batches from its start.

        The gradient stays the same, but for what depends on a batch's other rows (batch norm, mix) and for dropout.
        """
        if min(rows, self.micro_rows) < 2:
            why = "the device's memory does not hold one training image; lower image.size or take a smaller model."
            raise RunError(why) from failure
        if self.context.stage["train"]["sync_batch_norm"]:
            why = "out of memory: batches whose batch norm is synchronised are not split; lower train.batch_size."
            raise RunError(why) from failure
        self.micro_rows = math.ceil(min(rows, self.micro_rows) / 2)
        self.optimizer.zero_grad(set_to_none=True)
        free_memory()
        sizes = f"micro-batches of {self.micro_rows} (batches of {self.batch_size})"
        self.context.emit(Notice(f"fold {self.context.fold}: out of memory; going on with {sizes}", "warning"))

    def states(self) -> dict[str, Any]:
        """Everything besides Progress that a resumed stage needs, as plain data and tensors."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "micro_rows": self.micro_rows,
        }

    def restore(self, states: Mapping[str, Any]) -> None:
        self.network.load_state_dict(states["network"])
        if self.ema:
            self.ema.module.load_state_dict(states["ema"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.scheduler.load_state_dict(states["scheduler"])
        self.fabric.strategy.precision.load_state_dict(states["precision"])
        self.micro_rows = states["micro_rows"]

    def learning_rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def close(self) -> None:
        self.loader.close()
