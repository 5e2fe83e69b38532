"""Extra tables: their columns, labels and faults."""

from __future__ import annotations

from typing import Any

import pytest

from comp.competition import open_competition
from comp.errors import DataError
from comp.extra import ExtraTable, open_extra
from comp.further import open_further
from comp.manifest import load_manifest


@pytest.fixture
def opened(tiny) -> Any:
    """Opens `extra` of a workspace whose further images are its test images."""

    def open_it(item: str, table: str = "name,label\n", *sets: str) -> tuple[ExtraTable, ...]:
        (tiny.data / "more.csv").write_text(table)
        tiny.write("exp001", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + f"extra: [{item}]\n")
        manifest = load_manifest(tiny.project, "exp001", sets)
        return open_extra(manifest, open_competition(tiny.project, manifest))

    open_it.names = sorted(path.stem for path in (tiny.data / "test").iterdir())
    open_it.data = tiny.data
    return open_it


def test_what_is_not_said_is_as_in_the_dataset(opened) -> None:
    one, two, *_ = opened.names
    (extra,) = opened("{table: more.csv, images: test}", f"name,label\n{one},2\n{two},0\n")
    assert extra.tables.train[["row_id", "id", "label"]].to_numpy().tolist() == [
        [f"extra0:{one}", f"extra0:{one}", "2"], [f"extra0:{two}", f"extra0:{two}", "0"],
    ]  # fmt: skip
    assert extra.tables.train["image"].tolist() == [f"test/{one}.png", f"test/{two}.png"]
    assert extra.describe() == "extra more.csv: 2 rows, trained on in every fold with weight 1"


def test_beside_another_dataset_they_lie_in_its_folder(tiny) -> None:
    one, two, *_ = sorted((tiny.data / "train").iterdir())
    flowers = tiny.root / "flowers"
    for place in ("train/a/one.png", "train/b/two.png", "more/three.png"):
        (flowers / place).parent.mkdir(parents=True, exist_ok=True)
        (flowers / place).write_bytes((two if "two" in place else one).read_bytes())
    (flowers / "more.csv").write_text("id,label\nthree,b\n")
    dataset = (tiny.root / "competition.yaml").read_text().splitlines()[1]
    tiny.edit("competition.yaml", dataset, "dataset: {use: folder, data: flowers}")
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nextra: [{table: more.csv, images: more}]")
    manifest = load_manifest(tiny.project, "exp001", ["task.classes=2"])
    (extra,) = open_extra(manifest, open_competition(tiny.project, manifest))
    assert extra.tables.root == flowers and extra.tables.train["image"].tolist() == ["more/three.png"]


def test_their_columns_and_labels_become_ours(opened) -> None:
    one, two, three, *_ = opened.names
    table = f"file,what,label\n{one}.png,two,x\n{two}.png,?,x\n{three}.png,1,x\n"
    item = "{table: more.csv, images: test, id: file, target: what, labels: {two: '2'}, leave_out: ['?'], weight: 0.25}"
    (extra,) = opened(item, table)
    assert extra.tables.train["label"].tolist() == ["2", "1"] and (extra.left_out, extra.weight) == (1, 0.25)
    assert "1 left out by their label" in extra.describe()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{table: more.csv, images: test}", "extra.0 .more.csv.: 1 labels of 'label' are none of ours: 'seven'; say in `labels`"),
        ("{table: more.csv, images: test, labels: {seven: '7'}}", "labels maps to '7', which no target has"),
        ("{table: more.csv, images: test, leave_out: [seven]}", "no row is left: leave_out names every label"),
        ("{table: more.csv, images: test, target: [a, b]}", "target names 2 columns; wanted one for each of ours: label"),
        ("{table: more.csv, images: test, weight: -1}", "weight is -1.0; wanted 0 or more"),
        ("{table: more.csv, images: nowhere}", "there is no folder .*nowhere"),
        ("{table: more.csv, images: test, id: nam}", "more.csv has no column 'nam'"),
        ("{table: other.csv, images: test}", "there is no table .*other.csv"),
    ],
)
def test_faults_say_which_table(opened, item: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(item, f"name,label\n{opened.names[0]},seven\n")


def test_the_manifest_checks_what_stands_in_extra(sheets) -> None:
    faults = sheets.list_faults("extra: [{tabel: x.csv}]\n")
    assert faults[0].startswith("1 extra.0.tabel: 'extra' has no parameter 'tabel'; did you mean 'table'?")
    assert "extra.0.table: 'extra' needs 'table'" in "\n".join(faults)
    assert sheets.list_faults("extra: {table: x}\n")[0].startswith("1 extra: is {'table': 'x'}; wanted a list")


def test_what_a_digest_covers(opened, tiny) -> None:
    one = opened.names[0]
    opened("{table: more.csv, images: test}", f"name,label\n{one},2\n")
    manifest = load_manifest(tiny.project, "exp001")
    competition = open_competition(tiny.project, manifest)
    before = open_further(manifest, competition).contents()
    assert list(before) == ["extra.0"]
    (tiny.data / "more.csv").write_text(f"name,label\n{one},1\n")
    (tiny.root / "fixes.csv").write_text(f"row_id,action\n{competition.tables.train['row_id'][0]},drop\n")
    after = open_further(manifest, competition)
    assert after.contents()["extra.0"] != before["extra.0"] and "fixes" in after.contents()
    assert after.count() == {"extra_rows": 1, "dropped": 1, "relabelled": 0} and len(after.describe()) == 2


def test_beside_classes_in_columns_of_their_own_they_have_one_column(opened) -> None:
    file = opened.data / "train.csv"
    header, *rows = file.read_text().split()
    names = sorted({row.split(",")[1] for row in rows})
    flags = [",".join(str(int(row.split(",")[1] == name)) for name in names) for row in rows]
    lines = [f"{row},{marks}" for row, marks in zip(rows, flags, strict=True)]
    file.write_text("\n".join([",".join([header, *names]), *lines]) + "\n")
    one, two, *_ = opened.names
    sets = (f"dataset.target={names}", "dataset.one_hot=state")
    (extra,) = opened("{table: more.csv, images: test}", f"name,state\n{one},2\n{two},0\n", *sets)
    assert extra.tables.targets == ("state",) and extra.tables.train["state"].tolist() == ["2", "0"]
