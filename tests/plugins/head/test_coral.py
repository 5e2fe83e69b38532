from __future__ import annotations

import numpy as np
import pytest
import torch

from comp.api import PluginError, Target, Task
from comp.plugins.head.coral import coral

GRADE = Target("grade", "ordinal", ("0", "1", "2", "3"), ("grade",))
TASK = Task((GRADE,))
COUNTS = {"grade": np.array([49.0, 29.0, 9.0, 9.0])}
FEATURES = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def test_it_starts_at_the_classes_frequencies() -> None:
    head = coral(TASK, 5, COUNTS)
    # One row of each of the 4 classes is added to the 96.
    assert head(FEATURES).exp()[0].tolist() == pytest.approx([0.5, 0.3, 0.1, 0.1], abs=1e-6)


def test_answers_are_differences_of_cumulative_probabilities() -> None:
    head = coral(TASK, 5, COUNTS).eval()
    torch.nn.init.normal_(head.score.weight)
    biases = torch.cat([head.first, head.first - torch.nn.functional.softplus(head.gaps).cumsum(dim=0)])
    above = torch.sigmoid(FEATURES @ head.score.weight.T + biases)
    ones, zeros = torch.ones(6, 1), torch.zeros(6, 1)
    expected = torch.cat([ones, above], dim=1) - torch.cat([above, zeros], dim=1)
    outputs = head(FEATURES)
    assert torch.allclose(outputs.exp(), expected, atol=1e-6)
    assert outputs.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 6, abs=1e-5)


def test_every_class_keeps_a_finite_logarithm_far_out_and_in_the_gradient() -> None:
    head = coral(TASK, 5, {"grade": np.array([1e6, 0.0, 0.0, 0.0])})
    outputs = head(FEATURES * 1e4)
    torch.nn.init.constant_(head.score.weight, 100.0)
    assert torch.isfinite(outputs).all() and torch.isfinite(head(FEATURES)).all()
    torch.nn.functional.nll_loss(head(FEATURES), torch.tensor([0, 1, 2, 3, 3, 0])).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())


def test_it_learns_an_order_that_one_direction_shows() -> None:
    torch.manual_seed(0)
    features = torch.rand(400, 1) * 8 - 4
    grades = (features[:, 0] > -2).long() + (features[:, 0] > 0) + (features[:, 0] > 2)
    head = coral(TASK, 1, {"grade": np.bincount(grades.numpy(), minlength=4).astype(float)})
    optimizer = torch.optim.Adam(head.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(features), grades).backward()
        optimizer.step()
    assert (head(features).argmax(dim=1) == grades).float().mean() > 0.95


def test_two_classes_are_a_logistic_regression() -> None:
    head = coral(Task((Target("y", "binary", ("0", "1"), ("y",)),)), 5, {"y": np.array([3.0, 1.0])})
    torch.nn.init.normal_(head.score.weight)
    logit = FEATURES @ head.score.weight.T + head.first
    outputs = head(FEATURES)
    assert torch.allclose(outputs[:, 1:] - outputs[:, :1], logit, atol=1e-5)


@pytest.mark.parametrize(
    "targets",
    [(Target("x", "regression", (), ("x",)),), (Target("t", "multilabel", ("a", "b"), ("t",), " "),), (GRADE, GRADE)],
)
def test_it_wants_one_target_of_classes(targets) -> None:
    with pytest.raises(PluginError, match="head coral wants one target of two classes or more"):
        coral(Task(targets), 5, COUNTS)
    with pytest.raises(PluginError, match="head.dropout is 1.0"):
        coral(TASK, 5, COUNTS, dropout=1.0)
