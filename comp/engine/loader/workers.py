"""Workers: processes that make batches for one stage after another, fold after fold, until the run is over.

They are sent a stage's recipe once, and for each batch only which rows; the images come back through shared memory. A worker
whose parent is gone ends at once.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle, send_handle
from multiprocessing.util import Finalize
from typing import Any

import cv2
import torch

from comp.engine.loader.recipe import Batch, Chunk, Recipe
from comp.engine.loader.slots import Slots
from comp.errors import RunError
from comp.stopping import hold_signals, ignore_signals

DEPTH = 3
"""Batches for each worker: one that it makes, and those that wait."""

LOOK_EVERY_S = 1.0
END_S = 2.0


@dataclass(frozen=True)
class Reply:
    """What a worker says of a batch: that it lies in its slot, or what kept it from being made."""

    place: int
    slot: int
    error: Exception | None


class Worker:
    """A worker, as its parent sees it. `open`: how many batches it has still to make."""

    def __init__(self, context: multiprocessing.context.BaseContext, others: Sequence[Worker], recipe: Recipe) -> None:
        self.open = 0
        self.pipe, theirs = context.Pipe()
        # A forked process has copies of these; while one is open, the others would not hear that the parent is gone.
        ends = [self.pipe, *(other.pipe for other in others)] if context.get_start_method() == "fork" else []
        self.process = context.Process(target=serve, args=(theirs, ends, recipe), name="comp loader", daemon=True)
        with hold_signals():
            self.process.start()
        theirs.close()  # so that the pipe ends where the worker does

    def share(self, slots: Slots) -> None:
        self.pipe.send(("slots", (slots.count, slots.each)))
        send_handle(self.pipe, slots.fileno(), self.process.pid)

    def learn(self, recipe: bytes) -> None:
        self.pipe.send(("recipe", recipe))

    def order(self, place: int, slot: int, chunk: Chunk) -> None:
        self.pipe.send(("make", (place, slot, chunk)))
        self.open += 1

    def hear(self) -> Reply:
        reply = self.pipe.recv()
        self.open -= 1
        return reply

    def describe_end(self) -> str:
        self.process.join(END_S)
        code = self.process.exitcode
        return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"


class WorkerPool:
    """The workers of this process, started when they are first wanted.

    Args:
        asked: how many, as `train.workers` has it.
        cores: that they and this process may use.
        start_method: fork | spawn | forkserver; None: the platform's own.

    Attributes:
        chosen: stage name -> how many were found to pay, where `auto` leaves it to measurement.
        forks: whether a worker is a copy of this process.
    """

    def __init__(self, asked: int | str = 0, cores: int = 1, start_method: str | None = None) -> None:
        self.asked, self.cores = asked, cores
        self.chosen: dict[str, int] = {}
        self._context = multiprocessing.get_context(start_method)
        self.forks = self._context.get_start_method() == "fork"
        self._workers: list[Worker] = []
        self._slots: Slots | None = None
        self._recipe: Recipe | None = None
        self._turn = 0
        # Before multiprocessing, at the end of the program, waits for processes that do not hear its SIGTERM.
        Finalize(self, end_workers, (self._workers,), exitpriority=10)

    def count_for(self, stage: str) -> int | None:
        """How many workers the stage's batches are made by; None: not measured yet."""
        return self.chosen.get(stage) if self.asked == "auto" else int(self.asked)

    def make(self, recipe: Recipe, chunks: Sequence[Chunk], count: int, *, pin: bool = False) -> Iterator[Batch]:
        """The batches, in order, by so many workers. Ends those of an earlier call that was left.

        Args:
            pin: whether they lie in page-locked memory, for asynchronous copies to a GPU.

        Raises:
            RunError: a worker died, or there is no memory to hand batches over.
            PluginError: a transform that cannot be built.
        """
        self._turn += 1
        if not chunks:
            return iter(())
        if self.forks:
            recipe.open_augmenter()  # what it imports, the workers then have
        with self._explain_death():
            while any(worker.open for worker in self._workers):
                self._hear()
            self._prepare(recipe, count, len(chunks[0][0]) * math.prod(recipe.shape))
        return self._make_each(recipe, chunks, self._workers[:count], pin, self._turn)

    def close(self) -> None:
        """End the workers; who wants batches later starts others."""
        end_workers(self._workers)
        self._slots = self._recipe = None

    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers]

    def _make_each(
        self, recipe: Recipe, chunks: Sequence[Chunk], workers: Sequence[Worker], pin: bool, turn: int
    ) -> Iterator[Batch]:
        places, done = iter(range(len(chunks))), {}
        free = deque(range(DEPTH * len(workers)))

        def hand_out() -> None:
            while free and (place := next(places, None)) is not None:
                min(workers, key=lambda worker: worker.open).order(place, free.popleft(), chunks[place])

        for place, (rows, _, _) in enumerate(chunks):
            assert turn == self._turn, "another epoch has begun, and the pool serves one at a time"
            with self._explain_death():
                hand_out()
                while place not in done:
                    done.update((reply.place, reply) for reply in self._hear())
            reply = done.pop(place)
            if reply.error:
                raise reply.error
            shape = (len(rows), *recipe.shape)
            images = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
            images.numpy()[:] = self._slots.of(reply.slot, shape)
            free.append(reply.slot)
            with self._explain_death():
                hand_out()  # now, not when the next batch is asked for: there is a step in between
            yield images, torch.from_numpy(rows)

    def _hear(self) -> list[Reply]:
        """What has come from workers that are at work."""
        busy = {worker.pipe: worker for worker in self._workers if worker.open}
        return [busy[pipe].hear() for pipe in wait(list(busy))]

    def _prepare(self, recipe: Recipe, count: int, each: int) -> None:
        """Have so many workers that know the recipe, with slots of so many bytes."""
        if recipe is not self._recipe:
            self._teach(recipe)
            self._recipe = recipe
        for _ in range(count - len(self._workers)):
            self._workers.append(self._start(recipe))
        if self._slots is None or self._slots.count < DEPTH * len(self._workers) or self._slots.each < each:
            self._slots = self._open_slots(each)
            for worker in self._workers:
                worker.share(self._slots)

    def _start(self, recipe: Recipe) -> Worker:
        try:
            return Worker(self._context, self._workers, recipe)
        except OSError as error:
            raise RunError(f"a loader worker cannot be started ({error}): set train.workers lower, 0 for none.") from error

    def _teach(self, recipe: Recipe) -> None:
        """Send the recipe to the workers that there are; those that are started know it."""
        if not self._workers:
            return
        try:
            data = pickle.dumps(recipe)
        except (pickle.PicklingError, AttributeError, TypeError):
            self.close()  # a reader of the user's own that cannot be copied can only be inherited
            return
        for worker in self._workers:
            worker.learn(data)

    def _open_slots(self, each: int) -> Slots:
        count = DEPTH * len(self._workers)
        try:
            return Slots(count, max(each, self._slots.each if self._slots else 0))
        except (OSError, OverflowError) as error:
            why = f"{count} batches of {each / 2**20:.0f} MiB find no memory ({error})"
            raise RunError(f"{why}: set train.workers lower (now {len(self._workers)}), 0 for none.") from error

    @contextmanager
    def _explain_death(self) -> Iterator[None]:
        """A broken pipe is a worker that died."""
        try:
            yield
        except (OSError, EOFError) as error:
            dead = wait([worker.process.sentinel for worker in self._workers], END_S)
            ends = {worker.describe_end() for worker in self._workers if worker.process.sentinel in dead}
            count = len(self._workers)
            self.close()
            why = f"the {count} loader workers cannot be reached ({error!r})"
            if ends:
                why = f"a loader worker died ({', '.join(sorted(ends))}). Often there is too little memory for {count} of them"
            kept = "What was saved is kept, and running again goes on from it."
            raise RunError(f"{why}: set train.workers lower, 0 for none. {kept}") from error


def end_workers(workers: list[Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
    deadline = time.monotonic() + END_S
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.process.kill()  # one that is at a long batch; nothing of it is missed
        worker.process.join()
    workers.clear()


# ---- in a worker ---------------------------------------------------------------------------------------------------------


def serve(pipe: Connection, others: Sequence[Connection], recipe: Recipe) -> None:
    """Make batches until the parent has no more, or is gone."""
    ignore_signals()  # a terminal or a scheduler sends them to a whole group; the parent says what becomes of its workers
    for other in others:
        other.close()
    # Two processes with several threads each on two cores are ten times slower, not twice as fast (spinning at barriers).
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = os.getppid()
    maker = Maker(recipe)
    while os.getppid() == parent:
        try:
            if pipe.poll(LOOK_EVERY_S):
                maker.obey(pipe, *pipe.recv())
        except (EOFError, OSError):
            return


class Maker:
    """Makes what it is ordered, by the recipe that it was last sent."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe: Recipe | bytes = recipe
        self.slots: Slots | None = None

    def obey(self, pipe: Connection, what: str, given: Any) -> None:
        if what == "recipe":
            self.recipe = given
        elif what == "slots":
            self.slots = Slots(*given, file=recv_handle(pipe))
        else:
            place, slot, chunk = given
            pipe.send(Reply(place, slot, self.make(slot, chunk)))

    def make(self, slot: int, chunk: Chunk) -> Exception | None:
        """What went wrong, if anything."""
        try:
            if isinstance(self.recipe, bytes):
                self.recipe = pickle.loads(self.recipe)
            self.recipe.fill(self.slots.of(slot, (len(chunk[0]), *self.recipe.shape)), chunk)
        except Exception as error:
            return pack_error(error)
        return None


def pack_error(error: Exception) -> Exception:
    """The error as it can be sent, with its traceback where that tells more than its message."""
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"in a loader worker:\n{''.join(traceback.format_exception(error))}")
    return sent
