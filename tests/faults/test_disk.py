"""A disk that fills up, becomes read-only or is somebody else's: one clear message, what was saved is kept, and it goes on."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Tiny
from tests.faults import child
from tests.faults.child import Ended, at_event
from tests.faults.conftest import Whole
from tests.faults.disks import Disk, drop_privileges, mount_disk
from tests.faults.whole import assert_readable, assert_same, list_litter, run_folder

RUN, SUBMIT = ("run", "exp001"), ("submit", "exp001", "-m", "first")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mount_disk(tmp_path / "disk", 100 * 2**20) as mounted:
        yield mounted


@pytest.fixture
def on_disk(disk: Disk, make_random: Callable[[Path], Tiny]) -> Tiny:
    return make_random(disk.folder)


def assert_clear(ended: Ended, *words: str) -> None:
    """One message on one screen, no traceback and no crash log."""
    assert "Traceback" not in ended.out + ended.err and "fault of comp" not in ended.err, ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    for word in words:
        assert word in ended.err, ended.err


def test_a_disk_that_fills_up_during_a_run(whole: Whole, on_disk: Tiny, disk: Disk) -> None:
    ended = child.run(on_disk, *RUN, prepare=at_event("EpochFinished", 2, lambda: disk.leave(4096)))
    assert ended.code == 1
    assert_clear(ended, "cannot be written: No space left on device")
    disk.free()
    assert_readable(on_disk)
    ended = child.run(on_disk, *RUN)
    assert ended.code == 0 and "fold 0" in ended.out and "resumed after epoch" in ended.out
    assert child.run(on_disk, *SUBMIT).code == 0
    assert_same(on_disk, whole.results)


@pytest.mark.slow
@pytest.mark.parametrize("kb", [0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384])
def test_a_disk_with_little_room_from_the_start(whole: Whole, on_disk: Tiny, disk: Disk, kb: int) -> None:
    disk.leave(kb * 1024)
    ended = child.run(on_disk, *RUN)
    if ended.code:
        assert ended.code in (1, 2)
        assert_clear(ended, "No space left on device")
        assert_readable(on_disk)
        disk.free()
        assert child.run(on_disk, *RUN).code == 0
    disk.leave(0)
    ended = child.run(on_disk, *SUBMIT)
    assert ended.code in (1, 2)
    assert_clear(ended, "No space left on device")
    disk.free()
    assert child.run(on_disk, *SUBMIT).code == 0
    assert_same(on_disk, whole.results)
    assert list_litter(on_disk) == []


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(whole: Whole, on_disk: Tiny, disk: Disk) -> None:
    ended = child.run(on_disk, *RUN, prepare=at_event("EpochFinished", 4, disk.close))
    assert ended.code == 1
    assert_clear(ended, "cannot be written: Read-only file system")
    for args in (RUN, SUBMIT, ("new", "exp002"), ("score", "exp001")):
        refused = child.run(on_disk, *args)
        assert refused.code == 2, (args, refused)
        assert_clear(refused)
    disk.open()
    assert_readable(on_disk)
    assert child.run(on_disk, *RUN).code == 0 == child.run(on_disk, *SUBMIT).code
    assert_same(on_disk, whole.results)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["experiments/exp001", ".comp", "folds", "submissions"])
def test_a_folder_without_permission(fresh: Tiny, folder: str) -> None:
    place = fresh.root / folder
    place.mkdir(parents=True, exist_ok=True)
    args = SUBMIT if folder == "submissions" else RUN
    if args == SUBMIT:
        assert child.run(fresh, *RUN).code == 0
    place.chmod(0o555)
    ended = child.run(fresh, *args, prepare=drop_privileges)
    place.chmod(0o755)
    assert ended.code == 2
    assert_clear(ended, folder, "cannot be", "Permission denied")
    assert child.run(fresh, *args).code == 0


@pytest.mark.slow
def test_a_file_without_permission(fresh: Tiny) -> None:
    for file in (fresh.data / "train.csv", fresh.root / "experiments/exp001/manifest.yaml", fresh.root / "competition.yaml"):
        file.chmod(0)
        ended = child.run(fresh, *RUN, prepare=drop_privileges)
        file.chmod(0o644)
        assert ended.code == 2 and re.search(f"{file.name}:? +cannot be read: Permission denied", ended.err), (file, ended)
    image = sorted((fresh.data / "train").iterdir())[3]
    image.chmod(0)
    ended = child.run(fresh, *RUN, prepare=drop_privileges)
    image.chmod(0o644)
    assert ended.code == 2 and image.name in ended.err and "Traceback" not in ended.err
    assert child.run(fresh, *RUN).code == 0


# ---- what is deleted during a run ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [2, 5], ids=["in the first fold", "in the second"])
def test_a_run_folder_that_is_deleted_during_the_run(whole: Whole, fresh: Tiny, epoch: int) -> None:
    """What is trained from then on is kept; what is gone is trained again by the next command."""
    remove = at_event("EpochFinished", epoch, lambda: shutil.rmtree(run_folder(fresh)))
    ended = child.run(fresh, *RUN, prepare=remove)
    assert ended.code == 0 and f"{whole.results['digest']} was removed while the run trained" in ended.out
    assert ("not complete yet" in ended.out) == (epoch == 5)
    ended = child.run(fresh, *RUN)
    assert ended.code == 0 and ("fold 0  complete" in ended.out) == (epoch == 2) and "fold 1  complete" in ended.out
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_a_store_that_is_deleted_during_the_run(whole: Whole, fresh: Tiny) -> None:
    """What is open stays readable; what comes after is made from the images again."""

    remove = at_event("EpochFinished", 2, lambda: shutil.rmtree(fresh.root / ".comp/cache"))
    ended = child.run(fresh, *RUN, prepare=remove)
    assert ended.code == 0, ended.err
    assert child.run(fresh, *SUBMIT).code == 0
    assert_same(fresh, whole.results)


@pytest.mark.slow
def test_an_image_that_is_deleted_while_images_are_read_as_they_are_wanted(whole: Whole, fresh: Tiny) -> None:
    gone = sorted((fresh.data / "train").iterdir())[5]
    kept = gone.read_bytes()

    def lay() -> None:
        os.environ["COMP_CACHE_GB"] = "0"
        at_event("EpochFinished", 1, gone.unlink)()

    ended = child.run(fresh, *RUN, prepare=lay)
    assert ended.code in (1, 2), ended
    assert_clear(ended, gone.name, "can no longer be read (there is no such file)")
    gone.write_bytes(kept)
    assert child.run(fresh, *RUN).code == 0 == child.run(fresh, *SUBMIT).code
    assert_same(fresh, whole.results)
