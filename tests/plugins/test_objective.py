from __future__ import annotations

import pytest
import torch
from torch import nn

from comp.api import Batch, Mixed, PluginError, Target, Task
from comp.plugins.objective.reconstruction import reconstruction
from comp.plugins.objective.supervised import distillation, pseudo_labels, sam, supervised


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


# ---- sharpness-aware -----------------------------------------------------------------------------------------------------


def test_sam_takes_its_gradient_a_step_uphill_and_puts_the_weights_back() -> None:
    # One weight w, loss w ** 2: uphill by rho along the gradient 2 w is w + rho, where the gradient is 2 (w + rho).
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.5)
    batch = Batch(torch.ones(2, 1), {"y": torch.zeros(2)}, torch.ones(2))
    objective = sam(rho=0.1)
    total, parts = objective(network, batch, None, split_loss)
    total.backward()
    assert network.weight.item() == pytest.approx(0.6)
    objective.restore(network)
    assert network.weight.item() == 0.5
    assert network.weight.grad.item() == pytest.approx(2 * 0.6)
    assert parts["y"].item() == pytest.approx(0.25)


def test_sam_moves_batch_norm_once() -> None:
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    batch = Batch(torch.randn(6, 2), {"y": torch.zeros(6)}, torch.ones(6))
    sam(rho=0.5)(networks[0], batch, None, split_loss)[0].backward()
    networks[1](batch.images)
    assert torch.equal(networks[0][1].running_mean, networks[1][1].running_mean)
    assert networks[0][1].momentum == 0.1


# ---- teachers ------------------------------------------------------------------------------------------------------------

TASK = Task((Target("y", "multiclass", ("a", "b", "c"), ("y",)),))
TAUGHT = Batch(
    images=torch.randn(2, 3, generator=torch.Generator().manual_seed(1)),
    targets={"y": torch.tensor([0, 1])},
    weights=torch.ones(2),
    labelled=torch.tensor([True, False]),
    teacher={"y": torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2]])},
)


def cross_entropy(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"y": nn.functional.cross_entropy(outputs, targets["y"], reduction="none")}


def test_pseudo_labels_choose_the_sure_rows() -> None:
    objective = pseudo_labels(TASK, teachers=["exp001"], threshold=0.6)
    assert list(objective.choose({"y": TAUGHT.teacher["y"].numpy()})) == [False, True]
    assert (objective.rows, objective.teachers, objective.share) == (("test",), ("exp001",), 1.0)


def test_soft_pseudo_labels_are_certain_where_the_label_is_known() -> None:
    total, _ = pseudo_labels(TASK, teachers=["exp001"], soft=True)(nn.Identity(), TAUGHT, None, cross_entropy)
    logs = TAUGHT.images.log_softmax(dim=1)
    by_hand = -(logs[0, 0] + (logs[1] * torch.tensor([0.1, 0.7, 0.2])).sum()) / 2
    assert total.item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_distillation_weighs_labels_and_teachers() -> None:
    total, _ = distillation(TASK, teachers=["exp001"], weight=0.25, temperature=2.0)(nn.Identity(), TAUGHT, None, cross_entropy)
    logs, soft = TAUGHT.images.log_softmax(dim=1), (TAUGHT.images / 2).log_softmax(dim=1)
    roots = TAUGHT.teacher["y"].sqrt()  # at temperature 2 a probability becomes its root, normalised
    wanted = roots / roots.sum(dim=1, keepdim=True)
    theirs = -4 * (wanted * soft).sum(dim=1)
    by_hand = (0.75 * -logs[0, 0] + 0.25 * theirs.sum()) / 2  # the second row has no label
    assert total.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: sam(rho=0.0), "rho"),
        (lambda: pseudo_labels(TASK, teachers=[]), "teachers"),
        (lambda: pseudo_labels(TASK, teachers=["a"], threshold=1.5), "threshold"),
        (lambda: pseudo_labels(TASK, teachers=["a"], share=0.0), "share"),
        (lambda: distillation(TASK, teachers=["a"], weight=0.0), "weight"),
        (lambda: distillation(TASK, teachers=["a"], temperature=0.0), "temperature"),
    ],
)
def test_what_is_out_of_range_is_named(make, word) -> None:
    with pytest.raises(PluginError, match=f"objective.{word}"):
        make()


# ---- reconstruction ------------------------------------------------------------------------------------------------------


class Echo(nn.Module):
    def forward(self, images, table=None, method=None):
        assert method == "reconstruct"
        return images * 0.5, images


def test_reconstruction_is_the_mean_squared_difference() -> None:
    total, parts = reconstruction()(Echo(), BATCH, None, split_loss)
    assert total.item() == pytest.approx((0.25 + 1 + 2.25) / 3) == parts["reconstruction"].item()
