from __future__ import annotations

import pytest
import torch
from torch import nn

from comp.api import PluginError, Target, Task
from comp.plugins.head.multi_sample_dropout import multi_sample_dropout

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


def test_it_starts_at_nothing_and_predicts_as_a_linear_layer() -> None:
    head = multi_sample_dropout(TASK, 8)
    assert head(FEATURES).shape == (5, 3) and head(FEATURES).abs().max() == 0
    head = multi_sample_dropout(TASK, 8, init="default").eval()
    assert torch.equal(head(FEATURES), head.layer(FEATURES))


def test_training_averages_the_outputs_of_as_many_masks() -> None:
    head = multi_sample_dropout(TASK, 8, samples=4, dropout=0.5, init="default")
    torch.manual_seed(3)
    outputs = head(FEATURES)
    torch.manual_seed(3)
    copies = nn.functional.dropout(FEATURES.repeat(4, 1), 0.5)
    expected = torch.stack([head.layer(copy) for copy in copies.split(5)]).mean(dim=0)
    assert torch.allclose(outputs, expected, atol=1e-6)


def test_more_masks_are_less_noise() -> None:
    head, torch_seed = {n: multi_sample_dropout(TASK, 8, samples=n, init="default") for n in (1, 16)}, 0
    head[16].load_state_dict(head[1].state_dict())
    torch.manual_seed(torch_seed)
    spread = {n: torch.stack([one(FEATURES) for _ in range(200)]).std(dim=0).mean().item() for n, one in head.items()}
    assert spread[16] == pytest.approx(spread[1] / 4, rel=0.15)


@pytest.mark.parametrize(("given", "message"), [({"samples": 0}, "head.samples is 0"), ({"dropout": 1.0}, "head.dropout is 1.0")])
def test_what_it_refuses(given, message) -> None:
    with pytest.raises(PluginError, match=message):
        multi_sample_dropout(TASK, 8, **given)
