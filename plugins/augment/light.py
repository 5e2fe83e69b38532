"""The default augmentation."""

from __future__ import annotations

import os

from comp.api import Augment, ImageSpec, plugin


@plugin("augment")
def light(image: ImageSpec, /, *, flip: bool = True, crop: float = 0.6, colour: float = 0.1) -> list[Augment]:
    """A crop resized to the training size, a mirror image half of the time, a little brightness and contrast.

    Args:
        flip: whether half of the images are mirrored left to right; false for digits, text, and left against right.
        crop: smallest share of the area that is kept, in (0, 1]; its sides are at most 4 : 3 out of proportion.
        colour: largest change of brightness and of contrast, as a share, from 0 to 1.
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
    if colour:
        change = (-colour, colour)
        transforms.append(library.RandomBrightnessContrast(brightness_limit=change, contrast_limit=change, p=0.5, strict=True))
    return transforms
