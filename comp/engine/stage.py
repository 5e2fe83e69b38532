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
from comp.engine.average import start_average
from comp.engine.batches import gather_batch, send_rows
from comp.engine.checkpoint import Progress
from comp.engine.compiled import explain_compiling
from comp.engine.context import StageContext, Step
from comp.engine.data import TrainLoader
from comp.engine.device import fuse_updates, is_mixed, renew_scaler, seed_torch
from comp.engine.finite import Watch
from comp.engine.loader.pace import Pace
from comp.engine.loader.recipe import Recipe
from comp.engine.losses import TaskLoss, build_losses, count_classes
from comp.engine.memory import free_memory
from comp.engine.micro import halve_rows, split_step
from comp.engine.network import Network, enter_training, freeze_parts
from comp.engine.on_device import DeviceLoader, divide_augment
from comp.engine.order import check_order
from comp.engine.randomness import derive_seed, make_generator
from comp.engine.ranks import Ranks
from comp.engine.retreat import lower_rates
from comp.engine.rows import Rows
from comp.engine.sums import LOSS, Means, Sums
from comp.errors import RunInterrupted
from comp.events import Notice, StepFinished

if TYPE_CHECKING:
    from comp.engine.features import StoredFeatures

TICK_S = 0.1


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
        fuse_updates(self.optimizer, fabric)
        span = {"steps": self.steps, "epochs": stage["epochs"], "early_stopping": settings["patience"]}
        self.scheduler = build("scheduler", stage["scheduler"], optimizer=self.optimizer, **span)
        self.ema = start_average(settings["ema"], network, self.steps)
        self.mixed, self.device = is_mixed(fabric), fabric.device
        self.module, self.steps_by = torch.compile(network) if settings["compile"] else network, self.optimizer
        if self.mixed:  # in fp32 Fabric's wrappers would only cost time
            self.module, self.steps_by = fabric.setup_module(self.module), fabric.setup_optimizers(self.optimizer)
        renew_scaler(fabric)
        self.data = send_rows(train, fabric.device)
        self.loader = self.open_loader()
        self.features: StoredFeatures | None = None
        self.micro_rows = self.batch_size
        self.group: list[Step] = []
        self.watch = Watch(context, fabric, self.ranks, train.row_ids, self.batches, network)
        self.sums = Sums(fabric.device, Progress())

    def open_loader(self) -> TrainLoader | DeviceLoader:
        context, rows = self.context, self.rows
        augment, size, changes = divide_augment(context.catalog, context.stage["augment"], context.image, rows.store.form.size)
        recipe = Recipe(rows.store, rows.positions, rows.keys, augment, size)
        planned = math.ceil(self.batches * context.stage["epochs"] / self.ranks.count)
        pace = Pace(context.stage["name"], planned, lambda text: context.emit(Notice(text)))
        loader = TrainLoader(recipe, self.batch_size, context.pool, self.device, pace)
        return DeviceLoader(loader, rows.keys, changes, self.network, context.image.size, context.clock) if changes else loader

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
            NotFinite, RunError: a loss or gradient is no number.
        """
        enter_training(self.network, self.frozen)
        order = self.draw_order(progress.epoch)
        self.start_sums(progress)
        ticked, ticked_rows = time.monotonic(), progress.rows
        for images, rows in self.context.clock.watch(self.open_batches(order, progress), "data"):
            if losses := self.train_batch(images, rows, progress):
                self.sums.add(losses)
                progress.rows += len(rows)
            progress.batch = min(progress.batch + self.ranks.count, self.batches)
            now = time.monotonic()
            if now - ticked > TICK_S:
                self.tick(progress, self.ranks.count * (progress.rows - ticked_rows) / (now - ticked))
                ticked, ticked_rows = now, progress.rows
            if progress.batch % self.per_step == 0 and self.rest(progress):
                ticked_rows = progress.rows
        self.tick(progress, 0.0, whole=True)
        self.watch.end_epoch(progress, math.ceil(self.batches / self.per_step))

    def start_sums(self, progress: Progress) -> None:
        self.ranks.start_sums(progress)
        self.sums = Sums(self.device, progress)

    def rest(self, progress: Progress) -> bool:
        """After an update: save, where that is due. Returns whether it was.

        Raises:
            RunInterrupted: a stop was asked for.
        """
        stopped = self.ranks.stops(self.context.stop)
        if not stopped and not self.ranks.saves(self.context.due):
            return False
        self.tick(progress, 0.0, whole=True)
        if stopped:
            raise RunInterrupted("stopped")
        self.context.save(self)
        self.start_sums(progress)
        return True

    def open_batches(self, order: np.ndarray, progress: Progress) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's batches of an epoch from where `progress` stands: images, or (B, F) features where they are stored."""
        first, every = progress.batch + self.ranks.rank, self.ranks.count
        if self.features is None:
            batches = self.loader.epoch(order, (*self.context.key, progress.epoch), first, every)
        else:
            batches = self.features.batches(self.rows, self.context.image.size, order, self.batch_size, first, every)
        return batches if every == 1 else self.ranks.fill_turns(batches, math.ceil((self.batches - progress.batch) / every))

    def tick(self, progress: Progress, samples_per_s: float, *, whole: bool = False) -> None:
        """Bring `progress` up to date and tell. `whole`: with what the other ranks have summed."""
        context = self.context
        self.sums.tell(progress)
        self.watch.look(progress, together=whole)
        if whole:
            self.ranks.join_sums(progress)
        loss = progress.loss_sum / max(1, progress.rows)
        epoch = context.first_epoch + progress.epoch
        context.emit(StepFinished(context.fold, context.stage["name"], epoch, progress.batch, self.batches, loss, samples_per_s))

    def train_batch(self, images: torch.Tensor, rows: torch.Tensor, progress: Progress) -> list[Means]:
        """Forward, backward and, at the end of an accumulation group, one optimizer step.

        Returns the losses of each micro-batch (one, where memory suffices); none where they are no numbers and that is known.
        """
        if not self.group:
            self.watch.begin()
        start = progress.batch // self.per_step * self.per_step * self.batch_size
        group_rows = min(start + self.per_step * self.batch_size, self.epoch_rows) - start
        number, turned = progress.batch + self.ranks.rank, progress.batch + self.ranks.count
        self.group.append(Step(images, rows, derive_seed(*self.context.key, progress.epoch, number, "step")))
        todo, whole = self.group[-1:], turned <= self.batches
        while True:
            try:
                with nullcontext() if whole else self.ranks.apart(self.network):
                    losses = [self.backward(step, group_rows) for step in todo][-1]
                break
            except torch.OutOfMemoryError as error:
                failure = error.with_traceback(None)  # whose frames hold what fills the memory
            except RuntimeError as error:
                if self.context.stage["train"]["compile"] and (told := explain_compiling(error, self.network)):
                    raise told from error
                raise
            if self.after_backward:
                self.after_backward(self.network)
            self.split_batches(len(rows), failure)
            todo = self.group
        counts = self.watch.note(number + 1, rows, [micro[LOSS][0] for micro in losses])
        if turned % self.per_step == 0 or turned >= self.batches:
            self.update(progress)
            self.group = []
        return losses if counts else []

    def backward(self, step: Step, group_rows: int) -> list[Means]:
        seed_torch(step.seed, self.device)  # what libraries draw from the global generator: dropout, stochastic depth
        generator = torch.Generator().manual_seed(step.seed) if self.mix else None
        losses, part = [], self.context.clock.part
        for images, rows in split_step(step, self.micro_rows):
            with part("forward"):
                batch = self.make_batch(images, rows)
                mixed = self.mix(batch.images, generator) if self.mix else None
                loss, parts = self.objective(self.module, batch, mixed, self.losses)
                whole = sum((penalty() for penalty in self.penalties), loss)
            with part("backward"):
                whole = whole if len(rows) == group_rows else whole * (len(rows) / group_rows)
                self.fabric.backward(whole) if self.mixed else whole.backward()
                if self.after_backward:
                    self.after_backward(self.network)
            losses.append({name: (mean.detach(), len(rows)) for name, mean in {LOSS: loss, **parts}.items()})
        return losses

    def make_batch(self, images: torch.Tensor, rows: torch.Tensor) -> Batch:
        with self.context.clock.part("copy"):
            images, rows = (given.to(self.device, non_blocking=True) for given in (images, rows))
        return gather_batch(self.data, images if images.is_floating_point() else self.network.prepare(images), rows)

    def update(self, progress: Progress) -> None:
        context, clock = self.context, self.context.clock
        if self.ranks.count > 1:
            asked = {"bad": self.watch.fault is not None, "due": self.ranks.leads and context.due()}
            with clock.part("exchange"):
                self.ranks.sum_gradients(self.network, context.stop(), any(len(step.rows) for step in self.group), **asked)
        with clock.part("optimizer"):
            norm = self.clip_gradients()
            self.scheduler.step(progress.updates)
            if self.watch.passes(norm, progress):
                with lower_rates(self.optimizer, progress.lowered):
                    self.steps_by.step()
                if self.ema:
                    self.ema.update(self.network, progress.updates)
            self.optimizer.zero_grad(set_to_none=True)
        progress.updates += 1

    def clip_gradients(self) -> torch.Tensor:
        """The gradient's norm before that."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        if not self.clip_norm:
            return nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if self.mixed:
            return self.fabric.clip_gradients(self.network, self.steps_by, None, self.clip_norm, error_if_nonfinite=False)
        return nn.utils.clip_grad_norm_(weights, self.clip_norm)

    def split_batches(self, rows: int, failure: Exception) -> None:
        """After running out of memory: half the micro-batch, twice the accumulation, and the group of batches from its start.

        The gradient stays the same, but for what depends on a batch's other rows (batch norm, mix) and for dropout.
        """
        self.micro_rows = halve_rows(min(rows, self.micro_rows), self.context, failure)
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
        self.optimizer.zero_grad(set_to_none=True)
        self.group = []
        self.network.load_state_dict(states["network"])
        if self.ema:
            self.ema.module.load_state_dict(states["ema"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.scheduler.load_state_dict(states["scheduler"])
        self.fabric.strategy.precision.load_state_dict(states["precision"])
        self.micro_rows = states["micro_rows"]

    def learning_rate(self, progress: Progress) -> float:
        with lower_rates(self.optimizer, progress.lowered):
            return max(float(group["lr"]) for group in self.optimizer.param_groups)
