"""Tables: whatever a CSV holds, its cells come back as they were written, or the file is refused in words and in time."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from PIL import Image

from comp.catalog import build_catalog
from comp.competition import encode_targets, open_competition
from comp.errors import CompError
from comp.fixes import read_fixes
from comp.folds import open_folds
from comp.ledger import COLUMNS, ledger_path, read_ledger
from comp.manifest import load_manifest
from comp.project import Project
from comp.unseen import read_sample
from tests.fuzz.exploring import counts, explore, nothing_written_outside

CATALOG = build_catalog(None)
ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp949", "latin-1", "shift_jis"])
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    [
        "",
        "007",
        "NA",
        "nan",
        "1e5",
        "a,b",
        'say "hi"',
        "two\nlines",
        "tab\there",
        "cr\rhere",
        "  blanks ",
        "'",
        "é",
        "가",
        "#",
        ";",
        "-0",
        "true",
    ]
)
FORMATS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", ",", ",", "\t", ";"]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)


def write(rows: list[list[str]], **form: Any) -> str:
    sink = io.StringIO()
    csv.writer(sink, **form).writerows(rows)
    return sink.getvalue()


@pytest.fixture(scope="module")
def read_sheet():
    [dataset] = [plugin for plugin in CATALOG.of_kind("dataset") if plugin.name == "csv"]
    return CATALOG.load(dataset).sheet


@st.composite
def tables(draw: Any) -> tuple[list[list[str]], dict[str, Any], str]:
    width = draw(st.integers(1, 4))
    header = draw(st.lists(CELL.filter(lambda text: text.strip() != ""), min_size=width, max_size=width, unique=True))
    rows = draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=4))
    return [header, *rows], draw(FORMATS), draw(ENCODINGS)


@counts(50, 4000)
def test_cells_come_back_as_they_were_written(read_sheet, tmp_path, count):
    def check(given: tuple[list[list[str]], dict[str, Any], str]) -> None:
        rows, form, encoding = given
        assume(len(rows[0]) > 1 or not set("\t;") & set(rows[0][0]))  # a header of a column and a tab is one of two
        file = tmp_path / ("t.tsv" if form["delimiter"] == "\t" else "t.csv")
        try:
            file.write_bytes(write(rows, **form).encode(encoding))
        except UnicodeEncodeError:
            return
        try:
            found = read_sheet(file).rows
        except CompError as error:
            assert file.name in str(error)
            # UTF-8 with commas is never refused, but for what CSV itself cannot carry.
            bare = any("\r" in cell for row in rows for cell in row)
            assert encoding not in ("utf-8", "utf-8-sig") or form["delimiter"] == ";" or bare, error
            return
        if (
            encoding in ("utf-8", "utf-8-sig")
            and form["delimiter"] != ";"
            and not any("\r" in cell for row in rows for cell in row)
        ):
            blank = [row for row in rows[1:] if row != [""]]  # a line without anything is no row of one column
            assert [str(name) for name in found.columns] == rows[0]
            assert found.to_numpy().tolist() in (rows[1:], blank)

    explore(tables(), count, check)


JUNK = st.lists(
    st.sampled_from(
        [
            b"id,label\n",
            b"a,0\n",
            b"b,1\n",
            b",",
            b'"',
            b"\n",
            b"\r\n",
            b"\r",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\x80",
            b"=1+1",
            b"\t",
            b";",
            b'""',
            b"[",
            b"{",
            b'{"a": 1}',
            b"images",
            b":",
            b"1e999",
            b"PAR1",
            b"PK\x03\x04",
            b"\x1f\x8b",
        ]
    )
    | st.binary(max_size=4),
    max_size=25,
).map(b"".join)
NAMES = ("t.csv", "t.tsv", "t.txt", "t.json", "t.jsonl", "t.parquet", "t.csv.gz", "t.csv.zip", "t.csv.7z", "t")


@counts(60, 5000)
def test_any_bytes_are_a_table_or_refused_in_words(read_sheet, tmp_path, count):
    def check(given: tuple[str, bytes]) -> None:
        file = tmp_path / given[0]
        file.write_bytes(given[1])
        for read in (read_sheet, read_sample):
            try:
                read(file)
            except CompError as error:
                assert str(error)

    explore(st.tuples(st.sampled_from(NAMES), JUNK), count, check)


@pytest.mark.slow
def test_a_hundred_thousand_columns_take_seconds(read_sheet, tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    file = tmp_path / "wide.csv"
    file.write_text(write([names, [str(number) for number in range(100_000)]]))
    started = time.process_time()
    found = read_sheet(file).rows
    assert time.process_time() - started < 30
    assert list(found.columns) == names and found.iloc[0].tolist() == [str(number) for number in range(100_000)]
    file.write_text(write([[*names, "c5"], ["0"] * 100_001]))
    started = time.process_time()
    with pytest.raises(CompError, match="two columns called 'c5'"):
        read_sheet(file)
    assert time.process_time() - started < 30


# ---- a workspace of such tables ------------------------------------------------------------------------------------------

MANY = """\
format: 1
dataset: {use: csv, data: data, train: train.csv, test: test.csv, sample: sample.csv, images: images, id: name, target: label}
split: {use: stratified, folds: 2, seed: 1}
metric: {use: accuracy}
submission: {use: labels}
"""
PICTURES = ("a.png", "b.png", "c.png", "sub/d.png", "é.png", "f g.png", "007.png")
ID = (
    st.sampled_from(
        [
            *PICTURES,
            "a",
            "b",
            "c",
            "d",
            "sub/d",
            "é",
            "007",
            "../a",
            "/etc/passwd",
            "C:\\x",
            "a\0b",
            "",
            ".",
            "x" * 300,
            "images/a.png",
            "~/x",
            "e\u0301",
        ]
    )
    | CELL
)
LABEL = st.sampled_from(["0", "1", "cat", "dog", "", "1.0", "nan", "-1", "1e999"]) | CELL
HEADER = st.sampled_from(
    [["name", "label"]] * 6
    + [
        ["name"],
        ["name", "label", "label"],
        ["id", "label"],
        ["name", "label", "row_id"],
        ["\ufeffname", "label"],
        ["label", "name"],
    ]
)
ROWS = st.lists(st.tuples(ID, LABEL).map(list), max_size=6) | st.permutations(PICTURES).map(
    lambda names: [[name, str(at % 2)] for at, name in enumerate(names)]
)


@pytest.fixture
def workspace(tmp_path):
    root = tmp_path / "outer" / "workspace"
    for name in PICTURES:
        (root / "data/images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(root / "data/images" / name)
    (root / "competition.yaml").write_text(MANY)
    (root / "experiments/exp001").mkdir(parents=True)
    (root / "experiments/exp001/manifest.yaml").write_text("model: {use: cnn}\nimage: {size: 8}\n")
    return root


def open_all(root: Path) -> None:
    """What `check` and `run` read before anything trains: tables, task, targets, folds, fixes."""
    manifest = load_manifest(Project(root), "exp001")
    competition = open_competition(Project(root), manifest)
    targets = encode_targets(competition.trained, competition.tables.train)
    assert all(len(rows) == len(competition.tables.train) for rows in targets.values())
    folds = open_folds(Project(root), manifest, competition)
    assert set(folds.table["id"]) == set(competition.tables.train["id"])
    read_fixes(root, competition)


@counts(40, 1500)
def test_a_workspace_of_any_tables_opens_or_is_refused_in_words(workspace, monkeypatch, count):
    monkeypatch.setattr("comp.manifest.build_catalog", lambda *given: CATALOG)

    def check(given: dict[str, Any]) -> None:
        for name, (header, rows, encoding) in given.items():
            text = write([header, *rows], lineterminator="\n")
            (workspace / f"data/{name}").write_bytes(text.encode(encoding, "replace"))
        for file in (workspace / "folds").glob("*"):
            file.unlink()
        with nothing_written_outside(workspace):
            try:
                open_all(workspace)
            except CompError as error:
                assert str(error)

    table = st.tuples(HEADER, ROWS, ENCODINGS)
    plain = st.just((["name", "label"], [[name, str(at % 2)] for at, name in enumerate(PICTURES)], "utf-8"))
    explore(
        st.fixed_dictionaries({"train.csv": plain | table, "test.csv": table | plain, "sample.csv": table | plain}), count, check
    )


@counts(40, 2000)
def test_files_that_people_edit_by_hand_are_read_or_refused_in_words(workspace, monkeypatch, count):
    """fixes.csv, the folds, and the ledger."""
    monkeypatch.setattr("comp.manifest.build_catalog", lambda *given: CATALOG)
    project = Project(workspace)
    for name in ("train.csv", "test.csv", "sample.csv"):
        rows = [[name, str(at % 2)] for at, name in enumerate(PICTURES)]
        (workspace / "data" / name).write_text(write([["name", "label"], *rows]))
    open_all(workspace)
    folds = {file: file.read_bytes() for file in (workspace / "folds").glob("default.*")}
    manifest = load_manifest(project, "exp001")
    competition = open_competition(project, manifest)
    lines = st.lists(
        st.sampled_from(
            [
                b"row_id,action,column,value,reason\n",
                b"a.png,drop,,,\n",
                b"b.png,relabel,label,0,\n",
                b"b.png,relabel,label,9\n",
                b"id,fold\n",
                b"a.png,0\n",
                b"a.png,x\n",
                b"a.png,99999999999999999999\n",
                ",".join(COLUMNS).encode() + b"\n",
                b"1,2026,exp001,v001,3f,0.5,,accuracy,,,ab,hi\n",
                b"x,2026,exp001,v001,3f,a,b,c,d,e,f,g\n",
                b"1,2026,exp001,v001,,,,,0.5,,,\n",
            ]
        ),
        max_size=5,
    ).map(b"".join)

    def check(given: tuple[str, bytes]) -> None:
        name, data = given
        path = {
            "fixes": workspace / "fixes.csv",
            "ledger": ledger_path(project),
            "folds": workspace / "folds/default.csv",
            "split": workspace / "folds/default.json",
        }[name]
        path.parent.mkdir(exist_ok=True)
        for file, content in folds.items():
            file.write_bytes(content)
        (workspace / "fixes.csv").unlink(missing_ok=True)
        path.write_bytes(data)
        for read in (
            lambda: read_fixes(workspace, competition),
            lambda: open_folds(project, manifest, competition),
            lambda: read_ledger(project),
        ):
            try:
                read()
            except CompError as error:
                assert str(error)

    data = lines | JUNK | st.builds(lambda head, junk: head + junk, lines, JUNK)
    explore(st.tuples(st.sampled_from(["fixes", "ledger", "folds", "split"]), data), count, check)


@counts(25, 1000)
def test_predictions_of_others_are_taken_or_refused_in_words(workspace, monkeypatch, count):
    """`comp import`: the files of a team mate."""
    from comp.imported import read_imported

    monkeypatch.setattr("comp.manifest.build_catalog", lambda *given: CATALOG)
    project = Project(workspace)
    for name in ("train.csv", "test.csv", "sample.csv"):
        (workspace / "data" / name).write_text(
            write([["name", "label"], *([name, str(at % 2)] for at, name in enumerate(PICTURES))])
        )
    folder = workspace / "experiments/mate"
    folder.mkdir()
    (folder / "manifest.yaml").write_text("imported: {oof: oof.csv, test: test.csv}\n")
    manifest = load_manifest(project, "mate")
    competition = open_competition(project, manifest)
    folds = open_folds(project, manifest, competition)
    cells = st.sampled_from(["0", "1", "0.5", "0.25", "", "nan", "inf", "-0.5", "2", "x", "1e999", "é"])
    header = st.sampled_from(
        [["id", "0", "1"]] * 4
        + [["name", "0", "1"], ["id", "0", "1", "fold"], ["id", "1"], ["id", "label"], ["id", "0", "0"], ["0", "1"], ["id"]]
    )
    names = st.permutations(PICTURES) | st.lists(ID, max_size=8)

    @st.composite
    def files(draw: Any) -> bytes:
        columns, ids = draw(header), draw(names)
        sound = draw(st.booleans())
        row = [
            [
                name,
                *(
                    ["0.5"] * (len(columns) - 1)
                    if sound
                    else draw(st.lists(cells, min_size=len(columns) - 1, max_size=len(columns) - 1))
                ),
            ]
            for name in ids
        ]
        return write([columns, *row]).encode(draw(ENCODINGS), "replace")

    def check(given: tuple[bytes, bytes]) -> None:
        for name, data in zip(("oof.csv", "test.csv"), given, strict=True):
            (folder / name).write_bytes(data)
        try:
            found = read_imported(manifest, competition, folds)
        except CompError as error:
            assert str(error)
            return
        for part in (found.oof, found.test):
            assert pd.notna(part.values).all() and ((part.values >= 0) & (part.values <= 1)).all()
            assert abs(part.values.sum(axis=1) - 1).max() < 1e-9

    explore(st.tuples(files() | JUNK, files() | JUNK), count, check)
