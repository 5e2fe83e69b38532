from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from comp.cli.output import crop_lines, print_json, relative, to_plain


@dataclass(frozen=True)
class Thing:
    path: Path
    score: float


def test_results_become_plain_json(capsys):
    print_json({"thing": Thing(Path("a/b"), float("nan")), "n": np.int64(3), "x": np.float32(0.5), "names": ("여우", None, True)})
    out = capsys.readouterr().out
    assert json.loads(out) == {"thing": {"path": "a/b", "score": None}, "n": 3, "x": 0.5, "names": ["여우", None, True]}
    assert "여우" in out


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), np.float64("nan")])
def test_what_json_has_no_number_for_is_null(value):
    assert to_plain([value]) == [None]


def test_paths_below_are_written_as_one_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert relative(tmp_path / "experiments" / "exp001") == "experiments/exp001"
    assert relative(tmp_path.parent / "other") == str(tmp_path.parent / "other")


def test_lines_are_whole_where_there_is_no_terminal():
    assert crop_lines(["x" * 500]) == ["x" * 500]
