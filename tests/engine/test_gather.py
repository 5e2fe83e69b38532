"""Gathering the epochs of a fold: which ensembles do, and what becomes of the last stage's network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from comp.engine.answers import Answers
from comp.engine.checkpoint import copy_state
from comp.engine.gather import Gathering, renew_norms
from comp.engine.network import freeze_parts
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.restore import restore_network
from comp.events import Notice
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def test_only_an_ensemble_without_a_loop_of_its_own_gathers(desk: Desk) -> None:
    outputs = np.zeros((2, 10))
    for sets in ((), ("ensemble={use: torchensemble}",)):
        case = desk.case(*sets)
        nothing = Gathering(case.job(), 4, None)
        nothing.add(0, nn.Linear(1, 1), 0.5)
        assert (nothing.gatherer, nothing.state(), nothing.record()) == (None, None, {})
        assert nothing.finish(case.stage(), Answers(case.job(), case.fabric, desk.tale()), outputs) is outputs
    assert Gathering(desk.case("ensemble={use: swa, start: 0.5}").job(), 4, None).gatherer.first == 2


def test_it_goes_on_from_what_was_saved(desk: Desk) -> None:
    job = desk.case("ensemble={use: swa, start: 0.0}").job()
    first = Gathering(job, 4, None)
    first.add(0, nn.Linear(1, 1), None)
    again = Gathering(job, 4, {"gathered": first.state()})
    assert again.gatherer.epochs == [0] and torch.equal(again.gatherer.mean["weight"], first.gatherer.mean["weight"])


def test_norms_are_renewed_as_torch_renews_them(desk: Desk) -> None:
    stage = desk.case("augment=[]").stage()
    ours, theirs = copy.deepcopy(stage.network), copy.deepcopy(stage.network)
    for network in (ours, theirs):
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    renew_norms(ours, stage)
    epochs = stage.context.stage["epochs"]
    loaded = stage.loader.epoch(stage.draw_order(epochs), (*stage.context.key, epochs))
    update_bn([stage.make_batch(images, rows).images for images, rows in loaded], theirs)
    before, found = stage.network.state_dict(), ours.state_dict()
    changed = [name for name, value in theirs.state_dict().items() if not torch.equal(value, before[name])]
    assert changed and all("running" in name or "num_batches" in name for name in changed)
    assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in theirs.state_dict().items())
    assert not ours.training and {m.momentum for m in ours.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_frozen_norms_keep_their_statistics(desk: Desk) -> None:
    stage = desk.case().stage()
    stage.frozen = freeze_parts(stage.network, "norm")
    average = copy.deepcopy(stage.network)
    before = copy_state(average)
    renew_norms(average, stage)
    assert all(torch.equal(value, before[name]) for name, value in average.state_dict().items())


class Means:
    """Gathers nothing, or doubles the last bias, and asks what that is worth."""

    chooses = True

    def __init__(self, found: bool) -> None:
        self.found, self.scores = found, []

    def finish(self, judge, renew):
        doubled = {name: value * 2 if name.endswith("bias") else value for name, value in self.weights.items()}
        self.scores = [judge(self.weights), judge(doubled)]
        return (renew(doubled), [0, 1]) if self.found else None


@pytest.mark.parametrize("found", [True, False])
def test_the_network_becomes_what_was_gathered_or_stays(desk: Desk, found) -> None:
    case = desk.case("ensemble={use: swa}")
    job, tale, stage = case.job(), desk.tale(), case.stage()
    object.__setattr__(stage.context, "emit", tale)
    torch.nn.init.normal_(stage.network.head[1].bias)
    gathering = Gathering(job, 4, None)
    gatherer = gathering.gatherer = Means(found)
    before = gatherer.weights = copy_state(stage.network)
    given = np.zeros((20, 10))
    outputs = gathering.finish(stage, Answers(job, case.fabric, tale), given)
    after = copy_state(stage.predictor)
    [text] = [event.text for event in tale.of(Notice)]
    assert all(isinstance(score, float) for score in gatherer.scores)
    if not found:
        assert outputs is given and gathering.record() == {} and "swa has gathered no epochs; the last one predicts" in text
        assert all(torch.equal(value, before[name]) for name, value in after.items())
        return
    assert text == "fold 0: swa of the epochs 0, 1" and len(outputs) == len(job.held_out) and outputs.any()
    assert torch.equal(after["head.1.bias"], 2 * before["head.1.bias"])
    assert gathering.record() == {"select": "swa", "scores_best": gathering.scores, "gathered": [0, 1]}
    gatherer.chooses = False
    assert gathering.record() == {"gathered": [0, 1]}


@pytest.mark.parametrize("spec", ["{use: swa, start: 0.5}", "{use: soup}"])
def test_a_fold_predicts_by_what_was_gathered(desk: Desk, spec) -> None:
    case = desk.case(f"ensemble={spec}", "train.epochs=4", "scheduler={use: torch, name: ConstantLR, factor: 1.0}")
    job = case.job()
    folder, record = case.train(job)
    assert record["gathered"] == [2, 3] if "swa" in spec else record["gathered"]
    network, _ = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    outputs = predict_views(network, case.fabric, job.held_out, {"plain": None}, PredictBatch(32, case.image.predict_size))
    assert np.array_equal(outputs["plain"], read_raw(folder / "oof.parquet").outputs)
    if "soup" in spec:
        assert record["scores"]["accuracy"] >= record["scores_last"]["accuracy"]
