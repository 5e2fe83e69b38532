"""Post: predictions for other shares of the classes than the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from comp.api import PluginError, Post, Target, Task, plugin

MOST_ROUNDS = 1000
CLOSE = 1e-9


@plugin("post")
def prior(
    task: Task,
    /,
    *,
    to: Literal["em", "train", "uniform"] | dict[str, float] = "em",
    trained: Literal["train", "uniform"] | dict[str, float] = "train",
) -> Post:
    """Prior correction (Saerens, Latinne and Decaestecker 2002): probabilities times new share over old share of their class.

    The score is that of OOF corrected likewise: where the test set's shares differ from the training table's, it cannot say
    what the correction is worth there. Labels are corrected one by one, each against its absence.

    Args:
        to: the classes' shares among what is predicted. em: estimated from the predictions themselves by expectation
            maximisation (eq. 2.9), over the rows predicted together (a held-out fold, the test set); train: as in the training
            table; uniform: all the same (a label: 0.5); or class -> share, of all classes, of sum 1 (a label: from 0 to 1).
        trained: the shares that the model was trained on: train; uniform, where a sampler balanced the classes; or stated.

    Raises:
        PluginError: the target is a number; stated shares are of other classes, negative or 0, or do not sum to 1.

    Example: {use: prior, to: em, trained: train}
    """
    if task.target.kind == "regression":
        raise PluginError(f"post prior wants classes; {task.target.name!r} is a number: name others in `targets`")
    for name, shares in (("to", to), ("trained", trained)):
        if isinstance(shares, dict):
            check_shares(name, shares, task.target)
    return Prior(task.target, to, trained)


def check_shares(name: str, shares: Mapping[str, float], target: Target) -> None:
    if set(shares) != set(target.classes):
        strange = sorted(set(shares) ^ set(target.classes))
        shown = ", ".join(strange[:5])
        raise PluginError(f"post.{name}: wanted a share of each class of {target.name!r}; too many or missing: {shown}")
    total, single = sum(shares.values()), target.kind != "multilabel"
    if min(shares.values()) <= 0 or max(shares.values()) >= 1 or (single and abs(total - 1) > 1e-3):
        said = f", of sum 1 (it is {total:g})" if single else ""
        raise PluginError(f"post.{name}: shares must be above 0 and below 1{said}")


class Prior:
    """`seen`: (K,) the classes' shares among the answers."""

    def __init__(self, target: Target, to: Any, trained: Any) -> None:
        self.target, self.to, self.trained = target, to, trained
        self.seen = np.zeros(target.width)

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        if self.target.kind == "multilabel":
            self.seen = (targets >= 0.5).mean(axis=0)
        else:
            self.seen = np.bincount(targets, minlength=self.target.width) / len(targets)

    def read_shares(self, stated: Any) -> np.ndarray:
        if isinstance(stated, Mapping):
            return np.array([stated[name] for name in self.target.classes])
        even = 0.5 if self.target.kind == "multilabel" else 1 / self.target.width
        return np.full(self.target.width, even) if stated == "uniform" else self.seen

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        old = self.read_shares(self.trained)
        if self.target.kind == "multilabel":
            pairs = [np.column_stack([1 - column, column]) for column in predictions.T]
            wanted = [None] * len(pairs) if self.to == "em" else [np.array([1 - new, new]) for new in self.read_shares(self.to)]
            return np.column_stack(
                [correct(pair, np.array([1 - one, one]), new)[:, 1] for pair, one, new in zip(pairs, old, wanted, strict=True)]
            )
        return correct(predictions, old, None if self.to == "em" else self.read_shares(self.to))

    def state(self) -> dict[str, Any]:
        return {"seen": dict(zip(self.target.classes, self.seen.tolist(), strict=True))}

    def load(self, state: Mapping[str, Any]) -> None:
        self.seen = np.array([state["seen"][name] for name in self.target.classes])


def correct(predictions: np.ndarray, old: np.ndarray, new: np.ndarray | None) -> np.ndarray:
    """(N, K) probabilities for the shares `new` instead of `old`; None: the shares that agree with the result."""
    if new is not None:
        return weigh(predictions, old, new)
    new = old
    for _ in range(MOST_ROUNDS):
        found = weigh(predictions, old, new).mean(axis=0)
        if np.abs(found - new).max() < CLOSE:
            break
        new = found
    return weigh(predictions, old, new)


def weigh(predictions: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A class that was never trained on keeps what it was given."""
    weighed = predictions * np.divide(new, old, out=np.ones(len(old)), where=old > 0)
    total = weighed.sum(axis=1, keepdims=True)
    return np.divide(weighed, total, out=predictions.copy(), where=total > 0)
