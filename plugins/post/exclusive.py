"""Post: a label that no other stands beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Task, plugin

LOWERED = 0.49
"""What the probabilities of those that give way are multiplied by: of 1, too, remains less than 0.5."""


@plugin("post")
def exclusive(task: Task, /, *, name: str) -> Post:
    """A label such as `healthy` that excludes all others: where both it and another reach 0.5, the likelier side stays.

    What gives way, the label or all others of that row, is multiplied by 0.49; of equals the label stays. After `thresholds`,
    which moves each label's threshold to 0.5. Nothing is learned.

    Args:
        name: the label, as the training table writes it.

    Raises:
        PluginError: the target holds no sets of labels, or has no such label.

    Example: {use: exclusive, name: healthy}
    """
    if task.target.kind != "multilabel" or name not in task.target.classes:
        shown = ", ".join(task.target.classes[:5]) or "none"
        kind = task.target.kind
        raise PluginError(f"post exclusive: {task.target.name!r} ({kind}) has no label {name!r} in sets (it has {shown}, ...)")
    return Exclusive(task.target.classes.index(name))


class Exclusive:
    def __init__(self, place: int) -> None:
        self.place = place

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Nothing is learned."""

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        own, others = predictions[:, self.place], np.delete(predictions, self.place, axis=1).max(axis=1, initial=0.0)
        both = (own >= 0.5) & (others >= 0.5)
        gives_way = np.zeros(predictions.shape, dtype=bool)
        gives_way[both & (own >= others)] = True
        gives_way[:, self.place] = both & (own < others)
        return np.where(gives_way, LOWERED * predictions, predictions)

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """There is nothing."""
