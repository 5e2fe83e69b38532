"""Archives of images and packed tables, with members of any name and with any damage.

Nothing is written anywhere, no member leads outside, and what is not refused is the picture that was put in.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from comp.catalog import build_catalog
from comp.errors import CompError, DataError
from comp.images import probe_images, read_own
from comp.listing import list_data
from comp.packed import unpack_table
from tests.fuzz.exploring import counts, explore, nothing_written_outside
from tests.fuzz.test_images import draw, peak_mb

pytestmark = pytest.mark.filterwarnings("ignore")
LEADS_OUT = ["../out.png", "a/../../out.png", "/abs.png", "\\\\server\\share.png", "..\\out.png", "C:\\out.png", ".."]
ODD = ["", "/", ".", "./", "./a.png", "a//b.png", "__MACOSX/a.png", ".hidden.png", "a\nb.png", "a\0.png", "a.png/", "\udcff"]
PLAIN = ["a.png", "a/a.png", "A.PNG", "é.png", "e\u0301.png", "a.zip/b.png", "x" * 3000]
NAMES = st.sampled_from([*PLAIN, *ODD, *LEADS_OUT]) | st.text(max_size=8)


@cache
def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw()[0]).save(file, "PNG")
    return file.getvalue()


def write_zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name.encode("utf-8", "replace").decode()
            archive.writestr(info, picture())


def write_tar(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(picture())
            archive.addfile(info, io.BytesIO(picture()))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"link{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)


WRITERS = {"a.zip": write_zip, "a.tar": write_tar}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A competition's folder, with what must stay as it is beside it."""
    (tmp_path / "out.png").write_bytes(b"a secret")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("id,label\na,x\n")
    return tmp_path / "data"


CATALOG = build_catalog(None)


def open_tables(folder: Path, archive: str) -> Any:
    spec = {"use": "csv", "train": "train.csv", "images": archive, "id": "id", "target": "label"}
    return CATALOG.build("dataset", spec, root=folder, facts=None)


def read_all(folder: Path, archive: str) -> list[np.ndarray]:
    """Every member that may be listed or named, through all that looks at archives."""
    listing = list_data(folder)
    for name in listing.members.get(archive, ()):
        assert name and ".." not in name.replace("\\", "/").split("/") and not name.startswith(("/", "\\")), name
    try:
        tables = open_tables(folder, archive)
    except DataError as error:
        assert str(error)
        return []
    probe_images([f"{archive}/a.png"], folder, tables.read)
    found, holder = [], tables.read.open(archive)
    for name in [*holder.names, *listing.members.get(archive, ()), *LEADS_OUT, "link2.png", ""]:
        try:
            found.append(read_own(tables.read, f"{archive}/{name}"))
        except DataError as error:
            assert str(error)
    return found


@counts(60, 3000)
def test_members_of_any_name_lead_nowhere(folder, count):
    def check(case: tuple[str, list[str]]) -> None:
        archive, names = case
        WRITERS[archive](folder / archive, names)
        with nothing_written_outside(folder.parent / "nowhere"):
            found = read_all(folder, archive)
        assert all(np.array_equal(image[:, :, 0], draw()[0]) for image in found)
        (folder / archive).unlink()

    explore(st.tuples(st.sampled_from(sorted(WRITERS)), st.lists(NAMES, max_size=5)), count, check)
    assert (folder.parent / "out.png").read_bytes() == b"a secret"


@counts(80, 4000)
def test_torn_archives_are_refused_or_give_the_picture(folder, count):
    """The pictures are PNG files, which have checksums: what is read is right."""
    whole = {}
    for archive, write in WRITERS.items():
        write(folder / archive, ["a.png", "b/c.png"])
        whole[archive] = (folder / archive).read_bytes()
        (folder / archive).unlink()
    places = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), max_size=6)

    def check(case: tuple[str, float, list[tuple[float, int]]]) -> None:
        archive, share, bits = case
        data = bytearray(whole[archive][: max(1, int(share * len(whole[archive])))])
        for place, bit in bits:
            data[int(place * len(data))] ^= 1 << bit
        (folder / archive).write_bytes(data)
        with nothing_written_outside(folder.parent / "nowhere"):
            found = read_all(folder, archive)
        assert all(np.array_equal(image[:, :, 0], draw()[0]) for image in found)

    explore(st.tuples(st.sampled_from(sorted(WRITERS)), st.floats(0, 1) | st.just(1.0), places), count, check)


@counts(60, 3000)
def test_torn_packed_tables_are_refused_or_right(tmp_path, count):
    """Those of zip, gzip and 7z all have checksums."""
    text = b"id,label\n" + b"".join(b"%d,%d\n" % (number, number % 3) for number in range(60))
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", text)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text))
    with pytest.importorskip("py7zr").SevenZipFile(tmp_path / "t.csv.7z", "w") as archive:
        archive.writestr(text.decode(), "t.csv")
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("t.csv.*")}
    places = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), max_size=4)

    def check(case: tuple[str, float, list[tuple[float, int]]]) -> None:
        name, share, bits = case
        data = bytearray(whole[name][: max(1, int(share * len(whole[name])))])
        for place, bit in bits:
            data[int(place * len(data))] ^= 1 << bit
        (tmp_path / name).write_bytes(data)
        try:
            with nothing_written_outside(tmp_path / "nowhere"):
                assert unpack_table(tmp_path / name)[1] == text
        except CompError as error:
            assert str(error)

    explore(st.tuples(st.sampled_from(sorted(whole)), st.floats(0, 1) | st.just(1.0), places), count, check)


def test_bombs_take_no_memory(tmp_path):
    """Four gigabytes of zeros: as a member of a zip, as an array of an .npz, as a packed table; and a header that says 40 TB."""
    before = peak_mb()
    spoilt = {"zip": tmp_path / "a.zip", "npz": tmp_path / "a.npz"}
    for kind, path in spoilt.items():
        name = b"a.png" if kind == "zip" else b"a.npy"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.decode(), bytes(2**20))
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\1\2") + 24  # what the directory says of its size
        data[at : at + 4] = (2**32 - 2).to_bytes(4, "little")
        path.write_bytes(data)
    (tmp_path / "train.csv").write_text("id,label\na,x\n")
    read = open_tables(tmp_path, "a.zip").read
    with pytest.raises(DataError, match="4 GB"):
        read_own(read, "a.zip/a.png")
    with pytest.raises(DataError, match="4 GB"):
        open_tables(tmp_path, "a.npz")
    spoilt["zip"].rename(tmp_path / "t.csv.zip")
    with pytest.raises(DataError, match="2 GB"):
        unpack_table(tmp_path / "t.csv.zip")
    huge = b"\x93NUMPY\1\0v\0" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (40000000, 1000, 1000), }".ljust(117) + b"\n"
    (tmp_path / "h.npy").write_bytes(huge)
    with pytest.raises(DataError, match="cannot be read"):
        open_tables(tmp_path, "h.npy")
    assert peak_mb() - before < 100
