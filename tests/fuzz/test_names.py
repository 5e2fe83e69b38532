"""Names and paths on the command line: no traceback, and nothing written beside the workspace, whatever is asked for."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from PIL import Image

from comp.cli import main
from comp.competition import open_competition
from comp.errors import DataError
from comp.manifest import load_manifest
from comp.project import NAME, Project
from tests.fuzz.exploring import counts, explore, nothing_written_outside

HARD = st.sampled_from(
    [
        "exp001",
        "exp001@",
        "exp001@3f",
        "exp002",
        "..",
        "../exp001",
        "/etc/passwd",
        "/var/tmp/comp-x",
        "a/b",
        "a\\b",
        "C:\\x",
        "",
        " ",
        ".",
        "~",
        "~/x",
        "-",
        "--help",
        "-x",
        "é",
        "e\u0301",
        "가",
        "\u202e",
        "a\nb",
        "a\tb",
        "\x1b[2J",
        "\udcff",
        "x" * 64,
        "x" * 65,
        "x" * 5000,
        "exp001\x7f",
        "con",
        "nul",
        "exp001/best",
        "exp001/t0001",
        "exp001/full",
        "$(touch x)",
        "%s",
        "{0}",
        "v001",
        "../../v001",
        "*",
        "?",
        "[a]",
    ]
)
TEXT = (
    HARD
    | st.text(max_size=12)
    | st.builds("/".join, st.lists(st.sampled_from(["..", ".", "x", "exp001", "submissions", ""]), min_size=1, max_size=5))
)
KEYS = st.sampled_from(
    [
        "seed=1",
        "model.use=cnn",
        "dataset.data=../..",
        "dataset.train=../../x.csv",
        "init=../x.safetensors",
        "blend={use: mean, members: [exp001, ../x]}",
        "about=\x1b[31m",
        "loss.use=../x",
    ]
)


def command() -> st.SearchStrategy[list[str]]:
    """A command that reads or writes by a name, with names that are none."""
    one = TEXT
    words: list[st.SearchStrategy[list[str]]] = [
        st.tuples(st.just("new"), one).map(list),
        st.tuples(st.just("new"), one, st.just("--from"), one).map(list),
        st.tuples(st.just("new"), st.sampled_from(["fresh", "exp009"]), st.just("--set"), KEYS | one).map(list),
        st.tuples(st.just("show"), one).map(list),
        st.tuples(st.just("show"), st.just("exp001"), st.just("--set"), KEYS | one).map(list),
        st.tuples(st.just("submit"), one).map(list),
        st.tuples(st.just("submit"), one, st.just("--verify"), one).map(list),
        st.tuples(st.just("submit"), st.just("exp001"), st.just("-m"), one, st.just("--tta"), one).map(list),
        st.tuples(st.just("ledger"), one, one, st.just("--public"), st.sampled_from(["0.5", "x", "nan", "-1"])).map(list),
        st.tuples(st.just("score"), one, st.just("--metric"), one).map(list),
        st.tuples(st.just("board"), st.just("--on"), one).map(list),
        st.tuples(st.just("blend"), one, one, st.just("--use"), one, st.just("--name"), one).map(list),
        st.tuples(st.just("import"), one, st.just("--oof"), one).map(list),
        st.tuples(st.just("merge"), st.sampled_from(["..", "experiments", "gone", ""]), one).map(list),
        st.tuples(st.just("plugins"), st.just("new"), st.sampled_from(["loss", "metric", "augment", "x"]), one).map(list),
        st.tuples(st.just("plugins"), st.just("new"), st.just("loss"), one, st.just("--in"), one).map(list),
        st.tuples(st.just("plugins"), st.just("show"), one).map(list),
        st.tuples(st.just("cache"), st.just("--older-than"), one, st.just("--clear")).map(list),
        st.lists(one, max_size=3),
    ]
    return st.one_of(*words)


@pytest.fixture
def lonely(sheets: Any) -> Path:
    """A workspace with an experiment, alone in a folder of its own."""
    sheets.write("exp001", "model: {use: cnn}\n")
    return sheets.project.root


def say(root: Path, args: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(args)
    return code, err.getvalue()


@counts(20, 1500)
def test_no_name_ends_in_a_traceback_or_writes_beside_the_workspace(lonely, count):
    def check(args: list[str]) -> None:
        with nothing_written_outside(lonely):
            code, said = say(lonely, args)
        crashes = sorted((lonely / ".comp").glob("crash*"))
        assert code in (0, 2), (args, code, said, [file.read_text() for file in crashes])
        assert "Traceback" not in said and not crashes and len(said) < 20_000
        assert code == 0 or said.strip()
        for folder in (lonely / "experiments").iterdir():
            assert NAME.fullmatch(folder.name)

    explore(command(), count, check, slowest_s=20)


@pytest.mark.slow
def test_predict_writes_where_it_is_told_and_nowhere_else(lonely):
    (lonely / "pictures").mkdir()
    for name in ("exp001", "../exp001", "exp001@3f", "x" * 300):
        for test in ("pictures", "..", "gone", "/", "x" * 300):
            with nothing_written_outside(lonely):
                code, said = say(lonely, ["predict", name, "--test", test, "--out", "out/out.csv"])
            assert code == 2 and "Traceback" not in said


@counts(200, 20_000)
def test_a_name_is_one_folder_below_experiments(lonely, count):
    """What check_name lets through cannot lead anywhere else."""
    project = Project(lonely)

    def check(name: str) -> None:
        from comp.errors import WorkspaceError
        from comp.project import check_name

        try:
            check_name(name)
        except WorkspaceError as error:
            assert repr(name)[:20] in str(error) and len(str(error)) < 10_000
            return
        assert (
            (project.experiments / name).parent == project.experiments and name.isascii() and name.islower() and len(name) <= 64
        )

    explore(TEXT | st.text("ab09_.-/A ", max_size=70), count, check)


def test_file_names_that_are_no_text_are_refused(tmp_path):
    """Bytes that are not UTF-8 can name a file, but stand in no table."""
    root = tmp_path / "workspace"
    for label in ("a", "b"):
        (root / "data" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8)).save(root / "data" / label / f"{number}{label}.png")
    try:
        os.rename(root / "data/a/0a.png", os.fsencode(root / "data/a") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    facts = "dataset: {use: folder, train: data}\nmetric: {use: accuracy}\nsubmission: {use: labels}\n"
    (root / "competition.yaml").write_text(facts)
    (root / "experiments/exp001").mkdir(parents=True)
    (root / "experiments/exp001/manifest.yaml").write_text("model: {use: cnn}\nimage: {size: 8}\n")
    with pytest.raises(DataError, match=r"udcff.png' is not UTF-8; rename it"):
        open_competition(Project(root), load_manifest(Project(root), "exp001"))


@pytest.mark.parametrize(
    "args", [["new", "a\udcff"], ["submit", "exp001", "-m", "\udcff"], ["show", "exp001", "--set", "about=\udcff"]]
)
def test_arguments_that_are_no_text_are_refused(lonely, args):
    code, said = say(lonely, args)
    assert code == 2 and "is not UTF-8" in said
