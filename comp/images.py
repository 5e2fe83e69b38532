"""Images: one image file (or what a dataset's own reader gives) becomes a (H, W, C) uint8 array, the same for any format.

Owns reading, channels, resizing, and the looks that `init` and `check` take at a data set.
Formats are comp.decoding's, keeping many images is comp.stores'; finding the file that an id means is the dataset plugin's.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from comp.api import STACK, Read
from comp.decoding import Size, decode_image, lay_on_white, scale_to_8_bit
from comp.errors import ImageError

_NAMED = 10


@dataclass(frozen=True)
class Probe:
    """What a look at some images found.

    Attributes:
        looked: how many images were decoded.
        short_px: their median short side in pixels, 0 where none could be read.
        channels: of one image: 1 if every one is grey, else 3, or what the dataset's reader gives.
        bad: reference -> why it cannot be read. Every reference is checked for existence, the looked-at ones are decoded.
    """

    looked: int
    short_px: int
    channels: int
    bad: dict[str, str]


def read_image(path: Path, size: Size | None = None, channels: int | None = None) -> np.ndarray:
    """Decode an image file.

    EXIF rotation is applied, CMYK and palettes become RGB, transparency is laid on white (kept where `channels` is 4), 16-bit
    values are divided by 257 and 1-bit ones become 0 and 255; of an animation or a stack the first picture counts.

    Args:
        path: the file.
        size: the (height, width) it will be resized to; a JPEG much larger than that comes at 1/2, 1/4 or 1/8 scale.
        channels: 1, 3 or 4 to convert; None gives 1 for a grey image and 3 for any other.

    Returns:
        (H, W, C) uint8, RGB.

    Raises:
        ImageError: the file is missing, empty, truncated, no image, of floats, or above a gigapixel.
    """
    return read_with_shape(path, size, channels)[0]


def read_with_shape(path: Path, size: Size | None = None, channels: int | None = None) -> tuple[np.ndarray, Size]:
    """The same as read_image, with the (height, width) that the file has before any reduction and rotation."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    try:
        image, shape = decode_image(data, size, channels)
        return to_channels(image, channels), shape
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def to_channels(image: np.ndarray, channels: int | None) -> np.ndarray:
    """(H, W, 1 | 3 | 4 | C) uint8 with the channels that are wanted; 4 means RGB and alpha.

    Raises:
        ImageError: there is no way from what it has to what is wanted.
    """
    has = image.shape[2]
    if channels is None or channels == has:
        return image
    if has == 4 and channels in (1, 3):
        image, has = lay_on_white(image), 3
    if has == 3 and channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
    if has == 1 and channels == 3:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if has in (1, 3) and channels == 4:
        colour = to_channels(image, 3)
        return np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])
    if has == channels:
        return image
    raise ImageError(f"has {has} channels, but image.channels is {channels}")


def check_array(array: object, whose: str = "the dataset's reader") -> np.ndarray:
    """What a dataset's own reader (or a preprocess step) returned, as (H, W, C) uint8.

    Raises:
        ImageError: not a (H, W) or (H, W, C) array of uint8 or uint16, or an empty one.
    """
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.uint16):
        given = f"{array.dtype} array of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ImageError(f"{whose} returned {given}; wanted a (H, W) or (H, W, C) array of uint8 or uint16")
    if not array.size:
        raise ImageError(f"{whose} returned an empty array of shape {array.shape}")
    return scale_to_8_bit(array if array.ndim == 3 else array[:, :, None])


def resize_image(image: np.ndarray, size: Size, fit: str = "squash") -> np.ndarray:
    """(H, W, C) uint8 to (height, width, C).

    Args:
        image: any size from 1x1 on.
        size: (height, width) in pixels.
        fit: squash changes the proportions; pad keeps them and puts black beside, centred; crop keeps them and cuts off
            evenly what stands out.
    """
    height, width = image.shape[:2]
    if fit == "squash":
        return _scale(image, size)
    shares = (size[0] / height, size[1] / width)
    share = min(shares) if fit == "pad" else max(shares)
    scaled = _scale(image, (max(1, round(height * share)), max(1, round(width * share))))
    spare = (size[0] - scaled.shape[0], size[1] - scaled.shape[1])
    if fit == "crop":
        top, left = max(0, -spare[0]) // 2, max(0, -spare[1]) // 2
        return np.ascontiguousarray(scaled[top : top + size[0], left : left + size[1]])
    padded = np.zeros((*size, image.shape[2]), np.uint8)
    top, left = spare[0] // 2, spare[1] // 2
    padded[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return padded


def probe_images(refs: Sequence[str], root: Path, read: Read | None = None, sample: int | None = 200, workers: int = 2) -> Probe:
    """Look at some images, evenly spread over the references, or at all of them where `sample` is None."""
    refs = list(dict.fromkeys(part for ref in refs for part in ref.split(STACK) if part))
    bad = dict.fromkeys(find_missing(refs, root, read), "there is no such file")
    present = [ref for ref in refs if ref not in bad]
    if sample is not None and len(present) > sample:
        present = [present[position * len(present) // sample] for position in range(sample)]

    def look(ref: str) -> tuple[Size, int] | str:
        try:
            image, shape = read_with_shape(root / ref, (32, 32)) if read is None else read_own_with_shape(read, ref, (32, 32))
        except ImageError as error:
            return bare_reason(error, root / ref)
        return shape, image.shape[2]

    with ThreadPoolExecutor(max(1, workers)) as pool:
        looks = list(pool.map(look, present))
    bad |= {ref: found for ref, found in zip(present, looks) if isinstance(found, str)}
    good = [found for found in looks if not isinstance(found, str)]
    short_px = int(statistics.median(min(shape) for shape, _ in good)) if good else 0
    return Probe(len(present), short_px, max((channels for _, channels in good), default=3), bad)


def find_missing(refs: Sequence[str], root: Path, read: Read | None) -> list[str]:
    """The references (or stacks) of which a file is not there, in their order; none where only the dataset's reader knows.

    One listing per folder: looking up a million files singly takes minutes.
    """
    if read is not None and not hasattr(read, "sources"):
        return []
    listings: dict[str, frozenset[str]] = {}

    def is_there(path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder not in listings:
            listings[folder] = _list_names(root / folder)
        return name in listings[folder]

    return [ref for ref in refs if not all(map(is_there, list_sources(ref, read)))]


def list_sources(ref: str, read: Read | None) -> list[str]:
    """The files, from the tables' root, that an image (or a stack) is read from."""
    parts = [part for part in ref.split(STACK) if part] if STACK in ref else [ref] if ref else []
    sources = getattr(read, "sources", None)
    return parts if sources is None else [path for part in parts for path in sources(part)]


def _list_names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except (OSError, ValueError):
        return frozenset()


def read_own(read: Read, ref: str, size: Size | None = None, channels: int | None = None) -> np.ndarray:
    """One image through the dataset's own reader, checked; whatever it raises is an ImageError."""
    return to_channels(read_own_with_shape(read, ref, size, channels)[0], channels)


def read_own_with_shape(
    read: Read, ref: str, size: Size | None = None, channels: int | None = None
) -> tuple[np.ndarray, Size]:
    """The same in the channels that the image has, with its (height, width) before any reduction."""
    try:
        given = read(ref)
        if isinstance(given, bytes):
            if not given:
                raise ImageError("the file is empty (0 bytes)")
            return decode_image(given, size, channels)
        image = check_array(given)
    except ImageError:
        raise
    except Exception as error:  # a plugin's code: its failure on one image is that image's fault, reported with the others
        raise ImageError(f"the dataset's reader raised {type(error).__name__}: {error}") from error
    return image, image.shape[:2]


def bare_reason(error: ImageError, path: Path) -> str:
    """Why, without the path that read_image puts before it."""
    return str(error).removeprefix(f"{path}: ")


def list_bad(bad: dict[str, str], total: int) -> str:
    """One screen about images that cannot be read: how many, and the first ten with the reason."""
    rows = [f"  {ref}: {why}" for ref, why in list(bad.items())[:_NAMED]]
    more = [f"  ... and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
    return "\n".join([f"{len(bad)} of {total} images cannot be read:", *rows, *more])


def _scale(image: np.ndarray, size: Size) -> np.ndarray:
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    # Averaging areas takes longer than bilinear (227 -> 160 px: 0.45 ms against 0.05), once for each image; fine-tuned on such
    # pictures, two folds of pacs_art answered 1 to 3 points better.
    shrink = max(height / size[0], width / size[1])
    way = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
    # OpenCV averages areas of four channels at most.
    groups = [image] if image.shape[2] <= 4 else [image[:, :, at : at + 4] for at in range(0, image.shape[2], 4)]
    scaled = [cv2.resize(np.ascontiguousarray(group), (size[1], size[0]), interpolation=way) for group in groups]
    return np.dstack(scaled) if len(scaled) > 1 or scaled[0].ndim == 2 else scaled[0]
