"""`comp check`: everything about an experiment that can be known before training it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from comp.api import Task
from comp.audit.tables import judge_tables
from comp.blend import gather_members, name_members
from comp.changes import find_changed_parents
from comp.competition import Competition, encode_targets, open_competition, unit_table
from comp.engine.device import demand_devices, describe_device, open_device
from comp.engine.probe import Trial, try_training
from comp.engine.rows import make_rows
from comp.engine.sizes import plan_image, plan_store_size
from comp.engine.tabular import describe_missing
from comp.errors import ImageError
from comp.folds import Folds, open_folds, rare_classes
from comp.further import open_further
from comp.images import probe_images
from comp.imported import read_imported
from comp.manifest import Manifest, load_manifest
from comp.merge import make_chain
from comp.plan import count_channels, describe_test_set
from comp.predictions import Predictions
from comp.project import Project
from comp.sample import list_units
from comp.search import demand_space
from comp.steps import open_steps
from comp.stores.cache import describe_need
from comp.stores.store import open_store
from comp.submission import build_submission
from comp.tables import describe_fillers
from comp.unsettled import list_questions

SAMPLE = 200
SHOWN_CLASSES = 12


@dataclass(frozen=True)
class CheckReport:
    """What a check found: titled lists of lines, and what deserves a second look."""

    sections: list[tuple[str, list[str]]]
    warnings: list[str]
    estimate: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_experiment(project: Project, name: str, sets: Sequence[str] = (), read_all: bool = False) -> CheckReport:
    """Check manifest, tables, folds, images, model and submission form, and estimate time and memory.

    Args:
        read_all: read every image instead of a sample.

    Raises:
        CompError: the first thing that would stop a run; of manifest, tables and images all faults at once.
    """
    manifest = load_manifest(project, name, sets, library=True)
    demand_space(manifest)
    competition = open_competition(project, manifest)
    make_chain(manifest, competition.task)
    warnings = find_changed_parents(manifest)
    if manifest.is_blend:
        members = check_members(project, manifest, competition, warnings)
        form = check_form(manifest, competition, warnings)
        return CheckReport([("tables", describe_tables(competition)), ("members", members), ("submission", form)], warnings, {})
    folds = open_folds(project, manifest, competition)
    if manifest.is_imported:
        predictions = check_imported(manifest, competition, folds, warnings)
        form = check_form(manifest, competition, warnings)
        sections = [("tables", describe_tables(competition)), ("predictions", predictions), ("submission", form)]
        return CheckReport(sections, warnings, {})
    if about_test := describe_test_set(competition.tables):
        warnings.append(about_test)
    sections = [
        ("tables", describe_tables(competition) + open_further(manifest, competition).describe()),
        ("folds", describe_folds(competition, folds, warnings)),
        ("images", check_images(competition, manifest, read_all, warnings)),
    ]
    lines, estimate = check_model(project, manifest, competition, folds)
    sections += [("model", lines), ("submission", check_form(manifest, competition, warnings))]
    warnings += [str(finding) for finding in judge_tables(manifest, competition, folds) if finding.level != "note"]
    if asked := describe_questions(project):
        sections.append(("questions", asked))
    return CheckReport(sections, warnings, estimate)


def describe_questions(project: Project) -> list[str]:
    """What competition.yaml still asks, by key: who has settled a question removes its comment."""
    text = project.competition_file.read_text(encoding="utf-8-sig")
    return [f"{project.competition_file.name}:{each.line} {each.key}: {each.text}" for each in list_questions(text)]


def describe_tables(competition: Competition) -> list[str]:
    tables = competition.tables
    units = tables.train["id"].nunique()
    lines = [f"{len(tables.train)} training rows, {units} units" if units < len(tables.train) else f"{units} training rows"]
    lines.append("no test set yet" if tables.test is None or not len(tables.test) else f"{len(tables.test)} test rows")
    for target in competition.trained.targets:
        what = f"{len(target.classes)} classes" if target.classes else "a number"
        lines.append(f"target {target.name}: {target.kind}, {what}" + ("" if target.scored else ", not scored"))
    if tables.weight:
        lines.append(f"rows are weighted by {tables.weight}")
    if tables.columns:
        more = f" and {len(tables.columns) - SHOWN_CLASSES} more" if len(tables.columns) > SHOWN_CLASSES else ""
        lines.append(f"beside the image: {', '.join(tables.columns[:SHOWN_CLASSES])}{more}")
        lines += describe_missing(
            [None if table is None else table[list(tables.columns)] for table in (tables.train, tables.test)]
        )
    if tables.views > 1:
        lines.append(f"{tables.views} images are stacked in a row")
    return lines


def check_members(project: Project, manifest: Manifest, competition: Competition, warnings: list[str]) -> list[str]:
    """A blend's members, aligned.

    Raises:
        WorkspaceError: a member has no complete run.
        PredictionsError: members of other ids or targets.
    """
    found = gather_members(project, manifest, competition)
    aligned = found.aligned
    warnings += aligned.warnings
    tests = "no test predictions" if aligned.test_ids is None else f"{len(aligned.test_ids)} test ids"
    lines = [f"{name}: {run}" for name, run in name_members(found.runs).items()]
    return [*lines, f"{len(aligned.ids)} OOF ids and {tests} in common"]


def check_imported(manifest: Manifest, competition: Competition, folds: Folds, warnings: list[str]) -> list[str]:
    """Imported predictions, read.

    Raises:
        PredictionsError: files that are missing, or of other ids or classes.
    """
    found = read_imported(manifest, competition, folds)
    warnings += found.warnings
    tests = "no test predictions" if found.test is None else f"{len(found.test.ids)} test ids"
    return [f"{len(found.oof.ids)} OOF ids and {tests}"]


def describe_folds(competition: Competition, folds: Folds, warnings: list[str]) -> list[str]:
    units = unit_table(competition.tables)
    fold_of = folds.of(units["id"])
    sizes = ", ".join(str(count) for count in np.bincount(fold_of[fold_of >= 0], minlength=folds.per_repeat))
    repeated = f" ({folds.repeats} repeats of {folds.per_repeat})" if folds.repeats > 1 else ""
    lines = [f"{folds.count} folds{repeated} from {folds.path.name}; units held out: {sizes}"]
    if (fold_of < 0).any():
        lines.append(f"{int((fold_of < 0).sum())} units are never held out, and so never scored")
    for target in competition.task.targets:
        if target.kind in ("regression", "multilabel") or target.width > SHOWN_CLASSES:
            continue
        codes = encode_targets(competition.task.only(target.name), units)[target.name]
        table = pd.crosstab(codes, fold_of).reindex(range(target.width), fill_value=0)
        lines += [f"{target.name}={label}: {' '.join(map(str, table.loc[code]))}" for code, label in enumerate(target.classes)]
    for rare in rare_classes(competition, folds):
        first = ", ".join(f"{label} ({count})" for label, count in rare.classes[:5])
        more = f" and {len(rare.classes) - 5} more" if len(rare.classes) > 5 else ""
        warnings.append(
            f"target {rare.target}: {len(rare.classes)} classes have fewer units than folds: {first}{more}. "
            f"{rare.out_of_reach} of {rare.scored} answers are of a class that their fold never trains on; in reach: "
            f"accuracy {rare.accuracy_in_reach:.4f}, "
            f"macro F1 {rare.macro_f1_in_reach:.4f} (split.rare: train_only keeps such units out of the score)"
        )
    return lines


def check_images(competition: Competition, manifest: Manifest, read_all: bool, warnings: list[str]) -> list[str]:
    """Read a sample of the images of each table, or all.

    Raises:
        ImageError: some cannot be read, and the manifest does not skip them.
    """
    tables = competition.tables
    lines: list[str] = []
    bad: dict[str, str] = {}
    for what, table in (("training", tables.train), ("test", tables.test)):
        if table is None or not len(table):
            continue
        probe = probe_images(table["image"].tolist(), tables.root, tables.read, None if read_all else SAMPLE)
        lines.append(
            f"{what}: {probe.looked} of {table['image'].nunique()} images read, median short side {probe.short_px} px, "
            f"{probe.channels} channels"
        )
        bad |= probe.bad
    if bad:
        listed = "\n".join(f"  {ref}: {why}" for ref, why in list(bad.items())[:20])
        text = f"{len(bad)} images cannot be read:\n{listed}" + (f"\n  and {len(bad) - 20} more" if len(bad) > 20 else "")
        if manifest.values["on_bad_image"] == "error":
            raise ImageError(f"{text}\nMend or remove them, or set `on_bad_image: skip` in the manifest.")
        warnings.append(text)
    return lines


def check_model(project: Project, manifest: Manifest, competition: Competition, folds: Folds) -> tuple[list[str], dict[str, Any]]:
    """A few real steps on real images: shapes, and what a run will take."""
    tables, task, stage = competition.tables, competition.trained, manifest.stages[0]
    demand_devices(manifest.values["train"])
    fabric = open_device(manifest.values["train"])
    image = plan_image(manifest, task, count_channels(manifest, tables))
    sample = tables.train.sample(min(len(tables.train), 2 * stage["train"]["batch_size"]), random_state=0).reset_index(drop=True)
    read_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="comp-check-") as cache:
        refs, fit = sample["image"].tolist(), manifest.values["image"]["fit"]
        size = plan_store_size(manifest, image)
        steps = open_steps(manifest.catalog, manifest.values["preprocess"], tables, project.root)
        store = open_store(refs, tables.root, tables.read, size, fit, image.channels, Path(cache), "skip", steps=steps)
        read_s = (time.monotonic() - read_s) / len(sample)
        rows = make_rows(sample, store, task, tables.weight, tables.columns).balance_weights()
        trial = try_training(manifest, task, image, rows, fabric)
    estimate = estimate_run(manifest, competition, folds, trial, read_s)
    images = sum(table["image"].nunique() for table in (tables.train, tables.test) if table is not None)
    lines = [
        f"batch {shape_text(trial.input_shape)} -> {trial.features} features -> {shape_text(trial.output_shape)}; "
        + trial.describe_loss(),
        f"{trial.parameters / 1e6:.2f} M weights, {trial.trainable / 1e6:.2f} M of them trained in stage '{stage['name']}'",
        f"trained at {shape_text(image.size)}, predicted at {shape_text(image.predict_size)} px, on {describe_device(fabric)}",
        describe_need(project.cache, images, (*size, image.channels)),
        f"a step of {stage['train']['batch_size']} takes {trial.step_s * 1000:.0f} ms, memory {trial.memory_mib:.0f} MiB",
        f"an epoch about {duration_text(estimate['epoch_s'])}, a fold {duration_text(estimate['fold_s'])}, "
        f"the run of {folds.count} folds {duration_text(estimate['run_s'])} "
        f"(images read once: {duration_text(estimate['read_s'])})",
    ]
    return lines, estimate


def estimate_run(manifest: Manifest, competition: Competition, folds: Folds, trial: Trial, read_s: float) -> dict[str, Any]:
    """Seconds of an epoch, a fold and the run, from the measured step; later stages are taken to cost as much as the first."""
    tables = competition.tables
    held_out = len(tables.train) / folds.per_repeat
    tests = 0 if tables.test is None else len(tables.test)
    views = 1 + len(manifest.values["tta"])
    batch = manifest.stages[0]["train"]["batch_size"]
    epoch_s = (len(tables.train) - held_out) / batch * trial.step_s + held_out * trial.predict_s
    fold_s = (
        epoch_s * sum(stage["epochs"] for stage in manifest.stages) + (held_out * (views - 1) + tests * views) * trial.predict_s
    )
    read_all_s = (len(tables.train) + tests) * read_s
    return {
        "step_s": trial.step_s,
        "epoch_s": epoch_s,
        "fold_s": fold_s,
        "read_s": read_all_s,
        "run_s": fold_s * folds.count + read_all_s,
        "memory_mib": trial.memory_mib,
    }


def check_form(manifest: Manifest, competition: Competition, warnings: list[str]) -> list[str]:
    """Build a submission of made-up answers and let the sample's form judge it.

    Raises:
        SubmissionError: the manifest's submission does not fit the sample.
    """
    tables, task = competition.tables, competition.task
    if tables.sample is None:
        warnings.append("there is no sample submission: nothing to check the answers' form against")
        return ["no sample submission"]
    if not len(tables.sample):
        return [f"the sample has no rows; its columns are {', '.join(tables.sample.columns)}"]
    warnings += describe_fillers(task, tables, manifest.values["submission"])
    spec, known = manifest.values["submission"], None if tables.test is None else tables.test["id"].drop_duplicates().tolist()
    ids = list_units(manifest.catalog, spec, task, tables.sample, tables.id_column, known)
    made_up = Predictions(task, np.asarray(ids, dtype=object), make_up_answers(task, len(ids)))
    frame = build_submission(manifest.catalog, spec, task, made_up, tables.sample, tables.id_column, known)
    lines = [f"'{spec['use']}' gives {len(frame)} rows of {', '.join(map(str, frame.columns[:6]))}, as the sample wants"]
    if tables.test is not None and len(tables.test):
        unknown = set(tables.test["id"]) ^ set(ids)
        if unknown:
            warnings.append(f"{len(unknown)} ids are in only one of test set and sample, e.g. {sorted(unknown)[0]!r}")
    return lines


def make_up_answers(task: Task, count: int) -> np.ndarray:
    """Equal probabilities for classes, zero for numbers: (count, outputs), all of them one row in memory."""
    answer = np.zeros(task.outputs)
    for target in task.targets:
        answer[task.slices[target.name]] = 1 / target.width if target.classes else 0.0
    return np.broadcast_to(answer, (count, task.outputs))


def shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
