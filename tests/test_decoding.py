"""Bytes to pixels; the formats themselves are walked by test_images, through the same function."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from comp.decoding import decode_image, lay_on_white, scale_to_8_bit
from comp.errors import ImageError


def encode(image: Image.Image, format: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **settings)
    return file.getvalue()


def test_the_shape_is_that_before_reduction_and_rotation() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    image, shape = decode_image(encode(Image.new("RGB", (320, 160)), "JPEG", exif=exif), (20, 20))
    assert shape == (160, 320) and image.shape == (40, 20, 3)


def test_a_thumbnails_end_is_not_the_images() -> None:
    exif = Image.Exif()
    exif[0x9286] = b"\xff\xd8 a thumbnail \xff\xd9"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    data = encode(noise, "JPEG", exif=exif, progressive=True)
    assert decode_image(data)[0].shape == (200, 200, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[: len(data) // 2])


def test_16_bits_are_rounded_to_8() -> None:
    values = np.arange(65536, dtype=np.uint16)[None, :, None]
    assert np.array_equal(scale_to_8_bit(values), np.floor(values / 257 + 0.5).astype(np.uint8))


def test_layers_are_mixed_by_their_alpha() -> None:
    layered = np.random.default_rng(0).integers(0, 256, (50, 50, 4), dtype=np.uint8)
    share = layered[:, :, 3:] / 255
    assert np.array_equal(lay_on_white(layered), np.floor(layered[:, :, :3] * share + 255 * (1 - share) + 0.5).astype(np.uint8))
