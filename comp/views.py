"""Views: which predictions of an image there are (as it is, and one or more for each `tta` of a manifest), and their names.

A view's stored name starts with its tta's label, so that a reader of stored predictions knows which views a manifest means
without building the plugins that made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLAIN = "plain"
"""The view of the image as it is; always predicted."""


def label_view(spec: Mapping[str, Any]) -> str:
    """`hflip`, or with arguments `rotate(degrees=90)`."""
    arguments = ",".join(f"{name}={value}" for name, value in sorted(spec.items()) if name != "use")
    return f"{spec['use']}({arguments})" if arguments else str(spec["use"])


def name_views(spec: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, Any]:
    """The views that one tta plugin built, under the names they are stored by."""
    label = label_view(spec)
    if len(built) == 1:
        return {label: next(iter(built.values()))}
    return {f"{label}/{name}": view for name, view in built.items()}


def choose_views(stored: Iterable[str], tta: Sequence[Mapping[str, Any]]) -> list[str]:
    """The stored views that this `tta` averages: the plain one first."""
    labels = [label_view(spec) for spec in tta]
    stored = sorted(set(stored))
    return [PLAIN, *(name for label in labels for name in stored if name.rpartition("/")[0] == label or name == label)]


def list_complete(views: Iterable[str], seeds: Iterable[int]) -> list[str]:
    """The stored views that every seed has; a kill may have come between two seeds.

    Args:
        views, seeds: of each stored row.
    """
    pairs = set(zip(views, seeds, strict=True))
    stored, wanted = {view for view, _ in pairs}, {seed for _, seed in pairs}
    return sorted(view for view in stored if all((view, seed) in pairs for seed in wanted))


def missing_views(stored: Iterable[str], tta: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of `tta` of which nothing is stored yet."""
    stored = set(stored)
    return [
        spec for spec in tta if not any(name == label_view(spec) or name.startswith(f"{label_view(spec)}/") for name in stored)
    ]
