from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from comp.engine import memory

STEPS = """
import resource, torch
from comp.engine.memory import give_back, keep_freed

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**21).add(1), torch.ones(2**25).add(1)  # 8 and 128 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

count_faults()
print(count_faults())
keep_freed()
count_faults()
print(count_faults())
before = held()
give_back()
print(before - held())
"""


def test_free_memory_is_what_the_machine_and_the_container_have(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.measure_free(torch.device("cpu"))
    assert 2**20 < free < 2**50
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.measure_group() == float("inf")
    for name, text in (("max", "max"), ("current", "5000"), ("stat", "anon 10\ninactive_file 2000")):
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    assert memory.measure_group() == float("inf")
    (tmp_path / "memory.max").write_text("6000\n")
    assert memory.measure_group() == 3000 == memory.measure_free(torch.device("cpu"))
    monkeypatch.setattr("comp.engine.loader.pace.count_all_cores", lambda: 8)
    monkeypatch.setenv("COMP_CORES", "2")
    assert memory.measure_free(torch.device("cpu")) == 750, "of a machine that four such processes share"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_batches_take_no_new_pages_until_they_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], check=True, capture_output=True, text=True)
    usual, kept, freed = map(int, done.stdout.split())
    assert usual > 20 * 2 * 2**27 // 2**21, "glibc takes them anew each time (in pages of up to 2 MiB)"
    assert kept < usual / 20
    assert freed > 2 * 2**27 * 0.9, "and what was kept is the machine's again"
