"""AutoAugment, RandAugment and AugMix, as timm has them: chains of PIL operations on uint8 images.

They change no size: put them behind a crop, as in `augment: [{use: light}, {use: randaugment}]`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from PIL import Image

from comp.api import Augment, ImageSpec, PluginError, plugin

GREY = 128
TRANSLATED = 0.45


@plugin("augment")
def autoaugment(
    image: ImageSpec,
    /,
    *,
    policy: Literal["original", "originalr", "v0", "v0r", "3a"] = "original",
    noise: float = 0.0,
    p: float = 1.0,
) -> Augment:
    """AutoAugment (Cubuk et al. 2019): one of the 25 pairs of operations that were found for ImageNet.

    Args:
        policy: original: the paper's; v0: that of the TPU EfficientNets; with r: posterize grows with its magnitude; 3a: grey,
            solarize or blur (Touvron et al. 2022, DeiT III).
        noise: standard deviation of the operations' magnitude (0 to 10), from 0.
        p: share of the images that are changed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range, or images of neither 1 nor 3 channels.

    Example: {use: autoaugment, policy: original, noise: 0.5}
    """
    from timm.data.auto_augment import auto_augment_transform

    check_range("noise", noise, 0, 10)
    return Policy(auto_augment_transform(f"{policy}-mstd{noise}", make_settings(image)), p)


@plugin("augment")
def randaugment(
    image: ImageSpec,
    /,
    *,
    layers: int = 2,
    magnitude: int = 9,
    noise: float = 0.5,
    chance: float = 0.5,
    operations: Literal["increasing", "paper", "weighted"] = "increasing",
    p: float = 1.0,
) -> Augment:
    """RandAugment (Cubuk et al. 2020): a few operations drawn from fifteen, all of one magnitude.

    Args:
        layers: operations per image, from 1.
        magnitude: how strong they are, from 0 to 10.
        noise: standard deviation of the magnitude, from 0.
        chance: how often a drawn operation is applied, in [0, 1]; the paper has 1, timm 0.5.
        operations: increasing: all grow stronger with the magnitude; paper: as published, where posterize, solarize and the
            enhancements do not; weighted: increasing, mostly rotations and shears.
        p: share of the images that are changed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range, or images of neither 1 nor 3 channels.

    Example: {use: randaugment, layers: 2, magnitude: 9}
    """
    from timm.data.auto_augment import rand_augment_transform

    check_range("layers", layers, 1, 15)
    check_range("magnitude", magnitude, 0, 10)
    check_range("noise", noise, 0, 10)
    check_range("chance", chance, 0, 1)
    chosen = {"increasing": "-inc1", "paper": "", "weighted": "-inc1-tweights"}[operations]
    text = f"rand-n{layers}-m{magnitude}-mstd{noise}-p{chance}{chosen}"
    return Policy(rand_augment_transform(text, make_settings(image)), p)


@plugin("augment")
def augmix(
    image: ImageSpec, /, *, magnitude: int = 3, width: int = 3, depth: int | None = None, alpha: float = 1.0, p: float = 1.0
) -> Augment:
    """AugMix (Hendrycks et al. 2020): several chains of operations mixed with each other and with the image.

    Only its images, not the paper's consistency loss. timm adds colour, contrast, brightness and sharpness to the operations.

    Args:
        magnitude: how strong the operations are at most, from 0 to 10; each draws evenly below.
        width: how many chains, from 1.
        depth: operations in a chain, from 1; null: 1 to 3, drawn for each.
        alpha: parameter of the beta and Dirichlet distributions of the shares, above 0; 1 draws evenly.
        p: share of the images that are changed, in [0, 1].

    Raises:
        PluginError: a parameter is out of its range, or images of neither 1 nor 3 channels.

    Example: {use: augmix, magnitude: 3, width: 3}
    """
    from timm.data.auto_augment import AugMixAugment, augmix_ops

    check_range("magnitude", magnitude, 0, 10)
    check_range("width", width, 1, 20)
    check_range("depth", 1 if depth is None else depth, 1, 20)
    check_range("alpha", alpha, 1e-6, 1e6)
    operations = augmix_ops(magnitude, {**make_settings(image), "magnitude_std": float("inf")})
    return Policy(AugMixAugment(operations, alpha, width, -1 if depth is None else depth), p)


def check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise PluginError(f"augment.{name} is {value}; wanted {low:g} to {high:g}")


def make_settings(image: ImageSpec) -> dict[str, Any]:
    if image.channels not in (1, 3):
        raise PluginError(f"augment: these operations are for grey and colour images; these have {image.channels} channels")
    return {
        "translate_const": int(TRANSLATED * min(image.size)),
        "img_mean": GREY if image.channels == 1 else (GREY,) * 3,
    }


class Policy:
    """One of timm's, seeded by the kit: for each image from what set_random_state was given, whatever ran before."""

    def __init__(self, change: Callable[[Image.Image], Image.Image], p: float) -> None:
        check_range("p", p, 0, 1)
        self.change, self.p = change, p
        self.python = random.Random(0)

    def set_random_state(self, generator: np.random.Generator, python: random.Random) -> None:
        self.python = python

    def __call__(self, *, image: np.ndarray) -> dict[str, np.ndarray]:
        """(H, W, C) uint8 -> the same."""
        if self.python.random() >= self.p:
            return {"image": image}
        seed = self.python.getrandbits(32)
        # timm draws from the two global generators; they are left as they were.
        states = random.getstate(), np.random.get_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            changed = self.change(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image))
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
        return {"image": np.array(changed).reshape(image.shape)}
