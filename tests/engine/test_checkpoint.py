"""Checkpoints: plain data and tensors that come back as they were, written whole or not at all."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from torch import nn

import comp.engine.checkpoint as module
from comp.engine.checkpoint import Progress, copy_state, load_checkpoint, load_weights, save_checkpoint, save_weights
from comp.errors import FormatError, RunError, WeightsError

CPU = torch.device("cpu")


def test_progress_and_states_come_back_as_they_were(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    assert load_checkpoint(path) is None
    progress = Progress(1, 2, 3, 4, 0.1 + 0.2, 5, {"label": 1 / 3}, [{"epoch": 0, "scores": {"accuracy": 0.5}}], 0.5, 0, 1.25)
    save_checkpoint(path, progress, {"network": {"weight": torch.arange(3.0)}, "ema": None})
    loaded, states = load_checkpoint(path)
    assert loaded == progress and loaded.loss_sum == 0.1 + 0.2
    assert states["network"]["weight"].tolist() == [0, 1, 2] and states["ema"] is None and set(states) == {"network", "ema"}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_that_fails_half_way_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, Progress(epoch=1), {})
    monkeypatch.setattr(module.os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunError, match=r"last\.ckpt cannot be written: No space left on device\. What was saved before is kept"):
        save_checkpoint(path, Progress(epoch=2), {})
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert load_checkpoint(path)[0].epoch == 1


def test_what_torch_and_safetensors_make_of_a_full_disk_is_named(tmp_path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as a full disk, but that its error is "File too large"
    try:
        for save, name in (
            (lambda path, state: save_checkpoint(path, Progress(), state), "last.ckpt"),
            (save_weights, "w.safetensors"),
        ):
            with pytest.raises(RunError, match=f"{name} cannot be written: .*(File too large|os error 27)"):
                save(tmp_path / name, {"weight": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_and_a_newer_checkpoint_are_named(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, Progress(), {"network": {"weight": torch.zeros(100)}})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match=r"last\.ckpt cannot be read .*delete it to train this fold from its start"):
        load_checkpoint(path)
    torch.save({"format": 3, "progress": {}}, path)
    with pytest.raises(FormatError, match="newer comp"):
        load_checkpoint(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = tmp_path / "last.ckpt"
    torch.save({"format": 1, "progress": {}, "network": Trap()}, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_a_copied_state_does_not_follow_the_training() -> None:
    layer = nn.Linear(2, 1)
    copied = copy_state(layer)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    assert torch.equal(copied["weight"], before) and not copied["weight"].requires_grad


def test_weights_come_back_with_shared_and_channels_last_tensors(tmp_path) -> None:
    tied = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    tied.append(tied[0])
    path = tmp_path / "last.safetensors"
    save_weights(path, copy_state(tied))
    found = load_weights(path)
    assert found.keys() == tied.state_dict().keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tied.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


def test_weights_that_are_missing_or_damaged_are_named(tmp_path) -> None:
    path = tmp_path / "last.safetensors"
    with pytest.raises(WeightsError, match="is not there: this fold has no finished weights"):
        load_weights(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(WeightsError, match=r"last\.safetensors cannot be read"):
        load_weights(path)
