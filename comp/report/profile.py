"""Profile: where a run's time went, as one table, and what of its manifest would save some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any, NamedTuple

from comp.events import PROFILE_PARTS
from comp.report.tables import format_duration, format_table

Record = Mapping[str, Any]
"""An EpochProfiled, as events.jsonl has it."""

Span = tuple[str, str, int]
"""Stage, span and epoch."""

Row = tuple[str, float, tuple[float, ...]]
"""What of the run it is, wall seconds, and the seconds of each part."""

MOST_ROWS = 12
"""Of more epochs than these, several share a row."""

SELDOM = ("augment", "exchange")
"""Parts that most runs have not; their columns are left out where there is nothing in them."""

STEP_PARTS = ("forward", "backward", "exchange", "optimizer")
SHORT_STEP_S = 0.005


@dataclass(frozen=True)
class Profile:
    """Seconds, each the mean over the folds.

    Attributes:
        about: what they are of.
        parts: columns.
        rows: in the order in which it happened.
        shares: of each part in all of the time.
        advice: what to change, the greatest share first.
    """

    about: str
    parts: tuple[str, ...]
    rows: tuple[Row, ...]
    shares: tuple[float, ...]
    advice: tuple[str, ...]


def read_profile(records: Sequence[Record]) -> Profile | None:
    """What these say; None where there is nothing. Of an epoch that was trained again the last record counts."""
    latest = {(each["fold"], each["stage"], each["span"], each["epoch"]): each for each in records}
    if not latest:
        return None
    spans: dict[Span, list[Record]] = {}
    for (_, stage, span, epoch), record in latest.items():
        spans.setdefault((stage, span, epoch), []).append(record)
    total = {part: sum(record["parts"].get(part, 0.0) for record in latest.values()) for part in PROFILE_PARTS}
    parts = tuple(part for part in PROFILE_PARTS if part not in SELDOM or total[part] > 0)
    wall = sum(record["wall_s"] for record in latest.values()) or 1.0
    several = len({stage for stage, _, _ in spans}) > 1
    ordered = sorted(spans.items(), key=order_spans(spans))
    rows = [average_row(name_span(key, several), found, parts) for key, found in ordered]
    about = describe([*latest.values()])
    shares = tuple(total[part] / wall for part in parts)
    return Profile(about, parts, tuple(join_epochs(rows)), shares, tuple(advise([*latest.values()])))


def describe(records: Sequence[Record]) -> str:
    folds = len({record["fold"] for record in records})
    of = f", the mean of {folds} folds" if folds > 1 else ""
    return f"in seconds{of}" + ("; the GPU was waited for between the parts, which slows it" if on_gpu(records) else "")


def order_spans(spans: Mapping[Span, Any]) -> Callable[[tuple[Span, Any]], Any]:
    """Stages as they came, of each its start, then its epochs; the end last."""
    stages = list(dict.fromkeys(stage for stage, _, _ in spans))
    order = ("start", "epoch", "training", "end")
    return lambda item: (item[0][1] == "end", stages.index(item[0][0]), order.index(item[0][1]), item[0][2])


def name_span(key: Span, several: bool) -> str:
    stage, span, epoch = key
    return str(epoch + 1) if span == "epoch" else f"{span} of {stage}" if several and span == "start" else span


def average_row(name: str, records: Sequence[Record], parts: Sequence[str]) -> Row:
    means = tuple(fmean(record["parts"].get(part, 0.0) for record in records) for part in parts)
    return name, fmean(record["wall_s"] for record in records), means


def join_epochs(rows: Sequence[Row]) -> list[Row]:
    """The same with several epochs of a stage in a row, where there are many: their mean."""
    each = -(-sum(name.isdigit() for name, _, _ in rows) // MOST_ROWS)
    joined: list[Row] = []
    for are_epochs, group in groupby(rows, key=lambda row: row[0].isdigit()):
        together = [*group]
        size = max(1, each) if are_epochs else 1
        joined += [average(together[at : at + size]) for at in range(0, len(together), size)]
    return joined


def average(rows: Sequence[Row]) -> Row:
    names = list(dict.fromkeys((rows[0][0], rows[-1][0])))
    parts = tuple(fmean(column) for column in zip(*(spent for _, _, spent in rows), strict=True))
    return "–".join(names), fmean(wall_s for _, wall_s, _ in rows), parts


# ---- what to change ------------------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    """From `least` of the time on a part is worth a word: `what` takes so much, `do` would save some."""

    part: str
    least: float
    what: str
    do: str


EPOCH_RULES = (
    Rule("copy", 0.1, "copying batches to the device takes", "a larger train.batch_size makes fewer of them"),
    Rule("augment", 0.2, "augmenting on the device takes", "fewer changes, or some of them in the loader (A.*)"),
    Rule("optimizer", 0.2, "updates take", "train.accumulate: 2 makes half as many; train.ema: false averages no weights"),
    Rule("exchange", 0.2, "exchanging gradients takes", "train.accumulate: 2 halves it, as does twice the train.batch_size"),
    Rule("validation", 0.25, "validation takes", "a smaller image.predict_size"),
    Rule("checkpoint", 0.05, "saving takes", "a faster disk, a smaller model, or train.ema: false, which saves the weights once"),
    Rule("rest", 0.2, "what is none of these takes", "a larger train.batch_size, which makes fewer steps; fewer loggers"),
)
RUN_RULES = (Rule("prediction", 0.3, "predictions take", "fewer views in tta, or a smaller image.predict_size"),)
"""Of all of the time, where the others are of the epochs'."""


def advise(records: Sequence[Record]) -> list[str]:
    """What takes more of the time than it should, and which keys have to do with it; the greatest share first."""
    epochs = [record for record in records if record["span"] in ("epoch", "training")]
    rules = [(rule, epochs) for rule in (advise_data(records), *EPOCH_RULES)] + [(rule, records) for rule in RUN_RULES]
    found = [(share_of(rule.part, of), rule) for rule, of in rules]
    found = sorted((item for item in found if item[0] >= item[1].least), key=lambda item: -item[0])
    texts = [f"{rule.what} {share:.0%} of the time: {rule.do}" for share, rule in found]
    texts += advise_short_steps(epochs)
    return texts or [advise_model(epochs)]


def share_of(part: str, records: Sequence[Record]) -> float:
    wall = sum(record["wall_s"] for record in records)
    return sum(record["parts"].get(part, 0.0) for record in records) / wall if wall else 0.0


def on_gpu(records: Sequence[Record]) -> bool:
    return any(record["device"] != "cpu" for record in records)


def advise_data(records: Sequence[Record]) -> Rule:
    do = "fewer or cheaper transforms in augment, or a smaller image.size"
    if on_gpu(records):
        workers = max(record["workers"] for record in records)
        do = f"train.workers above {workers}, where there are cores; or augment on the device (on_device), which spares them"
    return Rule("data", 0.2, "waiting for batches takes", f"{do}; room for decoded images, where the run says there is none")


def advise_model(epochs: Sequence[Record]) -> str:
    share = share_of("forward", epochs) + share_of("backward", epochs)
    more = ", train.precision: auto and train.compile: true" if on_gpu(epochs) else ""
    return f"the model's passes take {share:.0%} of the time: only a smaller image.size or model{more} would save some"


def advise_short_steps(records: Sequence[Record]) -> list[str]:
    steps = sum(record["steps"] for record in records)
    if not steps or not on_gpu(records):
        return []
    step_s = sum(record["parts"].get(part, 0.0) for record in records for part in STEP_PARTS) / steps
    if step_s >= SHORT_STEP_S:
        return []
    do = "a larger train.batch_size, or several folds at once on one GPU (--gpus 0,0)"
    return [f"a step takes {1000 * step_s:.1f} ms, so that the GPU waits for Python: {do}"]


# ---- how it is shown -----------------------------------------------------------------------------------------------------


def profile_cells(profile: Profile) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table, the last one the shares."""
    rows = [
        [name, format_duration(wall_s), *(format_seconds(seconds) for seconds in spent)] for name, wall_s, spent in profile.rows
    ]
    return ["epoch", "time", *profile.parts], [*rows, ["share", "", *(f"{share:.0%}" for share in profile.shares)]]


def format_seconds(seconds: float) -> str:
    return "" if seconds < 0.0005 else f"{seconds:.3f}" if seconds < 9.9995 else f"{seconds:,.1f}"


def profile_lines(records: Sequence[Record]) -> list[str]:
    """For a terminal; nothing where nothing was profiled."""
    profile = read_profile(records)
    if profile is None:
        return []
    header, rows = profile_cells(profile)
    table = format_table(header, rows, right=range(1, len(header)))
    return ["", f"where the time went, {profile.about}", *table, *profile.advice]


def show_profile(records: Sequence[Record]) -> dict[str, Any] | None:
    """For the page of a run; None where nothing was profiled. `records`: all of its events."""
    profile = read_profile([record for record in records if record["event"] == "EpochProfiled"])
    if profile is None:
        return None
    header, rows = profile_cells(profile)
    return {"about": profile.about, "header": header, "rows": rows[:-1], "shares": rows[-1], "advice": profile.advice}
