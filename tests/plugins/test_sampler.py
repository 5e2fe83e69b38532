from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torchsampler import ImbalancedDatasetSampler

from comp.api import PluginError, Target, Task
from comp.plugins.sampler.imbalanced import imbalanced
from comp.plugins.sampler.none import none

LABEL = Target("label", "multiclass", ("a", "b", "c"), ("label",))
COLOUR = Target("colour", "binary", ("0", "1"), ("colour",))
TAGS = Target("tags", "multilabel", ("x", "y"), ("tags",), " ")
AGE = Target("age", "regression", (), ("age",))
LABELS = np.repeat([0, 1, 2], [800, 150, 50])


def test_none_shows_every_row_once_in_another_order_each_time() -> None:
    sampler, generator = none({"label": LABELS}), np.random.default_rng(0)
    first, second = sampler(generator), sampler(generator)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert not np.array_equal(first, second)


def test_imbalanced_shows_classes_equally_often() -> None:
    rows = imbalanced(Task((LABEL,)), {"label": LABELS})(np.random.default_rng(0))
    assert rows.shape == (1000,) and rows.dtype == np.int64
    assert np.bincount(LABELS[rows]) / 1000 == pytest.approx([1 / 3] * 3, abs=0.05)


def test_imbalanced_draws_what_torchsampler_draws() -> None:
    rows = imbalanced(Task((LABEL,)), {"label": LABELS})(np.random.default_rng(7))
    torch.manual_seed(int(np.random.default_rng(7).integers(2**62)))
    assert rows.tolist() == [int(row) for row in ImbalancedDatasetSampler(range(1000), labels=LABELS.tolist())]


def test_imbalanced_leaves_torchs_generator_alone_and_repeats() -> None:
    sampler = imbalanced(Task((LABEL,)), {"label": LABELS})
    state = torch.get_rng_state()
    assert np.array_equal(sampler(np.random.default_rng(1)), sampler(np.random.default_rng(1)))
    assert torch.equal(state, torch.get_rng_state())


def test_imbalanced_balances_combinations_of_several_targets() -> None:
    colour = np.zeros(1000, dtype=np.int64)
    colour[:40] = 1  # 40 rows of (a, 1), 760 of (a, 0)
    targets = {"label": LABELS, "colour": colour, "age": np.zeros(1000)}
    rows = imbalanced(Task((LABEL, COLOUR, AGE)), targets)(np.random.default_rng(0))
    assert np.mean(colour[rows]) == pytest.approx(1 / 4, abs=0.05)


def test_imbalanced_refuses_what_has_no_classes() -> None:
    with pytest.raises(PluginError, match="tags holds label sets"):
        imbalanced(Task((TAGS,)), {"tags": np.zeros((3, 2))})
    with pytest.raises(PluginError, match="the targets are numbers"):
        imbalanced(Task((AGE,)), {"age": np.zeros(3)})


def test_imbalanced_beside_importlib_metadata() -> None:
    """Which puts itself in the standard library's place, and is stricter: torchsampler cannot be imported as it is."""
    pytest.importorskip("importlib_metadata", reason="mlflow brings it")
    code = """if True:
        import importlib_metadata, numpy as np
        from comp.api import Target, Task
        from comp.plugins.sampler.imbalanced import imbalanced
        draw = imbalanced(Task((Target("y", "binary", ("a", "b"), ("y",)),)), {"y": np.array([0] * 30 + [1] * 10)})
        print(np.bincount(draw(np.random.default_rng(1)) // 30))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frequent, rare = map(int, done.stdout.strip("[]\n ").split())
    assert frequent + rare == 40 and 10 <= rare <= 30
