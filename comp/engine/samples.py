"""Samples: some training pictures as the network was given them, augmented and mixed, kept for the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from comp import formats
from comp.api import Batch, Mixed, Objective, Task
from comp.engine.data import iterate_images
from comp.engine.network import Network
from comp.pictures import MOST_SHOWN, SAMPLES, Picture, make_thumbnail, name_mixture
from comp.project import atomic_write

if TYPE_CHECKING:
    from comp.engine.stage import Stage

PER_BATCH = 8
"""Of more than one batch, because many mixes take or leave whole batches."""


class Samples:
    """Collects the pictures of one stage from its first batches on.

    Attributes:
        most: how many are wanted: none where the stage's were written before a kill.
    """

    def __init__(self, folder: Path, stage: str, task: Task, network: Network) -> None:
        self.file, self.stage, self.task = folder / SAMPLES, stage, task
        self.scale, self.shift = (part.detach().cpu().numpy() for part in (network.scale, network.shift))
        self.most = 0 if stage in read_stages(self.file) else MOST_SHOWN
        self.pictures: list[Picture] = []

    def watch(self, objective: Objective) -> Objective:
        """The same objective, with what it is given looked at first."""

        def ask(network: nn.Module, batch: Batch, mixed: Mixed | None, losses: Any) -> Any:
            self.look(batch, mixed)
            return objective(network, batch, mixed, losses)

        return ask

    def watch_batches(self, batches: Callable[..., Iterator[Batch]]) -> Callable[..., Iterator[Batch]]:
        """The same for a loop that takes batches and has no objective."""

        def watched(*args: Any) -> Iterator[Batch]:
            for batch in batches(*args):
                self.look(batch)
                yield batch

        return watched

    def look(self, batch: Batch, mixed: Mixed | None = None) -> None:
        wanted = min(PER_BATCH, self.most - len(self.pictures))
        if not wanted:
            return
        images = self.restore((batch.images if mixed is None else mixed.images)[:wanted])
        for place, image in enumerate(images):
            self.pictures.append(Picture(make_thumbnail(image), tuple(describe_row(self.task, batch, mixed, place))))

    def show(self, stage: Stage) -> None:
        """The first pictures of a stage that learns from stored features, and whose batches have no images."""
        chosen = stage.draw_order(0)[: self.most]
        images = iterate_images(stage.rows.store, stage.rows.positions[chosen], PER_BATCH, stage.context.image.size)
        for part, at in zip(images, range(0, len(chosen), PER_BATCH), strict=True):
            self.look(stage.make_batch(part, torch.from_numpy(chosen[at : at + PER_BATCH])))

    def restore(self, images: torch.Tensor) -> np.ndarray:
        """Normalised (B, C, H, W) -> (B, H, W, C) uint8, as they were before `prepare`."""
        pixels = (images.detach().float().cpu().numpy() - self.shift) / self.scale
        return pixels.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)

    def write(self) -> None:
        """Add what there is to the fold's file."""
        if self.pictures:
            stages = {**read_stages(self.file), self.stage: [asdict(picture) for picture in self.pictures]}
            atomic_write(self.file, json.dumps({"format": formats.SAMPLES, "stages": stages}))


def watch_stage(folder: Path, stage: Stage) -> Samples:
    """Look at what the first batches show the network. `folder`: the fold's."""
    samples = Samples(folder, stage.context.stage["name"], stage.context.task, stage.network)
    if stage.features is None:
        stage.objective = samples.watch(stage.objective)
    else:
        samples.show(stage)
    return samples


def describe_row(task: Task, batch: Batch, mixed: Mixed | None, place: int) -> list[str]:
    own = take_answers(task, batch, place)
    if mixed is None:
        return name_mixture(task, own, None, 1.0)
    return name_mixture(task, own, take_answers(task, batch, int(mixed.partner[place])), float(mixed.share[place]))


def take_answers(task: Task, batch: Batch, place: int) -> dict[str, Any]:
    """Target name -> what one row answers; None where its targets do not count."""
    if batch.labelled is not None and not batch.labelled[place]:
        return dict.fromkeys(target.name for target in task.targets)
    return {target.name: batch.targets[target.name][place].cpu().numpy() for target in task.targets}


def read_stages(file: Path) -> dict[str, Any]:
    return formats.read_record(file, formats.SAMPLES)["stages"] if file.exists() else {}
