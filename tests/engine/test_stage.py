"""A stage: what one optimizer step is made of, whatever batches, accumulation, memory and freezing it is put together from."""

from __future__ import annotations

import itertools
import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from comp.api import Target, Task
from comp.engine.checkpoint import Progress
from comp.engine.network import Network
from comp.engine.stage import LOSS, Stage
from comp.errors import PluginError, RunError, RunInterrupted
from comp.events import Notice, StepFinished

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def assert_close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys() and one
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=0, atol=1e-6), name
    assert max(gradient.abs().max() for gradient in one.values()) > 1e-2


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch, *, calls: tuple[int, ...] = (), more_than: int | None = None) -> list[int]:
    """Raise on these calls of the network's forward (from 0), or on more images than that; returns the sizes that were seen."""
    sizes: list[int] = []
    forward = Network.forward

    def failing(self: Network, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(sizes) - 1 in calls or (more_than is not None and len(images) > more_than):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", failing)
    return sizes


def snapshot(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


# ---- the gradient --------------------------------------------------------------------------------------------------------


def test_one_batch_gives_the_gradient_of_a_bare_loop(desk: Desk) -> None:
    case = desk.case("loss.smoothing=0.0", plain=True)
    bare = case.network()
    images = torch.from_numpy(case.rows.store.take(case.rows.positions[:32])).permute(0, 3, 1, 2) / 255
    targets = torch.as_tensor(case.rows.targets["label"][:32])
    F.cross_entropy(bare((images - 0.5) / 0.5), targets).backward()
    assert_close(case.gradient(case.stage()), {name: weight.grad for name, weight in bare.named_parameters()})


def test_two_accumulated_batches_of_16_give_the_gradient_of_one_of_32(desk: Desk) -> None:
    whole = desk.case(plain=True)
    halves = desk.case("train.batch_size=16", "train.accumulate=2", plain=True)
    assert_close(whole.gradient(whole.stage()), halves.gradient(halves.stage(), 2))


def test_the_last_group_of_an_epoch_counts_its_rows_alone(desk: Desk) -> None:
    # 40 rows: a group of 2 x 16, then one of 8.
    case = desk.case("train.batch_size=16", "train.accumulate=2", plain=True, size=40)
    stage = case.stage()
    assert (stage.batches, stage.steps) == (3, 2)
    tail = desk.case("train.batch_size=8", plain=True, size=40)
    wanted = tail.stage(rows=tail.rows.take(np.arange(32, 40)))
    assert_close(tail.gradient(wanted), last_gradient(stage))


def last_gradient(stage: Stage) -> dict[str, torch.Tensor]:
    found: list[dict[str, torch.Tensor]] = []

    def take(progress: Progress) -> None:
        found.append({name: weight.grad.clone() for name, weight in stage.network.named_parameters()})
        stage.network.zero_grad()

    stage.update = take  # type: ignore[method-assign]
    progress = Progress()
    for images, rows in stage.loader.epoch(np.arange(len(stage.rows)), (0,)):
        stage.train_batch(images, rows, progress)
        progress.batch += 1
    assert len(found) == 2
    return found[-1]


def test_a_steps_gradient_is_clipped_or_not(desk: Desk) -> None:
    def norm(clip: str) -> float:
        stage = desk.case(f"train.clip_norm={clip}", "optimizer={use: timm, opt: adamw}", plain=True).stage()
        norms: list[float] = []
        stage.optimizer.register_step_pre_hook(
            lambda optimizer, *_: norms.append(
                math.sqrt(sum(float((w.grad**2).sum()) for group in optimizer.param_groups for w in group["params"]))
            )
        )
        stage.train_epoch(Progress())
        return norms[0]

    free = norm("0")
    assert free > 0.1 and norm("1000") == pytest.approx(free) and norm("0.05") == pytest.approx(0.05, rel=1e-4)


def test_a_mixed_image_has_both_targets_by_its_share(desk: Desk) -> None:
    case = desk.case("mix={use: mixup, alpha: 1.0}", "loss.smoothing=0.0", plain=True)
    stage = case.stage()
    images, rows = next(stage.loader.epoch(np.arange(len(stage.rows)), (0,)))
    ((result,),) = [stage.train_batch(images, rows, Progress())]
    network, targets = case.network(), torch.as_tensor(case.rows.targets["label"])[rows]
    seed = stage_seed(stage)
    mixed = stage.mix(network.prepare(images), torch.Generator().manual_seed(seed))
    outputs = network(mixed.images).log_softmax(dim=1)
    own, theirs = (-outputs[torch.arange(len(rows)), wanted] for wanted in (targets, targets[mixed.partner]))
    expected = (mixed.share * own + (1 - mixed.share) * theirs).mean()
    loss, count = result[LOSS]
    assert count == len(rows) and loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert not torch.equal(targets, targets[mixed.partner]) and 0 < mixed.share.min() < 0.5 < mixed.share.max() < 1


def stage_seed(stage: Stage) -> int:
    from comp.engine.randomness import derive_seed

    return derive_seed(*stage.context.key, 0, 0, "step")


def test_several_targets_losses_are_averaged_and_each_is_told(desk: Desk) -> None:
    task = Task((Target("digit", "multiclass", tuple("0123456789"), ("digit",)), Target("odd", "binary", ("0", "1"), ("odd",))))
    answers = (task, lambda digits: {"digit": digits, "odd": digits % 2})
    case = desk.case("loss.smoothing=0.0", "head={use: multitarget, init: zero}", plain=True, answers=answers, size=64)
    stage, progress = case.stage(), Progress()
    stage.update = lambda progress: None  # type: ignore[method-assign]
    stage.train_epoch(progress)
    # A new head answers 0 for everything.
    assert progress.part_sums == pytest.approx({"digit": 64 * math.log(10), "odd": 64 * math.log(2)}, rel=1e-5)
    assert progress.loss_sum == pytest.approx(32 * (math.log(10) + math.log(2)), rel=1e-5) and progress.rows == 64


# ---- out of memory -------------------------------------------------------------------------------------------------------


def test_after_running_out_of_memory_halves_give_the_same_gradient_and_it_is_said(desk: Desk, monkeypatch) -> None:
    case, tale = desk.case(plain=True), desk.tale()
    whole = case.gradient(case.stage())
    sizes = run_out_of_memory(monkeypatch, calls=(0,))
    assert_close(whole, case.gradient(case.stage(tale=tale)))
    assert sizes == [32, 16, 16]
    (notice,) = tale.of(Notice)
    assert notice.level == "warning" and "out of memory; going on with micro-batches of 16 (batches of 32)" in notice.text


def test_out_of_memory_within_a_group_keeps_the_batches_before(desk: Desk, monkeypatch) -> None:
    case = desk.case("train.batch_size=16", "train.accumulate=2", plain=True)
    whole = case.gradient(case.stage(), 2)
    sizes = run_out_of_memory(monkeypatch, calls=(1,))
    assert_close(whole, case.gradient(case.stage(), 2))
    assert sizes == [16, 16, 8, 8, 8, 8], "the group's first batch is counted once, anew"


def test_micro_batches_are_never_empty(desk: Desk, monkeypatch) -> None:
    # Batches of 32 and a last one of 3; four images are too many.
    case = desk.case(plain=True, size=35)
    stage, progress = case.stage(), Progress()
    sizes = run_out_of_memory(monkeypatch, more_than=4)
    stage.train_epoch(progress)
    assert sizes == [32, 16, 8, *[4] * 8, 3] and stage.micro_rows == 4
    assert math.isfinite(progress.loss_sum) and progress.rows == 35


def test_one_image_that_does_not_fit_is_an_error(desk: Desk, monkeypatch) -> None:
    stage = desk.case(plain=True).stage()
    run_out_of_memory(monkeypatch, more_than=0)
    with pytest.raises(RunError, match="does not hold one training image; lower image.size"):
        stage.train_epoch(Progress())


# ---- what learns ---------------------------------------------------------------------------------------------------------


def train_stage(desk: Desk, *sets: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Stage]:
    stage = desk.case(*sets).stage()
    before = snapshot(stage.network)
    stage.train_epoch(Progress())
    return before, snapshot(stage.network), stage


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_without_freezing_everything_changes(desk: Desk) -> None:
    before, after, _ = train_stage(desk)
    assert changed(before, after) == set(before)


def test_a_frozen_backbone_changes_neither_weights_nor_statistics(desk: Desk) -> None:
    before, after, stage = train_stage(desk, "stages=[{name: head, epochs: 1, freeze: backbone}]")
    moved = changed(before, after)
    assert moved == {name for name in before if name.startswith("head.")}
    assert any("running_mean" in name for name in before)
    assert {id(weight) for group in stage.optimizer.param_groups for weight in group["params"]} == {
        id(weight) for weight in stage.network.head.parameters()
    }


def test_a_frozen_norm_keeps_its_weights_and_statistics_while_the_rest_learns(desk: Desk) -> None:
    before, after, stage = train_stage(desk, "stages=[{name: all, epochs: 1, freeze: norm}]")
    norms = {
        f"backbone.{name}.{key}"
        for name, module in stage.network.backbone.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for key in module.state_dict()
    }
    assert len(norms) == 10 and changed(before, after) == set(before) - norms


def test_the_average_predicts_where_there_is_one(desk: Desk) -> None:
    _, raw, stage = train_stage(desk, "train.ema=true")
    averaged = snapshot(stage.predictor)
    assert stage.predictor is stage.ema.module and changed(raw, averaged)
    _, raw, stage = train_stage(desk, "train.ema=auto")
    assert stage.ema is None and stage.predictor is stage.network, "10 steps are too few"
    assert desk.case("train.ema=auto", "train.epochs=100").stage().ema is not None


# ---- the epoch -----------------------------------------------------------------------------------------------------------


def test_an_epochs_order_comes_from_its_key(desk: Desk) -> None:
    stage = desk.case().stage()
    first, again, second = stage.draw_order(0), stage.draw_order(0), stage.draw_order(1)
    assert sorted(first) == list(range(100)) and np.array_equal(first, again) and not np.array_equal(first, second)


def test_a_last_batch_of_one_row_is_left_out(desk: Desk) -> None:
    # 97 = 6 x 16 + 1: batch norm could not train on it where the map is one pixel wide.
    stage, progress = desk.case(size=97).stage(), Progress()
    stage.train_epoch(progress)
    assert (stage.batches, progress.batch, progress.rows) == (6, 6, 96)
    assert len(desk.case("train.batch_size=1", plain=True, size=3).stage().draw_order(0)) == 3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda epoch: np.arange(5.0), r"answered float64 of shape \(5,\); wanted \(M,\) int64 positions of the 100"),
        (lambda epoch: np.arange(101), "wanted"),
        (lambda epoch: np.arange(20 + epoch), "answered 21 rows for epoch 1 and 20 for epoch 0"),
    ],
)
def test_a_samplers_wrong_answer_is_named(desk: Desk, draw, message) -> None:
    stage = desk.case().stage()
    epochs = itertools.count()
    stage.sampler, stage.epoch_rows = (lambda generator: draw(next(epochs))), None
    with pytest.raises(PluginError, match=f"sampler 'none'.*{message}"):
        stage.epoch_rows = len(stage.draw_order(0))
        stage.draw_order(1)


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_saved(desk: Desk) -> None:
    stage = desk.case("optimizer={use: timm, opt: sgd, lr: 1.0e+20}", "train.clip_norm=0", plain=True).stage()
    progress = Progress()
    with pytest.raises(RunError, match=r"fold 0, epoch 0, batch 2 of 4: the training loss is (nan|inf) .*lower optimizer.lr"):
        stage.train_epoch(progress)
    assert (progress.epoch, progress.updates) == (0, 1)


def test_a_stop_waits_for_the_end_of_an_optimizer_step(desk: Desk) -> None:
    stage = desk.case("train.accumulate=3").stage()
    stage.context = replace(stage.context, stop=lambda: True)
    progress = Progress()
    with pytest.raises(RunInterrupted):
        stage.train_epoch(progress)
    assert (progress.batch, progress.updates, progress.rows) == (3, 1, 48)
    assert progress.loss_sum == pytest.approx(progress.part_sums["label"]) and progress.loss_sum > 0


def test_the_last_tick_of_an_epoch_says_its_loss(desk: Desk) -> None:
    tale = desk.tale()
    stage, progress = desk.case().stage(tale=tale), Progress()
    stage.train_epoch(progress)
    last = tale.of(StepFinished)[-1]
    assert (last.step, last.steps, last.epoch) == (7, 7, 0) and last.loss == pytest.approx(progress.loss_sum / 100)


def test_the_learning_rate_follows_the_schedule_by_optimizer_steps(desk: Desk) -> None:
    case = desk.case("scheduler={use: cosine, warmup: 0.0}", "train.accumulate=4", "train.epochs=3", "optimizer.lr=0.01")
    stage, rates = case.stage(), []
    stage.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    progress = Progress()
    for epoch in range(3):
        progress.epoch, progress.batch = epoch, 0
        stage.train_epoch(progress)
    # 7 batches make 2 steps an epoch.
    assert stage.steps == 6 == progress.updates
    assert rates == pytest.approx([0.01 * 0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])


# ---- compile -------------------------------------------------------------------------------------------------------------


def test_a_compiled_network_trains_the_same_weights(desk: Desk, monkeypatch) -> None:
    compiled = torch.compile
    # Without the code generator, which takes half a minute and wants a compiler.
    monkeypatch.setattr(torch, "compile", lambda module: compiled(module, backend="eager"))
    case = desk.case("train.compile=true", plain=True)
    stage, plain = case.stage(), desk.case(plain=True).stage()
    assert stage.module is not stage.network
    for trained in (stage, plain):
        trained.train_epoch(Progress())
    for name, value in plain.network.state_dict().items():
        assert torch.allclose(stage.network.state_dict()[name], value, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no compiler")
def test_torch_compile_builds(desk: Desk) -> None:
    progress = Progress()
    desk.case("train.compile=true", plain=True).stage().train_epoch(progress)
    assert progress.updates == 4 and math.isfinite(progress.loss_sum)


# ---- state ---------------------------------------------------------------------------------------------------------------


def test_states_restore_a_stage_to_where_it_was(desk: Desk) -> None:
    case = desk.case("train.ema=true", "train.epochs=3")
    first, progress = case.stage(), Progress()
    first.train_epoch(progress)
    first.micro_rows = 8
    states = {name: value for name, value in first.states().items()}
    states = torch_round_trip(states)
    second = case.stage(network=case.network())
    second.restore(states)
    assert second.micro_rows == 8
    for stage in (first, second):
        again = Progress(epoch=1, updates=progress.updates)
        stage.train_epoch(again)
    for one, two in ((first.network, second.network), (first.predictor, second.predictor)):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def torch_round_trip(states: dict) -> dict:
    import io

    buffer = io.BytesIO()
    torch.save(states, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
