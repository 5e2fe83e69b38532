"""The try-out: real shapes and numbers from a few steps, and nothing kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

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
