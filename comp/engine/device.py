"""The device: which one, in which precision, with how many threads, through Lightning Fabric.

What the manifest leaves to `auto` is settled here, by measurement recorded in comments; the digest keeps `auto`.
"""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from comp.errors import CompError

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def open_device(train: Mapping[str, Any]) -> Fabric:
    """A Fabric for one device, as the manifest's `train` asks (`precision`, `threads`, `deterministic`).

    Raises:
        CompError: fp16 was asked for on a device that has no loss scaler (a CPU).
    """
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
    precision = PRECISIONS[settle_precision(str(train["precision"]), kind)]
    if precision == "16-mixed" and kind != "cuda":
        raise CompError(f"train.precision: 16 needs a CUDA device, and this machine trains on {kind}; use auto, 32 or bf16.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Fabric(accelerator={"cuda": "cuda", "mps": "mps"}.get(kind, "cpu"), devices=1, precision=precision)


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


def describe_device(fabric: Fabric) -> str:
    """As people name it: the GPU's name, or the CPU with its number of threads."""
    if fabric.device.type == "cuda":
        return torch.cuda.get_device_name(fabric.device)
    return f"{fabric.device.type}, {torch.get_num_threads()} threads"


def free_memory() -> None:
    """Give back what the last fold held, so that the next starts on an empty device."""
    if torch.cuda.is_available():
        gc.collect()  # a third of a second; a CPU's memory comes back as references go
        torch.cuda.empty_cache()


def is_mixed(fabric: Fabric) -> bool:
    """Whether forward passes run in half precision."""
    return isinstance(fabric.strategy.precision, MixedPrecision)


def renew_scaler(fabric: Fabric) -> None:
    """fp16: the loss scale starts anew, so that a fold does not depend on those that this process trained before."""
    precision = fabric.strategy.precision
    if is_mixed(fabric) and precision.scaler is not None:
        precision.scaler = torch.amp.GradScaler(fabric.device.type)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of this device.

    torch.manual_seed seeds all devices: where CUDA was never used it queues that with a stack trace, 1 ms at every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
