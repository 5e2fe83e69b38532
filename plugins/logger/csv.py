"""history.csv: one row per epoch in each fold's folder, for a spreadsheet or a notebook."""

from __future__ import annotations

import csv as library
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comp.api import Logger, plugin

FORMAT = 1
COLUMNS = (
    "format", "stage", "epoch", "train_loss", "held_out_loss", "lr", "best", "elapsed_s", "samples_per_s",
)  # fmt: skip


@plugin("logger")
def csv(folder: Path, /) -> Logger:
    """Writes fold0/history.csv, fold1/history.csv, ..., full/history.csv under the run's folder.

    After the fixed columns stand the held-out scores under their metrics' names, then `loss.TARGET` for each target where
    there are several. A resumed fold continues its file; epochs that are trained again replace their rows.

    Example: {use: csv}
    """
    return History(Path(folder))


class History:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event["event"] != "EpochFinished":
            return
        fold = str(event["fold"])
        path = self.folder / (fold if fold == "full" else f"fold{fold}") / "history.csv"
        parts = event["parts"] if len(event["parts"]) > 1 else {}
        row = {
            **{name: event.get(name) for name in COLUMNS},
            "format": FORMAT,
            **event["scores"],
            **{f"loss.{target}": value for target, value in parts.items()},
        }
        earlier = [kept for kept in read_history(path) if int(kept["epoch"]) < event["epoch"]]
        write_history(path, [*earlier, row])

    def close(self) -> None:
        pass


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a history.csv as text; none where there is no file."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(library.DictReader(file))


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = library.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
