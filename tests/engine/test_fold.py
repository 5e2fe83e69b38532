"""A fold: the same bits whatever way it came to its end, and what it leaves for whom."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import comp.engine.fold as fold_module
from comp.api import Metric, Target, Task
from comp.engine.checkpoint import load_weights
from comp.engine.fold import FoldTraining, train_fold
from comp.engine.loader import pace
from comp.engine.network import Network
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.stage import Stage
from comp.errors import RunError, RunInterrupted
from comp.events import (
    EpochFinished,
    Event,
    FoldFinished,
    FoldStarted,
    Notice,
    PredictionProgress,
    StageStarted,
)
from comp.predictions import link_outputs, read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Case, Desk, Tale


class Killed(Exception):
    """Stands for a process that ends between two lines."""


def die(of: type, count: int = 1, where: Callable[[Any], bool] = lambda event: True) -> Callable[[Event], None]:
    """Ends everything at the count-th such event."""
    seen = itertools.count(1)

    def at(event: Event) -> None:
        if isinstance(event, of) and where(event) and next(seen) == count:
            raise Killed

    return at


def stop_at(step: int) -> Callable[[], bool]:
    asked = itertools.count(1)
    return lambda: next(asked) == step


def score_by(script: Iterable[float], greater: bool = True) -> dict[str, Metric]:
    """A metric that gives these scores one after another."""
    scores = iter(script)
    return {"label": Metric(lambda targets, predictions: next(scores), greater_is_better=greater)}


# ---- the same bits -------------------------------------------------------------------------------------------------------

RESUMED = [
    ("train.ema=true",),
    ("mix={use: cutmix, p: 0.7}", "train.accumulate=2"),
    ("scheduler={use: torch, name: OneCycleLR}", "optimizer={use: timm, opt: momentum, lr: 0.05, head_lr: null}"),
    ("scheduler={use: timm, sched: plateau}", "optimizer={use: timm, opt: lookahead_adamw}"),
    ("scheduler={use: torch, name: MultiStepLR, milestones: [1]}", "sampler={use: imbalanced}", "train.select=best"),
    ("stages=[{name: head, epochs: 1, freeze: backbone}, {name: all, epochs: 1, freeze: norm, start: best}]",),
]


@pytest.mark.parametrize("sets", RESUMED, ids=lambda sets: sets[0][:40])
@pytest.mark.parametrize("step", [2, 8])
def test_stopped_within_an_epoch_and_resumed_it_ends_with_the_same_bits(desk: Desk, sets, step) -> None:
    case = desk.case(*sets)
    whole, record = case.train()
    stopped = case.job(stop=stop_at(step if "train.accumulate=2" not in sets else step // 2))
    with pytest.raises(RunInterrupted):
        case.train(stopped)
    left = {path.name for path in stopped.folder.iterdir()}
    assert left - {"samples.json", "last.ckpt.1"} == {"last.ckpt"}  # the others of a stage that is done
    again, second = case.train(replace(stopped, stop=lambda: False))
    assert case.files(whole) == case.files(again)
    assert {"last.safetensors", "oof.parquet", "test.parquet"} <= case.files(again).keys()
    assert timeless(record) == timeless(second)
    assert not (again / "last.ckpt").exists()


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A fold's record without its time, and without the pictures of the first batches that its last process saw."""
    files = {name: sha256 for name, sha256 in record["files"].items() if name != "samples.json"}
    return {key: value for key, value in record.items() if key != "elapsed_s"} | {"files": files}


def stop_in(tale: Tale, of: type, count: int, what: str = "") -> Callable[[], bool]:
    """A stop that is asked for at the count-th such event (of predictions of `what`)."""
    seen, asked = itertools.count(1), []

    def at(event: Event) -> None:
        if isinstance(event, of) and getattr(event, "what", "") == what and next(seen) == count:
            asked.append(event)

    tale.at = at
    return lambda: bool(asked)


@pytest.mark.parametrize(
    ("what", "count", "epochs"),
    [("held-out", 2, 0), ("held-out", 4, 1), ("held-out", 7, 2), ("test", 2, 2)],
    ids=["first validation", "last validation", "another view", "test rows"],
)
@pytest.mark.parametrize("sets", [("train.ema=true",), ("train.select=best", "mix={use: cutmix}"), ("ensemble={use: swa}",)])
def test_stopped_within_a_prediction_it_goes_on_there_with_the_same_bits(
    desk: Desk, monkeypatch, sets, what, count, epochs
) -> None:
    case = desk.case(*sets, "train.batch_size=4", "tta=[{use: hflip}]")  # so that each prediction is of three batches
    whole, record = case.train()
    batches, train_batch = [], Stage.train_batch
    monkeypatch.setattr(Stage, "train_batch", lambda *given: (batches.append(given[-1].batch), train_batch(*given))[1])
    first, tale = desk.tale(), desk.tale()
    stopped = case.job(stop=stop_in(first, PredictionProgress, count, what))
    with pytest.raises(RunInterrupted):
        case.train(stopped, first)
    assert (stopped.folder / "last.ckpt").exists() and not (stopped.folder / "fold.json").exists()
    again, second = case.train(replace(stopped, stop=lambda: False), tale)
    assert [event.epoch for event in (*first.of(EpochFinished), *tale.of(EpochFinished))] == [0, 1]
    assert len(first.of(EpochFinished)) == epochs
    assert batches == [*range(20), *range(20)]  # none twice
    assert case.files(whole) == case.files(again) and timeless(record) == timeless(second)


def test_killed_and_run_again_it_ends_with_the_same_bits(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case = desk.case("train.ema=true", "train.epochs=3")
    whole, _ = case.train()
    job, tale = case.job(), desk.tale()
    case.rows, case.test, case.image  # so that the child has them

    def kill() -> None:
        seen = itertools.count(1)

        def at(event: Event) -> None:
            if isinstance(event, EpochFinished) and next(seen) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        case.train(job, desk.tale(at))

    child = multiprocessing.get_context("fork").Process(target=kill)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert (job.folder / "last.ckpt").exists() and not (job.folder / "fold.json").exists()
    case.train(job, tale)
    assert tale.of(FoldStarted)[0].resumed_epoch == 1 and [event.epoch for event in tale.of(EpochFinished)] == [1, 2]
    assert case.files(whole) == case.files(job.folder)


@pytest.mark.parametrize("what", ["held-out", "test"])
def test_killed_while_it_writes_it_ends_with_the_same_bits(desk: Desk, monkeypatch, what) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case = desk.case("tta=[{use: hflip}]")
    whole, _ = case.train()
    job = case.job()
    with pytest.raises(Killed):
        # The held-out rows' plain view is the last validation's: the third is the first of another view.
        case.train(job, desk.tale(die(PredictionProgress, 3 if what == "held-out" else 1, lambda event: event.what == what)))
    assert (job.folder / "last.ckpt").exists() and not (job.folder / "fold.json").exists()
    case.train(job)
    assert case.files(whole) == case.files(job.folder)


def test_what_a_killed_process_left_half_written_is_not_kept(desk: Desk) -> None:
    case = desk.case()
    other, _ = case.train(case.job("1"))
    job = case.job()
    (job.folder / "test.parquet").write_bytes((other / "test.parquet").read_bytes())
    case.train(job)
    assert case.files(job.folder) == case.files(case.train()[0])


def test_folds_alone_or_in_order_give_the_same_bits(desk: Desk) -> None:
    case = desk.case("mix={use: mixup}", "train.ema=true")
    case.train(case.job("0"))
    second, _ = case.train(case.job("1"))
    alone = desk.case("mix={use: mixup}", "train.ema=true")
    torch.rand(3)
    np.random.rand(3)
    assert case.files(second) == alone.files(alone.train(alone.job("1"))[0])
    assert case.files(second)["test.parquet"] != case.files(case.train(case.job("0"))[0])["test.parquet"]


def test_loader_workers_change_no_bit_and_live_from_stage_to_stage_and_fold_to_fold(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(pace, "WORTH_S", 0.0)
    monkeypatch.setattr(pace, "DOMINATES", 0.0)
    case, living = desk.case("stages=[{name: one, epochs: 2}, {name: two, epochs: 2}]"), []
    folds = {fold: case.files(case.train(case.job(fold, workers=0))[0]) for fold in ("0", "1")}
    for workers in (2, "auto"):
        pool = desk.pool(workers)
        tale = desk.tale(lambda event, pool=pool: living.append(tuple(pool.pids())))
        for fold, wanted in folds.items():
            assert case.files(case.train(case.job(fold, pool=pool), tale)[0]) == wanted
        seen = {pids for pids in living if pids}
        assert len(seen) == 1 and len(seen.pop()) == (2 if workers == 2 else 1)
        living.clear()
    said = [event.text for event in tale.of(Notice)]
    assert len(said) == 2 and all(text.startswith("loader: 1 worker (a batch takes ") for text in said)  # of each stage


def test_another_seed_gives_other_bits(desk: Desk) -> None:
    case, other = desk.case(), desk.case("seed=43")
    assert case.files(case.train()[0])["last.safetensors"] != other.files(other.train()[0])["last.safetensors"]


# ---- which weights -------------------------------------------------------------------------------------------------------


def predict_with(case: Case, weights: dict[str, torch.Tensor]) -> np.ndarray:
    network = case.network()
    network.load_state_dict(weights)
    job = case.job()
    views = predict_views(network, case.fabric, job.held_out, {"plain": None}, PredictBatch(32, case.image.predict_size))
    return views["plain"]


@pytest.mark.parametrize(("select", "file"), [("best", "best.safetensors"), ("last", "last.safetensors")])
def test_the_selected_weights_are_those_saved_scored_and_predicting(desk: Desk, select, file) -> None:
    case = desk.case(f"train.select={select}", "train.epochs=3")
    folder, record = case.train(case.job(metrics=score_by([0.2, 0.7, 0.7])))
    assert (record["select"], record["weights"], record["epochs"], record["best_epoch"]) == (select, file, 3, 1)
    assert record["scores_best"] == {"accuracy": 0.7} == record["scores_last"] == record["scores"]
    best, last = (load_weights(folder / name) for name in ("best.safetensors", "last.safetensors"))
    assert not torch.equal(best["head.1.weight"], last["head.1.weight"])
    expected = predict_with(case, best if select == "best" else last)
    assert np.array_equal(read_raw(folder / "oof.parquet").outputs, expected)


def test_the_scores_are_those_of_the_selected_epoch(desk: Desk) -> None:
    records = {}
    for select in ("best", "last"):
        case, tale = desk.case(f"train.select={select}", "train.epochs=3"), desk.tale()
        _, records[select] = case.train(case.job(metrics=score_by([0.3, 0.1, 0.2], greater=False)), tale)
        assert [event.best for event in tale.of(EpochFinished)] == [True, True, False]
        assert tale.of(FoldFinished)[0].scores == records[select]["scores"]
    assert records["best"]["scores"] == {"accuracy": 0.1} and records["last"]["scores"] == {"accuracy": 0.2}
    assert records["last"]["scores_best"] == {"accuracy": 0.1} and records["best"]["scores_last"] == {"accuracy": 0.2}


def test_where_the_best_epoch_is_the_last_there_is_one_file(desk: Desk) -> None:
    case = desk.case("train.select=best")
    folder, record = case.train(case.job(metrics=score_by([0.2, 0.7])))
    assert record["weights"] == "last.safetensors" and not (folder / "best.safetensors").exists()


def test_the_averaged_weights_are_those_validated_saved_and_predicting(desk: Desk) -> None:
    case, tale = desk.case("train.ema=true"), desk.tale()
    training = FoldTraining(case.job(), case.fabric, tale)
    raw = training.network
    training.run_stages()
    assert training.network is not raw
    record = training.finish()
    saved = load_weights(training.job.folder / "last.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in training.network.state_dict().items())
    assert not torch.equal(raw.state_dict()["head.1.weight"], saved["head.1.weight"])
    outputs = read_raw(training.job.folder / "oof.parquet").outputs
    assert np.array_equal(outputs, predict_with(case, saved))
    right = (outputs.argmax(axis=1) == training.job.held_out.targets["label"]).mean()
    assert record["scores"] == {"accuracy": right} == tale.of(EpochFinished)[-1].scores


# ---- stages and early stopping -------------------------------------------------------------------------------------------


def test_patience_ends_a_fold_and_says_so(desk: Desk) -> None:
    case, tale = desk.case("train.epochs=9", "train.patience=2"), desk.tale()
    _, record = case.train(case.job(metrics=score_by([0.5, 0.7, 0.7, 0.6, 0.9])), tale)
    assert (record["epochs"], record["best_epoch"], record["select"], record["weights"]) == (4, 1, "best", "best.safetensors")
    assert "no better score in 2 epochs; stage 'train' ends" in tale.of(Notice)[-1].text


def test_each_stage_has_its_own_patience(desk: Desk) -> None:
    stages = "stages=[{name: one, epochs: 5}, {name: two, epochs: 5}]"
    case, tale = desk.case("train.patience=1", stages), desk.tale()
    # The first ends after 2 of its 5 epochs; the second after 3: its own first epoch is no reason to stop.
    _, record = case.train(case.job(metrics=score_by([0.5, 0.4, 0.3, 0.6, 0.6])), tale)
    assert [(event.epoch, event.stage) for event in tale.of(EpochFinished)] == [
        (0, "one"), (1, "one"), (2, "two"), (3, "two"), (4, "two"),
    ]  # fmt: skip
    assert record["best_epoch"] == 3


def test_killed_between_two_stages_an_ended_stage_stays_ended(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case = desk.case("train.patience=1", "stages=[{name: one, epochs: 5}, {name: two, epochs: 1}]")
    job, tale = case.job(metrics=score_by([0.5, 0.4, 0.3])), desk.tale()
    with pytest.raises(Killed):
        case.train(job, desk.tale(die(StageStarted, 2)))
    _, record = case.train(job, tale)
    assert record["epochs"] == 3 and [event.stage for event in tale.of(EpochFinished)] == ["two"]


@pytest.mark.parametrize("start", ["best", "last"])
def test_a_stage_starts_from_the_best_or_the_last_weights(desk: Desk, start) -> None:
    case = desk.case(f"stages=[{{name: one, epochs: 3}}, {{name: two, epochs: 1, start: {start}}}]")
    training = FoldTraining(case.job(metrics=score_by([0.1, 0.9, 0.2, 0.3])), case.fabric, desk.tale())
    training.run_stage(0)
    last = {name: value.clone() for name, value in training.network.state_dict().items()}
    training.enter_stage(1)
    wanted, other = (training.best_state, last) if start == "best" else (last, training.best_state)
    found = training.network.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert not torch.equal(found["head.1.weight"], other["head.1.weight"])
    assert (training.progress.stage, training.progress.epoch, len(training.progress.history)) == (1, 0, 3)


def test_progressive_sizes_train_small_and_predict_large(desk: Desk, monkeypatch) -> None:
    sizes: list[tuple[bool, int]] = []
    prepare = Network.prepare

    def note(self: Network, images: torch.Tensor) -> torch.Tensor:
        sizes.append((self.training, images.shape[1]))
        return prepare(self, images)

    monkeypatch.setattr(Network, "prepare", note)
    stages = "stages=[{name: small, epochs: 1, image: {size: 8}}, {name: large, epochs: 1, image: {size: 12}}]"
    case = desk.case(stages, "image.predict_size=20")
    case.train()
    assert [key for key, _ in itertools.groupby(sizes)] == [(True, 8), (False, 20), (True, 12), (False, 20)]


# ---- tasks ---------------------------------------------------------------------------------------------------------------


def test_several_targets_are_scored_each_and_by_their_mean(desk: Desk) -> None:
    task = Task((Target("digit", "multiclass", tuple("0123456789"), ("digit",)), Target("odd", "binary", ("0", "1"), ("odd",))))
    case = desk.case("head={use: multitarget}", answers=(task, lambda digits: {"digit": digits, "odd": digits % 2}))
    tale = desk.tale()
    folder, record = case.train(tale=tale)
    last = tale.of(EpochFinished)[-1]
    assert set(last.scores) == {"accuracy", "accuracy.digit", "accuracy.odd"} and last.scores == record["scores"]
    assert last.scores["accuracy"] == pytest.approx((last.scores["accuracy.digit"] + last.scores["accuracy.odd"]) / 2)
    assert set(last.parts) == {"digit", "odd"} and last.train_loss == pytest.approx(sum(last.parts.values()) / 2)
    assert read_raw(folder / "test.parquet").outputs.shape == (20, 12)


def test_labels_and_numbers_are_trained_too(desk: Desk) -> None:
    task = Task((Target("tags", "multilabel", ("even", "high"), ("tags",), " "), Target("size", "regression", (), ("size",))))

    def answer(digits: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "tags": np.stack([digits % 2 == 0, digits > 4], axis=1).astype(np.float32),
            "size": digits.astype(np.float32),
        }

    case = desk.case("head={use: multilabel}", answers=(task, answer))
    losses = {"tags": {"use": "bce", "pos_weight": "balanced", "smoothing": 0.0}, "size": {"use": "mse"}}
    stage = {**case.manifest.stages[0], "loss": losses}
    case = replace(case, manifest=replace(case.manifest, stages=[stage]))
    errors = Metric(lambda targets, predictions: float(np.abs(targets - predictions).mean()), greater_is_better=False)
    job = case.job(metrics={"tags": errors, "size": errors})
    folder, record = case.train(job)
    raw = read_raw(folder / "oof.parquet")
    assert record["links"] == raw.links == {"tags": "sigmoid", "size": "identity"}
    held_out = job.held_out
    linked = link_outputs(raw.outputs, task, raw.links)
    tags = np.abs(linked[:, :2] - held_out.targets["tags"]).mean()
    size = np.abs(linked[:, 2] - held_out.targets["size"]).mean()
    assert record["scores"] == pytest.approx({"accuracy": (tags + size) / 2, "accuracy.tags": tags, "accuracy.size": size})
    assert 0.3 < tags < 0.7, "from the labels' frequencies on"


def test_a_loss_of_one_against_the_rest_is_stored_and_scored_with_its_link(desk: Desk) -> None:
    case = desk.case("loss={use: bce}")
    folder, record = case.train()
    assert record["links"] == read_raw(folder / "oof.parquet").links == {"label": "sigmoid"}


# ---- the whole training set ----------------------------------------------------------------------------------------------


def test_full_trains_on_everything_for_as_long_as_it_is_told(desk: Desk) -> None:
    case, tale = desk.case("train.epochs=4", "train.select=best"), desk.tale()
    folder, record = case.train(case.job("full", stop_after=3), tale)
    assert (record["epochs"], record["train_rows"], record["held_out_rows"]) == (3, 100, 0)
    assert record["weights"] == "last.safetensors" and record["best_epoch"] == -1 and record["scores"] == {}
    assert sorted(case.files(folder)) == ["last.safetensors", "test.parquet"]
    assert tale.of(EpochFinished)[-1].held_out_loss is None and tale.of(EpochFinished)[-1].epochs == 4


def test_full_killed_after_its_last_epoch_keeps_what_it_learnt(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    case = desk.case("train.epochs=4")
    whole, _ = case.train(case.job("full", stop_after=2))
    job = case.job("full", stop_after=2)
    with pytest.raises(Killed):
        case.train(job, desk.tale(die(PredictionProgress)))
    case.train(job)
    assert case.files(whole) == case.files(job.folder)


def test_without_a_test_set_there_are_no_test_predictions(desk: Desk) -> None:
    case = desk.case("train.epochs=1")
    folder, _ = case.train(case.job(test=None))
    assert sorted(case.files(folder)) == ["last.safetensors", "oof.parquet"]


# ---- what is left --------------------------------------------------------------------------------------------------------


def test_predictions_bear_ids_views_and_links(desk: Desk) -> None:
    case = desk.case("tta=[{use: hflip}]", "seed=7")
    job = case.job("1")
    folder, _ = case.train(job)
    raw = read_raw(folder / "oof.parquet")
    ids = job.held_out.ids.tolist()
    assert raw.ids.tolist() == [*ids, *ids] and raw.views.tolist() == ["plain"] * 20 + ["hflip"] * 20
    assert set(raw.seeds) == {7} and raw.task == case.task and raw.links == {"label": "softmax"}
    assert not np.array_equal(raw.outputs[:20], raw.outputs[20:])
    assert len(read_raw(folder / "test.parquet").ids) == 40


def test_a_model_that_does_not_fit_the_memory_is_an_error(desk: Desk, monkeypatch) -> None:
    case = desk.case()

    def step(self, closure=None):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(RunError, match="fold 0: the device's memory does not hold the model .*2.00 GiB"):
        train_fold(case.job(), case.fabric, desk.tale())


def test_fold_json_is_the_last_thing_written(desk: Desk) -> None:
    case = desk.case()
    job = case.job()
    with pytest.raises(Killed):
        case.train(job, desk.tale(die(FoldFinished)))
    assert json.loads((job.folder / "fold.json").read_text())["fold"] == "0" and not (job.folder / "last.ckpt").exists()


def test_patience_does_not_end_a_fold_that_holds_nothing_out(desk: Desk) -> None:
    case = desk.case("train.epochs=5", "train.patience=1")
    _, record = case.train(case.job("full", stop_after=4))
    assert record["epochs"] == 4
