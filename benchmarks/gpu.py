"""On a GPU: `comp run` against the same model on synthetic batches that lie there already, in images a second; peak memory; what
the switches do; folds side by side.

224 px, bf16, batches of 256; resnet50, efficientnet_b0, convnext_tiny. The plain loop makes the same steps (same optimizer,
clipping, layout) on one batch over and over: no loader, no augmentation. comp crops, mirrors and changes colour, in the loader or
on the device. Claim: at least 0.95 of the plain loop, the better of both ways. A small model's folds as many at once as fit,
against one after another: whole commands. Without a CUDA device it says so and ends.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from timm.optim import create_optimizer_v2

from comp.engine.device import fuse_updates, open_device
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, build_network
from comp.events import EpochFinished, Event, Notice
from comp.manifest import load_manifest
from comp.material import Material, open_material
from comp.plan import open_run, plan_run
from comp.project import Project
from comp.runs import fold_folder

ARCHS = ("resnet50", "efficientnet_b0", "convnext_tiny")
CLAIM = 0.95
CLASSES, EPOCHS, WARM_UP, STEPS = 10, 4, 10, 40
MANIFEST = """\
about: {about}
model: {{use: timm, arch: {arch}, pretrained: false}}
image: {{size: {size}, predict_size: {size}}}
augment: [{augment}]
optimizer: {{use: timm, opt: adamw, lr: 1.0e-3, head_lr: null, weight_decay: 0.05}}
train: {{epochs: {epochs}, batch_size: {batch}, precision: bf16, ema: false}}
tta: []
"""
WAYS = {
    "in the loader": "{use: light}",
    "on the device": "{use: on_device}",
}
SWITCHES = ("optimizer.fused=false", "train.channels_last=false", "train.compile=true", "train.precision=32")
SMALL = "mobilenetv3_small_050"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    wanted = "a folder with train.csv (image_id, file, label), test.csv and their images; else made"
    parser.add_argument("--data", type=Path, help=wanted)
    parser.add_argument("--rows", type=int, default=10_240, help="training pictures that are made")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--archs", default=",".join(ARCHS), help="of timm")
    parser.add_argument("--switches", action="store_true", help="also each switch turned, for the first of them")
    parser.add_argument("--only", choices=["speed", "folds"], help="one of the two parts")
    return parser.parse_args()


def make_many(folder: Path, rows: int, side: int) -> Path:
    """Write coloured noise of ten kinds as JPEGs, and a tenth as many for the test set. Returns the folder."""
    (folder / "images").mkdir(parents=True)

    def write(number: int) -> str:
        generator = np.random.default_rng(number)
        small = generator.integers(0, 160, (16, 16, 3), dtype=np.uint8)
        small[..., number % 3] += np.uint8(9 * (number % CLASSES))
        image = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"images/{number:06d}.jpg"), image)
        return f"{number:06d}.jpg"

    with ThreadPoolExecutor() as pool:
        names = list(pool.map(write, range(rows + rows // 10)))
    table = pd.DataFrame({"image_id": names, "label": [str(number % CLASSES) for number in range(len(names))]})
    table[:rows].to_csv(folder / "train.csv", index=False)
    table[rows:].drop(columns="label").to_csv(folder / "test.csv", index=False)
    table[rows:].assign(label="0").to_csv(folder / "sample_submission.csv", index=False)
    return folder


@dataclass(frozen=True)
class Found:
    """`rate`: training images a second; `peak`: bytes of the GPU's memory that were allocated at most."""

    rate: float
    peak: float

    def __str__(self) -> str:
        return f"{self.rate:7.0f} images/s, peak {self.peak / 2**30:5.1f} GiB"


def write_experiment(project: Project, name: str, arch: str, augment: str, given: argparse.Namespace) -> None:
    folder = project.experiments / name
    folder.mkdir(parents=True, exist_ok=True)
    text = MANIFEST.format(about=name, arch=arch, augment=augment, size=given.size, batch=given.batch, epochs=EPOCHS)
    (folder / "manifest.yaml").write_text(text)


def open_bench(project: Project, name: str, sets: tuple[str, ...] = ()) -> Material:
    plan = open_run(plan_run(project, load_manifest(project, name, sets)))
    return open_material(plan, lambda event: None, lambda: False)


def reset_peak() -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def train_with_comp(project: Project, name: str, sets: tuple[str, ...] = ()) -> Found:
    """One fold; the epochs after the first, in which kernels are chosen and workers are started."""
    rates: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, EpochFinished):
            rates.append(event.samples_per_s)
        elif isinstance(event, Notice) and event.text.startswith("loader"):
            print(f"      {event.text}")

    with closing(open_bench(project, name, sets)) as material:
        object.__setattr__(material, "emit", note)
        fold_folder(material.plan.run.folder, "0").mkdir(parents=True)
        reset_peak()
        material.train_fold("0", lambda: False)
    return Found(statistics.median(rates[1:]), torch.cuda.max_memory_allocated())


def train_plainly(project: Project, name: str, given: argparse.Namespace) -> Found:
    """The same steps on one batch of noise that lies on the device."""
    with closing(open_bench(project, name)) as material:
        manifest, task = material.plan.manifest, material.plan.competition.task
        counts = ClassCounts(count_classes(task, material.train.targets), len(material.train))
        fabric = open_device(manifest.values["train"])
        model = build_network(manifest.catalog, manifest.values, task, material.image, counts, ("bench",))
    reset_peak()
    model = fabric.to_device(model).to(memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    fuse_updates(optimizer, fabric)
    images = torch.randn(given.batch, 3, given.size, given.size, device=fabric.device).to(memory_format=torch.channels_last)
    labels = torch.randint(task.outputs, (given.batch,), device=fabric.device)
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            torch.cuda.synchronize()
            started = time.perf_counter()
        with fabric.autocast():
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    return Found(STEPS * given.batch / (time.perf_counter() - started), torch.cuda.max_memory_allocated())


def compare(project: Project, arch: str, given: argparse.Namespace) -> None:
    for way, augment in WAYS.items():
        write_experiment(project, name_of(arch, way), arch, augment, given)
    first = next(iter(WAYS))
    plain = train_plainly(project, name_of(arch, first), given)
    print(f"  {arch:<20} synthetic       {plain}")
    best = 0.0
    for way in WAYS:
        found = train_with_comp(project, name_of(arch, way))
        best = max(best, found.rate / plain.rate)
        print(f"  {arch:<20} {way:<15} {found}, ratio {found.rate / plain.rate:.3f}")
    print(f"  {arch:<20} best ratio {best:.3f} (claim >= {CLAIM})")


def turn_switches(project: Project, arch: str) -> None:
    name = name_of(arch, "on the device")
    base = train_with_comp(project, name, ("seed=1",))
    print(f"  {arch:<20} as it is        {base}")
    for switch in SWITCHES:
        found = train_with_comp(project, name, ("seed=1", switch))
        print(f"  {arch:<20} {switch:<25} {found}, ratio {found.rate / base.rate:.3f}")


def name_of(arch: str, way: str) -> str:
    return f"{arch}_{way.split()[-1]}"


def compare_folds(project: Project, given: argparse.Namespace) -> None:
    """Wall seconds of `comp run` with one fold at a time, and with as many as fit."""
    seconds, small = {}, argparse.Namespace(**{**vars(given), "size": 96, "batch": 64})
    for name in ("one", "many"):
        write_experiment(project, name, SMALL, WAYS["on the device"], small)
    open_bench(project, "one").close()  # reads the images, for both
    for name, options in (("one", ["--gpus", "0"]), ("many", ["--gpus", "0", "--per-gpu", "auto"])):
        command = [str(Path(sys.executable).parent / "comp"), "run", name, *options]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
        seconds[name] = time.perf_counter() - started
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        print("   ", *(line.strip() for line in done.stdout.splitlines() if "at a time" in line or "a fold takes" in line))
    one, many = seconds["one"], seconds["many"]
    print(f"  5 folds of {SMALL} at 96 px: one at a time {one:.1f} s, side by side {many:.1f} s, ratio {one / many:.2f}")


def main() -> None:
    given = read_arguments()
    if not torch.cuda.is_available():
        print("gpu        no CUDA device: nothing measured")
        return
    card = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(f"gpu        {card}, {given.size} px, bf16, batches of {given.batch}")
    with tempfile.TemporaryDirectory(prefix="comp-bench-") as temporary:
        made, folder = Path(temporary) / "data", Path(temporary) / "w"
        data = given.data.resolve() if given.data else make_many(made, given.rows, round(1.25 * given.size))
        comp = str(Path(sys.executable).parent / "comp")
        subprocess.run([comp, "init", str(folder), "--data", str(data)], check=True, stdout=subprocess.DEVNULL)
        project = Project(folder)
        if given.only != "folds":
            for arch in given.archs.split(","):
                compare(project, arch, given)
            if given.switches:
                turn_switches(project, given.archs.split(",")[0])
        if given.only != "speed":
            compare_folds(project, given)


if __name__ == "__main__":
    main()
