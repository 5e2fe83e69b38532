"""Blend by a second model that learns from the members' predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from comp.api import Blend, PluginError, Target, Task, plugin

SMALLEST = 1e-6
MOST_ITERATIONS = 1000

Answer = Callable[[list[np.ndarray]], np.ndarray]


@plugin("blend")
def stacking(
    task: Task,
    /,
    *,
    method: Literal["auto", "logistic", "ridge", "lightgbm"] = "auto",
    strength: float = 1.0,
    estimators: int = 200,
    leaves: int = 7,
    lr: float = 0.05,
    seed: int = 0,
) -> Blend:
    """Stacked generalisation (Wolpert 1992): for each target a model of the members' predictions, by scikit-learn or LightGBM.

    Classes are learned from the logarithms of all members' probabilities of all classes, a label from its own logits, a number
    from its own values. Ridge takes classes as numbers 0 and 1 from plain probabilities; what it answers is clipped to [0, 1].

    Args:
        method: logistic: multinomial logistic regression on standardised features, for classes and labels; ridge: ridge
            regression; lightgbm: gradient-boosted trees (needs the extra `lightgbm`); auto: logistic, for numbers ridge.
        strength: of the L2 penalty of logistic (1 / C) and ridge (alpha), above 0.
        estimators: trees of lightgbm, from 1.
        leaves: most leaves of a tree of lightgbm, from 2.
        lr: learning rate of lightgbm, above 0.
        seed: of lightgbm.

    Raises:
        PluginError: a parameter is out of its range, logistic is asked for a number, or lightgbm is not installed.

    Example: {use: stacking, members: [exp001, exp002], method: logistic, strength: 1.0}
    """
    if strength <= 0 or estimators < 1 or leaves < 2 or lr <= 0:
        raise PluginError(
            f"blend stacking: strength {strength} and lr {lr} must be above 0, estimators {estimators} 1 or more, "
            f"leaves {leaves} 2 or more"
        )
    numbers = [target.name for target in task.targets if target.kind == "regression"]
    if method == "logistic" and numbers:
        raise PluginError(f"blend stacking: logistic is for classes; {numbers[0]!r} is a number: use ridge, or auto")
    if method == "lightgbm":
        trees = {"n_estimators": estimators, "num_leaves": leaves, "learning_rate": lr, "random_state": seed}
        classifier, regressor = import_lightgbm(trees)
    else:
        regressor = lambda: make_pipeline(StandardScaler(), Ridge(alpha=strength))  # noqa: E731
        classifier = lambda: make_pipeline(  # noqa: E731
            StandardScaler(), LogisticRegression(C=1 / strength, max_iter=MOST_ITERATIONS)
        )
    return Stacking(task, None if method == "ridge" else classifier, regressor)


def import_lightgbm(trees: Mapping[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """What makes a classifier, and what makes a regressor; one thread, so that the same data gives the same trees."""
    try:
        from lightgbm import LGBMClassifier, LGBMRegressor
    except ImportError as error:
        raise PluginError("blend stacking: lightgbm is not installed; `pip install 'comp-kit[lightgbm]'` brings it") from error
    settings = {**trees, "n_jobs": 1, "deterministic": True, "force_row_wise": True, "verbose": -1}
    return lambda: LGBMClassifier(**settings), lambda: LGBMRegressor(**settings)


class Stacking:
    """`classifier`: makes one with predict_proba; None: classes are learned as numbers by the regressor."""

    def __init__(self, task: Task, classifier: Callable[[], Any] | None, regressor: Callable[[], Any]) -> None:
        self.task, self.classifier, self.regressor = task, classifier, regressor
        self.answers: dict[str, Answer] = {}

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        for target in self.task.targets:
            self.answers[target.name] = self.learn(target, self.parts_of(target, members), targets[target.name])

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.hstack([self.answers[target.name](self.parts_of(target, members)) for target in self.task.targets])

    def parts_of(self, target: Target, members: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [values[:, self.task.slices[target.name]] for values in members.values()]

    def learn(self, target: Target, parts: list[np.ndarray], answers: np.ndarray) -> Answer:
        """What answers (N, width) for the target, from members' parts (N, width)."""
        if target.kind == "regression":
            model = self.regressor().fit(np.hstack(parts), answers)
            return lambda parts: model.predict(np.hstack(parts))[:, None]
        if target.kind == "multilabel":
            learn = learn_numbers if self.classifier is None else learn_classes
            make = self.classifier or self.regressor
            labels = [
                learn(make, label_features(parts, place, self.classifier is not None), (answers[:, place] >= 0.5).astype(int), 2)
                for place in range(target.width)
            ]
            return lambda parts: np.column_stack(
                [label(label_features(parts, place, self.classifier is not None))[:, 1] for place, label in enumerate(labels)]
            )
        if self.classifier is None:
            answer = learn_numbers(self.regressor, np.hstack(parts), answers, target.width)
            return lambda parts: answer(np.hstack(parts))
        answer = learn_classes(self.classifier, np.log(np.clip(np.hstack(parts), SMALLEST, 1)), answers, target.width)
        return lambda parts: answer(np.log(np.clip(np.hstack(parts), SMALLEST, 1)))


def label_features(parts: list[np.ndarray], place: int, logits: bool) -> np.ndarray:
    """(N, M): what each member says of one label."""
    told = np.column_stack([part[:, place] for part in parts])
    if not logits:
        return told
    told = np.clip(told, SMALLEST, 1 - SMALLEST)
    return np.log(told) - np.log1p(-told)


def learn_classes(make: Callable[[], Any], features: np.ndarray, answers: np.ndarray, width: int) -> Callable[..., np.ndarray]:
    """Features -> (N, width) probabilities; a class that no answer has gets 0."""
    known = np.unique(answers)
    if len(known) == 1:
        return lambda features: np.tile(np.eye(width)[known[0]], (len(features), 1))
    model = make().fit(features, answers)

    def predict(features: np.ndarray) -> np.ndarray:
        found = np.zeros((len(features), width))
        found[:, known] = model.predict_proba(features)
        return found

    return predict


def learn_numbers(make: Callable[[], Any], features: np.ndarray, answers: np.ndarray, width: int) -> Callable[..., np.ndarray]:
    """The same by regression on 0 and 1; rows are clipped to [0, 1] and divided by their sum, evenly where that is 0."""
    model = make().fit(features, np.eye(width)[answers])

    def predict(features: np.ndarray) -> np.ndarray:
        found = np.clip(np.reshape(model.predict(features), (-1, width)), 0, 1)
        total = found.sum(axis=1, keepdims=True)
        return np.divide(found, total, out=np.full_like(found, 1 / width), where=total > 0)

    return predict
