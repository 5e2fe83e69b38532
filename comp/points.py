"""Points: what is drawn from trees of domains, put in their places; and all that a grid can count."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from comp.domains import Choice, Derived, Range
from comp.errors import WorkspaceError
from comp.signature import show

Drawn = Mapping[str, int | float]
"""Name of a parameter -> what was drawn: of a choice the number of the option."""


def list_items(tree: Any) -> list[tuple[str | int, Any]]:
    return list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())


def pick(tree: Any, name: str, drawn: Drawn) -> Any:
    """The tree's value with formulas left in it."""
    if isinstance(tree, Range):
        return fit(tree, drawn[name])
    if isinstance(tree, Choice):
        return pick(tree.options[int(drawn[name])], f"{name}.{int(drawn[name])}", drawn)
    if isinstance(tree, dict):
        return {key: pick(item, f"{name}.{key}", drawn) for key, item in tree.items()}
    return [pick(item, f"{name}.{i}", drawn) for i, item in enumerate(tree)] if isinstance(tree, list) else tree


def fit(span: Range, number: float) -> int | float:
    """The number as the range has it, so that one that was drawn as 0.30000000000000004 and another as 0.3 are equal."""
    if span.step is not None:
        steps = min(max(round((number - span.low) / span.step), 0), span.steps)
        number = float(f"{span.low + steps * span.step:.12g}")
    number = min(max(number, span.low), span.high)
    return round(number) if span.whole else float(number)


def work_out(values: Mapping[str, Any], others: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Values with their formulas worked out, from each other, from other keys that are drawn, and from what is fixed.

    Raises:
        WorkspaceError: one has no value.
    """

    drawn = {**others, **values}

    def value_of(name: str) -> Any:
        owners = [key for key in drawn if name == key or name.startswith(f"{key}.")]
        owner = max(owners, key=len, default=None)
        found = look_up(fixed, name.split(".")) if owner is None else look_up(drawn[owner], name[len(owner) + 1 :].split("."))
        if isinstance(found, Derived):
            found = found.evaluate(value_of)
        if not isinstance(found, int | float | str):
            raise ValueError(f"{name} is {show(found)}, no number" if found is not None else f"there is no {name}")
        return found

    def settle(tree: Any, key: str) -> Any:
        if isinstance(tree, dict):
            return {name: settle(item, f"{key}.{name}") for name, item in tree.items()}
        if isinstance(tree, list):
            return [settle(item, f"{key}.{i}") for i, item in enumerate(tree)]
        if not isinstance(tree, Derived):
            return tree
        try:
            return tree.evaluate(value_of)
        except ValueError as error:
            raise WorkspaceError(f"search.{key}: {tree.text!r} has no value: {error}") from None

    return {key: settle(tree, key) for key, tree in values.items()}


def look_up(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        if not part:
            continue
        items = dict((str(key), item) for key, item in list_items(value))
        if part not in items:
            return None
        value = items[part]
    return value


# ---- all points ----------------------------------------------------------------------------------------------------------


def count_points(tree: Any) -> int:
    if isinstance(tree, Range):
        return tree.steps + 1
    if isinstance(tree, Choice):
        return sum(count_points(option) for option in tree.options)
    return math.prod(count_points(item) for _, item in list_items(tree))


def list_points(tree: Any, name: str) -> list[dict[str, int | float]]:
    if isinstance(tree, Range):
        return [{name: fit(tree, tree.low + i * (tree.step or 1))} for i in range(tree.steps + 1)]
    if isinstance(tree, Choice):
        inner = [(i, list_points(option, f"{name}.{i}")) for i, option in enumerate(tree.options)]
        return [{name: i, **point} for i, points in inner for point in points]
    return join_points([list_points(item, f"{name}.{key}") for key, item in list_items(tree)])


def join_points(parts: Sequence[list[dict[str, int | float]]]) -> list[dict[str, int | float]]:
    return [dict(itertools.chain.from_iterable(point.items() for point in points)) for points in itertools.product(*parts)]
