"""The page of `comp predict --pictures`: the images that were given, with what was predicted for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comp import __version__
from comp.pictures import Look
from comp.predictions import Predictions
from comp.project import atomic_write
from comp.report.counts import count_all
from comp.report.grids import show_predicted
from comp.report.html import open_template


def write_predicted(path: Path, facts: Mapping[str, Any], predicted: Predictions | None, look: Look) -> None:
    """Write the page. `facts`: name -> what stands at its head; `predicted`: as it is submitted, None for an empty test set."""
    text = open_template("predicted.html.j2").render(
        facts=facts,
        grid=show_predicted(predicted, look) if predicted else None,
        counts=count_all(None, predicted, predicted.task.targets) if predicted else [],
        version=__version__,
    )
    atomic_write(path, text)
