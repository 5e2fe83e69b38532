"""A search as its events and records tell it, with hand-made numbers: the learning rate decides, nothing else does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from comp.events import Event, Notice, SearchFinished, SearchStarted, TrialFinished, TrialReported, TrialStarted

EPOCHS = 3
SPACE = {
    "optimizer.lr": {"loguniform": [1e-5, 1e-2]},
    "loss": {"choice": [{"use": "focal", "gamma": {"uniform": [1, 3]}}, {"use": "<ldam>", "max_m": 0.5}]},
    "train.epochs": {"int": [1, 3]},
}
PARAMETERS = [
    {"name": "optimizer.lr", "kind": "loguniform", "options": 0, "low": 1e-5, "high": 1e-2, "step": None, "condition": None},
    {"name": "loss", "kind": "choice", "options": 2, "low": 0, "high": 0, "step": None, "condition": None},
    {"name": "loss.0.gamma", "kind": "uniform", "options": 0, "low": 1, "high": 3, "step": None, "condition": ["loss", 0]},
    {"name": "train.epochs", "kind": "int", "options": 0, "low": 1, "high": 3, "step": None, "condition": None},
]


def describe(greater_is_better: bool = True) -> dict[str, Any]:
    """search.json."""
    return {
        "format": 1, "experiment": "exp042", "digest": "aa11bb22", "folds": ["0"], "space": SPACE, "parameters": PARAMETERS,
        "settings": {"algorithm": "tpe", "pruner": "asha", "trials": 40, "seed": 42, "grace": 1, "reduction": 3},
        "metric": "accuracy", "greater_is_better": greater_is_better,
    }  # fmt: skip


def make_trials(count: int) -> list[dict[str, Any]]:
    """Records: every fifth failed, every third pruned after an epoch; t0002 has the best score of those that did not."""
    random, records = np.random.default_rng(3), []
    for number in range(count):
        state = "failed" if number % 5 == 4 else "pruned" if number % 3 == 2 else "done"
        lr = 1e-3 if number == 1 else float(10 ** random.uniform(-5, -2))
        drawn = {"optimizer.lr": lr, "loss": number % 2, "loss.0.gamma": float(random.uniform(1, 3)), "train.epochs": EPOCHS}
        loss = {"use": "focal", "gamma": drawn["loss.0.gamma"]} if number % 2 == 0 else {"use": "<ldam>", "max_m": 0.5}
        score = 0.9 - 0.1 * (math.log10(lr) + 3) ** 2
        epochs = {"failed": 0, "pruned": 1, "done": EPOCHS}[state]
        records.append({
            "trial": f"t{number + 1:04d}", "drawn": drawn, "digest": f"{number:08x}", "state": state,
            "values": {"optimizer.lr": lr, "loss": loss, "train.epochs": EPOCHS},
            "score": score if epochs else None, "per_fold": {"0": score} if state == "done" else {},
            "curve": [[epoch + 1, score - 0.01 * (epochs - epoch - 1)] for epoch in range(epochs)], "epochs": epochs,
            "elapsed_s": 2.0 * epochs, "why": "not enough memory\nmore of it" if state == "failed" else "", "confirmed": None,
        })  # fmt: skip
    return records


def start(count: int, greater_is_better: bool = True) -> SearchStarted:
    return SearchStarted(
        "exp042", "aa11bb22", "/x", count, ["0"], EPOCHS, "accuracy", greater_is_better,
        "all else that exp042 says", "optimizer.lr 1e-05 to 0.01 (log)", "accuracy on held-out rows of fold 0", "the <long> tail",
    )  # fmt: skip


def tell(count: int, confirmed: float | None = None) -> Iterator[Event]:
    """One trial after another."""
    trials = make_trials(count)
    yield start(count)
    yield Notice("2 CPUs: two trials at once")
    for trial in trials:
        yield TrialStarted(trial["trial"], trial["values"], trial["digest"])
        for epoch, score in trial["curve"]:
            yield TrialReported(trial["trial"], epoch, score)
        yield TrialFinished(trial["trial"], trial["state"], trial["score"], trial["epochs"], trial["elapsed_s"], trial["why"])
    yield SearchFinished(True, "t0002", 0.9, confirmed, 61.0)
