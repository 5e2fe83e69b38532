"""wandb and mlflow: real runs, offline and in sqlite, read back as their own tools would."""

from __future__ import annotations

import builtins
import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from wandb.sdk.lib import wbauth

from comp.api import PluginError
from comp.events import EpochFinished, FoldFinished, FoldStarted, RunFinished, RunStarted, RunStopped, read_events, to_record
from comp.plugins.logger.mlflow import mlflow
from comp.plugins.logger.wandb import wandb

BOTH = "logger: [{use: wandb}, {use: mlflow}]\n"
MANIFEST = "model: {use: cnn, widths: [8, 8], hidden: 16}\nimage: {size: 16}\naugment: []\n"
MANIFEST += "train: {epochs: 2, batch_size: 16, workers: 0, threads: 1}\n"
LONGEST_WAIT_S = 60.0
TOKENS = {
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "planted1",
    "MLFLOW_TRACKING_TOKEN": "planted-mlflow-token",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "KAGGLE_KEY": "planted-kaggle-key",
}


@pytest.fixture(autouse=True)
def away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account of whoever runs the tests; what the trackers keep at home is kept here."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    wbauth.unauthenticate_session()  # wandb remembers a key for as long as the process lives


def read_offline(folder: Path) -> dict[str, dict[str, Any]]:
    """As read_written, once all is written: wandb's own process does so, at its leisure."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while (left := [file for file in folder.rglob("*.wandb") if not is_whole(file)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    return read_written(folder)


def is_whole(file: Path) -> bool:
    from wandb.proto import wandb_internal_pb2

    return any(wandb_internal_pb2.Record.FromString(data).HasField("exit") for data in read_log(file.read_bytes()))


def read_written(folder: Path) -> dict[str, dict[str, Any]]:
    """name -> {group, job_type, id, config, history, summary, exit} of every run of theirs; parts of one are joined."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob("*.wandb")):
        run: dict[str, Any] = {}
        for data in read_log(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                about = record.run
                fresh = {"group": about.run_group, "job_type": about.job_type, "id": about.run_id, "history": [], "summary": {}}
                run = found.setdefault(about.display_name, fresh)
                run["config"] = {item.key: json.loads(item.value_json) for item in about.config.update}
            elif record.HasField("history"):
                run["history"].append(read_items(record.history.item))
            elif record.HasField("summary"):
                run["summary"] |= read_items(record.summary.update)
            elif record.HasField("exit"):
                run["exit"] = record.exit.exit_code
    return found


def read_items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def read_log(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log after wandb's seven bytes: blocks of 32 KiB, a record whole or in pieces."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, piece = struct.unpack("<IHB", data[at : at + 7])
        if at + 7 + length > len(data):
            return
        whole = (whole if piece in (3, 4) else b"") + data[at + 7 : at + 7 + length]
        at += 7 + length
        if piece in (1, 4):
            yield whole


def read_store(uri: str) -> dict[str, Any]:
    """name -> a run of theirs, of every experiment in the store."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def read_history(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(point.step, point.value) for point in MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)]


def epoch(number: int, fold: str = "0", score: float = 0.5) -> dict[str, Any]:
    return to_record(EpochFinished(fold, "train", number, 2, 0.7, 0.6, {"accuracy": score}, 1e-3, 2.0, 100.0, True))


def tell_trial(logger: Callable[[Mapping[str, Any]], None]) -> None:
    """Two folds of two epochs, as a trial."""
    logger(to_record(RunStarted("exp042", "d1", "", ["0", "1"], 2, 40, 0, "cpu", "fp32", "accuracy", True)))
    for fold in ("0", "1"):
        logger(to_record(FoldStarted(fold, 40, 20)))
        for number in range(2):
            logger(epoch(number, fold, score=0.5 + number / 4))
        logger(to_record(FoldFinished(fold, {"accuracy": 0.75}, 1, 4.0)))
    logger(to_record(RunFinished(True, {"metric": "accuracy", "pooled": 0.75, "mean": 0.75, "std": 0.0}, 9.0, "exp001")))


def test_a_real_run_is_in_both_and_no_token_in_any_file(tiny, tmp_path, monkeypatch, capfd) -> None:
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    tiny.write("exp001", MANIFEST + BOTH)
    result = tiny.run()
    assert [event.text for event in tiny.names("Notice") if event.level == "warning"] == []
    per_fold = result.scores["per_fold"]

    offline = read_offline(result.folder)
    assert set(offline) == {f"exp001@{result.digest} fold {fold}" for fold in "01"}
    for fold, run in zip("01", offline.values(), strict=True):
        assert (run["group"], run["job_type"], run["exit"]) == ("exp001", "fold", 0)
        assert run["config"]["model"]["widths"] == [8, 8] and run["config"]["digest"] == result.digest
        assert [point["_step"] for point in run["history"]] == [0, 1]
        assert run["summary"]["final/accuracy"] == pytest.approx(per_fold[fold])

    uri = f"sqlite:///{tiny.root}/mlflow.db"
    stored = read_store(uri)
    parent = stored.pop(f"exp001@{result.digest}")
    assert parent.info.status == "FINISHED" and parent.data.params["model.widths"] == "[8, 8]"
    assert parent.data.metrics["pooled"] == pytest.approx(result.scores["pooled"])
    assert set(stored) == {"fold 0", "fold 1"}
    for fold, run in zip("01", (stored["fold 0"], stored["fold 1"]), strict=True):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id and run.info.status == "FINISHED"
        assert run.data.metrics["final/accuracy"] == pytest.approx(per_fold[fold])
        assert [step for step, _ in read_history(uri, run, "loss/train")] == [0, 1]

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"exp001@" in path.read_bytes() for path in files if path.suffix == ".wandb")  # what is written can be found
    for token in TOKENS.values():
        assert [path for path in files if token.encode() in path.read_bytes()] == []
    assert capfd.readouterr() == ("", "")  # the terminal is the view's


def test_trackers_that_fail_are_said_once_and_the_run_goes_on(tiny) -> None:
    tiny.write(
        "exp001", MANIFEST + "logger: [{use: wandb, mode: online}, {use: mlflow, uri: 'http://127.0.0.1:9'}, {use: csv}]\n"
    )
    result = tiny.run()
    assert result.complete and result.scores["pooled"] > 0
    warnings = [event.text for event in tiny.names("Notice") if event.level == "warning"]
    assert len(warnings) == 2
    assert "wandb" in warnings[0] and "`mode: offline`" in warnings[0]
    assert warnings[1].startswith("logger Mlflow failed and is left out from here on") and "127.0.0.1" in warnings[1]
    assert (result.folder / "fold1/history.csv").exists()
    stored = [record["text"] for record in read_events(result.folder / "events.jsonl") if record.get("level") == "warning"]
    assert stored == warnings


def test_one_that_fails_at_its_end_is_said_too(tiny) -> None:
    plugin = 'from comp.api import plugin\n\n@plugin("logger")\nclass broken:\n    """Fails when it is closed."""\n'
    plugin += "    def __init__(self, folder, /) -> None: pass\n    def __call__(self, event) -> None: pass\n"
    plugin += '    def close(self) -> None: raise OSError(28, "No space left on device")\n'
    (tiny.write("exp001", MANIFEST + "logger: [{use: broken}]\n") / "broken.py").write_text(plugin)
    assert tiny.run().complete
    (said,) = [event.text for event in tiny.names("Notice") if event.level == "warning"]
    assert "failed at its end" in said and "No space left" in said


def test_a_trial_is_one_run_of_wandb_in_the_group_of_the_search(tmp_path) -> None:
    logger = wandb(tmp_path / "experiments/exp042/trials/d1")
    tell_trial(logger)
    logger.close()
    ((name, run),) = read_offline(tmp_path).items()
    assert name == "exp042@d1 trial" and (run["group"], run["job_type"]) == ("exp042/search", "trial")
    assert [(point["_step"], point["score/accuracy"]) for point in run["history"]] == [(0, 0.5), (1, 0.75), (2, 0.5), (3, 0.75)]
    assert run["summary"]["score"] == 0.75 and run["exit"] == 0


def test_trials_are_children_of_one_run_of_mlflow(tmp_path) -> None:
    (tmp_path / "competition.yaml").touch()
    for digest in ("d1", "d2"):
        logger = mlflow(tmp_path / "experiments/exp042/trials" / digest)
        tell_trial(logger)
        logger.close()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    stored = read_store(uri)
    assert set(stored) == {"exp042/search", "exp042@d1", "exp042@d2"}
    assert {run.info.status for run in stored.values()} == {"FINISHED"}
    for digest in ("d1", "d2"):
        trial = stored[f"exp042@{digest}"]
        assert trial.data.tags["mlflow.parentRunId"] == stored["exp042/search"].info.run_id
        assert trial.data.metrics["pooled"] == 0.75
        assert read_history(uri, trial, "score/accuracy") == [(0, 0.5), (1, 0.75), (2, 0.5), (3, 0.75)]


def test_what_is_resumed_goes_on_in_its_runs(tmp_path) -> None:
    folder, uri = tmp_path / "experiments/exp042/runs/d1", f"sqlite:///{tmp_path}/other.db"
    for first in range(2):
        for logger in (wandb(folder), mlflow(folder, uri=uri)):
            logger(to_record(FoldStarted("0", 40, 20, resumed_epoch=first)))
            logger(epoch(first))
            logger(to_record(RunStopped("interrupted")))
            logger.close()
    (run,) = read_offline(folder).values()
    assert [point["_step"] for point in run["history"]] == [0, 1] and run["exit"] == 0  # no failure
    assert len(list(folder.rglob("*.wandb"))) == 2
    stored = read_store(uri)
    assert set(stored) == {"exp042@d1", "fold 0"} and {run.info.status for run in stored.values()} == {"KILLED"}
    assert [step for step, _ in read_history(uri, stored["fold 0"], "lr")] == [0, 1]


@pytest.mark.parametrize(("why", "status", "code"), [("out of time", "KILLED", 0), ("the loss is nan", "FAILED", 1)])
def test_hours_that_are_over_are_no_failure(why, status, code, tmp_path) -> None:
    folder, uri = tmp_path / "experiments/exp042/runs/d1", f"sqlite:///{tmp_path}/other.db"
    for logger in (wandb(folder), mlflow(folder, uri=uri)):
        for event in (FoldStarted("0", 40, 20), RunStopped(why)):
            logger(to_record(event))
        logger.close()
    assert {run.info.status for run in read_store(uri).values()} == {status}
    assert [run["exit"] for run in read_offline(folder).values()] == [code]


@pytest.mark.parametrize("uri", ["https://me:secret@tracker.example", "https://secret@tracker.example", "http://a?token=secret"])
def test_a_token_in_a_uri_is_refused_and_not_repeated(uri, tmp_path) -> None:
    with pytest.raises(PluginError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        mlflow(tmp_path, uri=uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("logger", "extra"), [(wandb, "wandb"), (mlflow, "mlflow")])
def test_without_the_package_the_extra_is_named(logger, extra, tmp_path, monkeypatch) -> None:
    real = builtins.__import__

    def refuse(name, *rest):
        if name == extra:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PluginError, match=rf"pip install 'comp-kit\[{extra}\]'"):
        logger(tmp_path)
