"""Predictions that are put aside come back bit for bit, of any rows, whoever asks at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from comp import members
from comp.errors import WorkspaceError
from comp.members import open_shelf


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two members of 103 rows, read in parts of 10 rows; and what they hold."""
    monkeypatch.setattr(members, "BLOCK_BYTES", 10 * 8 * 3)
    random = np.random.default_rng(0)
    held = {name: random.normal(size=(103, 3)) for name in ("a", "b")}
    made = open_shelf(tmp_path / "cache")
    for name, values in held.items():
        made.put(name, values)
    return made, held


@pytest.mark.parametrize("chosen", [None, "contiguous", "scattered", "none"])
def test_members_come_back_with_the_rows_that_were_taken(shelf, tmp_path, chosen):
    shelf, held = shelf
    number = np.arange(103)
    rows = {"contiguous": (number < 23) | (number > 77), "scattered": number % 7 == 3, "none": number < 0}.get(chosen)
    taken = shelf if rows is None else shelf.take(rows)
    assert list(taken) == ["a", "b"] and len(taken) == 2
    for name, values in held.items():
        wanted = values if rows is None else values[rows]
        np.testing.assert_array_equal(taken[name], wanted)
        parts = [(part, values.copy()) for part, values in taken.read_parts(name)]
        assert all(len(values) <= 10 for _, values in parts) and sum(len(values) for _, values in parts) == len(wanted)
        for part, values in parts:
            np.testing.assert_array_equal(values, wanted[part])
    assert list((tmp_path / "cache").iterdir()) == []  # the file has no name: nothing is left by a killed process


def test_two_threads_read_at_once(shelf):
    shelf, held = shelf
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: shelf["ab"[number % 2]], range(200)))
    assert all(np.array_equal(values, held["ab"[number % 2]]) for number, values in enumerate(found))


def test_a_full_disk_is_one_clear_error(shelf):
    shelf, _ = shelf

    class Full:
        def seek(self, *where):
            return 0

        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(WorkspaceError, match=r"of c, which are put aside .* \(No space left on device\); free some room"):
        replace(shelf, file=Full()).put("c", np.zeros((2, 3)))


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        open_shelf(tmp_path / "file" / "cache")
