"""Answers: what a fold's network says of held-out and test rows, in which views, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from comp.api import ImageSpec, Link, View
from comp.engine.losses import build_losses
from comp.engine.predict import plan_batch, predict_views
from comp.engine.ranks import Ranks
from comp.engine.rows import Rows
from comp.errors import RunInterrupted
from comp.events import Emit, PredictionProgress
from comp.manifest import Manifest
from comp.predictions import link_outputs
from comp.scores import score_rows
from comp.views import PLAIN, name_views

if TYPE_CHECKING:
    from comp.engine.features import StoredFeatures
    from comp.engine.job import FoldJob

Validated = tuple[float | None, dict[str, float], np.ndarray | None]
"""Held-out loss; scores, the deciding metric first (several targets: their mean), then each target's; and raw outputs."""


class Answers:
    """Predicts for one fold; its losses are those of the last stage, whose links say what raw outputs mean.

    `stop` is asked between batches: RunInterrupted ends a prediction, which is then made anew.
    """

    def __init__(self, job: FoldJob, fabric: Fabric, emit: Emit) -> None:
        self.job, self.fabric, self.emit, self.ranks = job, fabric, emit, Ranks(fabric)
        last = job.manifest.stages[-1]
        self.losses = build_losses(job.manifest.catalog, last["loss"], job.task, job.train.targets, torch.device("cpu"))
        self.batch = plan_batch(job.manifest, job.image)
        self.stop = job.stop

    @property
    def links(self) -> Mapping[str, Link]:
        return self.losses.links

    def predict(self, network: nn.Module, rows: Rows, views: Mapping[str, View | None], what: str) -> dict[str, np.ndarray]:
        def progress(done: int, total: int) -> None:
            whole = min(done * self.ranks.count, len(rows))
            self.emit(PredictionProgress(self.job.fold, what, whole, len(rows)))
            if whole < len(rows) and self.stop():
                raise RunInterrupted("stopped")

        def ask(own: Rows) -> dict[str, np.ndarray]:
            return predict_views(network, self.fabric, own, views, self.batch, progress)

        self.ranks.align(network)
        return self.ranks.predict(rows, self.batch.rows, ask)

    def validate(self, network: nn.Module, features: StoredFeatures | None = None) -> Validated:
        """The held-out rows' plain view; nothing where there are none (`full`). `features`: those of the network's backbone."""
        held_out = self.job.held_out
        if held_out is None or not len(held_out):
            return None, {}, None
        if features:
            outputs = features.answer(network, held_out, self.batch.size)
        else:
            outputs = self.predict(network, held_out, {PLAIN: None}, "held-out")[PLAIN]
        return *self.ranks.agree(lambda: self.judge(outputs)), outputs

    def judge(self, outputs: np.ndarray) -> tuple[float, dict[str, float]]:
        """Loss and scores of the held-out rows' raw outputs."""
        held_out = self.job.held_out
        targets = {name: torch.as_tensor(values) for name, values in held_out.targets.items()}
        losses = self.losses(torch.as_tensor(outputs), targets)
        loss = float(torch.stack([part.double().mean() for part in losses.values()]).mean())
        probabilities = link_outputs(outputs, self.job.task, self.links)
        name = self.job.manifest.values["metric"]["use"]
        return loss, score_rows(self.job.task.scored, name, self.job.metrics, held_out.targets, probabilities)

    def orient(self, scores: Mapping[str, float]) -> float | None:
        """The deciding score, such that greater is better; None without one."""
        headline = next(iter(scores.values()), None)
        greater = next(iter(self.job.metrics.values())).greater_is_better
        return None if headline is None else headline if greater else -headline

    def monitor(self, what: str, loss: float | None, scores: Mapping[str, float]) -> float | None:
        """What `train.monitor` names, such that greater is better; None without held-out rows."""
        return self.orient(scores) if what == "metric" else None if loss is None else -loss


def build_views(manifest: Manifest, image: ImageSpec) -> dict[str, View]:
    """The manifest's `tta`: name -> view, besides the plain one."""
    views: dict[str, View] = {}
    for spec in manifest.values["tta"]:
        views.update(name_views(spec, manifest.catalog.build("tta", spec, image=image)))
    return views
