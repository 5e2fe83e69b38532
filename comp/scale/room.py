"""Room: how many folds at once the memory of a GPU holds, by a few steps that a child tries there before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from comp.errors import RunError
from comp.events import Emit, Event, StoreProgress
from comp.orders import Order, open_order

CPU = "cpu"

SPARE = 1.1
"""Times what the tried steps took: other batches, and kernels chosen anew, take somewhat more."""

MOST_OWN = 2**30
"""Bytes: of what a GPU holds besides the tried steps, no more than this is what a process takes before it computes."""

PerGpu = int | Literal["auto"] | None


@dataclass(frozen=True)
class Room:
    """Bytes of a GPU's memory.

    Attributes:
        need: what a fold takes.
        own: what its process takes there before it computes (CUDA's context).
        free: to the process that looked, whose own part is taken already.
    """

    need: float
    own: float
    free: float

    @property
    def folds(self) -> int:
        """How many fit at once; one is always tried, which divides its batches where memory is short."""
        return 1 + max(0, int((self.free - self.need) // (self.need + self.own)))


def spread_places(devices: Sequence[str], per_gpu: PerGpu, folds: int) -> list[str]:
    """A device for each process, the devices in turn, as many as there are folds at most; `auto`: as many as there are folds."""
    if per_gpu is None:
        return list(devices[:folds])
    times = folds if per_gpu == "auto" else per_gpu
    return [device for time in range(times) for device in devices if time == 0 or device != CPU][:folds]


def find_crowded(places: Sequence[str]) -> list[str]:
    """The GPUs that several processes are to share."""
    return [device for device, times in Counter(places).items() if device != CPU and times > 1]


def merge_rooms(rooms: Sequence[Room]) -> Room:
    """Of several experiments on one GPU: whichever fold comes next fits."""
    return Room(max(room.need for room in rooms), max(room.own for room in rooms), min(room.free for room in rooms))


def limit_places(places: Sequence[str], rooms: Mapping[str, Room]) -> list[str]:
    """The places without those that their GPU has no memory for. `rooms`: of crowded GPUs; one that lacks has a single place."""
    kept: list[str] = []
    crowded = find_crowded(places)
    for device in places:
        most = rooms[device].folds if device in rooms else 1
        if device not in crowded or kept.count(device) < most:
            kept.append(device)
    return kept


def describe_room(device: str, room: Room, asked: int, kept: int) -> str:
    """What was found, and what comes of it."""
    found = f"GPU {device}: a fold takes {show_gib(room.need)}, and {show_gib(room.free)} are free"
    times = "one fold" if kept == 1 else f"{kept} folds"
    return f"{found}: {times} at once there" + (f", not {asked}" if kept < asked else "")


def show_gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


# ---- in the child --------------------------------------------------------------------------------------------------------


def look_for_room(order: Order, emit: Emit, stop: Callable[[], bool]) -> Room:
    """What the folds of the order's run take on this process's GPU. Of what is told on the way only the reading of images is.

    Raises:
        RunError: it cannot be known before.
        CompError: whatever a run would stumble over at its start.
    """
    from comp.combinations import is_gatherer
    from comp.engine.device import device_kind
    from comp.engine.memory import free_memory, measure_device
    from comp.engine.probe import measure_memory
    from comp.material import open_material

    def tell(event: Event) -> None:
        if isinstance(event, StoreProgress):
            emit(event)

    plan = open_order(order)
    ensemble = plan.manifest.values["ensemble"]
    if ensemble and not is_gatherer(plan.manifest.catalog, ensemble["use"]):
        raise RunError(f"the ensemble {ensemble['use']!r} has a training loop of its own")
    if device_kind() != "cuda":
        raise RunError("there is no CUDA device")
    material = open_material(plan, tell, stop)
    try:
        free, total = measure_device(material.fabric)
        rows = material.training_rows(order.fold)
        need = SPARE * measure_memory(plan.manifest, plan.competition.trained, material.image, rows, material.fabric)
        return Room(need, min(total - free, MOST_OWN), free)
    finally:
        material.close()
        free_memory()
