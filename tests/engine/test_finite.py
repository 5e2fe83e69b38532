"""Losses and gradients that are no numbers: found at the batch, named by its rows, and answered as train.on_nan says."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision

from comp.engine.checkpoint import Progress
from comp.engine.finite import LEAST_SCALE, NotFinite, Update, forget_step, read_scale
from comp.engine.retreat import MOST
from comp.engine.stage import Stage
from comp.errors import ManifestError, RunError, RunInterrupted
from comp.events import EpochFinished, Notice
from tests.engine.test_fold import stop_at
from tests.engine.test_ranks import Trainer, seat

if TYPE_CHECKING:
    from comp.engine.ranks import Ranks
    from comp.engine.rows import Rows
    from tests.engine.conftest import Case, Desk, Tale


def poison(rows: Rows, *places: int) -> Rows:
    """The same, but that the loss of these rows is NaN."""
    weights = rows.weights.copy()
    weights[list(places)] = np.nan
    return replace(rows, weights=weights)


def batch_of(stage: Stage, row: int, epoch: int = 0) -> tuple[int, np.ndarray]:
    """Number from 0, and rows, of the batch that the row is in."""
    order = stage.draw_order(epoch)
    number = int(np.flatnonzero(order == row)[0]) // stage.batch_size
    return number, order[number * stage.batch_size : (number + 1) * stage.batch_size]


def state(stage: Stage) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in stage.network.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


# ---- stop ----------------------------------------------------------------------------------------------------------------


def test_the_batch_is_named_by_its_rows_and_its_update_is_not_made(desk: Desk) -> None:
    case = desk.case()
    stage, progress = case.stage(rows=poison(case.rows, 17)), Progress()
    number, rows = batch_of(stage, 17)
    assert 0 < number < 6
    with pytest.raises(RunError) as caught:
        stage.train_epoch(progress)
    ids = ", ".join(case.rows.row_ids[rows[:5]])
    said = f"fold 0, epoch 0, batch {number + 1} of 7: the training loss is nan (rows {ids} and {len(rows) - 5} more). Look at"
    assert str(caught.value).startswith(said) and "train.on_nan: skip leave such updates out" in str(caught.value)
    assert progress.updates == number and all(value.isfinite().all() for value in state(stage).values())


def infinite_gradient(stage: Stage, at: int) -> None:
    """The passes over this batch (from 0) leave an infinite gradient behind a finite loss."""
    seen: list[int] = []

    def spoil(network: torch.nn.Module) -> None:
        seen.append(1)
        if len(seen) - 1 == at:
            next(network.parameters()).grad[...] = math.inf

    stage.after_backward = spoil


@pytest.mark.parametrize("clip", ["1.0", "0"])
def test_a_gradient_that_is_no_number_is_found_before_it_spoils_the_weights(desk: Desk, clip) -> None:
    stage, progress = desk.case(f"train.clip_norm={clip}").stage(), Progress()
    infinite_gradient(stage, 2)
    with pytest.raises(RunError, match=r"batch 3 of 7: the gradient's norm is (inf|nan) \(rows digit_"):
        stage.train_epoch(progress)
    assert progress.updates == 2 and all(value.isfinite().all() for value in state(stage).values())


def test_a_device_that_is_not_waited_for_is_looked_at_before_anything_is_saved(desk: Desk) -> None:
    case = desk.case()
    number, rows = batch_of(case.stage(), 17)
    for wanted, spoil in (("the training loss is nan", [17]), ("the gradient's norm is", [])):
        stage, progress = case.stage(rows=poison(case.rows, *spoil)), Progress()
        stage.watch.at_once = False  # as on a GPU
        if not spoil:
            infinite_gradient(stage, number)
        with pytest.raises(RunError, match=rf"batch {number + 1} of 7: {wanted}.*{case.rows.row_ids[rows[0]]}"):
            stage.train_epoch(progress)


def test_fp16_has_overflows_of_its_own() -> None:
    rows = torch.tensor([3, 4])

    def overflow(scale: float | None) -> Update:
        return Update([(2, rows, [torch.tensor(1.5)])], torch.tensor(math.inf), None if scale is None else torch.tensor(scale))

    assert overflow(65536.0).find_fault() is None and overflow(LEAST_SCALE * 2).find_fault() is None
    assert overflow(LEAST_SCALE).find_fault().rows == (3, 4) and "gradient" in overflow(None).find_fault().what
    losses = [(1, rows, [torch.tensor(1.0)]), (2, rows + 5, [torch.tensor(1.0), torch.tensor(math.inf)])]
    lost = Update(losses, scale=torch.tensor(65536.0)).find_fault()
    assert (lost.batch, lost.rows) == (2, (8, 9))
    assert Update([(1, rows, [torch.tensor(1.0)])], torch.tensor(2.0)).find_fault() is None


def test_an_update_is_judged_by_the_loss_scale_that_it_had() -> None:
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0))
    fabric = SimpleNamespace(strategy=SimpleNamespace(precision=precision), device=torch.device("cpu"))
    update = Update([(1, torch.tensor([3]), [torch.tensor(1.5)])], torch.tensor(math.inf), read_scale(fabric))
    precision.scaler.update(LEAST_SCALE)  # what the scaler answered the overflow with, before anybody looked
    assert update.find_fault() is None and float(read_scale(fabric)) == LEAST_SCALE


def test_a_loss_scaler_forgets_the_gradients_of_an_update_that_is_left_out() -> None:
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for _ in range(2):  # without forgetting, the second time is an error
        weight.grad = torch.full((1,), precision.scaler.scale(torch.ones(1)).item())
        precision.unscale_gradients(optimizer)
        forget_step(SimpleNamespace(strategy=SimpleNamespace(precision=precision)))
    assert weight.grad.tolist() == [1.0] and precision.scaler.get_scale() == 65536.0


def test_an_ensemble_with_a_loop_of_its_own_can_only_stop(desk: Desk) -> None:
    with pytest.raises(ManifestError, match=r"train\.on_nan: the ensemble 'torchensemble' has a training loop of its own"):
        desk.case("ensemble={use: torchensemble}", "train.on_nan=skip")


# ---- skip ----------------------------------------------------------------------------------------------------------------


def train_without(stage: Stage, left_out: int) -> Progress:
    """An epoch by hand, in which one update (from 0) is never begun."""
    progress = Progress()
    stage.network.train()
    for images, rows in stage.loader.epoch(stage.draw_order(0), (*stage.context.key, 0)):
        if progress.batch // stage.per_step == left_out:
            if (progress.batch + 1) % stage.per_step == 0:
                stage.scheduler.step(progress.updates)
                progress.updates += 1
        else:
            stage.sums.add(stage.train_batch(images, rows, progress))
            progress.rows += len(rows)
        progress.batch += 1
    stage.sums.tell(progress)
    return progress


@pytest.mark.parametrize(
    "sets",
    [("train.ema=true",), ("train.accumulate=2", "scheduler={use: torch, name: OneCycleLR}"), ("objective={use: sam}",)],
    ids=["ema", "accumulate", "sam"],
)
def test_an_update_that_is_left_out_leaves_nothing_behind(desk: Desk, sets) -> None:
    case, tale = desk.case("train.on_nan=skip", *sets), desk.tale()
    stage, progress = case.stage(rows=poison(case.rows, 17), tale=tale), Progress()
    number, rows = batch_of(stage, 17)
    stage.train_epoch(progress)
    other = case.stage()
    wanted = train_without(other, number // stage.per_step)
    assert_equal(state(stage), state(other))
    assert_equal(stage.predictor.state_dict(), other.predictor.state_dict())
    assert progress.skipped == 1 and progress.updates == wanted.updates
    (notice,) = tale.of(Notice)
    assert notice.level == "warning" and f"batch {number + 1} of 7: the training loss is nan" in notice.text
    assert str(case.rows.row_ids[rows[0]]) in notice.text and "the update is left out" in notice.text
    if "train.accumulate=2" not in sets:  # where a batch of the update is a number, its loss is
        assert progress.rows == wanted.rows == 100 - len(rows)
        assert progress.loss_sum == pytest.approx(wanted.loss_sum, abs=1e-9)


def test_what_is_left_out_is_said_once_and_counted(desk: Desk) -> None:
    case, tale = desk.case("train.on_nan=skip"), desk.tale()
    job = case.job()
    _, record = case.train(replace(job, train=poison(job.train, 17)), tale)
    assert [event.skipped for event in tale.of(EpochFinished)] == [1, 1]
    assert all(math.isfinite(event.train_loss) for event in tale.of(EpochFinished)) and record["scores"]
    said = [event.text for event in tale.of(Notice)]
    assert sum("the update is left out" in text for text in said) == 1
    assert said[-1] == "fold 0: 2 updates in all were left out (train.on_nan: skip)"


def test_an_epoch_without_an_update_is_an_error(desk: Desk) -> None:
    case = desk.case("train.on_nan=skip", size=40)
    stage = case.stage(rows=poison(case.rows, *range(40)))
    with pytest.raises(RunError, match="fold 0, epoch 0: not one of 3 updates was made"):
        stage.train_epoch(Progress())


# ---- lower ---------------------------------------------------------------------------------------------------------------


def spoil_where(monkeypatch: pytest.MonkeyPatch, wanted: Any) -> list[tuple[int, int, int]]:
    """The loss is NaN at each (epoch, batch, times lowered) that is wanted. Returns those that were trained."""
    seen: list[tuple[int, int, int]] = []
    train_batch = Stage.train_batch

    def train(self: Stage, images: torch.Tensor, rows: torch.Tensor, progress: Progress) -> Any:
        at = (progress.epoch, progress.batch, progress.lowered)
        seen.append(at)
        objective = self.objective
        if wanted(*at):
            self.objective = lambda *given: (objective(*given)[0] * math.nan, {})
        try:
            return train_batch(self, images, rows, progress)
        finally:
            self.objective = objective

    monkeypatch.setattr(Stage, "train_batch", train)
    return seen


def note_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, dict[str, torch.Tensor]]]:
    """(learning rate, weights before) of every optimizer step."""
    steps: list[tuple[float, dict[str, torch.Tensor]]] = []
    init = Stage.__init__

    def opened(self: Stage, *given: Any) -> None:
        init(self, *given)
        self.optimizer.register_step_pre_hook(lambda made, *_: steps.append((made.param_groups[0]["lr"], state(self))))

    monkeypatch.setattr(Stage, "__init__", opened)
    return steps


def test_the_epoch_begins_anew_with_half_the_rate_of_its_schedule(desk: Desk, monkeypatch) -> None:
    case, tale = desk.case("train.on_nan=lower", "scheduler={use: cosine, warmup: 0.0}", "train.ema=true"), desk.tale()
    steps = note_steps(monkeypatch)
    seen = spoil_where(monkeypatch, lambda epoch, batch, lowered: (epoch, batch) == (1, 3) and lowered < 2)
    case.train(None, tale)
    tries = [(1, batch, lowered) for lowered, last in ((0, 3), (1, 3), (2, 4)) for batch in range(last + 1)]
    assert seen == [*((0, batch, 0) for batch in range(5)), *tries]
    schedule = [0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    full = [*schedule[:5], *schedule[5:8], *(rate / 2 for rate in schedule[5:8]), *(rate / 4 for rate in schedule[5:])]
    assert [rate for rate, _ in steps] == pytest.approx([steps[0][0] * share for share in full])
    starts = [steps[at][1] for at in (5, 8, 11)]
    assert_equal(starts[0], starts[1])
    assert_equal(starts[0], starts[2])
    warnings = [event.text for event in tale.of(Notice) if event.level == "warning"]
    assert len(warnings) == 2 and "epoch 1, batch 4 of 5: the training loss is nan (rows digit_" in warnings[0]
    assert "back to the start of the epoch, with 2 times less" in warnings[0] and "4 times less" in warnings[1]
    last = tale.of(EpochFinished)[-1]
    assert math.isfinite(last.train_loss) and last.lr == pytest.approx(steps[0][0] * schedule[9] / 4)


def test_lowering_has_an_end(desk: Desk, monkeypatch) -> None:
    case = desk.case("train.on_nan=lower")
    seen = spoil_where(monkeypatch, lambda epoch, batch, lowered: batch == 1)
    with pytest.raises(RunError, match=rf"batch 2 of 5: the training loss is nan .*halved {MOST} times .*lower optimizer.lr"):
        case.train()
    assert len(seen) == 2 * (MOST + 1)


def test_stopped_after_it_was_lowered_it_goes_on_with_the_same_bits(desk: Desk, monkeypatch) -> None:
    case = desk.case("train.on_nan=lower", "mix={use: cutmix, p: 0.7}")
    spoil_where(monkeypatch, lambda epoch, batch, lowered: (epoch, batch) == (1, 3) and lowered < 2)
    whole, _ = case.train()
    job, tale = (
        case.job(stop=stop_at(10)),
        desk.tale(),
    )  # of 5 + 3 + 3 + 5: in the second try, from whose start it goes back again
    with pytest.raises(RunInterrupted):
        case.train(job)
    saved = torch.load(job.folder / "last.ckpt", weights_only=True)
    assert saved["progress"]["batch"] == 2 and saved["progress"]["lowered"] == 1 and saved["retreat"]["progress"]["batch"] == 0
    again, _ = case.train(replace(job, stop=lambda: False), tale)
    assert case.files(whole) == case.files(again)
    assert any("4 times less" in event.text for event in tale.of(Notice))


# ---- several devices -----------------------------------------------------------------------------------------------------


def seat_poisoned(case: Case, ranks: Ranks, network: Any, tale: Tale) -> Stage:
    alone = case.stage(network, rows=poison(case.rows, 17), tale=tale)
    return Stage(alone.context, network, Trainer(ranks.fabric, case.fabric), alone.rows)


@pytest.mark.parametrize(("policy", "at_once"), [("stop", True), ("stop", False), ("skip", True), ("lower", True)])
def test_all_ranks_decide_alike_and_name_the_rows_of_the_one_that_met_it(desk: Desk, policy, at_once) -> None:
    case = desk.case("augment=[]", f"train.on_nan={policy}", "train.batch_size=8", "model.dropout=0.0", "train.ema=false")
    begun, tales = case.network(), [desk.tale(), desk.tale()]
    number, rows = batch_of(case.stage(), 17)

    def act(ranks: Ranks) -> Any:
        stage = seat_poisoned(case, ranks, copy.deepcopy(begun), tales[ranks.rank])
        stage.watch.at_once = at_once
        progress = Progress()
        stage.train_epoch(progress)
        return progress, state(stage)

    one, two = seat(act)
    named = f"batch {number + 1} of 13: the training loss is nan (rows {', '.join(case.rows.row_ids[rows[:5]])} and 3 more)"
    if policy == "skip":
        assert one[0].skipped == two[0].skipped == 1 and one[0].updates == two[0].updates == 7
        assert_equal(*({name: value for name, value in each[1].items() if "batches" not in name} for each in (one, two)))
        assert all(value.isfinite().all() for value in one[1].values())
        assert all(named in tale.of(Notice)[0].text for tale in tales)
    else:
        assert str(one) == str(two) and named in str(one)
        assert type(one) is (NotFinite if policy == "lower" else RunError)
