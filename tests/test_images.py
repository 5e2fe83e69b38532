"""Reading images against what PIL reads, and against pictures whose pixels are known."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from comp.errors import ImageError
from comp.images import check_array, list_bad, probe_images, read_image, resize_image, to_channels


def picture(height: int = 61, width: int = 90) -> np.ndarray:
    """A smooth colour picture without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + 2 * y) % 256], axis=2).astype(np.uint8)


def test_a_colour_png_comes_back_exactly(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), picture())


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_as_pil_does(tmp_path: Path, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"a.{format}"
    Image.fromarray(picture()).save(path, exif=exif, **({"lossless": True} if format == "webp" else {}))
    with Image.open(path) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    read = read_image(path)
    assert read.shape == ((61, 90, 3) if orientation < 5 else (90, 61, 3))
    assert np.abs(read - wanted).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_the_colours_that_pil_gives(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture()).convert("CMYK").save(path)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
        assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))
    assert np.abs(read_image(path).astype(int) - picture()).mean() < 8


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    palette = Image.fromarray(picture()).quantize(16)
    palette.save(tmp_path / "a.png")
    palette.save(tmp_path / "a.gif")
    wanted = np.asarray(palette.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.png"), wanted)
    assert np.array_equal(read_image(tmp_path / "a.gif"), wanted)


def test_16_bit_grey_is_divided_by_257(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [32768, 65407, 65406, 65535]], np.uint16)
    wanted = [[0, 0, 1, 1], [128, 255, 254, 255]]
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert read_image(tmp_path / name)[:, :, 0].tolist() == wanted


def test_16_bit_colour_keeps_the_order_of_its_channels(tmp_path: Path) -> None:
    import cv2

    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), picture()[:, :, ::-1].astype(np.uint16) * 257)
        assert np.array_equal(read_image(tmp_path / name), picture())


def test_1_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = np.array([[True, False, True], [False, False, True]])
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(bits).save(tmp_path / name)
        assert read_image(tmp_path / name).tolist() == np.where(bits, 255, 0)[:, :, None].tolist()


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    layered = np.array([[[10, 20, 30, 255], [0, 0, 0, 0], [100, 0, 200, 51]]], np.uint8)
    Image.fromarray(layered).save(tmp_path / "a.png")
    # a fifth of (100, 0, 200) and four fifths of white
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [255, 255, 255], [224, 204, 244]]]
    assert np.array_equal(read_image(tmp_path / "a.png", channels=4), layered)
    grey = Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8), "LA")
    grey.save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").tolist() == [[[255], [0]]]


def test_a_transparent_palette_entry_lies_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putdata([0, 1])
    palette.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (1, 1), (255, 255, 255)).save(tmp_path / name)
        assert read_image(tmp_path / name, (32, 32)).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ImageError, match=name):
        read_image(path)


def test_a_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture()).save(path)
    wanted = read_image(path)
    path.write_bytes(path.read_bytes() + b"camera maker's trailer" * 20)
    assert np.abs(read_image(path).astype(int) - wanted).max() <= 1


def test_a_damaged_png_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


def test_what_is_missing_empty_or_no_image_says_which(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    reasons = {"none.jpg": "no such file", "empty.jpg": "0 bytes", "page.jpg": "not an image", "float.tif": "float"}
    for name, why in reasons.items():
        with pytest.raises(ImageError, match=f"{name}: .*{why}"):
            read_image(tmp_path / name)


def test_a_header_that_claims_more_than_a_gigapixel_is_refused(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = (50_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="50000 x 50000 pixels"):
        read_image(tmp_path / "a.png")


def test_100_megapixels_are_read(tmp_path: Path) -> None:
    small = Image.fromarray(picture(100, 100))
    small.resize((10_000, 10_000), Image.Resampling.NEAREST).save(tmp_path / "a.jpg", quality=90)
    Image.new("1", (10_000, 10_000), 1).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.jpg", (64, 64))
    assert read.shape == (1250, 1250, 3)
    assert np.abs(resize_image(read, (100, 100)).astype(int) - picture(100, 100)).mean() < 3
    assert read_image(tmp_path / "a.png", (64, 64)).min() == 255


def test_a_jpeg_comes_reduced_but_never_below_the_wanted_size(tmp_path: Path) -> None:
    Image.fromarray(picture(640, 480)).save(tmp_path / "a.jpg", quality=95)
    wanted = {(60, 60): (80, 60), (61, 61): (160, 120), (120, 100): (160, 120), (240, 240): (320, 240), (241, 10): (640, 480)}
    assert {size: read_image(tmp_path / "a.jpg", size).shape[:2] for size in wanted} == wanted
    averaged = picture(640, 480).reshape(80, 8, 60, 8, 3).mean(axis=(1, 3))
    inner = np.s_[2:-2, 2:-2, :2]  # the third channel wraps around
    assert np.abs(read_image(tmp_path / "a.jpg", (60, 60)) - averaged)[inner].mean() < 2


def test_channels_are_converted(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(picture()).convert("L").save(tmp_path / "grey.jpg", quality=95)
    grey = np.asarray(Image.fromarray(picture()).convert("L")).astype(int)
    assert read_image(tmp_path / "grey.jpg").shape == (61, 90, 1)
    assert np.abs(read_image(tmp_path / "a.jpg", channels=1)[:, :, 0] - grey).mean() < 2
    three = read_image(tmp_path / "grey.jpg", channels=3)
    assert three.shape == (61, 90, 3) and np.ptp(three, axis=2).max() == 0
    with pytest.raises(ImageError, match="2 channels.*image.channels is 3"):
        to_channels(np.zeros((2, 2, 2), np.uint8), 3)


def test_resizing_keeps_what_fit_says() -> None:
    wide = np.zeros((10, 20, 1), np.uint8)
    wide[:, 5:15] = 200
    assert resize_image(wide, (10, 10), "crop")[:, :, 0].tolist() == [[200] * 10] * 10
    padded = resize_image(np.full((10, 20, 3), 200, np.uint8), (20, 20), "pad")
    assert padded.shape == (20, 20, 3)
    assert (padded[5:15] == 200).all() and (padded[:5] == 0).all() and (padded[15:] == 0).all()
    checks = np.indices((8, 8)).sum(axis=0)[:, :, None].astype(np.uint8) % 2 * 200
    assert (resize_image(checks, (4, 4)) == 100).all()
    assert resize_image(np.full((1, 1, 3), 7, np.uint8), (5, 9)).tolist() == np.full((5, 9, 3), 7).tolist()


def test_a_readers_arrays_are_checked() -> None:
    assert check_array(np.array([[0, 65535]], np.uint16)).tolist() == [[[0], [255]]]
    for wrong in ([1], np.zeros((2, 2)), np.zeros(4, np.uint8), np.zeros((0, 3), np.uint8)):
        with pytest.raises(ImageError, match="reader returned"):
            check_array(wrong)


def test_a_probe_finds_size_channels_and_what_is_bad(tmp_path: Path) -> None:
    for number, side in enumerate((30, 40, 50)):
        Image.fromarray(picture(side, 100)).convert("L").save(tmp_path / f"{number}.png")
    (tmp_path / "bad.jpg").write_bytes(b"")
    refs = ["0.png", "1.png", "2.png", "bad.jpg", "gone.png"]
    probe = probe_images(refs, tmp_path)
    assert (probe.looked, probe.short_px, probe.channels) == (4, 40, 1)
    assert probe.bad == {"gone.png": "there is no such file", "bad.jpg": "the file is empty (0 bytes)"}
    assert probe_images([*refs[:3], "gone.png"], tmp_path, sample=1).bad == {"gone.png": "there is no such file"}
    own = probe_images(["a", "b"], tmp_path, lambda ref: np.zeros((8, 9, 3), np.uint8))
    assert (own.short_px, own.channels, own.bad) == (8, 3, {})


def test_a_list_of_bad_images_names_ten_and_counts_the_rest() -> None:
    text = list_bad({f"{number}.jpg": "is empty" for number in range(25)}, 100)
    assert text.startswith("25 of 100 images cannot be read:")
    assert text.count("is empty") == 10 and text.endswith("and 15 more")


@pytest.mark.parametrize("channels", [2, 4, 5, 6, 24])
@pytest.mark.parametrize("size", [(16, 16), (30, 31), (90, 80)])
def test_any_number_of_channels_is_resized_as_each_alone(channels: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, channels), dtype=np.uint8)
    alone = [resize_image(image[:, :, [channel]], size) for channel in range(channels)]
    assert np.abs(resize_image(image, size).astype(int) - np.dstack(alone)).max() <= 1
