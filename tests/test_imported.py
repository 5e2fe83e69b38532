"""A team mate's predictions become an experiment; what does not fit is refused with the difference, and nothing stays behind."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from comp.api import Target, Task
from comp.errors import PredictionsError
from comp.imported import read_values
from comp.predictions import read_predictions


def run_folder(tiny, name="exp001"):
    return next((tiny.root / f"experiments/{name}/runs").glob("*/environment.json")).parent


@pytest.fixture
def mate(tiny_run):
    """`mate_oof.csv` and `mate_test.csv` beside a finished exp001: its own predictions, turned around."""
    for file in ("oof", "test"):
        one = read_predictions(run_folder(tiny_run) / f"{file}.parquet")
        table = pd.DataFrame(one.values, columns=list(one.columns))
        table.insert(0, "name" if file == "oof" else "id", one.ids)
        if one.fold is not None:
            table["fold"] = one.fold
        table.iloc[::-1, ::-1].to_csv(tiny_run.root / f"mate_{file}.csv", index=False)
    return tiny_run


def change(mate, file, edit):
    table = pd.read_csv(mate.root / f"mate_{file}.csv", dtype={"name": str, "id": str})
    edit(table).to_csv(mate.root / f"mate_{file}.csv", index=False)


def bring(mate, *more):
    return mate.comp("import", "mate", "--oof", mate.root / "mate_oof.csv", "--test", mate.root / "mate_test.csv", *more)


def test_it_is_scored_blended_submitted_and_listed_like_any_other(mate):
    said = bring(mate, "--json")
    assert said.code == 0, said.err
    own, theirs = (json.loads((run_folder(mate, name) / "scores.json").read_text()) for name in ("exp001", "mate"))
    assert theirs["pooled"] == own["pooled"] and theirs["per_fold"] == own["per_fold"] and theirs["complete"]
    one, other = (read_predictions(run_folder(mate, name) / "oof.parquet") for name in ("exp001", "mate"))
    back = pd.Index(other.ids).get_indexer(pd.Index(one.ids))
    np.testing.assert_allclose(other.values[back], one.values, atol=1e-12)
    rows = {row["experiment"]: row for row in mate.comp("board", "--json").json}
    assert rows["mate"]["marks"] == ["imported"] and rows["mate"]["cv"] == own["pooled"]
    assert mate.comp("submit", "mate").code == 0 and mate.comp("submit", "exp001").code == 0
    given = [(mate.root / f"submissions/{name}/v001.csv").read_text() for name in ("mate", "exp001")]
    assert given[0] == given[1]
    said = mate.comp("blend", "exp001", "mate", "--use", "hillclimb", "--name", "mix", "--json")
    assert said.code == 0, said.err
    assert said.json["scores"]["blend"]["correlation"]["exp001"]["mate"] == pytest.approx(1)
    check = mate.comp("check", "mate", "--json").json
    assert dict(check["sections"])["predictions"] == ["60 OOF ids and 12 test ids"]
    assert mate.comp("score", "mate", "--metric", "log_loss").code == 0


def test_run_reads_the_files_anew(mate):
    bring(mate)
    first = run_folder(mate, "mate").name
    assert mate.run("mate").digest == first
    file = mate.root / "experiments/mate/oof.csv"
    table = pd.read_csv(file, dtype={"name": str})
    table[["0", "1", "2"]] = 1 / 3
    table.to_csv(file, index=False)
    said = mate.comp("submit", "mate")
    assert "the files that mate was imported from have changed" in said.out + said.err
    assert mate.run("mate").digest != first
    file.unlink()
    said = mate.comp("run", "mate")
    assert said.code == 2 and "oof.csv is not there" in said.err and "Traceback" not in said.err


def test_without_a_fold_column_and_with_another_fold_there_is_a_warning(mate):
    change(mate, "oof", lambda table: table.assign(fold=1 - table["fold"]))
    said = bring(mate)
    assert said.code == 0 and "mate_oof.csv" not in said.out and "oof.csv held out 60 of 60 ids in other folds" in said.out
    # Only what the folds are called differs; that cannot be told from other folds.
    said = mate.comp("blend", "exp001", "mate", "--name", "mix")
    assert said.code == 0 and "mate held out 60 of 60 ids in other folds than exp001" in said.out
    change(mate, "oof", lambda table: table.drop(columns="fold"))
    said = mate.comp("import", "other", "--oof", mate.root / "mate_oof.csv")
    assert said.code == 0 and "oof.csv has no `fold` column" in said.out
    said = mate.comp("blend", "exp001", "other")
    assert said.code == 2 and "other have no test predictions, the other members have" in said.err


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("oof", lambda t: t.rename(columns={"2": "7"}), "Too many: 7; missing: 2"),
        ("oof", lambda t: t.drop(columns="0"), "Too many: none; missing: 0"),
        ("oof", lambda t: t.iloc[1:], "that oof.csv lack"),
        ("oof", lambda t: t.assign(name=["9999", *t["name"][1:]]), "oof.csv have 1 id (9999)"),
        ("oof", lambda t: pd.concat([t, t.iloc[:1]]), "more than once"),
        ("oof", lambda t: t.rename(columns={"name": "image"}), "no column 'name' of ids; its columns are fold, 2, 1, 0, image"),
        ("oof", lambda t: t.assign(**{"1": ["x", *t["1"][1:]]}), "cells that are no numbers"),
        ("oof", lambda t: t.assign(**{"1": 3.0}), "60 ids"),
        ("oof", lambda t: t.assign(fold="a"), "fold is 'a'; wanted whole numbers"),
        ("test", lambda t: t.iloc[1:], "the test table's ids have 1 id"),
        ("test", lambda t: t.assign(**{"0": -t["0"]}), "no probabilities (0 to 1) of 'label'"),
        ("test", lambda t: t.assign(extra=1), "Too many: extra; missing: none"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_stays_behind(mate, file, edit, said):
    change(mate, file, edit)
    told = bring(mate)
    assert told.code == 2 and said in told.err and "Traceback" not in told.err
    assert not (mate.root / "experiments/mate").exists()


def test_rows_that_do_not_sum_to_one_are_divided_and_said(mate):
    change(mate, "oof", lambda table: table.assign(**{name: table[name] / 2 for name in "012"}))
    said = bring(mate)
    assert said.code == 0 and "60 rows of 'label' do not sum to 1; they were divided by their sum" in said.out
    assert np.allclose(read_predictions(run_folder(mate, "mate") / "oof.parquet").values.sum(axis=1), 1)


def test_what_only_a_model_could_do_is_refused(mate):
    bring(mate)
    said = mate.comp("run", "mate", "--full")
    assert said.code == 2 and "mate was imported, and trains nothing: --full cannot be honoured" in said.err
    said = mate.comp("submit", "mate", "--tta", "hflip")
    assert said.code == 2 and "was imported, without its model" in said.err
    said = mate.comp("predict", "mate", "--test", mate.data / "test", "--out", "out.csv")
    assert said.code == 2 and "without the weights" in said.err
    said = bring(mate)
    assert said.code == 2 and "exists already" in said.err and (mate.root / "experiments/mate/oof.csv").exists()


def test_a_manifest_with_a_model_or_a_path_is_at_fault(sheets):
    faults = sheets.list_faults("imported: {oof: ../oof.csv, test: test.csv}\nmodel: {use: cnn}\n")
    assert faults == [
        "1 imported.oof: is '../oof.csv'; wanted the name of a file in the experiment's own folder",
        "2 model: imported predictions have no model (experiments/exp001/manifest.yaml:1); remove one of the two".replace(
            "experiments/exp001/manifest.yaml:", ""
        ),
    ]
    assert sheets.list_faults("imported: {test: a.csv}\n")[0].startswith("1 imported.oof: 'imported' needs 'oof'")


# ---- cells ---------------------------------------------------------------------------------------------------------------

BINARY = Task((Target("label", "binary", ("no", "yes"), ("label",)),))
MIXED = Task((Target("tags", "multilabel", ("x", "y"), ("x", "y")), Target("age", "regression", (), ("age",))))


@pytest.mark.parametrize("column", ["label", "yes"])
def test_one_column_of_a_binary_target_is_its_second_class(column):
    found = read_values(pd.DataFrame({column: ["0.25", "1"]}), BINARY, ["a", "b"], "oof.csv", [])
    assert found.tolist() == [[0.75, 0.25], [0, 1]]
    both = pd.DataFrame({"yes": ["0.2"], "no": ["0.8"]})
    assert read_values(both, BINARY, ["a"], "oof.csv", []).tolist() == [[0.8, 0.2]]


def test_labels_and_numbers_are_kept_as_they_are():
    table = pd.DataFrame({"age": ["33.5", "-1e2"], "tags=y": ["0.9", "1"], "tags=x": ["0.8", "0"]})
    warnings = []
    found = read_values(table, MIXED, ["a", "b"], "oof.csv", warnings)
    assert found.tolist() == [[0.8, 0.9, 33.5], [0, 1, -100]] and warnings == []
    with pytest.raises(PredictionsError, match="1 id .b. have cells that are no numbers"):
        read_values(table.assign(age=["1", "inf"]), MIXED, ["a", "b"], "oof.csv", [])
