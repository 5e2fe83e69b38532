"""Augmentation for large models that train long."""

from __future__ import annotations

import os

from comp.api import Augment, ImageSpec, plugin


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
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks up its newest version on import otherwise
    import albumentations as library

    proportion = image.predict_size[1] / image.predict_size[0]
    transforms = [
        library.RandomResizedCrop(
            size=image.size,
            scale=(crop, 1.0),
            ratio=(0.75 * proportion, proportion / 0.75),
            area_for_downscale="image" if image.predict_size[0] >= 1.5 * image.size[0] else None,
            strict=True,
        )
    ]
    if flip:
        transforms.append(library.HorizontalFlip(p=0.5, strict=True))
    shear = rotate / 3
    transforms.append(
        library.Affine(
            scale=(0.9, 1.1),
            translate_percent=(-0.06, 0.06),
            rotate=(-rotate, rotate),
            shear=(-shear, shear),
            p=0.6,
            strict=True,
        )
    )
    if colour:
        change = (-colour, colour)
        transforms.append(library.RandomBrightnessContrast(brightness_limit=change, contrast_limit=change, p=0.8, strict=True))
        if image.channels == 3:
            hue, saturation = (-50 * colour, 50 * colour), (-100 * colour, 100 * colour)
            transforms.append(
                library.HueSaturationValue(
                    hue_shift_limit=hue, sat_shift_limit=saturation, val_shift_limit=(0, 0), p=0.5, strict=True
                )
            )
    blur = library.GaussianBlur(blur_limit=(3, 5), p=1.0, strict=True)
    grain = library.GaussNoise(std_range=(0.02, 0.08), p=1.0, strict=True)
    transforms.append(library.OneOf([blur, grain], p=0.2))
    if holes:
        side = (0.125, 0.25)
        transforms.append(
            library.CoarseDropout(
                num_holes_range=(1, 4), hole_height_range=side, hole_width_range=side, fill=0, p=holes, strict=True
            )
        )
    return transforms
