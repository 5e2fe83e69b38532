from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from comp.api import PluginError, Target, Task
from comp.plugins.loss.ldam import ldam

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))
COUNTS = np.array([16.0, 1.0])


def test_by_hand() -> None:
    # Margins: the rarest 0.5, sixteen times as frequent half of it. Equal logits: log(1 + e^margin).
    losses = ldam(TASK, COUNTS)(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(0.25)), math.log(1 + math.exp(0.5))])


def test_it_is_the_papers_code_on_cosines() -> None:
    counts = np.array([100.0, 30.0, 5.0, 1.0])
    task = Task((Target("label", "multiclass", tuple("abcd"), ("label",)),))
    cosines = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    targets = torch.arange(20) % 4
    margins = 1 / np.sqrt(np.sqrt(counts))
    margins = torch.tensor(margins * (0.5 / margins.max()), dtype=torch.float32)
    lowered = torch.where(F.one_hot(targets, 4).bool(), cosines - margins[targets][:, None], cosines)
    wanted = F.cross_entropy(30 * lowered, targets, reduction="none")
    assert torch.allclose(ldam(task, counts, scale=30.0)(30 * cosines, targets), wanted, atol=1e-4)


def test_deferred_weights_are_1_on_average_and_a_class_without_rows_has_no_say() -> None:
    task = Task((Target("label", "multiclass", tuple("abc"), ("label",)),))
    counts = np.array([9.0, 1.0, 0.0])
    plain, weighed = ldam(task, counts, max_m=0.0), ldam(task, counts, max_m=0.0, weights="effective")
    targets = torch.tensor([0] * 9 + [1])
    assert weighed(torch.zeros(10, 3), targets).mean() == pytest.approx(plain(torch.zeros(10, 3), targets).mean())
    assert weighed(torch.zeros(1, 3), torch.tensor([2])).item() == 0


@pytest.mark.parametrize(
    ("arguments", "message"), [({"max_m": -1.0}, "loss.max_m is -1.0"), ({"scale": 0.0}, "loss.scale is 0.0")]
)
def test_wrong_arguments(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        ldam(TASK, COUNTS, **arguments)
