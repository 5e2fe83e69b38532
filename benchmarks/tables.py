"""Big tables: what the kit does with 10^4, 10^5 and 10^6 rows and no picture. Processor seconds, and peak memory.

- Each work by itself: tables opened and checked, folds assigned and served, an epoch drawn, metrics, the OOF of the folds
  joined; with 18 classes and with 10,000. Claim: ten times the rows cost at most 12 times the seconds (linear, and a fifth),
  where a work takes a tenth of a second or more.
- `comp blend --use hillclimb` of 20 members x 10^6 rows x 18 classes, a whole command. Claims: under 60 s and 2 GB on two cores.

Images are one array of single pixels: they are there, and nobody looks at them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = (10_000, 100_000, 1_000_000)
CLASSES, GROUP_ROWS, FOLDS, MEMBERS = 18, 5, 5, 20
MOST_GROWTH, LEAST_S = 12.0, 0.1
MOST_BLEND_S, MOST_BLEND_GB = 60.0, 2.0
SPLITS: dict[str, dict[str, object]] = {
    "plain": {"use": "plain"},
    "stratified": {"use": "stratified"},
    "stratified, by patient": {"use": "stratified", "group": "patient"},
    "group": {"use": "group", "group": "patient"},
    "binned": {"use": "binned", "column": "age"},
    "multilabel, by patient": {"use": "multilabel", "group": "patient"},
}
SAMPLERS: dict[str, dict[str, object]] = {
    use: {"use": use} for use in ("none", "weighted", "imbalanced", "balanced_batches", "resample")
} | {"pk": {"use": "pk", "classes": 8, "images": 4}}
METRICS = ("accuracy", "macro_f1", "log_loss", "qwk", "map_at_k", "topk_accuracy", "auc", "average_precision")
MANIFEST = "model: {use: cnn}\nimage: {size: 16}\n"
COMPETITION = """\
dataset: {use: csv, train: train.csv, images: images.npy, id: id, target: label}
metric: {use: accuracy}
"""


def make_workspace(folder: Path, rows: int, classes: int) -> Path:
    generator = np.random.default_rng(0)
    labels = np.minimum(generator.pareto(1.2, rows) * classes / 20, classes - 1).astype(np.int64)
    labels[:classes] = np.arange(classes)
    patients = generator.integers(0, rows // GROUP_ROWS, rows)
    columns = {
        "id": [f"image_{number:07d}" for number in generator.permutation(rows).tolist()],
        "patient": [f"p{number}" for number in patients.tolist()],
        "age": generator.integers(0, 100, rows),
        "label": [f"class {number:05d}" for number in labels.tolist()],
    }
    folder.mkdir(parents=True)
    pd.DataFrame(columns).to_csv(folder / "train.csv", index=False)
    np.save(folder / "images.npy", np.zeros((rows, 1, 1), np.uint8))
    (folder / "competition.yaml").write_text(COMPETITION)
    write_experiment(folder, "plain", MANIFEST)
    return folder


def write_experiment(folder: Path, name: str, manifest: str) -> Path:
    (folder / "experiments" / name).mkdir(parents=True)
    (folder / "experiments" / name / "manifest.yaml").write_text(manifest)
    return folder / "experiments" / name


def draw_values(answers: np.ndarray, classes: int, seed: int, noise: float) -> np.ndarray:
    """(N, classes) float64 probabilities of a member that is right more often than not, in a way that members share in part."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed + 1)
    logits = shared.standard_normal((len(answers), classes), dtype=np.float32)
    logits += noise * own.standard_normal((len(answers), classes), dtype=np.float32)
    logits[np.arange(len(answers)), answers] += 2.5
    values = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return values / values.sum(axis=1, keepdims=True)


# ---- each work by itself -------------------------------------------------------------------------------------------------


class Clock:
    """Attribute `spent`: work -> processor seconds."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def time(self, work: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.spent[work] = self.spent.get(work, 0.0) + time.process_time() - started


def measure_rows(folder: Path, rows: int, classes: int) -> None:
    """Prints {"spent": work -> seconds, "peak": MiB} for a table of so many rows; in a process of its own."""
    import imblearn.under_sampling  # noqa: F401 (imports are nobody's rows)
    import sklearn.model_selection  # noqa: F401

    from comp.assigning import assign_table
    from comp.competition import encode_targets, open_competition, unit_table
    from comp.folds import complete_split, serve_folds
    from comp.manifest import load_manifest
    from comp.project import find_project
    from comp.rare import rare_classes
    from comp.units import make_units

    clock = Clock()
    project = find_project(folder)
    manifest = load_manifest(project, "plain", library=True)
    with clock.time("tables opened and checked"):
        competition = open_competition(project, manifest)
    task, tables = competition.task, competition.tables
    with clock.time("units and targets"):
        units, targets = make_units(competition), encode_targets(task, tables.train)
    for name, spec in SPLITS.items():
        rule = complete_split(manifest.catalog, spec)
        if spec["use"] == "multilabel" and classes > 100:
            continue
        with clock.time(f"folds: {name}"):
            table = assign_table(manifest.catalog, rule, units)
        with clock.time("folds served (each split)"):
            folds = serve_folds(table, rule, competition, Path("folds.csv"))
    with clock.time("rare classes"):
        rare_classes(competition, folds)
    generator = np.random.default_rng(0)
    for name, spec in SAMPLERS.items():
        with clock.time(f"sampler: {name}"):
            manifest.catalog.build("sampler", spec, task=task, targets=targets, batch_size=32)(generator)
    if classes <= 100:
        measure_predictions(clock, folder, manifest, competition, folds, encode_targets(task, unit_table(tables)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"spent": clock.spent, "peak": peak}))


def measure_predictions(clock: Clock, folder: Path, manifest, competition, folds, targets) -> None:  # noqa: ANN001
    from comp.bootstrap import estimate_interval
    from comp.ids import locate_ids
    from comp.predictions import merge_oof, read_predictions, write_predictions, write_raw
    from comp.scores import build_metrics, score_predictions

    task, units = competition.task, competition.tables.train
    values = draw_values(targets[task.target.name], task.outputs, 0, 0.5)
    for fold in range(folds.count):
        rows = folds.held_out_rows(units, fold)
        ids = units["id"].to_numpy(dtype=object)[rows]
        path = folder / f"run/fold{fold}/oof.parquet"
        path.parent.mkdir(parents=True)
        with clock.time("raw outputs written"):
            write_raw(path, task, ids, ids, {"plain": np.log(values[rows]).astype(np.float32)}, 0, {})
    with clock.time("OOF of the folds joined"):
        oof = merge_oof(folder / "run", task, list(map(str, range(folds.count))))
    with clock.time("OOF written and read"):
        write_predictions(folder / "oof.parquet", oof)
        oof = read_predictions(folder / "oof.parquet")
    ids = units["id"].to_numpy(dtype=object)
    with clock.time("OOF joined to the table, scored"):
        score_predictions(oof, ids, targets, {"accuracy": build_metrics(manifest.catalog, {"use": "accuracy"}, task)})
    place = locate_ids(oof.ids, ids, "the OOF", "the table")
    answers = targets[task.target.name][place]
    for use in METRICS:
        metric = build_metrics(manifest.catalog, {"use": use}, task)[task.target.name]
        with clock.time(f"metric: {use}"):
            metric.compute(answers, oof.values)
    with clock.time("interval of accuracy"):
        estimate_interval(oof, {task.target.name: answers}, build_metrics(manifest.catalog, {"use": "accuracy"}, task))


def compare_rows(folder: Path, classes: int, most: int) -> None:
    """Each work's seconds by the number of rows."""
    found = []
    for rows in [rows for rows in ROWS if rows <= most]:
        workspace = make_workspace(folder / f"{rows}_{classes}", rows, classes)
        command = [sys.executable, "-m", "benchmarks.tables", "--measure", workspace, "--rows", rows, "--classes", classes]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        shutil.rmtree(workspace)
    print(f"{classes} classes" + "".join(f"{rows:>12,}" for rows in ROWS[: len(found)]) + "   rows; seconds of one processor")
    over = []
    for work in found[-1]["spent"]:
        times = [each["spent"][work] for each in found]
        growth = times[-1] / max(times[-2], 1e-3) if len(times) > 1 else 0.0
        # Below that, what a work costs whatever the rows are decides.
        slow = len(times) > 1 and times[-2] >= LEAST_S and growth > MOST_GROWTH
        over += [work] if slow else []
        print(f"  {work:<28}" + "".join(f"{each:12.3f}" for each in times) + f"   x {growth:4.1f}{'  over 12' if slow else ''}")
    print(f"  {'peak memory, MiB':<28}" + "".join(f"{each['peak']:12.0f}" for each in found))
    sums = [sum(each["spent"].values()) for each in found]
    growth = f"x {sums[-1] / sums[-2]:.1f} for ten times the rows (claim <= {MOST_GROWTH:g})" if len(sums) > 1 else ""
    above = f"; above that by itself: {', '.join(over)}" if over else ""
    print(f"tables     {classes} classes, all works {', '.join(f'{total:.1f}' for total in sums)} s, {growth}{above}")


# ---- the blend -----------------------------------------------------------------------------------------------------------


def make_members(workspace: Path) -> None:
    """Runs of the experiments `member00` and so on, as training would have left them."""
    from comp.competition import encode_targets, open_competition, unit_table
    from comp.manifest import load_manifest
    from comp.predictions import Predictions, write_predictions
    from comp.project import find_project

    project = find_project(workspace)
    competition = open_competition(project, load_manifest(project, "plain", library=True))
    units = unit_table(competition.tables)
    answers = encode_targets(competition.task, units)[competition.task.target.name]
    ids = units["id"].to_numpy(dtype=object)
    fold = np.arange(len(ids)) * FOLDS // len(ids)
    for number in range(MEMBERS):
        run = write_experiment(workspace, f"member{number:02d}", MANIFEST) / "runs/0123456789ab"
        values = draw_values(answers, competition.task.outputs, number, 0.3 + 0.02 * number)
        write_predictions(run / "oof.parquet", Predictions(competition.task, ids, values, fold))
        state = {"format": 1, "made_at": 0.0, "folds": list(map(str, range(FOLDS))), "imported": True}
        (run / "environment.json").write_text(json.dumps(state))
        (run / "scores.json").write_text(json.dumps({"format": 1, "complete": True}))


def run_alone(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and peak GB of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


def measure_blend(folder: Path, most: int) -> None:
    comp = str(Path(sys.executable).parent / "comp")
    for rows in [rows for rows in ROWS if rows <= most]:
        workspace, members = folder / f"blend{rows}", [f"member{number:02d}" for number in range(MEMBERS)]
        # Not in this process: what a parent has had in memory counts for its children, who begin as copies of it.
        subprocess.run([sys.executable, "-m", "benchmarks.tables", "--make", workspace, "--rows", str(rows)], check=True)
        wall, peak = run_alone([comp, "blend", *members, "--use", "hillclimb", "--name", "mix"], workspace)
        scores = json.loads(next(workspace.glob("experiments/mix/runs/*/scores.json")).read_text())
        used = sum(weight > 0 for weight in scores["blend"]["weights"].values())
        claim = f" (claims < {MOST_BLEND_S:g} s, < {MOST_BLEND_GB:g} GB)" if rows == ROWS[-1] else ""
        print(
            f"blend      {MEMBERS} members x {rows:,} rows x {CLASSES} classes   {wall:.1f} s, {peak:.2f} GB{claim}   "
            f"{used} members used, {scores['pooled']:.4f} against {max(scores['blend']['scores'].values()):.4f} of the best"
        )
        shutil.rmtree(workspace)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS[-1], help="the most rows")
    parser.add_argument("--classes", type=int, default=CLASSES, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["rows", "classes", "blend"], help="one part; else all")
    given, _ = parser.parse_known_args()  # what other benchmarks are told is nothing to this one
    if given.make:
        return make_members(make_workspace(given.make, given.rows, CLASSES))
    if given.measure:
        return measure_rows(given.measure, given.rows, given.classes)
    parts: dict[str, Callable[[Path], None]] = {
        "rows": lambda folder: compare_rows(folder, CLASSES, given.rows),
        "classes": lambda folder: compare_rows(folder, 10_000, given.rows),
        "blend": lambda folder: measure_blend(folder, given.rows),
    }
    with tempfile.TemporaryDirectory(prefix="comp-bench-") as temporary:
        for name, part in parts.items():
            if given.only in (None, name):
                part(Path(temporary))


if __name__ == "__main__":
    main()
