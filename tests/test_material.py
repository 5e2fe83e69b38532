"""What all folds of a run are trained from."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest

from comp.errors import DataError, RunError, RunInterrupted
from comp.events import Notice, StoreProgress
from comp.manifest import load_manifest
from comp.material import Material, drop_bad, full_length, limit_rows, open_material, stoppable
from comp.plan import open_run, plan_run, reopen_run
from comp.train import train_folds


def make_plan(tiny, *sets, **options):
    return open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001", sets), **options))


def test_folds_take_their_rows_and_full_takes_all(tiny):
    material = open_material(make_plan(tiny), tiny.events.append, lambda: False)
    train, held_out = material.training_rows("0"), material.held_out_rows("0")
    assert len(train) == len(held_out) == 30 and not set(train.ids) & set(held_out.ids)
    assert len(material.training_rows("full")) == 60 and material.held_out_rows("full") is None
    assert len(material.test) == 12 and material.test.targets == {}


def test_images_are_stored_at_the_size_that_the_run_was_opened_with(tiny):
    plan = make_plan(tiny, "augment=[{use: A.RandomResizedCrop}]", "image.predict_size=16")
    file = plan.run.folder / "environment.json"
    state = json.loads(file.read_text())
    assert state["form"].pop("stored_px") == [23, 23]
    # The last was opened by a comp that noted no size, and stored what training and prediction see.
    for noted, stored in (({"stored_px": [23, 23]}, 23), ({"stored_px": [30, 30]}, 30), ({}, 16)):
        file.write_text(json.dumps({**state, "form": {**state["form"], **noted}}))
        tiny.events.clear()
        material = open_material(reopen_run(plan), tiny.events.append, lambda: False)
        assert material.train.store.form.size == material.test.store.form.size == (stored, stored)
        said = [event.text for event in tiny.events if isinstance(event, Notice) and "though nothing sees more" in event.text]
        assert len(said) == (stored != 16) and all(f"{stored} x {stored} px" in text for text in said)


def test_debug_has_a_few_batches_of_each_fold(tiny):
    plan = make_plan(tiny, "train.batch_size=2", place="debug")
    rows = limit_rows(plan, plan.competition.tables.train)
    assert np.bincount(plan.folds.of(rows["id"])).tolist() == [8, 8]


def test_a_stop_ends_the_reading_of_images(tiny):
    seen = []
    tell = stoppable(seen.append, lambda: True)
    tell(Notice("only ticks of the store ask"))
    with pytest.raises(RunInterrupted):
        tell(StoreProgress("train", 1, 2))
    assert len(seen) == 2
    with pytest.raises(RunInterrupted):
        open_material(make_plan(tiny), tiny.events.append, lambda: True)
    # And it is read whole the next time.
    assert len(open_material(make_plan(tiny), tiny.events.append, lambda: False).train) == 60


def test_not_one_image_that_can_be_read_is_an_error(tiny):
    class Store:
        bad = {place: "broken" for place in range(60)}

    plan = make_plan(tiny)
    with pytest.raises(DataError, match="nothing is left"):
        drop_bad(plan, plan.competition.tables.train, Store(), tiny.events.append)


def test_long_lists_of_skipped_rows_stand_in_the_file(tiny):
    class Store:
        bad = {place: "broken" for place in range(25)}

    plan = make_plan(tiny)
    kept = drop_bad(plan, plan.competition.tables.train, Store(), tiny.events.append)
    assert kept.tolist() == list(range(25, 60))
    assert "and 5 more" in tiny.events[-1].text
    assert len((plan.run.folder / "skipped.csv").read_text().splitlines()) == 26


def test_full_trains_as_long_as_the_folds_did_where_an_epoch_was_chosen(tiny):
    plan = make_plan(tiny, "train.select=best", "train.epochs=9")
    for fold, best in (("fold0", 3), ("fold1", 6)):
        (plan.run.folder / fold).mkdir()
        (plan.run.folder / fold / "fold.json").write_text(json.dumps({"format": 1, "best_epoch": best}))
    assert full_length(plan) == 6  # the mean of 4 and 7 epochs is 5.5
    assert full_length(make_plan(tiny, "train.epochs=9")) is None


@pytest.mark.parametrize("how", ["done", "failed", "stopped"])
def test_the_loaders_workers_end_with_the_runs_folds(tiny, monkeypatch, how):
    closed, ends = [], {"failed": RunError("no number"), "stopped": RunInterrupted("stopped"), "done": None}

    def train(material, fold, stop, ask):
        assert material.pool.asked == 0 and not closed
        if ends[how]:
            raise ends[how]

    monkeypatch.setattr(Material, "train_fold", train)
    monkeypatch.setattr("comp.engine.loader.workers.WorkerPool.close", lambda pool: closed.append(pool))
    with nullcontext() if how == "done" else pytest.raises(RunError):
        train_folds(make_plan(tiny), ["0", "1"], tiny.events.append, lambda: False)
    assert len(closed) == 1
