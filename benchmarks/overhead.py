"""The engine against a plain PyTorch loop that does the same arithmetic: seconds per fold, on images in memory.

Same network and initial weights, same batches in the same order, same optimizer, schedule, clipping and epochs, held-out rows
predicted each epoch, test rows at the end. That it is the same arithmetic is checked: both end with the same held-out outputs.
The engine also writes checkpoints, weights, predictions and events. Claim: at most 1.05 times the plain loop.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timm.optim import create_optimizer_v2

from benchmarks.pictures import make_pictures, read_arguments
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, build_network
from comp.engine.randomness import make_generator
from comp.manifest import load_manifest
from comp.material import Material, open_material
from comp.plan import open_run, plan_run
from comp.predictions import read_raw
from comp.project import Project
from comp.runs import fold_folder

EPOCHS, BATCH = 2, 32
MANIFEST = """\
model: {use: timm, arch: mobilenetv3_small_050, pretrained: false}
image: {size: 96, predict_size: 96, mean: 0.5, std: 0.5}
augment: []
loss: {use: cross_entropy, smoothing: 0.0}
optimizer: {use: timm, opt: adamw, lr: 1.0e-3, head_lr: null, weight_decay: 0.05}
train: {epochs: 2, batch_size: 32, ema: false}
tta: []
"""


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(x / 255 - 0.5) / 0.5 with the roundings of Network.prepare: after 86 steps of Adam one last bit would be seen."""
    return images.float().mul_(1 / 127.5).add_(-1.0)


def train_plainly(material: Material, fold: str, images: torch.Tensor, tests: torch.Tensor) -> tuple[float, np.ndarray]:
    """Seconds, and the held-out outputs, of a loop without the engine."""
    manifest, task = material.plan.manifest, material.plan.competition.task
    train, held_out = material.training_rows(fold), material.held_out_rows(fold)
    labels = torch.from_numpy(train.targets["label"])
    started = time.perf_counter()
    counts = ClassCounts(count_classes(task, train.targets), len(train))
    model = build_network(manifest.catalog, manifest.values, task, material.image, counts, (manifest.values["seed"], fold))
    model = model.to(memory_format=torch.channels_last)
    own, others = torch.from_numpy(train.positions), torch.from_numpy(held_out.positions)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    steps = EPOCHS * math.ceil(len(own) / BATCH)
    warm, step = round(0.05 * steps), 0
    outputs = torch.empty(0)
    for epoch in range(EPOCHS):
        model.train()
        order = make_generator(manifest.values["seed"], fold, 0, epoch, "order").permutation(len(own))
        for rows in torch.from_numpy(order).split(BATCH):
            share = (step + 1) / (warm + 1) if step < warm else (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * share
            losses = torch.nn.functional.cross_entropy(model(normalise(images[own[rows]])), labels[rows], reduction="none")
            loss = losses.mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        model.eval()
        with torch.inference_mode():
            outputs = torch.cat([model(normalise(batch)) for batch in images[others].split(2 * BATCH)])
    with torch.inference_mode():
        torch.cat([model(normalise(batch)) for batch in tests.split(2 * BATCH)])
    return time.perf_counter() - started, outputs.numpy()


def train_with_engine(material: Material, fold: str) -> tuple[float, np.ndarray]:
    fold_folder(material.plan.run.folder, fold).mkdir(parents=True)
    started = time.perf_counter()
    material.train_fold(fold, lambda: False)
    elapsed = time.perf_counter() - started
    return elapsed, read_raw(fold_folder(material.plan.run.folder, fold) / "oof.parquet").outputs


def open_workspace(folder: Path, data: Path) -> Material:
    comp = str(Path(sys.executable).parent / "comp")
    subprocess.run([comp, "init", str(folder), "--data", str(data)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([comp, "new", "bench"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "experiments/bench/manifest.yaml").write_text(MANIFEST)
    project = Project(folder)
    return open_material(open_run(plan_run(project, load_manifest(project, "bench"))), lambda event: None, lambda: False)


def main() -> None:
    data = read_arguments().data
    with tempfile.TemporaryDirectory(prefix="comp-bench-") as temporary:
        data = data.resolve() if data else make_pictures(Path(temporary) / "pictures")
        material = open_workspace(Path(temporary) / "w", data)
        # Contiguous NHWC seen as NCHW is channels_last: both sides train in that layout.
        images = torch.from_numpy(material.train.store.take(np.arange(len(material.train)))).permute(0, 3, 1, 2)
        tests = torch.from_numpy(material.test.store.take(np.arange(len(material.test)))).permute(0, 3, 1, 2)
        train_plainly(material, "4", images, tests)
        pairs, worst = [], 0.0
        for fold in ("0", "1", "2", "3"):
            plain, expected = train_plainly(material, fold, images, tests)
            ours, outputs = train_with_engine(material, fold)
            pairs.append((ours, plain))
            worst = max(worst, float(np.abs(outputs - expected).max()))
        ratio = statistics.median(ours / plain for ours, plain in pairs)
        ours, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(
            f"overhead   engine {ours:.2f} s a fold   plain loop {plain:.2f} s   ratio {ratio:.3f} (claim <= 1.05)   "
            f"largest difference of a held-out output {worst:.1e}"
        )


if __name__ == "__main__":
    main()
