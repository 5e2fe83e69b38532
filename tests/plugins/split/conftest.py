"""Units by hand for splits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from comp.api import Units


@pytest.fixture
def make_units() -> Callable[..., Units]:
    """(strata, labels, values, further columns) -> Units with the ids u0, u1, ..."""

    def make(strata, labels=None, values=None, **columns) -> Units:
        strata = np.asarray(strata, dtype=np.int64)
        table = pd.DataFrame({"id": [f"u{i}" for i in range(len(strata))], **columns}).astype(str)
        labels = np.zeros((len(strata), 0)) if labels is None else np.asarray(labels)
        values = np.zeros((len(strata), 0)) if values is None else np.asarray(values, dtype=np.float64)
        return Units(table, strata, labels.astype(np.float32), values.reshape(len(strata), -1))

    return make


@pytest.fixture
def count() -> Callable[..., np.ndarray]:
    """(strata, folds, width) -> (classes, width) how many units of each class each fold holds out."""

    def count(strata, folds, width) -> np.ndarray:
        found = np.zeros((max(strata) + 1, width), dtype=int)
        np.add.at(found, (strata, folds), 1)
        return found

    return count


@pytest.fixture
def long_tail() -> np.ndarray:
    random = np.random.RandomState(3)
    return random.permutation(np.repeat(np.arange(7), [103, 50, 20, 7, 3, 1, 1]))
