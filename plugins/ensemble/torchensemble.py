"""torchensemble's methods, trained inside a fold.

torchensemble owns the loop; it is given what it needs (a class for members, a loader, a criterion: _given) and the trained
members are taken out into a plain module. Shuffling, augmentation, loss and seeding stay the kit's.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal
from unittest.mock import patch

import torch
import torchensemble as library
from torch import nn
from torch.nn import functional as F
from torchensemble.utils import operator

from comp.api import Ensemble, EnsembleJob, Link, PluginError, Task, plugin

from ._given import Feed, Never, make_member_class, make_silent_logger, translate_optimizer, with_own_rates
from ._steps import clip, decay, fresh_autocast

# Bagging is voting on rows drawn by the kit: the library's builds loaders of its own, without augmentation and progress.
METHODS: Mapping[str, str] = {
    "voting": "VotingClassifier", "bagging": "VotingClassifier", "snapshot": "SnapshotEnsembleClassifier",
    "fast_geometric": "FastGeometricClassifier", "fusion": "FusionClassifier",
    "gradient_boosting": "GradientBoostingClassifier", "soft_gradient_boosting": "SoftGradientBoostingClassifier",
    "adversarial_training": "AdversarialTrainingClassifier",
}  # fmt: skip
ALONE = ("voting", "bagging", "gradient_boosting", "adversarial_training")  # each member has epochs of its own
BOOSTING = ("gradient_boosting", "soft_gradient_boosting")
OF_METHODS = {"shrinkage": BOOSTING, "epsilon": ("adversarial_training",), "cycle": ("fast_geometric",)}
FAST_GEOMETRIC_DEPTH = 0.01  # of the manifest's rates (Garipov et al. 2018: 5e-2 and 5e-4)


def names() -> tuple[str, ...]:
    return tuple(METHODS)


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """No method takes arguments beyond the plugin's own."""
    return inspect.Signature()


@plugin("ensemble", family="method", names="names", signature="signature")
def torchensemble(
    task: Task,
    /,
    *,
    method: str = "voting",
    estimators: int = 5,
    schedule: Literal["cosine", "constant"] = "cosine",
    shrinkage: float | None = None,
    epsilon: float | None = None,
    cycle: int | None = None,
) -> Ensemble:
    """An ensemble of torchensemble. Unless said otherwise it answers with the mean of its members' probabilities (values: mean).

    voting: members start and are shuffled apart, each trained for the manifest's epochs. bagging: the same, each on rows drawn
    with replacement (Breiman 1996). adversarial_training: voting, trained on images and on their fast-gradient-sign
    disturbances (Lakshminarayanan et al. 2017). snapshot: one network, trained for the manifest's epochs on cyclic cosine
    rates, copied at the end of each cycle (Huang et al. 2017). fast_geometric: one network, trained for the manifest's epochs,
    then further on short cycles of rates between the manifest's and a hundredth of them, copied in the middle of each
    (Garipov et al. 2018). fusion: members trained as one network; answers with the mean of their raw outputs.
    gradient_boosting: one member after another, each trained for the manifest's epochs by least squares on the negative
    gradient of the manifest's loss at the sum of those before it (Friedman 2001); answers with the sum of the raw outputs.
    soft_gradient_boosting: the same with all members trained at once (Feng et al. 2020).

    Args:
        method: voting, bagging, snapshot, fast_geometric, fusion, gradient_boosting, soft_gradient_boosting or
            adversarial_training.
        estimators: number of members, from 1; snapshot: the epochs must be a multiple of it.
        schedule: cosine: the learning rate falls per step to zero over each optimizer's epochs (fast_geometric: of its first
            part); constant: it stays. snapshot has its own.
        shrinkage: of the boosting methods: what members' outputs are multiplied by in the sum, in (0, 1]; null: 1. Half is a
            full step for mse, whose gradient is twice the error.
        epsilon: of adversarial_training: the disturbance of each pixel, of 0 to 1, in (0, 1]; null: 0.01.
        cycle: of fast_geometric: epochs of a cycle, from 2; null: 2.

    Raises:
        PluginError: there is no such method, a number is out of its range, or belongs to another method.

    Example: {use: torchensemble, method: voting, estimators: 5}
    """
    if method not in METHODS:
        raise PluginError(f"ensemble.method is {method!r}; wanted {', '.join(METHODS)}")
    if estimators < 1:
        raise PluginError(f"ensemble.estimators is {estimators}; wanted 1 or more")
    for name, given in (("shrinkage", shrinkage), ("epsilon", epsilon), ("cycle", cycle)):
        if given is not None and method not in OF_METHODS[name]:
            raise PluginError(f"ensemble.{name} is for {' and '.join(OF_METHODS[name])}; the method is {method}: remove the key")
    for name, share in (("shrinkage", shrinkage), ("epsilon", epsilon)):
        if share is not None and not 0 < share <= 1:
            raise PluginError(f"ensemble.{name} is {share}; wanted a number in (0, 1]")
    if cycle is not None and cycle < 2:
        raise PluginError(f"ensemble.cycle is {cycle}; wanted 2 epochs or more: a network is copied in the middle of a cycle")
    return TorchEnsemble(task, method, estimators, schedule, shrinkage or 1.0, epsilon or 0.01, cycle or 2)


class TorchEnsemble:
    def __init__(
        self, task: Task, method: str, estimators: int, schedule: str, shrinkage: float, epsilon: float, cycle: int
    ) -> None:
        self.task = task
        self.method = method
        self.estimators = estimators
        self.schedule = schedule
        self.shrinkage, self.epsilon, self.cycle = shrinkage, epsilon, cycle

    def passes(self, epochs: int) -> int:
        """How many passes over the data a fit takes.

        Raises:
            PluginError: snapshot's epochs are no multiple of estimators.
        """
        if self.method == "snapshot" and epochs % self.estimators:
            raise PluginError(
                f"ensemble snapshot takes a copy every epochs / estimators epochs; {epochs} epochs are no multiple of "
                f"{self.estimators} estimators: change train.epochs or ensemble.estimators"
            )
        if self.method == "fast_geometric":
            return epochs + (self.estimators - 1) * self.cycle + self.cycle // 2
        return epochs * self.estimators if self.method in ALONE else epochs

    def assemble(self, make_network: Callable[[], nn.Module], links: Mapping[str, Link]) -> nn.Module:
        return self.gather([make_network() for _ in range(self.estimators)], links)

    def gather(self, members: list[nn.Module], links: Mapping[str, Link]) -> nn.Module:
        if self.method in BOOSTING:
            return SumOfOutputs(members, self.shrinkage)
        return SumOfOutputs(members, 1 / len(members)) if self.method == "fusion" else MeanAnswer(members, self.task, links)

    def fit(self, job: EnsembleJob) -> nn.Module:
        """Members on job.device, in eval mode.

        Raises:
            PluginError: torchensemble has no such optimizer, it refuses an argument, or snapshot's epochs are no multiple
                of estimators.
        """
        self.passes(job.epochs)
        name, settings = translate_optimizer(job.optimizer)
        feed = Feed(job, self.method, self.estimators, self.task.outputs)
        # A class, because an instance would give all members the same weights; cuda=False and the device set by hand,
        # because cuda=True means the first GPU and fails without one.
        boosting = {"shrinkage_rate": self.shrinkage} if self.method in BOOSTING else {}
        kind = with_own_rates(getattr(library, METHODS[self.method]))
        ensemble = kind(estimator=make_member_class(job, feed.unit), n_estimators=self.estimators, cuda=False, **boosting)
        ensemble.device = job.device
        ensemble.logger = make_silent_logger()
        ensemble.tb_logger = None
        ensemble.set_optimizer(name, **settings)
        if self.method not in BOOSTING:
            ensemble.set_criterion(feed.measure)
        with contextlib.ExitStack() as during:
            during.enter_context(fresh_autocast())
            if job.clip_norm:
                during.enter_context(clip(job.clip_norm))
            if self.schedule == "cosine" and self.method != "snapshot":
                steps = job.epochs * job.batches_per_epoch
                during.enter_context(decay(steps, 1 if self.method == "fast_geometric" else None))
            if self.method in BOOSTING:
                during.enter_context(patch.object(operator, "pseudo_residual_classification", feed.descend))
            ensemble.fit(feed, epochs=job.epochs, log_interval=Never(1), test_loader=None, save_model=False, **self.options())
        return self.gather([member.network for member in ensemble.estimators_], job.links).eval()

    def options(self) -> dict[str, Any]:
        """What this method's `fit` is told besides."""
        if self.method in BOOSTING:
            return {"use_reduction_sum": False}  # the sum over rows and classes diverges at usual learning rates
        if self.method == "adversarial_training":
            return {"epsilon": self.epsilon}
        # Shares of the rates that the optimizer has.
        return {"cycle": self.cycle, "lr_1": 1.0, "lr_2": FAST_GEOMETRIC_DEPTH} if self.method == "fast_geometric" else {}


class MeanAnswer(nn.Module):
    """Raw outputs whose probabilities are the mean of the members' (log p, log odds, or the mean value)."""

    def __init__(self, members: list[nn.Module], task: Task, links: Mapping[str, Link]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.parts = [(task.slices[target.name], links[target.name]) for target in task.targets]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = torch.stack([member(images).float() for member in self.members])
        return torch.cat([average(outputs[:, :, columns], link) for columns, link in self.parts], dim=1)


class SumOfOutputs(nn.Module):
    """The sum of the members' raw outputs, times a factor."""

    def __init__(self, members: list[nn.Module], factor: float) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * torch.stack([member(images).float() for member in self.members]).sum(dim=0)


def average(outputs: torch.Tensor, link: str) -> torch.Tensor:
    """(M, B, width) raw outputs of M members -> (B, width) raw outputs of their mean."""
    if link == "identity":
        return outputs.mean(dim=0)
    if link == "softmax":
        return outputs.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(outputs))
    # The 1/M of both means cancels out of the log odds.
    return F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0)
