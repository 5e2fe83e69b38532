"""What every loss keeps: one float32 per row, from half precision too; distributions or a refusal; its finite gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.catalog import build_catalog

CLASSES = Task((Target("label", "multiclass", ("a", "b", "c", "d"), ("label",)),))
LABELS = Task((Target("tags", "multilabel", ("x", "y", "z", "w"), ("tags",), " "),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))
COUNTS = np.array([4.0, 3.0, 2.0, 1.0])
CATALOG = build_catalog(None)
LOSSES = sorted(plugin.name for plugin in CATALOG.of_kind("loss"))
ARGUMENTS: dict[str, dict[str, Any]] = {"sum": {"parts": [{"use": "bce"}]}}
OF_CLASSES = [name for name in LOSSES if name not in ("asymmetric", "mse", "smooth_l1")]
OF_LABELS = ["asymmetric", "bce", "focal", "poly", "soft_f1", "sum"]
HARD_ONLY = ["arcface", "cosface", "ldam"]


def build(name: str, task: Task) -> Any:
    return CATALOG.build("loss", {"use": name, **ARGUMENTS.get(name, {})}, task=task, counts=COUNTS, rows=10)


def draw(rows: int, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(1)) * scale


def draw_labels(rows: int) -> torch.Tensor:
    return (draw(rows).flip(0) > 0).float()


@pytest.mark.parametrize("name", OF_CLASSES)
def test_classes_give_a_float32_per_row(name: str) -> None:
    loss, targets = build(name, CLASSES), torch.tensor([0, 1, 2, 3, 0])
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        losses = loss(draw(5).to(kind), targets)
        assert losses.shape == (5,) and losses.dtype == torch.float32 and bool(torch.isfinite(losses).all())


@pytest.mark.parametrize("name", OF_LABELS)
def test_labels_give_a_float32_per_row(name: str) -> None:
    losses = build(name, LABELS)(draw(5).bfloat16(), draw_labels(5))
    assert losses.shape == (5,) and losses.dtype == torch.float32 and bool(torch.isfinite(losses).all())


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_distribution_with_all_on_one_class_is_that_class(name: str) -> None:
    loss, outputs, targets = build(name, CLASSES), draw(5), torch.tensor([0, 1, 2, 3, 0])
    soft = torch.nn.functional.one_hot(targets, 4).float()
    if name in HARD_ONLY:
        with pytest.raises(PluginError, match=f"loss {name} wants classes, not probabilities"):
            loss(outputs, soft)
    else:
        assert torch.allclose(loss(outputs, soft), loss(outputs, targets), atol=1e-5)
        assert bool(torch.isfinite(loss(outputs, torch.full((5, 4), 0.25))).all())


@pytest.mark.parametrize("name", OF_CLASSES)
def test_the_gradient_is_finite_where_answers_are_certain(name: str) -> None:
    size = 30.0 if name in HARD_ONLY else 100.0
    for sign in (1, -1):
        outputs = (sign * size * torch.eye(4)).requires_grad_()
        build(name, CLASSES)(outputs, torch.arange(4)).sum().backward()
        assert bool(torch.isfinite(outputs.grad).all()), sign


@pytest.mark.parametrize("name", OF_LABELS)
def test_the_gradient_of_labels_is_finite_where_answers_are_certain(name: str) -> None:
    for sign in (1, -1):
        outputs = (sign * 100 * (torch.eye(4) - 0.5)).requires_grad_()
        build(name, LABELS)(outputs, torch.eye(4)).sum().backward()
        assert bool(torch.isfinite(outputs.grad).all()), sign


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_lowers_the_loss(name: str) -> None:
    task = NUMBER if name in ("mse", "smooth_l1") else LABELS if name == "asymmetric" else CLASSES
    targets = {NUMBER: torch.tensor([1.0, 2, 3]), LABELS: draw_labels(3), CLASSES: torch.tensor([0, 2, 3])}[task]
    outputs = draw(3, 0.5)[:, : task.outputs].clone().requires_grad_()
    loss = build(name, task)
    before = loss(outputs, targets).mean()
    before.backward()
    with torch.no_grad():
        assert loss(outputs - 0.01 * outputs.grad, targets).mean() < before


@pytest.mark.parametrize("name", LOSSES)
def test_a_target_of_another_kind_is_refused(name: str) -> None:
    wrong = {"mse": [CLASSES, LABELS], "smooth_l1": [CLASSES, LABELS], "asymmetric": [CLASSES, NUMBER]}
    for task in wrong.get(name, [NUMBER] if name in OF_LABELS else [NUMBER, LABELS]):
        with pytest.raises(PluginError, match=f"(label|tags|age) is {task.kind}: use"):
            build(name, task)
