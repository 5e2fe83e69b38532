"""Batches: what an objective is given, gathered on the device from what a stage keeps there."""

from __future__ import annotations

import numpy as np
import torch

from comp.api import Batch
from comp.engine.rows import Rows


def send_rows(rows: Rows, device: torch.device) -> Batch:
    """Everything of the training rows but their images, on the device."""

    def send(values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.as_tensor(values, device=device)

    return Batch(
        torch.empty(0),
        {name: torch.as_tensor(values, device=device) for name, values in rows.targets.items()},
        torch.as_tensor(rows.weights, device=device),
        send(rows.table),
        send(rows.labelled),
        None if rows.teacher is None else {name: torch.as_tensor(values, device=device) for name, values in rows.teacher.items()},
    )


def gather_batch(data: Batch, images: torch.Tensor, rows: torch.Tensor) -> Batch:
    """The rows at these positions (B,), with their images as the network takes them."""
    return Batch(
        images,
        {name: values[rows] for name, values in data.targets.items()},
        data.weights[rows],
        None if data.table is None else data.table[rows],
        None if data.labelled is None else data.labelled[rows],
        None if data.teacher is None else {name: values[rows] for name, values in data.teacher.items()},
    )
