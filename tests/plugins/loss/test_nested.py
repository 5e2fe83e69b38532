"""Losses around losses: sum and class_balanced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.catalog import build_catalog

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
COUNTS = np.array([6.0, 3.0, 1.0])
CATALOG = build_catalog(None)
OUTPUTS = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0] * 6 + [1] * 3 + [2])


def build(spec: dict[str, Any]) -> Any:
    return CATALOG.build("loss", spec, task=TASK, counts=COUNTS, rows=10)


def test_a_sum_is_weighted() -> None:
    parts = [{"use": "cross_entropy", "smoothing": 0.1}, {"use": "focal", "gamma": 1.0}]
    weighted = [{**parts[0], "weight": 2.0}, {**parts[1], "weight": 0.5}]
    wanted = 2.0 * build(parts[0])(OUTPUTS, TARGETS) + 0.5 * build(parts[1])(OUTPUTS, TARGETS)
    assert torch.allclose(build({"use": "sum", "parts": weighted})(OUTPUTS, TARGETS), wanted)
    wanted = build(parts[0])(OUTPUTS, TARGETS) + build(parts[1])(OUTPUTS, TARGETS)
    assert torch.allclose(build({"use": "sum", "parts": parts})(OUTPUTS, TARGETS), wanted)


def test_a_sum_reads_the_outputs_as_its_parts_do() -> None:
    assert build({"use": "sum", "parts": [{"use": "bce"}]}).link == "sigmoid"
    assert build({"use": "sum", "parts": [{"use": "poly"}]}).link == "softmax"
    with pytest.raises(PluginError, match="bce as sigmoid, focal as softmax"):
        build({"use": "sum", "parts": [{"use": "bce"}, {"use": "focal"}]})


def test_a_sum_of_modules_is_a_module_that_holds_them() -> None:
    inner = {"use": "class_balanced"}
    assert len(list(build({"use": "sum", "parts": [inner, {"use": "focal"}]}).modules_among)) == 1


def test_class_balanced_is_the_base_by_effective_numbers() -> None:
    for base in ({"use": "poly"}, {"use": "focal", "gamma": 1.0}):
        losses = build({"use": "class_balanced", "base": base, "beta": 0.9})(OUTPUTS, TARGETS)
        factors = (1 - 0.9) / (1 - 0.9**COUNTS)
        factors *= 10 / (factors @ COUNTS)
        assert losses.numpy() == pytest.approx(build(base)(OUTPUTS, TARGETS).numpy() * factors[TARGETS.numpy()], rel=1e-5)
    own = build({"use": "class_balanced", "beta": 0.9})(OUTPUTS, TARGETS)
    assert torch.allclose(own, build({"use": "cross_entropy", "weights": "effective", "beta": 0.9})(OUTPUTS, TARGETS))
    assert build({"use": "class_balanced", "base": {"use": "bce"}}).link == "sigmoid"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"use": "sum", "parts": []}, "loss.parts is empty"),
        ({"use": "sum", "parts": [{"use": "focal", "weight": -1.0}, {"use": "poly"}]}, "loss.parts.0.weight is -1.0"),
        ({"use": "class_balanced", "base": {"use": "focal", "weight": 2.0}}, "give it to class_balanced itself"),
        ({"use": "class_balanced", "base": {"use": "focal", "weights": "sqrt"}}, "loss.base.weights is sqrt"),
        ({"use": "class_balanced", "beta": 1.0}, "loss.beta is 1.0"),
    ],
)
def test_wrong_arguments(spec, message) -> None:
    with pytest.raises(PluginError, match=message):
        build(spec)
