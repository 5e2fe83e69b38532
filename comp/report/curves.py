"""Curves: a line chart as inline SVG, with axes, grid, labels and a title for readers that cannot see it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 42

# Okabe and Ito's palette, which colour-blind readers tell apart; yellow is left out as too light on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444", "#7b5ea7")


@dataclass(frozen=True)
class Curve:
    """A line. `points`: (x, y), finite; `dashed` tells a second line of the same colour apart (of dots: they are hollow);
    `dots`: no line joins them; `hints`: for large dots, what each is."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str
    dashed: bool = False
    dots: bool = False
    hints: tuple[str, ...] = ()


def draw_chart(
    curves: Sequence[Curve],
    title: str,
    x_label: str,
    y_label: str,
    whole_x: bool = True,
    x_marks: Sequence[tuple[float, str]] = (),
) -> str:
    """An SVG of all curves on common axes; an empty text where there is no point at all.

    Args:
        whole_x: x counts something.
        x_marks: (x, label) in ascending order, where x is no plain number; the axis reaches from the first to the last at least.
    """
    points = [point for curve in curves for point in curve.points]
    if not points:
        return ""
    if x_marks:
        x_ticks = [x for x, _ in x_marks]
    else:
        x_ticks = place_ticks(min(x for x, _ in points), max(x for x, _ in points), 7, whole=whole_x)
    x_labels = [label for _, label in x_marks] or [write_tick(tick, x_ticks) for tick in x_ticks]
    y_ticks = place_ticks(min(y for _, y in points), max(y for _, y in points), 6)
    x_low, x_high = min(x_ticks[0], min(x for x, _ in points)), max(x_ticks[-1], max(x for x, _ in points))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>']
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{y + 4:.1f}">{write_tick(tick, y_ticks)}</text>')
    for tick, label in zip(x_ticks, x_labels, strict=True):
        x, _ = place(tick, y_low)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{escape(label)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(
        f'<text class="label" text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">{escape(x_label)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(13 {middle}) rotate(-90)">{escape(y_label)}</text>'
    )
    parts += [draw_curve(curve, [place(x, y) for x, y in curve.points]) for curve in curves if curve.points]
    return "".join([*parts, "</svg>"])


def draw_curve(curve: Curve, places: Sequence[tuple[float, float]]) -> str:
    dashes = ' stroke-dasharray="5 4"' if curve.dashed else ""
    hint = f"<title>{escape(curve.name)}</title>"
    if curve.hints:
        look = f'fill="{"#fff" if curve.dashed else curve.colour}" fill-opacity="0.8" stroke="{curve.colour}" stroke-width="1.3"'
        marks = zip(places, curve.hints, strict=True)
        drawn = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" {look}><title>{escape(text)}</title></circle>' for (x, y), text in marks
        )
        return f"<g>{''.join(drawn)}</g>"
    if curve.dots:
        drawn = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{curve.colour}" fill-opacity="0.45"/>' for x, y in places)
        return f"<g>{hint}{''.join(drawn)}</g>"
    if len(places) == 1:
        look = f'fill="none" stroke="{curve.colour}" stroke-width="1.6"' if curve.dashed else f'fill="{curve.colour}"'
        return f'<circle cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3.5" {look}>{hint}</circle>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="curve" stroke="{curve.colour}"{dashes} points="{path}">{hint}</polyline>'


def place_ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round numbers, at most `most` + 1, that span low..high (`whole`: whole numbers inside low..high)."""
    if high <= low:
        low, high = (low, low + 1) if whole else (low - abs(low) * 0.1 - 1e-3, high + abs(high) * 0.1 + 1e-3)
    rough = (high - low) / max(1, most - 1)
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 2.5, 5, 10) if base * factor >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
        first = math.ceil(low / step) * step
        ticks = [first + number * step for number in range(int((high - first) / step + 1e-9) + 1)]
        return [low, *ticks] if ticks[0] > low else ticks
    first = math.floor(low / step + 1e-9)
    return [number * step for number in range(first, math.ceil(high / step - 1e-9) + 1)]


def write_tick(tick: float, ticks: Sequence[float]) -> str:
    """As many decimals as tell neighbours apart; very small numbers as 3e-4."""
    if 0 < max(map(abs, ticks)) < 1e-2:
        return f"{tick:.1e}".replace("e-0", "e-").replace(".0e", "e") if tick else "0"
    step = min((abs(b - a) for a, b in itertools.pairwise(ticks)), default=1.0) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += round(step * 10**decimals, 6) % 1 != 0
    return f"{tick:,.{decimals}f}"
