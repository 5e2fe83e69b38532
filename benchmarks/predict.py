"""`comp predict` against the forward passes alone: five folds, each image and its mirror image; seconds on a warm image store.

The baseline is the same five models in the same process on the same batches, which lie in memory, normalised and mirrored
beforehand. `comp predict` opens the run and the store, restores the models, takes the images from the store, normalises, mirrors,
averages, and writes the file. Claim: at most 1.10 times the forward passes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.pictures import open_pictures, read_arguments
from benchmarks.scale import make_workspace
from comp.engine.restore import restore_network
from comp.finished import plan_restored
from comp.predict import predict_new
from comp.project import Project
from comp.restored import Restored, open_restored
from comp.runs import fold_folder
from comp.unseen import list_test

PAIRS = 3
MANIFEST = """\
about: five models to predict with; their scores do not matter
model: {use: timm, arch: mobilenetv3_small_050, pretrained: false}
image: {size: 128, predict_size: 128}
augment: []
split: {folds: 5}
train: {epochs: 1, batch_size: 32, ema: false, workers: 0}
tta: [{use: hflip}]
submission: {use: probabilities}
"""


def say_nothing(event: object) -> None:
    pass


def take_apart(restored: Restored, test: Path) -> tuple[list[nn.Module], list[torch.Tensor]]:
    """The run's models, and its batches of the test images, as they are and mirrored, as the models are given them."""
    plan, fabric = restored.plan, restored.fabric
    tables = list_test(test, plan.competition.tables, plan.manifest.values["dataset"], True, plan.manifest.catalog)
    plan = replace(plan, competition=replace(plan.competition, tables=tables))
    task, folders = plan.competition.trained, [fold_folder(plan.run.folder, fold) for fold in plan.run.done]
    networks = [restore_network(plan.manifest, task, restored.image, folder, fabric)[0] for folder in folders]
    pixels = replace(restored, plan=plan).read(tables.test, "test", "error").store
    plain = [
        networks[0].prepare(torch.from_numpy(pixels.take(chosen)).to(fabric.device))
        for chosen in np.split(np.arange(len(pixels)), range(restored.batch.rows, len(pixels), restored.batch.rows))
    ]
    return networks, [view for images in plain for view in (images, images.flip(-1))]


def pass_forward(restored: Restored, networks: Sequence[nn.Module], batches: Sequence[torch.Tensor]) -> tuple[float, np.ndarray]:
    """Seconds, and (N, classes) the mean of all models and views."""
    started = time.perf_counter()
    with torch.inference_mode(), restored.fabric.autocast():
        outputs = [[network(batch).float() for batch in batches] for network in networks]
    found = [[batch.cpu() for batch in one] for one in outputs]  # on a GPU this waits for them
    elapsed = time.perf_counter() - started
    answers = [torch.cat(one[view::2]).double().softmax(1) for one in found for view in (0, 1)]
    return elapsed, torch.stack(answers).mean(0).numpy()


def main() -> None:
    with open_pictures(read_arguments().data) as (data, folder):
        workspace = make_workspace(folder / "w", data)
        workspace.write("bench", MANIFEST)
        workspace.comp("run", "bench")
        project, out = Project(workspace.root), folder / "out.csv"
        restored = open_restored(plan_restored(project, "bench", say_nothing), say_nothing)
        networks, batches = take_apart(restored, data)  # the store is built by now
        pass_forward(restored, networks, batches[:2])
        pairs, expected = [], np.empty(0)
        for _ in range(PAIRS):
            pure, expected = pass_forward(restored, networks, batches)
            started = time.perf_counter()
            predict_new(project, "bench", data, None, out, "error", say_nothing)
            pairs.append((time.perf_counter() - started, pure))
        away = np.abs(pd.read_csv(out).iloc[:, 1:].to_numpy() - expected).max()
        ratio = statistics.median(ours / pure for ours, pure in pairs)
        ours, pure = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(
            f"predict    {len(expected)} images, {len(networks)} models, 2 views: comp predict {ours:.2f} s   forward passes "
            f"{pure:.2f} s   ratio {ratio:.3f} (claim <= 1.10)   largest difference of an answer {away:.1e}"
        )


if __name__ == "__main__":
    main()
