"""Decoding: the bytes of an image file become a (H, W, C) uint8 array, or an ImageError that says what is wrong with them.

Knows formats, and judges whether a file is whole. Reading the file, channels that are asked for and resizing are comp.images'.
"""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from comp.errors import ImageError
from comp.whole import JP2, demand_whole_jpeg, demand_whole_jpeg_2000, demand_whole_png, demand_whole_tiff

Size = tuple[int, int]

LARGEST_PX = 10**9
_HUGE_PX = 2**25
# A 100-megapixel image takes 300 to 900 MB while it is decoded: however many threads there are, one at a time.
_one_huge_image = threading.Lock()


def decode_image(data: bytes, size: Size | None = None, channels: int | None = None) -> tuple[np.ndarray, Size]:
    """An image file's bytes -> (H, W, 1 | 3 | 4) uint8 RGB, and the (height, width) it has before reduction and rotation.

    Args:
        data: the whole file, not empty.
        size: the (height, width) wanted in the end; a JPEG comes at the smallest of 1/1, 1/2, 1/4, 1/8 that is not below it.
        channels: 1 lets a JPEG come grey at once; 4 keeps transparency. Otherwise what the file has.

    Raises:
        ImageError: truncated, damaged, no image, of floats or 32-bit integers, or above a gigapixel.
    """
    # OpenCV takes half of PIL's time, but is silent about truncated JPEGs, turns CMYK into other colours and drops
    # transparency: it gets whole files of the plain kinds only.
    if data[:2] == b"\xff\xd8" and (jpeg := _jpeg_header(data)):
        height, width, components = jpeg
        demand_whole_jpeg(data, width, height)
        if components in (1, 3) and data[-64:].rstrip(b"\0").endswith(b"\xff\xd9"):
            return _decode_jpeg(data, (height, width), components, size, channels), (height, width)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        demand_whole_png(data)
        shape, depth = (int.from_bytes(data[20:24]), int.from_bytes(data[16:20])), data[24]
        if data[-8:-4] == b"IEND" and depth in (8, 16) and data[25] in (0, 2) and not (b"tRNS" in data or b"eXIf" in data):
            return _decode_png(data, shape), shape
    return _decode_with_pil(data, channels)


def _jpeg_header(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, components) from the frame header (ITU T.81, B.2.2), None where there is none of Huffman codes."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xC3:
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9]), data[at + 9]
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _decode_jpeg(data: bytes, shape: Size, components: int, size: Size | None, channels: int | None) -> np.ndarray:
    grey = channels == 1 or (channels is None and components == 1)
    # The larger side of what is wanted against the shorter of what there is: right whichever way EXIF turns the image.
    reduction = next((by for by in (8, 4, 2) if size and min(shape) // by >= max(size)), 1)
    flags = {1: 0, 2: 16, 4: 32, 8: 64}[reduction] | (cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    return _with_opencv(data, shape, flags)


def _decode_png(data: bytes, shape: Size) -> np.ndarray:
    image = scale_to_8_bit(_with_opencv(data, shape, cv2.IMREAD_UNCHANGED))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.shape[2] == 3 else image


def _with_opencv(data: bytes, shape: Size, flags: int) -> np.ndarray:
    with _room_for(shape):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise ImageError(f"cannot be decoded ({error.err or error})") from error
    if image is None:
        raise ImageError("cannot be decoded; its contents are damaged")
    return image if image.ndim == 3 else image[:, :, None]


def _decode_with_pil(data: bytes, channels: int | None) -> tuple[np.ndarray, Size]:
    Image.MAX_IMAGE_PIXELS = None  # PIL refuses from 179 megapixels on; the limit here is _room_for's
    is_tiff = data[:4] in (b"II*\0", b"MM\0*")
    tiff_shape = demand_whole_tiff(data) if is_tiff else (0, 0)
    if data.startswith((JP2, b"\xff\x4f\xff\x51")):
        demand_whole_jpeg_2000(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format == "EPS":
                raise ImageError("EPS, which is a program (PIL has Ghostscript run it); convert it to PNG or JPEG")
            shape = (image.height, image.width)
            with _room_for(shape):
                image.load()
                return _from_pil(ImageOps.exif_transpose(image), channels), shape
    except UnidentifiedImageError:
        if is_tiff:  # of a kind that PIL does not know, 16-bit colour among them
            return _decode_tiff(data, tiff_shape)
        raise ImageError("not an image, or of a format that is not known; convert it to PNG or JPEG") from None
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # PIL's parsers raise whatever they meet in a damaged file
        raise ImageError(f"truncated or damaged ({error})") from error


def _decode_tiff(data: bytes, shape: Size) -> tuple[np.ndarray, Size]:
    image = _with_opencv(data, shape, cv2.IMREAD_UNCHANGED)
    if image.dtype not in (np.uint8, np.uint16) or image.shape[2] not in (1, 3):
        raise ImageError(f"a TIFF of {image.shape[2]} {image.dtype} channels; convert it to 8 or 16 bits, grey or RGB")
    image = scale_to_8_bit(image)
    return (cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.shape[2] == 3 else image), image.shape[:2]


def _from_pil(image: Image.Image, channels: int | None) -> np.ndarray:
    if image.mode == "F":
        raise ImageError("an image of floating-point numbers; convert it to 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("a 32-bit image; convert it to 8 or 16 bits")
        return scale_to_8_bit(values.astype(np.uint16))[:, :, None]
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layered = np.asarray(image.convert("RGBA"))
        if channels == 4:
            return layered
        laid = lay_on_white(layered)
        return laid[:, :, :1] if image.mode in ("LA", "La", "L", "1") else laid
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def scale_to_8_bit(values: np.ndarray) -> np.ndarray:
    """uint16 / 257, rounded: 0..65535 onto 0..255, the same for every image, so that brightness stays comparable."""
    return values if values.dtype == np.uint8 else ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def lay_on_white(image: np.ndarray) -> np.ndarray:
    """(H, W, 4) to (H, W, 3), as a viewer shows it; colours under full transparency are arbitrary, often black."""
    alpha = image[:, :, 3:].astype(np.uint16)
    return ((image[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _room_for(shape: Size) -> threading.Lock | nullcontext[None]:
    pixels = shape[0] * shape[1]
    if pixels > LARGEST_PX:
        raise ImageError(f"{shape[1]} x {shape[0]} pixels; more than {LARGEST_PX // 10**6:,} megapixels are not decoded")
    return _one_huge_image if pixels > _HUGE_PX else nullcontext()
