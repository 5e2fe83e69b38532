"""The device: which one, in which precision, with how many threads, through Lightning Fabric.

What the manifest leaves to `auto` is settled here, by measurement recorded in comments; the digest keeps `auto`.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies import Strategy

from comp.engine.memory import keep_freed
from comp.errors import CompError
from comp.process import end_imports

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def open_device(train: Mapping[str, Any], strategy: Strategy | None = None) -> Fabric:
    """A Fabric as the manifest's `train` asks (`precision`, `threads`, `deterministic`).

    Args:
        strategy: how this process and others share `train.devices`; None: it is alone on one device.

    Raises:
        CompError: fp16 was asked for on a device that has no loss scaler (a CPU).
    """
    end_imports()
    if train["threads"] != "auto":
        torch.set_num_threads(train["threads"])
    if train["deterministic"]:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts; without it cuBLAS is not
    torch.use_deterministic_algorithms(bool(train["deterministic"]), warn_only=True)
    torch.backends.cudnn.benchmark = not train["deterministic"]
    torch.set_float32_matmul_precision("high")
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    kind = device_kind()
    if kind != "cuda":
        # Fabric has torch look for GPUs by opening the driver's library, and every optimizer step looks: 0.15 ms of each.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    if kind == "cpu":
        keep_freed()
    precision = PRECISIONS[settle_precision(str(train["precision"]), kind)]
    if precision == "16-mixed" and kind != "cuda":
        raise CompError(f"train.precision: 16 needs a CUDA device, and this machine trains on {kind}; use auto, 32 or bf16.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator = {"cuda": "cuda", "mps": "mps"}.get(kind, "cpu")
        if strategy is None:
            return Fabric(accelerator=accelerator, devices=1, precision=precision)
        return Fabric(accelerator=accelerator, devices=train["devices"], precision=precision, strategy=strategy)


def demand_devices(train: Mapping[str, Any]) -> None:
    """Raises CompError: this machine has fewer devices than `train.devices`, or batch norm is to be synchronised off GPUs."""
    wanted, kind = train["devices"], device_kind()
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, os.cpu_count() or 1)
    if wanted > max(1, there):
        has = {"cuda": "GPU", "mps": "GPU"}.get(kind, "CPU core") + ("" if there == 1 else "s")
        has += "" if kind in ("cuda", "mps") else ", and no GPU"
        same = f"--set train.devices=1 --set train.accumulate={wanted * train['accumulate']}"
        raise CompError(f"train.devices: {wanted}, and this machine has {there} {has}; `{same}` makes the same updates on one.")
    if train["sync_batch_norm"] and kind != "cuda":
        raise CompError(f"train.sync_batch_norm needs CUDA devices, and this machine trains on {kind}; leave it out.")


@contextmanager
def keep_settings() -> Iterator[None]:
    """What open_device sets for the whole process is afterwards as before: another run's models are opened within this one."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        torch.backends.cudnn.benchmark = benchmark


def device_kind() -> str:
    """cuda | mps | cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def settle_precision(asked: str, kind: str) -> str:
    """What `auto` means here: bf16 from compute capability 8 on, fp16 below (a T4 only emulates bf16), fp32 elsewhere.

    On a CPU bf16 autocast is slower than fp32 unless it has AMX: a training step took 1.15 to 2.2 times as long.
    """
    if asked != "auto":
        return asked
    if kind != "cuda":
        return "32"
    return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "16"


def describe_device(fabric: Fabric, devices: int = 1) -> str:
    """As people name it: the GPU's name, or the CPU with its number of threads. `devices`: how many of them share a fold."""
    on_gpu = fabric.device.type == "cuda"
    name = torch.cuda.get_device_name(fabric.device) if on_gpu else fabric.device.type
    if devices > 1:
        return f"{devices} x {name}"
    return name if on_gpu else f"{name}, {torch.get_num_threads()} threads"


def is_mixed(fabric: Fabric) -> bool:
    """Whether forward passes run in half precision."""
    return isinstance(fabric.strategy.precision, MixedPrecision)


def fuse_updates(optimizer: torch.optim.Optimizer, fabric: Fabric) -> None:
    """One kernel updates all weights, where the optimizer can and the manifest leaves it open (its `fused`, `foreach`).

    On two CPU cores the step of a small network's 142 weights took 1.5 ms instead of 5.6. Not in fp16: such an optimizer takes
    the loss scale off the gradients itself, and they could not be clipped before.
    """
    inner = getattr(optimizer, "base_optimizer", optimizer)  # Lookahead's
    scaled = is_mixed(fabric) and fabric.strategy.precision.scaler is not None
    if fabric.device.type not in ("cuda", "cpu") or type(inner) not in FUSED or scaled:
        return
    for group in inner.param_groups:
        if group["fused"] is None and group["foreach"] is None and not group["differentiable"]:
            group["fused"] = True
    if fabric.device.type == "cpu":
        inner.register_step_pre_hook(align_gradients)


def align_gradients(optimizer: torch.optim.Optimizer, *given: object) -> None:
    """Gradients lie in memory as their weights do, as autograd makes them but others need not: the CPU's fused kernels walk both
    in the order of memory without looking, and would add each gradient to another weight."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and weight.grad.stride() != weight.stride():
                weight.grad = torch.empty_like(weight).copy_(weight.grad)


def renew_scaler(fabric: Fabric) -> None:
    """fp16: the loss scale starts anew, so that a fold does not depend on those that this process trained before."""
    precision = fabric.strategy.precision
    if is_mixed(fabric) and precision.scaler is not None:
        precision.scaler = torch.amp.GradScaler(fabric.device.type)
        precision.scaler.scale(torch.zeros(1, device=fabric.device))  # a rank may step before it has had a loss to scale


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of this device.

    torch.manual_seed seeds all devices: where CUDA was never used it queues that with a stack trace, 1 ms at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
