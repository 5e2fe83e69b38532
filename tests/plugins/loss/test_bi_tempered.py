from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch.nn import functional as F

from comp.api import PluginError, Target, Task
from comp.plugins.loss.bi_tempered import bi_tempered

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
OUTPUTS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.arange(12) % 3


def log_t(x, t):
    return np.log(x) if t == 1 else (x ** (1 - t) - 1) / (1 - t)


def exp_t(x, t):
    return np.exp(x) if t == 1 else np.maximum(1 + (1 - t) * x, 0) ** (1 / (1 - t))


def work_out(logits, answers, t1, t2):
    """Amid et al., eq. 4 and 5, the normaliser by bisection; in float64."""
    losses = []
    for row, answer in zip(logits.double().numpy(), answers.double().numpy(), strict=True):
        normaliser = brentq(lambda shift, row=row: exp_t(row - shift, t2).sum() - 1, row.max(), row.max() + 1000, xtol=1e-12)
        said = exp_t(row - normaliser, t2)
        gains = [y * (log_t(y, t1) - log_t(p, t1)) if y else 0.0 for y, p in zip(answer, said, strict=True)]
        losses.append(sum(gains) - ((answer ** (2 - t1) - said ** (2 - t1)) / (2 - t1)).sum())
    return np.array(losses)


def test_by_hand() -> None:
    # Equal logits: 1/3 each. t1 = 0: 1 * (log_0(1) - log_0(1/3)) - (1 - 3/9) / 2 = 2/3 - 1/3.
    assert bi_tempered(TASK, t1=0.0, t2=2.0)(torch.zeros(1, 3), torch.tensor([0])).item() == pytest.approx(1 / 3)


def test_cross_entropy_at_temperatures_of_1() -> None:
    wanted = F.cross_entropy(OUTPUTS, TARGETS, reduction="none")
    assert torch.allclose(bi_tempered(TASK, t1=1.0, t2=1.0)(OUTPUTS, TARGETS), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("t1", "t2", "smoothing"), [(0.8, 1.2, 0.0), (0.2, 1.5, 0.1), (0.5, 4.0, 0.0), (1.0, 1.4, 0.0), (0.8, 1.0, 0.3)]
)
def test_against_the_papers_formulas(t1: float, t2: float, smoothing: float) -> None:
    answers = F.one_hot(TARGETS, 3) * (1 - smoothing) + smoothing / 3
    found = bi_tempered(TASK, t1=t1, t2=t2, smoothing=smoothing)(OUTPUTS, TARGETS)
    assert found.numpy() == pytest.approx(work_out(OUTPUTS, answers, t1, t2), abs=2e-4)


def test_the_normaliser_converges_with_many_classes() -> None:
    task = Task((Target("label", "multiclass", tuple(map(str, range(1000))), ("label",)),))
    outputs = torch.randn(4, 1000, generator=torch.Generator().manual_seed(1)) * 2
    targets = torch.tensor([1, 5, 900, 3])
    wanted = work_out(outputs, F.one_hot(targets, 1000), 0.8, 2.0)
    assert bi_tempered(task, t2=2.0)(outputs, targets).numpy() == pytest.approx(wanted, abs=1e-3)


def test_the_gradient_is_that_of_differences() -> None:
    loss, answers = bi_tempered(TASK, t1=0.5, t2=1.5), F.one_hot(TARGETS, 3)
    outputs = OUTPUTS.clone().requires_grad_()
    loss(outputs, TARGETS).sum().backward()
    step = 1e-4
    for column in range(3):
        shift = torch.zeros(12, 3, dtype=torch.float64)
        shift[:, column] = step
        up, down = work_out(OUTPUTS + shift, answers, 0.5, 1.5), work_out(OUTPUTS - shift, answers, 0.5, 1.5)
        assert outputs.grad[:, column].numpy() == pytest.approx((up - down) / (2 * step), abs=1e-4)


def test_a_row_costs_no_more_than_its_bound() -> None:
    # As the right class's probability goes to 0: 1 / (1 - t1) - 1 / (2 - t1) + 1 / (2 - t1), about 5 at t1 = 0.8.
    losses = bi_tempered(TASK, t1=0.8, t2=1.0)(torch.tensor([[0.0, 100.0, 0.0]]), torch.tensor([0]))
    assert losses.item() == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"t1": 1.1}, "loss.t1 is 1.1"), ({"t2": 0.9}, "loss.t2 is 0.9"), ({"smoothing": 1.0}, "loss.smoothing is 1.0")],
)
def test_wrong_arguments(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        bi_tempered(TASK, **arguments)
