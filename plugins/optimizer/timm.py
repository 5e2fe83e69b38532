"""Optimizers by name, through timm (torch's and timm's own), on the network's parameter groups.

Learning rates of the head and of layers are written into the groups themselves: timm's `lr_scale` is known to timm's
schedulers only.
"""

from __future__ import annotations

import inspect
from typing import Any

import timm.optim as library
import torch
from torch import nn

from comp.api import PluginError, plugin

SECOND_ORDER = ("adahessian",)


def names() -> list[str]:
    """Every optimizer that timm knows and one backward pass feeds, alone and wrapped in Lookahead."""
    known = [name for name in library.list_optimizers() if name not in SECOND_ORDER]
    return [*known, *(f"lookahead_{name}" for name in known)]


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """What the optimizer's class takes, less what the kit gives it."""
    given = library.get_optimizer_class(name.removeprefix("lookahead_"), bind_defaults=False)
    parameters = [
        parameter
        for parameter in inspect.signature(given).parameters.values()
        if parameter.name not in ("params", "lr", "weight_decay") and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return inspect.Signature(parameters)


@plugin("optimizer", family="opt", names="names", signature="signature")
def timm(
    network: nn.Module,
    /,
    *,
    opt: str = "adamw",
    lr: float = 3e-4,
    head_lr: float | None = None,
    weight_decay: float = 0.05,
    layer_decay: float | None = None,
    **arguments: Any,
) -> torch.optim.Optimizer:
    """An optimizer by timm's name (adamw, adam, sgd, rmsprop, lamb, ...); other keys go to it (betas, momentum).

    timm's names hold torch's (adamw, radam, nadam, adadelta, ...); `lookahead_adamw` wraps one in Lookahead (Zhang et al. 2019).
    Those that need CUDA, apex (fused...) or bitsandbytes (bnb...) say so; adahessian needs second derivatives and is refused.
    Parameters that need no gradient (frozen ones) are left out.

    Args:
        opt: its name; `sgd` has Nesterov momentum, `momentum` the plain one, 0.9 unless given.
        lr: learning rate of the backbone, above 0.
        head_lr: learning rate of the head, above 0; null: the same as lr.
        weight_decay: decay of weights, from 0; norms, biases and what the architecture exempts have none.
        layer_decay: factor in (0, 1] by which each layer of the backbone learns slower than the one above it (Clark et al.
            2020, ELECTRA); null: all learn at lr.

    Raises:
        PluginError: a parameter is out of its range; nothing is left to train; layer_decay for a backbone that does not
            tell its layers; the optimizer refuses an argument.

    Example: {use: timm, opt: adamw, lr: 3.0e-4, head_lr: 3.0e-3, weight_decay: 0.05}
    """
    for name, value in (("lr", lr), ("head_lr", lr if head_lr is None else head_lr)):
        if value <= 0:
            raise PluginError(f"optimizer.{name} is {value}; wanted a number above 0")
    if opt.removeprefix("lookahead_") in SECOND_ORDER:
        raise PluginError(f"optimizer {opt} needs second derivatives, which one backward pass does not give; take adamw or lamb")
    if weight_decay < 0:
        raise PluginError(f"optimizer.weight_decay is {weight_decay}; wanted 0 or more")
    groups = group_backbone(network.backbone, lr, weight_decay, layer_decay)
    groups += group_plainly(network.head, lr if head_lr is None else head_lr, weight_decay)
    if not groups:
        raise PluginError("optimizer: every parameter of the network is frozen, so that nothing is left to train")
    try:
        return library.create_optimizer_v2(groups, opt=opt, lr=lr, weight_decay=weight_decay, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise PluginError(f"optimizer {opt}: {error}") from error


def group_backbone(backbone: nn.Module, lr: float, weight_decay: float, layer_decay: float | None) -> list[dict[str, Any]]:
    if layer_decay is None:
        return group_plainly(backbone, lr, weight_decay)
    if not 0 < layer_decay <= 1:
        raise PluginError(f"optimizer.layer_decay is {layer_decay}; wanted a factor in (0, 1]")
    layered = next((module for module in backbone.modules() if hasattr(module, "group_matcher")), None)
    if layered is None:
        raise PluginError("optimizer.layer_decay: this backbone does not tell its layers (only timm's do); remove the key")
    groups = library.param_groups_layer_decay(
        layered, weight_decay=weight_decay, no_weight_decay_list=exempt(layered), layer_decay=layer_decay
    )
    return [{"params": group["params"], "weight_decay": group["weight_decay"], "lr": lr * group["lr_scale"]} for group in groups]


def group_plainly(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    groups = library.param_groups_weight_decay(module, weight_decay, no_weight_decay_list=exempt(module))
    return [{**group, "lr": lr} for group in groups]


def exempt(module: nn.Module) -> set[str]:
    """Full names of the parameters that an architecture wants undecayed (position embeddings, class tokens)."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        if callable(getattr(part, "no_weight_decay", None))
        for name in part.no_weight_decay()
    }
