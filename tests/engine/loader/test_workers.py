"""Workers: one pool for all stages and folds, the same pixels as without, and a clear end when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from comp.engine.loader import workers as workers_module
from comp.engine.loader.recipe import Batch, Chunk, Recipe
from comp.engine.loader.workers import WorkerPool
from comp.errors import RunError
from comp.stores.store_source import StoreForm

FORM = StoreForm((4, 4), "squash", 1)


class Numbers:
    """In place of a store: the image of position n is filled with n."""

    form, threads = FORM, 1

    def take(self, positions: np.ndarray) -> np.ndarray:
        return np.broadcast_to(positions.astype(np.uint8)[:, None, None, None], (len(positions), *FORM.shape))


class Slow(Numbers):
    def take(self, positions: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return super().take(positions)


class Broken(Numbers):
    def take(self, positions: np.ndarray) -> np.ndarray:
        if 7 in positions:
            raise ValueError("no image 7")
        return super().take(positions)


def make_recipe(store: Any = None, shift: int = 0, size: tuple[int, int] = (4, 4)) -> Recipe:
    return Recipe(store or Numbers(), np.arange(100) + shift, np.zeros(100, np.uint64), None, size)


def make_chunks(rows: int, size: int = 5) -> list[Chunk]:
    order = np.arange(rows)
    return [(order[at : at + size], np.zeros(size, np.int64), 0) for at in range(0, rows, size)]


def read(batches: Iterator[Batch]) -> list[int]:
    """The number that each image shows."""
    numbers = []
    for images, rows in batches:
        assert images.dtype == torch.uint8 and len(images) == len(rows)
        flat = images.flatten(1)
        assert torch.equal(flat, flat[:, :1].expand_as(flat))
        numbers += flat[:, 0].tolist()
    return numbers


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with closing(WorkerPool(2)) as opened:
        yield opened


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wait_for_end(pids: Sequence[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def test_the_same_processes_serve_stage_after_stage_and_end_with_the_pool(pool: WorkerPool) -> None:
    first, second = make_recipe(), make_recipe(shift=100)
    assert read(pool.make(first, make_chunks(23), 2)) == [*range(23)]
    living = pool.pids()
    assert read(pool.make(second, make_chunks(23), 2)) == [*range(100, 123)]
    # Larger batches, which want larger slots; and then one worker of the two.
    assert read(pool.make(second, make_chunks(50, 20), 2)) == [*range(100, 150)]
    assert read(pool.make(first, make_chunks(23), 1)) == [*range(23)]
    assert pool.pids() == living and len(living) == 2
    # A stage that wants more has more; those that are there stay.
    assert read(pool.make(second, make_chunks(60), 3)) == [*range(100, 160)] and pool.pids()[:2] == living
    living = pool.pids()
    pool.close()
    assert wait_for_end(living) and pool.pids() == []
    assert read(pool.make(first, make_chunks(8), 2)) == [*range(8)]  # and begins anew where it is asked again


def test_a_recipe_is_sent_once_and_a_batch_as_its_rows_alone(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt, bytes_sent = [], []
    learn, order = workers_module.Worker.learn, workers_module.Worker.order
    monkeypatch.setattr(workers_module.Worker, "learn", lambda self, recipe: (learnt.append(recipe), learn(self, recipe)))

    def count(self: Any, place: int, slot: int, chunk: Chunk) -> None:
        bytes_sent.append(len(multiprocessing.reduction.ForkingPickler.dumps(("make", (place, slot, chunk)))))
        order(self, place, slot, chunk)

    monkeypatch.setattr(workers_module.Worker, "order", count)
    first, second = make_recipe(), make_recipe(shift=50)
    for recipe in (first, first, second, second):
        list(pool.make(recipe, make_chunks(40), 2))
    assert len(learnt) == 2 and len(set(learnt)) == 1, "the first one is inherited, the second sent to each worker"
    assert len(bytes_sent) == 32 and max(bytes_sent) < 1000


def test_a_store_that_cannot_be_sent_is_inherited_by_others(pool: WorkerPool) -> None:
    class Local(Numbers):  # which pickle does not find by its name
        pass

    assert read(pool.make(make_recipe(), make_chunks(10), 2)) == [*range(10)]
    before = pool.pids()
    assert read(pool.make(make_recipe(Local(), 30), make_chunks(10), 2)) == [*range(30, 40)]
    assert not set(before) & set(pool.pids()) and wait_for_end(before)


def test_batches_that_were_left_do_not_spill_into_the_next(pool: WorkerPool) -> None:
    left = pool.make(make_recipe(Slow()), make_chunks(60), 2)
    assert next(left)[1].tolist() == [0, 1, 2, 3, 4]
    assert read(pool.make(make_recipe(shift=60), make_chunks(23), 2)) == [*range(60, 83)]
    with pytest.raises(AssertionError, match="another epoch has begun"):
        next(left)


def test_a_batch_that_was_given_stays_as_it_is(pool: WorkerPool) -> None:
    batches = list(pool.make(make_recipe(), make_chunks(100), 2))  # more than there are slots
    assert read(iter(batches)) == [*range(100)]


@pytest.mark.parametrize("killed", [1, 2])
def test_a_killed_worker_is_an_error_at_once(pool: WorkerPool, killed: int) -> None:
    batches = pool.make(make_recipe(Slow()), make_chunks(100, 1), 2)
    next(batches)
    living, started = pool.pids(), time.monotonic()
    for pid in living[:killed]:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"a loader worker died \(killed by SIGKILL\).* for 2 of them: set train.workers lower"):
        list(batches)
    assert time.monotonic() - started < 8 and wait_for_end(living) and pool.pids() == []


def test_a_worker_that_died_between_two_epochs_is_the_same_error(pool: WorkerPool) -> None:
    list(pool.make(make_recipe(), make_chunks(20), 2))
    os.kill(pool.pids()[0], signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(RunError, match="a loader worker died"):
        list(pool.make(make_recipe(shift=1), make_chunks(20), 2))


def test_an_error_comes_at_its_batch_as_it_was_raised_and_says_where(pool: WorkerPool) -> None:
    batches = pool.make(make_recipe(Broken()), make_chunks(20), 2)
    assert next(batches)[1].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError) as caught:
        next(batches)
    assert str(caught.value) == "no image 7" and caught.value.__notes__[0].startswith("in a loader worker:\nTraceback")
    assert read(pool.make(make_recipe(), make_chunks(10), 2)) == [*range(10)]  # and nobody died of it


def test_memory_that_is_not_there_is_said(pool: WorkerPool) -> None:
    recipe = replace(make_recipe(), size=(2**23, 2**23))
    with pytest.raises(RunError, match="6 batches of 335544320 MiB find no memory.*train.workers lower"):
        list(pool.make(recipe, make_chunks(5), 2))


class Missing:
    """In place of a plan of transforms: one of them reads a file that is not there."""

    def __call__(self) -> list[Any]:
        raise FileNotFoundError("background.png")


def test_a_transform_that_cannot_be_built_is_no_dead_worker(pool: WorkerPool) -> None:
    with pytest.raises(FileNotFoundError, match="background.png"):
        pool.make(replace(make_recipe(), build_augment=Missing()), make_chunks(5), 2)
    assert read(pool.make(make_recipe(), make_chunks(5), 2)) == [*range(5)]


def test_where_no_worker_ended_memory_is_not_blamed(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, slots: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(workers_module, "END_S", 0.1)
    monkeypatch.setattr(workers_module.Worker, "share", fail)
    with pytest.raises(RunError, match="the 2 loader workers cannot be reached .*Too many open files") as caught:
        pool.make(make_recipe(), make_chunks(5), 2)
    assert "memory" not in str(caught.value) and pool.pids() == []


def leave_open(pids: Connection, sleep_s: float) -> None:
    """A process that does not close its pool."""
    pool = WorkerPool(2)
    batches = pool.make(make_recipe(Slow()), make_chunks(100), 2)
    next(batches)
    pids.send(pool.pids())
    time.sleep(sleep_s)


@pytest.mark.parametrize("killed", [False, True])
def test_workers_do_not_outlive_a_process_that_does_not_close_them(killed: bool) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=leave_open, args=(theirs, 60 * killed))
    process.start()
    pids = ours.recv()
    assert len(pids) == 2
    if killed:
        assert all(map(is_alive, pids))
        process.kill()
    process.join(20)
    assert process.exitcode == (-signal.SIGKILL if killed else 0) and wait_for_end(pids)


def test_a_signal_to_the_whole_group_leaves_workers_at_work(pool: WorkerPool) -> None:
    batches = pool.make(make_recipe(Slow()), make_chunks(30), 2)
    found = read([next(batches)])
    for pid in pool.pids():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    assert found + read(batches) == [*range(30)]
