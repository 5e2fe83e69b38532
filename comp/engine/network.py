"""The network: a backbone and a head, with the normalisation that the backbone's weights want; building, freezing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
    a batch is channels_last already, so nothing is copied for that layout. `forward` takes what `prepare` returns, and the
    features of the rows' own columns where the backbone takes them.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], channels_last: bool = True
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.backbone = backbone
        self.head = head
        self.takes_table = bool(getattr(backbone, "takes_table", False))
        scale = torch.tensor([1 / (255 * s) for s in std]).view(1, -1, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, -1, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        self.line: tuple[Any, torch.Tensor, torch.Tensor] = (None, scale, shift)

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) on the device -> float32 (B, C, H, W), normalised, in the network's layout."""
        count, height, width, channels = images.shape
        # Whole lines at a time: over three channels, the innermost in memory, torch takes eight times as long on a CPU.
        shape = (width, channels, self.scale.device)
        if shape != self.line[0]:
            scale, shift = (part.flatten().expand(channels).repeat(width) for part in (self.scale, self.shift))
            self.line = shape, scale, shift
        _, scale, shift = self.line
        lines = images.to(torch.float32, memory_format=torch.contiguous_format).view(count, height, width * channels)
        prepared = lines.mul_(scale).add_(shift).view(images.shape).permute(0, 3, 1, 2)
        return prepared if self.channels_last else prepared.contiguous()

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (B, C, H, W) in [0, 1] -> the same, normalised, in the network's layout."""
        return images.contiguous(memory_format=find_layout(self)).mul(255 * self.scale).add_(self.shift)

    def forward(self, images: torch.Tensor, table: torch.Tensor | None = None, method: str | None = None) -> Any:
        """Raw outputs (B, outputs); with `method`, what the backbone's method of that name gives. `images` may be features
        (B, F) already.

        Raises:
            PluginError: the backbone has no such method.
        """
        if method is None:
            return self.head(images if images.ndim == 2 else self.encode(images, table))
        function = getattr(self.backbone, method, None)
        if function is None:
            raise PluginError(f"the model ({type(self.backbone).__name__}) cannot {method}; take one that can")
        return function(images)

    def encode(self, images: torch.Tensor, table: torch.Tensor | None = None) -> torch.Tensor:
        """The backbone's features (B, F)."""
        return self.backbone(images, table) if self.takes_table else self.backbone(images)


def find_layout(network: nn.Module) -> torch.memory_format:
    """How a network's weights and images lie in memory (`train.channels_last`)."""
    return torch.channels_last if network.channels_last else torch.contiguous_format


def build_network(
    catalog: Catalog,
    values: Mapping[str, Any],
    task: Task,
    image: ImageSpec,
    counts: ClassCounts,
    key: tuple[Any, ...],
    table_width: int = 0,
) -> Network:
    """The manifest's model and head, initialised from `key` alone, whatever was drawn before.

    Args:
        key: (seed, fold, ...): what the initial weights depend on.
        table_width: how many features of the rows' own columns there are.

    Raises:
        PluginError: the head's output does not have the task's width.
        WeightsError: pretrained weights that are not there or do not fit.
    """
    torch.manual_seed(derive_seed(*key, "weights"))
    backbone = catalog.build("model", values["model"], task=task, image=image, table_width=table_width)
    lacking = [name for name in ("features", "mean", "std", "any_size") if not hasattr(backbone, name)]
    if lacking:
        raise PluginError(
            f"model '{values['model']['use']}': what it returned ({type(backbone).__name__}) has no {', '.join(lacking)}; "
            "a model has features (their number), mean and std (what its weights want), and any_size"
        )
    known = {"task": task, "features": backbone.features, "counts": dict(counts.per_class), "rows": counts.rows}
    head = catalog.build("head", values["head"], **known)
    mean = image.mean or fit_channels(backbone.mean, image)
    std = image.std or fit_channels(backbone.std, image)
    network = Network(backbone, head, mean, std, values["train"]["channels_last"])
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


FIRST = "layers:"


def freeze_parts(network: Network, freeze: str | Sequence[str] | None) -> list[nn.Module]:
    """Decide what learns in a stage. Returns the frozen modules, which stay in eval mode.

    Args:
        freeze: `backbone`, all of it; `norm`, every norm layer in it; `layers:14`, its first 14 layers that have weights, in
            the order in which they are defined; or patterns of names within it (`stem*`, `blocks.0.*`). None: nothing.

    Raises:
        PluginError: a pattern that fits no layer, or more layers than there are.
    """
    network.requires_grad_(True)
    found: list[nn.Module] = []
    for name in [freeze] if isinstance(freeze, str) else freeze or ():
        modules = find_layers(network.backbone, name)
        loose = [weight for key, weight in network.backbone.named_parameters() if fnmatchcase(key, name)]
        if not modules and not loose:
            known = ", ".join(key for key, _ in network.backbone.named_children())
            raise PluginError(f"freeze: {name!r} fits no layer of the model; its parts are {known}")
        for part in (*modules, *loose):
            part.requires_grad_(False)
        found += modules
    return found


def find_layers(backbone: nn.Module, name: str) -> list[nn.Module]:
    """The modules of a backbone that one entry of `freeze` means."""
    if name == "backbone":
        return [backbone]
    if name == "norm":
        return [module for module in backbone.modules() if is_norm(module)]
    if not name.startswith(FIRST):
        return [module for key, module in backbone.named_modules() if key and fnmatchcase(key, name)]
    layers = [module for module in backbone.modules() if any(True for _ in module.parameters(recurse=False))]
    wanted = name.removeprefix(FIRST)
    if not wanted.isdigit() or not 0 < int(wanted) <= len(layers):
        raise PluginError(f"freeze: {name!r}; wanted a number from 1 to {len(layers)}, the layers of the model that have weights")
    return layers[: int(wanted)]


def enter_training(network: Network, frozen: Sequence[nn.Module] = ()) -> None:
    """Train mode, except where frozen: a frozen batch norm neither learns nor moves its statistics."""
    network.train()
    for module in frozen:
        module.eval()
