"""Restored runs: views that are added later are predicted by all folds in one pass, and are what each fold answers alone."""

from __future__ import annotations

import numpy as np

from comp.events import PredictionProgress
from comp.finished import plan_finished
from comp.predictions import read_raw
from comp.restored import add_views, group_lacking, open_restored
from comp.runs import fold_folder


def test_later_views_of_test_rows_take_one_pass_and_are_each_folds_own(tiny_run):
    told = []
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]")
    plan = plan_finished(tiny_run.project, "exp001", told.append)
    of_test, of_oof = group_lacking(plan, ["0", "1"], "test.parquet"), group_lacking(plan, ["0", "1"], "oof.parquet")
    assert [lacking.folds for lacking in of_test] == [["0", "1"]] and [lacking.folds for lacking in of_oof] == [["0"], ["1"]]
    add_views(plan, ["0", "1"], told.append)
    progress = [(event.what, event.fold) for event in told if isinstance(event, PredictionProgress)]
    assert progress == [("held-out", "0"), ("held-out", "1"), ("test", "0"), ("test", "1")]  # a batch each
    assert group_lacking(plan, ["0", "1"], "test.parquet") == []
    restored = open_restored(plan, told.append)
    rows = restored.read(plan.competition.tables.test, "test", "error")
    for fold in ("0", "1"):
        raw = read_raw(fold_folder(plan.run.folder, fold) / "test.parquet")
        flipped = raw.views == "hflip"
        [[alone]] = restored.predict([fold], rows, restored.views, "test")
        assert list(raw.row_ids[flipped]) == list(rows.row_ids) and set(raw.seeds) == {alone.seed}
        assert np.array_equal(raw.outputs[flipped], alone.outputs["hflip"])
        assert np.array_equal(raw.outputs[~flipped], alone.outputs["plain"])
