"""Presets: augmentation to start from, in three strengths. Each is a list of albumentations transforms."""

from __future__ import annotations

import os
from types import ModuleType

from comp.api import Augment, ImageSpec, plugin


@plugin("augment")
def light(image: ImageSpec, /, *, flip: bool = True, crop: float = 0.6, colour: float = 0.1) -> list[Augment]:
    """A crop resized to the training size, a mirror image half of the time, a little brightness and contrast.

    Args:
        flip: whether half of the images are mirrored left to right; false for digits, text, and left against right.
        crop: smallest share of the area that is kept, in (0, 1]; its sides are at most 4 : 3 out of proportion.
        colour: largest change of brightness and of contrast, as a share, from 0 to 1.

    Example: {use: light, flip: false, crop: 0.8}
    """
    return [*crop_and_flip(image, crop, flip), *change_light(colour, 0.5)]


@plugin("augment")
def medium(
    image: ImageSpec, /, *, flip: bool = True, crop: float = 0.6, colour: float = 0.2, rotate: float = 15.0, holes: float = 0.25
) -> list[Augment]:
    """What `light` does, stronger, with rotation, hue and saturation, and a hole cut out of some images.

    Args:
        flip: whether half of the images are mirrored left to right; false for digits, text, and left against right.
        crop: smallest share of the area that is kept, in (0, 1]; its sides are at most 4 : 3 out of proportion.
        colour: largest change of brightness and of contrast, as a share, from 0 to 1; hue and saturation follow it.
        rotate: largest rotation either way, in degrees; half of the images are rotated.
        holes: share of the images that lose a rectangle of an eighth to a third of each side, in [0, 1].

    Example: {use: medium, rotate: 10.0}
    """
    transforms = crop_and_flip(image, crop, flip)
    if rotate:
        transforms.append(import_library().Rotate(limit=(-rotate, rotate), p=0.5, strict=True))
    return [*transforms, *change_light(colour, 0.7), *change_hue(image, colour, 0.3), *cut_holes((1, 1), (0.125, 0.334), holes)]


@plugin("augment")
def heavy(
    image: ImageSpec, /, *, flip: bool = True, crop: float = 0.35, colour: float = 0.3, rotate: float = 30.0, holes: float = 0.5
) -> list[Augment]:
    """Small crops, shifts, zooms, rotations and shears, strong colour, blur or noise, and several holes.

    Args:
        flip: whether half of the images are mirrored left to right; false for digits, text, and left against right.
        crop: smallest share of the area that is kept, in (0, 1]; its sides are at most 4 : 3 out of proportion.
        colour: largest change of brightness and of contrast, as a share, from 0 to 1; hue and saturation follow it.
        rotate: largest rotation either way, in degrees; shears are up to a third of it.
        holes: share of the images that lose one to four rectangles of an eighth to a quarter of each side, in [0, 1].

    Example: {use: heavy, holes: 0.3}
    """
    library, shear, shift = import_library(), rotate / 3, (-0.06, 0.06)
    moved = library.Affine(
        scale=(0.9, 1.1), translate_percent=shift, rotate=(-rotate, rotate), shear=(-shear, shear), p=0.6, strict=True
    )
    blur = library.GaussianBlur(blur_limit=(3, 5), p=1.0, strict=True)
    grain = library.GaussNoise(std_range=(0.02, 0.08), p=1.0, strict=True)
    return [
        *crop_and_flip(image, crop, flip),
        moved,
        *change_light(colour, 0.8),
        *change_hue(image, colour, 0.5),
        library.OneOf([blur, grain], p=0.2),
        *cut_holes((1, 4), (0.125, 0.25), holes),
    ]


def import_library() -> ModuleType:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks up its newest version on import otherwise
    import albumentations

    return albumentations


def crop_and_flip(image: ImageSpec, crop: float, flip: bool) -> list[Augment]:
    library, proportion = import_library(), image.predict_size[1] / image.predict_size[0]
    cropped = library.RandomResizedCrop(
        size=image.size,
        scale=(crop, 1.0),
        ratio=(0.75 * proportion, proportion / 0.75),
        area_for_downscale="image" if image.predict_size[0] >= 1.5 * image.size[0] else None,
        strict=True,
    )
    return [cropped, *([library.HorizontalFlip(p=0.5, strict=True)] if flip else [])]


def change_light(colour: float, p: float) -> list[Augment]:
    if not colour:
        return []
    change = (-colour, colour)
    return [import_library().RandomBrightnessContrast(brightness_limit=change, contrast_limit=change, p=p, strict=True)]


def change_hue(image: ImageSpec, colour: float, p: float) -> list[Augment]:
    if not colour or image.channels != 3:
        return []
    hue, saturation = (-50 * colour, 50 * colour), (-100 * colour, 100 * colour)
    return [
        import_library().HueSaturationValue(
            hue_shift_limit=hue, sat_shift_limit=saturation, val_shift_limit=(0, 0), p=p, strict=True
        )
    ]


def cut_holes(count: tuple[int, int], side: tuple[float, float], p: float) -> list[Augment]:
    if not p:
        return []
    return [
        import_library().CoarseDropout(
            num_holes_range=count, hole_height_range=side, hole_width_range=side, fill=0, p=p, strict=True
        )
    ]
