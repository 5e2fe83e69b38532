"""From the start of `comp run` to the end of its first optimizer step, on a warm image store: wall seconds of new processes.

The baseline is a script that imports the same third-party libraries, takes a batch from the same store, builds the same model
with the same optimizer, and takes one step. torch's own hook sees both, and ends the process. Claim: at most 1.2 times.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pictures import open_pictures, read_arguments
from benchmarks.scale import Workspace, make_workspace

PAIRS = 7
MANIFEST = """\
about: one step of it
model: {use: timm, arch: mobilenetv3_small_050, pretrained: false}
image: {size: 128, predict_size: 128}
augment: [{use: A.RandomResizedCrop, scale: [0.6, 1.0]}, {use: A.HorizontalFlip}]
train: {epochs: 1, batch_size: 32, ema: false, workers: 0}
"""
HOOK = """\
import json, os, sys, time

def end(*step):
    now = time.time()
    files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    print(json.dumps([now, sorted(name for name, file in files.items() if "site-packages" in file)]), flush=True)
    os._exit(0)

from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(end)
"""
OURS = f"""
from comp.process import begin_imports
begin_imports()  # as the program does before its first import
{HOOK}
from comp.cli import enter
enter()
"""
PLAIN = f"""{HOOK}
import contextlib, importlib
from pathlib import Path

for name in sys.argv[2:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)

import numpy as np, timm, torch
from timm.optim import create_optimizer_v2

pixels = np.memmap(sys.argv[1], np.uint8, "r").reshape(-1, 128, 128, 3)
model = timm.create_model("mobilenetv3_small_050", num_classes=10).to(memory_format=torch.channels_last)
optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
images = torch.from_numpy(pixels[:32]).permute(0, 3, 1, 2).float() / 255
torch.nn.functional.cross_entropy(model(images), torch.arange(32) % 10).backward()
optimizer.step()
"""


def time_step(code: str, folder: Path, *words: str) -> tuple[float, list[str]]:
    """Seconds from a process's start to its first step, and the libraries that it has imported by then."""
    started = time.time()
    command, environment = [sys.executable, "-c", code, *words], {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    ended, libraries = json.loads(done.stdout.splitlines()[-1])
    return ended - started, libraries


def run_anew(workspace: Workspace) -> tuple[float, list[str]]:
    shutil.rmtree(workspace.root / "experiments/bench/runs", ignore_errors=True)
    return time_step(OURS, workspace.root, "run", "bench")


def main() -> None:
    with open_pictures(read_arguments().data) as (data, folder):
        workspace = make_workspace(folder / "w", data)
        workspace.write("bench", MANIFEST)
        _, libraries = run_anew(workspace)  # builds the store
        pixels = max((workspace.root / ".comp/cache").glob("*/pixels.u8"), key=lambda file: file.stat().st_size)
        pairs = [(run_anew(workspace)[0], time_step(PLAIN, workspace.root, str(pixels), *libraries)[0]) for _ in range(PAIRS)]
        ratio = statistics.median(ours / plain for ours, plain in pairs)
        ours, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"first step comp run {ours:.2f} s   plain script {plain:.2f} s   ratio {ratio:.2f} (claim <= 1.20)")


if __name__ == "__main__":
    main()
