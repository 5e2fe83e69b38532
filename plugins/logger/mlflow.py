"""MLflow: a parent run for each run with a child for each fold, and one for an experiment's trials; sqlite unless told else."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from comp.api import Logger, PluginError, plugin

from ._told import ASKED_FOR, count_epochs, list_values, read_manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORMAT = 1
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Where nothing else is set: no telemetry, and a server that does not answer is given up after a minute, not after an hour."""
LONGEST_PARAM, MOST_PARAMS = 500, 100
"""What every server of MLflow takes: characters in a parameter's value, parameters in one call."""


@plugin("logger")
def mlflow(folder: Path, /, *, uri: str = "") -> Logger:
    """Losses, held-out scores and learning rates by epoch; `mlflow ui --backend-store-uri sqlite:///mlflow.db` shows them.

    An experiment of theirs for each experiment; in it a parent run for each run, with its manifest and final score, and a child
    for each fold; the trials of a search are the children of one more. What is resumed goes on in its run. A server's token is
    read by mlflow itself, from MLFLOW_TRACKING_TOKEN.

    Args:
        uri: where they are kept, e.g. http://tracker:5000; empty: mlflow.db in the workspace.

    Raises:
        PluginError: the package mlflow is not installed; a uri with a user, a password or a query, which no manifest should keep.

    Example: {use: mlflow}
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc or parts.query:
        raise PluginError(
            "logger mlflow: uri holds a user, a password or a query, and would be kept in every manifest; leave it out and set "
            "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow as library  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise PluginError("logger mlflow needs mlflow, sqlalchemy and alembic: pip install 'comp-kit[mlflow]'") from error
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they would write into the live view
    return Mlflow(Path(folder).absolute(), uri)


class Mlflow:
    """Attributes:
    place: runs | trials | debug.
    home: the workspace.
    """

    PARENT = "run"

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.experiment, self.place, self.digest = folder.parts[-3:]
        self.home = next((above for above in folder.parents if (above / "competition.yaml").exists()), folder)
        self.uri = uri or f"sqlite:///{self.home / 'mlflow.db'}"
        self.ids: dict[str, str] = {}
        self.folds: list[str] = []
        self._client: MlflowClient | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "RunStarted":
                self.folds = [str(fold) for fold in event["folds"]]
            case "FoldStarted":
                self._open(str(event["fold"]))
            case "EpochFinished":
                self._write(str(event["fold"]), list_values(event), count_epochs(event, self.place, self.folds), event["time"])
            case "FoldFinished":
                self._end_fold(event)
            case "RunFinished":
                self._end_run(event)
            case "RunStopped":
                self._end_all("KILLED" if event["why"] in ASKED_FOR else "FAILED")

    def close(self) -> None:
        self._end_all("FINISHED")

    def _write(self, fold: str, values: Mapping[str, float], step: int, time_s: float) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, round(1000 * time_s), step) for name, value in values.items()]
        identity = self._open(fold)
        self._open_client().log_batch(identity, metrics=metrics)

    def _end_fold(self, event: Mapping[str, Any]) -> None:
        fold = str(event["fold"])
        final = {f"final/{metric}": score for metric, score in event["scores"].items() if score is not None}
        self._write(fold, {**final, "best_epoch": event["best_epoch"], "trained_s": event["elapsed_s"]}, 0, event["time"])
        if self.place != "trials":
            self._end(fold, "FINISHED")

    def _end_run(self, event: Mapping[str, Any]) -> None:
        """The score of the whole run, on the parent; of a trial, on the trial. Nothing where nothing was trained."""
        if self.ids:
            found = {name: event["scores"].get(name) for name in ("pooled", "mean", "std")}
            self._write(self.PARENT, {name: value for name, value in found.items() if value is not None}, 0, event["time"])
        self._end_all("FINISHED")

    def _end_all(self, status: str) -> None:
        for name in list(self.ids):
            self._end(name, status)

    def _end(self, name: str, status: str) -> None:
        self._open_client().set_terminated(self.ids.pop(name), status)

    def _open_client(self) -> MlflowClient:
        from mlflow import MlflowClient

        self._client = self._client or MlflowClient(tracking_uri=self.uri)
        return self._client

    def _open(self, fold: str) -> str:
        """The id of the run that a fold writes to: its own, or the trial's."""
        name = self.PARENT if self.place == "trials" else fold
        if name not in self.ids:
            # Workers of a search begin at the same time: one of them makes the tables, the experiment and the parent.
            self.home.mkdir(parents=True, exist_ok=True)
            with FileLock(self.home / "mlflow.db.lock"):
                self._begin(name)
        return self.ids[name]

    def _begin(self, name: str) -> str:
        """A run that goes on or is new; the children of a run, and a trial, get their parent first."""
        if self.place == "trials":
            folder = self.folder.parent
            parent = self._resume(folder, "search") or self._create(folder, "search", f"{self.experiment}/search", None)
            self._open_client().set_terminated(parent)  # no single trial knows when the last one ends
            title = f"{self.experiment}@{self.digest}"
        else:
            title = f"{self.experiment}@{self.digest}" if name == self.PARENT else name if name == "full" else f"fold {name}"
            parent = None if name == self.PARENT else self.ids.get(self.PARENT) or self._begin(self.PARENT)
        self.ids[name] = self._resume(self.folder, name) or self._create(self.folder, name, title, parent)
        return self.ids[name]

    def _resume(self, folder: Path, name: str) -> str | None:
        """A run of theirs that was begun before, and is still in the store; it runs again from here on."""
        from mlflow.exceptions import MlflowException

        identity = read_ids(folder).get(self.uri, {}).get(name)
        try:
            if identity:
                self._open_client().update_run(identity, status="RUNNING")
            return identity
        except MlflowException:
            return None

    def _create(self, folder: Path, name: str, title: str, parent: str | None) -> str:
        client = self._open_client()
        found = client.get_experiment_by_name(self.experiment)
        where = found.experiment_id if found else client.create_experiment(self.experiment, (self.home / "mlartifacts").as_uri())
        tags = {"digest": self.digest, "place": self.place, **({"mlflow.parentRunId": parent} if parent else {})}
        identity = client.create_run(where, tags=tags, run_name=title).info.run_id
        if name == self.PARENT:
            self._write_manifest(identity)
        ids = read_ids(folder)
        ids.setdefault(self.uri, {})[name] = identity
        write_ids(folder, ids)
        return identity

    def _write_manifest(self, identity: str) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in list_leaves(read_manifest(self.folder))]
        for first in range(0, len(params), MOST_PARAMS):
            self._open_client().log_batch(identity, params=params[first : first + MOST_PARAMS])


def list_leaves(value: Any, key: str = "") -> list[tuple[str, str]]:
    """(dotted key, text) of every single value of a manifest."""
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in list_leaves(item, f"{key}.{name}" if key else str(name))]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [leaf for number, item in enumerate(value) for leaf in list_leaves(item, f"{key}.{number}")]
    return [(key, str(value)[:LONGEST_PARAM])] if key else []


def read_ids(folder: Path) -> dict[str, dict[str, str]]:
    """uri -> {name: id} of the runs of theirs that were begun for this folder."""
    file = folder / "mlflow.json"
    state = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"format": FORMAT, "runs": {}}
    if state["format"] > FORMAT:
        raise PluginError(f"{file} has format {state['format']}; this comp reads up to {FORMAT}: install a newer one")
    return state["runs"]


def write_ids(folder: Path, ids: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".mlflow.json.{os.getpid()}"
    temporary.write_text(json.dumps({"format": FORMAT, "runs": ids}, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / "mlflow.json")
