from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from timm import loss as timm_loss
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from comp.api import PluginError, Target, Task
from comp.plugins.loss.bce import bce
from comp.plugins.loss.cross_entropy import cross_entropy
from comp.plugins.loss.focal import focal
from comp.plugins.loss.mse import mse

THREE = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TWO = Task((Target("label", "binary", ("0", "1"), ("label",)),))
LABELS = Task((Target("tags", "multilabel", ("x", "y"), ("tags",), " "),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))
EVEN = np.array([10.0, 10.0, 10.0])
HALF = np.array([5.0, 5.0])


def logits(rows: int, width: int) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(0)) * 3


def test_cross_entropy_by_hand_and_with_smoothing() -> None:
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    targets = torch.tensor([0, 1])
    plain = cross_entropy(THREE, EVEN)(outputs, targets)
    assert plain.tolist() == pytest.approx([math.log(2), math.log(10)])
    smooth = cross_entropy(THREE, EVEN, smoothing=0.3)(outputs, targets)
    # 0.7 on the class itself, 0.1 on each of the three.
    assert smooth[0].item() == pytest.approx(0.7 * math.log(2) + 0.1 * (math.log(2) + 2 * math.log(4)))


def test_balanced_weights_are_scikit_learns_and_1_on_average() -> None:
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    loss = cross_entropy(THREE, np.array([6.0, 3.0, 1.0]), weights="balanced")
    targets = torch.as_tensor(labels)
    losses = loss(torch.zeros(10, 3), targets)
    assert losses.numpy() == pytest.approx(expected[labels] * math.log(3), rel=1e-6)
    assert losses.mean().item() == pytest.approx(math.log(3), rel=1e-6)


def test_a_class_without_rows_weighs_nothing() -> None:
    loss = cross_entropy(THREE, np.array([4.0, 4.0, 0.0]), weights="balanced")
    assert loss(torch.zeros(3, 3), torch.tensor([0, 1, 2])).tolist() == pytest.approx([math.log(3), math.log(3), 0.0])


def test_focal_by_hand_and_cross_entropy_at_gamma_0() -> None:
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    assert focal(THREE, EVEN, gamma=2.0)(outputs, torch.tensor([1])).item() == pytest.approx(0.75**2 * math.log(4))
    outputs, targets = logits(20, 3), torch.arange(20) % 3
    assert torch.allclose(focal(THREE, EVEN, gamma=0.0)(outputs, targets), F.cross_entropy(outputs, targets, reduction="none"))


def test_sigmoid_focal_is_torchvisions() -> None:
    outputs, targets = logits(20, 2), (logits(20, 2).flip(0) > 0).float()
    ours = focal(LABELS, np.array([10.0, 10.0]), gamma=2.0, alpha=0.25)(outputs, targets)
    assert torch.allclose(ours, sigmoid_focal_loss(outputs, targets, alpha=0.25, gamma=2.0).mean(dim=1), atol=1e-6)


def test_focal_alpha_weighs_the_second_of_two_classes() -> None:
    losses = focal(TWO, np.array([5.0, 5.0]), gamma=0.0, alpha=0.8)(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([0.2 * math.log(2), 0.8 * math.log(2)])
    with pytest.raises(PluginError, match="weights: balanced"):
        focal(THREE, EVEN, alpha=0.25)


def test_focal_has_a_finite_gradient_where_the_answer_is_certain() -> None:
    outputs = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    focal(THREE, EVEN, gamma=0.5)(outputs, torch.tensor([0])).sum().backward()
    assert torch.isfinite(outputs.grad).all()


def test_bce_by_hand() -> None:
    outputs = torch.tensor([[math.log(3), 0.0]])  # probabilities 3/4 and 1/2
    labels = torch.tensor([[0.0, 1.0]])
    assert bce(LABELS, HALF, 10)(outputs, labels).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert bce(LABELS, HALF, 10, pos_weight=3.0)(outputs, labels).item() == pytest.approx((math.log(4) + 3 * math.log(2)) / 2)
    smooth = bce(LABELS, HALF, 10, smoothing=0.2)(outputs, labels).item()
    assert smooth == pytest.approx(F.binary_cross_entropy_with_logits(outputs, torch.tensor([[0.1, 0.9]])).item())


def test_bce_balanced_weighs_a_label_by_rows_without_over_rows_with_it() -> None:
    five = Task((Target("tags", "multilabel", tuple("vwxyz"), ("tags",), " "),))
    # Of 10 rows: 2, 5 and 9 with the label, none, all.
    loss = bce(five, np.array([2.0, 5.0, 9.0, 0.0, 10.0]), 10, pos_weight="balanced")
    set_all, set_none = torch.ones(1, 5), torch.zeros(1, 5)
    assert loss(torch.zeros(1, 5), set_all).item() == pytest.approx((8 / 2 + 5 / 5 + 1 / 9 + 1 + 1) / 5 * math.log(2))
    assert loss(torch.zeros(1, 5), set_none).item() == pytest.approx(math.log(2))
    outputs, labels = logits(6, 5), (logits(6, 5).flip(0) > 0).float()
    expected = F.binary_cross_entropy_with_logits(outputs, labels, pos_weight=torch.tensor([4, 1, 1 / 9, 1, 1]), reduction="none")
    assert torch.allclose(loss(outputs, labels), expected.mean(dim=1))


def test_bce_of_classes_is_one_against_the_rest_and_says_so() -> None:
    outputs, targets = logits(6, 3), torch.arange(6) % 3
    loss = bce(THREE, EVEN, 30, smoothing=0.1)
    assert loss.link == "sigmoid"
    expected = timm_loss.BinaryCrossEntropy(smoothing=0.1)(outputs, targets).item()
    assert loss(outputs, targets).mean().item() == pytest.approx(expected)


def test_mse_by_hand() -> None:
    assert mse(NUMBER)(torch.tensor([[3.0], [1.0]]), torch.tensor([1.0, 1.5])).tolist() == [4.0, 0.25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cross_entropy(LABELS, np.ones(2)), "tags is multilabel: use bce"),
        (lambda: cross_entropy(THREE, EVEN, smoothing=1.0), "loss.smoothing is 1.0"),
        (lambda: focal(NUMBER, np.ones(0)), "use mse"),
        (lambda: focal(THREE, EVEN, gamma=-1.0), "loss.gamma is -1.0"),
        (lambda: focal(LABELS, np.ones(2), weights="balanced"), "use alpha"),
        (lambda: bce(NUMBER, np.ones(0), 10), "use mse"),
        (lambda: bce(LABELS, HALF, 10, pos_weight=0.0), "loss.pos_weight is 0.0"),
        (lambda: mse(THREE), "label is multiclass"),
    ],
)
def test_what_a_loss_refuses(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make()


def test_losses_of_half_precision_outputs_are_float32() -> None:
    targets = torch.tensor([0, 1])
    for loss in (cross_entropy(THREE, EVEN), focal(THREE, EVEN), bce(THREE, EVEN, 30)):
        losses = loss(logits(2, 3).bfloat16(), targets)
        assert losses.shape == (2,) and losses.dtype == torch.float32
