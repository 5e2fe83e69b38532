"""Tasks on scikit-learn's embedded digits of 8 px, which every plugin is tried on.

A plugin works for at least one of the tasks, and says why (a CompError) for the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from comp.api import Target, Task
from comp.catalog import build_catalog
from comp.checking import Checker
from comp.errors import CompError
from comp.marked import Marked, Origin, parse_yaml, unmark
from comp.source import Plugin

CATALOG = build_catalog(None)
ROWS = 60
CNN = {"use": "cnn", "widths": [4, 4], "hidden": 8, "dropout": 0.0}
CHANGED = {
    "model.timm": {"arch": "test_resnet", "pretrained": False, "drop_path_rate": None},  # no network, and small
    "model.autoencoder": {"backbone": CNN}, "model.fusion": {"backbone": CNN},
    "model.multi_image": {"backbone": CNN, "views": 3},
    "mix.cutmix": {"p": 1.0},
    "post.new_class": {"name": "2"}, "post.exclusive": {"name": "x"},
    "sampler.pk": {"classes": 2, "images": 16},
    "submission.probability": {"positive": "1"},
}  # fmt: skip
"""What is changed of an example before it is built from: sizes, and names of classes."""
NOT_BUILT = {
    "blend.compose": "joins three targets' members to a joint code: tests/plugins",
    "preprocess.bbox_crop": "reads a file: tests/plugins",
    "preprocess.face_crop": "takes a function of the user's: tests/plugins",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    """A task on the digits.

    Attributes:
        images: (N, 32, 32, 3) uint8, each pixel of a digit sixteen times.
        digits: (N,) int64, from 0 to 2.
        targets: target name -> array over the rows.
    """

    task: Task
    images: np.ndarray
    digits: np.ndarray
    targets: dict[str, np.ndarray]

    @property
    def answers(self) -> np.ndarray:
        """(N, outputs) float64 predictions that are mostly right."""
        random, parts = np.random.default_rng(0), []
        for target in self.task.targets:
            values = self.targets[target.name]
            if target.link == "softmax":
                part = np.eye(target.width)[values] * 0.6 + random.dirichlet(np.ones(target.width), ROWS) * 0.4
            elif target.link == "sigmoid":
                part = values * 0.5 + random.uniform(0, 0.5, values.shape)
            else:
                part = (values + random.normal(0, 0.1, ROWS))[:, None]
            parts.append(part)
        return np.hstack(parts)


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    images = np.rint(pixels[:ROWS].reshape(-1, 8, 8) * 15.9).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    labels, ink = labels[:ROWS].astype(np.int64), images.reshape(ROWS, -1).mean(axis=1, dtype=np.float64).astype(np.float32)
    tags = np.stack([labels == 0, labels > 0, ink > np.median(ink)], axis=1).astype(np.float32)
    of = {
        "digit": (Target("digit", "multiclass", ("0", "1", "2"), ("digit",)), labels),
        "round": (Target("round", "binary", ("0", "1"), ("round",)), (labels == 0).astype(np.int64)),
        "tags": (Target("tags", "multilabel", ("x", "y", "z"), ("x", "y", "z")), tags),
        "grade": (Target("grade", "ordinal", ("0", "1", "2"), ("grade",)), labels),
        "ink": (Target("ink", "regression", (), ("ink",)), ink / ink.std()),
    }
    colours = np.stack([images] * 3, axis=3)
    groups = [*([name] for name in of), ["digit", "round"]]
    tasks = [Task(tuple(of[name][0] for name in names)) for names in groups]
    return [Case(task, colours, labels, {target.name: of[target.name][1] for target in task.targets}) for task in tasks]


@pytest.fixture
def values(plugin: Plugin) -> dict[str, Any]:
    """The plugin's example, changed where it must be, with its defaults filled in."""
    name = f"{plugin.kind}.{plugin.name}"
    if name in NOT_BUILT or (plugin.kind == "dataset" and plugin.name != "digits"):
        pytest.skip(NOT_BUILT.get(name, "reads files: tests/plugins"))
    node, _ = parse_yaml(plugin.example, str(plugin.file))
    checker = Checker(CATALOG, Marked({}, Origin("example")))
    found = checker.check_spec((plugin.kind,), plugin.kind, unmark(node) | CHANGED.get(name, {}))
    assert not checker.faults, checker.faults
    return found


@pytest.fixture
def try_cases(cases: list[Case]) -> Callable[..., None]:
    """(use, values): calls use(values, case) for each case; one at least must not be refused."""

    def try_cases(use: Callable[[dict[str, Any], Case], None], values: dict[str, Any]) -> None:
        refused = []
        for case in cases:
            try:
                use(values, case)
            except CompError as error:
                refused.append(str(error))
        assert len(refused) < len(cases), "\n".join(refused)

    return try_cases
