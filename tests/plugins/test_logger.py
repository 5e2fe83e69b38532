from __future__ import annotations

import builtins
import csv as library

import pytest

from comp.api import PluginError
from comp.events import EpochFinished, FoldFinished, FoldStarted, Notice, to_record
from comp.plugins.logger.csv import csv
from comp.plugins.logger.tensorboard import tensorboard


def epoch(number: int, fold: str = "0", loss: float = 0.5, **given) -> dict:
    values = {"held_out_loss": 0.4, "scores": {"accuracy": 0.9}, "parts": {"label": loss}} | given
    more = {"lr": 1e-3, "elapsed_s": 2.0, "samples_per_s": 100.0, "best": False}
    return to_record(EpochFinished(fold, "train", number, 3, loss, **more, **values))


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(library.DictReader(file))


def test_csv_has_a_row_per_epoch_and_a_file_per_fold(tmp_path) -> None:
    logger = csv(tmp_path)
    logger(to_record(Notice("hello")))
    for record in (epoch(0), epoch(1, loss=0.25), epoch(0, fold="full", held_out_loss=None, scores={})):
        logger(record)
    logger.close()
    first, second = rows(tmp_path / "fold0" / "history.csv")
    assert first["format"] == "1" and first["epoch"] == "0" and first["accuracy"] == "0.9" and first["lr"] == "0.001"
    assert float(second["train_loss"]) == 0.25 and second["held_out_loss"] == "0.4"
    (full,) = rows(tmp_path / "full" / "history.csv")
    assert full["held_out_loss"] == "" and "accuracy" not in full
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["history.csv", "history.csv"]


def test_csv_of_several_targets_has_their_losses(tmp_path) -> None:
    logger = csv(tmp_path)
    logger(epoch(0, parts={"label": 0.75, "alphabet": 0.25}, scores={"accuracy": 0.5}))
    (row,) = rows(tmp_path / "fold0" / "history.csv")
    assert (row["loss.label"], row["loss.alphabet"]) == ("0.75", "0.25")


def test_csv_continues_after_a_restart_and_replaces_epochs_trained_again(tmp_path) -> None:
    for number in range(3):
        csv(tmp_path)(epoch(number, loss=1.0))
    resumed = csv(tmp_path)
    resumed(epoch(1, loss=2.0))
    assert [(row["epoch"], row["train_loss"]) for row in rows(tmp_path / "fold0" / "history.csv")] == [("0", "1.0"), ("1", "2.0")]


def test_tensorboard_writes_curves_that_tensorboard_reads(tmp_path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = tensorboard(tmp_path)
    logger(to_record(FoldStarted("1", 80, 20)))
    for number in range(3):
        logger(epoch(number, fold="1", loss=1.0 - number / 4))
    logger(to_record(FoldFinished("1", {"accuracy": 0.9}, 2, 6.0)))
    # Killed and resumed from epoch 2: the points from there on are replaced.
    resumed = tensorboard(tmp_path)
    resumed(to_record(FoldStarted("1", 80, 20, resumed_epoch=2)))
    resumed(epoch(2, fold="1", loss=0.125))
    resumed.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "fold1")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss/train", "loss/held_out", "lr", "samples_per_s", "score/accuracy"}
    assert [(point.step, point.value) for point in events.Scalars("loss/train")] == [(0, 1.0), (1, 0.75), (2, 0.125)]
    assert events.Scalars("score/accuracy")[0].value == pytest.approx(0.9)


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch) -> None:
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("torch.utils.tensorboard"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PluginError, match=r"pip install 'comp-kit\[tensorboard\]'"):
        tensorboard(tmp_path)
