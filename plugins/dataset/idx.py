"""Dataset `idx`: images and labels in idx files, gzipped or not, as the MNIST family (Fashion, Kuzushiji, EMNIST, ...) has them.

The format (Y. LeCun, yann.lecun.com/exdb/mnist): two zero bytes, the type, the number of dimensions, each as big-endian
int32, then the values, the last index fastest.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from comp.api import DataError, Tables, plugin

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@plugin("dataset")
def idx(
    root: Path,
    /,
    *,
    data: str = ".",
    images: str = "train-images-idx3-ubyte.gz",
    labels: str = "train-labels-idx1-ubyte.gz",
    test_images: str | None = "t10k-images-idx3-ubyte.gz",
    sample: str | None = None,
    first_id: int = 0,
    transpose: bool = False,
) -> Tables:
    """Images and labels in idx files (the MNIST family). Rows are numbered; the target is `label`.

    The labels of a test set stay unread. Training rows are called train_0, ...; test rows by their number, or, where there
    is a sample, by its ids in its order.

    Args:
        data: folder of the files; relative to the workspace, or absolute.
        images: the training images, (N, H, W) or (N, H, W, C) of uint8; .gz or plain.
        labels: their labels, (N,) integers.
        test_images: the test images, or null; not there: no test set yet.
        sample: the sample submission, a CSV, or null.
        first_id: number of the first test row, where there is no sample.
        transpose: whether rows and columns are swapped, as EMNIST has them.

    Raises:
        DataError: a file that is not there, is no idx or is cut short; as many labels as there are no images.

    Example: {use: idx, data: mnist, images: train-images-idx3-ubyte.gz, labels: train-labels-idx1-ubyte.gz}
    """
    folder = (root / Path(data).expanduser()).resolve()
    pictures = read_images(folder / inside(images), transpose)
    answers = read_idx(folder / inside(labels))
    if answers.ndim != 1 or len(answers) != len(pictures) or answers.dtype.kind not in "iu":
        given = f"{answers.dtype} {answers.shape}"
        raise DataError(f"{labels} holds {given}; wanted integers, one for each of {len(pictures)} images")
    train = name_rows([f"train_{row}" for row in range(len(pictures))], "train")
    train["label"] = [str(int(label)) for label in answers]
    sample_table = read_sample(folder / inside(sample)) if sample is not None else None
    test, tests = None, None
    if test_images is not None and (folder / inside(test_images)).is_file():
        tests = read_images(folder / test_images, transpose)
        ids = [str(first_id + row) for row in range(len(tests))] if sample_table is None else sample_table.iloc[:, 0].tolist()
        if len(ids) != len(tests):
            raise DataError(f"{sample} has {len(ids)} rows, {test_images} {len(tests)} images; wanted one for each")
        test = name_rows(ids, "test")
    return Tables(
        train=train,
        test=test,
        sample=sample_table,
        id_column="id" if sample_table is None else str(sample_table.columns[0]),
        targets=("label",),
        files=(folder / images, folder / labels),
        root=folder,
        read=ReadNumbered({"train": pictures, "test": tests}, {"train": images, "test": test_images}, f"transpose={transpose}"),
    )


@dataclass(frozen=True, eq=False)
class ReadNumbered:
    """Reads `train/17`: (H, W) or (H, W, C) uint8. Holds all images of both parts."""

    parts: dict[str, np.ndarray | None]
    files: dict[str, str | None]
    key: str

    def __call__(self, ref: str) -> np.ndarray:
        part, _, number = ref.partition("/")
        return self.parts[part][int(number)]  # type: ignore[index]

    def sources(self, ref: str) -> list[str]:
        return [str(self.files[ref.partition("/")[0]])]


def name_rows(ids: list[str], part: str) -> pd.DataFrame:
    return pd.DataFrame({"row_id": ids, "id": ids, "image": [f"{part}/{row}" for row in range(len(ids))]}, dtype=object)


def read_images(path: Path, transpose: bool) -> np.ndarray:
    """(N, H, W) or (N, H, W, C) uint8.

    Raises:
        DataError: as read_idx; or they are no such images.
    """
    pictures = read_idx(path)
    if pictures.ndim not in (3, 4) or pictures.dtype != np.uint8:
        raise DataError(f"{path.name} holds {pictures.dtype} {pictures.shape}; wanted images of uint8, (N, H, W) or (N, H, W, C)")
    return np.ascontiguousarray(pictures.swapaxes(1, 2)) if transpose else pictures


def read_idx(path: Path) -> np.ndarray:
    """Raises: DataError: there is no such file, it is no idx, or it is cut short."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is cut short or damaged: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise DataError(f"{path.name} is no idx file: it begins with {data[:4].hex(' ')}")
    start, kind = 4 + 4 * data[3], np.dtype(TYPES[data[2]])
    shape = tuple(np.frombuffer(data[4:start], ">i4").tolist())
    wanted = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if len(data) - start != wanted:
        raise DataError(f"{path.name} holds {len(data) - start} bytes of values; {shape} wants {wanted}")
    return np.frombuffer(data, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


def read_sample(path: Path) -> pd.DataFrame:
    """Raises: DataError: no such file, or no CSV."""
    try:
        return pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"dataset.sample: {path} cannot be read: {error}") from error


def inside(name: str) -> str:
    """Raises: DataError: the name leads out of `data`."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{name!r} leads out of the dataset's folder (which is dataset.data)")
    return name
