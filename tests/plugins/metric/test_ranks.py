"""weighted_auc, average_precision, map_at_k, topk_accuracy, topk_error and lwlrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from comp.api import MetricUndefined, PluginError, Target, Task
from comp.plugins.metric.average_precision import average_precision
from comp.plugins.metric.lwlrap import lwlrap
from comp.plugins.metric.map_at_k import map_at_k
from comp.plugins.metric.topk import topk_accuracy, topk_error
from comp.plugins.metric.weighted_auc import weighted_auc

RNG = np.random.default_rng(0)
FOUR = Task((Target("label", "multiclass", tuple("abcd"), ("label",)),))
TWO = Task((Target("label", "binary", ("no", "yes"), ("label",)),))
MARKS = Task((Target("marks", "multilabel", ("x", "y", "z"), ("x", "y", "z")),))
VALUE = Task((Target("value", "regression", (), ("value",)),))
ANSWERS, SAID = RNG.integers(0, 4, 300), RNG.dirichlet([1, 1, 1, 1], 300)
MARKED = (RNG.random((300, 3)) < [0.3, 0.5, 0.1]).astype(np.float32)
MARKS_SAID = np.clip(MARKED * 0.3 + RNG.random((300, 3)) * 0.7, 0, 1)


def pair(positive):
    return np.column_stack([1 - np.asarray(positive), positive])


# ---- weighted_auc --------------------------------------------------------------------------------------------------------


def score_as_alaska(answers, said):
    """The competition's own code (ALASKA2, 2020)."""
    levels, weights = [0.0, 0.4, 1.0], [2, 1]
    false, true, _ = sklearn_metrics.roc_curve(answers, said, pos_label=1)
    norm = np.dot(np.diff(levels), weights)
    total = 0.0
    for number, weight in enumerate(weights):
        low, high = levels[number], levels[number + 1]
        mask = (low < true) & (true < high)
        padding = np.linspace(false[mask][-1], 1, 100)
        x = np.concatenate([false[mask], padding])
        y = np.concatenate([true[mask], [high] * len(padding)]) - low
        total += sklearn_metrics.auc(x, y) * weight / norm
    return total


def test_weighted_auc_by_hand():
    # In order + - + -: recall 1/2 at once, 1 after the first of two negatives. Below 0.4 all (0.4); above, 0.1 for the first
    # half and 0.6 for the second: (2 * 0.4 + 0.35) / 1.4.
    answers, said = np.array([1, 0, 1, 0]), pair([0.9, 0.8, 0.7, 0.6])
    assert weighted_auc(TWO).compute(answers, said) == pytest.approx((2 * 0.4 + 0.35) / 1.4)
    assert weighted_auc(TWO).compute(np.array([1, 1, 0]), pair([0.9, 0.8, 0.1])) == 1
    # All equal: the diagonal: below 0.4 the area 0.4 * 0.6 + 0.08, above 0.6 * 0.6 / 2.
    flat = weighted_auc(TWO).compute(np.array([1, 0, 1, 0]), pair([0.5] * 4))
    assert flat == pytest.approx((2 * (0.24 + 0.08) + 0.18) / 1.4)


def test_weighted_auc_is_the_competitions_but_for_its_points_on_the_levels():
    answers = RNG.integers(0, 2, 20_000)
    said = answers * 0.5 + RNG.normal(size=20_000)
    ours = weighted_auc(TWO).compute(answers, pair(said))
    assert ours == pytest.approx(score_as_alaska(answers, said), abs=1e-3)
    plain = weighted_auc(TWO, thresholds=[0.0, 0.3, 1.0], weights=[1.0, 1.0]).compute(answers, pair(said))
    assert plain == pytest.approx(sklearn_metrics.roc_auc_score(answers, said))
    tied = said.round(1)
    plain = weighted_auc(TWO, thresholds=[0.0, 0.3, 1.0], weights=[1.0, 1.0]).compute(answers, pair(tied))
    assert plain == pytest.approx(sklearn_metrics.roc_auc_score(answers, tied))


# ---- the others ----------------------------------------------------------------------------------------------------------


def test_average_precision():
    # Hits at ranks 1 and 3 of two positives: 1/2 * 1 + 1/2 * 2/3.
    answers, said = np.array([1, 0, 1, 0]), pair([0.9, 0.8, 0.7, 0.6])
    assert average_precision(TWO).compute(answers, said) == pytest.approx(0.5 + 1 / 3)
    for task, truth, values in ((MARKS, MARKED, MARKS_SAID), (MARKS, MARKED, MARKS_SAID.round(1))):
        for average in ("macro", "micro"):
            wanted = sklearn_metrics.average_precision_score(truth, values, average=average)
            assert average_precision(task, average=average).compute(truth, values) == pytest.approx(wanted)
    wanted = sklearn_metrics.average_precision_score(ANSWERS, SAID, average=None)
    assert average_precision(FOUR).compute(ANSWERS, SAID) == pytest.approx(np.mean(wanted))
    np.testing.assert_allclose(average_precision(FOUR).per_class(ANSWERS, SAID), wanted)
    with pytest.raises(MetricUndefined, match="column 'd' has no positives"):
        average_precision(FOUR).compute(np.array([0, 1, 2]), SAID[:3])


def score_map(right, said, k):
    """Kaggle's description, unit by unit."""
    scores = []
    for truth, row in zip(right, said, strict=True):
        hits, total = 0, 0.0
        for rank, label in enumerate(np.argsort(-row, kind="stable")[:k], start=1):
            if truth[label]:
                hits += 1
                total += hits / rank
        scores.append(total / min(truth.sum(), k) if truth.sum() else 0.0)
    return np.mean(scores)


def test_map_at_k():
    # Ranks 1, 2 and 3 of three: 1, 1/2, and nothing beyond k = 2.
    said = np.array([[0.7, 0.2, 0.1, 0], [0.2, 0.7, 0.1, 0], [0.2, 0.7, 0.1, 0]])
    assert map_at_k(FOUR, k=2).compute(np.array([0, 0, 2]), said) == pytest.approx((1 + 1 / 2 + 0) / 3)
    for k in (1, 3, 10):
        assert map_at_k(FOUR, k=k).compute(ANSWERS, SAID) == pytest.approx(score_map(np.eye(4)[ANSWERS], SAID, k))
        assert map_at_k(MARKS, k=k).compute(MARKED, MARKS_SAID) == pytest.approx(score_map(MARKED, MARKS_SAID, k))
    # With k = K of label sets it is scikit-learn's ranking precision, but for units without labels.
    some = MARKED.any(axis=1)
    wanted = sklearn_metrics.label_ranking_average_precision_score(MARKED[some], MARKS_SAID[some])
    assert map_at_k(MARKS, k=3).compute(MARKED[some], MARKS_SAID[some]) == pytest.approx(wanted)


def test_topk():
    said = np.array([[0.7, 0.2, 0.1, 0], [0.2, 0.7, 0.1, 0], [0.25, 0.25, 0.25, 0.25]])
    answers = np.array([1, 2, 1])
    assert topk_accuracy(FOUR, k=2).compute(answers, said) == pytest.approx(2 / 3)
    assert topk_error(FOUR, k=1).compute(answers, said) == 1
    np.testing.assert_array_equal(topk_accuracy(FOUR, k=2).per_class(answers, said), [np.nan, 1, 0, np.nan])
    np.testing.assert_array_equal(topk_error(FOUR, k=2).per_class(answers, said), [np.nan, 0, 1, np.nan])
    for k in (1, 2, 3):
        wanted = sklearn_metrics.top_k_accuracy_score(ANSWERS, SAID, k=k)
        assert topk_accuracy(FOUR, k=k).compute(ANSWERS, SAID) == pytest.approx(wanted)
        assert topk_error(FOUR, k=k).compute(ANSWERS, SAID) == pytest.approx(1 - wanted)
    assert topk_accuracy(FOUR).greater_is_better and not topk_error(FOUR).greater_is_better


def test_lwlrap():
    # Unit 1: its labels at ranks 1 and 3: 1 and 2/3; unit 2: rank 2: 1/2.
    answers = np.array([[1, 0, 1], [0, 1, 0]], dtype=np.float32)
    said = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    assert lwlrap(MARKS).compute(answers, said) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    np.testing.assert_allclose(lwlrap(MARKS).per_class(answers, said), [1, 1 / 2, 2 / 3])
    some = MARKED.any(axis=1)
    for values in (MARKS_SAID, MARKS_SAID.round(1)):
        wanted = sklearn_metrics.label_ranking_average_precision_score(
            MARKED[some], values[some], sample_weight=MARKED[some].sum(axis=1)
        )
        assert lwlrap(MARKS).compute(MARKED, values) == pytest.approx(wanted)
    with pytest.raises(MetricUndefined, match="marks"):
        lwlrap(MARKS).compute(np.zeros((2, 3)), said)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: weighted_auc(FOUR), "wants two classes; 'label' has 4: use auc"),
        (lambda: weighted_auc(TWO, thresholds=[0.0, 0.4]), "metric.thresholds is .0.0, 0.4."),
        (lambda: weighted_auc(TWO, weights=[1.0]), "metric.weights is .1.0.; wanted 2 numbers"),
        (lambda: average_precision(TWO, average="micro"), "'label' has two classes: use macro"),
        (lambda: average_precision(VALUE), "'value' is a number: use rmse"),
        (lambda: map_at_k(FOUR, k=0), "metric.k is 0"),
        (lambda: topk_accuracy(FOUR, k=0), "metric.k is 0"),
        (lambda: topk_error(MARKS), "topk_error wants one class per unit; 'marks' is a set of labels: use map_at_k"),
        (lambda: lwlrap(FOUR), "lwlrap wants sets of labels; 'label' is multiclass: use map_at_k"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(PluginError, match=message):
        make()
