from __future__ import annotations

import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.plugins.head.mlp import mlp

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))


def test_the_penalty_is_of_the_hidden_layers_weights_alone() -> None:
    head = mlp(TASK, 4, hidden=2, l2=0.5)
    hidden = head[1]
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, -3.0, 0.0]]))
        hidden.bias.fill_(100.0)
    assert [part.penalty().item() for part in head.modules() if hasattr(part, "penalty")] == [7.0]  # 0.5 * (1 + 4 + 9)


def test_it_answers_as_without_and_starts_from_the_same_weights() -> None:
    features, heads = torch.randn(5, 4), []
    for l2 in (0.0, 0.1):
        torch.manual_seed(1)
        heads.append(mlp(TASK, 4, hidden=6, dropout=0.0, init="default", l2=l2))
    assert torch.equal(heads[0](features), heads[1](features))
    assert heads[0].state_dict().keys() == heads[1].state_dict().keys()
    assert not any(hasattr(part, "penalty") for part in heads[0].modules())


def test_a_negative_penalty_is_refused() -> None:
    with pytest.raises(PluginError, match=r"head.l2 is -0.1; wanted 0 or more"):
        mlp(TASK, 4, l2=-0.1)
