"""A fold whose ensemble is made of its epochs: what it leaves, restored, resumed and marked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine import fold as fold_module
from comp.engine.checkpoint import load_weights
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.restore import restore_network
from comp.errors import RunInterrupted
from comp.events import EpochFinished, Notice
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

SWA = ("ensemble={use: swa, start: 0.5}", "train.epochs=4", "scheduler={use: torch, name: ConstantLR}", "train.ema=false")
SOUP = ("ensemble={use: soup}", "train.epochs=4", "train.ema=false")


@pytest.mark.parametrize("sets", [SWA, SOUP], ids=["swa", "soup"])
def test_a_fold_predicts_with_its_epochs_gathered_and_is_restored(desk: Desk, sets) -> None:
    case, tale = desk.case(*sets), desk.tale()
    job = case.job()
    folder, record = case.train(job, tale)
    assert record["epochs"] == 4 and len(tale.of(EpochFinished)) == 4
    assert any("of the epochs" in event.text for event in tale.of(Notice))
    network, _ = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    outputs = predict_views(network, case.fabric, job.held_out, {"plain": None}, PredictBatch(32, case.image.predict_size))
    raw = read_raw(folder / "oof.parquet")
    assert np.array_equal(outputs["plain"], raw.outputs)
    accuracy = float((raw.outputs.argmax(axis=1) == job.held_out.targets["label"]).mean())
    assert record["scores"]["accuracy"] == pytest.approx(accuracy)
    if "swa" in sets[0]:
        assert (record["gathered"], record["select"]) == ([2, 3], "last")
    else:
        assert record["select"] == "soup" and record["scores_best"] == record["scores"]
        assert record["scores"]["accuracy"] >= max(event.scores["accuracy"] for event in tale.of(EpochFinished))


@pytest.mark.parametrize("sets", [SWA, SOUP], ids=["swa", "soup"])
def test_stopped_and_resumed_equals_uninterrupted(desk: Desk, sets, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case = desk.case(*sets)
    whole, _ = case.train()
    asked = iter([False] * 12 + [True] * 999)
    job = case.job(stop=lambda: next(asked))
    with pytest.raises(RunInterrupted):
        case.train(job)
    resumed, _ = case.train(replace(job, stop=lambda: False))
    for name, value in load_weights(whole / "last.safetensors").items():
        assert torch.equal(value, load_weights(resumed / "last.safetensors")[name]), name
