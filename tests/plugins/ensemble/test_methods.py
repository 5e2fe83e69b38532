"""What sets torchensemble's methods apart, each against a loop by hand or the library alone."""

from __future__ import annotations

import math

import pytest
import torch
import torchensemble as library
from torch import nn

from comp.api import Batch, EnsembleJob, Target, Task
from comp.plugins.ensemble._given import Feed
from comp.plugins.ensemble.torchensemble import METHODS, names, torchensemble

LABEL = Target("label", "multiclass", ("a", "b", "c"), ("label",))
ONE = Task((LABEL,))
IMAGES = torch.rand(24, 1, 2, 2, generator=torch.Generator().manual_seed(0))
TARGETS = IMAGES.flatten(1)[:, :3].argmax(dim=1)
SGD = {"use": "timm", "opt": "sgd", "lr": 0.2, "head_lr": 0.4, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
MEAN, STD = 0.5, 0.25


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


def cross_entropy(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets["label"], reduction="none")


def rows_of(number: int) -> list[torch.Tensor]:
    return list(torch.randperm(24, generator=torch.Generator().manual_seed(number)).split(8))


class Asked:
    """A job, and what was asked of it."""

    def __init__(self, epochs: int, loss=cross_entropy, optimizer=SGD, weights=None) -> None:
        self.draws: list[int | None] = []
        self.rates: list[float] = []
        self.weights = torch.ones(24) if weights is None else weights
        self.losses: list[float] = []
        self.job = EnsembleJob(
            make_network=Network, batches=self.batches, batches_per_epoch=3, rows=24, loss=loss, links={"label": "softmax"},
            clip_norm=0.0, epochs=epochs, optimizer=optimizer, device=torch.device("cpu"),
            report=lambda number, batch, loss: self.losses.append(loss), mean=(MEAN,), std=(STD,),
        )  # fmt: skip

    def batches(self, number: int, draw: int | None = None):
        self.draws.append(draw)
        for rows in rows_of(number):
            yield Batch((IMAGES[rows] - MEAN) / STD, {"label": TARGETS[rows]}, self.weights[rows])


def fit(method: str, epochs: int = 2, estimators: int = 2, schedule: str = "constant", job=None, **own):
    asked = job or Asked(epochs)
    torch.manual_seed(0)
    network = torchensemble(ONE, method=method, estimators=estimators, schedule=schedule, **own).fit(asked.job)
    return network, asked


def make_twins(count: int) -> list[Network]:
    torch.manual_seed(0)
    return [Network() for _ in range(count)]


def make_sgd(networks: list[Network]) -> torch.optim.SGD:
    groups = [{"params": network.backbone.parameters()} for network in networks]
    return torch.optim.SGD([*groups, *({"params": network.head.parameters(), "lr": 0.4} for network in networks)], lr=0.2)


def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_same(networks: list[nn.Module], others: list[nn.Module]) -> None:
    for one, other in zip(networks, others, strict=True):
        for name, value in one.state_dict().items():
            assert torch.allclose(value, other.state_dict()[name], atol=1e-5), name


def images_of(rows: torch.Tensor) -> torch.Tensor:
    return (IMAGES[rows] - MEAN) / STD


def test_every_method_of_the_library_is_there() -> None:
    theirs = {name.removesuffix("Classifier") for name in library.__all__ if name.endswith("Classifier")}
    assert theirs - {"NeuralForest"} == {
        "Voting", "Bagging", "SnapshotEnsemble", "FastGeometric", "Fusion", "GradientBoosting", "SoftGradientBoosting",
        "AdversarialTraining",
    }  # fmt: skip
    assert len(METHODS) == 8 and names() == tuple(METHODS)


@pytest.mark.parametrize(("method", "passes"), [("fast_geometric", 9), ("fusion", 4), ("gradient_boosting", 12),
                                                ("soft_gradient_boosting", 4), ("bagging", 12)])  # fmt: skip
def test_passes_are_those_that_are_taken(method, passes) -> None:
    _, asked = fit(method, epochs=4, estimators=3)
    assert len(asked.draws) == torchensemble(ONE, method=method, estimators=3).passes(4) == passes
    assert len(asked.losses) == 3 * passes and all(math.isfinite(loss) for loss in asked.losses)


def test_bagging_members_have_rows_of_their_own() -> None:
    _, asked = fit("bagging", epochs=2, estimators=3)
    assert asked.draws == [0, 1, 2, 0, 1, 2]
    _, asked = fit("voting", epochs=2, estimators=3)
    assert asked.draws == [None] * 6


def test_fusion_is_one_network_that_averages_outputs() -> None:
    network, _ = fit("fusion")
    twins = make_twins(2)
    optimizer = make_sgd(twins)
    for number in range(2):
        for rows in rows_of(number):
            outputs = sum(twin(images_of(rows)) for twin in twins) / 2
            step(optimizer, nn.functional.cross_entropy(outputs, TARGETS[rows]))
    assert_same(network.members, twins)
    assert torch.allclose(network(IMAGES), (twins[0](IMAGES) + twins[1](IMAGES)) / 2, atol=1e-5)


def test_gradient_boosting_fits_the_gradient_of_what_was_summed_up() -> None:
    weights = torch.linspace(0.5, 1.5, 24)
    network, _ = fit("gradient_boosting", shrinkage=0.5, job=Asked(2, weights=weights))
    twins, number = make_twins(2), 0
    for place, twin in enumerate(twins):
        optimizer = make_sgd([twin])
        for _ in range(2):
            for rows in rows_of(number):
                with torch.no_grad():
                    outputs = 0.5 * sum((before(images_of(rows)) for before in twins[:place]), torch.zeros(8, 3))
                # Of cross-entropy it is one-hot minus softmax, as the library has it.
                wanted = (nn.functional.one_hot(TARGETS[rows], 3) - outputs.softmax(dim=1)) * weights[rows, None]
                step(optimizer, nn.functional.mse_loss(twin(images_of(rows)), wanted))
            number += 1
    assert_same(network.members, twins)
    assert torch.allclose(network(IMAGES), 0.5 * (twins[0](IMAGES) + twins[1](IMAGES)), atol=1e-5)


class Loader:
    """What the library alone trains on."""

    def __init__(self) -> None:
        self.dataset = type("Named", (), {"classes": range(3)})()
        self.number = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        self.number += 1
        return iter([(images_of(rows), TARGETS[rows]) for rows in rows_of(self.number - 1)])


@pytest.mark.parametrize("method", ["gradient_boosting", "soft_gradient_boosting"])
def test_boosting_on_cross_entropy_is_the_librarys(method) -> None:
    rates = {**SGD, "head_lr": None}
    network, _ = fit(method, shrinkage=0.7, estimators=3, job=Asked(2, optimizer=rates))
    torch.manual_seed(0)
    alone = getattr(library, METHODS[method])(Network, 3, cuda=False, shrinkage_rate=0.7)
    alone.set_optimizer("SGD", lr=0.2)
    alone.fit(Loader(), epochs=2, use_reduction_sum=False, save_model=False)
    assert_same(network.members, alone.estimators_)
    assert torch.allclose(network(images_of(torch.arange(24))).softmax(dim=1), alone(images_of(torch.arange(24))), atol=1e-5)


def test_boosting_takes_any_loss() -> None:
    def squares(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
        return (outputs[:, 0] - targets["label"].float()).square()

    asked = Asked(20, loss=squares, optimizer={**SGD, "lr": 0.05})
    network, _ = fit("gradient_boosting", shrinkage=0.5, estimators=4, job=asked)
    every = images_of(torch.arange(24))
    sums = [0.5 * sum(member(every)[:, 0] for member in network.members[:count]) for count in (1, 4)]
    errors = [(values - TARGETS).square().mean() for values in sums]
    assert errors[1] < 0.8 * errors[0]
    assert network.members[0](every)[:, 1:].abs().mean() < 0.5, "no gradient, nothing to fit"


def test_fast_geometric_goes_on_in_cycles_between_the_rates_and_a_hundredth(monkeypatch) -> None:
    rates: list[list[float]] = []
    plain = torch.optim.SGD.step

    def note(optimizer, *args, **more):
        plain(optimizer, *args, **more)
        rates.append([group["lr"] for group in optimizer.param_groups])

    note.hooked = True  # or torch would call the hooks of a step twice
    monkeypatch.setattr(torch.optim.SGD, "step", note)
    network, _ = fit("fast_geometric", epochs=1, estimators=2, schedule="cosine", cycle=2)
    assert len(rates) == 3 * (1 + 2 + 1) and len(network.members) == 2
    assert [group[0] for group in rates[:3]] == pytest.approx([0.2 * 0.5 * (1 + math.cos(math.pi * i / 3)) for i in range(3)])
    shares = [1.0 * (1 - 2 * t) + 0.01 * 2 * t for t in (0, 1 / 6, 2 / 6)]
    later = [(2 * t - 1) + 0.01 * (2 - 2 * t) for t in (3 / 6, 4 / 6, 5 / 6)]
    expected = [*shares, *later, *shares]
    assert [min(group) for group in rates[3:]] == pytest.approx([0.2 * share for share in expected])
    assert [max(group) for group in rates[3:]] == pytest.approx([0.4 * share for share in expected])


def test_adversarial_training_disturbs_images_on_the_scale_of_pixels() -> None:
    network, _ = fit("adversarial_training", epochs=1, estimators=1, epsilon=0.1)
    [twin] = make_twins(1)
    optimizer = make_sgd([twin])
    for rows in rows_of(0):
        pixels = IMAGES[rows].clone().requires_grad_()
        nn.functional.cross_entropy(twin((pixels - MEAN) / STD), TARGETS[rows]).backward()
        disturbed = (IMAGES[rows] + 0.1 * pixels.grad.sign()).clamp(0, 1)
        losses = [nn.functional.cross_entropy(twin((given - MEAN) / STD), TARGETS[rows]) for given in (IMAGES[rows], disturbed)]
        step(optimizer, sum(losses))
    assert_same(network.members, [twin])


def test_residuals_do_not_reach_earlier_members_unless_soft() -> None:
    for method in ("gradient_boosting", "soft_gradient_boosting"):
        feed = Feed(Asked(1).job, method, 2, 3)
        feed.batch = Batch(IMAGES, {"label": TARGETS}, torch.ones(24))
        outputs = torch.randn(24, 3, requires_grad=True)
        residual = feed.descend(torch.arange(24), outputs * 1.0, 3)
        assert residual.requires_grad == (method == "soft_gradient_boosting")
