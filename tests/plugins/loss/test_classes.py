"""Weights of classes and answers as distributions: what all losses of one class per row share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from timm.loss.class_weights import compute_class_weights

from comp.api import PluginError, Target
from comp.plugins.loss._classes import ClassWeights, spread, weigh_classes

TARGET = Target("label", "multiclass", ("a", "b", "c"), ("label",))
COUNTS = np.array([6.0, 3.0, 1.0])
LABELS = np.repeat([0, 1, 2], [6, 3, 1])


def test_balanced_is_scikit_learns() -> None:
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert weigh_classes("balanced", 0.9, COUNTS, TARGET).numpy() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.999, 1 - 1e-12])
def test_effective_is_timms_brought_to_1_on_average(beta: float) -> None:
    found = weigh_classes("effective", beta, COUNTS, TARGET).numpy()
    if beta == 0:
        assert found == pytest.approx(np.ones(3))
    elif beta < 0.9999:
        theirs = compute_class_weights(COUNTS.tolist(), 10, method="effective_num", beta=beta)[1].numpy()
        assert found == pytest.approx(theirs / theirs[LABELS].mean(), rel=1e-5)
    else:
        assert found == pytest.approx(weigh_classes("balanced", beta, COUNTS, TARGET).numpy(), rel=1e-5)
    assert found[LABELS].mean() == pytest.approx(1)


def test_effective_by_hand() -> None:
    # beta 1/2: the effective numbers of 1 and 2 rows are 1 and 3/2, the weights 1 and 2/3, over a mean of (1 + 4/3) / 3.
    found = weigh_classes("effective", 0.5, np.array([2.0, 1.0]), TARGET)
    assert found.tolist() == pytest.approx([(2 / 3) / (7 / 9), 1 / (7 / 9)])


def test_square_root_and_lists_are_1_on_average() -> None:
    # 1/sqrt(n) of 4 and 1 rows is 1/2 and 1, over a mean of (2 + 1) / 5.
    assert weigh_classes("sqrt", 0.9, np.array([4.0, 1.0]), TARGET).tolist() == pytest.approx([5 / 6, 5 / 3])
    found = weigh_classes([1.0, 2.0, 4.0], 0.9, COUNTS, TARGET).numpy()
    assert found == pytest.approx(np.array([1, 2, 4]) / 1.6)
    assert found[LABELS].mean() == pytest.approx(1)


def test_a_class_without_rows_weighs_nothing() -> None:
    for rule in ("balanced", "effective", "sqrt", [1.0, 1.0, 1.0]):
        assert weigh_classes(rule, 0.9, np.array([4.0, 0.0, 2.0]), TARGET)[1] == 0


@pytest.mark.parametrize(
    ("weights", "beta", "message"),
    [
        ([1.0, 2.0], 0.9, r"loss.weights has 2 weights .* each of the 3 classes of label: a, b, c"),
        ([1.0, -2.0, 1.0], 0.9, "the least is -2.0"),
        ([0.0, 0.0, 0.0], 0.9, "every class with training rows the weight 0"),
        ("effective", 1.0, "loss.beta is 1.0"),
    ],
)
def test_wrong_weights(weights, beta, message) -> None:
    with pytest.raises(PluginError, match=message):
        weigh_classes(weights, beta, COUNTS, TARGET)


def test_a_distribution_counts_by_its_shares() -> None:
    weigh = ClassWeights(torch.tensor([1.0, 2.0, 4.0]))
    losses = torch.ones(2)
    assert weigh(losses, torch.tensor([0, 2])).tolist() == [1, 4]
    assert weigh(losses, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])).tolist() == [1.5, 4]
    assert ClassWeights(None)(losses, torch.tensor([0, 2])) is losses


def test_answers_are_spread_and_smoothed() -> None:
    assert spread(torch.tensor([1]), 4, 0.2).tolist()[0] == pytest.approx([0.05, 0.85, 0.05, 0.05])
    soft = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
    assert spread(soft, 2).dtype == torch.float32
    assert spread(soft, 2, 0.5).tolist()[0] == pytest.approx([0.375, 0.625])
