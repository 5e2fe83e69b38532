"""`comp run` against what people use instead: 5 folds x 2 epochs of mobilenetv3_small_050 from scratch at 128 px, batch 32,
crops and flips, held-out rows and test set predicted. Wall seconds of whole processes, one after another, on the same folds.

The peers: torchvision and a plain loop, timm's train script, fastai, AutoGluon MultiModal (benchmarks/peer_jobs); and, as the
limit of these cores, the plain loop on tensors in memory without augmentation (plain_loop.py). Claims: pictures of 227 px at
least 2.2 times as fast as the best peer cold, 2.5 times warm; photographs 2.5 times cold, 5 times warm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from benchmarks.folds import MANIFEST
from benchmarks.pictures import make_photographs, open_pictures

JOBS = Path(__file__).parent / "peer_jobs"
COMP = str(Path(sys.executable).parent / "comp")
TEST_SHARE = 0.1
CLAIMS = {"pictures": (2.2, 2.5), "photographs": (2.5, 5.0)}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with train.csv (image_id, file, label), test.csv and their images")
    parser.add_argument("--photographs", type=int, default=500, help="how many are made of them; 0: none")
    parser.add_argument(
        "--python", type=Path, help="a Python that has fastai and autogluon.multimodal; without it they are left out"
    )
    parser.add_argument("--timm-script", type=Path, help="timm's train.py; without it it is left out")
    parser.add_argument("--skip-pictures", action="store_true", help="photographs only")
    return parser.parse_args()


def make_competition(folder: Path, data: Path, count: int) -> Path:
    """A competition of photographs made of another's training images. Returns its folder."""
    table = pd.read_csv(data / "train.csv").sample(count, random_state=0).reset_index(drop=True)
    folder.mkdir()
    names = make_photographs(folder / "images", [data / file for file in table["file"]], count, grain=0.0)
    table = pd.DataFrame({"image_id": [Path(name).stem for name in names], "file": [f"images/{name}" for name in names]}).assign(
        label=table["label"]
    )
    cut = round(count * (1 - TEST_SHARE))
    table[:cut].to_csv(folder / "train.csv", index=False)
    table[cut:].drop(columns="label").to_csv(folder / "test.csv", index=False)
    table[cut:][["image_id"]].assign(label=table["label"].iloc[0]).to_csv(folder / "sample_submission.csv", index=False)
    return folder


def make_table(workspace: Path, data: Path) -> Path:
    """What the peers are given: absolute file, label and fold of every row; fold -1 is the test set."""
    train = pd.read_csv(data / "train.csv").merge(
        pd.read_csv(workspace / "folds/default.csv"), left_on="image_id", right_on="id", validate="1:1"
    )
    table = pd.concat([train, pd.read_csv(data / "test.csv").assign(fold=-1)])
    table["file"] = [str(data / file) for file in table["file"]]
    file = workspace / "peers.csv"
    table[["file", "label", "fold"]].to_csv(file, index=False)
    return file


def time_process(name: str, command: list[str | Path], folder: Path) -> tuple[float, str]:
    """Wall seconds, and the last line of its output."""
    started = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    lines = done.stdout.strip().splitlines()
    print(f"  {name:<22} {elapsed:7.1f} s   {lines[-1] if lines else ''}", flush=True)
    return elapsed, lines[-1] if lines else ""


def run_ours(workspace: Path, name: str) -> float:
    shutil.rmtree(workspace / "experiments/bench/runs", ignore_errors=True)
    elapsed, _ = time_process(name, [COMP, "run", "bench"], workspace)
    scores = next((workspace / "experiments/bench/runs").glob("*/scores.json"))
    print(f"    accuracy {json.loads(scores.read_text())['pooled']:.3f}")
    return elapsed


def compare(what: str, data: Path, folder: Path, given: argparse.Namespace) -> None:
    workspace = folder / f"{what}-workspace"
    subprocess.run([COMP, "init", workspace, "--data", data], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([COMP, "new", "bench"], cwd=workspace, check=True, stdout=subprocess.DEVNULL)
    (workspace / "experiments/bench/manifest.yaml").write_text(MANIFEST)
    print(f"{what}: {len(pd.read_csv(data / 'train.csv'))} training images")
    cold = run_ours(workspace, "comp run, cold")
    warm = run_ours(workspace, "comp run, warm")
    table = make_table(workspace, data)
    commands: dict[str, list[str | Path]] = {"torchvision + loop": [sys.executable, JOBS / "torchvision_loop.py"]}
    if given.timm_script:
        commands["timm train.py"] = [sys.executable, JOBS / "timm_folds.py"]
    if given.python:
        commands |= {"fastai": [given.python, JOBS / "fastai_folds.py"], "AutoGluon": [given.python, JOBS / "autogluon_folds.py"]}
    times = {}
    for name, command in commands.items():
        more = [given.timm_script.resolve()] if name.startswith("timm") else []
        times[name], _ = time_process(name, [*command, table, folder / "answer.csv", *more], folder)
    plain = [sys.executable, JOBS.with_name("plain_loop.py"), data, folder / "plain.csv"]
    limit, _ = time_process("plain loop in memory", plain, folder)
    best, (least_cold, least_warm) = min(times, key=times.__getitem__), CLAIMS[what]
    print(
        f"  against the best peer ({best}): cold {times[best] / cold:.2f} times as fast (claim >= {least_cold}), warm "
        f"{times[best] / warm:.2f} (claim >= {least_warm}); of the plain loop's time cold {cold / limit:.2f}, "
        f"warm {warm / limit:.2f}"
    )


def main() -> None:
    given = read_arguments()
    with open_pictures(given.data) as (data, folder):
        if not given.skip_pictures:
            compare("pictures", data, folder, given)
        if given.photographs:
            compare("photographs", make_competition(folder / "photographs", data, given.photographs), folder, given)


if __name__ == "__main__":
    main()
