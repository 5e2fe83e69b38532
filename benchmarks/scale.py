"""What more processes, machines and trials buy, each against the plain way in the same run. Wall seconds of whole commands.

- Two folds side by side, one thread each (`--gpus cpu,cpu`), against one after the other with all threads.
- What `--on ray` adds to a fold, against `--gpus cpu,cpu`: the command's seconds beyond those that its folds trained.
- A search of 20 trials with ASHA against the same 20 trials trained to their ends: seconds, and the best score of each.
- A test set predicted by two Ray nodes of one core each, against one such node, and against this process with one thread.

The images are in the store before anything is timed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.pictures import open_pictures, read_arguments

COMP = str(Path(sys.executable).parent / "comp")
ROUNDS, SLOTS, FOLDS, TRIALS = 2, 2, 4, 20
PICTURES = """\
about: a small network on pictures
model: {use: timm, arch: mobilenetv3_small_050, pretrained: false}
image: {size: 128, predict_size: 128}
augment: [{use: A.RandomResizedCrop, scale: [0.6, 1.0]}, {use: A.HorizontalFlip}]
train: {epochs: 2, batch_size: 32, ema: false, workers: 0}
tta: []
"""
SLOW = f"""\
about: one thread, and more work for each picture in prediction
model: {{use: timm, arch: mobilenetv3_small_050, pretrained: false}}
image: {{size: 128, predict_size: 192}}
augment: [{{use: A.RandomResizedCrop, scale: [0.6, 1.0]}}, {{use: A.HorizontalFlip}}]
split: {{folds: {FOLDS}}}
train: {{epochs: 2, batch_size: 32, ema: false, workers: 0, threads: 1}}
tta: [{{use: hflip}}]
"""
DIGITS = """\
about: a small network on digits, and what to try
model: {use: cnn, widths: [32, 32], hidden: 64}
image: {size: 16}
augment: [{use: A.Affine, rotate: [-10, 10], p: 0.8}]
train: {epochs: 27, batch_size: 32, threads: 1, workers: 0}
search:
  algorithm: random
  optimizer.lr: {loguniform: [1.0e-4, 1.0e-1]}
  optimizer.weight_decay: {loguniform: [1.0e-3, 1.0]}
  model.dropout: {uniform: [0.0, 0.6]}
"""


class Workspace(NamedTuple):
    """A folder in which commands run."""

    root: Path

    def comp(self, *words: str | Path) -> float:
        """Wall seconds of a command, which must succeed."""
        started = time.perf_counter()
        done = subprocess.run([COMP, *map(str, words)], cwd=self.root, capture_output=True, text=True)
        elapsed = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"comp {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
        return elapsed

    def write(self, name: str, manifest: str) -> None:
        self.comp("new", name)
        (self.root / f"experiments/{name}/manifest.yaml").write_text(manifest)

    def train(self, name: str, *words: str) -> float:
        """Wall seconds of `comp run` where nothing is trained yet."""
        shutil.rmtree(self.root / f"experiments/{name}/runs", ignore_errors=True)
        return self.comp("run", name, *words)

    def sum_folds(self, name: str) -> float:
        """Seconds that the folds of an experiment trained."""
        records = (self.root / f"experiments/{name}/runs").glob("*/fold*/fold.json")
        return sum(json.loads(record.read_text())["elapsed_s"] for record in records)


def make_workspace(folder: Path, data: Path | None) -> Workspace:
    """`data`: None: the embedded digits, as they are."""
    subprocess.run([COMP, "init", folder, *(["--data", data] if data else [])], check=True, stdout=subprocess.DEVNULL)
    return Workspace(folder)


def compare_folds(workspace: Workspace) -> None:
    workspace.train("bench", "--only", "0,1")  # the image store
    ways: dict[str, tuple[str, ...]] = {"alone": (), "beside": ("--gpus", "cpu,cpu")}
    rounds = [{name: workspace.train("bench", "--only", "0,1", *words) for name, words in ways.items()} for _ in range(ROUNDS)]
    alone, beside = (min(times[name] for times in rounds) for name in ways)
    print(
        f"two folds  side by side, one thread each, {beside:.1f} s   one after the other, all threads, {alone:.1f} s   "
        f"ratio {beside / alone:.2f}"
    )


def compare_drivers(workspace: Workspace) -> None:
    spent, ways = {}, {"ray": ("--on", "ray"), "local": ("--gpus", "cpu,cpu")}
    for name, words in ways.items():
        wall = workspace.train("slow", *words)
        spent[name] = (wall - workspace.sum_folds("slow") / SLOTS) * SLOTS / FOLDS
    print(
        f"drivers    --on ray adds {spent['ray']:.1f} s to a fold   --gpus cpu,cpu {spent['local']:.1f} s   "
        f"ratio {spent['ray'] / spent['local']:.2f}"
    )


def read_best(workspace: Workspace, name: str) -> tuple[float, int]:
    """The best score of a search's trials that were trained to their ends, and how many epochs all trials trained."""
    trials = {}
    for file in (workspace.root / f"experiments/{name}/search").glob("*/trials.jsonl"):
        for line in file.read_text().splitlines():
            trial = json.loads(line)
            trials[trial["trial"]] = trial
    assert len(trials) == TRIALS, f"{name} made {len(trials)} trials"
    return max(trial["score"] for trial in trials.values() if trial["state"] == "done"), sum(
        trial["epochs"] for trial in trials.values()
    )


def compare_searches(workspace: Workspace) -> None:
    found = {}
    for name in ("asha", "none"):
        workspace.write(f"with_{name}", DIGITS)
        words = ("--trials", str(TRIALS), "--set", f"search.pruner={name}")
        wall = workspace.comp("tune", f"with_{name}", *words)
        found[name] = (wall, *read_best(workspace, f"with_{name}"))
    (fast, fast_best, few), (slow, slow_best, many) = found["asha"], found["none"]
    print(
        f"search     {TRIALS} trials with ASHA {fast:.1f} s, {few} epochs, best {fast_best:.4f}   all to their ends "
        f"{slow:.1f} s, {many} epochs, best {slow_best:.4f}   ratio {fast / slow:.2f}"
    )


@contextmanager
def open_nodes(count: int) -> Iterator[str]:
    """The address of a cluster of nodes with one core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def compare_nodes(workspace: Workspace, test: Path) -> None:
    """Of the experiment `slow`, whose folds compare_drivers trained."""
    words = ("predict", "slow", "--test", test)
    workspace.comp(*words, "--out", "here.csv")  # the image store
    here = workspace.comp(*words, "--out", "here.csv")
    times = {}
    for count in (1, 2):
        with open_nodes(count) as address:
            times[count] = workspace.comp(*words, "--out", f"{count}.csv", "--on", "ray", "--address", address)
    same = len({(workspace.root / f"{name}.csv").read_bytes() for name in ("here", 1, 2)}) == 1
    print(
        f"prediction two nodes {times[2]:.1f} s   one node {times[1]:.1f} s, ratio {times[2] / times[1]:.2f}   "
        f"this process {here:.1f} s, ratio {times[2] / here:.2f}   the answers are {'the same' if same else 'NOT the same'}"
    )


def main() -> None:
    with open_pictures(read_arguments().data) as (data, folder):
        pictures = make_workspace(folder / "w", data)
        pictures.write("bench", PICTURES)
        pictures.write("slow", SLOW)
        compare_folds(pictures)
        compare_drivers(pictures)
        compare_nodes(pictures, data / Path(pd.read_csv(data / "train.csv")["file"][0]).parent)
        compare_searches(make_workspace(folder / "digits", None))


if __name__ == "__main__":
    main()
