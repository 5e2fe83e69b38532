"""Whole: whether an image file can hold what its header says, judged before it is decoded.

Decoders fill in what a damaged file lacks, or take gigabytes for what two bytes of a header say; none of them tells. Checksums
are compared where a format has them (PNG); a JPEG, WebP, BMP or GIF has none: changed bytes in one may be another picture.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from comp.errors import ImageError

DEFLATE_RATIO = 1032
"""The most bytes that one byte of deflate unpacks to (zlib.net/zlib_tech.html)."""

PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> samples a pixel (PNG, 11.2.1)."""

JPEG_PX_A_BYTE = 8 * 64
"""A block of 64 pixels takes a bit at least, whatever the Huffman table (ITU T.81, F.1.2, G.1.2)."""

TIFF_RATIOS = {1: 1, 5: 3000, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO}
"""Compression (none, LZW, deflate, PackBits) -> the most bytes that a byte unpacks to."""

TAGS = {
    "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "strip_offsets": 273, "samples": 277,
    "rows": 278, "planar": 284, "tile_width": 322, "tile_height": 323, "tile_offsets": 324,
}  # fmt: skip
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
YCBCR = 6
"""Has fewer samples of colour than of brightness."""


def demand_whole_png(data: bytes) -> None:
    """Raises: ImageError: cut off, a checksum of what makes up the pixels is wrong, or too few bytes for that many pixels."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("truncated or damaged (its header is)")
    at, packed = 8, 0
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        # What begins with a lower-case letter may be skipped (PNG, 5.4); transparency is one of those.
        counts = kind[:1].isupper() or kind == b"tRNS"
        if counts and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise ImageError("truncated or damaged (a checksum is wrong)")
        if kind == b"IEND":
            break
        packed += length if kind == b"IDAT" else 0
        at = end
    else:
        raise ImageError("truncated or damaged (it has no end)")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    bits = PNG_SAMPLES.get(data[25], 1) * data[24]
    demand_bytes((width, height), width * bits / 8 * height, packed * DEFLATE_RATIO)


def demand_whole_jpeg(data: bytes, width: int, height: int) -> None:
    """Raises: ImageError: too few bytes for that many pixels."""
    demand_bytes((width, height), width * height, len(data) * JPEG_PX_A_BYTE)


def demand_whole_tiff(data: bytes) -> tuple[int, int]:
    """(height, width) of the first picture of a classic TIFF; (0, 0) where that cannot be told, which is left to the decoder.

    Raises:
        ImageError: fewer strips or tiles than the picture has, one that begins behind the file's end, or too few bytes.
    """
    try:
        tags = ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        facts = {name: tags.get(number) for name, number in TAGS.items()}
        width, height, pieces = int(facts["width"]), int(facts["height"]), count_pieces(facts)
        offsets = facts["tile_offsets"] or facts["strip_offsets"] or ()
        ratio = TIFF_RATIOS.get(facts["compression"] or 1) if facts["photometric"] != YCBCR else None
        bits = max(facts["bits"] or (1,)) * (facts["samples"] or 1)
        wanted, last = width * bits / 8 * height, max(offsets[:pieces], default=0)
    except Exception:  # noqa: BLE001 - whatever its parser meets in a damaged file
        return 0, 0
    if len(offsets) < pieces or last >= len(data):
        raise ImageError(f"truncated or damaged ({width} x {height} pixels want {pieces} strips or tiles within the file)")
    if ratio:
        demand_bytes((width, height), wanted, len(data) * ratio)
    return height, width


def count_pieces(facts: Mapping[str, Any]) -> int:
    """The strips or tiles that the picture is made of."""
    width, height = int(facts["width"]), int(facts["height"])
    if facts["tile_offsets"]:
        pieces = -(-width // int(facts["tile_width"])) * -(-height // int(facts["tile_height"]))
    else:
        pieces = -(-height // min(int(facts["rows"] or height), height))
    return pieces * (int(facts["samples"] or 1) if facts["planar"] == 2 else 1)


def demand_whole_jpeg_2000(data: bytes) -> None:
    """Raises: ImageError: the codestream (ITU T.800, Annex A), alone or in its box (Annex I), has no end.

    Decoders take any part of one.
    """
    end = len(data.rstrip(b"\0"))
    if data.startswith(JP2):
        at, kind = 0, b""
        while kind != b"jp2c" and at + 8 <= len(data):
            length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
            length = int.from_bytes(data[at + 8 : at + 16]) if length == 1 else length or len(data) - at
            at += max(length, 8)
        end = at
    if data[end - 2 : end] != b"\xff\xd9":
        raise ImageError("truncated or damaged (it has no end)")


def demand_bytes(size: tuple[int, int], wanted: float, there: int) -> None:
    """Raises: ImageError: they are not there."""
    if wanted > there:
        raise ImageError(f"truncated or damaged ({size[0]} x {size[1]} pixels are more than its bytes can hold)")
