"""Gathering: one network out of the epochs of a fold (stochastic weight averages, soups), where the manifest asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from comp.api import Gatherer
from comp.combinations import is_gatherer
from comp.engine.answers import Answers
from comp.engine.checkpoint import copy_state
from comp.engine.job import FoldJob
from comp.engine.stage import Stage
from comp.errors import RunInterrupted
from comp.events import Notice

Weights = dict[str, torch.Tensor]


class Gathering:
    """What a fold's gatherer is told, and what came of it. Where the manifest asks for none, nothing happens in here.

    Attributes:
        gatherer: the manifest's ensemble, if it is one that has no loop of its own.
        epochs: of the fold, that the weights which predict are made of; empty before the end.
        scores: of these weights on the held-out rows; None before the end, or where nothing was gathered.
    """

    def __init__(self, job: FoldJob, epochs: int, saved: Mapping[str, Any] | None) -> None:
        spec, catalog = job.manifest.values["ensemble"], job.manifest.catalog
        self.gatherer: Gatherer | None = None
        self.epochs: list[int] = []
        self.scores: dict[str, float] | None = None
        if spec and is_gatherer(catalog, spec["use"]):
            self.use = spec["use"]
            self.gatherer = catalog.build("ensemble", spec, task=job.task, epochs=epochs)
            if saved:
                self.gatherer.load(saved["gathered"])

    def add(self, epoch: int, network: nn.Module, score: float | None) -> None:
        """After each epoch of the fold. `score`: of the network on the held-out rows, greater is better."""
        if self.gatherer:
            self.gatherer.gather(epoch, copy_state(network), score)

    def state(self) -> dict[str, Any] | None:
        return self.gatherer.state() if self.gatherer else None

    def finish(self, stage: Stage, answers: Answers, outputs: np.ndarray | None) -> np.ndarray | None:
        """Have the fold's last stage predict with what was gathered.

        Args:
            outputs: the last epoch's raw outputs for the held-out rows.

        Returns the same of the weights that predict now (None where there are no such rows).
        """
        if self.gatherer is None:
            return outputs
        network, job = stage.predictor, answers.job

        def judge(weights: Weights) -> float | None:
            network.load_state_dict(weights)
            return answers.orient(answers.validate(network)[1])

        def renew(weights: Weights) -> Weights:
            network.load_state_dict(weights)
            renew_norms(network, stage)
            return copy_state(network)

        last = copy_state(network)
        found = self.gatherer.finish(judge, renew)
        network.load_state_dict(last if found is None else found[0])
        if found is None:
            stage.context.emit(Notice(f"fold {job.fold}: {self.use} has gathered no epochs; the last one predicts", "warning"))
            return outputs
        self.epochs = found[1]
        stage.context.emit(Notice(f"fold {job.fold}: {self.use} of the epochs {', '.join(map(str, self.epochs))}"))
        _, self.scores, outputs = answers.validate(network)
        return outputs

    def record(self) -> dict[str, Any]:
        """What fold.json holds of it. Epochs chosen on held-out rows are told from the last one's score, as `select: best` is."""
        if self.scores is None:
            return {}
        chosen = {"select": self.use, "scores_best": self.scores} if self.gatherer.chooses else {}
        return {**chosen, "gathered": self.epochs}


@torch.no_grad()
def renew_norms(network: nn.Module, stage: Stage) -> None:
    """Batch-norm statistics from one pass over the training rows, as a mean over its batches; what is frozen keeps its own.

    Weights that were averaged have other activations than each of those they were averaged from (Izmailov et al. 2018). Unlike
    torch.optim.swa_utils.update_bn, everything but the batch norms is in the state that predicts: dropout is off.
    """
    frozen = {id(module) for part in stage.frozen for module in part.modules()}
    kept = {name for name, module in stage.network.named_modules() if id(module) in frozen}  # the predictor may be the average
    norms = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats and name not in kept
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain mean over batches
        norm.train()
    epochs = stage.context.stage["epochs"]  # the pass after the last
    stop = stage.ranks.ask_together(stage.context.stop)
    with stage.fabric.autocast():
        for images, rows in stage.loader.epoch(stage.draw_order(epochs), (*stage.context.key, epochs)):
            if stop():
                raise RunInterrupted("stopped")
            batch = stage.make_batch(images, rows)
            network(batch.images, batch.table)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
