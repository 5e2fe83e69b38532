"""Blend of models that each answer a part of the question: one per group of labels, composed to a joint answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from comp.api import Blend, PluginError, Target, Task, plugin, read_formula

MOST_COMBINATIONS = 100_000
WHOLE = re.compile(r"[+-]?[0-9]+")


@plugin("blend")
def compose(task: Task, members: Mapping[str, Task], /, *, code: str | None = None) -> Blend:
    """One model per group of labels, taken to be independent of each other: the probability of a joint code is the product.

    Members have names (`members: {mask: exp050, age: exp052}`) and one target of one class each. Without `code` the task has
    several targets, and each is answered by the member that predicts a target of that name.

    Args:
        code: the joint class of a combination, from members' names, whole numbers, + - * // %, comparisons and brackets, as in
            `mask*6 + gender*3 + age`. A name stands for its class as a number, or where classes are no whole numbers, for its
            place in class order, from 0. Combinations whose code is no class of the target are left out.

    Raises:
        PluginError: `code` is no such formula or names no member; a class is the code of no combination; or a member's
            targets do not fit.

    Example: {use: compose, members: {mask: exp050, gender: exp051, age: exp052}, code: mask*6 + gender*3 + age}
    """
    return Assembly(task, members) if code is None else Code(task, members, code)


class Assembly:
    """The members' targets side by side."""

    any_targets = True

    def __init__(self, task: Task, members: Mapping[str, Task]) -> None:
        self.sources: list[tuple[str, slice]] = []
        for target in task.targets:
            found = [(name, other) for name, other in members.items() for one in other.targets if one.name == target.name]
            if len(found) != 1:
                said = f"{len(found)} members ({', '.join(name for name, _ in found)})" if found else "no member"
                raise PluginError(f"blend compose: {said} predict the target {target.name!r}; wanted one, or `code`")
            [(name, other)] = found
            demand_classes(name, next(one for one in other.targets if one.name == target.name), target)
            self.sources.append((name, other.slices[target.name]))

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Nothing is learned."""

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.hstack([members[name][:, columns] for name, columns in self.sources])


def demand_classes(name: str, given: Target, wanted: Target) -> None:
    if (given.link, given.classes) != (wanted.link, wanted.classes):
        raise PluginError(
            f"blend compose: {name} predicts {wanted.name!r} as {given.kind} of {len(given.classes)} classes; "
            f"wanted {wanted.kind} of {len(wanted.classes)}"
        )


class Code:
    """Attribute `place`: (combinations,) the class of each combination of the members' classes, -1 for none."""

    any_targets = True

    def __init__(self, task: Task, members: Mapping[str, Task], code: str) -> None:
        if len(task.targets) > 1 or task.targets[0].link != "softmax":
            raise PluginError(f"blend compose: a code answers one target of one class; the task is {task.kind}")
        self.names, self.target = list(members), task.target
        widths = [self.read_width(name, other) for name, other in members.items()]
        if np.prod([float(width) for width in widths]) > MOST_COMBINATIONS:
            raise PluginError(f"blend compose: more than {MOST_COMBINATIONS:,} combinations of classes ({widths})")
        grid = np.meshgrid(*(read_numbers(other.target) for other in members.values()), indexing="ij")
        values = evaluate(code, dict(zip(self.names, (axis.ravel() for axis in grid), strict=True)))
        known = {number: place for place, number in enumerate(read_numbers(self.target).tolist())}
        self.place = np.array([known.get(value, -1) for value in np.broadcast_to(values, grid[0].size).tolist()])
        lacking = [name for place, name in enumerate(self.target.classes) if place not in set(self.place.tolist())]
        if lacking:
            raise PluginError(
                f"blend compose: no combination of {', '.join(self.names)} has the code {', '.join(lacking[:5])}"
                f"{f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''}, which {self.target.name!r} has: code {code!r}"
            )

    def read_width(self, name: str, task: Task) -> int:
        if len(task.targets) > 1 or task.targets[0].link != "softmax":
            raise PluginError(f"blend compose: {name} must predict one target of one class for a code; its task is {task.kind}")
        return task.outputs

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Nothing is learned."""

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        joint = np.ones((len(next(iter(members.values()))), 1))
        for name in self.names:
            joint = (joint[:, :, None] * members[name][:, None, :]).reshape(len(joint), -1)
        found = np.zeros((len(joint), self.target.width))
        for combination in np.flatnonzero(self.place >= 0):
            found[:, self.place[combination]] += joint[:, combination]
        total = found.sum(axis=1, keepdims=True)
        return np.divide(found, total, out=np.full_like(found, 1 / self.target.width), where=total > 0)


def read_numbers(target: Target) -> np.ndarray:
    """(K,) int: the classes as numbers, or where they are none, their places."""
    whole = all(WHOLE.fullmatch(name) for name in target.classes)
    return np.array([int(name) for name in target.classes] if whole else range(target.width), dtype=object)


def evaluate(code: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The formula over (combinations,) int values by name.

    Raises:
        PluginError: no formula, a value that it does not name, or a name that is no value.
    """
    try:
        formula = read_formula(code)
        unused = sorted(set(values) - set(formula.names))
        if unused:
            raise ValueError(f"it does not name the member {unused[0]!r}")
        return np.asarray(formula.evaluate(values), dtype=object)
    except ValueError as error:
        raise PluginError(f"blend.code {code!r}: {error}") from error
