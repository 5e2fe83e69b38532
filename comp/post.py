"""Post: rules fitted on OOF and applied to what is scored and submitted (thresholds, cut-points, temperature).

What a rule is, is a plugin's business (kind `post`). This module builds the manifest's rules for each target, fits them one
after another, cross-fits them for the score, and keeps what was fitted as plain data, so that it can be applied without OOF.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comp.api import Metric, Post, Task
from comp.catalog import Catalog
from comp.crossfit import split_rows
from comp.errors import PluginError
from comp.judges import TargetJudge
from comp.predictions import Predictions


@dataclass(frozen=True)
class Rule:
    """One entry of the manifest's `post`. `parts`: target -> what is fitted for it."""

    spec: Mapping[str, Any]
    parts: dict[str, Post]


@dataclass(frozen=True)
class Chain:
    """All entries of the manifest's `post`, in order."""

    task: Task
    rules: tuple[Rule, ...]

    def fit(self, values: np.ndarray, answers: Mapping[str, np.ndarray]) -> None:
        """Each rule on what those before it made of the values (N, outputs). `answers`: target -> (N, ...)."""
        for rule in self.rules:
            for name, part in rule.parts.items():
                part.fit(self._take(values, name), answers[name])
            values = self._apply(rule, values)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """(N, outputs) float64.

        Raises:
            PluginError: a rule returned another shape, or no finite numbers.
        """
        for rule in self.rules:
            values = self._apply(rule, values)
        return values

    def describe(self) -> list[dict[str, Any]]:
        """The rules as the manifest has them, each with its `state`: target -> what was fitted."""
        return [{**rule.spec, "state": {name: part.state() for name, part in rule.parts.items()}} for rule in self.rules]

    def load(self, described: Sequence[Mapping[str, Any]]) -> None:
        """The inverse of describe, for a chain of the same rules."""
        for rule, found in zip(self.rules, described, strict=True):
            for name, part in rule.parts.items():
                part.load(found["state"][name])

    def _take(self, values: np.ndarray, name: str) -> np.ndarray:
        part = values[:, self.task.slices[name]]
        return part[:, 0] if not self.task.only(name).target.classes else part

    def _apply(self, rule: Rule, values: np.ndarray) -> np.ndarray:
        done = np.array(values, dtype=np.float64)
        for name, part in rule.parts.items():
            given = self._take(values, name)
            found = np.asarray(part.apply(given), dtype=np.float64)
            if found.shape != given.shape or not np.isfinite(found).all():
                raise PluginError(
                    f"post {rule.spec['use']!r} returned {found.shape} for {name!r}, {np.count_nonzero(~np.isfinite(found))} of "
                    f"them not finite; wanted {given.shape} finite numbers"
                )
            done[:, self.task.slices[name]] = found if found.ndim == 2 else found[:, None]
        return done


def build_chain(catalog: Catalog, specs: Sequence[Mapping[str, Any]], task: Task, metrics: Mapping[str, Metric]) -> Chain:
    """Unfitted rules.

    Args:
        metrics: target -> the metric that decides.

    Raises:
        PluginError: a rule does not fit a target; or `targets` names one that there is not.
    """
    rules = []
    for spec in specs:
        names = [target.name for target in task.targets]
        wanted = spec.get("targets") or names
        strange = [name for name in wanted if name not in names]
        if strange:
            raise PluginError(f"post {spec['use']!r}: there is no target {strange[0]!r}; they are {', '.join(names)}")
        parts = {
            name: catalog.build("post", spec, task=task.only(name), score=TargetJudge(metrics[name])) for name in wanted
        }  # fmt: skip
        rules.append(Rule(spec, parts))
    return Chain(task, tuple(rules))


def cross_apply(build: Callable[[], Chain], oof: Predictions, answers: Mapping[str, np.ndarray]) -> Predictions:
    """Each fold's OOF by rules that were fitted on the others.

    Args:
        answers: target -> (N, ...) of the OOF's rows.
    """
    assert oof.fold is not None
    values = np.empty(oof.values.shape, dtype=np.float64)
    for fitted, held_out in split_rows(oof.ids, oof.fold):
        chain = build()
        chain.fit(oof.values[fitted], {name: rows[fitted] for name, rows in answers.items()})
        values[held_out] = chain.apply(oof.values[held_out])
    return Predictions(oof.task, oof.ids, values, oof.fold)


def strip_state(described: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What describe returned, as the manifest has it."""
    return [{key: value for key, value in rule.items() if key != "state"} for rule in described]
