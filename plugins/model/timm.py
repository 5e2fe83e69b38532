"""timm's architectures as backbones, with timm's weights, weights of a file, or none.

What timm fetches is looked for on this machine first, so that a machine without a network says so in seconds.
"""

from __future__ import annotations

import inspect
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import timm as library
import torch
from timm.layers import SelectAdaptivePool2d
from torch import nn

from comp.api import Backbone, ImageSpec, PluginError, WeightsError, plugin

PROBE_S = 5.0
OURS = {
    "num_classes": "the head is the kit's",
    "in_chans": "image.channels says it",
    "img_size": "image.size says it",
    "features_only": "a backbone returns pooled features",
    "checkpoint_path": "give the file as model.pretrained",
    "pretrained_cfg": "give the file as model.pretrained",
    "pretrained_cfg_overlay": "give the file as model.pretrained",
    "global_pool": "give it as model.pool",
}


def names() -> list[str]:
    """Every architecture, alone and with each tag of weights."""
    return [*library.list_models(), *library.list_models(pretrained=True)]


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature | None:
    """Builds the architecture without memory (meta device), because its entry point takes any argument.

    Raises:
        TypeError, ValueError: what timm says of the arguments.
    """
    extra = {key: value for key, value in arguments.items() if key not in ("use", "arch", "pretrained", "pool")}
    for key in extra:
        # in_chans is allowed where it repeats image.channels, which is not known here.
        if key in OURS and key != "in_chans":
            raise ValueError(f"'{key}' cannot be set here: {OURS[key]}")
    with torch.device("meta"):
        library.create_model(name, pretrained=False, num_classes=0, **extra)
    return None


@plugin("model", family="arch", names="names", signature="signature")
def timm(
    image: ImageSpec,
    /,
    *,
    arch: str,
    pretrained: bool | Path = True,
    pool: Literal["auto", "avg", "max", "avgmax", "gem", "token"] = "auto",
    **arguments: Any,
) -> Backbone:
    """Any architecture of timm, (B, C, H, W) -> pooled features; other keys go to the architecture (drop_path_rate, pad_type).

    Architectures of one size (vit, swin) are built for image.size and take no other.

    Args:
        arch: name of the architecture, with or without a tag of weights, as in `resnet18.a1_in1k`.
        pretrained: true: timm's weights, from this machine or else fetched; false: random weights; a path: weights of
            this .safetensors or .pth file (a relative path is looked up in the workspace, then in the current folder).
        pool: how the last map is pooled. auto: as the architecture does; avgmax: mean of avg and max; gem: generalised mean,
            mean(x^p)^(1/p) with one learned p that starts at 3 (Radenovic et al. 2018); token: a transformer's class token.

    Raises:
        PluginError: there is no such architecture, an argument is the kit's own, or it cannot be built for this size.
        WeightsError: the weights are not there, cannot be fetched, or do not fit the architecture.

    Example: {use: timm, arch: efficientnet_b4, pretrained: true, drop_path_rate: 0.2}
    """
    if arguments.get("in_chans", image.channels) != image.channels:
        raise PluginError(f"model.in_chans is {arguments['in_chans']}, image.channels {image.channels}: {OURS['in_chans']}")
    for key in arguments.keys() & OURS.keys() - {"in_chans"}:
        raise PluginError(f"model.{key}: {OURS[key]}")
    try:
        config = library.get_pretrained_cfg(arch, allow_unregistered=False)
    except RuntimeError as error:
        raise PluginError(f"model.arch: {error}") from error
    extra = {**arguments, "in_chans": image.channels} | ({} if pool in ("auto", "gem") else {"global_pool": pool})
    fixed = bool(config.fixed_input_size) and not arguments.get("dynamic_img_size", False)
    if fixed and tuple(config.input_size[1:]) != tuple(image.size):
        extra["img_size"] = tuple(image.size)

    if pretrained is False:
        network = build(arch, image, extra, pretrained=False)
    elif pretrained is True:
        network = build(arch, image, extra, pretrained=True, pretrained_cfg_overlay=find_weights(arch, config))
    else:
        network = load_file(arch, image, extra, Path(pretrained), config)
    if pool == "gem":
        pool_by_generalised_mean(network, arch)
    return TimmBackbone(network, image.channels, any_size=not fixed)


class TimmBackbone(nn.Module):
    # Wrapped, because a few architectures have a submodule called `features`.
    def __init__(self, network: nn.Module, channels: int, any_size: bool) -> None:
        super().__init__()
        self.network = network
        self.features: int = getattr(network, "head_hidden_size", None) or network.num_features
        config = library.data.resolve_model_data_config(network)
        self.mean = fit_channels(config["mean"], channels)
        self.std = fit_channels(config["std"], channels)
        self.any_size = any_size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


class GeneralisedMean(nn.Module):
    def __init__(self, dims: tuple[int, int], keepdim: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))
        self.dims, self.keepdim = dims, keepdim

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        powers = maps.float().clamp_min(1e-6) ** self.p
        return (powers.mean(dim=self.dims, keepdim=self.keepdim) ** (1 / self.p)).to(maps.dtype)


def pool_by_generalised_mean(network: nn.Module, arch: str) -> None:
    """Put it where the architecture pools; what comes after (mobilenet's last convolution, convnext's norm) stays."""
    places = [module for module in network.modules() if isinstance(module, SelectAdaptivePool2d)]
    if not places:
        raise PluginError(f"model.pool: {arch} pools no map, so gem has nothing to replace; use avg or token")
    for place in places:
        given = place.pool
        place.pool = GeneralisedMean(getattr(given, "dim", (2, 3)), keepdim=not getattr(given, "flatten", False))


def fit_channels(values: Iterable[float], channels: int) -> tuple[float, ...]:
    """timm repeats a stem's weights over more channels and adds them up for one: so are the statistics here."""
    known = tuple(values)
    if channels == 1:
        return (sum(known) / len(known),)
    return tuple(known[channel % len(known)] for channel in range(channels))


def build(arch: str, image: ImageSpec, extra: dict[str, Any], **weights: Any) -> nn.Module:
    try:
        return library.create_model(arch, num_classes=0, **extra, **weights)
    except (TypeError, ValueError, AssertionError) as error:
        size = f"{image.size[0]} x {image.size[1]} px, {image.channels} channels"
        raise PluginError(f"timm cannot build {arch} for {size}: {error}; change image.size or the model's arguments") from error


# ---- weights -------------------------------------------------------------------------------------------------------------


def load_file(arch: str, image: ImageSpec, extra: dict[str, Any], path: Path, config: Any) -> nn.Module:
    """The architecture with a file's weights, less its classifier; any other difference of keys is an error."""
    from timm.models import load_state_dict

    file = find_file(path)
    try:
        state = load_state_dict(str(file), weights_only=True)
    except Exception as error:
        # Of code in a file, torch and timm say how to run it all the same.
        why = "it may hold code" if "weights_only" in str(error) else error
        raise WeightsError(
            f"{file} cannot be read as weights ({why}); wanted a .safetensors, or a .pth that holds tensors only"
        ) from error
    classifiers = config.classifier or ()
    prefixes = tuple(f"{name}." for name in ([classifiers] if isinstance(classifiers, str) else classifiers))
    state = {key: value for key, value in state.items() if not key.startswith(prefixes)}
    if not state:
        raise WeightsError(f"{file} holds no weights beyond a classifier")
    # Said to have no classes, timm has no classifier to drop, and so keeps to its strict comparison of keys.
    overlay = {"state_dict": state, "num_classes": 0, "label_offset": 0, "custom_load": False}
    try:
        network = build(arch, image, extra, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(
            f"{file} does not fit {arch}: {error}\nGive model.arch the architecture that the file was saved from."
        ) from error
    network.pretrained_cfg.pop("state_dict", None)
    return network


def find_file(path: Path) -> Path:
    path = path.expanduser()
    workspace = os.environ.get("COMP_WORKSPACE")
    places = [path] if path.is_absolute() else [*([Path(workspace) / path] if workspace else []), Path.cwd() / path]
    for place in places:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in dict.fromkeys(places))
    raise WeightsError(
        f"model.pretrained: there is no file {looked}; give the path of a .safetensors or .pth file, true or false"
    )


def find_weights(arch: str, config: Any) -> dict[str, Any] | None:
    """What to tell timm so that it loads the weights from this machine; they are fetched if need be.

    Raises:
        WeightsError: timm has no weights for the architecture, or they are neither here nor to be fetched.
    """
    if not config.has_weights:
        tagged = library.list_models(f"{arch.split('.')[0]}*", pretrained=True)[:5]
        hint = f"; weights there are: {', '.join(tagged)}" if tagged else ""
        raise WeightsError(f"timm has no weights for {arch}{hint}. Set model.pretrained to false or to the path of a file.")
    if not config.hf_hub_id:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(config.url).name
        if not cached.exists():
            require_network(arch, config.url)
        return None
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = config.hf_hub_id.partition("@")
    files = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    custom = config.custom_load == "hf"
    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return {"file": cached, "custom_load": custom}
    require_network(arch, f"{constants.ENDPOINT}/{repository}", offline=constants.HF_HUB_OFFLINE)
    for file in files:
        try:
            fetched = hf_hub_download(repository, file, revision=revision or None, etag_timeout=PROBE_S)
            return {"file": fetched, "custom_load": custom}
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise WeightsError(say_unfetched(arch, f"{constants.ENDPOINT}/{repository}", str(error))) from error
    raise WeightsError(f"{constants.ENDPOINT}/{repository} has none of {', '.join(files)}")


def require_network(arch: str, url: str, offline: bool = False) -> None:
    """Returns if the address answers, with whatever status.

    Raises:
        WeightsError: it does not answer within PROBE_S seconds.
    """
    if offline:
        raise WeightsError(say_unfetched(arch, url, "HF_HUB_OFFLINE is set"))
    failure = [f"no answer within {PROBE_S:g} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_S).close()
            failure.clear()
        except urllib.error.HTTPError:
            failure.clear()
        except OSError as error:
            failure[:] = [str(getattr(error, "reason", error))]

    # A name that does not resolve can take longer than any timeout that urllib knows of.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_S)
    if failure:
        raise WeightsError(say_unfetched(arch, url, failure[0]))


def say_unfetched(arch: str, url: str, why: str) -> str:
    return (
        f"the weights of {arch} are not on this machine and cannot be fetched from {url} ({why}). Fetch them once with a "
        "network, set model.pretrained to the path of a .safetensors or .pth file, or to false to train from random weights."
    )
