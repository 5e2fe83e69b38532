"""The network: a backbone and a head, with the normalisation that the backbone's weights want; building, freezing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from comp.api import ImageSpec, Task
from comp.catalog import Catalog
from comp.engine.randomness import derive_seed
from comp.errors import PluginError


@dataclass(frozen=True)
class ClassCounts:
    """What heads may start from: target name -> (width,) float64 training rows per class, and how many rows there are."""

    per_class: Mapping[str, np.ndarray]
    rows: int


class Network(nn.Module):
    """Images to raw outputs.

    `prepare` turns uint8 (B, H, W, C) as it lies in the store into normalised float (B, C, H, W); the permuted view of such
    a batch is channels_last already, so nothing is copied for the layout. `forward` takes what `prepare` returns.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        scale = torch.tensor([1 / (255 * s) for s in std]).view(1, -1, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, -1, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) on the device -> float32 (B, C, H, W), normalised, channels_last."""
        return images.permute(0, 3, 1, 2).to(torch.float32).mul_(self.scale).add_(self.shift)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


def build_network(
    catalog: Catalog, values: Mapping[str, Any], task: Task, image: ImageSpec, counts: ClassCounts, key: tuple[Any, ...]
) -> Network:
    """The manifest's model and head, initialised from `key` alone, whatever was drawn before.

    Args:
        key: (seed, fold, ...): what the initial weights depend on.

    Raises:
        PluginError: the head's output does not have the task's width.
        WeightsError: pretrained weights that are not there or do not fit.
    """
    torch.manual_seed(derive_seed(*key, "weights"))
    backbone = catalog.build("model", values["model"], task=task, image=image)
    known = {"task": task, "features": backbone.features, "counts": dict(counts.per_class), "rows": counts.rows}
    head = catalog.build("head", values["head"], **known)
    mean = image.mean or fit_channels(backbone.mean, image)
    network = Network(backbone, head, mean, image.std or fit_channels(backbone.std, image))
    check_output(network, task, image, values)
    return network


def fit_channels(values: tuple[float, ...], image: ImageSpec) -> tuple[float, ...]:
    """The weights' statistics for images of another number of channels: their mean over the colours."""
    return tuple(values) if len(values) == image.channels else (sum(values) / len(values),) * image.channels


def check_output(network: Network, task: Task, image: ImageSpec, values: Mapping[str, Any]) -> None:
    given = next((p for p in network.head.parameters()), None)
    if given is None:
        return
    state = network.head.training
    network.head.eval()
    with torch.no_grad():
        shape = tuple(network.head(torch.zeros(2, network.backbone.features)).shape)
    network.head.train(state)
    if shape != (2, task.outputs):
        raise PluginError(
            f"head '{values['head']['use']}' answers {shape[1:]} values per image; the task has {task.outputs} outputs "
            f"({', '.join(task.columns[:4])}{', ...' if task.outputs > 4 else ''}): a head returns (B, task.outputs)."
        )


NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
DENSE = (nn.Linear, nn.modules.conv._ConvNd)


def is_norm(module: nn.Module) -> bool:
    # timm's own norms (LayerNorm2d, BatchNormAct2d, RmsNorm) mostly derive from torch's; the rest are told by their name, which
    # containers (NormMlpClassifierHead) and layers that normalise their weights have, too.
    if isinstance(module, NORMS):
        return True
    named = "norm" in type(module).__name__.lower() and not isinstance(module, DENSE)
    return named and any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))


def freeze_parts(network: Network, freeze: str | None) -> None:
    """Decide what learns in a stage: `backbone` keeps the whole backbone, `norm` every norm layer in it, None nothing."""
    network.requires_grad_(True)
    if freeze == "backbone":
        network.backbone.requires_grad_(False)
    elif freeze == "norm":
        for module in network.backbone.modules():
            if is_norm(module):
                module.requires_grad_(False)


def enter_training(network: Network, freeze: str | None) -> None:
    """Train mode, except where frozen: a frozen batch norm neither learns nor moves its statistics."""
    network.train()
    if freeze == "backbone":
        network.backbone.eval()
    elif freeze == "norm":
        for module in network.backbone.modules():
            if is_norm(module):
                module.eval()
