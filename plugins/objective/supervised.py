"""Objectives that learn from labels: plain, sharpness-aware, from teachers' labels, and from teachers' probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from comp.api import Batch, Mixed, Objective, PluginError, Task, plugin

Losses = Callable[[torch.Tensor, dict[str, torch.Tensor]], dict[str, torch.Tensor]]
Answer = tuple[torch.Tensor, dict[str, torch.Tensor]]


@plugin("objective")
def supervised() -> Objective:
    """Mean over the targets of the mean over the rows of weight * loss.

    A mixed row's loss is share * own weight * loss(own target) + (1 - share) * partner's weight * loss(partner's target).
    Rows are divided by their number, not by the sum of their weights: a batch of light rows is a small step.

    Example: {use: supervised}
    """
    return take_step


@plugin("objective")
def sam(*, rho: float = 0.05) -> Objective:
    """Sharpness-aware minimisation (Foret et al. 2021): the gradient is taken where the loss is worst nearby. Two passes a step.

    Each micro-batch has its own worst place (the paper's m-sharpness). Batch norm's statistics learn from the first pass.

    Args:
        rho: distance to that place, in the length of the weights' vector, above 0.

    Example: {use: sam, rho: 0.05}

    Raises:
        PluginError: rho is out of its range.
    """
    if rho <= 0:
        raise PluginError(f"objective.rho is {rho}; wanted a number above 0")
    return SharpnessAware(rho)


@plugin("objective")
def pseudo_labels(
    task: Task,
    /,
    *,
    teachers: list[str],
    rows: list[Literal["test"]] = ["test"],  # noqa: B006  read only
    threshold: float = 0.9,
    share: float = 1.0,
    soft: bool = False,
) -> Objective:
    """Supervised learning from the fold's rows and from test images under their teachers' labels (Lee 2013).

    The teachers of fold k are the models that held out fold k: nothing of its held-out labels reaches the student.

    Args:
        teachers: experiments, each with a finished run on the same folds; their mean probability counts.
        rows: which images without labels are learned from.
        threshold: how sure a teacher must be for a row to take part: its greatest probability, in [0, 1]; of several labels,
            the least sure of them; numbers always take part. Teachers trained with label smoothing are seldom sure of more
            than 0.9: lower it, or take `soft`.
        share: weight of such a row, where a labelled one has 1, above 0.
        soft: whether the teachers' probabilities are the target, in place of their likeliest class.

    Example: {use: pseudo_labels, teachers: [exp001], threshold: 0.9}

    Raises:
        PluginError: a parameter is out of its range, or there is no teacher.
    """
    if not teachers:
        raise PluginError("objective.teachers is empty; wanted the experiments that teach")
    if not 0 <= threshold <= 1:
        raise PluginError(f"objective.threshold is {threshold}; wanted a probability in [0, 1]")
    if share <= 0:
        raise PluginError(f"objective.share is {share}; wanted a weight above 0")
    return PseudoLabels(task, tuple(teachers), tuple(rows), threshold, share, soft)


@plugin("objective")
def distillation(
    task: Task,
    /,
    *,
    teachers: list[str],
    rows: list[Literal["test"]] = [],  # noqa: B006  read only
    weight: float = 0.5,
    temperature: float = 2.0,
) -> Objective:
    """Learns the teachers' probabilities beside the labels (Hinton et al. 2015, eq. 4 and section 2).

    The teachers of fold k are the models that held out fold k; they answer the fold's training rows as they were trained on them.
    Numbers are taught by the squared difference. `mix` mixes the teachers' answers, too.

    Args:
        teachers: experiments, each with a finished run on the same folds; their mean probability counts.
        rows: further images, without labels, that the teachers answer.
        weight: of the teachers' part, in (0, 1]; the labels have the rest.
        temperature: softens both sides' probabilities, above 0; the part is scaled by its square.

    Example: {use: distillation, teachers: [exp001], weight: 0.5, temperature: 2.0}

    Raises:
        PluginError: a parameter is out of its range, or there is no teacher.
    """
    if not teachers:
        raise PluginError("objective.teachers is empty; wanted the experiments that teach")
    if not 0 < weight <= 1:
        raise PluginError(f"objective.weight is {weight}; wanted a share in (0, 1]")
    if temperature <= 0:
        raise PluginError(f"objective.temperature is {temperature}; wanted a number above 0")
    return Distillation(task, tuple(teachers), tuple(rows), weight, temperature)


def take_step(network: nn.Module, batch: Batch, mixed: Mixed | None, loss: Losses) -> Answer:
    outputs = answer(network, batch, mixed)
    return average(weigh_losses(outputs, batch, mixed, loss))


def answer(network: nn.Module, batch: Batch, mixed: Mixed | None) -> torch.Tensor:
    images = batch.images if mixed is None else mixed.images
    return network(images) if batch.table is None else network(images, mix_rows(batch.table, mixed))


def weigh_losses(outputs: torch.Tensor, batch: Batch, mixed: Mixed | None, loss: Losses) -> dict[str, torch.Tensor]:
    """Target -> (B,) weighted losses."""
    rows = {name: batch.weights * losses for name, losses in loss(outputs, batch.targets).items()}
    if mixed is None:
        return rows
    theirs = loss(outputs, {name: target[mixed.partner] for name, target in batch.targets.items()})
    weights = batch.weights[mixed.partner]
    return {name: mixed.share * own + (1 - mixed.share) * weights * theirs[name] for name, own in rows.items()}


def average(rows: Mapping[str, torch.Tensor]) -> Answer:
    parts = {name: losses.mean() for name, losses in rows.items()}
    return torch.stack(list(parts.values())).mean(), {name: part.detach() for name, part in parts.items()}


def mix_rows(values: torch.Tensor | None, mixed: Mixed | None) -> torch.Tensor | None:
    """(B, ...) values of the rows, mixed as their images are."""
    if values is None or mixed is None:
        return values
    share = mixed.share.to(values.dtype)[:, None]
    return share * values + (1 - share) * values[mixed.partner]


@dataclass
class SharpnessAware:
    rho: float
    moved: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def __call__(self, network: nn.Module, batch: Batch, mixed: Mixed | None, loss: Losses) -> Answer:
        here, parts = take_step(network, batch, mixed, loss)
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        slopes = torch.autograd.grad(here, weights, allow_unused=True)
        pairs = [(weight, slope) for weight, slope in zip(weights, slopes, strict=True) if slope is not None]
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(slope) for _, slope in pairs]))
        with torch.no_grad():
            for weight, slope in pairs:
                self.moved.append((weight, weight.clone()))
                weight.add_(slope, alpha=float(self.rho / (length + 1e-12)))
        norms = [module for module in network.modules() if getattr(module, "momentum", None) and module.training]
        speeds = [module.momentum for module in norms]
        try:
            for module in norms:
                module.momentum = 0.0
            there, _ = take_step(network, batch, mixed, loss)
        finally:  # a step that found no memory is taken again
            for module, speed in zip(norms, speeds, strict=True):
                module.momentum = speed
        return there, parts

    def restore(self, network: nn.Module) -> None:
        with torch.no_grad():
            for weight, before in self.moved:
                weight.copy_(before)
        self.moved.clear()


@dataclass(frozen=True)
class PseudoLabels:
    task: Task
    teachers: tuple[str, ...]
    rows: tuple[str, ...]
    threshold: float
    share: float
    soft: bool
    teaches_labelled = False

    def choose(self, taught: Mapping[str, np.ndarray]) -> np.ndarray:
        """(N,) bool: rows whose teachers are sure of every target."""
        kept = np.ones(len(next(iter(taught.values()))), bool)
        for target in self.task.targets:
            values = taught[target.name]
            if target.kind == "multilabel":
                kept &= np.maximum(values, 1 - values).min(axis=1) >= self.threshold
            elif target.classes:
                kept &= values.max(axis=1) >= self.threshold
        return kept

    def __call__(self, network: nn.Module, batch: Batch, mixed: Mixed | None, loss: Losses) -> Answer:
        return take_step(network, self.soften(batch) if self.soft else batch, mixed, loss)

    def soften(self, batch: Batch) -> Batch:
        """Targets as probabilities: certain for labelled rows, the teachers' for the others."""
        targets = dict(batch.targets)
        for target in self.task.targets:
            own, taught = targets[target.name], batch.teacher[target.name]
            if target.classes and target.kind != "multilabel":
                own = nn.functional.one_hot(own, target.width)
            elif not target.classes:
                taught = taught[:, 0]
            known = batch.labelled.view(-1, *[1] * (own.ndim - 1))
            targets[target.name] = torch.where(known, own.to(taught.dtype), taught)
        return replace(batch, targets=targets)


@dataclass(frozen=True)
class Distillation:
    task: Task
    teachers: tuple[str, ...]
    rows: tuple[str, ...]
    weight: float
    temperature: float

    def __call__(self, network: nn.Module, batch: Batch, mixed: Mixed | None, loss: Losses) -> Answer:
        outputs = answer(network, batch, mixed)
        weights = mix_rows(batch.weights[:, None], mixed)[:, 0]
        if batch.labelled is not None:
            batch = replace(batch, weights=batch.weights * batch.labelled)
        own = weigh_losses(outputs, batch, mixed, loss)
        shares = getattr(loss, "weights", {})
        rows = {}
        for target in self.task.targets:
            taught = mix_rows(batch.teacher[target.name], mixed)
            theirs = self.differ(target.kind, outputs[:, self.task.slices[target.name]].float(), taught)
            theirs = theirs * weights * shares.get(target.name, 1.0)
            rows[target.name] = (1 - self.weight) * own[target.name] + self.weight * theirs
        return average(rows)

    def differ(self, kind: str, outputs: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """(B,) how far the raw outputs are from the teachers' probabilities or values."""
        functional, heat = nn.functional, self.temperature
        if kind == "regression":
            return functional.mse_loss(outputs, taught, reduction="none").mean(dim=1)
        sure = taught.clamp(1e-7, 1 - 1e-7)
        if kind == "multilabel":
            softened = torch.sigmoid(torch.logit(sure) / heat)
            return heat**2 * functional.binary_cross_entropy_with_logits(outputs / heat, softened, reduction="none").mean(dim=1)
        softened = torch.softmax(sure.log() / heat, dim=1)
        return -(heat**2) * (softened * functional.log_softmax(outputs / heat, dim=1)).sum(dim=1)
