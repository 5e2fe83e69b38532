from __future__ import annotations

import io
import math
import warnings
from typing import Any

import pytest
import torch as framework
from torch import nn
from torch.optim import SGD, AdamW, lr_scheduler

from comp.api import PluginError
from comp.plugins.scheduler import timm as timm_module
from comp.plugins.scheduler import torch as torch_module
from comp.plugins.scheduler.cosine import cosine
from comp.plugins.scheduler.plateau import plateau
from comp.plugins.scheduler.timm import timm
from comp.plugins.scheduler.torch import torch

STEPS, EPOCHS = 20, 5
SCORES = [0.5, 0.6, 0.6, 0.6, 0.55]
TORCH = {
    "OneCycleLR": {},
    "CyclicLR": {"base_lr": 1e-6, "mode": "exp_range", "gamma": 0.7},
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [1, 3]},
    "ConstantLR": {"total_iters": 2},
    "LinearLR": {},
    "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {},
    "CosineAnnealingLR": {},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "ReduceLROnPlateau": {"patience": 0, "factor": 0.5},
}
TIMM = {name: {} for name in timm_module.names()} | {
    "step": {"decay_epochs": 2}, "multistep": {"decay_milestones": [1, 3]}, "plateau": {"patience_epochs": 0, "decay_rate": 0.5},
    "rsqrt": {"warmup_epochs": 1},
}  # fmt: skip


def optimizer_of(kind: type = SGD, lrs: tuple[float, float] = (0.1, 1.0)) -> framework.optim.Optimizer:
    backbone, head = nn.Linear(1, 1), nn.Linear(1, 1)
    groups = [{"params": list(backbone.parameters()), "lr": lrs[0]}, {"params": list(head.parameters()), "lr": lrs[1]}]
    return kind(groups, lr=lrs[0], **({"momentum": 0.9} if kind is SGD else {}))


def drive(schedule: Any, optimizer: framework.optim.Optimizer, first: int = 0, last: int = STEPS) -> list[tuple[float, ...]]:
    """Learning rates (backbone, head) that each step is taken with."""
    rates = []
    for step in range(first, last):
        schedule.step(step)
        rates.append(tuple(float(group["lr"]) for group in optimizer.param_groups))
        optimizer.step()
        if (step + 1) % (STEPS // EPOCHS) == 0:
            epoch = step // (STEPS // EPOCHS)
            schedule.epoch(epoch, SCORES[epoch])
    return rates


def test_cosine_by_hand() -> None:
    optimizer = optimizer_of()
    rates = drive(cosine(optimizer, STEPS, warmup=0.2, min_lr=0.1), optimizer)
    assert [head for _, head in rates[:4]] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == pytest.approx((0.1, 1.0))
    for step in range(4, STEPS):
        share = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 4) / 16)) / 2
        assert rates[step] == pytest.approx((0.1 * share, share))


def test_cosine_without_warmup_is_torchs_annealing() -> None:
    ours, theirs = optimizer_of(), optimizer_of()
    rates = drive(cosine(ours, STEPS, warmup=0.0), ours)
    annealing = lr_scheduler.CosineAnnealingLR(theirs, T_max=STEPS)
    for step in range(STEPS):
        assert rates[step] == pytest.approx(tuple(group["lr"] for group in theirs.param_groups))
        theirs.step()
        annealing.step()


def build(family: str, name: str, optimizer: framework.optim.Optimizer) -> Any:
    if family == "torch":
        return torch(optimizer, STEPS, EPOCHS, name=name, **TORCH[name])
    if family == "warm":
        return torch(optimizer, STEPS, EPOCHS, name=name, warmup=0.5, **TORCH[name])
    if family == "timm":
        return timm(optimizer, STEPS, EPOCHS, sched=name, **TIMM[name])
    return cosine(optimizer, STEPS, cycles=2) if family == "cosine" else plateau(optimizer, STEPS, 2, patience=0, warmup=0.5)


ALL = [("torch", name) for name in TORCH] + [("warm", name) for name in TORCH] + [("timm", name) for name in TIMM]
ALL += [("cosine", "cosine"), ("plateau", "plateau")]


@pytest.mark.parametrize(("family", "name"), ALL)
def test_resumed_equals_uninterrupted_through_plain_data(family, name) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = optimizer_of()
        whole = drive(build(family, name, optimizer), optimizer)
        for cut in (0, 8, 11):
            optimizer = optimizer_of()
            schedule = build(family, name, optimizer)
            before = drive(schedule, optimizer, 0, cut)
            file = io.BytesIO()
            framework.save({"schedule": schedule.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.seek(0)
            state = framework.load(file, weights_only=True)
            optimizer = optimizer_of()
            schedule = build(family, name, optimizer)
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            assert before + drive(schedule, optimizer, cut) == whole


@pytest.mark.parametrize(("family", "name"), [pair for pair in ALL if pair[1] not in ("CyclicLR", "rsqrt", "wsd")])
def test_groups_keep_their_own_rates(family, name) -> None:
    optimizer = optimizer_of()
    for backbone, head in drive(build(family, name, optimizer), optimizer):
        assert head == pytest.approx(10 * backbone, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(TORCH) - {"OneCycleLR", "CyclicLR", "ReduceLROnPlateau"}))
def test_torch_schedulers_step_once_an_epoch(name) -> None:
    optimizer = optimizer_of()
    rates = drive(torch(optimizer, STEPS, EPOCHS, name=name, **TORCH[name]), optimizer)
    reference = optimizer_of()
    whole_stage = {"CosineAnnealingLR": "T_max", "LinearLR": "total_iters", "PolynomialLR": "total_iters"}
    filled = {whole_stage[name]: EPOCHS} if name in whole_stage else {}
    schedule = getattr(lr_scheduler, name)(reference, **filled, **TORCH[name])
    for epoch in range(EPOCHS):
        assert set(rates[4 * epoch : 4 * epoch + 4]) == {tuple(group["lr"] for group in reference.param_groups)}
        reference.step()
        schedule.step()


def test_one_cycle_peaks_at_each_groups_own_rate_and_ends_with_the_stage() -> None:
    optimizer = optimizer_of(AdamW)
    rates = drive(torch(optimizer, STEPS, EPOCHS, name="OneCycleLR", pct_start=0.25), optimizer)
    assert max(rates) == pytest.approx((0.1, 1.0)) and rates[0] == pytest.approx((0.004, 0.04))
    assert rates[-1][1] == pytest.approx(1 / 25 / 1e4)
    with pytest.raises(PluginError, match="scheduler.max_lr would give backbone and head the same"):
        torch(optimizer_of(), STEPS, EPOCHS, name="OneCycleLR", max_lr=0.1)


def test_cyclic_is_one_triangle_a_stage_unless_said() -> None:
    optimizer = optimizer_of()
    rates = drive(torch(optimizer, STEPS, EPOCHS, name="CyclicLR", base_lr=0.0), optimizer)
    assert rates[10] == pytest.approx((0.1, 1.0)) and rates[0] == (0.0, 0.0) and rates[5] == pytest.approx((0.05, 0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda o: plateau(o, STEPS, None, patience=1, factor=0.5),
        lambda o: plateau(o, STEPS, 3, factor=0.5),
        lambda o: torch(o, STEPS, EPOCHS, name="ReduceLROnPlateau", patience=1, factor=0.5),
        lambda o: timm(o, STEPS, EPOCHS, sched="plateau", patience_epochs=1, decay_rate=0.5),
    ],
)
def test_plateaus_follow_a_score_that_is_greater_when_better(make) -> None:
    optimizer = optimizer_of()
    schedule = make(optimizer)
    # Rising, then two epochs without a rise: one is patience, the second halves.
    for epoch, (score, expected) in enumerate([(0.5, 1.0), (0.6, 1.0), (0.6, 1.0), (0.6, 0.5)]):
        schedule.epoch(epoch, score)
        assert optimizer.param_groups[1]["lr"] == pytest.approx(expected)
    schedule.epoch(4, None)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.5)


def test_cosine_restarts_by_hand_and_as_torchs() -> None:
    ours, theirs = optimizer_of(), optimizer_of()
    rates = drive(cosine(ours, STEPS, warmup=0.0, cycles=4), ours)
    restarts = lr_scheduler.CosineAnnealingWarmRestarts(theirs, T_0=STEPS // 4)
    for step in range(STEPS):
        assert rates[step] == pytest.approx(tuple(group["lr"] for group in theirs.param_groups), abs=1e-9)
        theirs.step()
        restarts.step()
    falling = drive(cosine(optimizer := optimizer_of(), STEPS, warmup=0.0, min_lr=0.1, cycles=2, decay=0.5), optimizer)
    assert falling[0][1] == 1.0 and falling[10][1] == pytest.approx(0.5) and falling[15][1] == pytest.approx((0.5 + 0.1) / 2)


def test_exp_range_by_hand() -> None:
    """Smith 2017, section 3.1: a triangle whose height is multiplied by gamma at each step."""
    optimizer = optimizer_of()
    cyclic = torch(optimizer, STEPS, EPOCHS, name="CyclicLR", base_lr=0.1, step_size_up=4, mode="exp_range", gamma=0.9)
    rates = [head for _, head in drive(cyclic, optimizer)]
    heights = [0, 1 / 4, 2 / 4, 3 / 4, 1, 3 / 4, 2 / 4, 1 / 4] * 3
    assert rates == pytest.approx([0.1 + 0.9 * height * 0.9**step for step, height in enumerate(heights[:STEPS])])


@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "CosineAnnealingLR", "OneCycleLR"])
def test_warm_up_is_a_factor_on_what_the_scheduler_says(name) -> None:
    plain, warm = optimizer_of(), optimizer_of()
    without = drive(torch(plain, STEPS, EPOCHS, name=name, **TORCH[name]), plain)
    rates = drive(torch(warm, STEPS, EPOCHS, name=name, warmup=0.3, **TORCH[name]), warm)
    for step in range(STEPS):
        factor = min(1.0, (step + 1) / 7)
        assert rates[step] == pytest.approx(tuple(factor * rate for rate in without[step]))


def test_plateau_warms_up_and_has_a_floor() -> None:
    optimizer = optimizer_of()
    rates = drive(plateau(optimizer, STEPS, None, patience=0, factor=0.5, min_lr=0.4, warmup=0.2), optimizer)
    # Scores 0.5, 0.6, then none better: half after the third epoch, and 0.4 of the full rate from the fourth on.
    assert [head for _, head in rates[:4]] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [head for _, head in rates[4::4]] == pytest.approx([1.0, 1.0, 0.5, 0.4])
    assert rates[-1] == pytest.approx((0.04, 0.4))


def test_timms_cosine_is_set_per_step() -> None:
    optimizer = optimizer_of()
    rates = drive(timm(optimizer, STEPS, EPOCHS, sched="cosine", warmup_epochs=1, warmup_lr=0.0, min_lr=0.0), optimizer)
    assert [head for _, head in rates[:4]] == pytest.approx([0.0, 0.25, 0.5, 0.75])
    assert rates[10][1] == pytest.approx((1 + math.cos(math.pi * 10 / 20)) / 2)


def test_signatures_leave_out_what_the_kit_gives() -> None:
    assert "total_steps" not in torch_module.signature("OneCycleLR", {}).parameters
    assert torch_module.signature("CyclicLR", {}).parameters["max_lr"].default is None
    assert torch_module.signature("StepLR", {}).parameters["step_size"].default is torch_module.inspect.Parameter.empty
    assert "mode" not in torch_module.signature("ReduceLROnPlateau", {}).parameters
    assert {"min_lr", "warmup_epochs"} <= set(timm_module.signature("cosine", {}).parameters)
    assert "num_epochs" not in timm_module.signature("cosine", {}).parameters


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: cosine(o, STEPS, warmup=1.0), "scheduler.warmup is 1.0"),
        (lambda o: cosine(o, STEPS, min_lr=2.0), "scheduler.min_lr is 2.0"),
        (lambda o: cosine(o, STEPS, cycles=0), "scheduler.cycles is 0"),
        (lambda o: cosine(o, STEPS, decay=0.0), "scheduler.decay is 0.0"),
        (lambda o: plateau(o, STEPS, None), "scheduler.patience is null, which means half of train.patience"),
        (lambda o: plateau(o, STEPS, None, patience=-1), "scheduler.patience is -1"),
        (lambda o: plateau(o, STEPS, 4, factor=1.0), "scheduler.factor is 1.0"),
        (lambda o: plateau(o, STEPS, 4, warmup=1.0), "scheduler.warmup is 1.0"),
        (lambda o: torch(o, STEPS, EPOCHS, name="StepLR", step_size=1, warmup=-0.1), "scheduler.warmup is -0.1"),
        (lambda o: torch(o, STEPS, EPOCHS, name="LambdaLR"), "a manifest can name OneCycleLR"),
        (lambda o: torch(o, STEPS, EPOCHS, name="StepLR"), "scheduler StepLR: .*step_size"),
        (lambda o: torch(o, STEPS, EPOCHS, name="ReduceLROnPlateau", every="step"), "score of an epoch"),
        (lambda o: timm(o, STEPS, EPOCHS, sched="none"), "timm has cosine"),
        (lambda o: timm(o, STEPS, EPOCHS, sched="cosine", warm=1), "scheduler cosine: .*warm"),
    ],
)
def test_what_a_scheduler_refuses(make, message) -> None:
    with pytest.raises(PluginError, match=message):
        make(optimizer_of())
