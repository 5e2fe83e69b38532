"""Augmentation for longer training, or for few images."""

from __future__ import annotations

import os

from comp.api import Augment, ImageSpec, plugin


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
    if rotate:
        transforms.append(library.Rotate(limit=(-rotate, rotate), p=0.5, strict=True))
    if colour:
        change = (-colour, colour)
        transforms.append(library.RandomBrightnessContrast(brightness_limit=change, contrast_limit=change, p=0.7, strict=True))
        if image.channels == 3:
            hue, saturation = (-50 * colour, 50 * colour), (-100 * colour, 100 * colour)
            transforms.append(
                library.HueSaturationValue(
                    hue_shift_limit=hue, sat_shift_limit=saturation, val_shift_limit=(0, 0), p=0.3, strict=True
                )
            )
    if holes:
        side = (0.125, 0.334)
        transforms.append(
            library.CoarseDropout(
                num_holes_range=(1, 1), hole_height_range=side, hole_width_range=side, fill=0, p=holes, strict=True
            )
        )
    return transforms
