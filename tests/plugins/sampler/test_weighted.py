from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import WeightedRandomSampler

from comp.api import PluginError, Target, Task
from comp.plugins.sampler.weighted import weighted

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("tags",), " "),))
LABELS = np.repeat([0, 2], [900, 100])  # no row of class b


def shares(**arguments: float | str) -> float:
    """The share of the rare class in forty epochs."""
    sampler, generator = weighted(TASK, {"label": LABELS}, **arguments), np.random.default_rng(0)
    return float(np.mean([LABELS[sampler(generator)] == 2 for _ in range(40)]))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        # 100 rows of weight 1/10 against 900 of 1/30: 10 / (10 + 30)
        ({"weights": "sqrt"}, 0.25),
        ({"weights": "power", "power": 0.5}, 0.25),
        ({"weights": "power", "power": 0.0}, 0.1),
        ({"weights": "balanced"}, 0.5),
        ({"weights": "effective", "beta": 0.0}, 0.1),
        # Of 900 and 100 rows (1 - 0.99^n) / 0.01 = 99.988 and 63.397 effective ones: 100 / 63.397 against 900 / 99.988.
        ({"weights": "effective", "beta": 0.99}, 1.5774 / (1.5774 + 9.0011)),
    ],
)
def test_shares_by_hand(arguments, wanted) -> None:
    assert shares(**arguments) == pytest.approx(wanted, abs=0.005)


def test_torchs_sampler_shows_the_same_shares() -> None:
    weights = np.where(LABELS == 2, 100**-0.7, 900**-0.7)
    theirs = WeightedRandomSampler(weights.tolist(), 40_000, generator=torch.Generator().manual_seed(0))
    assert shares(weights="power", power=0.7) == pytest.approx(float(np.mean(LABELS[list(theirs)] == 2)), abs=0.01)


def test_label_sets_count_by_their_rarest_label() -> None:
    labels = np.zeros((1000, 2), dtype=np.float32)
    labels[:500, 0], labels[:20, 1] = 1, 1  # 20 rows of both, 480 of x, 500 of none, which weigh as x does
    rows = [weighted(TAGS, {"tags": labels}, weights="balanced")(np.random.default_rng(seed)) for seed in range(20)]
    wanted = 20 / 20 / (20 / 20 + 980 / 500)
    assert np.mean(np.concatenate(rows) < 20) == pytest.approx(wanted, abs=0.01)


def test_an_epoch_has_as_many_rows_and_the_generator_decides() -> None:
    sampler = weighted(TASK, {"label": LABELS})
    first, again, other = (sampler(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (1000,) and np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"power": -1.0}, "sampler.power is -1.0"), ({"beta": 1.0}, "sampler.beta is 1.0")]
)
def test_what_it_refuses(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        weighted(TASK, {"label": LABELS}, **arguments)
