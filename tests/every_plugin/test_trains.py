"""Every built-in plugin that has a part in training takes a step as its example says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from comp.api import KINDS, Batch, EnsembleJob, ImageSpec
from comp.catalog import build_catalog
from comp.combinations import is_gatherer
from comp.engine.losses import build_losses, count_classes
from comp.engine.network import ClassCounts, Network, build_network
from comp.source import Plugin

if TYPE_CHECKING:
    from tests.every_plugin.conftest import Case

CATALOG = build_catalog(None)
SPEC = ImageSpec((32, 32), (32, 32))
TABLE_WIDTH = 3
CNN = {"use": "cnn", "widths": [4, 4], "hidden": 8, "dropout": 0.0}
AUTOENCODER = {"use": "autoencoder", "backbone": CNN}


def to_tensors(targets: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values) for name, values in targets.items()}


def default_loss(case: Case) -> dict[str, Any]:
    uses = {"softmax": {"use": "cross_entropy"}, "sigmoid": {"use": "bce"}, "identity": {"use": "mse"}}
    return {target.name: uses[target.link] for target in case.task.targets}


def make_losses(case: Case, loss: dict[str, Any] | None = None) -> Any:
    return build_losses(CATALOG, loss or default_loss(case), case.task, case.targets, torch.device("cpu"))


def make_network(case: Case, **changed: Any) -> Network:
    values = {"model": CNN, "head": {"use": "multitarget", "init": "small"}, "train": {"channels_last": True}, **changed}
    counts = ClassCounts(count_classes(case.task, case.targets), len(case.digits))
    return build_network(CATALOG, values, case.task, SPEC, counts, (0, "0"), TABLE_WIDTH)


def make_images(case: Case, network: Network) -> torch.Tensor:
    return network.prepare(torch.from_numpy(case.images))


def train_step(case: Case, network: Network, losses: Any = None) -> None:
    """Forward, loss and backward: every row has a loss, and what trains has a gradient."""
    table = torch.rand(len(case.digits), TABLE_WIDTH) if network.takes_table else None
    rows = (losses or make_losses(case))(network(make_images(case, network), table), to_tensors(case.targets))
    assert set(rows) == set(case.targets) and all(part.shape == (len(case.digits),) for part in rows.values())
    torch.stack(list(rows.values())).mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients) and any(gradient.any() for gradient in gradients)


def use_model(values: dict[str, Any], case: Case) -> None:
    train_step(case, make_network(case, model=values))


def use_head(values: dict[str, Any], case: Case) -> None:
    train_step(case, make_network(case, head=values))


def use_loss(values: dict[str, Any], case: Case) -> None:
    train_step(case, make_network(case), make_losses(case, values))


def use_optimizer(values: dict[str, Any], case: Case) -> None:
    network = make_network(case)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = CATALOG.build("optimizer", values, network=network)
    train_step(case, network)
    optimizer.step()
    assert any(not torch.equal(before[name], parameter) for name, parameter in network.named_parameters())


def use_scheduler(values: dict[str, Any], case: Case) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = CATALOG.build("scheduler", values, optimizer=optimizer, steps=8, epochs=4, early_stopping=4)
    for epoch in range(4):
        for step in range(2):
            schedule.step(2 * epoch + step)
            optimizer.step()
            assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1
        schedule.epoch(epoch, 0.5)
    schedule.load_state_dict(schedule.state_dict())


def use_ensemble(values: dict[str, Any], case: Case) -> None:
    losses, network = make_losses(case), make_network(case)
    ensemble = CATALOG.build("ensemble", values, task=case.task, epochs=4)
    if is_gatherer(CATALOG, values["use"]):
        for epoch in range(4):
            ensemble.gather(epoch, make_network(case).state_dict(), epoch / 4)
        network.load_state_dict(ensemble.finish(lambda weights: 1.0, lambda weights: weights)[0])
        return
    batch = Batch(make_images(case, network), to_tensors(case.targets), torch.ones(len(case.digits)))
    job = EnsembleJob(
        make_network=lambda: make_network(case), batches=lambda number: iter([batch]), batches_per_epoch=1, rows=len(case.digits),
        loss=lambda outputs, targets: torch.stack(list(losses(outputs, targets).values())).mean(dim=0), links=losses.links,
        clip_norm=1.0, epochs=values.get("estimators", 1),
        optimizer={"use": "timm", "opt": "adamw", "lr": 1e-3, "weight_decay": 0.0},
        device=torch.device("cpu"), report=lambda *told: None,
    )  # fmt: skip
    fitted = ensemble.fit(job)
    ensemble.assemble(lambda: make_network(case), losses.links).load_state_dict(fitted.state_dict())
    assert fitted(batch.images).shape == (len(case.digits), case.task.outputs)


def use_objective(values: dict[str, Any], case: Case) -> None:
    network = make_network(case, **({"model": AUTOENCODER} if values["use"] == "reconstruction" else {}))
    targets = to_tensors(case.targets)
    taught = {name: torch.as_tensor(case.answers[:, columns]) for name, columns in case.task.slices.items()}
    ones, labelled = torch.ones(len(case.digits)), torch.arange(len(case.digits)) % 3 > 0
    batch = Batch(make_images(case, network), targets, ones, labelled=labelled, teacher=taught)
    objective = CATALOG.build("objective", values, task=case.task)
    loss, parts = objective(network, batch, None, make_losses(case))
    loss.backward()
    getattr(objective, "restore", lambda network: None)(network)
    assert loss.isfinite() and parts


USES: dict[str, Callable[[dict[str, Any], Case], None]] = {
    name.removeprefix("use_"): thing for name, thing in globals().items() if name.startswith("use_")
}
PLUGINS = [plugin for plugin in CATALOG.plugins.values() if plugin.kind in USES]


@pytest.mark.parametrize("plugin", PLUGINS, ids=[f"{plugin.kind}.{plugin.name}" for plugin in PLUGINS])
def test_it_works_as_its_example_says(plugin: Plugin, values, try_cases) -> None:
    try_cases(USES[plugin.kind], values)


def test_every_kind_is_walked() -> None:
    elsewhere = {"dataset", "split", "preprocess", "augment", "mix", "sampler", "metric", "tta", "post", "blend", "submission"}
    assert {*USES, *elsewhere, "logger", "leaderboard"} == set(KINDS)
