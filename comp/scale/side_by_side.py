"""Folds of one or several experiments side by side on the devices of this machine, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from comp.engine.loader.pace import count_cores
from comp.errors import CompError, RunError, RunInterrupted, WorkspaceError
from comp.events import Emit, Notice, RunStopped, from_record
from comp.given import RunResult
from comp.manifest import load_manifest
from comp.orders import make_order
from comp.project import Project
from comp.run import Wishes, begin_run, open_readers, say_over
from comp.scale.crew import Child, count_threads
from comp.scale.queued import Queued
from comp.scale.relay import label, start_once
from comp.scale.room import CPU, PerGpu, Room, describe_room, find_crowded, limit_places, merge_rooms, spread_places
from comp.stopping import Stop, catch_stop

LOOK_EVERY_S = 0.25


def run_side_by_side(
    project: Project, names: Sequence[str], devices: Sequence[str], wished: Wishes, emit: Emit, per_gpu: PerGpu = None
) -> dict[str, RunResult | Exception]:
    """Train the folds of these experiments, one at a time on each device, and merge each experiment when its folds are done.

    Returns how each ended: what one failed of does not keep the others from their turn.

    Args:
        per_gpu: how many at a time on each GPU, where that is more than one; `auto`: as many as its memory holds.

    Raises:
        ManifestError, WorkspaceError: of any of them; nothing was run.
        RunInterrupted: Ctrl-C or a scheduler's signal; everything is saved.
    """
    options = [f"--gpus {','.join(devices)}", *([f"--per-gpu {per_gpu}"] if per_gpu else [])]
    wished = replace(wished, options=(*wished.options, *options))
    views = {name: label(emit, name) if len(names) > 1 else emit for name in names}
    for name in names:
        check_training(project, name, devices, wished)
    begun = {name: begin_run(project, name, wished, views[name]) for name in names}
    with ExitStack() as stack:
        experiments = [
            Queued(
                one.plan,
                views[name],
                start_once(stack.enter_context(open_readers(one.plan, views[name])), one.wanted),
                [*one.wanted],
            )
            for name, one in begun.items()
        ]
        stop = stack.enter_context(catch_stop(wished.deadline))
        queue = Queue(experiments, stop, wished, emit)
        queue.work(devices, per_gpu)
        end_unfinished(experiments, time.monotonic() - queue.started, wished, stop, emit)
    return {experiment.name: experiment.outcome for experiment in experiments if experiment.outcome}


def check_training(project: Project, name: str, devices: Sequence[str], wished: Wishes) -> None:
    """Raises: WorkspaceError: the experiment trains nothing, or shares each fold among devices."""
    manifest = load_manifest(project, name, wished.sets, wished.folds, library=True)
    if manifest.is_blend or manifest.is_imported:
        raise WorkspaceError(f"{name} trains nothing and has no use for --gpus; run it by itself: `comp run {name}`.")
    shared = manifest.values["train"]["devices"]
    if shared > 1:
        raise WorkspaceError(
            f"{name}: train.devices: {shared} shares a fold among devices, and --gpus {','.join(devices)} gives each "
            "fold one of its own; leave out --gpus, or add `--set train.devices=1`."
        )


class Queue:
    """Hands folds to children, and hears from them."""

    def __init__(self, experiments: Sequence[Queued], stop: Stop, wished: Wishes, emit: Emit) -> None:
        self.experiments, self.stop, self.wished, self.emit = experiments, stop, wished, emit
        self.started = time.monotonic()
        self.told_to_stop = False
        self.by_name = {experiment.name: experiment for experiment in experiments}
        self.threads, self.cores = 1, 1
        self.children: list[Child] = []

    def describe(self, devices: Sequence[str]) -> str:
        """What is about to be trained on what."""
        places = [name_device(device) for device in dict.fromkeys(devices)]
        each = f" ({self.threads} {'thread' if self.threads == 1 else 'threads'} each)" if CPU in devices else ""
        count = "one fold" if len(devices) == 1 else f"{len(devices)} folds"
        return f"{count} at a time on {' and '.join(places)}{each}"

    def work(self, devices: Sequence[str], per_gpu: PerGpu) -> None:
        """Until every fold is done, or a stop was asked for and all have saved."""
        for experiment in self.experiments:
            experiment.skip_complete()
        self.conclude()
        folds = sum(len(experiment.waiting) for experiment in self.experiments)
        for experiment in self.experiments:
            experiment.queue()
        self.threads = count_threads(devices)  # however many folds are left: other numbers of threads give other last bits
        try:
            self.open_children(spread_places(devices, per_gpu, folds), per_gpu == "auto")
            while self.is_busy():
                if self.stop() and not self.told_to_stop:
                    self.told_to_stop = True
                    for child in self.children:
                        child.stop()
                if not self.stop():
                    self.hand_out()
                self.hear()
                self.conclude()
        except KeyboardInterrupt:  # the second Ctrl-C
            for child in self.children:
                child.process.kill()
            raise
        finally:
            for child in self.children:
                child.pipe.close()
            for child in self.children:
                child.close()

    def open_children(self, places: Sequence[str], as_many: bool) -> None:
        """One for each place, but for those whose GPU has no memory for so many folds."""
        self.cores = count_cores(max(1, len(places)))
        if crowded := find_crowded(places):
            self.children = [Child(device, self.threads, self.cores) for device in crowded]
            places = self.find_room(places, as_many)
            self.cores = count_cores(len(places))
            for child in self.children:
                child.share_cores(self.cores)
        if places:
            self.emit(Notice(self.describe(places)))
        further = list(places)
        for child in self.children:
            further.remove(child.device)
        self.children += [Child(device, self.threads, self.cores) for device in further]

    def find_room(self, places: Sequence[str], as_many: bool) -> list[str]:
        """The places that there is memory for, as the children, one on each GPU that several share, find out.

        Args:
            as_many: nobody asked for so many; there are just as many folds.
        """
        for experiment in self.experiments:
            for child in self.children if experiment.waiting else ():
                child.look(make_order(experiment.plan, experiment.waiting[0]))
            while any(child.looking for child in self.children) and not self.stop():
                self.hear()
        seen = [child for child in self.children if child.rooms and not child.blind]
        rooms = {child.device: merge_rooms(child.rooms) for child in seen}
        kept = limit_places(places, rooms)
        for child in self.children:
            asked, there = places.count(child.device), kept.count(child.device)
            if child in seen:
                text = describe_room(child.device, rooms[child.device], there if as_many else asked, there)
                self.emit(Notice(text, "warning" if there < asked and not as_many else "info"))
            elif not self.stop():
                text = f"GPU {child.device}: one fold at once there; what memory it takes cannot be known before: {child.blind}"
                self.emit(Notice(text, "warning"))
        return kept

    def is_busy(self) -> bool:
        return any(one.running or (one.waiting and not self.stop()) for one in self.experiments)

    def hand_out(self) -> None:
        for number, child in enumerate(self.children):
            if not child.ready or child.order:
                continue
            for experiment in self.experiments:
                fold = experiment.find_free(number, alone=len(self.children) == 1)
                if fold:
                    experiment.waiting.remove(fold)
                    experiment.running.add(fold)
                    child.give(make_order(experiment.plan, fold))
                    break

    def hear(self) -> None:
        """Take what the children have said by now."""
        said = wait([child.pipe for child in self.children], timeout=LOOK_EVERY_S)
        for number, child in enumerate(self.children):
            if child.pipe not in said:
                continue
            message = child.receive()
            if message is None:
                self.replace_dead(number)
            elif message["say"] == "ready":
                if message["missing"]:
                    raise WorkspaceError(message["missing"])
                child.ready = True
            elif message["say"] == "room":
                self.note_room(child, message)
            else:
                order = child.order or child.looking
                assert order
                experiment = self.by_name[order.name]
                if message["say"] == "event":
                    experiment.tell(from_record(message["event"]))
                else:
                    experiment.running.remove(child.order.fold)
                    self.note_end(experiment, child.order.fold, message)
                    child.order = None

    def note_room(self, child: Child, message: Mapping[str, Any]) -> None:
        """What memory a fold takes there, or why nobody can say."""
        child.looking = None
        if message["room"]:
            child.rooms.append(Room(**message["room"]))
        else:
            child.blind = message["why"]

    def note_end(self, experiment: Queued, fold: str, message: Mapping[str, Any]) -> None:
        """How an order ended."""
        if message["say"] == "interrupted":
            experiment.waiting.insert(0, fold)
            experiment.lost += [message["lost"]] if message["lost"] else []
        elif message["say"] == "failed":
            self.fail(experiment, (RunError if message["while_running"] else CompError)(message["why"]))
        elif message["say"] == "crashed":
            crash = RuntimeError(f"fold {fold}: {message['why']}")
            crash.add_note(message["trace"])
            self.fail(experiment, crash)

    def replace_dead(self, number: int) -> None:
        """A child has died: its fold is tried once more, elsewhere where there is another device."""
        child = self.children[number]
        how = f"the process on {name_device(child.device)} {child.describe_end()}"
        child.close()
        if not child.ready:
            raise RunError(f"{how} before it began.")
        new = self.children[number] = Child(child.device, self.threads, self.cores)
        new.rooms, new.blind = child.rooms, "the process that tried died" if child.looking else child.blind
        if child.order is None:
            return
        experiment, fold = self.by_name[child.order.name], child.order.fold
        experiment.running.remove(fold)
        if fold not in experiment.away:
            experiment.away[fold] = number
            experiment.waiting.insert(0, fold)
            experiment.tell(Notice(f"fold {fold}: {how}; the fold is tried once more", "warning"))
            return
        again = self.wished.command(experiment.name)
        why = "a machine that runs out of memory kills so" if "SIGKILL" in how else "its last words are above"
        saved = f"what it had saved is kept: `{again}` goes on where that was"
        self.fail(experiment, RunError(f"fold {fold}: {how}, the second one that died with this fold ({why}); {saved}."))

    def fail(self, experiment: Queued, error: Exception) -> None:
        experiment.fail(error)
        if len(self.experiments) > 1:
            experiment.tell(Notice(f"failed, and the others go on: {error}", "warning"))

    def conclude(self) -> None:
        """Merge and report what is over."""
        for experiment in self.experiments:
            if experiment.idle and not experiment.outcome:
                experiment.conclude(time.monotonic() - self.started)


def name_device(device: str) -> str:
    return "the CPU" if device == CPU else f"GPU {device}"


def end_unfinished(experiments: Sequence[Queued], elapsed_s: float, wished: Wishes, stop: Stop, emit: Emit) -> None:
    """What was stopped: merged as far as it is done, where the hours are over.

    Raises:
        RunInterrupted: somebody asked for the end.
    """
    left = [experiment for experiment in experiments if not experiment.idle]
    if not left:
        return
    for experiment in left:
        experiment.tell(RunStopped("out of time" if stop.out_of_time else "interrupted"))
    lost = "; ".join(text for experiment in left for text in experiment.lost)
    over = say_over(RunInterrupted("stopped", lost), wished, stop, left[0].name)
    for experiment in left:
        experiment.conclude(elapsed_s)
    emit(Notice(over))
