"""The device: what `auto` means on it, what is seeded on it; and with CUDA, half precision end to end."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision

from comp.engine import device
from comp.engine.checkpoint import Progress
from comp.engine.device import describe_device, is_mixed, open_device, renew_scaler, seed_torch, settle_precision
from comp.engine.network import Network
from comp.errors import CompError, RunInterrupted
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

TRAIN = {"threads": "auto", "deterministic": False, "precision": "32"}
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_follows_the_gpu(monkeypatch, capability, precision) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert settle_precision("auto", "cuda") == precision
    assert settle_precision("32", "cuda") == "32"


def test_auto_precision_is_fp32_elsewhere() -> None:
    assert settle_precision("auto", "cpu") == settle_precision("auto", "mps") == "32"
    assert settle_precision("bf16", "cpu") == "bf16"


def test_fp16_without_cuda_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(device, "device_kind", lambda: "cpu")
    with pytest.raises(CompError, match="train.precision: 16 needs a CUDA device, and this machine trains on cpu"):
        open_device({**TRAIN, "precision": "16"})


def test_threads_and_determinism_are_set(monkeypatch) -> None:
    monkeypatch.setattr(device, "device_kind", lambda: "cpu")
    threads = torch.get_num_threads()
    try:
        fabric = open_device({**TRAIN, "threads": 1, "deterministic": True})
        assert torch.get_num_threads() == 1 and describe_device(fabric) == "cpu, 1 threads"
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
        open_device(TRAIN)
        assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def test_seeding_repeats_the_global_generators_draws_and_queues_nothing() -> None:
    cpu = torch.device("cpu")
    seed_torch(2**62 + 3, cpu)
    first = torch.rand(4)
    queued = len(torch.cuda._queued_calls)
    for _ in range(3):
        seed_torch(2**62 + 3, cpu)
    assert torch.equal(torch.rand(4), first) and len(torch.cuda._queued_calls) == queued
    torch.manual_seed(2**62 + 3)
    assert torch.equal(torch.rand(4), first)


def test_bf16_autocast_trains_fp32_weights_and_stores_fp32_outputs(desk: Desk, monkeypatch) -> None:
    seen = set()
    forward = Network.forward

    def note(self: Network, images: torch.Tensor) -> torch.Tensor:
        outputs = forward(self, images)
        seen.add((self.training, outputs.dtype, self.head[1].weight.dtype))
        return outputs

    monkeypatch.setattr(Network, "forward", note)
    case = desk.case("train.precision=bf16")
    assert is_mixed(case.fabric) and not is_mixed(desk.case("train.precision=32").fabric)
    folder, record = case.train()
    assert seen == {(True, torch.bfloat16, torch.float32), (False, torch.bfloat16, torch.float32)}
    raw = read_raw(folder / "oof.parquet").outputs
    assert raw.dtype == np.float32 and np.isfinite(raw).all()
    single = desk.case("train.precision=32")
    plain = read_raw(single.train()[0] / "oof.parquet").outputs
    assert not np.array_equal(raw, plain) and np.allclose(raw, plain, atol=0.05)


def test_objectives_are_given_fp32_outputs_in_half_precision(desk: Desk) -> None:
    stage = desk.case("train.precision=bf16", plain=True).stage()
    batch = stage.make_batch(*next(stage.loader.epoch(np.arange(100), (0,))))
    assert stage.module(batch.images).dtype == torch.float32


# ---- with CUDA -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@cuda
def test_gpu_auto_precision_trains_and_restores(desk: Desk) -> None:
    case = desk.case("train.ema=true")
    folder, _ = case.train()
    assert case.fabric.device.type == "cuda" and is_mixed(case.fabric)
    assert np.isfinite(read_raw(folder / "oof.parquet").outputs).all()


@pytest.mark.gpu
@cuda
def test_gpu_an_ensemble_is_restored_onto_the_device(desk: Desk) -> None:
    from comp.engine.predict import PredictBatch, predict_views
    from comp.engine.restore import restore_network

    case = desk.case("ensemble={use: torchensemble, estimators: 2}", "train.precision=bf16", "train.deterministic=true")
    job = case.job()
    folder, _ = case.train(job)
    network, _ = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    found = predict_views(network, case.fabric, job.held_out, {"plain": None}, PredictBatch(32, case.image.predict_size))
    assert np.allclose(found["plain"], read_raw(folder / "oof.parquet").outputs[:20], atol=1e-2)


@pytest.mark.gpu
@cuda
def test_gpu_fp16_stopped_and_resumed_keeps_its_loss_scale(desk: Desk) -> None:
    case = desk.case("train.precision=16", "train.deterministic=true", "train.ema=true")
    whole, _ = case.train()
    asked = itertools.count(1)
    job = case.job(stop=lambda: next(asked) == 7)
    with pytest.raises(RunInterrupted):
        case.train(job)
    saved = torch.load(job.folder / "last.ckpt", weights_only=True)
    assert saved["precision"]["scale"] > 1 and saved["precision"]["_growth_tracker"] == 7
    case.train(replace(job, stop=lambda: False))
    assert case.files(whole) == case.files(job.folder)


def test_a_renewed_loss_scale_steps_without_a_loss_and_takes_on_what_was_saved() -> None:
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    renew_scaler(SimpleNamespace(strategy=SimpleNamespace(precision=precision), device=torch.device("cpu")))
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.full((1,), precision.scaler.get_scale())  # as another rank's loss has left it
    precision.optimizer_step(torch.optim.SGD([weight], lr=0.5))
    assert weight.tolist() == [-0.5]
    precision.load_state_dict({**precision.state_dict(), "scale": 8.0, "_growth_tracker": 3})
    assert precision.scaler.get_scale() == 8.0 and precision.state_dict()["_growth_tracker"] == 3


@pytest.mark.gpu
@cuda
def test_gpu_the_loss_scale_does_not_outlive_a_stage(desk: Desk) -> None:
    fabric = desk.case("train.precision=16").fabric
    precision = fabric.strategy.precision
    renew_scaler(fabric)
    fresh = precision.scaler.state_dict()
    precision.scaler.update(2.0)
    renew_scaler(fabric)
    assert precision.scaler.state_dict() == fresh


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("workers", [0, 2])
def test_gpu_batches_arrive_on_the_device_as_they_were_made(desk: Desk, workers) -> None:
    stage = desk.case(plain=True).stage()
    wanted = list(stage.loader.recipe.make(chunk)[0] for chunk in stage.loader.list_chunks(np.arange(100), (0,)))
    stage.context = replace(stage.context, pool=desk.pool(workers))
    for _ in range(3):
        torch.cuda._sleep(10_000_000)  # the device lags behind: what is copied must not be read or given away too soon
        got = list(stage.open_loader().epoch(np.arange(100), (0,)))
        assert all(images.is_cuda and rows.is_cuda for images, rows in got)
        assert all(torch.equal(images.cpu(), own) for (images, _), own in zip(got, wanted, strict=True))
        assert torch.cat([rows for _, rows in got]).tolist() == [*range(100)]


@pytest.mark.gpu
@cuda
def test_gpu_dropout_is_seeded_by_the_step(desk: Desk) -> None:
    case = desk.case("train.precision=32", "train.deterministic=true")
    losses = []
    for _ in range(2):
        network = case.fabric.to_device(case.network())
        progress = Progress()
        torch.rand(3, device="cuda")
        case.stage(network).train_epoch(progress)
        losses.append(progress.loss_sum)
    assert losses[0] == losses[1]
