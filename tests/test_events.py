"""The stream of events and its log."""

from __future__ import annotations

import json
import threading

import pytest

from comp.events import EpochFinished, EventLog, Notice, StepFinished, from_record, read_events, to_record


def make_epoch(loss: float) -> EpochFinished:
    return EpochFinished("0", "train", 3, 10, loss, None, {"accuracy": 0.5}, 0.1, 12.0, 99.0, True, {"label": float("inf")})


def test_a_record_is_plain_json_without_nan():
    record = to_record(make_epoch(float("nan")))
    assert record["event"] == "EpochFinished" and record["train_loss"] is None and record["parts"] == {"label": None}
    assert json.loads(json.dumps(record, allow_nan=False))["scores"] == {"accuracy": 0.5}


EVENTS = [make_epoch(0.5), Notice("first", "warning"), StepFinished("0", "train", 0, 1, 9, 0.1, 5.0)]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_that_went_through_another_process_is_the_same(event):
    record = json.loads(json.dumps(to_record(event)))
    again = from_record(record)
    assert type(again) is type(event) and {**to_record(again), "time": 0} == {**record, "time": 0}


def test_a_log_keeps_events_in_order_and_no_ticks(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    for event in (Notice("first"), StepFinished("0", "train", 0, 1, 9, 0.1, 5.0), make_epoch(1.0)):
        log(event)
    records = list(read_events(tmp_path / "events.jsonl"))
    assert [record["event"] for record in records] == ["Notice", "EpochFinished"]
    assert all(record["format"] == 1 and record["time"] > 0 for record in records)


def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log(Notice("whole"))
    with open(path, "ab") as file:
        file.write(b'{"event": "Not')
    assert [record["text"] for record in read_events(path)] == ["whole"]
    log(Notice("after"))
    assert [record["text"] for record in read_events(path)] == ["whole", "after"]


def test_many_writers_write_whole_lines(tmp_path):
    path = tmp_path / "events.jsonl"

    def write(writer: int) -> None:
        log = EventLog(path)
        for number in range(20):
            log(Notice(f"{writer}:{number} " + "x" * 5000))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [record["text"].split()[0] for record in read_events(path)]
    assert sorted(texts) == sorted(f"{writer}:{number}" for writer in range(4) for number in range(20))


def test_no_file_no_events(tmp_path):
    assert list(read_events(tmp_path / "events.jsonl")) == []
