"""The HTML report of a run: one file that opens anywhere, made from what the run's folder holds. No request leaves it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from comp import __version__
from comp.events import read_events
from comp.formats import SCORES, read_record
from comp.pictures import Shown
from comp.predictions import read_predictions
from comp.project import atomic_write
from comp.report.answered import Answered, join_truth
from comp.report.classes import average_rows, class_rows, report_classes
from comp.report.confusion import Confusion, count_confusions
from comp.report.counts import count_all
from comp.report.curves import COLOURS, Curve, draw_chart
from comp.report.grids import read_samples, show_mistakes, show_predicted
from comp.report.profile import show_profile
from comp.report.tables import (
    format_duration,
    format_score,
    format_spread,
    interval_line,
    member_rows,
    raw_lines,
)
from comp.report.values import report_values
from comp.runs import scored_file

MATRIX_CLASSES = 30
RECONSTRUCTIONS = "reconstructions.png"
CLASS_ROWS = 100
CONFUSED_PAIRS = 10


def write_report(
    run_folder: Path,
    ids: Sequence[str] = (),
    targets: Mapping[str, np.ndarray] | None = None,
    shown: Shown | None = None,
) -> Path:
    """Write report.html from events.jsonl, scores.json, the OOF and the training samples, as far as they are there.

    Args:
        ids: (U,) the training units.
        targets: target name -> (U, ...) their encoded targets, in the order of `ids`. Without them nothing is said of classes but
            the metric's own scores.
        shown: the data themselves; None: neither counts nor pictures.
    """
    records = list(read_events(run_folder / "events.jsonl"))
    file = run_folder / "scores.json"
    scores = read_record(file, SCORES) if file.exists() else {}
    oof = scored_file(run_folder)
    answers = join_truth(read_predictions(oof), ids, targets) if targets and oof.exists() else []
    path = run_folder / "report.html"
    atomic_write(path, render_report(run_folder, records, scores, answers, shown))
    return path


def read_reconstructions(run_folder: Path) -> list[tuple[str, str]]:
    """(fold, picture as base64) of what an autoencoder drew."""
    files = sorted(run_folder.glob(f"*/{RECONSTRUCTIONS}"))
    return [(file.parent.name, base64.b64encode(file.read_bytes()).decode()) for file in files]


def open_template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(score=format_score, duration=format_duration, percent=format_percent)
    return environment.get_template(name)


def format_percent(share: float | None) -> str:
    return "–" if share is None or share != share else f"{share:.1%}"


def render_report(
    run_folder: Path,
    records: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Any],
    answers: Sequence[Answered],
    shown: Shown | None,
) -> str:
    run = describe_run(records, scores)
    epochs = last_epochs(records)
    folds = fold_rows(records, epochs, run, scores["per_fold"] if scores else {})
    confusions = count_confusions(answers)
    reports = report_classes(answers, confusions)
    classes = class_rows(scores, reports, confusions)
    return open_template("report.html.j2").render(
        run=run,
        scores=scores,
        headline=format_spread(scores["pooled"], scores["std"]) if scores else "–",
        total_s=sum(fold["elapsed_s"] for fold in folds),
        folds=folds,
        charts=draw_charts(epochs, run),
        legend=[(f"fold {fold}" if fold.isdigit() else fold, colour_of(fold, epochs)) for fold in epochs],
        also={name: other["pooled"] for name, other in scores["also"].items()} if scores else {},
        per_target=scores["per_target"] if scores else {},
        details=[*filter(None, [interval_line(scores)]), *raw_lines(scores)] if scores else [],
        members=member_rows(scores) if scores.get("blend") else [],
        classes=classes[:CLASS_ROWS],
        averages=average_rows(reports),
        class_count=len(classes),
        confusions=[describe_confusion(confusion) for confusion in confusions],
        values=report_values(answers),
        counts=count_all(shown.train, shown.predicted, shown.targets) if shown else [],
        samples=read_samples(run_folder),
        trained=bool(epochs),
        tested=show_predicted(shown.predicted, shown.look) if shown and shown.predicted else None,
        mistakes=show_mistakes(answers, shown.look) if shown else [],
        pictures=read_reconstructions(run_folder),
        profile=show_profile(records),
        notices=[
            *(("warning", f"no score for {what}: {why}") for what, why in (scores["undefined"] if scores else {}).items()),
            *unique_notices(records),
        ],
        version=__version__,
    )


def describe_run(records: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> dict[str, Any]:
    """The head: what the run said when it last started to train, and for a blend, which never does, what its scores say."""
    known = {"experiment": "", "digest": "", "about": "", "device": "", "precision": "", "train_rows": 0, "test_rows": 0}
    known |= {"metric": "score", "greater_is_better": True, "members": {}}
    stated = {key: scores[key] for key in known if key in scores}
    started = [record for record in records if record["event"] == "RunStarted"]
    return {**known, **stated, **(started[-1] if started else {})}


def last_epochs(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """fold -> its EpochFinished records by epoch; of an epoch that was trained again after a kill, the last."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for record in records:
        if record["event"] == "EpochFinished":
            found.setdefault(record["fold"], {})[record["epoch"]] = record
    order = sorted(found, key=lambda fold: (not fold.isdigit(), int(fold) if fold.isdigit() else 0))
    return {fold: [found[fold][epoch] for epoch in sorted(found[fold])] for fold in order}


def headline_of(record: Mapping[str, Any], metric: str) -> float | None:
    scores = record["scores"]
    return scores.get(metric, next(iter(scores.values()), None))


def fold_rows(
    records: Sequence[Mapping[str, Any]], epochs: Mapping[str, Any], run: Mapping[str, Any], per_fold: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    """One row per fold. Its score is that of scores.json, which knows of views and post, else that of the epoch it ended with."""
    finished = {record["fold"]: record for record in records if record["event"] == "FoldFinished"}
    sizes = {record["fold"]: record for record in records if record["event"] == "FoldStarted"}
    choose = max if run["greater_is_better"] else min
    rows = []
    for fold, history in epochs.items():
        shown = [score for record in history if (score := headline_of(record, run["metric"])) is not None]
        end = finished.get(fold)
        ended_with = headline_of(end, run["metric"]) if end else shown[-1] if shown else None
        rows.append(
            {
                "fold": fold,
                "score": per_fold.get(fold, ended_with),
                "best": choose(shown) if shown else None,
                "best_epoch": end["best_epoch"] + 1 if end and end["best_epoch"] >= 0 else None,
                "epochs": len(history),
                "train_rows": sizes[fold]["train_rows"] if fold in sizes else None,
                "held_out_rows": sizes[fold]["held_out_rows"] if fold in sizes else None,
                "elapsed_s": end["elapsed_s"] if end else history[-1]["elapsed_s"],
                "samples_per_s": history[-1]["samples_per_s"],
                "done": end is not None,
            }
        )
    return rows


def colour_of(fold: str, folds: Mapping[str, Any]) -> str:
    return COLOURS[list(folds).index(fold) % len(COLOURS)]


def draw_charts(epochs: Mapping[str, list[Mapping[str, Any]]], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(caption, SVG): the losses, the deciding metric, the learning rate."""

    def trace(fold: str, name: str, value: Any, dashed: bool = False) -> Curve:
        points = [(record["epoch"] + 1, y) for record in epochs[fold] if (y := value(record)) is not None]
        return Curve(f"fold {fold}, {name}", tuple(points), colour_of(fold, epochs), dashed)

    losses = [curve for fold in epochs for curve in (
        trace(fold, "training", lambda record: record["train_loss"], dashed=True),
        trace(fold, "held out", lambda record: record["held_out_loss"]),
    )]  # fmt: skip
    metric = [trace(fold, run["metric"], lambda record: headline_of(record, run["metric"])) for fold in epochs]
    rates = [trace(fold, "learning rate", lambda record: record["lr"]) for fold in list(epochs)[:1]]
    charts = [
        (f"{run['metric']} on held-out rows", draw_chart(metric, f"{run['metric']} per epoch and fold", "epoch", run["metric"])),
        ("loss: held out (solid) and training (dashed)", draw_chart(losses, "loss per epoch and fold", "epoch", "loss")),
        ("learning rate", draw_chart(rates, "learning rate per epoch", "epoch", "learning rate")),
    ]
    return [(caption, svg) for caption, svg in charts if svg]


def describe_confusion(confusion: Confusion) -> dict[str, Any]:
    names, matrix = confusion.target.classes, None
    if len(names) <= MATRIX_CLASSES:
        counts = confusion.matrix()
        shares = counts / np.maximum(1, confusion.support)[:, None]
        matrix = [
            (name, [(int(counts[i, j]), float(shares[i, j]), i == j, names[j]) for j in range(len(names))])
            for i, name in enumerate(names)
        ]
    return {
        "target": confusion.target.name,
        "classes": names,
        "matrix": matrix,
        "pairs": confusion.confused_pairs(CONFUSED_PAIRS),
    }


def unique_notices(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(level, text), each once, warnings first; a stop tells why."""
    found: dict[str, str] = {}
    for record in records:
        if record["event"] == "Notice":
            found.setdefault(record["text"], record["level"])
        elif record["event"] == "RunStopped":
            found.setdefault(f"stopped: {record['why']}", "info")
    return sorted(((level, text) for text, level in found.items()), key=lambda pair: pair[0] == "info")
