"""What costs or saves time without changing what is learned: layout and fused updates, by the manifest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from comp.engine.device import fuse_updates
from comp.engine.restore import restore_network
from comp.errors import ManifestError
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

CUDA = SimpleNamespace(device=torch.device("cuda"), strategy=SimpleNamespace(precision=None))


def test_another_layout_learns_the_same_and_renames_no_other_run(desk: Desk) -> None:
    size = ("image.size=16", "image.channels=3", "train.epochs=1")
    usual, plain = desk.case(*size, plain=True), desk.case(*size, "train.channels_last=false", plain=True)
    found = {}
    for case in (usual, plain):
        folder, _ = case.train()
        network, _ = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
        layout = torch.channels_last if case is usual else torch.contiguous_format
        weights = [weight for weight in network.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        images = network.prepare(torch.zeros(2, 16, 16, 3, dtype=torch.uint8))
        assert weights and all(part.is_contiguous(memory_format=layout) for part in (*weights, images))
        found[layout] = read_raw(folder / "oof.parquet").outputs
    assert np.allclose(*found.values(), atol=1e-4)
    stated = desk.case(*size, "train.channels_last=true", plain=True).manifest.digest({})
    assert usual.manifest.digest({}) == stated != plain.manifest.digest({})


def test_the_layout_is_the_whole_folds(desk: Desk) -> None:
    with pytest.raises(ManifestError, match="stages.0.train.channels_last: is one for the whole fold"):
        desk.case("stages=[{name: a, epochs: 1, train: {channels_last: false}}]")


@pytest.mark.parametrize(
    ("make", "fused"),
    [
        (lambda weights: torch.optim.AdamW(weights), True),
        (lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9), True),
        (lambda weights: torch.optim.AdamW(weights, fused=False), False),
        (lambda weights: torch.optim.AdamW(weights, foreach=True), None),
        (lambda weights: torch.optim.NAdam(weights), "none"),
    ],
)
def test_on_a_gpu_updates_are_fused_where_the_manifest_leaves_it_open(make: Any, fused: Any) -> None:
    weights = [nn.Parameter(torch.ones(3))]
    optimizer, here = make(weights), make(weights)
    fuse_updates(optimizer, CUDA)
    fuse_updates(here, SimpleNamespace(device=torch.device("cpu"), strategy=CUDA.strategy))
    assert optimizer.param_groups[0].get("fused", "none") == fused and here.param_groups[0].get("fused") is not True


def test_what_is_fused_later_computes_the_same(desk: Desk) -> None:
    stage, other = (desk.case("optimizer.fused=false", plain=True).stage() for _ in range(2))
    assert stage.optimizer.param_groups[0]["fused"] is False
    for group in other.optimizer.param_groups:
        group["fused"] = True  # which a CPU can, too
    for each in (stage, other):
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            for weight in each.network.parameters():
                weight.grad = torch.randn(weight.shape, generator=generator)
            each.optimizer.step()
    for one, two in zip(stage.network.parameters(), other.network.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_fp16_takes_its_loss_scale_off_before_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comp.engine.device.is_mixed", lambda fabric: True)
    scaled = SimpleNamespace(device=CUDA.device, strategy=SimpleNamespace(precision=SimpleNamespace(scaler=object())))
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
    fuse_updates(optimizer, scaled)
    assert optimizer.param_groups[0]["fused"] is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_fold_on_a_gpu_trains_with_fused_updates(desk: Desk) -> None:
    case = desk.case("train.precision=bf16")
    stage = case.stage()
    assert all(group["fused"] for group in stage.optimizer.param_groups)
    case.train()
