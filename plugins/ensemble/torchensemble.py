"""torchensemble's voting and snapshot ensembles, trained inside a fold.

torchensemble owns the loop; this module gives it what it needs (a class for members, a loader, a criterion) and takes the
trained members out into a plain module. Shuffling, augmentation, loss and seeding stay the kit's.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from comp.api import Ensemble, EnsembleJob, Link, PluginError, Task, plugin

REFUSED = {
    "bagging": "it builds its own loaders, so that shuffling, augmentation and progress are lost",
    "gradient_boosting": "its learners' sum is no mean of probabilities, and it diverges at usual learning rates",
    "soft_gradient_boosting": "its learners' sum is no mean of probabilities, and it diverges at usual learning rates",
    "adversarial_training": "it wants images in [0, 1], and normalised ones are trained on",
    "fast_geometric": "it needs a trained first network and a schedule of its own",
    "fusion": "its members are trained as one network, which averages logits and not answers",
}

# timm's name (the manifest's) -> torchensemble's, and what timm's default means there.
OPTIMIZERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "adamax": ("Adamax", {}),
    "adadelta": ("Adadelta", {}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {"momentum": 0.9}),
    "rprop": ("Rprop", {}),
}


def names() -> tuple[str, ...]:
    return ("voting", "snapshot", *REFUSED)


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """No method takes arguments beyond the plugin's own.

    Raises:
        ValueError: the method is one of torchensemble's that are refused, with the reason.
    """
    if name in REFUSED:
        raise ValueError(f"refused, because {REFUSED[name]}; use voting or snapshot")
    return inspect.Signature()


@plugin("ensemble", family="method", names="names", signature="signature")
def torchensemble(
    task: Task, /, *, method: str = "voting", estimators: int = 5, schedule: Literal["cosine", "constant"] = "cosine"
) -> Ensemble:
    """An ensemble of torchensemble, answering with the mean of its members' probabilities (values: their mean).

    voting: members start and are shuffled apart, each trained for the manifest's epochs. snapshot: one network, trained for
    the manifest's epochs on cyclic cosine rates, copied at the end of each cycle (Huang et al. 2017).

    Args:
        method: voting or snapshot.
        estimators: number of members, from 1; snapshot: the epochs must be a multiple of it.
        schedule: learning rate of voting members: cosine falls per step to zero, constant stays; snapshot has its own.

    Raises:
        PluginError: the method is refused or unknown, or estimators is below 1.
    """
    if method in REFUSED:
        raise PluginError(f"ensemble.method {method} is refused, because {REFUSED[method]}; use voting or snapshot")
    if method not in ("voting", "snapshot"):
        raise PluginError(f"ensemble.method is {method!r}; wanted voting or snapshot")
    if estimators < 1:
        raise PluginError(f"ensemble.estimators is {estimators}; wanted 1 or more")
    return TorchEnsemble(task, method, estimators, schedule)


class TorchEnsemble:
    def __init__(self, task: Task, method: str, estimators: int, schedule: str) -> None:
        self.task = task
        self.method = method
        self.estimators = estimators
        self.schedule = schedule

    def passes(self, epochs: int) -> int:
        """How many passes over the data a fit takes.

        Raises:
            PluginError: snapshot's epochs are no multiple of estimators.
        """
        if self.method == "voting":
            return epochs * self.estimators
        if epochs % self.estimators:
            raise PluginError(
                f"ensemble snapshot takes a copy every epochs / estimators epochs; {epochs} epochs are no multiple of "
                f"{self.estimators} estimators: change train.epochs or ensemble.estimators"
            )
        return epochs

    def assemble(self, make_network: Callable[[], nn.Module], links: Mapping[str, Link]) -> nn.Module:
        return MeanAnswer([make_network() for _ in range(self.estimators)], self.task, links)

    def fit(self, job: EnsembleJob) -> nn.Module:
        """Members on job.device, in eval mode.

        Raises:
            PluginError: torchensemble has no such optimizer, it refuses an argument, or snapshot's epochs are no multiple
                of estimators.
        """
        from torchensemble import SnapshotEnsembleClassifier, VotingClassifier

        self.passes(job.epochs)
        name, settings = translate_optimizer(job.optimizer)
        feed = Feed(job)
        # A class, because an instance would give all members the same weights; cuda=False and the device set by hand,
        # because cuda=True means the first GPU and fails without one.
        given = VotingClassifier if self.method == "voting" else SnapshotEnsembleClassifier
        ensemble = given(estimator=make_member_class(job), n_estimators=self.estimators, cuda=False)
        ensemble.device = job.device
        ensemble.logger = make_silent_logger()
        ensemble.tb_logger = None
        ensemble.set_optimizer(name, **settings)
        ensemble.set_criterion(feed.measure)
        steps = job.epochs * job.batches_per_epoch
        falling = self.schedule == "cosine" and self.method == "voting"
        with contextlib.ExitStack() as during:
            during.enter_context(fresh_autocast())
            if job.clip_norm:
                during.enter_context(clip(job.clip_norm))
            if falling:
                during.enter_context(decay(steps))
            ensemble.fit(feed, epochs=job.epochs, log_interval=Never(1), test_loader=None, save_model=False)
        return MeanAnswer([member.network for member in ensemble.estimators_], self.task, job.links).eval()


class MeanAnswer(nn.Module):
    """Raw outputs whose probabilities are the mean of the members' (log p, log odds, or the mean value)."""

    def __init__(self, members: list[nn.Module], task: Task, links: Mapping[str, Link]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.parts = [(task.slices[target.name], links[target.name]) for target in task.targets]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = torch.stack([member(images).float() for member in self.members])
        return torch.cat([average(outputs[:, :, columns], link) for columns, link in self.parts], dim=1)


def average(outputs: torch.Tensor, link: str) -> torch.Tensor:
    """(M, B, width) raw outputs of M members -> (B, width) raw outputs of their mean."""
    if link == "identity":
        return outputs.mean(dim=0)
    if link == "softmax":
        return outputs.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(outputs))
    # The 1/M of both means cancels out of the log odds.
    return F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0)


# ---- what torchensemble is given -----------------------------------------------------------------------------------------


class Feed:
    """The loader and the criterion, which share the batch at hand: torchensemble would pass row weights as a second input."""

    def __init__(self, job: EnsembleJob) -> None:
        self.job = job
        self.passes = 0
        self.batch: Any = None
        self.loss = torch.zeros(())
        # torchensemble counts the classes by a whole pass, unless the dataset names them.
        self.dataset = type("Named", (), {"classes": ()})()

    def __len__(self) -> int:
        return self.job.batches_per_epoch

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        number = self.passes
        self.passes += 1
        for count, self.batch in enumerate(self.job.batches(number)):
            yield self.batch.images, torch.arange(len(self.batch.images), device=self.batch.images.device)
            self.job.report(number, count, float(self.loss))

    def measure(self, outputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        loss = (self.job.loss(outputs, self.batch.targets) * self.batch.weights).mean()
        self.loss = loss.detach()
        return loss


class Never(int):
    """A log interval that no batch number is a multiple of: torchensemble prints its progress."""

    def __rmod__(self, number: int) -> int:
        return 1


def make_member_class(job: EnsembleJob) -> type[nn.Module]:
    lr = job.optimizer.get("lr")
    head_lr = job.optimizer.get("head_lr") or lr

    class Member(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = job.make_network().train()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)

        def parameters(self, recurse: bool = True) -> Iterator[Any]:
            # torchensemble builds optimizers from parameters() alone: groups, so that the head has its own learning rate
            # and norms and biases no weight decay.
            groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
            for name, parameter in self.network.named_parameters():
                if parameter.requires_grad:
                    groups.setdefault((name.startswith("head."), parameter.ndim <= 1), []).append(parameter)
            for (head, plain), members in groups.items():
                yield {"params": members, "lr": head_lr if head else lr, **({"weight_decay": 0.0} if plain else {})}

    return Member


def translate_optimizer(mapping: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The manifest's optimizer as torchensemble's name and keyword arguments."""
    opt = mapping.get("opt", "adamw")
    if mapping.get("use", "timm") != "timm" or opt not in OPTIMIZERS:
        raise PluginError(
            f"torchensemble builds its optimizers itself and knows {', '.join(OPTIMIZERS)}; optimizer is "
            f"{{use: {mapping.get('use', 'timm')}, opt: {opt}}}"
        )
    if mapping.get("layer_decay") is not None:
        raise PluginError("optimizer.layer_decay: torchensemble cannot honour it; remove the key or the ensemble")
    name, settings = OPTIMIZERS[opt]
    given = {key: value for key, value in mapping.items() if key not in ("use", "opt", "head_lr", "layer_decay")}
    refused = given.keys() - inspect.signature(getattr(torch.optim, name)).parameters.keys()
    if refused:
        raise PluginError(f"optimizer: {opt} in torchensemble is torch.optim.{name}, which takes no {', '.join(sorted(refused))}")
    return name, {**settings, **given}


def make_silent_logger() -> logging.Logger:
    # torchensemble logs to the root logger, which is the program's.
    logger = logging.Logger("torchensemble", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger


@contextlib.contextmanager
def decay(steps: int) -> Iterator[None]:
    """Every optimizer's rates fall along a half cosine over its own `steps` steps, each group from its own rate."""
    taken: dict[torch.optim.Optimizer, tuple[int, list[float]]] = {}

    def lower(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        step, lrs = taken.get(optimizer) or (0, [group["lr"] for group in optimizer.param_groups])
        factor = 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr * factor
        taken[optimizer] = (step + 1, lrs)

    # torchensemble's own schedulers set one rate for all groups, once an epoch.
    with before_steps(lower):
        yield


@contextlib.contextmanager
def clip(norm: float) -> Iterator[None]:
    """The gradients of every optimizer, taken together, are shortened to `norm` before each of its steps."""

    def shorten(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], norm)

    with before_steps(shorten):
        yield


@contextlib.contextmanager
def before_steps(hook: Callable[[torch.optim.Optimizer, Any, Any], None]) -> Iterator[None]:
    # torch's hook is one for all optimizers; torchensemble makes its own out of reach.
    handle = register_optimizer_step_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def fresh_autocast() -> Iterator[None]:
    # Autocast's cache outlives a step of torchensemble's loop: members would train on the casts of earlier weights.
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)
