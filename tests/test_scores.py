"""Scores are pooled over ids, by fold, target and class; what has no score is named and stops nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from comp.api import Target, Task
from comp.catalog import build_catalog
from comp.errors import PluginError, PredictionsError
from comp.predictions import Predictions
from comp.scores import build_all_metrics, build_metrics, score_predictions, score_rows

ANIMAL = Target("animal", "multiclass", ("cat", "dog"), ("animal",))
COLOUR = Target("colour", "multiclass", ("red", "sad"), ("colour",))
WEIGHT = Target("weight", "regression", (), ("weight",))
CAT, DOG = (0.9, 0.1), (0.2, 0.8)


@pytest.fixture(scope="module")
def catalog():
    return build_catalog(None)


def predict(task, rows, fold):
    ids = np.array([f"u{number}" for number in range(len(rows))], dtype=object)
    return Predictions(task, ids, np.array(rows, dtype=np.float64).reshape(len(rows), -1), np.array(fold))


def test_pooled_fold_and_class_scores_by_hand(catalog):
    task = Task((ANIMAL,))
    predictions = predict(task, [CAT, CAT, DOG, DOG, CAT], [0, 0, 0, 1, 1])
    # The answers stand in another order, and of u5 and u6 there is no prediction.
    units = ["u6", "u4", "u3", "u2", "u1", "u0", "u5"]
    answers = {"animal": np.array([0, 1, 1, 0, 0, 0, 1])}
    scores = score_predictions(
        predictions, units, answers, build_all_metrics(catalog, [{"use": "accuracy"}, {"use": "macro_f1"}], task)
    )
    record = scores.to_record()
    assert record["metric"] == "accuracy" and record["greater_is_better"] is True
    assert record["pooled"] == 3 / 5
    assert record["per_fold"] == {"0": 2 / 3, "1": 1 / 2}
    assert record["mean"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert record["std"] == pytest.approx(np.std([2 / 3, 1 / 2], ddof=1))
    assert record["per_class"] == {"animal": {"cat": 2 / 3, "dog": 1 / 2}}
    assert record["coverage"] == {"scored": 5, "units": 7}
    assert record["also"]["macro_f1"]["pooled"] == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert record["undefined"] == {}
    assert json.loads(json.dumps(record)) == record


def test_several_targets_are_averaged_and_each_is_shown(catalog):
    task = Task((ANIMAL, COLOUR))
    predictions = predict(task, [CAT + DOG, DOG + DOG, CAT + CAT, CAT + CAT], [0, 0, 1, 1])
    answers = {"animal": np.array([0, 1, 0, 0]), "colour": np.array([1, 0, 0, 1])}
    record = score_predictions(
        predictions, predictions.ids, answers, build_all_metrics(catalog, [{"use": "accuracy"}], task)
    ).to_record()
    assert record["per_target"] == {"animal": 1.0, "colour": 0.5}
    assert record["pooled"] == 0.75 and record["per_fold"] == {"0": 0.75, "1": 0.75}
    metrics = build_metrics(catalog, {"use": "accuracy"}, task)
    assert score_rows(task, "accuracy", metrics, answers, predictions.values) == {
        "accuracy": 0.75,
        "accuracy.animal": 1.0,
        "accuracy.colour": 0.5,
    }


def test_an_undefined_score_is_null_with_its_reason(catalog):
    task = Task((ANIMAL,))
    predictions = predict(task, [CAT, DOG, CAT], [0, 0, 1])
    answers = {"animal": np.array([0, 1, 0])}
    metrics = build_all_metrics(catalog, [{"use": "auc"}], task)
    record = score_predictions(predictions, predictions.ids, answers, metrics).to_record()
    assert record["pooled"] == 1.0 and record["per_fold"] == {"0": 1.0, "1": None}
    assert record["mean"] == 1.0 and record["std"] is None
    assert list(record["undefined"]) == ["fold 1"] and "'dog'" in record["undefined"]["fold 1"]
    assert score_rows(task, "auc", metrics["auc"], {"animal": np.array([0])}, predictions.values[:1]) == {}


def test_one_undefined_target_leaves_no_headline_but_the_other_target(catalog):
    task = Task((ANIMAL, COLOUR))
    predictions = predict(task, [CAT + DOG, DOG + DOG], [0, 0])
    answers = {"animal": np.array([0, 1]), "colour": np.array([1, 1])}
    record = score_predictions(
        predictions, predictions.ids, answers, build_all_metrics(catalog, [{"use": "auc"}], task)
    ).to_record()
    assert record["pooled"] is None and record["per_target"] == {"animal": 1.0, "colour": None}
    assert record["undefined"]["pooled"].startswith("colour: auc")


def test_no_scored_unit_is_undefined_too(catalog):
    task = Task((ANIMAL,))
    empty = Predictions(task, np.empty(0, dtype=object), np.empty((0, 2)), np.empty(0, dtype=np.int64))
    record = score_predictions(
        empty, ["a"], {"animal": np.array([0])}, build_all_metrics(catalog, [{"use": "accuracy"}], task)
    ).to_record()
    assert record["pooled"] is None and record["undefined"] == {"pooled": "no unit is scored"} and record["per_class"] == {}


def test_values_are_given_to_the_metric_as_a_vector(catalog):
    task = Task((WEIGHT,))
    predictions = predict(task, [[1.0], [5.0]], [0, 1])
    metrics = build_all_metrics(catalog, [{"use": "rmse"}], task)
    record = score_predictions(predictions, predictions.ids, {"weight": np.array([1, 1], dtype=np.float32)}, metrics).to_record()
    assert record["pooled"] == pytest.approx(np.sqrt(8)) and record["greater_is_better"] is False


def test_a_metric_used_twice_bears_its_arguments(catalog):
    built = build_all_metrics(catalog, [{"use": "macro_f1"}, {"use": "macro_f1", "classes": "present"}], Task((ANIMAL,)))
    assert list(built) == ["macro_f1", "macro_f1(classes=present)"]


def test_ids_that_the_table_lacks_and_metrics_that_do_not_fit_are_refused(catalog):
    task = Task((ANIMAL,))
    with pytest.raises(PredictionsError, match=r"1 id \(u1\) not in the training table"):
        score_predictions(
            predict(task, [CAT, DOG], [0, 0]),
            ["u0"],
            {"animal": np.array([0])},
            build_all_metrics(catalog, [{"use": "auc"}], task),
        )
    with pytest.raises(PluginError, match="'weight' is a number: use rmse"):
        build_metrics(catalog, {"use": "accuracy"}, Task((WEIGHT,)))
