"""Blend by greedy selection with replacement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from comp.api import Blend, PluginError, Score, plugin

MOST_ROWS = 100_000
"""Up to so many rows every pick is between all members on all rows."""
SAMPLE_ROWS = 50_000
THREADS = 2
"""How many members are tried at once, each in memory of its own."""
ALONE_CELLS = 2**17
"""Fewer predictions than this are mixed and scored sooner than a thread is told to."""
SEED = 0
BLOCK_CELLS = 2**16
"""How many predictions are mixed at once, so that what lies in between stays in the processor's cache."""


@plugin("blend")
def hillclimb(score: Score, /, *, steps: int = 50, patience: int = 2, tolerance: float = 1e-4) -> Blend:
    """Ensemble selection (Caruana et al. 2004): the member that helps the deciding metric most is added, again and again.

    It starts with the best single member; a member may be picked more than once, and the mean of all picks predicts. What
    counts is the selection that scored best on the way; of equals the first. Deterministic. Of more than 100,000 rows each
    pick is the best, on all rows, of the two members that are best on 50,000 of them.

    Args:
        steps: most picks, from 1.
        patience: picks in a row that bring nothing before it stops, from 1.
        tolerance: the least gain that counts, as a share of the score so far, from 0: smaller ones are noise, and take time.

    Raises:
        PluginError: a parameter is out of its range.

    Example: {use: hillclimb, members: [exp001, exp002, exp003], steps: 30}
    """
    if steps < 1 or patience < 1 or tolerance < 0:
        raise PluginError(
            f"blend hillclimb: steps {steps} and patience {patience} must be 1 or more, tolerance {tolerance} 0 or more"
        )
    return HillClimb(score, steps, patience, tolerance)


class HillClimb:
    """Attribute `weights`: member -> its share of the picks."""

    def __init__(self, score: Score, steps: int, patience: int, tolerance: float) -> None:
        self.score, self.steps, self.patience, self.tolerance = score, steps, patience, tolerance
        self.weights: dict[str, float] = {}

    def fit(self, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        names, picks = list(members), []
        best, kept = -np.inf, 1
        with ThreadPoolExecutor(THREADS) as pool:
            whole = Climb(self.score, members, targets, pool)
            sample = whole.draw_sample() if whole.rows > MOST_ROWS else None
            while len(picks) < self.steps and len(picks) < kept + self.patience:
                finalists = names if sample is None else sample.choose(names)
                scores = whole.try_each(finalists)
                place = int(np.argmax(scores))
                for climb in (whole, sample):
                    if climb is not None:
                        climb.add(finalists[place])
                picks.append(names.index(finalists[place]))
                if scores[place] > best + (self.tolerance * abs(best) if np.isfinite(best) else 0):
                    best, kept = scores[place], len(picks)
        counts = np.bincount(picks[:kept], minlength=len(names))
        self.weights = dict(zip(names, (counts / kept).tolist(), strict=True))

    def predict(self, members: Mapping[str, np.ndarray]) -> np.ndarray:
        total: np.ndarray | None = None
        for name in members:
            if self.weights[name]:
                part = members[name] * self.weights[name]
                total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


class Climb:
    """The mean of the picks so far; `members` may read each array anew whenever it is asked for."""

    def __init__(
        self, score: Score, members: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], pool: ThreadPoolExecutor
    ) -> None:
        self.score, self.members, self.targets, self.pool, self.picks = score, members, targets, pool, 0
        self.rows = len(next(iter(targets.values())))
        width = next(read_parts(members, next(iter(members))))[1].shape[1]
        self.mean = np.zeros((self.rows, width))
        self.trials = [np.empty(self.mean.shape) for _ in range(THREADS if self.mean.size > ALONE_CELLS else 1)]
        self.tried = [""] * len(self.trials)
        """The member that was tried last in each memory."""

    def draw_sample(self) -> Climb:
        rows = np.sort(np.random.default_rng(SEED).choice(self.rows, SAMPLE_ROWS, replace=False))
        taken = self.pool.map(lambda name: take_rows(self.members, name, rows), self.members)
        members = dict(zip(self.members, taken, strict=True))
        return Climb(self.score, members, {name: answers[rows] for name, answers in self.targets.items()}, self.pool)

    def choose(self, names: Sequence[str]) -> list[str]:
        """The best next picks, in the order of the names: as many as are tried at once; all, where none has a score."""
        scores = np.array(self.try_each(names))
        best = np.argsort(-scores, kind="stable")[:THREADS] if np.isfinite(scores).any() else np.arange(len(names))
        return [names[place] for place in np.sort(best).tolist()]

    def try_each(self, names: Sequence[str]) -> list[float]:
        """What the mean would score with each of these members as the next pick."""
        lanes = len(self.trials)

        def try_lane(lane: int) -> list[float]:
            return [self.try_member(name, lane) for name in names[lane::lanes]]

        each = list(self.pool.map(try_lane, range(lanes))) if lanes > 1 else [try_lane(0)]
        return [each[place % lanes][place // lanes] for place in range(len(names))]

    def try_member(self, name: str, lane: int) -> float:
        trial, old = self.trials[lane], self.picks / (self.picks + 1)
        self.tried[lane] = name
        for rows, part in read_parts(self.members, name):
            np.multiply(part, 1 / (self.picks + 1), out=trial[rows])
            trial[rows] += self.mean[rows] * old
        return self.score(self.targets, trial)

    def add(self, name: str) -> None:
        """Make a member that was tried the next pick."""
        self.picks += 1
        if self.rows > MOST_ROWS and name in self.tried:  # what it would make of the mean stands there still
            lane = self.tried.index(name)
            self.mean, self.trials[lane] = self.trials[lane], self.mean
        else:
            self.mean *= (self.picks - 1) / self.picks
            for rows, part in read_parts(self.members, name):
                self.mean[rows] += part / self.picks


def read_parts(members: Mapping[str, np.ndarray], name: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Which rows, and a member's values for them, part by part."""
    if hasattr(members, "read_parts"):
        yield from members.read_parts(name)
        return
    values = members[name]
    step = max(1, BLOCK_CELLS // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        yield slice(start, start + step), values[start : start + step]


def take_rows(members: Mapping[str, np.ndarray], name: str, rows: np.ndarray) -> np.ndarray:
    """A member's values for these rows (R,), which rise."""
    taken = []
    for part, values in read_parts(members, name):
        first, last = np.searchsorted(rows, [part.start, part.start + len(values)])
        taken.append(values[rows[first:last] - part.start])
    return np.concatenate(taken)
