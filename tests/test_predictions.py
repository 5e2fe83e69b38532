"""Raw outputs are kept and averaged by id, whatever order they come in; what does not fit together is refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from comp.api import Target, Task
from comp.errors import FormatError, PredictionsError
from comp.predictions import (
    Predictions,
    link_outputs,
    merge_oof,
    merge_test,
    read_predictions,
    read_raw,
    write_predictions,
    write_raw,
)
from comp.runs import fold_folder

ANIMALS = Task((Target("animal", "multiclass", ("cat", "dog", "owl"), ("animal",)),))
WEIGHT = Task((Target("weight", "regression", (), ("weight",)),))
IDENTITY = {"weight": "identity"}


def store(run, fold, name, ids, outputs, *, task=WEIGHT, row_ids=None, view="plain", seed=42, links=IDENTITY):
    folder = fold_folder(run, fold)
    folder.mkdir(parents=True, exist_ok=True)
    outputs = np.asarray(outputs, dtype=np.float32).reshape(len(ids), task.outputs)
    return write_raw(folder / f"{name}.parquet", task, ids, row_ids or ids, {view: outputs}, seed, links)


def test_link_outputs_of_each_kind_by_hand():
    task = Task(
        (ANIMALS.target, Target("marks", "multilabel", ("a", "b"), ("a", "b")), Target("weight", "regression", (), ("weight",)))
    )
    outputs = np.array([[0, 0, np.log(2), 0, np.log(3), 7.5], [1000, 0, -1000, -1000, 1000, -2]], dtype=np.float32)
    linked = link_outputs(outputs, task, {})
    assert linked.dtype == np.float64
    np.testing.assert_allclose(linked[0], [0.25, 0.25, 0.5, 0.5, 0.75, 7.5], rtol=1e-6)
    np.testing.assert_allclose(linked[1], [1, 0, 0, 0, 1, -2])


def test_classes_taken_one_against_the_rest_are_sigmoids_over_their_sum():
    # Sigmoids 1/2, 1/2, 2/3 sum to 5/3; where all are 0 in float64, nothing speaks for any class.
    outputs = np.array([[0, 0, np.log(2)], [-2000, -2000, -2000], [800, -800, 800]], dtype=np.float32)
    linked = link_outputs(outputs, ANIMALS, {"animal": "sigmoid"})
    np.testing.assert_allclose(linked, [[0.3, 0.3, 0.4], [1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5]], rtol=1e-6)
    grades = Task((Target("grade", "ordinal", ("0", "1"), ("grade",)),))
    np.testing.assert_allclose(link_outputs(outputs[:1, 1:], grades, {"grade": "sigmoid"}), [[3 / 7, 4 / 7]], rtol=1e-6)
    marks = Task((Target("marks", "multilabel", ("a", "b"), ("a", "b")),))
    np.testing.assert_allclose(link_outputs(outputs[:1, 1:], marks, {"marks": "sigmoid"}), [[0.5, 2 / 3]], rtol=1e-6)


def test_a_raw_file_gains_views_and_rows_and_never_changes_what_it_has(tmp_path):
    assert store(tmp_path, "0", "oof", ["a", "b"], [1, 2]) == 2
    assert store(tmp_path, "0", "oof", ["a", "b"], [10, 20], view="hflip") == 2
    assert store(tmp_path, "0", "oof", ["b", "c"], [99, 3]) == 1
    assert store(tmp_path, "0", "oof", ["a"], [5], seed=43) == 1
    before = (tmp_path / "fold0" / "oof.parquet").read_bytes()
    assert store(tmp_path, "0", "oof", ["c"], [77]) == 0
    assert (tmp_path / "fold0" / "oof.parquet").read_bytes() == before
    raw = read_raw(tmp_path / "fold0" / "oof.parquet")
    found = set(zip(raw.ids, raw.views, raw.seeds, raw.outputs[:, 0], strict=True))
    assert found == {
        ("a", "plain", 42, 1),
        ("b", "plain", 42, 2),
        ("a", "hflip", 42, 10),
        ("b", "hflip", 42, 20),
        ("c", "plain", 42, 3),
        ("a", "plain", 43, 5),
    }
    assert raw.outputs.dtype == np.float32 and raw.task == WEIGHT and raw.links == IDENTITY


def test_raw_columns_are_what_people_read(tmp_path):
    store(tmp_path, "0", "oof", ["007"], [[1, 2, 3]], task=ANIMALS, links={})
    table = pq.read_table(tmp_path / "fold0" / "oof.parquet")
    assert table.column_names == ["id", "row_id", "view", "seed", "cat", "dog", "owl"]
    assert table.schema.field("cat").type == pa.float32()
    assert table.column("id").to_pylist() == ["007"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_are_refused_and_nothing_is_written(tmp_path, bad):
    with pytest.raises(PredictionsError, match=r"1 row \(b\).*nothing was written"):
        store(tmp_path, "0", "oof", ["a", "b"], [1, bad])
    assert not (tmp_path / "fold0" / "oof.parquet").exists()


def test_another_task_or_link_is_refused(tmp_path):
    store(tmp_path, "0", "oof", ["a"], [[1, 2, 3]], task=ANIMALS, links={})
    other = Task((Target("animal", "multiclass", ("cat", "dog", "pig"), ("animal",)),))
    with pytest.raises(PredictionsError, match="Too many: owl; missing: pig"):
        store(tmp_path, "0", "oof", ["b"], [[1, 2, 3]], task=other, links={})
    with pytest.raises(PredictionsError, match="sigmoid"):
        store(tmp_path, "0", "oof", ["b"], [[1, 2, 3]], task=ANIMALS, links={"animal": "sigmoid"})


def test_oof_is_the_mean_in_probability_space_over_views_then_rows_then_seeds(tmp_path):
    # Patient p has two images in seed 1 and one in seed 2; each step is a mean of its own:
    # seed 1: image 1 (1+3)/2 = 2, image 2 (5+7)/2 = 6 -> 4; seed 2: image 1 (10+20)/2 = 15; together 9.5.
    for view, (first, second), alone in (("plain", (1, 5), 10), ("hflip", (3, 7), 20)):
        store(tmp_path, "0", "oof", ["p", "p"], [first, second], row_ids=["p1", "p2"], view=view, seed=1)
        store(tmp_path, "0", "oof", ["p"], [alone], row_ids=["p1"], view=view, seed=2)
    merged = merge_oof(tmp_path, WEIGHT, ["0"])
    assert merged.ids.tolist() == ["p"] and merged.fold.tolist() == [0]
    np.testing.assert_allclose(merged.values, [[9.5]])
    np.testing.assert_allclose(merge_oof(tmp_path, WEIGHT, ["0"], views=["plain"]).values, [[(3 + 10) / 2]])


def test_noisy_or_is_asked_of_what_is_scored_alone(tmp_path):
    # An auxiliary number is trained, not aggregated. Rows of p: 1/2 and 3/4 of class 1 -> 1 - 1/2 * 1/4 = 7/8.
    sick = Target("sick", "binary", ("0", "1"), ("sick",))
    task = Task((sick, Target("age", "regression", (), ("age",), scored=False)))
    store(tmp_path, "0", "oof", ["p", "p"], [[0, 0, 7], [0, np.log(3), 9]], task=task, row_ids=["p1", "p2"], links={})
    merged = merge_oof(tmp_path, task, ["0"], aggregate="noisy_or")
    assert merged.task == task.scored
    np.testing.assert_allclose(merged.values, [[1 / 8, 7 / 8]], rtol=1e-6)


def test_repeats_are_averaged_and_the_first_names_the_fold(tmp_path):
    # Two folds in each repeat; fold 3 is not done, so that c and b have one prediction each.
    for fold, ids, outputs in (("0", ["a", "b"], [1, 2]), ("1", ["c"], [3]), ("2", ["c", "a"], [7, 5])):
        store(tmp_path, fold, "oof", ids, outputs)
    merged = merge_oof(tmp_path, WEIGHT, ["0", "1", "2"], per_repeat=2)
    assert dict(zip(merged.ids, merged.values[:, 0], strict=True)) == {"a": 3.0, "b": 2.0, "c": 5.0}
    assert dict(zip(merged.ids, merged.fold, strict=True)) == {"a": 0, "b": 0, "c": 1}
    with pytest.raises(PredictionsError, match=r"2 ids \(c, a\) are held out by more than one fold"):
        merge_oof(tmp_path, WEIGHT, ["0", "1", "2"], per_repeat=4)


def test_folds_are_averaged_as_probabilities_joined_by_id_and_without_full(tmp_path):
    big = np.log(9.0)
    store(tmp_path, "0", "test", ["x", "y"], [[0, 0, 0], [big, 0, -50]], task=ANIMALS, links={})
    store(tmp_path, "1", "test", ["y", "x"], [[0, big, -50], [0, 0, 0]], task=ANIMALS, links={})
    store(tmp_path, "full", "test", ["x", "y"], [[50, 0, 0], [50, 0, 0]], task=ANIMALS, links={})
    merged = merge_test(tmp_path, ANIMALS, ["0", "1"])
    assert merged.fold is None
    found = dict(zip(merged.ids, merged.values, strict=True))
    np.testing.assert_allclose(found["x"], [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(found["y"], [0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(merge_test(tmp_path, ANIMALS, ["full"]).values[:, 0], 1, atol=1e-12)


def test_merging_gives_the_same_bits_in_any_order_of_views_and_folds(tmp_path):
    views = {"plain": [0.1, 0.7], "hflip": [0.2, 0.11], "vflip": [0.3, 0.13]}
    for name in views:
        store(tmp_path / "a", "0", "oof", ["u", "v"], views[name], view=name)
    for name in reversed(views):
        store(tmp_path / "b", "0", "oof", ["u", "v"], views[name], view=name)
    for run in ("a", "b"):
        store(tmp_path / run, "1", "oof", ["w"], [0.5])
    first = merge_oof(tmp_path / "a", WEIGHT, ["0", "1"], views=None)
    second = merge_oof(tmp_path / "b", WEIGHT, ["1", "0"], views=None)
    assert first.ids.tolist() == second.ids.tolist() == ["u", "v", "w"]
    assert first.values.tobytes() == second.values.tobytes()


def test_what_cannot_be_merged_is_named(tmp_path):
    store(tmp_path, "0", "oof", ["a", "b"], [1, 2])
    with pytest.raises(PredictionsError, match="fold1.*comp run"):
        merge_oof(tmp_path, WEIGHT, ["0", "1"])
    store(tmp_path, "1", "oof", ["b", "c"], [1, 2])
    with pytest.raises(PredictionsError, match=r"1 id \(b\).*more than one fold"):
        merge_oof(tmp_path, WEIGHT, ["0", "1"])
    with pytest.raises(PredictionsError, match="'hflip' is there for 0 of 2 rows"):
        merge_oof(tmp_path, WEIGHT, ["0"], views=["plain", "hflip"])
    store(tmp_path, "0", "test", ["x", "y"], [1, 2])
    store(tmp_path, "1", "test", ["y"], [1])
    with pytest.raises(PredictionsError, match=r"1 id \(x\) that fold 1's lack"):
        merge_test(tmp_path, WEIGHT, ["0", "1"])
    with pytest.raises(PredictionsError, match="targets weight; wanted animal"):
        merge_oof(tmp_path, ANIMALS, ["0"])


@pytest.mark.parametrize("fold", [None, np.array([1, 0], dtype=np.int64)])
def test_the_files_of_a_run_come_back_as_they_were(tmp_path, fold):
    task = Task((ANIMALS.target, WEIGHT.target))
    values = np.array([[0.1, 0.2, 0.7, 3.0], [1 / 3, 1 / 3, 1 / 3, -1.5]])
    path = tmp_path / "oof.parquet"
    write_predictions(path, Predictions(task, np.array(["01", "1"], dtype=object), values, fold))
    read = read_predictions(path)
    assert read.ids.tolist() == ["01", "1"] and read.task == task and read.values.tobytes() == values.tobytes()
    assert (read.fold is None) if fold is None else read.fold.tolist() == [1, 0]
    frame = pd.read_parquet(path)
    assert list(frame.columns) == ["id", *([] if fold is None else ["fold"]), "animal=cat", "animal=dog", "animal=owl", "weight"]


def test_an_empty_test_set_stays_empty(tmp_path):
    store(tmp_path, "0", "test", [], np.empty((0, 3)), task=ANIMALS, links={})
    assert merge_test(tmp_path, ANIMALS, ["0"]).values.shape == (0, 3)


def test_a_newer_format_and_a_damaged_file_are_refused_by_name(tmp_path):
    path = tmp_path / "oof.parquet"
    pq.write_table(pa.table({"id": ["a"]}, metadata={"comp": '{"format": 2, "comp": "9.1.0", "kind": "oof"}'}), path)
    with pytest.raises(FormatError, match=r"format 2.*comp 9\.1\.0 wrote it"):
        read_predictions(path)
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(PredictionsError, match=r"oof\.parquet cannot be read"):
        read_predictions(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(PredictionsError, match="wanted oof or test"):
        read_predictions(path)
