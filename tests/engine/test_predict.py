"""Prediction: raw outputs in the order of the rows, for every view, in whatever pieces memory allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine.network import Network
from comp.engine.predict import PredictBatch, predict_views
from comp.errors import RunError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def test_outputs_are_in_the_rows_order_one_array_for_each_view(desk: Desk) -> None:
    case = desk.case(plain=True)
    network, rows = case.network().train(), case.rows.take(np.array([30, 2, 77, 2, 51]))
    told = []
    views = {"plain": None, "mirrored": lambda images: images.flip(-1)}
    found = predict_views(network, case.fabric, rows, views, PredictBatch(2, (16, 16)), lambda *done: told.append(done))
    assert not network.training and told == [(2, 5), (4, 5), (5, 5)]
    pixels = torch.from_numpy(rows.store.take(rows.positions)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        plain, mirrored = (network((images - 0.5) / 0.5).numpy() for images in (pixels, pixels.flip(-1)))
    assert list(found) == ["plain", "mirrored"] and found["plain"].dtype == np.float32 and found["plain"].shape == (5, 10)
    assert np.allclose(found["plain"], plain, atol=1e-6) and np.allclose(found["mirrored"], mirrored, atol=1e-6)
    assert not np.allclose(plain, mirrored, atol=1e-3)


def test_images_are_brought_to_the_size_of_prediction(desk: Desk, monkeypatch) -> None:
    sizes = []
    prepare = Network.prepare
    monkeypatch.setattr(Network, "prepare", lambda self, images: (sizes.append(tuple(images.shape)), prepare(self, images))[1])
    case = desk.case(plain=True)
    predict_views(case.network(), case.fabric, case.rows.take(np.arange(3)), {"plain": None}, PredictBatch(8, (20, 24)))
    assert sizes == [(3, 20, 24, 1)]


def test_out_of_memory_halves_the_batch_and_changes_nothing(desk: Desk, monkeypatch) -> None:
    case = desk.case(plain=True)
    network, sizes = case.network(), []
    whole = predict_views(network, case.fabric, case.rows, {"plain": None}, PredictBatch(64, (16, 16)))
    forward = Network.forward

    def failing(self: Network, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", failing)
    most = 20
    parts = predict_views(network, case.fabric, case.rows, {"plain": None}, PredictBatch(64, (16, 16)))
    assert sizes == [64, 32, *[16] * 6, 4] and np.allclose(parts["plain"], whole["plain"], atol=1e-6)
    most = 0
    with pytest.raises(RunError, match="does not hold one image for prediction; lower image.predict_size"):
        predict_views(network, case.fabric, case.rows, {"plain": None}, PredictBatch(4, (16, 16)))
