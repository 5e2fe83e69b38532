"""A run as its events tell it, with hand-made numbers, for the tests of its readers."""

from __future__ import annotations

from collections.abc import Iterator

from comp.events import (
    EpochFinished,
    Event,
    FoldFinished,
    FoldStarted,
    Notice,
    PredictionProgress,
    RunFinished,
    RunStarted,
    StageStarted,
    StepFinished,
    StoreProgress,
)

SCORES = {
    "format": 1, "metric": "accuracy", "greater_is_better": True, "pooled": 0.86, "mean": 0.86, "std": 0.02,
    "per_fold": {"0": 0.875, "1": 0.845}, "per_target": {"label": 0.86},
    "per_class": {"label": {"cat": 0.95, "dog": 0.5, "<b>fox</b>": None}},
    "undefined": {}, "also": {"log_loss": {"pooled": 0.41, "std": 0.03}}, "coverage": {"scored": 40, "units": 42},
}  # fmt: skip

FOLD_SCORES = {"0": (0.7, 0.9, 0.875), "1": (0.6, 0.8, 0.845)}


def start(folds: tuple[str, ...] = ("0", "1"), greater_is_better: bool = True) -> RunStarted:
    return RunStarted(
        "exp042", "3f9a1c20", "/x", list(folds), 3, 32, 10, "cuda:0", "bf16", "accuracy", greater_is_better, "CutMix & <friends>"
    )


def epoch(fold: str, number: int, score: float, **more: object) -> EpochFinished:
    given = {
        "stage": "train",
        "epochs": 3,
        "train_loss": 1 / (number + 1),
        "held_out_loss": 1.5 / (number + 1),
        "lr": 1e-3,
        "best": True,
    }
    given |= {"elapsed_s": 2.0 * (number + 1), "samples_per_s": 812.4}
    return EpochFinished(**{"fold": fold, "epoch": number, "scores": {"accuracy": score}, **given, **more})


def tell() -> Iterator[Event]:
    yield StoreProgress("train", 32, 32)
    yield start()
    yield Notice("2 rare classes", "warning")
    for fold, scores in FOLD_SCORES.items():
        yield FoldStarted(fold, 16, 20, 0)
        yield StageStarted(fold, "train", 3, 4)
        for number, score in enumerate(scores):
            yield StepFinished(fold, "train", number, 4, 4, 0.5, 800.0)
            yield PredictionProgress(fold, "held-out", 20, 20)
            yield epoch(fold, number, score)
        yield FoldFinished(fold, {"accuracy": scores[-1]}, 1, 7.5)
    yield RunFinished(True, SCORES, 15.2, "exp042")
