"""Pictures: thumbnails that stand inside a page, and the words below them. What is shown where is the reports' business."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from comp.api import Target, Task
from comp.predictions import Predictions

THUMBNAIL_PX = 96
"""The longer side of a thumbnail at most."""
MOST_SHOWN = 24
SAMPLES = "samples.json"
"""In a fold's folder: training pictures as its network was given them."""

_QUALITY = 85
_MOST_LABELS = 3
_LONGEST = 24


@dataclass(frozen=True)
class Picture:
    """A thumbnail (`jpeg`: as base64; empty where the image could not be read) and the lines below it."""

    jpeg: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """Some pictures of many.

    Attributes:
        of: how many there would be.
        missing: which images are not there, and why; empty where all are.
    """

    pictures: tuple[Picture, ...] = ()
    of: int = 0
    missing: str = ""


Look = Callable[[str, Sequence[str]], list[np.ndarray | str]]
"""`train` or `test`, ids -> an image (H, W, C) uint8 of each unit, or why there is none."""


@dataclass(frozen=True)
class Shown:
    """What a report shows of the data besides what lies in the run's folder.

    Attributes:
        targets: what is scored.
        train: target name -> encoded targets of all training rows.
        predicted: the test predictions as they are submitted; None without.
    """

    targets: Sequence[Target]
    train: Mapping[str, np.ndarray]
    predicted: Predictions | None
    look: Look


def make_grid(look: Look, what: str, ids: Sequence[str], lines: Sequence[Sequence[str]], of: int) -> Grid:
    """The units' pictures, each with its id and its lines below it."""
    images = look(what, ids)
    lost = [image for image in images if isinstance(image, str)]
    pictures = [
        Picture("" if isinstance(image, str) else make_thumbnail(image), (str(unit), *below))
        for unit, image, below in zip(ids, images, lines, strict=True)
    ]
    missing = f"{len(lost)} of these {len(images)} images cannot be shown: {lost[0]}" if lost else ""
    return Grid(tuple(pictures), of, missing)


def make_thumbnail(image: np.ndarray) -> str:
    """(H, W, C) uint8 -> a JPEG as base64: three channels or more as their first three in colour, fewer as the first in grey.

    Small images are enlarged by a whole factor, so that their pixels can be seen.
    """
    shown = np.ascontiguousarray(image[:, :, 2::-1] if image.shape[2] >= 3 else image[:, :, 0])
    height, width = shown.shape[:2]
    if (longest := max(height, width)) > THUMBNAIL_PX:
        share = THUMBNAIL_PX / longest
        size = (max(1, round(width * share)), max(1, round(height * share)))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
    elif factor := THUMBNAIL_PX // longest - 1:
        shown = cv2.resize(shown, (width * (factor + 1), height * (factor + 1)), interpolation=cv2.INTER_NEAREST)
    return base64.b64encode(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()).decode()


def spread(count: int, most: int = MOST_SHOWN) -> np.ndarray:
    """`most` positions out of `count` (or all), evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.zeros(0, np.int64)


# ---- words ---------------------------------------------------------------------------------------------------------------


def name_truth(target: Target, value: Any) -> str:
    """What one row answers: its class, its labels, its number; nothing (None, or class -1) is said."""
    if value is None or (target.kind not in ("regression", "multilabel") and value < 0):
        return "not labelled"
    if target.kind == "regression":
        return format_number(float(value))
    if target.kind == "multilabel":
        return join_labels([shorten(target.classes[place]) for place in np.flatnonzero(np.asarray(value) >= 0.5)])
    return shorten(target.classes[int(value)])


def name_answer(target: Target, values: np.ndarray) -> str:
    """(width,) probabilities or a value -> `cat (87%)`, `cat (87%), dog (61%)`, `3.14`."""
    if target.kind == "regression":
        return format_number(float(values[0]))
    named = [f"{shorten(name)} ({format_share(value)})" for name, value in zip(target.classes, values, strict=True)]
    likeliest = int(values.argmax())
    if target.kind != "multilabel":
        return named[likeliest]
    given = [named[place] for place in np.argsort(-values, kind="stable") if values[place] >= 0.5]
    return join_labels(given) if given else f"none; first {named[likeliest]}"


def name_answers(task: Task, values: np.ndarray) -> list[str]:
    """A line for each target, which is named where there are several."""
    several = len(task.targets) > 1
    return [
        (f"{target.name}: " if several else "") + name_answer(target, values[task.slices[target.name]]) for target in task.targets
    ]


def name_truths(task: Task, targets: Mapping[str, Any]) -> list[str]:
    """The same of what one row answers."""
    several = len(task.targets) > 1
    return [(f"{target.name}: " if several else "") + name_truth(target, targets[target.name]) for target in task.targets]


def name_mixture(task: Task, own: Mapping[str, Any], partner: Mapping[str, Any] | None, share: float) -> list[str]:
    """The lines below a training picture that is its own image by `share`, its partner's by the rest (None: all its own)."""
    first = name_truths(task, own)
    if partner is None or share > 0.995:
        return first
    return [
        *(f"{line} ({format_share(share)})" for line in first),
        *(f"{line} ({format_share(1 - share)})" for line in name_truths(task, partner)),
    ]


def join_labels(labels: Sequence[str]) -> str:
    more = len(labels) - _MOST_LABELS
    return ", ".join(labels[:_MOST_LABELS]) + (f" and {more} more" if more > 0 else "") if labels else "none"


def shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def format_number(value: float) -> str:
    return f"{value:.4g}"


def format_share(share: float) -> str:
    return f"{share:.0%}"
