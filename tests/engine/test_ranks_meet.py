"""comp.engine.ranks: two processes on the CPU that really meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from comp.devices import find_port

RANK = """\
import json, sys
import torch
from comp.engine.ranks import Ranks, join_ranks, open_hosts

rank, port, threads = map(int, sys.argv[1:])
train = {"threads": threads, "deterministic": False, "precision": "32", "devices": 2}
ranks = Ranks(join_ranks(train, rank, port))
torch.manual_seed(rank)
network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))
network[0].weight = torch.nn.Parameter(network[0].weight.detach().transpose(0, 1).contiguous().transpose(0, 1))
network[1].num_batches_tracked += 5 - rank
before = [value.tolist() for value in network.state_dict().values()]
ranks.align(network)
after = [value.tolist() for value in network.state_dict().values()]
flags = torch.tensor([1.0, rank])
torch.distributed.all_reduce(flags, group=open_hosts())
print(json.dumps({"threads": torch.get_num_threads(), "before": before, "after": after, "flags": flags.tolist()}))
"""


def test_two_ranks_have_the_weights_of_the_first_and_the_threads_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    port, threads = find_port(), (os.cpu_count() or 1) + 1  # more than Fabric would set by itself
    commands = [[sys.executable, "-c", RANK, str(rank), str(port), str(threads)] for rank in (0, 1)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    first, second = (json.loads(process.communicate(timeout=100)[0]) for process in processes)
    assert first["threads"] == second["threads"] == threads
    assert first["before"] != second["before"]
    assert first["after"] == second["after"] == first["before"]
    assert first["flags"] == second["flags"] == [2.0, 1.0]
