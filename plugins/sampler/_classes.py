"""The class of each training row, and rows drawn class by class: what several samplers need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from comp.api import PluginError, Task


def combine_classes(task: Task, targets: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(N,) int64 classes; of several targets the combinations that occur, numbered from 0 (numbers are left out).

    Raises:
        PluginError: a target holds label sets, or no target has classes; `name` is the sampler's, for the message.
    """
    sets = [target.name for target in task.targets if target.kind == "multilabel"]
    if sets:
        raise PluginError(
            f"sampler {name} balances classes, and {', '.join(sets)} holds label sets: use {{use: weighted}}, {{use: none}}, or "
            "a loss with pos_weight or alpha"
        )
    columns = [targets[target.name] for target in task.targets if target.classes]
    if not columns:
        raise PluginError(f"sampler {name} balances classes, and the targets are numbers: use {{use: none}}")
    if len(columns) == 1:
        return columns[0].astype(np.int64)
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def group_rows(classes: np.ndarray) -> list[np.ndarray]:
    """The positions of each class's rows, class by class; classes without rows are left out."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.cumsum(np.unique(classes, return_counts=True)[1])[:-1])


class Deck:
    """Things dealt without end: all are dealt before one is dealt again, and none twice at once unless more are wanted."""

    def __init__(self, things: np.ndarray, generator: np.random.Generator) -> None:
        self.things, self.generator = things, generator
        self.waiting: list[int] = []  # the next one last

    def take(self, count: int) -> list[int]:
        taken = [self.waiting.pop() for _ in range(min(count, len(self.waiting)))]
        while len(taken) < count:
            held = set(taken)
            order = sorted(self.generator.permutation(self.things).tolist(), key=held.__contains__)
            missing = count - len(taken)
            taken, self.waiting = [*taken, *order[:missing]], order[missing:][::-1]
        return taken
