"""Memory: what is free of the device's and of the machine's, what goes back, and what a CPU's training keeps for itself."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
from functools import cache
from pathlib import Path

import torch
from lightning_fabric import Fabric

from comp.engine.loader.pace import GROUP, share_machine

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Of glibc's mallopt(3)."""

MOST = 2**31 - 1


def measure_free(device: torch.device) -> float:
    """Bytes that this process could still take: of a GPU's memory, else its part of the machine's."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    give_back()
    try:
        facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(facts["MemAvailable"].split()[0]) * 2**10
    except (OSError, KeyError):  # no Linux: half of what there is
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return share_machine() * min(free, measure_group())


def measure_group() -> float:
    """What is left of the control group's limit (a container's), in bytes; infinite without one. Cached files give way."""
    for names in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            limit, used = (GROUP / name for name in names)
            facts = dict(line.split() for line in (limit.parent / "memory.stat").read_text().splitlines())
            cached = int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
            return max(0, int(limit.read_text()) - int(used.read_text()) + cached)
        except (OSError, ValueError):  # not there, or `max`
            continue
    return math.inf


def measure_device(fabric: Fabric) -> tuple[int, int]:
    """Bytes of the GPU's memory that are free, and all of them. What this process holds to begin with is taken already."""
    return torch.cuda.mem_get_info(fabric.device)


def free_memory() -> None:
    """Give back what the last fold held, so that the next starts on an empty device."""
    give_back()
    if torch.cuda.is_available():
        gc.collect()  # a third of a second; a CPU's memory comes back as references go
        torch.cuda.empty_cache()


def keep_freed() -> None:
    """What torch frees on the CPU stays with this process for the next batch, until give_back.

    glibc hands every larger tensor back to the kernel, which clears its pages anew at each step: 9,000 to 16,000 page faults,
    a quarter to a third of a small network's step on a virtual machine. Other allocators are left as they are.
    """
    if libc := open_glibc():
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, MOST)


def give_back() -> None:
    """What was kept, and is free, is the machine's again."""
    if libc := open_glibc():
        libc.malloc_trim(0)


@cache
def open_glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
