from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from comp.api import PluginError
from comp.plugins.ensemble.swa import swa


def weights(value: float, count: int = 0) -> dict[str, torch.Tensor]:
    return {"a": torch.full((2,), value), "batches": torch.tensor(count)}


def finish(gatherer):
    return gatherer.finish(lambda _: pytest.fail("it chooses nothing"), lambda given: {**given, "renewed": torch.ones(1)})


def test_the_last_quarter_of_the_epochs_is_averaged_and_its_norms_renewed() -> None:
    gatherer = swa(8)
    for epoch in range(8):
        gatherer.gather(epoch, weights(float(epoch * epoch), epoch), None)
    mean, epochs = finish(gatherer)
    assert mean["a"].tolist() == [(36 + 49) / 2] * 2 and mean["batches"] == 7 and "renewed" in mean
    assert epochs == [6, 7] and not gatherer.chooses


def test_it_is_torchs_average() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    theirs, ours = AveragedModel(network, use_buffers=True), swa(5, start=0.0)
    for epoch in range(5):
        for parameter in network.parameters():
            nn.init.normal_(parameter)
        network(torch.randn(6, 3))
        theirs.update_parameters(network)
        ours.gather(epoch, copy.deepcopy(network.state_dict()), None)
    mean, _ = finish(ours)
    for name, value in theirs.module.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(mean[name], value, atol=1e-6), name


def test_one_epoch_is_always_averaged_unless_the_fold_ends_before() -> None:
    gatherer = swa(1, start=0.99)
    gatherer.gather(0, weights(3.0), None)
    assert finish(gatherer)[1] == [0]
    early = swa(8)
    early.gather(5, weights(1.0), None)
    assert finish(early) is None


def test_its_state_goes_on() -> None:
    whole, first, second = swa(4, start=0.0), swa(4, start=0.0), swa(4, start=0.0)
    for epoch in range(4):
        whole.gather(epoch, weights(epoch / 3), None)
    for epoch in range(2):
        first.gather(epoch, weights(epoch / 3), None)
    second.load(copy.deepcopy(first.state()))
    for epoch in (2, 3):
        second.gather(epoch, weights(epoch / 3), None)
    assert torch.equal(finish(second)[0]["a"], finish(whole)[0]["a"]) and second.epochs == [0, 1, 2, 3]


@pytest.mark.parametrize("start", [1.0, -0.1])
def test_what_it_refuses(start) -> None:
    with pytest.raises(PluginError, match=f"ensemble.start is {start}"):
        swa(4, start=start)
