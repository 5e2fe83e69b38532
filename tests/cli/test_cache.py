"""`comp cache`: what it lists and what it removes; and a run that may store nothing."""

from __future__ import annotations

import os
import time

import pandas as pd
import pytest

from comp.cli.cache import read_age
from comp.stores.cache import hold


def test_it_lists_what_was_made_for_whom(tiny_run):
    said = tiny_run.comp("cache")
    assert said.code == 0 and "exp001 train" in said.out and "16 x 16 x 1" in said.out and "COMP_CACHE_GB" in said.out
    facts = tiny_run.comp("cache", "--json").json
    stores = {store["by"][0]: store for store in facts["stores"]}
    assert stores["exp001 train"]["images"] == 60 and stores["exp001 test"]["images"] == 12
    assert facts["bytes"] == sum(store["bytes"] for store in facts["stores"]) < facts["limit_bytes"]
    assert stores["exp001 train"]["bytes"] >= 60 * 16 * 16


def test_it_removes_what_is_old_and_not_in_use(tiny_run):
    cache = tiny_run.project.cache
    keys = {store["by"][0]: store["key"] for store in tiny_run.comp("cache", "--json").json["stores"]}
    old = cache / keys["exp001 test"]
    week = time.time() - 8 * 86400
    os.utime(old / "used", times=(week, week))
    listed = tiny_run.comp("cache", "--older-than", "7d", "--json").json["stores"]
    assert [store["key"] for store in listed] == [old.name] and old.exists()
    removed = tiny_run.comp("cache", "--clear", "--older-than", "7d", "--json").json["removed"]
    assert [store["key"] for store in removed] == [old.name] and not old.exists()
    with hold(cache / keys["exp001 train"]):
        said = tiny_run.comp("cache", "--clear")
        assert f"kept {keys['exp001 train']} (exp001 train), which is in use" in said.out
    assert "removed 1 stores" in tiny_run.comp("cache", "--clear").out
    assert "nothing is stored" in tiny_run.comp("cache").out


def test_an_age_is_a_number_with_its_unit(tiny):
    assert read_age(None, None, "7d") == 7 * 86400 and read_age(None, None, "1.5 h") == 5400 and read_age(None, None, None) == 0
    said = tiny.comp("cache", "--older-than", "soon")
    assert said.code == 2 and "as in 7d" in said.err


def test_a_limit_that_is_none_is_the_users_mistake(tiny, monkeypatch):
    monkeypatch.setenv("COMP_CACHE_GB", "lots")
    for command in (["cache"], ["run", "exp001"]):
        said = tiny.comp(*command)
        assert said.code == 2 and "COMP_CACHE_GB is 'lots'" in said.err


def test_a_run_that_may_store_nothing_predicts_the_same(tiny, tiny_run, monkeypatch):
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    tiny.run()
    notices = [event.text for event in tiny.names("Notice")]
    assert sum("are read and resized at every look" in text.lower() for text in notices) == 2
    assert not list(tiny.project.cache.glob("*/pixels.u8"))
    [mine], [theirs] = ([*(case.root / "experiments/exp001/runs").iterdir()] for case in (tiny, tiny_run))
    assert mine.name == theirs.name
    for file in ("oof.parquet", "test.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(mine / file), pd.read_parquet(theirs / file), check_exact=True)


@pytest.mark.parametrize(("limit", "said"), [("0", ", more than the cache may hold (0.0 MB; COMP_CACHE_GB)"), ("1", "")])
def test_check_says_what_the_images_take(tiny, monkeypatch, limit, said):
    monkeypatch.setenv("COMP_CACHE_GB", limit)
    out = tiny.comp("check", "exp001").out
    [line] = [line for line in out.splitlines() if "images stored at" in line]
    assert line.strip().startswith("72 images stored at 16 x 16 px: 0.0 MB") and (said in line if said else line.endswith("MB"))
