"""Images: whatever happens to the bytes of a file, it is refused, or gives pixels; the right ones where the format can tell.

A picture of scikit-learn's digits in each format that is decoded, cut off anywhere, with bits turned over, or with other bytes in
its header. A format without checksums (JPEG, WebP, TIFF, BMP, GIF, DICOM, .npy) cannot tell changed pixels from others.
"""

from __future__ import annotations

import io
import pickle
import resource
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

import comp.decoding
from comp.catalog import build_catalog
from comp.decoding import decode_image
from comp.errors import CompError, ImageError
from comp.images import read_own
from tests.fuzz.exploring import counts, explore

pytestmark = pytest.mark.filterwarnings("ignore")
MOST_PX = 10**7
MOST_MB = 400
CHECKED = ("png", "png grey", "png 16", "png palette", "png alpha", "png 1", "npz")
"""Formats with checksums: what is not refused is as it was."""


@cache
def draw() -> tuple[np.ndarray, np.ndarray]:
    """A grey and a colour picture of 20 x 24."""
    digit = np.rint(load_digits().images[3] * 15.9).astype(np.uint8)
    grey = cv2.resize(digit, (24, 20))
    return grey, np.dstack([grey, grey[::-1], grey[:, ::-1]])


@cache
def write_files() -> dict[str, bytes]:
    grey, colour = draw()
    deep = colour.astype(np.uint16) * 257

    def save(array: np.ndarray, format: str, mode: str = "", **settings: Any) -> bytes:
        file, image = io.BytesIO(), Image.fromarray(array)
        (image.convert(mode) if mode else image).save(file, format, **settings)
        return file.getvalue()

    return {
        "jpeg": save(colour, "JPEG"), "jpeg grey": save(grey, "JPEG"), "jpeg progressive": save(colour, "JPEG", progressive=True),
        "jpeg cmyk": save(colour, "JPEG", "CMYK"), "png": save(colour, "PNG"), "png grey": save(grey, "PNG"),
        "png 16": cv2.imencode(".png", deep)[1].tobytes(), "png palette": save(colour, "PNG", "P"),
        "png 1": save(grey, "PNG", "1"),
        "png alpha": save(np.dstack([colour, grey]), "PNG"), "webp": save(colour, "WEBP"),
        "webp lossless": save(colour, "WEBP", lossless=True), "tiff": save(colour, "TIFF"),
        "tiff lzw": save(colour, "TIFF", compression="tiff_lzw"),
        "tiff deflate": save(colour, "TIFF", compression="tiff_deflate"),
        "tiff jpeg": save(colour, "TIFF", compression="jpeg"), "tiff g4": save(grey, "TIFF", "1", compression="group4"),
        "tiff 16": cv2.imencode(".tif", deep)[1].tobytes(), "bmp": save(colour, "BMP"), "bmp palette": save(colour, "BMP", "P"),
        "gif": save(colour, "GIF", "P"), "ppm": save(colour, "PPM"), "jpeg 2000": save(colour, "JPEG2000"),
    }  # fmt: skip


def damage(names: list[str], files: Any) -> st.SearchStrategy[tuple[str, bytes, bool]]:
    """(name, damaged content, whether it was only cut off)."""
    places = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8)

    def cut(name: str, share: float) -> tuple[str, bytes, bool]:
        return name, files()[name][: int(share * len(files()[name]))], True

    def turn(name: str, bits: list[tuple[float, int]], head: int) -> tuple[str, bytes, bool]:
        data = bytearray(files()[name])
        for share, bit in bits:
            data[int(share * min(len(data), head))] ^= 1 << bit
        return name, bytes(data), False

    def put(name: str, at: int, values: bytes) -> tuple[str, bytes, bool]:
        data = files()[name]
        at = at % len(data)
        return name, data[:at] + values + data[at + len(values) :], False

    name, odd = st.sampled_from(names), st.sampled_from([b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
    return st.one_of(
        st.builds(cut, name, st.floats(0, 0.9999)),
        st.builds(turn, name, places, st.sampled_from([10**9, 10**9, 400])),
        st.builds(put, name, st.integers(0, 400), odd | st.binary(min_size=1, max_size=4)),
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@counts(250, 30_000)
def test_damaged_files_are_refused_or_pixels_in_bounded_memory(count, monkeypatch):
    monkeypatch.setattr(comp.decoding, "LARGEST_PX", MOST_PX)
    whole = {name: decode_image(data)[0] for name, data in write_files().items()}
    before, tried = peak_mb(), {"refused": 0, "the same": 0, "others": 0}

    def check(case: tuple[str, bytes, bool]) -> None:
        name, data, is_cut = case
        try:
            image, shape = decode_image(data)
        except ImageError as error:
            tried["refused"] += 1
            assert str(error)
            return
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3, 4) and 0 < image.size <= 4 * MOST_PX
        same = np.array_equal(image, whole[name])
        tried["the same" if same else "others"] += 1
        assert same or not (is_cut or name in CHECKED), f"{name}: other pixels, of {shape}"

    explore(damage(sorted(write_files()), write_files), count, check)
    assert min(tried.values()) > 0, tried
    assert peak_mb() - before < MOST_MB


def test_a_header_that_promises_more_than_the_bytes_can_hold_is_refused_before_anything_is_decoded(monkeypatch):
    """Each is of 30,000 x 30,000 pixels, below the limit of a gigapixel, by four bytes of its header."""
    from zlib import crc32

    files, before = write_files(), peak_mb()
    png = files["png"][:16] + (30_000).to_bytes(4) * 2 + files["png"][24:]
    png = png[:29] + crc32(png[12:29]).to_bytes(4) + png[33:]
    frame = files["jpeg"].index(b"\xff\xc0") + 5
    jpeg = files["jpeg"][:frame] + (30_000).to_bytes(2) * 2 + files["jpeg"][frame + 4 :]
    tiffs = []
    for name in ("tiff", "tiff lzw", "tiff 16"):
        data = bytearray(files[name])
        for tag, size in ((256, 24), (257, 20)):  # width and height stand as 16 bits in fields of 32
            at = data.index(tag.to_bytes(2, "little"), int.from_bytes(data[4:8], "little"))
            assert int.from_bytes(data[at + 8 : at + 12], "little") == size
            data[at + 8 : at + 12] = (30_000).to_bytes(4, "little")
        tiffs.append(bytes(data))
    for data in (png, jpeg, *tiffs):
        with pytest.raises(ImageError, match="30000 x 30000 pixels"):
            decode_image(data)
    assert peak_mb() - before < 50


def test_a_tiff_without_some_of_its_strips_is_refused():
    """libtiff and PIL leave black what no strip covers."""
    file = io.BytesIO()
    Image.fromarray(draw()[0]).save(file, "TIFF")  # one strip of 20 rows
    data = bytearray(file.getvalue())
    assert decode_image(bytes(data))[0].shape == (20, 24, 1)
    at = data.index((257).to_bytes(2, "little"), int.from_bytes(data[4:8], "little"))
    data[at + 8 : at + 12] = (40).to_bytes(4, "little")
    with pytest.raises(ImageError, match="24 x 40 pixels want 2 strips"):
        decode_image(bytes(data))


def test_a_file_that_is_a_program_is_not_run(tmp_path, monkeypatch):
    """PIL has Ghostscript draw EPS files, whatever they are called."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(eps)).format == "EPS"
    with pytest.raises(ImageError, match="EPS"):
        decode_image(eps)
    assert not (tmp_path / "ran").exists()


# ---- what the dataset reads itself ---------------------------------------------------------------------------------------


@cache
def write_arrays() -> dict[str, bytes]:
    grey, colour = draw()

    def save(write: Any, *given: Any) -> bytes:
        file = io.BytesIO()
        write(file, *given)
        return file.getvalue()

    return {"npy": save(np.save, colour), "npy float": save(np.save, grey / 255), "npz": save(np.savez_compressed, colour)}


@cache
def write_dicoms() -> dict[str, bytes]:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    grey = draw()[0].astype(np.uint16) * 16
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    files = {}
    for name in ("dicom", "dicom rle"):
        item = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        item.Rows, item.Columns, item.SamplesPerPixel, item.PhotometricInterpretation = 20, 24, 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 12, 11, 0
        item.PixelData, item.SOPClassUID, item.SOPInstanceUID = grey.tobytes(), meta.MediaStorageSOPClassUID, "1.2.3"
        if name == "dicom rle":
            item.compress(pydicom.uid.RLELossless)
        file = io.BytesIO()
        item.save_as(file, enforce_file_format=True)
        files[name] = file.getvalue()
    return files


SUFFIXES = {"npy": ".npy", "npy float": ".npy", "npz": ".npz", "dicom": ".dcm", "dicom rle": ".dcm"}


def open_reader(root: Path) -> Any:
    """The reader of dataset csv for files of these kinds in `root`."""
    for name, data in (write_arrays()).items():
        (root / f"{name}{SUFFIXES[name]}").write_bytes(data)
    (root / "train.csv").write_text("id,label\nnpy.npy,a\nnpy float.npy,b\n")
    spec = {"use": "csv", "train": "train.csv", "images": ".", "id": "id", "target": "label"}
    return build_catalog(None).build("dataset", spec, root=root, facts=None).read


def explore_reader(root: Path, files: Any, count: int) -> None:
    read = open_reader(root)
    whole, before = {}, peak_mb()
    for name, data in files().items():
        (root / f"whole{SUFFIXES[name]}").write_bytes(data)
        whole[name] = read_own(read, f"whole{SUFFIXES[name]}")

    def check(case: tuple[str, bytes, bool]) -> None:
        name, data, is_cut = case
        (root / f"x{SUFFIXES[name]}").write_bytes(data)
        try:
            image = read_own(read, f"x{SUFFIXES[name]}")
        except ImageError as error:
            assert str(error)
            return
        assert image.dtype == np.uint8 and image.ndim == 3 and 0 < image.size <= MOST_PX
        assert np.array_equal(image, whole[name]) or name not in CHECKED, f"{name}: other pixels"

    explore(damage(sorted(files()), files), count, check)
    assert peak_mb() - before < MOST_MB


@counts(60, 3000)
def test_damaged_arrays_are_refused_or_pixels(tmp_path, count):
    explore_reader(tmp_path, write_arrays, count)


@counts(50, 2500)
def test_damaged_dicoms_are_refused_or_pixels(tmp_path, count):
    pytest.importorskip("pydicom")
    explore_reader(tmp_path, write_dicoms, count)


class Marks:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["objects.npy", "objects.npz", "pickle.npy", "pickle.npz", "pickle.png", "pickle.dcm"])
def test_an_array_of_pickled_objects_is_refused_and_runs_nothing(tmp_path, name):
    read, mark = open_reader(tmp_path), tmp_path / "ran"
    if name.startswith("pickle"):
        (tmp_path / name).write_bytes(pickle.dumps(Marks(mark)))
    else:
        write = np.save if name.endswith("npy") else np.savez
        with open(tmp_path / name, "wb") as file:
            write(file, np.array([Marks(mark)], dtype=object))
    with pytest.raises(CompError) as caught:
        read_own(read, name)
    assert str(caught.value) and not mark.exists()
