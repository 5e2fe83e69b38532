from __future__ import annotations

import pytest
import torch
from torch import nn

from comp.api import Batch, Mixed
from comp.plugins.objective.supervised import supervised


def split_loss(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: (outputs[:, 0] - target) ** 2 for name, target in targets.items()}


BATCH = Batch(
    images=torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1),
    targets={"near": torch.tensor([0.0, 2.0, 2.0]), "far": torch.tensor([3.0, 2.0, 0.0])},
    weights=torch.tensor([1.0, 0.5, 1.5]),
)
NETWORK = nn.Flatten()


def test_mean_over_targets_of_the_weighted_rows() -> None:
    total, parts = supervised()(NETWORK, BATCH, None, split_loss)
    # near: squares 1, 0, 1; far: 4, 0, 9.
    assert parts["near"].item() == pytest.approx((1 * 1 + 1.5 * 1) / 3)
    assert parts["far"].item() == pytest.approx((1 * 4 + 1.5 * 9) / 3)
    assert total.item() == pytest.approx((2.5 / 3 + 17.5 / 3) / 2)


def test_mixed_rows_count_both_targets_by_share_with_their_own_weights() -> None:
    mixed = Mixed(torch.full((3, 1, 1, 1), 2.0), torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.25, 0.5]))
    _, parts = supervised()(NETWORK, BATCH, mixed, split_loss)
    # near squares at 2: 4, 0, 0. Row 0: itself. Row 1: 0.25 * 0.5 * 0 + 0.75 * 1.5 * 0. Row 2: 0.5 * 1.5 * 0 + 0.5 * 1 * 4.
    assert parts["near"].item() == pytest.approx((4 + 0 + 2) / 3)


def test_a_batch_of_light_rows_is_a_small_step() -> None:
    light = Batch(BATCH.images, BATCH.targets, torch.full((3,), 0.1))
    heavy = Batch(BATCH.images, BATCH.targets, torch.ones(3))
    assert supervised()(NETWORK, light, None, split_loss)[0].item() == pytest.approx(
        0.1 * supervised()(NETWORK, heavy, None, split_loss)[0].item()
    )


def test_gradients_flow_through_the_total_only() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    total, parts = supervised()(network, BATCH, None, split_loss)
    total.backward()
    assert network[1].weight.grad is not None
    assert not any(part.requires_grad for part in parts.values())
