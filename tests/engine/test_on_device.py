"""Augmentation on the device: what is drawn depends on the row, the loader hands over stored bytes, and a fold trains with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from comp.engine.on_device import DeviceLoader, check_answer, divide_augment
from comp.engine.randomness import draw_uniforms, hash_key, mix_words
from comp.engine.sizes import leaves_training_size, plan_store_size, trains_with_crop
from comp.errors import ManifestError, PluginError, RunError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

DEVICE = "augment=[{use: on_device, flip: 0.0, brightness: 0.3, erase: 0.5}]"
STILL = "{use: on_device, flip: 0.0, scale: [1.0, 1.0], brightness: 0.0, contrast: 0.0}"


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_generator_gives_its_authors_answers(counter, key, wanted) -> None:
    assert mix_words(np.array(counter, np.uint64), *key).tolist() == wanted  # Random123's kat_vectors


def test_numbers_depend_on_epoch_row_and_repetition_alone() -> None:
    keys = np.array([0, 7, 2**64 - 1, 2**32], np.uint64)
    whole = draw_uniforms(2**64 - 1, keys, np.array([0, 1, 2, 0]), 14)
    assert whole.shape == (4, 14) and 0 < whole.min() < whole.max() < 1 and len(np.unique(whole)) == whole.size
    assert np.array_equal(draw_uniforms(2**64 - 1, keys[[3, 1]], np.array([0, 1]), 14), whole[[3, 1]])
    assert np.array_equal(draw_uniforms(2**64 - 1, keys, np.array([0, 1, 2, 0]), 5), whole[:, :5])
    assert not np.isin(draw_uniforms(2**64 - 1, keys, np.array([1, 0, 0, 1]), 14), whole).any()
    assert not np.isin(draw_uniforms(1, keys, np.array([0, 1, 2, 0]), 14), whole).any()
    many = draw_uniforms(5, np.arange(20_000, dtype=np.uint64), np.zeros(20_000, np.int64), 4)
    assert np.abs(many.mean(axis=0) - 0.5).max() < 0.011 and np.abs(np.corrcoef(many.T) - np.eye(4)).max() < 0.036
    assert np.abs(np.histogram(many, 16, (0, 1))[0] / many.size - 1 / 16).max() < 0.0044  # five standard deviations


def test_the_loader_gives_stored_bytes_and_rows_are_changed_in_any_batch_alike(desk: Desk) -> None:
    case = desk.case(DEVICE, "image.predict_size=20")
    stage = case.stage()
    assert isinstance(stage.loader, DeviceLoader) and plan_store_size(case.manifest, case.image) == (20, 20)
    order = np.array([3, 8, 3, 1, 9, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 3, 60])
    (images, rows), (tail, others) = stage.loader.epoch(order, (1, "a"))
    stored = next(stage.loader.loader.epoch(order, (1, "a")))[0]
    assert stored.shape == (16, 20, 20, 1) and stored.dtype == torch.uint8
    assert images.shape == (16, 1, 16, 16) and rows.tolist() + others.tolist() == order.tolist()
    drawn = [draw_uniforms(_epoch_key(1, "a"), stage.rows.keys[[3]], np.array([time]), 14) for time in (0, 1, 2)]
    for numbers, found in zip(drawn, (images[0], images[2], tail[0]), strict=True):
        wanted = stage.network.normalise(stage.loader.changes[0](stored[:1].permute(0, 3, 1, 2) / 255, numbers))
        assert torch.allclose(found, wanted[0], atol=1e-6)
    assert not torch.allclose(images[0], images[2], atol=1e-3)
    turned = next(stage.loader.epoch(order[::-1][:5], (1, "a")))[0]
    numbers = draw_uniforms(_epoch_key(1, "a"), stage.rows.keys[[48]], np.zeros(1, np.int64), 14)
    assert torch.allclose(turned[4], stage.loader.change(stored[[13]], numbers)[0], atol=1e-6)
    ranks = [list(stage.loader.epoch(order, (1, "a"), first, 2)) for first in (0, 1)]
    assert torch.equal(ranks[1][0][0], tail) and len(ranks[0]) == len(ranks[1]) == 1
    batch = stage.make_batch(images, rows)
    assert batch.images is images and batch.targets["label"].tolist() == stage.rows.targets["label"][order[:16]].tolist()


def _epoch_key(*parts: Any) -> int:
    return int.from_bytes(hash_key(*parts)[:8], "little")


def test_it_trains_with_any_number_of_workers_as_without(desk: Desk) -> None:
    case = desk.case(DEVICE, "image.predict_size=20", "train.epochs=1")
    first, _ = case.train(case.job(workers=0))
    assert case.files(case.train(case.job(workers=2))[0]) == case.files(first)


def test_what_changes_nothing_trains_as_no_augmentation(desk: Desk) -> None:
    plain = desk.case("augment=[]", plain=True).stage()
    still = desk.case(f"augment=[{STILL}]", plain=True).stage()
    order = np.arange(40)
    for (images, rows), (changed, _) in zip(plain.loader.epoch(order, (0,)), still.loader.epoch(order, (0,)), strict=True):
        assert torch.allclose(plain.make_batch(images, rows).images, still.make_batch(changed, rows).images, atol=1e-5)


def test_the_loader_does_what_comes_before(desk: Desk) -> None:
    manifest = desk.case(f"augment=[{{use: A.Rotate}}, {STILL}]").manifest
    specs, image = manifest.stages[0]["augment"], desk.case().image
    plan, size, changes = divide_augment(manifest.catalog, specs, image, (20, 20))
    assert [spec["use"] for spec in plan.specs] == ["A.Rotate"] and size == (20, 20) and len(changes) == 1
    assert divide_augment(manifest.catalog, [{"use": "A.RandomCrop"}, specs[1]], image, (20, 20))[1] == image.size
    assert divide_augment(manifest.catalog, [], image, (20, 20)) == (None, image.size, [])
    assert leaves_training_size([{"use": "A.OneOf", "transforms": [{"use": "A.RandomResizedCrop"}]}])
    assert not leaves_training_size([{"use": "A.HorizontalFlip"}])


def test_the_store_and_prediction_know_that_it_crops(desk: Desk) -> None:
    model = "model={use: timm, arch: resnet10t, pretrained: false}"
    small = desk.case("augment=[{use: on_device, scale: [0.25, 0.25]}]", model, "image.size=64")
    assert plan_store_size(small.manifest, small.image) == (128, 128) and small.image.predict_size == (80, 80)
    assert not trains_with_crop([{"use": "on_device", "scale": [1.0, 1.0]}])


def test_what_is_done_in_the_loader_cannot_come_after_it(desk: Desk) -> None:
    with pytest.raises(ManifestError, match="augment.1: 'A.Blur' is done in the loader, before 'on_device' on the device"):
        desk.case(f"augment=[{STILL}, {{use: A.Blur}}]")
    stages = f"stages=[{{name: a, epochs: 1}}, {{name: b, epochs: 1, augment: [{STILL}, {{use: light}}]}}]"
    with pytest.raises(ManifestError, match="stages.1.augment.1: 'light' is done in the loader"):
        desk.case(stages)
    desk.case(f"augment=[{{use: A.Blur}}, {STILL}, {STILL}]")


def test_where_memory_is_short_fewer_rows_are_changed_at_a_time(desk: Desk, monkeypatch) -> None:
    loader = desk.case(DEVICE).stage().loader
    images = torch.randint(0, 256, (40, 16, 16, 1), dtype=torch.uint8)
    drawn = np.random.default_rng(0).uniform(size=(40, loader.draws))
    whole, change, sizes = loader.change(images, drawn), loader.change_few, []

    def fail_above(most: int) -> None:
        def change_few(few: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
            sizes.append(len(few))
            if len(few) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return change(few, numbers)

        monkeypatch.setattr(loader, "change_few", change_few)

    fail_above(10)
    assert torch.equal(loader.change(images, drawn), whole) and sizes == [40, 20, 10, 10, 10, 10]
    fail_above(0)
    with pytest.raises(RunError, match=r"does not hold a batch of augmented images; lower train\.batch_size"):
        loader.change(images, drawn)


def test_one_that_does_not_say_how_many_numbers_it_wants_is_named(desk: Desk) -> None:
    folder = desk.project.root / "plugins/augment"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bare.py").write_text(
        "from comp.api import DeviceAugment, ImageSpec, plugin\n\n\n@plugin('augment', on='device')\n"
        'def bare(image: ImageSpec, /) -> DeviceAugment:\n    """Nothing."""\n    return lambda images, drawn: images\n'
    )
    with pytest.raises(PluginError, match=r"augment \(bare\): `draws` is None; wanted how many numbers"):
        desk.case("augment=[{use: bare}]").stage()


@pytest.mark.parametrize("answer", [torch.zeros(2, 3, 4), torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4).int(), None])
def test_an_answer_that_is_no_batch_is_named(answer: Any) -> None:
    with pytest.raises(PluginError, match=r"augment \(mine\) made .*wanted float \(B, C, H, W\)"):
        check_answer(answer, torch.Size((2, 3, 8, 8)), "mine")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_changes_images_as_a_cpu_does(desk: Desk) -> None:
    case = desk.case("augment=[{use: on_device, vertical: 0.5, contrast: 0.4, erase: 0.5}]", "image.predict_size=20")
    manifest, network = case.manifest, case.network()
    _, _, changes = divide_augment(manifest.catalog, manifest.stages[0]["augment"], case.image, (20, 20))
    images = torch.from_numpy(case.rows.store.take(np.arange(100)))
    drawn = draw_uniforms(7, case.rows.keys, np.zeros(100, np.int64), changes[0].draws)
    here, there = (
        DeviceLoader(None, case.rows.keys, changes, network.to(device), case.image.size).change(images, drawn).cpu()
        for device in ("cpu", "cuda")
    )
    # A pixel on the edge of what is cut off may fall to the other side.
    assert ((here - there).abs() > 1e-4).float().mean() < 1e-3
    assert case.train()[1]["epochs"] == 2
