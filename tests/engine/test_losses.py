"""Losses of a task: each target's own, on its own part of the outputs, given what the training rows hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.engine.losses import build_losses, count_classes

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

DIGIT = Target("digit", "multiclass", ("0", "1", "2"), ("digit",))
TAGS = Target("tags", "multilabel", ("a", "b"), ("tags",), " ")
SIZE = Target("size", "regression", (), ("size",))
TASK = Task((DIGIT, TAGS, SIZE))
TARGETS = {
    "digit": np.array([0, 2, 2, 2]),
    "tags": np.array([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=np.float32),
    "size": np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32),
}
CPU = torch.device("cpu")


def test_counts_are_rows_per_class_and_per_label() -> None:
    counts = count_classes(TASK, TARGETS)
    assert {name: values.tolist() for name, values in counts.items()} == {"digit": [1, 0, 3], "tags": [3, 1], "size": []}
    assert all(values.dtype == np.float64 for values in counts.values())


def test_each_target_has_its_own_loss_on_its_own_outputs(desk: Desk) -> None:
    spec = {
        "digit": {"use": "cross_entropy"},
        "tags": {"use": "bce", "pos_weight": "balanced"},
        "size": {"use": "mse"},
    }
    losses = build_losses(desk.case().manifest.catalog, spec, TASK, TARGETS, CPU)
    assert losses.links == {"digit": "softmax", "tags": "sigmoid", "size": "identity"}
    outputs = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25), 0.0, 0.0, 3.0]]).repeat(4, 1)
    found = losses(outputs, {name: torch.as_tensor(values) for name, values in TARGETS.items()})
    assert found["digit"].tolist() == pytest.approx([math.log(2)] + [math.log(4)] * 3)
    # Of 4 rows 3 have a, so that it weighs 1/3 where it is set; 1 has b, which weighs 3.
    a, b = 1 / 3, 3
    assert found["tags"].tolist() == pytest.approx([math.log(2) * weight / 2 for weight in (a + 1, a + 1, a + b, 2)])
    assert found["size"].tolist() == [4.0, 1.0, 0.0, 1.0]


def test_a_target_counts_by_its_weight(desk: Desk) -> None:
    spec = {"digit": {"use": "cross_entropy", "weight": 2.0}, "tags": {"use": "bce", "weight": 0.0}, "size": {"use": "mse"}}
    catalog = desk.case().manifest.catalog
    outputs, targets = torch.randn(4, 6), {name: torch.as_tensor(values) for name, values in TARGETS.items()}
    found = build_losses(catalog, spec, TASK, TARGETS, CPU)(outputs, targets)
    plain = build_losses(
        catalog, {name: {"use": one["use"]} for name, one in spec.items()}, TASK, TARGETS, CPU
    )(outputs, targets)  # fmt: skip
    assert torch.equal(found["digit"], 2 * plain["digit"]) and torch.equal(found["size"], plain["size"])
    assert found["tags"].tolist() == [0.0] * 4
    with pytest.raises(PluginError, match=r"loss.weight of tags is -1\.0; wanted 0 or more"):
        build_losses(catalog, {**spec, "tags": {"use": "bce", "weight": -1.0}}, TASK, TARGETS, CPU)


def test_one_loss_serves_all_targets_and_brings_its_link(desk: Desk) -> None:
    task = Task((DIGIT, TAGS))
    losses = build_losses(desk.case().manifest.catalog, {"use": "bce"}, task, TARGETS, CPU)
    assert losses.links == {"digit": "sigmoid", "tags": "sigmoid"}
    found = losses(torch.zeros(4, 5), {name: torch.as_tensor(values) for name, values in TARGETS.items()})
    assert [part.tolist() for part in found.values()] == [pytest.approx([math.log(2)] * 4)] * 2


def test_a_single_target_is_given_all_outputs(desk: Desk) -> None:
    losses = build_losses(desk.case().manifest.catalog, {"use": "cross_entropy"}, Task((DIGIT,)), TARGETS, CPU)
    outputs = torch.log(torch.tensor([[0.1, 0.2, 0.7]])).repeat(4, 1)
    found = losses(outputs, {"digit": torch.as_tensor(TARGETS["digit"])})
    assert found["digit"].exp().tolist() == pytest.approx([10, 1 / 0.7, 1 / 0.7, 1 / 0.7])


def test_a_loss_that_is_a_module_lies_on_the_device(desk: Desk) -> None:
    folder = desk.project.root / "plugins"
    folder.mkdir()
    (folder / "learnt.py").write_text(
        "import torch\nfrom comp.api import Loss, Task, plugin\n\n\nclass Learnt(torch.nn.Module):\n    link = 'identity'\n\n"
        "    def __init__(self):\n        super().__init__()\n        self.register_buffer('scale', torch.ones(1))\n\n"
        "    def forward(self, outputs, targets):\n        return outputs[:, 0] * self.scale\n\n\n"
        "@plugin('loss')\ndef learnt(task: Task, /) -> Loss:\n    \"\"\"A module.\"\"\"\n    return Learnt()\n"
    )
    losses = build_losses(desk.case().manifest.catalog, {"use": "learnt"}, Task((DIGIT,)), TARGETS, torch.device("meta"))
    assert losses.parts["digit"].scale.device.type == "meta" and losses.links == {"digit": "identity"}


def test_a_nested_loss_is_built_for_its_target_and_moves_with_it(desk: Desk) -> None:
    folder = desk.project.root / "plugins"
    folder.mkdir()
    (folder / "learnt.py").write_text(
        "import torch\nfrom comp.api import Loss, Task, plugin\n\n\nclass Learnt(torch.nn.Module):\n"
        "    def __init__(self, classes):\n        super().__init__()\n        self.register_buffer('scale', torch.ones(classes))\n\n"
        "    def forward(self, outputs, targets):\n        return (outputs * self.scale)[:, 0]\n\n\n"
        "@plugin('loss')\ndef learnt(task: Task, /) -> Loss:\n    \"\"\"A module.\"\"\"\n    return Learnt(task.target.width)\n"
    )
    spec = {"use": "sum", "parts": [{"use": "class_balanced", "base": {"use": "learnt"}}, {"use": "cross_entropy"}]}
    losses = build_losses(desk.case().manifest.catalog, spec, Task((DIGIT,)), TARGETS, torch.device("meta"))
    assert {buffer.device.type for buffer in losses.parts["digit"].buffers()} == {"meta"} and losses.links == {"digit": "softmax"}
