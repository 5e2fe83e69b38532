"""Pixels: what stands in arrays, 16-bit files and DICOM becomes uint8, by a rule that is stated."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from comp.api import DataError, ImageError

LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5
SAMPLE = 64
LARGEST_VALUES = 3 * 10**9
DEEP_SUFFIXES = (".png", ".tif", ".tiff")
ARRAY_SUFFIXES = (".npy", ".npz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")

Limits = tuple[tuple[float, ...], tuple[float, ...]]
"""Lowest and highest value, of all channels or of each."""


@dataclass(frozen=True)
class PixelRule:
    """How values become 0..255.

    Attributes:
        limits: what becomes 0 and 255; None: each image's own lowest and highest value.
        deep_files: whether that is also done to PNG and TIFF files (else the kit reads them).
        layout: auto | hwc | chw: which axis of a 3-D array holds the channels; auto: the smallest, of equal ones the last.
        planes: the channels that are kept; None: all.
        window: (centre, width) of DICOM values; auto: the file's own, where it has one; image: its lowest and highest value.
    """

    limits: Limits | None
    deep_files: bool
    layout: str = "auto"
    planes: tuple[int, ...] | None = None
    window: tuple[float, float] | str = "auto"

    def read(self, data: bytes | np.ndarray, name: str) -> np.ndarray | bytes:
        """(H, W, C) uint8, or the bytes of a file that the kit decodes."""
        values = self.open_values(data, name)
        if isinstance(values, bytes):
            return read_dicom(values, self.window) if is_dicom(values, name) else values
        return values if values.dtype == np.uint8 else scale(values, self.limits)

    def open_values(self, data: bytes | np.ndarray, name: str) -> np.ndarray | bytes:
        """(H, W, C) of any type; bytes where the rule has no say."""
        suffix = name[name.rfind(".") :].lower()
        if isinstance(data, np.ndarray):
            return self.arrange(data)
        if suffix in ARRAY_SUFFIXES:
            found = np.load(io.BytesIO(data), allow_pickle=False)
            if not isinstance(found, np.ndarray):
                if len(found.files) != 1:
                    raise ImageError(f"an .npz of {len(found.files)} arrays ({', '.join(found.files[:3])}); wanted one")
                found = found[found.files[0]]
            return self.arrange(found)
        if self.deep_files and suffix in DEEP_SUFFIXES:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if image is None:
                raise ImageError("cannot be decoded; its contents are damaged")
            if image.ndim == 3:
                image = image[:, :, [2, 1, 0, 3][: image.shape[2]]]
            return self.arrange(image, "hwc")
        return data

    def arrange(self, values: np.ndarray, layout: str | None = None) -> np.ndarray:
        """(H, W), (H, W, C) or (C, H, W) numbers to (H, W, kept channels)."""
        if values.ndim not in (2, 3) or values.dtype.kind not in "buif":
            raise ImageError(f"an array of {values.dtype} {values.shape}; wanted numbers, (H, W) with or without channels")
        layout = layout or self.layout
        if values.ndim == 2:
            values = values[:, :, None]
        elif layout == "chw" or (layout == "auto" and values.shape[0] < min(values.shape[2], values.shape[1] + 1)):
            values = values.transpose(1, 2, 0)
        if self.planes is not None:
            if max(self.planes) >= values.shape[2]:
                count = values.shape[2]
                raise ImageError(f"has {count} channels, but dataset.planes names {max(self.planes)} (they count from 0)")
            values = values[:, :, list(self.planes)]
        return values * np.uint8(255) if values.dtype == np.bool_ else values


def scale(values: np.ndarray, limits: Limits | None) -> np.ndarray:
    """(H, W, C) numbers to uint8: the limits become 0 and 255, what lies beyond is cut off; NaN is the lower one."""
    values = values.astype(np.float32)
    if limits is None:
        finite = values[np.isfinite(values)]
        limits = ((float(finite.min()),), (float(finite.max()),)) if finite.size else ((0.0,), (1.0,))
    low, high = np.array(limits[0], np.float32), np.array(limits[1], np.float32)
    if len(low) not in (1, values.shape[2]):
        raise ImageError(f"has {values.shape[2]} channels, but the others have {len(low)}")
    span = np.where(high > low, high - low, 1)
    return np.rint(np.clip(np.nan_to_num((values - low) / span, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255).astype(np.uint8)


def measure_limits(images: Sequence[np.ndarray]) -> Limits:
    """Of each channel the 0.5th and 99.5th percentile over these images' finite values.

    Raises:
        DataError: they have different numbers of channels.
    """
    counts = {image.shape[2] for image in images}
    if len(counts) != 1:
        raise DataError(f"the arrays have different numbers of channels: {sorted(counts)}; dataset.planes chooses some of them")
    lows, highs = [], []
    for channel in range(counts.pop()):
        values = np.concatenate([image[:, :, channel].ravel().astype(np.float32) for image in images])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]) if values.size else (0.0, 1.0)
        lows.append(float(low))
        highs.append(float(high))
    return tuple(lows), tuple(highs)


# ---- DICOM ---------------------------------------------------------------------------------------------------------------


def is_dicom(data: bytes, name: str) -> bool:
    return data[128:132] == b"DICM" or name.lower().endswith(DICOM_SUFFIXES)


def read_dicom(data: bytes, window: tuple[float, float] | str) -> np.ndarray:
    """The first frame, (H, W, C) uint8 (colours of 16 bits: uint16), as it is to be shown.

    Raises:
        ImageError: pydicom is not installed, or lacks what the file's compression takes.
    """
    try:
        import pydicom
    except ImportError:
        raise ImageError("DICOM is read by pydicom, which is not installed: pip install 'comp-kit[dicom]'") from None
    file = pydicom.dcmread(io.BytesIO(data), force=True)
    values = math.prod(int(getattr(file, name, 1) or 1) for name in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"))
    if values > LARGEST_VALUES:
        raise ImageError(f"says that it holds {values:,} values; more than {LARGEST_VALUES:,} are not decoded")
    try:
        pixels = file.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImageError(f"pydicom cannot read the pixels ({error}); pip install 'comp-kit[dicom]' has decoders") from error
    return show_values(file, pixels, window)


def show_values(file: Any, pixels: np.ndarray, window: tuple[float, float] | str) -> np.ndarray:
    """Stored values to (H, W, 1) uint8 of brightness: rescaled, windowed, MONOCHROME1 inverted; colours stay.

    PS3.3 C.7.6.3.1.2, C.11.1, C.11.2.1.2 (linear windows).
    """
    if int(getattr(file, "NumberOfFrames", 1) or 1) > 1:
        pixels = pixels[0]
    if pixels.ndim == 3:
        return pixels
    slope, intercept = float(getattr(file, "RescaleSlope", 1) or 1), float(getattr(file, "RescaleIntercept", 0) or 0)
    values = pixels.astype(np.float32) * slope + intercept
    if window == "auto":
        centre, width = (first_number(getattr(file, name, None)) for name in ("WindowCenter", "WindowWidth"))
        window = (centre, width) if centre is not None and width is not None and width > 1 else "image"
    if isinstance(window, str):
        low, high = float(values.min()), float(values.max())
    else:
        low, high = window[0] - 0.5 - (window[1] - 1) / 2, window[0] - 0.5 + (window[1] - 1) / 2
    shown = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
    if getattr(file, "PhotometricInterpretation", "") == "MONOCHROME1":
        shown = 1 - shown
    return np.rint(shown * 255).astype(np.uint8)[:, :, None]


def first_number(value: Any) -> float | None:
    """A value, or the first of several, as DICOM has them."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float(value[0]) if value else None
