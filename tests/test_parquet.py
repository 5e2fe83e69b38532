"""A target of very many classes is stored as its top classes and the log-sum-exp, and comes back as the same probabilities."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from comp import parquet
from comp.api import Target, Task
from comp.errors import PredictionsError
from comp.parquet import TOP_CLASSES, Stored, make_table, measure_table, read_table, take_apart, write_table
from comp.predictions import link_outputs

WHALES = Target("whale", "multiclass", tuple(f"w{number:04d}" for number in range(1500)), ("whale",))
ALPHABET = Target("alphabet", "multiclass", ("a", "b"), ("alphabet",))


def raw_keys(rows: int) -> dict[str, np.ndarray]:
    ids = np.array([f"i{row}" for row in range(rows)], dtype=object)
    return {"id": ids, "row_id": ids, "view": np.full(rows, "plain", dtype=object), "seed": np.arange(rows)}


def softmax(values):
    values = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def test_top_classes_and_log_sum_exp_keep_the_probabilities_of_the_top(tmp_path):
    task = Task((WHALES, ALPHABET))
    outputs = np.random.default_rng(0).normal(scale=3, size=(20, task.outputs)).astype(np.float32)
    path = tmp_path / "oof.parquet"
    write_table(path, make_table(Stored("raw", task, {}, raw_keys(20), outputs)))
    assert pq.read_schema(path).names == [
        "id",
        "row_id",
        "view",
        "seed",
        "whale#index",
        "whale#value",
        "whale#logsumexp",
        "alphabet=a",
        "alphabet=b",
    ]
    stored = take_apart(read_table(path, "raw"))
    np.testing.assert_array_equal(stored.values[:, 1500:], outputs[:, 1500:])
    wanted, found = softmax(outputs[:, :1500]), link_outputs(stored.values, task, {})[:, :1500]
    top = np.argsort(-outputs[:, :1500], axis=1)[:, :TOP_CLASSES]
    np.testing.assert_allclose(np.take_along_axis(found, top, 1), np.take_along_axis(wanted, top, 1), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    rest = np.sort(wanted, axis=1)[:, :-TOP_CLASSES].mean(axis=1)
    np.testing.assert_allclose(found.min(axis=1), rest, rtol=1e-4)


def test_probabilities_of_many_classes_keep_the_top_exactly_and_their_sum():
    task = Task((WHALES,))
    values = softmax(np.random.default_rng(1).normal(scale=2, size=(10, 1500)))
    stored = take_apart(make_table(Stored("test", task, {}, {"id": np.array(list("abcdefghij"), dtype=object)}, values)))
    top = np.argsort(-values, axis=1)[:, :TOP_CLASSES]
    np.testing.assert_array_equal(np.take_along_axis(stored.values, top, 1), np.take_along_axis(values, top, 1))
    np.testing.assert_allclose(stored.values.sum(axis=1), 1)


def test_one_class_far_above_all_others_leaves_nothing_negative():
    task = Task((WHALES,))
    outputs = np.full((1, 1500), -40, dtype=np.float32)
    outputs[0, 7] = 60
    stored = take_apart(make_table(Stored("raw", task, {}, raw_keys(1), outputs)))
    found = link_outputs(stored.values, task, {})
    assert np.isfinite(found).all() and found.argmax() == 7 and found[0, 7] == pytest.approx(1)


def test_a_class_that_bears_the_name_of_a_key_is_read_by_place():
    task = Task((Target("what", "multiclass", ("id", "seed"), ("what",)),))
    table = make_table(
        Stored("oof", task, {}, {"id": np.array(["a"], dtype=object), "fold": np.array([3])}, np.array([[0.25, 0.75]]))
    )
    assert table.column_names == ["id", "fold", "what=id", "what=seed"]
    stored = take_apart(table)
    assert stored.keys["fold"].tolist() == [3] and stored.values.tolist() == [[0.25, 0.75]]


def test_columns_are_turned_in_blocks_and_measured_without_being_read(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_CELLS", 7)
    values = np.random.default_rng(0).random((20, 2))
    ids = np.array([f"i{row}" for row in range(20)], dtype=object)
    path, task = tmp_path / "oof.parquet", Task((ALPHABET,))
    write_table(path, make_table(Stored("oof", task, {}, {"id": ids}, values)))
    assert pq.read_table(path).column("b").to_pylist() == values[:, 1].tolist()
    np.testing.assert_array_equal(take_apart(read_table(path, "oof")).values, values)
    assert measure_table(path, "oof") == (task, 20)
    with pytest.raises(PredictionsError, match="holds oof predictions of comp; wanted raw"):
        measure_table(path, "raw")
    with pytest.raises(PredictionsError, match="is not there"):
        measure_table(tmp_path / "none.parquet", "oof")


@pytest.mark.parametrize(
    ("changed", "said"), [(b'"view"', b'"viev"'), (b'"row_id", ', b""), (b'"a", "b"', b'"a", "b", "c"'), (b'"raw"', b'"rav"')]
)
def test_a_file_that_says_other_columns_than_it_has_is_refused_by_its_name(changed: bytes, said: bytes) -> None:
    table = make_table(Stored("raw", Task((ALPHABET,)), {}, raw_keys(2), np.zeros((2, 2), dtype=np.float32)))
    facts = table.schema.metadata[b"comp"]
    assert changed in facts
    with pytest.raises(PredictionsError, match=r"^oof\.parquet is damaged: its columns are not those"):
        take_apart(table.replace_schema_metadata({"comp": facts.replace(changed, said, 1)}), "oof.parquet")
