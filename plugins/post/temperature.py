"""Post: calibration by a temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from comp.api import PluginError, Post, Task, plugin

SMALLEST = 1e-15
WIDEST = 3.0


@plugin("post")
def temperature(task: Task, /) -> Post:
    """Temperature scaling (Guo et al. 2017): all logits are divided by one number, the one of the least log loss on OOF.

    Above 1 it makes predictions less sure, below 1 surer; who is likeliest stays. From e^-3 to e^3, to 1e-5 in its logarithm.

    Raises:
        PluginError: the target is a number.

    Example: {use: temperature}
    """
    if task.target.kind == "regression":
        raise PluginError(f"post temperature wants probabilities; {task.target.name!r} is a number: name others in `targets`")
    return Temperature(labels=task.target.kind == "multilabel")


class Temperature:
    def __init__(self, labels: bool) -> None:
        self.labels, self.temperature = labels, 1.0

    def fit(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        logits = self.read_logits(predictions)
        found = minimize_scalar(
            lambda power: log_loss(logits * math.exp(-power), targets, self.labels),
            bounds=(-WIDEST, WIDEST),
            method="bounded",
            options={"xatol": 1e-5},
        )
        self.temperature = math.exp(found.x)

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        scaled = self.read_logits(predictions) / self.temperature
        if self.labels:
            return 1 / (1 + np.exp(-scaled))
        scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return scaled / scaled.sum(axis=1, keepdims=True)

    def read_logits(self, predictions: np.ndarray) -> np.ndarray:
        if self.labels:
            there = np.clip(predictions, SMALLEST, 1 - SMALLEST)
            return np.log(there) - np.log1p(-there)
        return np.log(np.clip(predictions, SMALLEST, 1))

    def state(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    def load(self, state: Mapping[str, Any]) -> None:
        self.temperature = float(state["temperature"])


def log_loss(logits: np.ndarray, targets: np.ndarray, labels: bool) -> float:
    if labels:
        return float((np.logaddexp(0, logits) - logits * (targets >= 0.5)).mean())
    peak = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - peak).sum(axis=1)) + peak[:, 0]
    return float((total - logits[np.arange(len(targets)), targets]).mean())
