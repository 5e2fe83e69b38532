"""How many workers pay, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from comp.engine.loader import pace as pace_module
from comp.engine.loader.pace import CORES, Machine, Pace, choose_workers, count_all_cores, count_cores, describe_choice
from comp.errors import WorkspaceError

GPU, CPU = Machine(cores=8, on_gpu=True), Machine(cores=8, on_gpu=False)
LONG = 10_000


@pytest.mark.parametrize(
    ("make_s", "step_s", "planned", "machine", "expected"),
    [
        (0.041, 0.015, LONG, GPU, 4),  # 1.25 x 41 / 15 = 3.4
        (0.001, 0.100, LONG, GPU, 1),  # one at least, lest the device wait for a batch
        (0.100, 0.010, LONG, GPU, 7),  # 12.5, but the cores end before, of which the training loop has one
        (0.100, 0.010, LONG, Machine(1, True), 1),
        (0.100, 0.001, LONG, Machine(128, True), 16),
        (0.010, 0.015, LONG, Machine(8, True, readers=4), 4),  # four threads make in 10 ms what takes one worker 40
        (0.041, 0.015, 100, GPU, 0),  # 4.1 s in all
        (0.041, 0.015, 122, GPU, 4),  # 5.002 s
        (0.041, 0.015, 122, Machine(8, True, forks=False), 0),  # each would import everything anew
        (0.041, 0.015, 732, Machine(8, True, forks=False), 4),  # 30.01 s
        (0.100, 0.010, LONG, Machine(8, True, most=2), 2),
        (0.100, 0.010, LONG, Machine(8, True, most=0), 0),
        (0.900, 0.030, LONG, Machine(8, False, most=3), 3),
        (0.041, 0.030, LONG, CPU, 0),  # the cores are the model's
        (0.060, 0.030, LONG, CPU, 2),
        (0.900, 0.030, LONG, CPU, 4),  # half of the cores
        (0.900, 0.030, LONG, Machine(2, False), 1),
        (0.900, 0.030, LONG, Machine(1, False), 0),
        (0.900, 0.030, LONG, Machine(8, False, readers=8), 0),  # all cores read images already
    ],
)
def test_as_many_as_keep_the_device_busy(make_s: float, step_s: float, planned: int, machine: Machine, expected: int) -> None:
    assert choose_workers(make_s, step_s, planned, machine) == expected


def test_the_first_batches_do_not_count() -> None:
    pace = Pace("train", LONG, print)
    pace.times += [(9.0, 9.0), (8.0, 7.0)]
    assert pace.missing == 6
    pace.times += [(0.1, 0.01), (0.2, 0.01), (0.3, 0.02), (0.4, 0.03), (5.0, 0.03), (0.3, 0.04)]
    assert pace.missing == 0 and pace.medians() == pytest.approx((0.3, 0.025))


def test_the_choice_is_said_in_milliseconds() -> None:
    assert describe_choice(3, 0.0411, 0.0149) == "loader: 3 workers (a batch takes 41 ms to make, a step 15 ms)"
    assert describe_choice(0, 0.00214, 0.0071) == "loader: no workers (a batch takes 2.1 ms to make, a step 7.1 ms)"


def test_processes_that_share_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CORES, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    assert [count_cores(processes) for processes in (1, 4, 13)] == [12, 3, 1]
    monkeypatch.setenv(CORES, "4")
    assert [count_cores(processes) for processes in (1, 2)] == [4, 2]


@pytest.mark.parametrize("given", ["abc", "0", "-2", "1.5"])
def test_a_number_of_cores_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(CORES, given)
    with pytest.raises(WorkspaceError, match=f"COMP_CORES is '{given}'; wanted how many cores .* from 1 on"):
        count_cores()


def test_a_container_has_the_cores_of_its_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)))
    monkeypatch.setattr(pace_module, "GROUP", tmp_path)
    assert count_all_cores() == 12
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("50000\n")
    for quota, expected in (("-1", 12), ("100000", 2), ("125000", 3)):
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
        assert count_all_cores() == expected
    for limit, expected in (("400000 100000", 4), ("20000 100000", 1), ("9900000 100000", 12)):
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
        assert count_all_cores() == expected
    (tmp_path / "cpu/cpu.cfs_quota_us").unlink()
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert count_all_cores() == 12
