"""5 folds x 2 epochs of mobilenetv3_small_050 from scratch at 128 px, batch 32: `comp run` with flip and random resized crop
against a plain loop on tensors in memory without augmentation (plain_loop.py). Wall seconds of whole processes.

Cold: nothing is stored. Warm: the image store is there. Claims: at most 1.25 and 1.15 times the plain loop.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pictures import open_pictures, read_arguments

ROUNDS = 1
MANIFEST = """\
about: the plain loop's work, with augmentation
model: {use: timm, arch: mobilenetv3_small_050, pretrained: false}
image: {size: 128, predict_size: 128}
augment: [{use: A.RandomResizedCrop, scale: [0.6, 1.0]}, {use: A.HorizontalFlip}]
train: {epochs: 2, batch_size: 32, ema: false}
tta: []
"""


def time_process(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    print("   ", done.stdout.strip().splitlines()[-3:][0] if done.returncode == 0 else done.stdout + done.stderr)
    if done.returncode:
        sys.exit(1)
    return elapsed


def main() -> None:
    comp = str(Path(sys.executable).parent / "comp")
    with open_pictures(read_arguments().data) as (data, folder):
        subprocess.run([comp, "init", str(folder / "w"), "--data", str(data)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([comp, "new", "bench"], cwd=folder / "w", check=True, stdout=subprocess.DEVNULL)
        (folder / "w/experiments/bench/manifest.yaml").write_text(MANIFEST)
        plain_command = [sys.executable, str(Path(__file__).with_name("plain_loop.py")), str(data), str(folder / "plain.csv")]
        times: dict[str, list[float]] = {"plain": [], "cold": [], "warm": []}
        for _ in range(ROUNDS):
            times["plain"].append(time_process(plain_command, folder))
            shutil.rmtree(folder / "w/.comp", ignore_errors=True)
            for name in ("cold", "warm"):
                shutil.rmtree(folder / "w/experiments/bench/runs", ignore_errors=True)
                times[name].append(time_process([comp, "run", "bench"], folder / "w"))
    plain, cold, warm = (min(times[name]) for name in ("plain", "cold", "warm"))
    print(
        f"5 folds    plain loop {plain:.1f} s   comp run cold {cold:.1f} s, ratio {cold / plain:.2f} (claim <= 1.25)   "
        f"warm {warm:.1f} s, ratio {warm / plain:.2f} (claim <= 1.15)"
    )


if __name__ == "__main__":
    main()
