from __future__ import annotations

import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.plugins.head.regression import regression

AGE = Target("age", "regression", (), ("age",))
TASK = Task((AGE,))
FEATURES = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def spread_out(head: torch.nn.Module) -> torch.nn.Module:
    torch.nn.init.normal_(head[1].weight, std=100.0)
    return head


@pytest.mark.parametrize("bound", ["clamp", "sigmoid"])
@pytest.mark.parametrize(("given", "first"), [({}, 50.0), ({"start": 20.0}, 20.0)])
def test_the_first_answer(bound, given, first) -> None:
    head = regression(TASK, 5, low=0.0, high=100.0, bound=bound, **given)
    assert head(FEATURES)[:, 0].tolist() == pytest.approx([first] * 6, rel=1e-5)


@pytest.mark.parametrize(("bounds", "first"), [({}, 0), ({"low": 5.0}, 5), ({"high": -1.0}, -1), ({"low": -3.0}, 0)])
def test_the_first_answer_with_a_bound_or_none(bounds, first) -> None:
    assert regression(TASK, 5, **bounds)(FEATURES)[0].item() == first


def test_clamp_cuts_in_prediction_only() -> None:
    head = spread_out(regression(TASK, 5, low=0.0, high=1.0))
    values = head(FEATURES)
    assert values.min() < 0 and values.max() > 1
    assert torch.equal(head.eval()(FEATURES), values.clamp(0, 1))
    assert spread_out(regression(TASK, 5, low=0.0)).eval()(FEATURES).min() == 0


def test_sigmoid_bends_in_training_too() -> None:
    head = regression(TASK, 5, low=-1.0, high=3.0, bound="sigmoid")
    torch.nn.init.normal_(head[1].weight)
    expected = -1 + 4 / (1 + torch.exp(-(FEATURES @ head[1].weight.T + head[1].bias)))
    assert torch.allclose(head(FEATURES), expected, atol=1e-6) and torch.equal(head(FEATURES), head.eval()(FEATURES))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "wanted low below high"),
        ({"low": 1.0, "bound": "sigmoid"}, "give head.low and head.high"),
        ({"low": 0.0, "high": 1.0, "start": 1.0}, r"head.start is 1\.0"),
        ({"dropout": -1.0}, "head.dropout is -1.0"),
    ],
)
def test_what_it_refuses(given, message) -> None:
    with pytest.raises(PluginError, match=message):
        regression(TASK, 5, **given)
    with pytest.raises(PluginError, match="label has classes or labels"):
        regression(Task((AGE, Target("label", "binary", ("0", "1"), ("label",)))), 5)
