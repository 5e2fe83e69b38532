"""Restoring: what a fold left predicts the very outputs that it stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine.answers import build_views
from comp.engine.predict import plan_batch, predict_views
from comp.engine.restore import restore_network
from comp.errors import WeightsError
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


@pytest.mark.parametrize(
    "sets",
    [
        ("train.ema=true",),
        ("train.select=best", "train.epochs=4"),
        ("model={use: timm, arch: mobilenetv3_small_050, pretrained: false}", "image.size=32"),
        ("head={use: mlp, hidden: 8}", "image.predict_size=24", "image.mean=0.3"),
    ],
    ids=lambda sets: sets[0][:30],
)
def test_restored_weights_give_the_stored_outputs_bit_for_bit(desk: Desk, sets) -> None:
    case = desk.case(*sets, "tta=[{use: hflip}]")
    job = case.job()
    folder, record = case.train(job)
    torch.rand(3)
    network, links = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    assert not network.training and links == record["links"] == {"label": "softmax"}
    views = {"plain": None, **build_views(case.manifest, case.image)}
    for file, rows in (("oof.parquet", job.held_out), ("test.parquet", job.test)):
        raw = read_raw(folder / file)
        outputs = predict_views(network, case.fabric, rows, views, plan_batch(case.manifest, case.image))
        for view in views:
            assert np.array_equal(outputs[view], raw.outputs[raw.views == view]), (file, view)


def test_a_fold_that_is_not_complete_is_named(desk: Desk) -> None:
    case = desk.case()
    with pytest.raises(WeightsError, match="holds no finished fold; `comp run exp001` trains it"):
        restore_network(case.manifest, case.task, case.image, case.job().folder, case.fabric)


def test_weights_of_another_model_are_named(desk: Desk) -> None:
    case = desk.case("train.epochs=1")
    folder, _ = case.train()
    wider = desk.case("model={use: cnn, widths: [4, 8], hidden: 12, grid: 2}")
    with pytest.raises(WeightsError, match=r"safetensors does not fit the model of exp001: (.*\n)+.*size mismatch") as caught:
        restore_network(wider.manifest, wider.task, wider.image, folder, case.fabric)
    assert len(str(caught.value).splitlines()) <= 6


def test_the_file_that_fold_json_names_is_the_one_that_is_read(desk: Desk) -> None:
    case = desk.case("train.epochs=1")
    folder, record = case.train()
    (folder / "fold.json").write_text(json.dumps({**record, "weights": "best.safetensors"}))
    with pytest.raises(WeightsError, match="best.safetensors is not there"):
        restore_network(case.manifest, case.task, case.image, folder, case.fabric)
