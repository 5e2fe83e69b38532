from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from comp.api import PluginError, Target, Task
from comp.plugins.loss.soft_f1 import soft_f1

CLASSES = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
LABELS = Task((Target("tags", "multilabel", ("x", "y", "z"), ("tags",), " "),))
RNG = np.random.default_rng(0)


def test_by_hand() -> None:
    # a: hits 0.8, there 1, said 0.8 + 0.4: 1.6 / 2.2; b: hits 0.6, there 1, said 0.8: 1.2 / 1.8.
    outputs = torch.log(torch.tensor([[0.8, 0.2], [0.4, 0.6]]))
    task = Task((Target("label", "binary", ("a", "b"), ("label",)),))
    assert soft_f1(task)(outputs, torch.tensor([0, 1])).mean().item() == pytest.approx(1 - (1.6 / 2.2 + 1.2 / 1.8) / 2)


def test_of_certain_answers_it_is_scikit_learns_f1() -> None:
    answers, said = RNG.integers(0, 3, 60), RNG.integers(0, 3, 60)
    outputs = 200 * torch.nn.functional.one_hot(torch.as_tensor(said), 3).float()
    found = soft_f1(CLASSES)(outputs, torch.as_tensor(answers)).mean().item()
    assert found == pytest.approx(1 - f1_score(answers, said, average="macro"), abs=1e-5)
    answers, said = RNG.integers(0, 2, (40, 3)), RNG.integers(0, 2, (40, 3))
    outputs, labels = torch.as_tensor(400.0 * said - 200), torch.as_tensor(answers).float()
    found = soft_f1(LABELS)(outputs, labels).mean().item()
    assert found == pytest.approx(1 - f1_score(answers, said, average="macro"), abs=1e-5)
    found = soft_f1(LABELS, average="samples")(outputs, labels).mean().item()
    assert found == pytest.approx(1 - f1_score(answers, said, average="samples", zero_division=0), abs=1e-5)


def test_the_mean_is_over_the_classes_of_the_batch() -> None:
    outputs = 200 * torch.eye(3)[:2]
    assert soft_f1(CLASSES)(outputs, torch.tensor([0, 1])).mean().item() == pytest.approx(0, abs=1e-6)


def test_samples_are_for_label_sets() -> None:
    with pytest.raises(PluginError, match="loss.average: samples is for label sets"):
        soft_f1(CLASSES, average="samples")
