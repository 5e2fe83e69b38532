"""What torchensemble is given: the loader and the criterion, a class for members, their optimizer, a logger that is silent."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from comp.api import EnsembleJob, PluginError

# timm's name (the manifest's) -> torchensemble's, and what timm's default means there.
OPTIMIZERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "adamax": ("Adamax", {}),
    "adadelta": ("Adadelta", {}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {"momentum": 0.9}),
    "rprop": ("Rprop", {}),
}


class Feed:
    """The loader and the criterion, which share the batch at hand: torchensemble would pass row weights as a second input."""

    def __init__(self, job: EnsembleJob, method: str, members: int, outputs: int) -> None:
        self.job, self.members = job, members
        self.bagging, self.soft = method == "bagging", method == "soft_gradient_boosting"
        self.unit = method == "adversarial_training"  # which clips images to 0..1, and wants them there
        self.passes = 0
        self.batch: Any = None
        self.loss = torch.zeros(())
        # torchensemble counts the classes by a whole pass, unless the dataset names them.
        self.dataset = type("Named", (), {"classes": range(outputs)})()

    def __len__(self) -> int:
        return self.job.batches_per_epoch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        number = self.passes
        self.passes += 1
        # Members take turns, an epoch each.
        batches = self.job.batches(number, number % self.members) if self.bagging else self.job.batches(number)
        for count, self.batch in enumerate(batches):
            images = self.batch.images
            if self.unit:
                images = (images * as_channels(self.job.std, images) + as_channels(self.job.mean, images)).clamp(0, 1)
            yield images, torch.arange(len(images), device=images.device)
            self.job.report(number, count, float(self.loss))

    def measure(self, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        loss = (self.job.loss(outputs, self.batch.targets) * self.batch.weights).mean()
        self.loss = loss.detach()
        return loss

    def descend(self, rows: torch.Tensor, outputs: torch.Tensor, classes: int) -> torch.Tensor:
        """What boosting fits: (B, outputs), minus the gradient of each row's loss at the outputs summed up so far.

        The library's own is that of cross-entropy and of one class per row only.
        """
        with torch.enable_grad():
            # Soft boosting learns through the residuals, too.
            at = outputs if self.soft and outputs.requires_grad else outputs.detach().requires_grad_()
            losses = self.job.loss(at, self.batch.targets) * self.batch.weights
            [gradient] = torch.autograd.grad(losses.sum(), at, create_graph=self.soft)
        self.loss = losses.detach().mean()
        return -gradient


def as_channels(values: tuple[float, ...], images: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)


class Never(int):
    """A log interval that no batch number is a multiple of: torchensemble prints its progress."""

    def __rmod__(self, number: int) -> int:
        return 1


def make_member_class(job: EnsembleJob, unit: bool) -> type[nn.Module]:
    """`unit`: it is given images in 0..1."""
    lr = job.optimizer.get("lr")
    head_lr = job.optimizer.get("head_lr") or lr

    class Member(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = job.make_network().train()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if unit:
                images = (images - as_channels(job.mean, images)) / as_channels(job.std, images)
            return self.network(images)

        def zero_grad(self, set_to_none: bool = True) -> None:
            self.network.zero_grad(set_to_none)

        def parameters(self, recurse: bool = True) -> Iterator[Any]:
            # torchensemble builds optimizers from parameters() alone: groups, so that the head has its own learning rate
            # and norms and biases no weight decay.
            groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
            for name, parameter in self.network.named_parameters():
                if parameter.requires_grad:
                    groups.setdefault((name.startswith("head."), parameter.ndim <= 1), []).append(parameter)
            for (head, plain), members in groups.items():
                yield {"params": members, "lr": head_lr if head else lr, **({"weight_decay": 0.0} if plain else {})}

    return Member


def with_own_rates(kind: type[nn.Module]) -> type[nn.Module]:
    """The ensemble with its members' parameter groups, where it makes one optimizer for all or sets one rate for all groups."""

    class Ensemble(kind):  # type: ignore[misc, valid-type]
        rates: dict[torch.optim.Optimizer, list[float]] = {}

        def parameters(self, recurse: bool = True) -> Iterator[Any]:
            for member in self.estimators_:
                yield from member.parameters(recurse)

        def _adjust_lr(self, optimizer: torch.optim.Optimizer, *where: Any) -> float:
            own = self.rates.setdefault(optimizer, [group["lr"] for group in optimizer.param_groups])
            share = super()._adjust_lr(optimizer, *where)
            for group, lr in zip(optimizer.param_groups, own, strict=True):
                group["lr"] = lr * share
            return share

    return Ensemble


def translate_optimizer(mapping: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The manifest's optimizer as torchensemble's name and keyword arguments."""
    opt = mapping.get("opt", "adamw")
    if mapping.get("use", "timm") != "timm" or opt not in OPTIMIZERS:
        raise PluginError(
            f"torchensemble builds its optimizers itself and knows {', '.join(OPTIMIZERS)}; optimizer is "
            f"{{use: {mapping.get('use', 'timm')}, opt: {opt}}}"
        )
    if mapping.get("layer_decay") is not None:
        raise PluginError("optimizer.layer_decay: torchensemble cannot honour it; remove the key or the ensemble")
    name, settings = OPTIMIZERS[opt]
    given = {key: value for key, value in mapping.items() if key not in ("use", "opt", "head_lr", "layer_decay")}
    refused = given.keys() - inspect.signature(getattr(torch.optim, name)).parameters.keys()
    if refused:
        raise PluginError(f"optimizer: {opt} in torchensemble is torch.optim.{name}, which takes no {', '.join(sorted(refused))}")
    return name, {**settings, **given}


def make_silent_logger() -> logging.Logger:
    # torchensemble logs to the root logger, which is the program's.
    logger = logging.Logger("torchensemble", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger
