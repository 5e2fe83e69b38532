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
@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_updates_are_fused_where_the_manifest_leaves_it_open(make: Any, fused: Any, kind: str) -> None:
    optimizer = make([nn.Parameter(torch.ones(3))])
    fuse_updates(optimizer, SimpleNamespace(device=torch.device(kind), strategy=CUDA.strategy))
    assert optimizer.param_groups[0].get("fused", "none") == fused


def test_on_other_devices_updates_are_left_as_they_are() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
    fuse_updates(optimizer, SimpleNamespace(device=torch.device("mps"), strategy=CUDA.strategy))
    assert optimizer.param_groups[0]["fused"] is None


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_fused_updates_are_the_same_updates_however_gradients_lie(make) -> None:
    """torch's kernel on the CPU adds gradients that lie otherwise than their weights to other weights, and says nothing."""
    ends = []
    for fused in (False, True):
        weight = torch.nn.Parameter(torch.arange(2.0 * 3 * 5 * 5).view(2, 3, 5, 5) / 100)
        optimizer = make([weight], lr=0.1, weight_decay=0.1)
        if fused:
            fuse_updates(optimizer, SimpleNamespace(device=torch.device("cpu"), strategy=CUDA.strategy))
            assert optimizer.param_groups[0]["fused"]
        for seed in range(3):
            gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
            weight.grad = gradient.contiguous(memory_format=torch.channels_last if seed else torch.contiguous_format)
            optimizer.step()
        ends.append(weight.detach())
    assert torch.allclose(*ends, rtol=0, atol=1e-6) and not torch.equal(ends[0], torch.arange(150.0).view(2, 3, 5, 5) / 100)


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
