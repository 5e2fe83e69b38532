"""`comp audit` on a workspace: clean data has nothing, planted leaks are found, and groups.csv keeps them together."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from comp.competition import open_competition
from comp.folds import open_folds
from comp.manifest import load_manifest


@pytest.fixture
def clouds(tiny, draw):
    """The tiny workspace with pictures that differ as photographs do."""
    for folder in ("train", "test"):
        for number, path in enumerate(sorted((tiny.data / folder).iterdir())):
            cv2.imwrite(str(path), draw(number + 1000 * (folder == "test")))
    return tiny


def audit(tiny, *args: str) -> dict:
    said = tiny.comp("audit", "exp001", *args, "--json")
    assert said.code == 0, said.err
    return said.json


def list_kinds(found: dict) -> list[tuple[str, str]]:
    return [(finding["level"], finding["kind"]) for finding in found["findings"]]


def test_clean_data_have_nothing(clouds) -> None:
    found = audit(clouds)
    assert found["findings"] == [] and found["clusters"] == [] and found["pictures"] == 72
    assert not (clouds.root / "folds").exists()  # who audits before training may yet want another split
    page = (clouds.root / "audit/report.html").read_text()
    assert "Nothing was found." in page and "None of 72" in page and "http" not in page
    assert (clouds.root / "audit/lookalikes.csv").read_text() == "cluster,table,row_id,id,image,fold,label\n"
    assert clouds.comp("audit", "exp001").out.splitlines()[0] == "nothing was found"


def test_planted_leaks_are_found_and_groups_mend_them(clouds, copy_badly) -> None:
    train = pd.read_csv(clouds.data / "train.csv", dtype=str)
    project = clouds.project
    manifest = load_manifest(project, "exp001")
    folds = open_folds(project, manifest, open_competition(project, manifest)).of(train["name"])
    label = train["label"].to_numpy()
    one = int(np.flatnonzero(folds == 0)[0])
    # In the other fold one picture of the same class, and one of another class that shows the same as a third.
    other = int(np.flatnonzero((folds == 1) & (label == label[one]))[0])
    third = int(np.flatnonzero((folds == 0) & (label != label[one]))[0])
    wrong = int(np.flatnonzero((folds == 0) & (label != label[third]))[1])
    test = sorted((clouds.data / "test").iterdir())[0]

    def place(row: int):
        return clouds.data / "train" / f"{train['name'][row]}.png"

    for source, target in ((one, place(other)), (third, place(wrong)), (other + 1, test)):
        cv2.imwrite(str(target), copy_badly(cv2.imread(str(place(source)))))
    (clouds.data / "train" / f"{train['name'][20]}.png").write_bytes(b"no image")

    found = audit(clouds)
    kinds = [("leak", "lookalikes"), ("leak", "lookalikes"), ("warning", "labels"), ("warning", "images")]
    assert list_kinds(found) == kinds
    names = [{member["id"] for member in cluster["members"]} for cluster in found["clusters"]]
    wanted = [{train["name"][a], train["name"][b]} for a, b in ((third, wrong), (one, other))]
    assert names == [wanted[0], {train["name"][other + 1], test.stem}, wanted[1]]
    assert [cluster["disagree"] for cluster in found["clusters"]] == [True, False, False]
    assert "1 group of lookalikes with 2 training units stand" in found["findings"][0]["text"]
    assert found["findings"][1]["text"] == "1 test units look like training images (1 group of lookalikes)"
    lines = pd.read_csv(clouds.root / "audit/lookalikes.csv", dtype=str)
    assert len(lines) == 6 and set(lines["id"]) == set.union(*names)
    page = (clouds.root / "audit/report.html").read_text()
    assert page.count("<img src=") == 6 and "labels disagree" in page and "no image" not in page

    assert audit(clouds, "--groups")["groups"] == str(clouds.root / "groups.csv")
    groups = pd.read_csv(clouds.root / "groups.csv", dtype=str)
    assert groups.groupby("lookalike")["id"].apply(set).tolist() == sorted(wanted, key=min)
    kept = audit(clouds, "--set", "split.group=lookalike", "--groups")
    assert [cluster["divided"] for cluster in kept["clusters"]] == [False] * 3
    assert pd.read_csv(clouds.root / "groups.csv", dtype=str).equals(groups)  # what is in one group stays in one
    manifest = load_manifest(project, "exp001", ["split.group=lookalike", "on_bad_image=skip"])
    folds = open_folds(project, manifest, open_competition(project, manifest))
    assert folds.of(train["name"])[one] == folds.of(train["name"])[other] and folds.path.name != "default.csv"


def test_groups_join_what_split_group_keeps_together(clouds, copy_badly) -> None:
    """Two writers, a picture of one of whom looks like one of the other: all of both are one group."""
    train = pd.read_csv(clouds.data / "train.csv", dtype=str)
    train["writer"] = [f"w{place // 6}" for place in range(len(train))]
    train.to_csv(clouds.data / "train.csv", index=False)
    (clouds.root / "groups.csv").write_text(f"id,site\n{train['name'][3]},north\n")
    paths = [clouds.data / "train" / f"{name}.png" for name in train["name"]]
    cv2.imwrite(str(paths[30]), copy_badly(cv2.imread(str(paths[0]))))
    audit(clouds, "--set", "split.group=writer", "--groups")
    groups = pd.read_csv(clouds.root / "groups.csv", dtype=str, na_filter=False)
    sizes = groups["lookalike"].value_counts()
    assert sizes.iloc[0] == 12 and (sizes.iloc[1:] == 6).all() and len(groups) == 60
    assert groups.set_index("id")["site"].to_dict()[train["name"][3]] == "north" and (groups["site"] != "").sum() == 1


def test_check_tells_what_needs_no_picture(tiny) -> None:
    first = pd.read_csv(tiny.data / "train.csv", dtype=str)["name"][0]
    with open(tiny.data / "test.csv", "a") as file:
        file.write(f"{first}\n")
    (tiny.data / "test" / f"{first}.png").write_bytes((tiny.data / "train" / f"{first}.png").read_bytes())
    (tiny.root / "groups.csv").write_text(f"id,site\n{first},north\nelsewhere,north\n")
    said = tiny.comp("check", "exp001", "--json")
    assert said.code == 0, said.err
    assert any(
        "1 of 2 ids in groups.csv are in no table: 'elsewhere'; 59 of 60 training" in text for text in said.json["warnings"]
    )
    found = json.loads(tiny.comp("audit", "exp001", "--json").out)
    assert list_kinds(found)[0] == ("leak", "lookalikes") and ("note", "ids") in list_kinds(found)


def test_groups_that_could_not_be_used_are_not_written(tiny) -> None:
    train = pd.read_csv(tiny.data / "train.csv", dtype=str)
    train.assign(lookalike="x").to_csv(tiny.data / "train.csv", index=False)
    said = tiny.comp("audit", "exp001", "--groups")
    assert said.code != 0 and "the training table has a column 'lookalike', which --groups writes into groups.csv" in said.err
    assert not (tiny.root / "groups.csv").exists() and not (tiny.root / "audit").exists()
