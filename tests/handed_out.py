"""Handed out: what a competition hands out, drawn small, for the tests of `comp init`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from PIL import Image
from ruamel.yaml import YAML

from comp.competition import open_competition
from comp.folds import open_folds
from comp.init import InitReport, init_workspace
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project


def draw(folder: Path, names, suffix=".png", mode="RGB", size=(20, 30)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new(mode, size).save(folder / f"{name}{suffix}", format="PNG")


class Competition:
    """Writes what a competition hands out: n training rows and 4 test rows."""

    def __init__(self, root: Path, n: int = 12) -> None:
        self.root, self.n = root / "data", n
        self.ids = [f"a{i:02d}" for i in range(n)]
        self.test_ids = [f"t{i}" for i in range(4)]
        draw(self.root / "train_images", self.ids)
        draw(self.root / "test_images", self.test_ids)

    def train(self, name="train.csv", id="image_id", **columns) -> None:
        pd.DataFrame({id: self.ids, **columns}).to_csv(self.root / name, index=False)

    def sample(self, id="image_id", name="sample_submission.csv", **columns) -> None:
        pd.DataFrame({id: self.test_ids, **{key: [value] * 4 for key, value in columns.items()}}).to_csv(
            self.root / name, index=False
        )

    def init(self) -> tuple[InitReport, dict]:
        """And prove that what was concluded works: a manifest resolves, tables open, folds are made."""
        report = init_workspace(self.root.parent / "workspace", self.root)
        return report, prove(report)


def prove(report: InitReport) -> dict:
    """What competition.yaml says, once a manifest resolves on it, tables open and folds are made."""
    project = Project(report.file.parent)
    create_experiment(project, "one")
    manifest = load_manifest(project, "one")
    open_folds(project, manifest, open_competition(project, manifest))
    return YAML(typ="safe", pure=True).load(report.file.read_text(encoding="utf-8"))


def asked(report: InitReport) -> set[str]:
    return {note.key for note in report.questions}
