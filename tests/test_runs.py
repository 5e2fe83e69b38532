"""Finding runs by name, and when one is whole."""

from __future__ import annotations

import json

import pytest

from comp.errors import FormatError, WorkspaceError
from comp.project import Project
from comp.runs import FULL, Run, find_run, fold_folder, list_runs, read_fold


@pytest.fixture
def project(tmp_path) -> Project:
    (tmp_path / "competition.yaml").write_text("format: 1\n")
    (tmp_path / "experiments/exp001").mkdir(parents=True)
    (tmp_path / "experiments/exp001/manifest.yaml").write_text("")
    return Project(tmp_path)


def add_run(
    project: Project, digest: str, made_at: float, done: int, folds: int = 2, merged: bool = True, number: int = 1
) -> Run:
    folder = project.experiments / "exp001/runs" / digest
    folder.mkdir(parents=True)
    state = {"format": number, "made_at": made_at, "folds": [str(fold) for fold in range(folds)]}
    (folder / "environment.json").write_text(json.dumps(state))
    for fold in range(done):
        (folder / f"fold{fold}").mkdir()
        (folder / f"fold{fold}/fold.json").write_text('{"format": 1}')
    if merged:
        (folder / "scores.json").write_text(json.dumps({"format": 1, "complete": done == folds}))
    return Run("exp001", digest, folder, state)


def test_a_name_means_the_newest_complete_run(project):
    add_run(project, "aaaaaaaa", 1, 2)
    add_run(project, "bbbbbbbb", 2, 2)
    add_run(project, "cccccccc", 3, 1)
    assert find_run(project, "exp001").digest == "bbbbbbbb"
    assert find_run(project, "exp001", partial=True).digest == "bbbbbbbb"
    assert find_run(project, "exp001@aaaa").digest == "aaaaaaaa"
    assert [run.digest for run in list_runs(project, "exp001")] == ["cccccccc", "bbbbbbbb", "aaaaaaaa"]


def test_without_a_complete_one_partial_takes_the_fullest(project):
    add_run(project, "aaaaaaaa", 1, 2, folds=3)
    add_run(project, "bbbbbbbb", 2, 1, folds=3)
    add_run(project, "cccccccc", 3, 0, folds=3)
    assert find_run(project, "exp001", partial=True).digest == "aaaaaaaa"
    with pytest.raises(WorkspaceError, match="no complete run .*aaaaaaaa with 2 of 3 folds.*comp run exp001"):
        find_run(project, "exp001")


def test_nothing_and_ambiguous_digests_are_refused(project):
    with pytest.raises(WorkspaceError, match="no runs at all"):
        find_run(project, "exp001", partial=True)
    add_run(project, "aa000000", 1, 2)
    add_run(project, "aa111111", 2, 2)
    with pytest.raises(WorkspaceError, match="2 runs of exp001 start with 'aa'"):
        find_run(project, "exp001@aa")
    with pytest.raises(WorkspaceError, match="0 runs of exp001 start with 'f'"):
        find_run(project, "exp001@f")


def test_whole_is_trained_and_merged(project):
    assert add_run(project, "aaaaaaaa", 1, 2).complete
    # Killed between the last fold and the merge: scores.json is of fewer folds, or not there.
    unmerged = add_run(project, "bbbbbbbb", 1, 2, merged=False)
    assert unmerged.done == ["0", "1"] and not unmerged.complete
    (unmerged.folder / "scores.json").write_text('{"format": 1, "complete": false}')
    assert not unmerged.complete


def test_a_newer_format_is_refused(project):
    add_run(project, "aaaaaaaa", 1, 2, number=2)
    with pytest.raises(FormatError, match="has format 2; this comp reads up to 1"):
        list_runs(project, "exp001")
    folder = project.root / "fold0"
    folder.mkdir()
    assert read_fold(folder) is None
    (folder / "fold.json").write_text('{"format": 2}')
    with pytest.raises(FormatError, match="fold.json has format 2"):
        read_fold(folder)


def test_folders_of_folds(tmp_path):
    assert fold_folder(tmp_path, "3") == tmp_path / "fold3" and fold_folder(tmp_path, FULL) == tmp_path / "full"
