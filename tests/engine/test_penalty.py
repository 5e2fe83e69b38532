"""A penalty: what a part of the network adds to each step's loss, once a step whatever the step is put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from comp.engine.checkpoint import load_weights
from comp.errors import PluginError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

HEAD = "head={{use: mlp, hidden: 8, dropout: 0.0, init: default, l2: {}}}"


@pytest.mark.parametrize("halves", [False, True], ids=["one batch", "two accumulated"])
def test_it_adds_twice_l2_times_the_weights_to_the_gradient_of_one_layer(desk: Desk, halves: bool) -> None:
    sets = ("train.batch_size=16", "train.accumulate=2") if halves else ()
    plain, penalised = (desk.case(HEAD.format(l2), *sets, plain=True) for l2 in (0.0, 0.25))
    without, stage = plain.gradient(plain.stage(), 1 + halves), penalised.stage()
    found = penalised.gradient(stage, 1 + halves)
    weight = stage.network.head[1].weight.detach()
    for name, gradient in without.items():
        added = 0.5 * weight if name == "head.1.weight" else torch.zeros_like(gradient)
        assert torch.allclose(found[name], gradient + added, rtol=0, atol=1e-5), name
    assert weight.abs().max() > 0.1


def test_the_reported_loss_is_that_of_the_answers(desk: Desk) -> None:
    losses = []
    for l2 in (0.0, 10.0):
        case, tale = desk.case(HEAD.format(l2), "train.epochs=1", "optimizer.lr=1e-9", plain=True), desk.tale()
        case.train(tale=tale)
        [epoch] = [event for event in tale.events if type(event).__name__ == "EpochFinished"]
        losses.append(epoch.train_loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_it_pulls_the_weights_towards_zero(desk: Desk) -> None:
    sizes = []
    for l2 in (0.0, 0.1):
        sgd = "optimizer={opt: sgd, lr: 0.1, weight_decay: 0.0}"
        case = desk.case(HEAD.format(l2), "train={epochs: 4, clip_norm: 0.0}", sgd, plain=True)
        folder, record = case.train()
        sizes.append(float(load_weights(folder / record["weights"])["head.1.weight"].square().sum()))
    assert sizes[1] < 0.8 * sizes[0]


def test_a_number_of_that_name_is_none(desk: Desk) -> None:
    case = desk.case(plain=True)
    wanted, network = case.gradient(case.stage()), case.network()
    network.head.penalty = 0.5
    found = case.gradient(case.stage(network))
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())


def test_an_ensemble_with_a_loop_of_its_own_refuses_it(desk: Desk) -> None:
    case = desk.case(HEAD.format(0.1), "ensemble={use: torchensemble, method: voting, estimators: 2}", "train.epochs=1")
    with pytest.raises(PluginError, match="adds no penalty to the loss: set head.l2: 0"):
        case.train()
