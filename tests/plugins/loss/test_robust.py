"""symmetric, poly and asymmetric."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel
from timm.loss.poly_loss import PolyBinaryCrossEntropy, PolyCrossEntropy

from comp.api import PluginError, Target, Task
from comp.plugins.loss.asymmetric import asymmetric
from comp.plugins.loss.poly import poly
from comp.plugins.loss.symmetric import symmetric

CLASSES = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
LABELS = Task((Target("tags", "multilabel", ("x", "y", "z"), ("tags",), " "),))
OUTPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.arange(20) % 3
MARKS = (OUTPUTS.flip(0) > 0).float()


def test_symmetric_by_hand() -> None:
    # Probabilities 1/2 1/4 1/4: 0.1 * log 2, and log 0 as -4 for the half that is wrong.
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    assert symmetric(CLASSES)(outputs, torch.tensor([0])).item() == pytest.approx(0.1 * math.log(2) + 4 * 0.5)


def test_symmetric_is_the_papers_formula() -> None:
    said = torch.softmax(OUTPUTS.double(), dim=1).numpy()
    own = said[np.arange(20), TARGETS.numpy()]
    found = symmetric(CLASSES, alpha=0.7, beta=0.3, floor=-6.0)(OUTPUTS, TARGETS).numpy()
    assert found == pytest.approx(0.7 * -np.log(own) + 0.3 * 6 * (1 - own), rel=1e-4)


def test_poly_by_hand_and_timms() -> None:
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    assert poly(CLASSES, epsilon=1.0)(outputs, torch.tensor([0])).item() == pytest.approx(math.log(2) + 0.5)
    theirs = PolyCrossEntropy(epsilon=-0.5, smoothing=0.1, reduction="none")(OUTPUTS, TARGETS)
    assert torch.allclose(poly(CLASSES, epsilon=-0.5, smoothing=0.1)(OUTPUTS, TARGETS), theirs, atol=1e-6)
    theirs = PolyBinaryCrossEntropy(epsilon=1.5, smoothing=0.2, reduction="none")(OUTPUTS, MARKS).mean(dim=1)
    assert torch.allclose(poly(LABELS, epsilon=1.5, smoothing=0.2)(OUTPUTS, MARKS), theirs, atol=1e-6)


def test_asymmetric_by_hand() -> None:
    # Probabilities 3/4 (set), 1/2 (not set), 1/20 (not set, within the clip): (1/4) log 4/3; 0.45^4 * -log 0.55; nothing.
    outputs = torch.logit(torch.tensor([[0.75, 0.5, 0.05]]))
    wanted = (math.log(4 / 3) / 4 + 0.45**4 * -math.log(0.55)) / 3
    assert asymmetric(LABELS)(outputs, torch.tensor([[1.0, 0, 0]])).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("negative", "positive", "clip"), [(4.0, 1.0, 0.05), (2.0, 0.0, 0.0), (0.5, 0.5, 0.1)])
def test_asymmetric_is_timms(negative: float, positive: float, clip: float) -> None:
    theirs = AsymmetricLossMultiLabel(negative, positive, clip, reduction="none")(OUTPUTS, MARKS).mean(dim=1)
    found = asymmetric(LABELS, gamma_neg=negative, gamma_pos=positive, clip=clip)(OUTPUTS, MARKS)
    assert torch.allclose(found, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: symmetric(CLASSES, alpha=-1.0), "loss.alpha is -1.0"),
        (lambda: symmetric(CLASSES, beta=-1.0), "loss.beta is -1.0"),
        (lambda: symmetric(CLASSES, floor=0.0), "loss.floor is 0.0"),
        (lambda: poly(CLASSES, epsilon=-2.0), "loss.epsilon is -2.0"),
        (lambda: poly(CLASSES, smoothing=-0.1), "loss.smoothing is -0.1"),
        (lambda: asymmetric(LABELS, gamma_neg=-1.0), "loss.gamma_neg is -1.0"),
        (lambda: asymmetric(LABELS, gamma_pos=-1.0), "loss.gamma_pos is -1.0"),
        (lambda: asymmetric(LABELS, clip=1.0), "loss.clip is 1.0"),
    ],
)
def test_wrong_arguments(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make()
