from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from comp.api import PluginError, Target, Task
from comp.plugins.head.linear import linear
from comp.plugins.head.mlp import mlp
from comp.plugins.head.multilabel import multilabel
from comp.plugins.head.multitarget import multitarget

CLASSES = Target("label", "multiclass", ("a", "b", "c"), ("label",))
TAGS = Target("tags", "multilabel", ("x", "y"), ("tags",), " ")
ONE = Task((CLASSES,))
BOTH = Task((TAGS, CLASSES))
FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [linear, mlp, multitarget])
def test_a_new_head_answers_nothing_yet_but_learns(make) -> None:
    head = make(ONE, 8)
    outputs = head(FEATURES)
    assert outputs.shape == (5, 3) and outputs.abs().max() == 0
    nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0, 1])).backward()
    last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
    assert last.weight.grad.abs().max() > 0


@pytest.mark.parametrize("make", [linear, mlp, multitarget])
def test_other_starts(make) -> None:
    small = make(Task((Target("label", "multiclass", tuple("abcdefghij"), ("label",)),)), 500, init="small")
    last = [module for module in small.modules() if isinstance(module, nn.Linear)][-1]
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.1) and last.bias.abs().max() == 0
    default = make(ONE, 8, init="default")
    assert [module for module in default.modules() if isinstance(module, nn.Linear)][-1].bias.abs().max() > 0


def test_mlp_is_dense_activation_dropout_dense() -> None:
    head = mlp(ONE, 8, hidden=4, dropout=0.0, activation="silu", init="default").eval()
    inner, last = (module for module in head if isinstance(module, nn.Linear))
    assert inner.out_features == 4
    assert torch.allclose(head(FEATURES), last(nn.functional.silu(inner(FEATURES))))


def test_dropout_acts_in_training_only() -> None:
    head = linear(ONE, 8, dropout=0.5, init="default")
    torch.manual_seed(0)
    assert not torch.equal(head(FEATURES), head(FEATURES))
    head.eval()
    assert torch.equal(head(FEATURES), head(FEATURES))


def test_multilabel_starts_at_the_labels_frequencies() -> None:
    # One row with and one without each label are added to the 999.
    head = multilabel(Task((TAGS,)), 8, {"tags": np.array([899.0, 100.0])}, 999)
    assert torch.sigmoid(head(FEATURES))[0].tolist() == pytest.approx([900 / 1001, 101 / 1001])
    twice = multilabel(Task((TAGS,)), 8, {"tags": np.array([899.0, 100.0])}, 1998)
    assert torch.sigmoid(twice(FEATURES))[0].tolist() == pytest.approx([900 / 2000, 101 / 2000])


def test_multilabel_stays_finite_and_leaves_other_targets_at_zero() -> None:
    head = multilabel(BOTH, 8, {"tags": np.array([50.0, 0.0]), "label": np.array([20.0, 20.0, 10.0])}, 50)
    outputs = head(FEATURES)[0]
    assert torch.isfinite(outputs).all() and outputs[0] > 3 and outputs[1] < -3
    assert outputs[2:].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(PluginError, match="wants label sets"):
        multilabel(ONE, 8, {}, 1)


def test_multitarget_has_one_branch_per_target_in_order() -> None:
    head = multitarget(BOTH, 8, hidden=6, init="default").eval()
    tags, label = head.branches
    assert head(FEATURES).shape == (5, BOTH.outputs)
    assert torch.equal(head(FEATURES)[:, BOTH.slices["tags"]], tags(FEATURES))
    assert torch.equal(head(FEATURES)[:, BOTH.slices["label"]], label(FEATURES))
    assert [module.out_features for module in label if isinstance(module, nn.Linear)] == [6, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear(ONE, 8, dropout=1.0), "head.dropout is 1.0"),
        (lambda: mlp(ONE, 8, hidden=0), "head.hidden is 0"),
        (lambda: mlp(ONE, 8, input_dropout=-0.1), "head.input_dropout is -0.1"),
        (lambda: multitarget(ONE, 8, hidden=0), "head.hidden is 0"),
        (lambda: multilabel(BOTH, 8, {}, 1, dropout=1.5), "head.dropout is 1.5"),
    ],
)
def test_what_a_head_refuses(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make()
