"""Every competition that comp knows, in small and from end to end: init by its form, check, run, submit, and what came of it."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from comp.catalog import build_catalog
from comp.cli import main
from comp.known import list_slugs, open_form
from tests.competitions.acceptance import find_faults
from tests.competitions.facts import FORMS
from tests.competitions.right import right_share

ALWAYS_SAID = {"use", "data", "train", "images", "id", "target", "folds", "seed"}
TINY = (
    "model={use: cnn, widths: [16, 32], hidden: 64, dropout: 0.2}", "image.size=16", "augment=[]", "tta=[]", "stages=null",
    "optimizer={lr: 3.0e-3}", "train={epochs: 16, batch_size: 16, workers: 0, threads: 1, ema: false}", "split.folds=2",
)  # fmt: skip


def comp(root: Path, *args: str) -> None:
    """A command as if typed in the workspace."""
    said = io.StringIO()
    with contextlib.chdir(root), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(list(args))
    assert code == 0, f"comp {' '.join(args)}: exit code {code}\n{said.getvalue()}"


def join_wrongly(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """The mean right share where every row has the answer of a row some places on."""
    answers = submission.columns[1:]
    moved = [
        submission.assign(**{name: np.roll(submission[name], places) for name in answers}) for places in range(1, len(submission))
    ]
    return float(np.mean([right_share(each, solution) for each in moved]))


def test_every_known_competition_is_here() -> None:
    minis = {path.stem.replace("_", "-") for path in (Path(__file__).parent / "minis").glob("*.py")}
    assert set(list_slugs()) == set(FORMS) == minis and len(minis) == 23


@pytest.mark.parametrize("slug", list_slugs())
def test_from_the_files_to_a_submission(slug: str, tmp_path: Path) -> None:
    mini = importlib.import_module(f"tests.competitions.minis.{slug.replace('-', '_')}")
    solution = mini.write(tmp_path / "data")
    root = tmp_path / "workspace"
    comp(tmp_path, "init", str(root), "--competition", slug, "--data", str(tmp_path / "data"))
    sets = [word for text in (*TINY, *mini.SETS) for word in ("--set", text)]
    comp(root, "new", "tiny", "--from", "exp001", *sets)
    for command in ("check", "run", "submit"):
        comp(root, command, "tiny")
    file = root / "submissions" / "tiny" / "v001.csv"
    assert find_faults(slug, file, tmp_path / "data") == []
    submission = pd.read_csv(file, dtype=str, na_filter=False)
    assert join_wrongly(submission, solution) < mini.BAR <= right_share(submission, solution)


@pytest.mark.parametrize("slug", list_slugs())
def test_a_form_says_what_is_special_and_no_defaults(slug: str) -> None:
    form, catalog = open_form(slug), build_catalog(None)
    assert any(line.startswith("Special:") for line in form.head)
    told = []
    for section, keys in form.competition.items():
        if "use" not in keys:
            continue
        plugin, _ = catalog.find(section, keys["use"])
        defaults = {parameter.name: parameter.default for parameter in plugin.parameters}
        told += [f"{section}.{key}" for key in keys.keys() - ALWAYS_SAID if keys[key] == defaults[key]]
    assert told == [] and form.competition["task"].get("flip") is not True
