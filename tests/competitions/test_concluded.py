"""docs/competitions.md says what is measured: what init concludes of each competition by itself. And that can be worked with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from comp.check import check_form
from comp.competition import open_competition
from comp.folds import open_folds
from comp.init import InitReport, init_workspace
from comp.known import list_slugs
from comp.manifest import load_manifest
from comp.new import create_experiment
from comp.project import Project
from tests.competitions.concluded import Compared, compare_text
from tests.competitions.page import PAGE, write_form, write_miniature, write_page

TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
AGAIN = "run python -m tests.competitions.page"

Measure = Callable[[str], tuple[InitReport, list[Compared]]]


@pytest.fixture(scope="module")
def measure(tmp_path_factory) -> Measure:
    """What init makes of a competition's miniature, each once for all tests."""

    @cache
    def measure(slug: str) -> tuple[InitReport, list[Compared]]:
        root = tmp_path_factory.mktemp("form")
        write_miniature(slug, root / "data")
        report = init_workspace(root / "guessed", root / "data")
        return report, compare_text(slug, report.file.read_text(encoding="utf-8"))

    return measure


@pytest.mark.parametrize("slug", list_slugs())
def test_the_page_says_what_init_concludes_and_that_opens(slug, measure):
    report, rows = measure(slug)
    assert write_form(slug, rows) in TEXT, AGAIN
    assert report.fault == "" and sum(row.is_right for row in rows) >= 0.8 * len(rows)

    project = Project(report.file.parent)
    create_experiment(project, "exp001")
    manifest = load_manifest(project, "exp001")
    competition = open_competition(project, manifest)
    open_folds(project, manifest, competition)
    assert "as the sample wants" in check_form(manifest, competition, [])[0]


def test_the_whole_page_with_its_totals_is_what_is_measured(measure):
    assert write_page({slug: measure(slug)[1] for slug in list_slugs()}) == TEXT, AGAIN
