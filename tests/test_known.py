from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from comp.cli import main
from comp.errors import DataError, WorkspaceError
from comp.init import init_workspace
from comp.known import find_slug, list_slugs, open_form
from comp.manifest import load_manifest
from comp.project import Project


def write_photos(data: Path, rows: int = 10) -> None:
    """As aptos2019 hands them out."""
    ids = {part: [f"{part}{number}" for number in range(rows)] for part in ("train", "test")}
    for part, names in ids.items():
        (data / f"{part}_images").mkdir(parents=True)
        for name in names:
            Image.new("RGB", (24, 20)).save(data / f"{part}_images" / f"{name}.png")
    pd.DataFrame({"id_code": ids["train"], "diagnosis": [0, 1, 2, 3, 4] * (rows // 5)}).to_csv(data / "train.csv", index=False)
    pd.DataFrame({"id_code": ids["test"]}).to_csv(data / "test.csv", index=False)
    pd.DataFrame({"id_code": ids["test"], "diagnosis": 0}).to_csv(data / "sample_submission.csv", index=False)


def test_the_beginning_of_a_slug_is_enough_where_one_begins_so():
    assert find_slug("aptos2019") == find_slug("aptos2019-blindness-detection") == "aptos2019-blindness-detection"
    with pytest.raises(WorkspaceError, match="2 known competitions begin so: plant-pathology-2020-fgvc7, plant-pathology-2021"):
        find_slug("plant-pathology")
    with pytest.raises(WorkspaceError, match="did you mean 'cassava-leaf-disease-classification'"):
        find_slug("casava-leaf-disease")
    with pytest.raises(WorkspaceError, match="no known competition.*known are aerial-cactus-identification"):
        find_slug("")


@pytest.mark.parametrize("slug", list_slugs())
def test_every_form_says_what_it_is_and_counts_nothing(slug):
    form = open_form(slug)
    assert len(form.head) > 2 and set(form.competition) <= {"dataset", "task", "split", "metric", "submission", "leaderboard"}
    counted = {"classes", "rows", "test_rows", "image_px", "channels"}
    assert form.competition["dataset"]["data"] == "." and not counted & set(form.competition["task"])


def test_a_known_competition_has_no_questions_counted_facts_and_its_first_experiment(tmp_path, capsys):
    write_photos(tmp_path / "data")
    assert main(["init", str(tmp_path / "eyes"), "--competition", "aptos", "--data", str(tmp_path / "data")]) == 0
    assert "comp check exp001" in capsys.readouterr().out
    text = (tmp_path / "eyes/competition.yaml").read_text(encoding="utf-8")
    found, form = YAML(typ="safe", pure=True).load(text), open_form("aptos2019")
    assert "QUESTION" not in text and f"# {form.head[0]}" in text.splitlines()
    assert found["dataset"] == {**form.competition["dataset"], "data": str(tmp_path / "data")}
    assert found["task"] == {"kind": "ordinal", "classes": 5, "rows": 10, "test_rows": 10, "image_px": 20, "channels": 3}
    assert found["split"] == form.competition["split"] and found["metric"] == {"use": "qwk"}
    manifest = load_manifest(Project(tmp_path / "eyes"), "exp001")
    assert manifest.values["head"]["use"] == "coral" and manifest.values["image"]["fit"] == "pad"


def test_files_that_do_not_fit_leave_nothing_behind(tmp_path):
    write_photos(tmp_path / "data")
    (tmp_path / "data/train.csv").rename(tmp_path / "data/labels.csv")
    with pytest.raises(DataError, match="train.csv"):
        init_workspace(tmp_path / "eyes", tmp_path / "data", "aptos2019")
    with pytest.raises(WorkspaceError, match="wants --data DIR"):
        init_workspace(tmp_path / "eyes", None, "aptos2019")
    assert not (tmp_path / "eyes/competition.yaml").exists()
