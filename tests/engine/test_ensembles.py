"""Ensembles that own their loop: fed by the kit, told like any fold, and restored from what they leave."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine.answers import build_views
from comp.engine.ensembles import EnsembleNetwork, draw_again, member_maker, open_precision, pass_batches
from comp.engine.network import Network
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.restore import restore_network
from comp.errors import PluginError, RunError, RunInterrupted
from comp.events import EpochFinished, FoldFinished, Notice
from comp.predictions import link_outputs, read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

VOTING = ("ensemble={use: torchensemble, method: voting, estimators: 2}", "train.epochs=2")
SNAPSHOT = ("ensemble={use: torchensemble, method: snapshot, estimators: 2}", "train.epochs=2")


@pytest.mark.parametrize(("sets", "passes"), [(VOTING, 4), (SNAPSHOT, 2)], ids=["voting", "snapshot"])
def test_a_fold_of_an_ensemble_predicts_and_is_restored_bit_for_bit(desk: Desk, sets, passes) -> None:
    case, tale = desk.case(*sets, "tta=[{use: hflip}]"), desk.tale()
    job = case.job()
    folder, record = case.train(job, tale)
    told = tale.of(EpochFinished)
    assert [(event.epoch, event.epochs) for event in told] == [(number, passes) for number in range(passes)]
    assert all(np.isfinite(event.train_loss) and event.train_loss > 0 for event in told)
    assert told[-1].scores == record["scores"] == tale.of(FoldFinished)[0].scores and told[0].scores == {}
    assert (record["epochs"], record["best_epoch"], record["weights"]) == (passes, passes - 1, "last.safetensors")
    assert sorted(case.files(folder)) == ["last.safetensors", "oof.parquet", "test.parquet"]

    network, links = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    views = {"plain": None, **build_views(case.manifest, case.image)}
    outputs = predict_views(network, case.fabric, job.held_out, views, PredictBatch(32, case.image.predict_size))
    raw = read_raw(folder / "oof.parquet")
    for view in views:
        assert np.array_equal(outputs[view], raw.outputs[raw.views == view]), view
    members = [predict_views(member_of(network, number), case.fabric, job.held_out, {"plain": None}, PredictBatch(32, (16, 16)))
               for number in range(2)]  # fmt: skip
    mean = np.mean([link_outputs(member["plain"], case.task, links) for member in members], axis=0)
    assert np.allclose(link_outputs(outputs["plain"], case.task, links), mean, atol=1e-6)
    assert not np.allclose(members[0]["plain"], members[1]["plain"], atol=1e-6)


def member_of(network: EnsembleNetwork, number: int) -> Network:
    return network.members.members[number]


def test_it_gives_the_same_bits_again(desk: Desk) -> None:
    case = desk.case(*VOTING)
    first, _ = case.train()
    torch.rand(5)
    assert case.files(first) == case.files(case.train()[0])


def test_members_start_apart_and_leave_the_draws_alone(desk: Desk) -> None:
    case = desk.case("head={use: linear, init: small}")
    job, stage = case.job(), case.stage()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make = member_maker(job, case.fabric, stage)
    first, second = make(), make()
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(first.head[1].weight, second.head[1].weight)
    again = member_maker(job, case.fabric, stage)()
    assert torch.equal(first.head[1].weight, again.head[1].weight)


def test_passes_are_shuffled_and_augmented_each_by_its_number(desk: Desk) -> None:
    stage = desk.case().stage()
    batches = pass_batches(stage)
    first, again, second = ([*batches(number)] for number in (0, 0, 1))
    assert len(first) == stage.batches == 7 and sum(len(batch.weights) for batch in first) == 100
    assert all(torch.equal(one.images, two.images) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0].targets["label"], second[0].targets["label"])
    assert sorted(torch.cat([batch.targets["label"] for batch in second]).tolist()) == sorted(stage.rows.targets["label"])


def test_rows_are_drawn_with_replacement_the_same_in_all_passes_of_a_draw(desk: Desk) -> None:
    stage = desk.case().stage()
    drawn = [draw_again(stage, draw) for draw in (0, 1)]
    assert all(len(rows) == 100 and 50 < len(set(rows.tolist())) < 75 for rows in drawn), "about 63 of 100 are drawn"
    assert not np.array_equal(*drawn)
    passes = [torch.cat([batch.targets["label"] for batch in pass_batches(stage)(number, 0)]) for number in (0, 1)]
    expected = sorted(stage.rows.targets["label"][drawn[0]].tolist())
    assert [sorted(labels.tolist()) for labels in passes] == [expected] * 2 and not torch.equal(*passes)
    sampled = desk.case("sampler={use: imbalanced}").stage()
    with pytest.raises(PluginError, match="sampler 'imbalanced' would choose others"):
        next(pass_batches(sampled)(0, 0))


def test_an_ensemble_is_told_what_images_were_normalised_with(desk: Desk, monkeypatch) -> None:
    given = []
    monkeypatch.setattr("comp.engine.ensembles.EnsembleJob", lambda **job: given.append(job) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        desk.case(*VOTING, "image.mean=[0.5, 0.25, 0.4]", "image.std=[0.5, 0.2, 0.1]", "image.channels=3").train()
    assert given[0]["mean"] == pytest.approx((0.5, 0.25, 0.4)) and given[0]["std"] == pytest.approx((0.5, 0.2, 0.1))


def test_a_stop_ends_the_fold_which_starts_anew(desk: Desk) -> None:
    case = desk.case(*VOTING)
    asked = iter([False] * 6 + [True] * 99)
    job = case.job(stop=lambda: next(asked))
    with pytest.raises(RunInterrupted) as caught:
        case.train(job)
    assert caught.value.lost == "fold 0 starts anew, because an ensemble's own loop cannot be resumed"
    assert not list(job.folder.iterdir())


def test_a_loss_that_is_no_number_is_an_error(desk: Desk) -> None:
    case = desk.case(*VOTING, "optimizer={use: timm, opt: sgd, lr: 1.0e+20, weight_decay: 0.0}", "train.clip_norm=0")
    with pytest.raises(RunError, match=r"fold 0, pass 0, batch \d of 5: the training loss is (nan|inf)"):
        case.train()


def test_gradients_are_clipped_as_the_manifest_says(desk: Desk) -> None:
    files = [desk.case(*VOTING, f"train.clip_norm={norm}") for norm in ("0", "1.0e+9", "0.01")]
    free, wide, tight = (case.files(case.train()[0])["last.safetensors"] for case in files)
    assert free == wide != tight


def test_bf16_is_used_where_asked(desk: Desk, monkeypatch) -> None:
    seen = set()
    forward = Network.forward

    def note(self: Network, images: torch.Tensor) -> torch.Tensor:
        outputs = forward(self, images)
        seen.add((self.training, outputs.dtype))
        return outputs

    monkeypatch.setattr(Network, "forward", note)
    case = desk.case(*VOTING, "train.precision=bf16")
    folder, _ = case.train()
    assert seen == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert read_raw(folder / "oof.parquet").outputs.dtype == np.float32


def test_fp16_wants_a_scaler_in_the_loop_so_fp32_is_used_and_said(desk: Desk) -> None:
    tale = desk.tale()
    fabric = SimpleNamespace(strategy=SimpleNamespace(precision=SimpleNamespace(precision="16-mixed")))
    context = open_precision(fabric, "0", tale)
    assert isinstance(context, nullcontext) and "trains in fp32" in tale.of(Notice)[0].text


def test_images_are_prepared_as_the_members_want_wherever_the_ensemble_lies(desk: Desk) -> None:
    case = desk.case("image.mean=0.2", "image.std=0.4")
    network = case.network()
    together = EnsembleNetwork(torch.nn.ModuleList([case.network()]), network)
    images = torch.randint(0, 256, (2, 4, 4, 1), dtype=torch.uint8)
    assert torch.equal(together.prepare(images), network.prepare(images))
    assert together.to("meta").scale.device.type == "meta" and network.scale.device.type == "cpu"
    assert not {"scale", "shift"} & together.state_dict().keys()
