"""The HTML report of a search: one file that opens anywhere, made from what the search's folder holds. No request leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comp import __version__
from comp.events import read_events
from comp.project import atomic_write
from comp.report.curves import COLOURS, Curve, draw_chart, place_ticks, write_tick
from comp.report.html import open_template, unique_notices
from comp.report.importance import is_active, weigh_parameters
from comp.report.tables import format_score
from comp.report.trials import format_value, has_score, name_folds, short_names

LONGEST_LABEL = 14
MOST_LABELS = 6
CURVE = "#b9c6d3"
STATES = ("done", "pruned", "failed", "running")

Record = Mapping[str, Any]


def write_search_report(folder: Path, search: Record, trials: Sequence[Record], confirm: str = "") -> Path:
    """Write report.html into a search's folder.

    Args:
        folder: experiments/NAME/search/DIGEST; its events.jsonl, where it is there, says what is fixed, varied and measured.
        search: what search.json holds (comp.trials.Search).
        trials: its comp.trials.TrialRecord as mappings, in the order in which they began.
        confirm: the command that trains the best trial on folds that did not choose it; empty: there is none.
    """
    path = folder / "report.html"
    atomic_write(path, render_search(search, trials, list(read_events(folder / "events.jsonl")), confirm))
    return path


def render_search(search: Record, trials: Sequence[Record], records: Sequence[Record], confirm: str = "") -> str:
    started = next((record for record in reversed(records) if record["event"] == "SearchStarted"), {})
    ranked = rank_trials(trials, search["greater_is_better"])
    best = next((trial for trial in ranked if trial["state"] == "done" and has_score(trial["score"])), None)
    keys = short_names(key for trial in trials for key in trial["values"])
    ended = [trial for trial in trials if trial["state"] in ("done", "pruned") and has_score(trial["score"])]
    importance = weigh_parameters(search["parameters"], ended)
    return open_template("search.html.j2").render(
        search=search,
        about=started.get("about", ""),
        lines=[(name, started[name]) for name in ("fixed", "varied", "measured") if name in started],
        folds=name_folds(search["folds"]),
        best=best,
        confirm=confirm,
        best_values=[(key, format_value(value)) for key, value in best["values"].items()] if best else [],
        count=len(trials),
        states=[f"{n} {state}" for state in STATES if (n := sum(trial["state"] == state for trial in trials))],
        total_s=sum(trial["elapsed_s"] for trial in trials),
        epochs=sum(trial["epochs"] for trial in trials),
        over_time=draw_over_time(search, trials, best),
        against=draw_against(search, trials, best),
        importance=importance,
        names=list(keys.values()),
        keys=list(keys),
        rows=[describe_row(trial, keys) for trial in ranked if trial["state"] != "failed"],
        failures=[describe_row(trial, keys) for trial in trials if trial["state"] == "failed"],
        notices=unique_notices(records),
        version=__version__,
    )


def rank_trials(trials: Sequence[Record], greater_is_better: bool) -> list[Record]:
    """Those that were trained to their end, then the others; best first, among equals the earlier, without a score last."""
    sign = -1 if greater_is_better else 1

    def place(trial: Record) -> tuple[bool, float, str]:
        return trial["state"] != "done", sign * trial["score"] if has_score(trial["score"]) else math.inf, trial["trial"]

    return sorted(trials, key=place)


def describe_row(trial: Record, keys: Mapping[str, str]) -> dict[str, Any]:
    return {**trial, "cells": [format_value(trial["values"][key]) if key in trial["values"] else "" for key in keys]}


# ---- charts --------------------------------------------------------------------------------------------------------------


def draw_over_time(search: Record, trials: Sequence[Record], best: Record | None) -> list[tuple[str, str]]:
    """(caption, SVG): the scores in the order of the trials with the best so far, and every trial's curve."""
    metric, better = search["metric"], max if search["greater_is_better"] else min
    so_far: list[tuple[float, float]] = []
    for number, trial in enumerate(trials, 1):
        if trial["state"] == "done" and has_score(trial["score"]):
            so_far.append((number, better([trial["score"], *(score for _, score in so_far[-1:])])))
    dots = draw_dots([(number, trial) for number, trial in enumerate(trials, 1) if has_score(trial["score"])], best)
    lines = [
        Curve(name_trial(trial), tuple(map(tuple, trial["curve"])), COLOURS[1] if trial is best else CURVE)
        for trial in sorted(trials, key=lambda trial: trial is best)  # the best is drawn over the others
        if trial["curve"]
    ]
    best_line = Curve("best so far", tuple(so_far), COLOURS[1])
    charts = [
        ("score of each trial, and the best so far", draw_chart([best_line, *dots], f"{metric} by trial", "trial", metric)),
        (f"{metric} while they trained; the best trial is orange", draw_chart(lines, f"{metric} by epoch", "epoch", metric)),
    ]
    return [(caption, svg) for caption, svg in charts if svg]


def draw_dots(points: Sequence[tuple[float, Record]], best: Record | None) -> list[Curve]:
    """Trials at their x: full ones were trained to their end, hollow ones were not; the best in a colour of its own."""

    def draw(name: str, chosen: Sequence[tuple[float, Record]], colour: str, hollow: bool = False) -> Curve:
        places = tuple((x, trial["score"]) for x, trial in chosen)
        return Curve(name, places, colour, hollow, True, tuple(name_trial(trial) for _, trial in chosen))

    return [
        draw("not to the end", [pair for pair in points if pair[1]["state"] != "done"], COLOURS[0], hollow=True),
        draw("done", [pair for pair in points if pair[1]["state"] == "done" and pair[1] is not best], COLOURS[0]),
        draw("the best", [pair for pair in points if pair[1] is best], COLOURS[1]),
    ]


def name_trial(trial: Record) -> str:
    values = ", ".join(f"{name} {format_value(trial['values'][key])}" for key, name in short_names(trial["values"]).items())
    return f"{trial['trial']} {trial['state']} {format_score(trial['score'])}: {values}"


def draw_against(search: Record, trials: Sequence[Record], best: Record | None) -> list[tuple[str, str]]:
    """(caption, SVG): the score against each parameter, of the trials in which it had a place."""
    conditions = {parameter["name"]: parameter["condition"] for parameter in search["parameters"]}
    charts = []
    for parameter in search["parameters"]:
        name = parameter["name"]
        place = math.log10 if parameter["kind"].startswith("log") else float
        shown = [trial for trial in trials if has_score(trial["score"]) and is_active(parameter, trial["drawn"], conditions)]
        points = [(place(trial["drawn"][name]), trial) for trial in shown]
        marks = mark_axis(search["space"], parameter)
        title = f"{search['metric']} against {name}"
        svg = draw_chart(draw_dots(points, best), title, name, search["metric"], x_marks=marks)
        if svg:
            charts.append((describe_parameter(search["space"], parameter), svg))
    return charts


def mark_axis(space: Record, parameter: Record) -> list[tuple[float, str]]:
    """(x, label) over the whole domain: the options of a choice, powers of ten of a logarithmic range, else round numbers."""
    low, high = parameter["low"], parameter["high"]
    if parameter["kind"] == "choice":
        options = find_options(space, parameter["name"])
        many = len(options) > MOST_LABELS
        labels = [str(number) if many else crop(describe_option(option)) for number, option in enumerate(options)]
        return [(-0.5, ""), *enumerate(labels), (len(labels) - 0.5, "")]
    if parameter["kind"].startswith("log"):
        return mark_decades(low, high)
    step = parameter["step"] or (1 if parameter["kind"] == "int" else 0)
    count = round((high - low) / step) + 1 if step else 0
    if 2 <= count <= MOST_LABELS:
        return [(low + number * step, f"{low + number * step:g}") for number in range(count)]
    ticks = place_ticks(low, high, MOST_LABELS)
    return [(tick, write_tick(tick, ticks)) for tick in ticks]


def mark_decades(low: float, high: float) -> list[tuple[float, str]]:
    """(log10 of x, x) of powers of ten from low to high, of twice and five times as much too where there are few."""
    first, last = math.log10(low), math.log10(high)
    factors = (1,) if last - first >= 2 else (1, 2, 5)
    powers = range(math.floor(first), math.ceil(last) + 1)
    marks = [(math.log10(factor) + power, f"{factor * 10.0**power:g}") for power in powers for factor in factors]
    inside = [(x, label) for x, label in marks if first - 1e-9 <= x <= last + 1e-9]
    return inside[:: math.ceil(len(inside) / MOST_LABELS)] if len(inside) > 1 else [(first, f"{low:g}"), (last, f"{high:g}")]


def find_options(space: Record, name: str) -> list[Any]:
    """The options of the choice that bears this name: `loss`, or `loss.1.reduction` inside the second of loss's."""
    key = max((key for key in space if name == key or name.startswith(f"{key}.")), key=len)
    node = space[key]
    for part in name[len(key) + 1 :].split(".") if name != key else ():
        inner = node["choice"] if isinstance(node, dict) and "choice" in node else node
        node = inner[int(part)] if isinstance(inner, list) else inner[part]
    return list(node["choice"])


def describe_option(option: Any) -> str:
    """A plugin by its name and what is fixed of it."""
    if isinstance(option, Mapping) and "use" in option:
        return format_value({key: value for key, value in option.items() if not isinstance(value, Mapping)})
    return format_value(option)


def describe_parameter(space: Record, parameter: Record) -> str:
    name = parameter["name"]
    if parameter["kind"] == "choice":
        options = find_options(space, name)
        if len(options) <= MOST_LABELS and all(len(describe_option(option)) <= LONGEST_LABEL for option in options):
            return name
        return f"{name}: " + ", ".join(f"{number} {describe_option(option)}" for number, option in enumerate(options))
    step = f" by {parameter['step']:g}" if parameter["step"] else ""
    log = ", logarithmic" if parameter["kind"].startswith("log") else ""
    if not parameter["condition"]:
        return f"{name}: {parameter['low']:g} to {parameter['high']:g}{step}{log}"
    parent, option = parameter["condition"]
    where = f", where {parent} is {describe_option(find_options(space, parent)[option])}"
    return f"{name}: {parameter['low']:g} to {parameter['high']:g}{step}{log}{where}"


def crop(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
