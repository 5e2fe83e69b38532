"""Shift: the AUC against scikit-learn's, a planted difference that is named, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from comp.audit.shift import compute_auc, judge_shift, list_signs, measure_shift
from comp.audit.traits import Traits


def test_auc_with_ties() -> None:
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 9, 200), random.random(200) < 0.3
    assert compute_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def draw_traits(count: int) -> Traits:
    random = np.random.default_rng(0)
    return Traits(
        refs=tuple(map(str, range(count))),
        content=np.arange(count, dtype=np.uint64),
        thumbs=np.zeros((count, 256), np.uint8),
        size_px=np.full((count, 2), 64),
        bytes=random.integers(3000, 9000, count),
        colours=random.normal(100, 20, (count, 6)).astype(np.float32),
        layout=random.integers(0, 255, (count, 48), dtype=np.uint8),
        bad={},
    )


def test_a_planted_difference_is_named_and_chance_is_not() -> None:
    traits, both = draw_traits(500), (np.arange(300), np.arange(300, 500))
    signs = list_signs(traits, np.arange(500))
    assert "height" not in signs and "width" not in signs  # all are 64
    nothing = measure_shift(traits, *both)
    assert abs(nothing.auc - 0.5) < 4 * nothing.error and judge_shift(nothing) == [] and nothing.rows == (300, 200)
    assert nothing.error == pytest.approx((501 / (12 * 300 * 200)) ** 0.5)

    traits.bytes[300:] += 3000  # uniform over 6,000: ordering by it is right but for half of (1/2)^2
    found = measure_shift(traits, *both)
    named = {sign.name: sign for sign in found.signs}
    assert named["file bytes"].alone == pytest.approx(1 - 0.125, abs=0.03) and found.auc > 0.8
    assert {found.signs[0].name, found.signs[1].name} & {"file bytes", "bytes per pixel"}
    assert named["file bytes"].test - named["file bytes"].train == pytest.approx(3000, abs=700)
    (finding,) = judge_shift(found)
    assert finding.level == "warning" and "bytes" in finding.text


def test_too_few_pictures_say_nothing() -> None:
    traits = draw_traits(100)
    assert measure_shift(traits, np.arange(80), np.arange(80, 100)) is None
    assert judge_shift(None) == []
