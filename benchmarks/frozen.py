"""A frozen backbone, 5 folds x 10 epochs: heads that learn from stored features against the same from images each time.

One stage, nothing augmented, weights that every fold shares (random ones, kept in a file: they cost as much as learned ones).
In both every fold trains, is validated after each epoch, and predicts held-out and test rows. That it is the same work is
checked: predictions agree to 1e-5. Claim: at least 8 times as fast. Start-up and reading the images are in neither.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from benchmarks.pictures import open_pictures
from comp.manifest import load_manifest
from comp.material import open_material
from comp.plan import open_run, plan_run
from comp.predictions import read_raw
from comp.project import Project
from comp.runs import fold_folder

EPOCHS, CLAIM = 10, 8.0
MANIFEST = """\
about: {about}
model: {{use: timm, arch: {arch}, pretrained: {weights}}}
image: {{size: {size}, predict_size: {size}, mean: 0.5, std: 0.5}}
augment: []
stages: [{{name: head, epochs: {epochs}, freeze: backbone}}]
tta: []
"""


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder with train.csv (image_id, file, label), test.csv and their images")
    parser.add_argument("--arch", default="mobilenetv3_small_100", help="of timm")
    parser.add_argument("--size", type=int, default=128, help="side of the images, in pixels")
    return parser.parse_args()


def save_backbone(arch: str, file: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model(arch, pretrained=False, num_classes=0).state_dict(), file)


def write_experiment(folder: Path, name: str, given: argparse.Namespace) -> None:
    (folder / f"experiments/{name}").mkdir(parents=True)
    text = MANIFEST.format(about=name, arch=given.arch, weights=folder / "backbone.safetensors", size=given.size, epochs=EPOCHS)
    (folder / f"experiments/{name}/manifest.yaml").write_text(text)


def train_all(project: Project, name: str) -> tuple[float, dict[str, np.ndarray]]:
    """Seconds of all folds, and what they predicted."""
    plan = open_run(plan_run(project, load_manifest(project, name)))
    with closing(open_material(plan, lambda event: None, lambda: False)) as material:
        started = time.perf_counter()
        for fold in plan.run.folds:
            fold_folder(plan.run.folder, fold).mkdir(parents=True)
            material.train_fold(fold, lambda: False)
        elapsed = time.perf_counter() - started
    places = [(fold, what) for fold in plan.run.folds for what in ("oof", "test")]
    return elapsed, {
        f"{fold} {what}": read_raw(fold_folder(plan.run.folder, fold) / f"{what}.parquet").outputs for fold, what in places
    }


def main() -> None:
    given = read_arguments()
    with open_pictures(given.data) as (data, temporary):
        folder = temporary / "w"
        comp = str(Path(sys.executable).parent / "comp")
        subprocess.run([comp, "init", str(folder), "--data", str(data)], check=True, stdout=subprocess.DEVNULL)
        save_backbone(given.arch, folder / "backbone.safetensors")
        for name in ("images", "features"):
            write_experiment(folder, name, given)
        features_s, stored = train_all(Project(folder), "features")
        with patch("comp.engine.fold.open_features", lambda *known: None):
            images_s, shown = train_all(Project(folder), "images")
    worst = max(float(np.abs(stored[key] - shown[key]).max()) for key in shown)
    print(
        f"frozen     {len(stored) // 2} folds x {EPOCHS} epochs: from images {images_s:.1f} s   from stored features "
        f"{features_s:.1f} s   ratio {images_s / features_s:.1f} (claim >= {CLAIM:g})   largest difference of a "
        f"prediction {worst:.1e} (claim <= 1e-05)"
    )


if __name__ == "__main__":
    main()
