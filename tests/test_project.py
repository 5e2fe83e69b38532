"""comp.project: where things lie, names, and how files are written."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from comp.errors import WorkspaceError
from comp.project import Project, append_line, atomic_write, check_name, find_project, hash_file, hash_json, suggest


def make_project(root: Path, *names: str) -> Project:
    root.mkdir(exist_ok=True)
    (root / "competition.yaml").write_text("format: 1\n")
    for name in names:
        (root / "experiments" / name).mkdir(parents=True)
        (root / "experiments" / name / "manifest.yaml").write_text("")
    return Project(root)


def test_find_project_walks_up(tmp_path: Path) -> None:
    project = make_project(tmp_path, "exp001")
    assert find_project(tmp_path / "experiments" / "exp001") == project


def test_find_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no competition.yaml in .*; `comp init`"):
        find_project(tmp_path)


@pytest.mark.parametrize("name", ["", "Exp", "1exp", "../up", "a/b", "a-b", "a.b", "exp 1", "é", "exp\n", "a" * 65])
def test_check_name_refuses(name: str) -> None:
    with pytest.raises(WorkspaceError, match="cannot name an experiment"):
        check_name(name)


def test_experiment_suggests_the_near_name(tmp_path: Path) -> None:
    project = make_project(tmp_path, "exp001", "baseline")
    assert project.experiment("exp001") == tmp_path / "experiments" / "exp001"
    with pytest.raises(WorkspaceError, match="did you mean 'baseline'"):
        project.experiment("baselin")


def test_next_free_name_counts_on_from_the_highest_and_from_submissions(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert project.next_free_name() == "exp001"
    make_project(tmp_path, "exp002", "other")
    assert project.next_free_name() == "exp003"
    (tmp_path / "submissions" / "exp1041").mkdir(parents=True)
    assert project.next_free_name() == "exp1042"


def test_activate_imports_user_code_of_the_newest_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORKSPACE", "")
    for name in ("one", "two"):
        project = make_project(tmp_path / name, "exp001")
        (project.experiments / "exp001" / "mine.py").write_text(f"WHO = {name!r}\n")
        project.activate()
        from importlib import import_module

        assert import_module("comp.user.experiments.exp001.mine").WHO == name
    assert os.environ["COMP_WORKSPACE"] == str(tmp_path / "two")


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    atomic_write(path, "é\n")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


def test_atomic_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    atomic_write(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WorkspaceError, match="cannot be written: No space left"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]


def test_atomic_write_where_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        atomic_write(tmp_path / "file" / "x", "")


def test_append_line_cuts_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_line(path, "one")
    with open(path, "ab") as file:
        file.write(b"tor")
    append_line(path, "two\n")
    assert path.read_text() == "one\ntwo\n"


def _append(path: Path, letter: str) -> None:
    for _ in range(20):
        append_line(path, letter * 200)


def test_append_line_from_two_processes_mixes_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    workers = [context.Process(target=_append, args=(path, letter)) for letter in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(path.read_text().splitlines()) == ["a" * 200] * 20 + ["b" * 200] * 20


def test_hashes_against_known_values(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert hash_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_json({"b": 1, "a": [1.5, None]}) == hash_json({"a": [1.5, None], "b": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 1.5})


def test_suggest_ignores_case_and_far_names() -> None:
    assert suggest("gama", ["alpha", "gamma"]) == "; did you mean 'gamma'?"
    assert suggest("a.horizontalflip", ["A.HorizontalFlip"]) == "; did you mean 'A.HorizontalFlip'?"
    assert suggest("zzz", ["alpha"]) == ""
