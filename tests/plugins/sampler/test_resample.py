from __future__ import annotations

import numpy as np
import pytest
from imblearn.under_sampling import RandomUnderSampler

from comp.api import PluginError, Target, Task
from comp.plugins.sampler.resample import names, resample, signature

TASK = Task((Target("label", "multiclass", ("a", "b", "c"), ("label",)),))
TAGS = Task((Target("tags", "multilabel", ("x", "y"), ("tags",), " "),))
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [80, 15, 5]))


def draw(seed: int = 0, **arguments) -> np.ndarray:
    return resample(TASK, {"label": LABELS}, **arguments)(np.random.default_rng(seed))


def test_under_sampling_by_hand() -> None:
    rows = draw()
    assert np.bincount(LABELS[rows]).tolist() == [5, 5, 5] and len(set(rows)) == 15
    assert np.array_equal(rows, draw()) and not np.array_equal(np.sort(rows), np.sort(draw(1)))


def test_over_sampling_by_hand() -> None:
    rows = draw(method="RandomOverSampler")
    assert np.bincount(LABELS[rows]).tolist() == [80, 80, 80] and set(rows) == set(range(100))


def test_classes_by_name() -> None:
    assert np.bincount(LABELS[draw(sampling_strategy={"a": 20, "b": 10})]).tolist() == [20, 10, 5]


def test_it_draws_what_the_library_draws() -> None:
    sampler = RandomUnderSampler(random_state=int(np.random.default_rng(3).integers(2**31)))
    sampler.fit_resample(np.arange(100)[:, None], LABELS)
    assert sorted(draw(3)) == sorted(sampler.sample_indices_)


def test_rows_of_a_class_do_not_stand_together() -> None:
    assert len(set(LABELS[draw(method="RandomOverSampler")][:40])) == 3


def test_its_signature_is_the_librarys() -> None:
    assert list(signature("RandomUnderSampler", {}).parameters) == ["sampling_strategy", "replacement"]
    assert list(signature("RandomOverSampler", {}).parameters) == ["sampling_strategy"]
    assert names() == ("RandomUnderSampler", "RandomOverSampler")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "NearMiss"}, "sampler.method is 'NearMiss'; of imbalanced-learn's, RandomUnderSampler and"),
        ({"sampling_strategy": {"z": 3}}, "no class z; label has a, b, c"),
    ],
)
def test_what_it_refuses(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        resample(TASK, {"label": LABELS}, **arguments)


def test_what_the_library_refuses() -> None:
    with pytest.raises(PluginError, match="sampler RandomUnderSampler: "):
        draw(sampling_strategy={"a": 1000})
    with pytest.raises(PluginError, match="resample balances classes, and tags holds label sets"):
        resample(TAGS, {"tags": np.zeros((3, 2))})
