"""Saves: the checkpoint before the last one, what is done about damaged ones, and saving in the middle of an epoch."""

from __future__ import annotations

import errno
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

import comp.engine.fold as fold_module
import comp.engine.saves as saves_module
from comp.engine.checkpoint import Progress
from comp.engine.ranks import Ranks
from comp.engine.saves import Saves
from comp.engine.stage import Stage
from comp.errors import FormatError, RunError, RunInterrupted, WeightsError
from comp.events import EpochFinished, FoldStarted, Notice
from tests.engine.test_fold import stop_at
from tests.engine.test_ranks import seat

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Desk

ALONE = Ranks(SimpleNamespace(world_size=1, global_rank=0))


def open_saves(folder: Path) -> tuple[Saves, list]:
    said: list = []
    return Saves(folder, "fold 3", said.append), said


def write_two(folder: Path) -> Saves:
    saves, _ = open_saves(folder)
    for epoch in (1, 2):
        saves.save(Progress(epoch=epoch), {"network": {"weight": torch.full((1000,), float(epoch))}})
    return saves


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_bit(path: Path) -> None:
    """In the middle of the weights, where torch itself would not notice."""
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x80?" if b"\x00\x00\x80?" in content else b"\x00\x00\x00@") + 400] ^= 1
    path.write_bytes(content)


def test_the_one_before_is_kept_and_both_go(tmp_path: Path) -> None:
    saves = write_two(tmp_path)
    assert names(tmp_path) == ["last.ckpt", "last.ckpt.1"]
    assert torch.load(tmp_path / "last.ckpt.1", weights_only=True)["progress"]["epoch"] == 1
    saves.remove()
    assert names(tmp_path) == []


@pytest.mark.parametrize("how", ["bit", "cut", "empty"])
def test_a_damaged_last_one_is_said_and_the_one_before_is_used_and_outlives_the_next_save(tmp_path: Path, how: str) -> None:
    write_two(tmp_path)
    last = tmp_path / "last.ckpt"
    if how == "bit":
        flip_bit(last)
        assert torch.load(last, weights_only=True)["progress"]["epoch"] == 2, "torch does not notice"
    else:
        last.write_bytes(last.read_bytes()[:300] if how == "cut" else b"")
    saves, said = open_saves(tmp_path)
    progress, states = saves.load(ALONE)
    assert progress.epoch == 1 and states["network"]["weight"].unique().tolist() == [1.0]
    (notice,) = said
    assert notice.level == "warning" and "last.ckpt is damaged; going on from last.ckpt.1" in notice.text
    before = (tmp_path / "last.ckpt.1").read_bytes()
    saves.save(Progress(epoch=2), {})
    assert (tmp_path / "last.ckpt.1").read_bytes() == before, "what is damaged takes no other's place"
    saves.save(Progress(epoch=3), {})
    assert torch.load(tmp_path / "last.ckpt.1", weights_only=True)["progress"]["epoch"] == 2


def test_both_damaged_is_an_error_that_names_both(tmp_path: Path) -> None:
    write_two(tmp_path)
    flip_bit(tmp_path / "last.ckpt")
    (tmp_path / "last.ckpt.1").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"(?s)last\.ckpt cannot be read .*last\.ckpt\.1 cannot be read .*delete it to train"):
        open_saves(tmp_path)[0].load(ALONE)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
    ],
)
def test_one_that_cannot_be_read_now_is_no_damage(tmp_path: Path, monkeypatch, error: Exception, said: str) -> None:
    write_two(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*given, **named):
        raise error

    monkeypatch.setattr("comp.engine.checkpoint.torch.load", fail)
    saves, notices = open_saves(tmp_path)
    with pytest.raises(RunError, match=rf"last\.ckpt cannot be read now: {said}\. It is left as it is"):
        saves.load(ALONE)
    assert notices == [] and {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_all_ranks_load_the_file_that_rank_0_found(tmp_path: Path, monkeypatch) -> None:
    write_two(tmp_path)
    load, refused = saves_module.load_checkpoint, []

    def load_once_damaged(path: Path):
        if path.name == "last.ckpt" and not refused:
            refused.append(path)
            raise WeightsError("damaged, as rank 0 sees it")
        return load(path)

    monkeypatch.setattr(saves_module, "load_checkpoint", load_once_damaged)

    def act(ranks: Ranks) -> tuple[int, bool, int]:
        saves, said = open_saves(tmp_path)
        return saves.load(ranks)[0].epoch, saves.sound, len(said)

    assert seat(act) == [(1, False, 1), (1, False, 0)]


def test_a_process_that_was_killed_between_the_two_renames_has_the_one_before(tmp_path: Path) -> None:
    write_two(tmp_path)
    (tmp_path / "last.ckpt").unlink()
    saves, said = open_saves(tmp_path)
    assert saves.load(ALONE)[0].epoch == 1 and said == []
    saves.save(Progress(epoch=2), {})
    assert names(tmp_path) == ["last.ckpt", "last.ckpt.1"]


def test_one_of_a_newer_comp_is_no_damage(tmp_path: Path) -> None:
    write_two(tmp_path)
    torch.save({"format": 3, "progress": {}}, tmp_path / "last.ckpt")
    with pytest.raises(FormatError, match="newer comp"):
        open_saves(tmp_path)[0].load(ALONE)


def test_one_of_an_older_comp_is_read(tmp_path: Path) -> None:
    older = {name: value for name, value in vars(Progress(epoch=4)).items() if name not in ("skipped", "lowered")}
    torch.save({"format": 1, "progress": older}, tmp_path / "last.ckpt")
    assert open_saves(tmp_path)[0].load(ALONE)[0] == Progress(epoch=4)


def test_zero_minutes_are_never(tmp_path: Path) -> None:
    saves, _ = open_saves(tmp_path)
    saves.at -= 599
    assert not saves.due(0) and not saves.due(10) and saves.due(9.9)


# ---- in a fold -----------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Ends everything before the how many-th batch of a process, whatever was saved."""
    train_batch, seen = Stage.train_batch, []

    def train(*given):
        seen.append(given)
        if len(seen) == batch:
            raise Killed
        return train_batch(*given)

    monkeypatch.setattr(Stage, "train_batch", train)


@pytest.mark.parametrize(
    "sets",
    [
        ("train.accumulate=2", "train.ema=true"),
        pytest.param(("scheduler={use: torch, name: OneCycleLR}", "mix={use: cutmix, p: 0.7}"), marks=pytest.mark.slow),
    ],
    ids=["accumulate", "mix"],
)
def test_a_long_epoch_is_saved_in_its_middle_and_resumed_there_with_the_same_bits(desk: Desk, monkeypatch, sets) -> None:
    case, whole = desk.case(*sets), desk.case(*sets).train()
    often = desk.case(*sets, "train.checkpoint_minutes=1e-9")
    job, tale = often.job(), desk.tale()
    kill_at(monkeypatch, 9)  # the fourth of the second epoch's five
    with pytest.raises(Killed):
        often.train(job)
    monkeypatch.undo()
    saved = torch.load(job.folder / "last.ckpt", weights_only=True)["progress"]
    assert (saved["epoch"], saved["batch"]) == (1, 2 if "train.accumulate=2" in sets else 3)
    assert (job.folder / "last.ckpt.1").exists()
    again, record = case.train(replace(job, manifest=case.manifest), tale)
    assert tale.of(FoldStarted)[0].resumed_epoch == 1 and [event.epoch for event in tale.of(EpochFinished)] == [1]
    assert case.files(whole[0]) == case.files(again) and record["scores"] == whole[1]["scores"]
    assert not list(again.glob("last.ckpt*"))


@pytest.mark.slow
def test_saving_in_the_middle_changes_no_bit_and_no_loss(desk: Desk) -> None:
    losses, files = [], []
    for minutes in ("0", "1e-9"):
        case, tale = desk.case(f"train.checkpoint_minutes={minutes}"), desk.tale()
        files.append(case.files(case.train(None, tale)[0]))
        losses.append([event.train_loss for event in tale.of(EpochFinished)])
    assert files[0] == files[1] and losses[0] == losses[1]


def test_a_fold_goes_on_from_the_one_before_with_the_same_bits(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case, tale = desk.case("train.epochs=3"), desk.tale()
    whole, _ = case.train()
    job = case.job(stop=stop_at(12))  # within the third epoch
    with pytest.raises(RunInterrupted):
        case.train(job)
    last = job.folder / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    again, _ = case.train(replace(job, stop=lambda: False), tale)
    assert any("is damaged; going on from last.ckpt.1" in event.text and "2 epochs" in event.text for event in tale.of(Notice))
    assert case.files(whole) == case.files(again)


def test_a_full_disk_leaves_both(tmp_path: Path, monkeypatch) -> None:
    saves = write_two(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("comp.engine.checkpoint.os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(RunError, match=r"last\.ckpt cannot be written: No space left"):
        saves.save(Progress(epoch=3), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
