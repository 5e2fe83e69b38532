"""What is done at each optimizer step of a loop that is not ours: falling rates, clipped gradients, fresh casts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook


@contextlib.contextmanager
def decay(steps: int, optimizers: int | None = None) -> Iterator[None]:
    """Rates fall along a half cosine over an optimizer's own `steps` steps, each group from its own rate.

    `optimizers`: how many of them, in the order of their first steps; None: all.
    """
    taken: dict[torch.optim.Optimizer, tuple[int, list[float]]] = {}

    def lower(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer not in taken and optimizers is not None and len(taken) >= optimizers:
            return
        step, lrs = taken.get(optimizer) or (0, [group["lr"] for group in optimizer.param_groups])
        factor = 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr * factor
        taken[optimizer] = (step + 1, lrs)

    # torchensemble's own schedulers set one rate for all groups, once an epoch.
    with before_steps(lower):
        yield


@contextlib.contextmanager
def clip(norm: float) -> Iterator[None]:
    """The gradients of every optimizer, taken together, are shortened to `norm` before each of its steps."""

    def shorten(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], norm)

    with before_steps(shorten):
        yield


@contextlib.contextmanager
def before_steps(hook: Callable[[torch.optim.Optimizer, Any, Any], None]) -> Iterator[None]:
    # torch's hook is one for all optimizers; torchensemble makes its own out of reach.
    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def fresh_autocast() -> Iterator[None]:
    # Autocast's cache outlives a step of torchensemble's loop: members would train on the casts of earlier weights.
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)
