"""Sums: what an epoch's training losses add up to, kept on the device until somebody wants to know."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from comp.engine.checkpoint import Progress

LOSS = ""  # beside the targets' names

Means = dict[str, tuple[torch.Tensor, int]]
"""What a micro-batch's loss was: LOSS and each target -> mean over the rows, and how many rows."""


class Sums:
    """Sums of row losses, the whole loss and each target's, from where `progress` stands."""

    def __init__(self, device: torch.device, progress: Progress) -> None:
        self.device = device
        self.values = {name: self.start(value) for name, value in {LOSS: progress.loss_sum, **progress.part_sums}.items()}

    def start(self, value: float) -> torch.Tensor:
        kind = torch.float32 if self.device.type == "mps" else torch.float64  # which MPS does not know
        return torch.tensor(value, dtype=kind, device=self.device)

    def add(self, losses: Sequence[Means]) -> None:
        for micro in losses:
            for name, (mean, rows) in micro.items():
                if name not in self.values:
                    self.values[name] = self.start(0.0)
                self.values[name].add_(mean, alpha=rows)

    def tell(self, progress: Progress) -> None:
        """Bring `progress` up to date; a device is waited for."""
        progress.part_sums = {name: float(value) for name, value in self.values.items()}
        progress.loss_sum = progress.part_sums.pop(LOSS)
