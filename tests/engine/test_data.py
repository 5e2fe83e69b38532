"""The loader: every row once, the same pixels for any number of workers, and a clear end when a worker dies."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from comp.api import ImageSpec
from comp.catalog import build_catalog
from comp.engine import data
from comp.engine.augment import AugmentPlan
from comp.engine.data import TrainLoader, count_repeats, iterate_images
from comp.engine.joined import JoinedStore
from comp.engine.loader import pace
from comp.engine.loader.recipe import Recipe
from comp.engine.loader.workers import WorkerPool
from comp.engine.randomness import row_keys
from comp.errors import PluginError
from comp.stores.store import open_store
from comp.stores.store_source import StoreForm
from comp.stores.stored import ImageStore

KEY = (42, "fold0", "train", 0)


def read_numbered(ref: str) -> np.ndarray:
    return np.random.default_rng(int(ref)).integers(0, 256, (20, 20, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return open_store([str(number) for number in range(23)], tmp_path, read_numbered, (20, 20), "squash", 3, tmp_path / "cache")


def plan_augment(*specs: dict[str, Any]) -> AugmentPlan:
    return AugmentPlan(build_catalog(None), specs, ImageSpec((16, 16), (20, 20)))


CROP = ({"use": "A.RandomResizedCrop", "scale": [0.5, 1.0]}, {"use": "A.HorizontalFlip"})


def make_loader(store: ImageStore, augment: Any, size: int, pool: WorkerPool | None = None) -> TrainLoader:
    recipe = Recipe(store, np.arange(23), row_keys(map(str, range(23))), augment, (size, size))
    return TrainLoader(recipe, 5, pool or WorkerPool())


def gather(batches: Any) -> tuple[torch.Tensor, list[int]]:
    images, rows = zip(*batches)
    return torch.cat(images), torch.cat(rows).tolist()


def test_without_augmentation_it_gives_the_stores_pixels_in_order(store: ImageStore) -> None:
    order = np.random.default_rng(0).permutation(23)
    batches = list(make_loader(store, None, 20).epoch(order, KEY))
    assert [len(rows) for _, rows in batches] == [5, 5, 5, 5, 3]
    images, rows = gather(batches)
    assert images.dtype == torch.uint8 and images.shape == (23, 20, 20, 3) and rows == order.tolist()
    assert all(np.array_equal(image, read_numbered(str(row))) for image, row in zip(images.numpy(), rows))


def test_rows_are_positions_in_the_training_rows_not_in_the_store(store: ImageStore) -> None:
    loader = TrainLoader(Recipe(store, np.array([20, 3, 7]), row_keys("abc"), None, (20, 20)), 2, WorkerPool())
    images, rows = gather(loader.epoch(np.array([2, 0, 0]), KEY))
    assert rows == [2, 0, 0]
    assert np.array_equal(images[0].numpy(), read_numbered("7")) and np.array_equal(images[2].numpy(), read_numbered("20"))


def test_another_size_is_resized(store: ImageStore) -> None:
    images, _ = gather(make_loader(store, None, 10).epoch(np.arange(23), KEY))
    halves = read_numbered("4").reshape(10, 2, 10, 2, 3).mean(axis=(1, 3))
    assert images.shape == (23, 10, 10, 3) and np.abs(images[4].numpy() - halves).max() <= 1


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_give_what_no_workers_give(store: ImageStore, start_method: str) -> None:
    order = np.random.default_rng(1).integers(0, 23, 31)
    alone = make_loader(store, plan_augment(*CROP), 16)
    with closing(WorkerPool(2 if start_method == "fork" else 1, start_method=start_method)) as pool:
        helped = make_loader(store, plan_augment(*CROP), 16, pool)
        for epoch in range(2):
            wanted, rows = gather(alone.epoch(order, (*KEY, epoch)))
            got, got_rows = gather(helped.epoch(order, (*KEY, epoch)))
            assert rows == got_rows == order.tolist() and torch.equal(wanted, got)


def test_an_image_depends_on_its_row_its_turn_and_the_epoch_only(store: ImageStore) -> None:
    loader = make_loader(store, plan_augment(*CROP), 16)
    first, _ = gather(loader.epoch(np.array([3, 8, 3, 1]), KEY))
    moved, _ = gather(loader.epoch(np.array([1, 3, 8, 9, 2, 3]), KEY))
    assert torch.equal(first[0], moved[1]) and torch.equal(first[2], moved[5]) and torch.equal(first[3], moved[0])
    assert not torch.equal(first[0], first[2])
    later, _ = gather(loader.epoch(np.array([3]), (*KEY[:-1], 1)))
    assert not torch.equal(first[0], later[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_starts_later_gives_the_same_rest(store: ImageStore, workers: int) -> None:
    order = np.tile(np.arange(10), 2)
    with closing(WorkerPool(workers)) as pool:
        loader = make_loader(store, plan_augment(*CROP), 16, pool)
        whole, _ = gather(loader.epoch(order, KEY))
        rest, rows = gather(loader.epoch(order, KEY, start_batch=3))
    assert rows == order[15:].tolist() and torch.equal(rest, whole[15:])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_plugins_error_reaches_the_user_as_it_is(store: ImageStore, workers: int) -> None:
    with closing(WorkerPool(workers)) as pool, pytest.raises(PluginError) as caught:
        next(make_loader(store, FloatAugment(), 20, pool).epoch(np.arange(5), KEY))
    assert str(caught.value).startswith("augment (_Halve) made float64")


class FloatAugment:
    def __call__(self) -> list[Any]:
        return [_Halve()]


class _Halve:
    def __call__(self, *, image: np.ndarray) -> dict[str, Any]:
        return {"image": image / 2}


def test_the_global_generators_are_left_alone(store: ImageStore) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    with closing(WorkerPool(1)) as pool:
        gather(make_loader(store, plan_augment(*CROP), 16, pool).epoch(np.arange(23), KEY))
    assert torch.equal(torch.rand(2), wanted)


def test_the_first_batches_are_timed_and_the_choice_is_said_once(store: ImageStore, monkeypatch) -> None:
    monkeypatch.setattr(pace, "WORTH_S", 0.0)
    order, said = np.tile(np.arange(23), 3), []
    wanted, rows = gather(make_loader(store, plan_augment(*CROP), 16).epoch(order, KEY))
    with closing(WorkerPool("auto", cores=2)) as pool:
        recipe = make_loader(store, plan_augment(*CROP), 16).recipe
        for _ in range(2):  # of two folds: what the first has found holds for the second
            loader = TrainLoader(recipe, 5, pool, pace=pace.Pace("train", 100, said.append))
            got, same = gather(loader.epoch(order, KEY))
            assert torch.equal(got, wanted) and same == rows
        assert pool.chosen == {"train": 1} and len(pool.pids()) == 1  # nothing is done in a step
    assert len(said) == 1 and re.fullmatch(r"loader: 1 worker \(a batch takes [\d.]+ ms to make, a step [\d.]+ ms\)", said[0])


def test_an_epoch_too_short_to_be_timed_is_gone_on_with_in_the_next(store: ImageStore) -> None:
    said: list[str] = []
    pool = WorkerPool("auto")
    loader = TrainLoader(make_loader(store, None, 20).recipe, 5, pool, pace=pace.Pace("train", 10, said.append))
    gather(loader.epoch(np.arange(23), KEY))
    assert not said and loader.pace.missing == 3
    gather(loader.epoch(np.arange(23), KEY))
    assert pool.chosen == {"train": 0} and not said, "on a CPU none is as it ever was"


def test_a_device_that_works_on_its_own_is_waited_for_and_the_choice_is_said(store: ImageStore, monkeypatch) -> None:
    said, waits, pool = [], [], WorkerPool("auto")
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append(1))
    recipe = make_loader(store, None, 20).recipe
    loader = TrainLoader(recipe, 2, pool, torch.device("mps"), pace.Pace("train", 10, said.append))
    gather(loader.epoch(np.arange(23), KEY))
    assert len(waits) == 8 and len(said) == 1 and said[0].startswith("loader: no workers (")


@pytest.mark.parametrize(("free", "workers"), [(576_000, 4), (143_999, 0)])
def test_as_many_workers_as_find_memory(store: ImageStore, monkeypatch, free: int, workers: int) -> None:
    monkeypatch.setattr(pace, "WORTH_S", 0.0)
    monkeypatch.setattr(data, "measure_free", lambda device: free)
    recipe, pool = make_loader(store, None, 20).recipe, WorkerPool("auto", cores=64)
    loader = TrainLoader(recipe, 10, pool, pace=pace.Pace("train", 10, print))  # 3 batches of 12,000 bytes in flight for each
    loader.pace.times += [(1.0, 0.01)] * 8
    assert loader._choose() == workers


def test_repeats_are_counted() -> None:
    assert count_repeats(np.array([5, 1, 5, 5, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    assert count_repeats(np.zeros(0, np.int64)).tolist() == []


def test_images_for_prediction_come_in_order(store: ImageStore) -> None:
    batches = list(iterate_images(store, np.array([4, 2, 9]), 2))
    assert [tuple(batch.shape) for batch in batches] == [(2, 20, 20, 3), (1, 20, 20, 3)]
    assert np.array_equal(batches[0][1].numpy(), read_numbered("2"))
    assert next(iterate_images(store, np.array([4]), 2, (10, 30))).shape == (1, 10, 30, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_without_a_store_give_the_same_batches(store: ImageStore, tmp_path: Path, monkeypatch, workers: int) -> None:
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    refs = [str(number) for number in range(23)]
    unstored = open_store(refs, tmp_path, read_numbered, (20, 20), "squash", 3, tmp_path / "none", workers=2)
    assert not unstored.stored
    order = np.random.default_rng(0).permutation(23)
    for augment, size in ((plan_augment(*CROP), 16), (None, 20), (None, 12)):
        wanted, rows = gather(make_loader(store, augment, size).epoch(order, KEY))
        with closing(WorkerPool(workers)) as pool:
            loader = make_loader(unstored, augment, size, pool)
            for _ in range(2):
                images, same = gather(loader.epoch(order, KEY))
                assert torch.equal(images, wanted) and same == rows


def test_where_a_gpu_computes_the_next_batch_is_made_meanwhile(store: ImageStore, monkeypatch) -> None:
    wanted = list(iterate_images(store, np.arange(23), 5, (10, 10)))
    asked: list[int] = []
    take = store.take
    monkeypatch.setattr(store, "take", lambda positions: [asked.append(int(positions[0])), take(positions)][1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    batches = iterate_images(store, np.arange(23), 5, (10, 10))
    found = [next(batches)]
    deadline = time.monotonic() + 10
    while asked != [0, 5] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert asked == [0, 5]
    found += batches
    assert len(found) == 5 and all(torch.equal(one, other) for one, other in zip(found, wanted))


def test_joined_stores_give_each_ones_pictures_in_the_order_asked_for(store: ImageStore, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    other = open_store(["50", "51", "52"], tmp_path, read_numbered, (20, 20), "squash", 3, tmp_path / "none", workers=2)
    joined = JoinedStore([store, other])
    positions = np.array([25, 0, 24, 3, 3, 23, 22])
    wanted = [read_numbered(ref) for ref in ("52", "0", "51", "3", "3", "50", "22")]
    assert np.array_equal(joined.take(positions), wanted) and not len(joined.take(positions[:0]))
    assert all(np.array_equal(one, two) for one, two in zip(joined.pictures(positions), wanted, strict=True))


def test_who_stops_half_way_waits_for_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU's prediction does, of images that are not there yet."""
    begun, there, left = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        form = StoreForm((4, 6), "squash", 1)

        def take(self, positions: np.ndarray) -> np.ndarray:
            if positions[0]:
                begun.set()
                there.wait(20)
                left.set()
            return np.zeros((len(positions), 4, 6, 1), np.uint8)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    batches = iterate_images(Slow(), np.arange(6), 2)
    assert next(batches).shape == (2, 4, 6, 1)
    assert begun.wait(20)
    batches.close()
    assert not left.is_set()
    there.set()
    assert left.wait(20)
