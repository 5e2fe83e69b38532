"""The average of the weights is timm's, gathered once."""

from __future__ import annotations

import torch
from timm.utils import ModelEmaV3
from torch import nn

from comp.engine.average import WeightAverage


def train(network: nn.Module, *averages: ModelEmaV3) -> list[torch.Tensor]:
    """Five steps; the last layer's weight after each."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(5):
        optimizer.zero_grad()
        network(torch.randn(8, 4, generator=generator)).square().mean().backward()
        optimizer.step()
        for average in averages:
            average.update(network, step)
        seen.append(network[2].weight.detach().clone())
    return seen


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))


def test_it_is_timms_average_with_a_horizon_of_a_tenth_of_the_steps() -> None:
    network = make_network()
    ours, timms = WeightAverage(network, 50), ModelEmaV3(network, decay=1 - 1 / 5, use_warmup=True)
    train(network, ours, timms)
    assert not ours.module.training
    found, expected = ours.module.state_dict(), timms.module.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    assert found["1.num_batches_tracked"] == 5 and not torch.equal(found["1.running_mean"], network[1].running_mean)


def test_by_hand() -> None:
    # timm's warm-up: decay 0 at steps 0 and 1, then 1 - step^(-2/3), up to 0.75 (a horizon of 4 of 40 steps).
    network = make_network()
    average = WeightAverage(network, 40)
    weights = train(network, average)
    decays = [0.0, 0.0, 1 - 2 ** (-2 / 3), 1 - 3 ** (-2 / 3), 1 - 4 ** (-2 / 3)]
    expected = weights[0]
    for weight, decay in zip(weights, decays, strict=True):
        expected = decay * expected + (1 - decay) * weight
    assert max(decays) < 0.75 and torch.allclose(average.module[2].weight, expected, atol=1e-6)


def test_it_follows_weights_that_were_loaded_after_it_was_made() -> None:
    network = make_network()
    average = WeightAverage(network, 50)
    network.load_state_dict({name: torch.full_like(value, 3) for name, value in network.state_dict().items()})
    average.update(network, 0)
    assert all(bool((value == 3).all()) for value in average.module.state_dict().values())
