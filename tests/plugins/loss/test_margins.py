"""arcface and cosface."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.plugins.loss.arcface import arcface
from comp.plugins.loss.cosface import cosface

TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))
MANY = Task((Target("label", "multiclass", ("a", "b", "c", "d"), ("label",)),))
COSINES = torch.rand(40, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
TARGETS = torch.arange(40) % 4


def test_arcface_by_hand() -> None:
    # 60 degrees to both centres, a margin of 30: cos 90 = 0 against cos 60 = 1/2, times 2.
    loss = arcface(TASK, margin=math.pi / 6, scale=2.0)
    assert loss(torch.tensor([[1.0, 1.0]]), torch.tensor([0])).item() == pytest.approx(math.log(1 + math.e), rel=1e-5)


def test_arcface_is_the_angles_formula() -> None:
    angles, rows = np.arccos(COSINES.double().numpy()), np.arange(40)
    own, margin, scale = angles[rows, TARGETS.numpy()], 0.5, 30.0
    logits = scale * np.cos(angles)
    logits[rows, TARGETS.numpy()] = scale * np.where(
        own + margin <= math.pi, np.cos(own + margin), np.cos(own) - margin * math.sin(margin)
    )
    assert (own + margin > math.pi).any()
    wanted = np.log(np.exp(logits - logits[rows, TARGETS.numpy()][:, None]).sum(axis=1))
    assert arcface(MANY)(30 * COSINES, TARGETS).numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_cosface_by_hand_and_by_formula() -> None:
    loss = cosface(TASK, margin=0.5, scale=2.0)
    assert loss(torch.tensor([[1.0, 1.0]]), torch.tensor([0])).item() == pytest.approx(math.log(1 + math.e), rel=1e-5)
    lowered = COSINES.double().numpy().copy()
    lowered[np.arange(40), TARGETS.numpy()] -= 0.35
    own = lowered[np.arange(40), TARGETS.numpy()][:, None]
    wanted = np.log(np.exp(30 * (lowered - own)).sum(axis=1))
    assert cosface(MANY)(30 * COSINES, TARGETS).numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("make", [arcface, cosface])
def test_outputs_that_are_no_cosines_are_refused(make) -> None:
    with pytest.raises(PluginError, match=f"loss {make.__name__} wants cosines times loss.scale .30., but given an output of 31"):
        make(TASK)(torch.tensor([[31.0, 0.0]]), torch.tensor([0]))
    assert make(TASK)(torch.tensor([[30.0, -30.0]]).bfloat16(), torch.tensor([0])).item() >= 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: arcface(TASK, margin=4.0), "loss.margin is 4.0"),
        (lambda: arcface(TASK, scale=0.0), "loss.scale is 0.0"),
        (lambda: cosface(TASK, margin=2.0), "loss.margin is 2.0"),
        (lambda: cosface(TASK, scale=-1.0), "loss.scale is -1.0"),
    ],
)
def test_wrong_arguments(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make()
