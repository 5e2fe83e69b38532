"""qwk, coral and smooth_l1: answers with an order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch.nn import functional as F

from comp.api import PluginError, Target, Task
from comp.plugins.loss.coral import coral
from comp.plugins.loss.qwk import qwk
from comp.plugins.loss.smooth_l1 import smooth_l1

GRADES = Task((Target("grade", "ordinal", ("0", "1", "2", "3"), ("grade",)),))
NUMBER = Task((Target("age", "regression", (), ("age",)),))
RNG = np.random.default_rng(0)


def test_qwk_by_hand() -> None:
    # Two classes half and half; probabilities 3/4 and 1/4 of the first: apart by 1/4 each, by chance by 1/2.
    task = Task((Target("grade", "ordinal", ("0", "1"), ("grade",)),))
    losses = qwk(task, np.array([5.0, 5.0]))(torch.log(torch.tensor([[0.75, 0.25], [0.25, 0.75]])), torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([0.5, 0.5])


def test_qwk_of_certain_answers_is_scikit_learns() -> None:
    answers, said = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    counts = np.bincount(answers, minlength=4).astype(float)
    outputs = 200 * F.one_hot(torch.as_tensor(said), 4).float()
    found = qwk(GRADES, counts)(outputs, torch.as_tensor(answers)).mean().item()
    assert found == pytest.approx(1 - cohen_kappa_score(answers, said, weights="quadratic"), abs=1e-5)


def test_qwk_wants_two_classes_with_rows() -> None:
    with pytest.raises(PluginError, match="two classes with training rows; grade has 1"):
        qwk(GRADES, np.array([5.0, 0, 0, 0]))


def test_coral_by_hand() -> None:
    # Probabilities 1/8 1/8 1/4 1/2, the answer 2: above 0 7/8, above 1 3/4, above 2 1/2.
    outputs = torch.log(torch.tensor([[0.125, 0.125, 0.25, 0.5]]))
    wanted = -math.log(7 / 8) - math.log(3 / 4) - math.log(1 / 2)
    assert coral(GRADES)(outputs, torch.tensor([2])).item() == pytest.approx(wanted, rel=1e-5)


def test_coral_is_the_sum_of_binary_cross_entropies_of_the_papers_logits() -> None:
    # Rank-consistent logits of "above k": one number per row, falling biases.
    logits = torch.randn(30, 1, generator=torch.Generator().manual_seed(0)) * 2 + torch.tensor([1.5, 0.2, -1.0])
    above = torch.cat([torch.ones(30, 1), logits.double().sigmoid(), torch.zeros(30, 1)], dim=1)
    outputs = (above[:, :-1] - above[:, 1:]).log().float()
    targets = torch.arange(30) % 4
    steps = (targets[:, None] > torch.arange(3)).float()
    wanted = F.binary_cross_entropy_with_logits(logits, steps, reduction="none").sum(dim=1)
    assert torch.allclose(coral(GRADES)(outputs, targets), wanted, atol=1e-4)


def test_smooth_l1_by_hand_and_as_the_absolute_error() -> None:
    outputs, targets = torch.tensor([[1.5], [5.0]]), torch.tensor([1.0, 1.0])
    assert smooth_l1(NUMBER)(outputs, targets).tolist() == [0.125, 3.5]
    assert smooth_l1(NUMBER, beta=0.0)(outputs, targets).tolist() == [0.5, 4.0]
    values, wanted = RNG.normal(size=20) * 3, RNG.normal(size=20)
    apart = np.abs(values - wanted)
    found = smooth_l1(NUMBER, beta=0.7)(torch.as_tensor(values)[:, None], torch.as_tensor(wanted)).numpy()
    assert found == pytest.approx(np.where(apart < 0.7, apart**2 / 1.4, apart - 0.35), rel=1e-5)
    with pytest.raises(PluginError, match="loss.beta is -1.0"):
        smooth_l1(NUMBER, beta=-1.0)
