"""Post: a class for what no class of the training table is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Post, Score, Task, plugin

GRID = np.linspace(0.0, 1.0, 41)
DEEPEST = 5


@plugin("post")
def new_class(task: Task, score: Score, /, *, name: str) -> Post:
    """A class such as `new_whale` is put before all classes that are less probable than a cut-off, for MAP@k and accuracy.

    Its probability becomes the cut-off, or stays where the model's own is greater; rows are divided by their sum. The cut-off
    is the one of the best score among the quantiles of the five greatest probabilities of other classes, and 0.

    Args:
        name: the class, as the training table writes it.

    Raises:
        PluginError: the target has no such class, or several labels per row, or is a number.

    Example: {use: new_class, name: new_whale}
    """
    if task.target.link != "softmax" or name not in task.target.classes:
        shown = ", ".join(task.target.classes[:5]) or "none"
        kind = task.target.kind
        raise PluginError(f"post new_class: {task.target.name!r} ({kind}) has no class {name!r} (it has {shown}, ...)")
    return NewClass(score, task.target.classes.index(name))


class NewClass:
    def __init__(self, score: Score, place: int) -> None:
        self.score, self.place, self.cut = score, place, 0.0

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        others = np.delete(predictions, self.place, axis=1)
        depth = min(DEEPEST, others.shape[1])
        top = np.partition(others, others.shape[1] - depth, axis=1)[:, others.shape[1] - depth :]
        cuts = np.unique(np.concatenate([[0.0], np.quantile(np.sort(top, axis=1), GRID, axis=0).ravel()]))
        scores = []
        for cut in cuts:
            self.cut = float(cut)
            scores.append(self.score(targets, self.apply(predictions)))
        self.cut = float(cuts[int(np.argmax(scores))])

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        changed = predictions.copy()
        changed[:, self.place] = np.maximum(changed[:, self.place], self.cut)
        return changed / changed.sum(axis=1, keepdims=True)

    def state(self) -> dict[str, Any]:
        return {"cut": self.cut}

    def load(self, state: Mapping[str, Any]) -> None:
        self.cut = float(state["cut"])
