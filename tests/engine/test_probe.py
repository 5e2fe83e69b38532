"""The try-out: real shapes and numbers from a few steps, and nothing kept."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine import probe
from comp.engine.network import Network
from comp.engine.probe import try_training

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def test_shapes_counts_and_times(desk: Desk) -> None:
    case = desk.case("stages=[{name: head, epochs: 1, freeze: backbone}, {name: all, epochs: 1}]", "loss.smoothing=0.0")
    trial = try_training(case.manifest, case.task, case.image, case.rows, case.fabric)
    network = case.network()
    assert (trial.input_shape, trial.features, trial.output_shape) == ((16, 1, 16, 16), 12, (16, 10))
    assert trial.parameters == sum(weight.numel() for weight in network.parameters())
    assert trial.trainable == sum(weight.numel() for weight in network.head.parameters()) < trial.parameters
    assert trial.loss == pytest.approx(math.log(10), rel=1e-5), "a new head answers all classes alike"
    assert 0 < trial.step_s < 5 and 0 < trial.predict_s < 1 and 50 < trial.memory_mib < 100_000


def test_the_first_stages_own_size_is_tried(desk: Desk, monkeypatch) -> None:
    sizes = []
    prepare = Network.prepare
    monkeypatch.setattr(Network, "prepare", lambda self, images: (sizes.append(images.shape[1]), prepare(self, images))[1])
    case = desk.case("stages=[{name: small, epochs: 1, image: {size: 8}}, {name: large, epochs: 1}]", "image.predict_size=20")
    trial = try_training(case.manifest, case.task, case.image, case.rows, case.fabric)
    assert trial.input_shape == (16, 1, 8, 8) and sizes[:3] == [8, 8, 8] and set(sizes[3:]) == {20}


def test_fewer_rows_than_a_batch_will_do(desk: Desk) -> None:
    case = desk.case("train.accumulate=4")
    trial = try_training(case.manifest, case.task, case.image, case.rows.take(np.arange(5)), case.fabric)
    assert math.isfinite(trial.loss)


@pytest.mark.parametrize("policy", ["stop", "skip", "lower"])
def test_a_loss_that_is_no_number_is_told_and_what_to_do(desk: Desk, policy: str) -> None:
    case = desk.case(f"train.on_nan={policy}")
    rows = replace(case.rows, weights=np.full(len(case.rows), np.nan, np.float32))
    trial = try_training(case.manifest, case.task, case.image, rows, case.fabric)
    assert math.isnan(trial.loss) and trial.predict_s > 0
    assert trial.describe_loss().startswith("first loss nan: look at images and targets, lower optimizer.lr")


def test_memory_is_measured_on_rows_of_the_whole_table_in_the_batches_of_prediction(desk: Desk, monkeypatch) -> None:
    tried, batches, predict = [], [], probe.predict_views
    case = desk.case("stages=[{name: a, epochs: 1, train: {batch_size: 8}}, {name: b, epochs: 1, train: {batch_size: 12}}]")

    def watch_rows(manifest, task, image, rows, *given):
        tried.append(rows)
        return try_training(manifest, task, image, rows, *given)

    monkeypatch.setattr(probe, "try_training", watch_rows)
    monkeypatch.setattr(probe, "predict_views", lambda *given: (batches.append(given[4].rows), predict(*given))[1])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 1000)
    probe.measure_memory(case.manifest, case.task, case.image, case.rows, case.fabric)
    ids = case.rows.row_ids
    assert len(tried[0]) == 24 and [tried[0].row_ids[0], tried[0].row_ids[-1]] == [ids[0], ids[-1]]
    assert batches == [24, 24], "twice the last stage's"
