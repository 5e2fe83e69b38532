"""A workspace on the embedded digits, made in no time."""

from __future__ import annotations

from pathlib import Path

import pytest

COMPETITION = """\
format: 1
dataset: {use: digits}
task: {kind: multiclass, classes: 10, rows: 1347, test_rows: 450, image_px: 8, channels: 1, flip: false}
split: {use: stratified, folds: 5, seed: 42}
metric: {use: accuracy}
submission: {use: labels}
leaderboard: {use: digits}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a workspace, which is also the current one."""
    (tmp_path / "competition.yaml").write_text(COMPETITION)
    monkeypatch.chdir(tmp_path)
    return tmp_path
