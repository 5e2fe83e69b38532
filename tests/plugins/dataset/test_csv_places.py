"""Dataset csv: images in archives and arrays, deep files, DICOM, and stacks of several."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from comp.api import DataError, ImageError
from comp.images import read_own
from comp.plugins.dataset._pixels import show_values
from comp.plugins.dataset.csv import csv, list_unseen

NAMES = ("a1", "a2", "b1", "b2")


def png(value: int, size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


def write_table(folder: Path, text: str = "", **more: str) -> None:
    rows = text or "id,label\n" + "".join(f"{name},{place % 2}\n" for place, name in enumerate(NAMES))
    (folder / "train.csv").write_text(rows)


def write_zip(path: Path, prefix: str = "train/") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, name in enumerate(NAMES):
            archive.writestr(f"{prefix}{name}.png", png(10 * place))
        archive.writestr("../outside.png", png(1))
        archive.writestr("/etc/a1.png", png(1))
        archive.writestr("__MACOSX/._a1.png", b"junk")


def test_images_in_a_zip_are_read_in_place_by_many_threads_and_processes(tmp_path: Path) -> None:
    write_table(tmp_path)
    write_zip(tmp_path / "train.zip")
    before = sorted(tmp_path.rglob("*"))
    tables = csv(tmp_path, images="train.zip")
    assert tables.train["image"].tolist() == [f"train.zip/train/{name}.png" for name in NAMES]
    assert tables.read.sources("train.zip/train/a1.png") == ["train.zip"]
    again = pickle.loads(pickle.dumps(tables.read))
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda ref: read_own(again, ref)[0, 0, 0], tables.train["image"].tolist() * 50))
    assert values == [0, 10, 20, 30] * 50 and sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ImageError, match="no such member"):
        tables.read("train.zip/train/../outside.png")


@pytest.mark.parametrize("ids", ["../outside", "/etc/a1"])
def test_no_name_leads_out_of_an_archive(tmp_path: Path, ids: str) -> None:
    write_table(tmp_path, f"id,label\n{ids},1\n")
    write_zip(tmp_path / "train.zip")
    with pytest.raises(DataError, match="lead out of"):
        csv(tmp_path, images="train.zip")


def test_a_missing_member_is_a_bad_image(tmp_path: Path) -> None:
    write_table(tmp_path, "id,label\na1,1\nzz,0\n")
    write_zip(tmp_path / "train.zip")
    tables = csv(tmp_path, images="train.zip")
    assert tables.train["image"].tolist()[1] == "train.zip/zz.png"
    with pytest.raises(ImageError, match="no such member in the archive"):
        read_own(tables.read, "train.zip/zz.png")


def test_a_plain_tar_whatever_its_name(tmp_path: Path) -> None:
    write_table(tmp_path, "id,file_name,label\n1,train_val/x/a1.png,0\n2,train_val/x/a2.png,1\n")
    with tarfile.open(tmp_path / "train.tar.gz", "w:") as archive:
        for name, value in (("x/a1.png", 5), ("x/a2.png", 6), ("../evil.png", 7)):
            info = tarfile.TarInfo(name)
            data = png(value)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    tables = csv(tmp_path, images="train.tar.gz", image="file_name")
    read = pickle.loads(pickle.dumps(tables.read))
    assert [read_own(read, ref)[0, 0, 0] for ref in tables.train["image"]] == [5, 6]
    with tarfile.open(tmp_path / "real.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match=r"compressed \(gzip\).*unpack it first"):
        csv(tmp_path, images="real.tar.gz", image="file_name")
    (tmp_path / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(600))
    with pytest.raises(DataError, match=r"compressed \(7z\)"):
        csv(tmp_path, images="x.7z", image="file_name")


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("head", ["", "train_val/", "other/"])
@pytest.mark.parametrize("top", ["", "train_val/", "deep/train_val/", "./"])
def test_a_leading_folder_that_members_or_names_lack(tmp_path: Path, head: str, top: str) -> None:
    """The same names below several classes, so that only whole paths tell them apart."""
    inside = {"x/1.png": 5, "y/1.png": 6, "y/2.png": 7}
    write_table(tmp_path, "id,file_name,label\n" + "".join(f"{n},{head}{path},{n % 2}\n" for n, path in enumerate(inside)))
    write_tar(tmp_path / "train.tar", {"LICENSE.txt": b"free", **{top + path: png(value) for path, value in inside.items()}})
    tables = csv(tmp_path, images="train.tar", image="file_name")
    assert [read_own(tables.read, ref)[0, 0, 0] for ref in tables.train["image"]] == [5, 6, 7]


def write_planes(folder: Path) -> np.ndarray:
    """SETI's layout: float16 of (6, height, width), below the first character of the id."""
    planes = np.random.default_rng(0).normal(0, 3, (len(NAMES), 6, 12, 10)).astype(np.float16)
    for place, name in enumerate(NAMES):
        (folder / "train" / name[0]).mkdir(parents=True, exist_ok=True)
        np.save(folder / "train" / name[0] / f"{name}.npy", planes[place])
    return planes


def test_arrays_of_many_channels(tmp_path: Path) -> None:
    write_table(tmp_path)
    planes = write_planes(tmp_path)
    tables = csv(tmp_path, images="train")
    assert tables.train["image"].tolist()[:2] == ["train/a/a1.npy", "train/a/a2.npy"]
    image = read_own(tables.read, "train/a/a1.npy")
    low, high = np.percentile(planes[:, 2].astype(np.float32), [0.5, 99.5])
    wanted = np.clip((planes[0, 2].astype(np.float32) - low) / (high - low), 0, 1) * 255
    assert image.shape == (12, 10, 6) and np.abs(image[:, :, 2] - wanted).max() <= 0.51
    assert read_own(csv(tmp_path, images="train", planes=[0, 2, 4]).read, "train/a/a1.npy").shape == (12, 10, 3)
    own = read_own(csv(tmp_path, images="train", range="image").read, "train/b/b1.npy")
    assert own.min() == 0 and own.max() == 255
    with pytest.raises(ImageError, match="has 6 channels, but dataset.planes names 6"):
        read_own(csv(tmp_path, images="train", planes=[6], range=[0, 1]).read, "train/a/a1.npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"range": [1, 1]}, r"dataset.range is \[1, 1\]; wanted \[lowest, highest\]"),
        ({"window": [40, 1]}, "dataset.window is"),
        ({"planes": []}, "dataset.planes is"),
        ({"stack": ["a"]}, "wanted two columns of images or more"),
        ({"bag": 4, "neighbours": 1, "row": "id"}, "dataset.bag and dataset.neighbours exclude each other"),
        ({"bag": 4}, "name the column of the row's own id, dataset.row"),
        ({"bag": 1, "row": "id"}, "wanted a bag from 2"),
    ],
)
def test_wishes_that_make_no_sense(tmp_path: Path, arguments: dict, message: str) -> None:
    write_table(tmp_path)
    write_planes(tmp_path)
    with pytest.raises(DataError, match=message):
        csv(tmp_path, images="train", **arguments)


def test_one_array_of_all_images_and_arrays_by_name(tmp_path: Path) -> None:
    write_table(tmp_path)
    images = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    np.save(tmp_path / "x.npy", images)
    tables = csv(tmp_path, images="x.npy")
    assert tables.train["image"].tolist() == ["x.npy/0", "x.npy/1", "x.npy/2", "x.npy/3"]
    assert np.array_equal(tables.read("x.npy/2")[:, :, 0], images[2])
    np.savez(tmp_path / "all.npz", images)
    assert np.array_equal(csv(tmp_path, images="all.npz").read("all.npz/3")[:, :, 0], images[3])
    np.savez_compressed(tmp_path / "each.npz", **dict(zip(NAMES, images, strict=True)))
    tables = pickle.loads(pickle.dumps(csv(tmp_path, images="each.npz")))
    assert np.array_equal(tables.read(tables.train["image"][1])[:, :, 0], images[1])
    write_table(tmp_path, "id,label\nq,1\n")
    with pytest.raises(DataError, match="train.csv has 1 rows, x.npy 4 images; wanted one for each row"):
        csv(tmp_path, images="x.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        csv(tmp_path, images="objects.npy")


def test_deep_files_by_their_range(tmp_path: Path) -> None:
    """12 bits in 16: divided by 257 they would nearly be black."""
    write_table(tmp_path, "id,label\np,0\nt,1\n")
    (tmp_path / "train_images").mkdir()
    deep = np.array([[0, 2048, 4095]], np.uint16)
    cv2.imwrite(str(tmp_path / "train_images/p.png"), deep)
    cv2.imwrite(str(tmp_path / "train_images/t.tiff"), deep)
    assert csv(tmp_path).read is None
    tables = csv(tmp_path, range=[0, 4095])
    for ref in tables.train["image"]:
        assert read_own(tables.read, ref)[0, :, 0].tolist() == [0, 128, 255]
    assert csv(tmp_path, range="auto").facts["limits"][1][0] > 4000


def test_values_of_dicom() -> None:
    """Hounsfield units through a window of 80 around 40 (PS3.3 C.11.2.1.2.1): (40 - 39.5) / 79 + 0.5 of 255 is 129.1."""
    file = types.SimpleNamespace(RescaleSlope="2", RescaleIntercept="-100", WindowCenter=[40, 600], WindowWidth=[80, 2000])
    stored = np.array([[0, 50, 70, 90]], np.int16)  # -100, 0, 40, 80
    assert show_values(file, stored, "auto")[0, :, 0].tolist() == [0, 0, 129, 255]  # 79 is white
    assert show_values(file, stored, (0.5, 201)).tolist() == [[[0], [128], [178], [230]]]
    assert show_values(file, stored, "image")[0, [0, -1], 0].tolist() == [0, 255]
    inverted = types.SimpleNamespace(PhotometricInterpretation="MONOCHROME1")
    assert show_values(inverted, stored, "auto")[0, :, 0].tolist() == [255, 113, 57, 0]


def test_dicom_goes_through_pydicom_or_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path, "id,label\n1.2.3,0\n1.2.4,1\n")
    (tmp_path / "train_images").mkdir()
    for name in ("1.2.3", "1.2.4"):
        (tmp_path / f"train_images/{name}.dcm").write_bytes(bytes(128) + b"DICM" + name.encode())
    tables = csv(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"pip install 'comp-kit\[dicom\]'"):
        read_own(tables.read, tables.train["image"][0])
    stub = types.ModuleType("pydicom")
    stub.dcmread = lambda data, force: types.SimpleNamespace(pixel_array=np.array([[0, 100]], np.uint16))
    monkeypatch.setitem(sys.modules, "pydicom", stub)
    assert read_own(tables.read, tables.train["image"][0])[0, :, 0].tolist() == [0, 255]
    windowed = csv(tmp_path, window=[100, 201]).read  # -0.5 is black, 199.5 white: nothing is stretched any further
    assert read_own(windowed, tables.train["image"][0])[0, :, 0].tolist() == [1, 128]


def test_real_dicom(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    write_table(tmp_path, "id,label\nct,0\n")
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images/ct.dcm").write_bytes(Path(path).read_bytes())
    tables = csv(tmp_path)
    assert read_own(tables.read, tables.train["image"][0]).shape == (128, 128, 1)


# ---- several images in a row ---------------------------------------------------------------------------------------------


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    (tmp_path / "train_images").mkdir()
    rows = [("p1", "s3", "3"), ("p1", "s1", "1"), ("p1", "s20", "20"), ("p2", "t1", "1"), ("p2", "t2", "2")]
    for _, name, _ in rows:
        (tmp_path / f"train_images/{name}.png").write_bytes(png(9))
    lines = [f"{patient},{name},{place},{patient[1]}\n" for patient, name, place in rows]
    (tmp_path / "train.csv").write_text("patient,slice,place,label\n" + "".join(lines))
    return tmp_path


def path(*names: str) -> str:
    return "//".join(f"train_images/{name}.png" if name else "" for name in names)


def test_neighbouring_slices_in_their_numbers_order(studies: Path) -> None:
    tables = csv(studies, id="patient", row="slice", neighbours=1, order="place")
    assert tables.views == 3
    assert tables.train.set_index("row_id")["image"].to_dict() == {
        "s3": path("s1", "s3", "s20"), "s1": path("", "s1", "s3"), "s20": path("s3", "s20", ""),
        "t1": path("", "t1", "t2"), "t2": path("t1", "t2", ""),
    }  # fmt: skip


def test_a_units_rows_become_one_bag(studies: Path) -> None:
    tables = csv(studies, id="patient", row="slice", bag=3)
    assert tables.train[["row_id", "id", "label"]].to_numpy().tolist() == [["p1", "p1", "1"], ["p2", "p2", "2"]]
    assert tables.train["image"].tolist() == [path("s3", "s1", "s20"), path("t1", "t2", "")] and tables.views == 3
    two = csv(studies, id="patient", row="slice", bag=2, order="place").train["image"][0]
    assert two == path("s1", "s20")


def test_a_bag_whose_rows_disagree_is_an_error(studies: Path) -> None:
    table = "patient,slice,label,grade,age,site\np1,s1,1,a,7,x\np1,s3,2,b,8,y\np2,t1,2,a,9,x\np2,t2,2,a,9,x\n"
    (studies / "train.csv").write_text(table)
    with pytest.raises(DataError, match=r"train.csv: 1 ids have rows with different 'label': 'p1'") as caught:
        csv(studies, id="patient", row="slice", bag=2, auxiliary=["grade"], columns=["age"])
    assert all(f"rows with different {column!r}" in str(caught.value) for column in ("label", "grade", "age"))
    assert "'site'" not in str(caught.value) and "'p2'" not in str(caught.value)


def test_what_differs_within_a_bag_is_no_column_of_the_unit(studies: Path) -> None:
    (studies / "train.csv").write_text("patient,slice,label,site,city\np1,s1,1,x,u\np1,s3,1,y,u\np2,t1,2,x,v\n")
    table = csv(studies, id="patient", row="slice", bag=2).train
    assert "site" not in table and table["city"].tolist() == ["u", "v"]


def test_columns_of_images_are_stacked(studies: Path) -> None:
    (studies / "train.csv").write_text("id,left,right,label\n1,s1,s3,a\n2,t1.png,,b\n")
    tables = csv(studies, stack=["left", "right"])
    assert tables.train["image"].tolist() == [path("s1", "s3"), path("t1", "")] and tables.views == 2


# ---- test sets that come later -------------------------------------------------------------------------------------------


def arguments(**own: object) -> dict[str, object]:
    absent = ("row", "image", "extension", "stack", "series", "order", "bands", "range", "planes", "test_images", "separator")
    usual = dict.fromkeys(absent)
    return {**usual, "id": "id", "bag": 0, "neighbours": 0, "columns": [], "layout": "auto", "window": "auto", **own}


def test_a_later_test_set_in_a_zip_and_in_arrays(tmp_path: Path) -> None:
    write_table(tmp_path)
    planes = write_planes(tmp_path)
    tables = csv(tmp_path, images="train")
    write_zip(tmp_path / "later.zip", "")
    found = list_unseen(tmp_path / "later.zip", tables, False, {}, **arguments())
    assert found.test["id"].tolist() == list(NAMES) and read_own(found.read, found.test["image"][3])[0, 0, 0] == 30
    later = tmp_path / "later"
    later.mkdir()
    np.save(later / "z.npy", planes[1] * 100)
    found = list_unseen(later, tables, False, tables.facts, **arguments())
    assert found.test["id"].tolist() == ["z"]
    # By what was measured on the training images, not on these.
    assert np.array_equal(found.read("z.npy"), tables.read.rule.read(planes[1] * 100, "z"))
    (tmp_path / "list.csv").write_text("id,label\na2,0\nb1,1\n")
    found = list_unseen(tmp_path / "list.csv", tables, False, tables.facts, **arguments())
    assert found.test["image"].tolist() == ["train/a/a2.npy", "train/b/b1.npy"]


def test_a_later_bag_needs_a_table(studies: Path) -> None:
    tables = csv(studies, id="patient", row="slice", bag=3)
    wishes = arguments(id="patient", row="slice", bag=3)
    found = list_unseen(studies / "train.csv", tables, False, {}, **wishes)
    assert found.test["image"].tolist() == tables.train["image"].tolist() and found.views == 3
    with pytest.raises(DataError, match="wanted a table of the rows, not images alone"):
        list_unseen(studies / "train_images", tables, False, {}, **wishes)
