from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from comp.api import Batch, EnsembleJob, PluginError, Target, Task
from comp.plugins.ensemble.torchensemble import METHODS, torchensemble

LABEL = Target("label", "multiclass", ("a", "b", "c"), ("label",))
TAGS = Target("tags", "multilabel", ("x", "y"), ("tags",), " ")
AGE = Target("age", "regression", (), ("age",))
ONE = Task((LABEL,))
ADAM = {"use": "timm", "opt": "adam", "lr": 1e-2, "head_lr": 2e-2, "weight_decay": 0.0}
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(24, 1, 2, 2, generator=GENERATOR)
TARGETS = IMAGES.flatten(1)[:, :3].argmax(dim=1)


class Network(nn.Module):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


class Recorder:
    """A job whose batches differ by pass, and what was asked of it."""

    def __init__(
        self, epochs: int = 4, optimizer: dict | None = None, weights: torch.Tensor | None = None, clip_norm: float = 0.0
    ) -> None:
        self.reports: list[tuple[int, int, float]] = []
        self.passes: list[int] = []
        self.draws: list[int | None] = []
        self.weights = torch.ones(24) if weights is None else weights
        self.job = EnsembleJob(
            make_network=Network,
            batches=self.batches,
            batches_per_epoch=3,
            rows=24,
            loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets["label"], reduction="none"),
            links={"label": "softmax"},
            clip_norm=clip_norm,
            epochs=epochs,
            optimizer=optimizer or ADAM,
            device=torch.device("cpu"),
            report=lambda number, batch, loss: self.reports.append((number, batch, loss)),
            mean=(0.5,),
            std=(0.1,),
        )

    def batches(self, number: int, draw: int | None = None) -> Iterator[Batch]:
        self.passes.append(number)
        self.draws.append(draw)
        order = torch.randperm(24, generator=torch.Generator().manual_seed(number))
        for rows in order.split(8):
            yield Batch(IMAGES[rows], {"label": TARGETS[rows]}, self.weights[rows])


def fit(method: str = "voting", estimators: int = 2, seed: int = 0, **given) -> tuple[nn.Module, Recorder]:
    own = {name: given.pop(name) for name in ("schedule", "shrinkage", "epsilon", "cycle") if name in given}
    recorder = Recorder(**given)
    torch.manual_seed(seed)
    return torchensemble(ONE, method=method, estimators=estimators, **own).fit(recorder.job), recorder


@pytest.mark.parametrize(
    ("method", "passes"),
    [("voting", 120), ("snapshot", 60), ("bagging", 120), ("fast_geometric", 63), ("adversarial_training", 120)],
)
def test_it_learns_and_answers_with_the_mean_probability(method, passes) -> None:
    network, recorder = fit(method, epochs=60)
    assert recorder.passes == list(range(passes)) and torchensemble(ONE, method=method, estimators=2).passes(60) == passes
    assert not network.training
    with torch.no_grad():
        outputs = network(IMAGES)
        mean = torch.stack([member(IMAGES).softmax(dim=1) for member in network.members]).mean(dim=0)
    assert torch.allclose(outputs.softmax(dim=1), mean, atol=1e-6) and torch.allclose(outputs, mean.log(), atol=1e-5)
    assert (outputs.argmax(dim=1) == TARGETS).float().mean() > 0.9
    first, second = (member.head.weight for member in network.members)
    assert not torch.allclose(first, second), "members differ"


def test_each_batch_is_reported_with_its_loss() -> None:
    _, recorder = fit(epochs=2)
    expected = [(number, batch) for number in range(4) for batch in range(3)]
    assert [(number, batch) for number, batch, _ in recorder.reports] == expected
    torch.manual_seed(0)
    first = Network()
    batch = next(recorder.batches(0))
    loss = nn.functional.cross_entropy(first(batch.images), batch.targets["label"]).item()
    assert recorder.reports[0][2] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_a_voting_member_is_trained_as_if_alone(clip_norm) -> None:
    settings = {**ADAM, "opt": "momentum"}
    network, recorder = fit(estimators=1, epochs=3, optimizer=settings, clip_norm=clip_norm)
    torch.manual_seed(0)
    alone = Network()
    groups = [{"params": alone.backbone.parameters()}, {"params": alone.head.parameters(), "lr": 2e-2}]
    optimizer = torch.optim.SGD(groups, lr=1e-2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    for number in range(3):
        for batch in recorder.batches(number):
            optimizer.zero_grad()
            nn.functional.cross_entropy(alone(batch.images), batch.targets["label"]).backward()
            norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in alone.parameters()))
            for parameter in alone.parameters():
                parameter.grad *= min(1.0, clip_norm / norm) if clip_norm else 1.0
            optimizer.step()
            schedule.step()
    for name, parameter in alone.named_parameters():
        assert torch.allclose(parameter, network.members[0].get_parameter(name), atol=1e-6)


def test_row_weights_count() -> None:
    weights = torch.ones(24)
    weights[TARGETS == 2] = 0.0
    network, _ = fit(epochs=60, weights=weights)
    answers = network(IMAGES).argmax(dim=1)
    assert (answers == 2).sum() == 0 and (answers == TARGETS)[TARGETS != 2].all()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method) -> None:
    first, second, other = fit(method)[0], fit(method)[0], fit(method, seed=1)[0]
    assert all(torch.equal(one, two) for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert not torch.equal(first(IMAGES), other(IMAGES))


@pytest.mark.parametrize("method", METHODS)
def test_a_stored_ensemble_is_assembled_again(method) -> None:
    network, _ = fit(method)
    again = torchensemble(ONE, method=method, estimators=2).assemble(Network, {"label": "softmax"}).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(IMAGES), again(IMAGES))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_printed_logged_or_left_behind(method, capsys, caplog, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with caplog.at_level(logging.DEBUG):
        fit(method)
    assert (root.level, list(root.handlers)) == before
    assert capsys.readouterr() == ("", "") and not caplog.records and not list(tmp_path.iterdir())
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.ones(1)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 1.0, "the schedule's hook is gone"
    assert torch.is_autocast_cache_enabled()


def test_an_error_in_a_report_ends_the_fit() -> None:
    recorder = Recorder()

    def stop(*_progress) -> None:
        raise KeyboardInterrupt

    object.__setattr__(recorder.job, "report", stop)
    with pytest.raises(KeyboardInterrupt):
        torchensemble(ONE).fit(recorder.job)
    assert recorder.passes == [0]


def test_answers_of_every_kind_of_target_are_averaged_as_answers() -> None:
    task = Task((TAGS, AGE, LABEL))
    torch.manual_seed(0)
    links = {target.name: target.link for target in task.targets}
    network = torchensemble(task, estimators=3).assemble(lambda: Network(task.outputs), links).eval()
    with torch.no_grad():
        members, outputs = torch.stack([member(IMAGES) for member in network.members]), network(IMAGES)
    assert torch.allclose(outputs[:, :2].sigmoid(), members[:, :, :2].sigmoid().mean(dim=0), atol=1e-6)
    assert torch.allclose(outputs[:, 2], members[:, :, 2].mean(dim=0), atol=1e-6)
    assert torch.allclose(outputs[:, 3:].softmax(dim=1), members[:, :, 3:].softmax(dim=2).mean(dim=0), atol=1e-6)


def test_the_losss_link_says_what_an_answer_is() -> None:
    network = torchensemble(ONE, estimators=2).assemble(Network, {"label": "sigmoid"}).eval()
    with torch.no_grad():
        members, outputs = torch.stack([member(IMAGES) for member in network.members]), network(IMAGES)
    assert torch.allclose(outputs.sigmoid(), members.sigmoid().mean(dim=0), atol=1e-6)
    assert not torch.allclose(outputs.softmax(dim=1), members.softmax(dim=2).mean(dim=0), atol=1e-4)


@pytest.mark.parametrize("opt", ["sgd", "momentum", "adam", "adamw", "adamax", "adadelta", "adagrad", "rmsprop", "rprop"])
def test_optimizers_of_both_libraries(opt) -> None:
    settings = {"use": "timm", "opt": opt, "lr": 1e-3, "head_lr": None, "layer_decay": None}
    network, _ = fit(epochs=1, optimizer=settings if opt == "rprop" else {**settings, "weight_decay": 0.01})
    assert torch.isfinite(network(IMAGES)).all()


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("voting", {"optimizer": {**ADAM, "opt": "lamb"}}, r"knows sgd, .*\{use: timm, opt: lamb\}"),
        ("voting", {"optimizer": {**ADAM, "layer_decay": 0.7}}, "optimizer.layer_decay"),
        ("voting", {"optimizer": {**ADAM, "opt": "rprop"}}, r"torch.optim.Rprop, which takes no weight_decay"),
        ("snapshot", {"epochs": 5}, "5 epochs are no multiple of 2 estimators"),
    ],
)
def test_what_a_fit_refuses(method, given, message) -> None:
    with pytest.raises(PluginError, match=message):
        fit(method, **given)


def test_passes_refuse_epochs_before_training() -> None:
    with pytest.raises(PluginError, match="7 epochs are no multiple of 3 estimators"):
        torchensemble(ONE, method="snapshot", estimators=3).passes(7)


def test_what_an_ensemble_refuses() -> None:
    with pytest.raises(PluginError, match="ensemble.estimators is 0"):
        torchensemble(ONE, estimators=0)
    with pytest.raises(PluginError, match="ensemble.method is 'vote'"):
        torchensemble(ONE, method="vote")
    with pytest.raises(PluginError, match="ensemble.epsilon is for adversarial_training; the method is voting"):
        torchensemble(ONE, epsilon=0.1)
    with pytest.raises(PluginError, match=r"ensemble.shrinkage is 1\.5"):
        torchensemble(ONE, method="gradient_boosting", shrinkage=1.5)
    with pytest.raises(PluginError, match="ensemble.cycle is 1"):
        torchensemble(ONE, method="fast_geometric", cycle=1)
