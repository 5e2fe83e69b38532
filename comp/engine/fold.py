"""A fold: its stages in order, its held-out and test predictions, and the files that it leaves.

A fold's folder holds last.ckpt while it trains; when it is done, the weights (last, and best where that is another epoch),
the raw predictions and fold.json, whose presence says that the fold is complete. What a network answers, and how good that
is, is comp.engine.answers' business.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from comp.engine.answers import Answers, build_views
from comp.engine.checkpoint import Progress, copy_state, save_weights
from comp.engine.clock import OFF, Stopwatch
from comp.engine.context import StageContext
from comp.engine.drawings import draw_reconstructions
from comp.engine.ensembles import fit_ensemble
from comp.engine.features import open_features
from comp.engine.finite import NotFinite
from comp.engine.gather import Gathering
from comp.engine.initial import build_initial
from comp.engine.job import FoldJob, encode_job
from comp.engine.lessons import gather_rows
from comp.engine.predict import fit_head
from comp.engine.ranks import Ranks
from comp.engine.records import list_kept, profile_span, record_epoch
from comp.engine.retreat import Retreat
from comp.engine.samples import watch_stage
from comp.engine.saves import Saves
from comp.engine.sizes import plan_stage_image
from comp.engine.stage import Stage
from comp.engine.tabular import fit_encoder, write_encoder
from comp.errors import PluginError, RunError, RunInterrupted
from comp.events import Emit, FoldFinished, FoldStarted, Notice, StageStarted
from comp.predictions import write_raw
from comp.project import atomic_write
from comp.runs import FORMAT, hash_files
from comp.views import PLAIN

CHECKPOINT_EVERY_S = 10.0


def train_fold(job: FoldJob, fabric: Fabric, emit: Emit) -> dict[str, Any]:
    """Train one fold from where it stands, predict, and write what it leaves. Returns what fold.json holds.

    Raises:
        RunInterrupted: a stop was asked for; the state is saved.
        RunError: the loss is no longer a number, or the device's memory is too small.
    """
    try:
        training = FoldTraining(job, fabric, emit)
        if job.manifest.values["ensemble"] and not training.gathering.gatherer:
            training.fit_together()
        else:
            training.run_stages()
        return training.finish()
    except torch.OutOfMemoryError as error:  # where no smaller batch helps: the weights, or the optimizer's state
        raise RunError(f"fold {job.fold}: the device's memory does not hold the model ({error}); take a smaller one.") from error


class FoldTraining:
    """One fold while it trains."""

    def __init__(self, job: FoldJob, fabric: Fabric, emit: Emit) -> None:
        self.job, self.fabric, self.emit, self.ranks = job, fabric, emit, Ranks(fabric)
        self.values = job.manifest.values
        self.stages = job.manifest.stages
        self.epochs = sum(stage["epochs"] for stage in self.stages)
        self.key = (self.values["seed"], job.fold)
        self.clock = Stopwatch(fabric.device) if job.profile else OFF
        self.encoder = fit_encoder([rows.columns for rows in (job.train, job.held_out, job.test) if rows is not None])
        self.job = job = encode_job(job, self.encoder)
        self.answers = Answers(job, fabric, emit)
        self.network = build_initial(job, self.key, self.encoder.width if self.encoder else 0, fabric, emit)
        self.saves = Saves(job.folder, f"fold {job.fold}", emit)
        self.progress, self.saved = self.saves.load(self.ranks) or (Progress(), None)
        self.retreat = Retreat(self.saved)
        self.best_state: dict[str, torch.Tensor] | None = self.saved["best"] if self.saved else None
        self.gathering = Gathering(job, self.epochs, self.saved)
        self.last_outputs: np.ndarray | None = None
        self.started = time.monotonic() - self.progress.elapsed_s
        emit(FoldStarted(job.fold, len(job.train), len(job.held_out or ()), len(self.progress.history)))

    # -- stages ----------------------------------------------------------------------------------------------------------

    def run_stages(self) -> None:
        for index in range(self.progress.stage, len(self.stages)):
            if self.ended() and not self.saved:
                return
            if index > self.progress.stage:
                self.enter_stage(index)
            self.run_stage(index)

    def run_stage(self, index: int) -> None:
        stage = self.open_stage(index)
        if self.saved:
            stage.restore(self.saved)
            self.saved = None
        samples = watch_stage(self.job.folder, stage)
        self.tell_time("start")
        while not self.is_over(stage):
            self.run_epoch(stage)
        if self.saves.epochs < len(self.progress.history):
            self.save(stage)  # from here on predictions are made, for as long as there are rows: nobody trains this twice
        if self.ranks.leads:
            samples.write()
            shown = self.job.held_out or self.job.train
            draw_reconstructions(stage.predictor, self.fabric, shown, self.job.image.size, self.job.folder)
        if index == len(self.stages) - 1 or self.ended():
            # A fold that goes on after its last epoch predicts from images, which gives other last bits than stored features.
            with self.clock.part("prediction"):
                self.last_outputs = self.gathering.finish(stage, self.answers, None if stage.features else self.last_outputs)
        self.network = stage.predictor

    def fit_together(self) -> None:
        """An ensemble that owns its loop: one stage, trained from its start (a killed fold begins anew, with the same bits)."""
        if self.network.takes_table:
            raise PluginError("the ensemble's members are given images alone; this model takes the table's columns, too")
        stage = self.open_stage(0)
        samples = watch_stage(self.job.folder, stage)
        self.network, passes = fit_ensemble(self.job, self.fabric, stage, self.emit, samples)
        samples.write()
        self.answers.stop = lambda: False  # what is trained by now cannot be saved: the sooner it is whole the better
        self.tell_time("training")
        loss, scores, self.last_outputs = self.answers.validate(self.network)
        self.progress.history = passes.finish(loss, scores)
        self.progress.best_epoch = len(self.progress.history) - 1 if scores else -1

    def enter_stage(self, index: int) -> None:
        """A new stage starts from the weights that were last validated, or from the best so far."""
        self.progress = self.progress.enter_stage(index)
        if self.stages[index]["start"] == "best" and self.best_state is not None:
            self.network.load_state_dict(self.best_state)
        if self.stages[index]["train"]["monitor"] != self.stages[index - 1]["train"]["monitor"]:
            # A loss is no better or worse than a score.
            self.progress.best_score, self.progress.best_epoch, self.best_state = None, -1, None

    def open_stage(self, index: int) -> Stage:
        stage, job = self.stages[index], self.job
        first_epoch = len(self.progress.history) - self.progress.epoch
        image = plan_stage_image(stage["image"], job.image)
        key, catalog = (*self.key, index), job.manifest.catalog
        context = StageContext(catalog, job.task, stage, image, job.fold, key, first_epoch, job.pool, self.emit, job.stop)
        minutes = stage["train"]["checkpoint_minutes"]
        due = partial(self.saves.due, minutes)
        self.context = context = replace(context, due=due, save=self.save, clock=self.clock)
        others = {"held_out": job.held_out, "test": job.test}
        objective = catalog.build("objective", stage["objective"], task=job.task)
        rows = gather_rows(objective, job.train, others, job.task, job.teach, job.fold, self.emit)
        self.ranks.align(self.network)
        opened = Stage(context, self.network, self.fabric, rows)
        opened.features = open_features(opened, job.manifest, job.image.predict_size)
        self.emit(StageStarted(job.fold, stage["name"], stage["epochs"], opened.batches))
        return opened

    def run_epoch(self, stage: Stage) -> None:
        started, before, epoch = time.monotonic(), self.progress.rows, len(self.progress.history)
        self.retreat.keep(stage, self.progress)
        try:
            stage.train_epoch(self.progress)
            trained_s = time.monotonic() - started
            self.finish_epoch(stage, (self.progress.rows - before) / max(trained_s, 1e-9))
            self.tell_time("epoch", epoch, stage.batches)
        except NotFinite as why:
            self.progress = self.retreat.go_back(stage, self.progress, why)
        except RunInterrupted:  # in the validation, too: an epoch without a batch left goes on with that
            self.save(stage)
            raise

    def is_over(self, stage: Stage) -> bool:
        """Whether the stage has had its epochs, or the held-out score has not risen for as long as it may."""
        settings, progress = stage.context.stage, self.progress
        if progress.epoch >= settings["epochs"] or self.ended():
            return True
        patience = settings["train"]["patience"]
        if patience is None or progress.best_epoch < 0:  # `full` holds nothing out, and has its length from the folds
            return False
        if len(progress.history) - 1 - max(progress.best_epoch, stage.context.first_epoch) < patience:
            return False
        what = "score" if settings["train"]["monitor"] == "metric" else "held-out loss"
        self.emit(Notice(f"fold {self.job.fold}: no better {what} in {patience} epochs; stage '{settings['name']}' ends"))
        return True

    def ended(self) -> bool:
        return self.job.stop_after is not None and len(self.progress.history) >= self.job.stop_after

    def finish_epoch(self, stage: Stage, samples_per_s: float) -> None:
        """Validate, tell, remember the best, and save from time to time."""
        progress = self.progress
        with self.clock.part("validation"):
            loss, scores, self.last_outputs = self.answers.validate(stage.predictor, stage.features)
        seen = self.answers.monitor(stage.context.stage["train"]["monitor"], loss, scores)
        better = seen is not None and (progress.best_score is None or seen > progress.best_score)
        if better:
            progress.best_score, progress.best_epoch = seen, len(progress.history)
            with self.clock.part("checkpoint"):
                self.best_state = copy_state(stage.predictor)
        progress.elapsed_s = time.monotonic() - self.started
        record = record_epoch(stage, progress, self.epochs, (loss, scores), bool(better), samples_per_s)
        progress.history.append(list_kept(record))
        stage.scheduler.epoch(progress.epoch, seen)
        self.gathering.add(record.epoch, stage.predictor, self.answers.orient(scores))
        progress.end_epoch()
        self.emit(record)
        if time.monotonic() - self.saves.at > CHECKPOINT_EVERY_S:
            self.save(stage)

    def tell_time(self, span: str, epoch: int = -1, steps: int = 0) -> None:
        if self.clock.on:
            self.emit(profile_span(self.clock, self.context, self.fabric.device.type, span, epoch, steps))

    # -- what is written -------------------------------------------------------------------------------------------------

    def save(self, stage: Stage) -> None:
        if not self.ranks.leads:
            return
        self.progress.elapsed_s = time.monotonic() - self.started
        kept = {"best": self.best_state, "gathered": self.gathering.state(), "retreat": self.retreat.state(self.progress)}
        with self.clock.part("checkpoint"):
            self.saves.save(self.progress, {**stage.states(), **kept})

    def finish(self) -> dict[str, Any]:
        """Write weights, raw predictions and fold.json; last.ckpt goes. {} on ranks that write nothing."""
        job, progress = self.job, self.progress
        select = self.stages[-1]["train"]["select"]
        last_epoch = progress.history[-1]["epoch"]
        has_best = self.best_state is not None and progress.best_epoch != last_epoch
        use_best = select == "best" and has_best
        if has_best:
            self.keep("best.safetensors", self.best_state)
        if use_best:
            self.keep("last.safetensors", copy_state(self.network))
            self.network.load_state_dict(self.best_state)
            self.last_outputs = None
        scores = self.gathering.scores or progress.scores_of(progress.best_epoch if use_best else last_epoch)
        with self.clock.part("prediction"):
            if fit_head(self.network, self.fabric, job.train, self.answers.batch, self.ranks.ask_together(self.answers.stop)):
                _, scores, self.last_outputs = self.answers.validate(self.network)
        self.keep("best.safetensors" if use_best else "last.safetensors", copy_state(self.network))
        with self.clock.part("prediction"):
            self.write_predictions()
        if not self.ranks.leads:
            return {}
        if self.encoder:
            write_encoder(job.folder, self.encoder)
        record = {
            "format": FORMAT,
            "fold": job.fold,
            "select": select,
            "weights": "best.safetensors" if use_best else "last.safetensors",
            "epochs": len(progress.history),
            "best_epoch": progress.best_epoch,
            "scores": scores,
            "scores_best": progress.scores_of(progress.best_epoch),
            "scores_last": progress.scores_of(last_epoch),
            "train_rows": len(job.train),
            "held_out_rows": len(job.held_out or ()),
            "links": dict(self.answers.links),
            "elapsed_s": round(time.monotonic() - self.started, 3),
            **self.gathering.record(),
            "files": hash_files(job.folder),
        }
        atomic_write(job.folder / "fold.json", json.dumps(record, indent=2))
        self.saves.remove()
        if skipped := sum(record.get("skipped", 0) for record in progress.history):
            self.emit(Notice(f"fold {job.fold}: {skipped} updates in all were left out (train.on_nan: skip)", "warning"))
        self.tell_time("end")
        self.emit(FoldFinished(job.fold, scores, progress.best_epoch, record["elapsed_s"]))
        return record

    def keep(self, name: str, state: dict[str, torch.Tensor]) -> None:
        if self.ranks.leads:
            with self.clock.part("checkpoint"):
                save_weights(self.job.folder / name, state)

    def write_predictions(self) -> None:
        job = self.job
        views = build_views(job.manifest, job.image)
        for rows, what in ((job.held_out, "held-out"), (job.test, "test")):
            if rows is None or not len(rows):
                continue
            wanted = {PLAIN: None, **views}
            found: dict[str, np.ndarray] = {}
            if what == "held-out" and self.last_outputs is not None:
                found[PLAIN] = self.last_outputs  # the last validation was of these very weights
                del wanted[PLAIN]
            if wanted:
                found.update(self.answers.predict(self.network, rows, wanted, what))
            path = job.folder / ("oof.parquet" if what == "held-out" else "test.parquet")
            if self.ranks.leads:
                path.unlink(missing_ok=True)  # of a process that was killed in here: these weights may differ from its own
                write_raw(path, job.task, rows.ids, rows.row_ids, found, self.key[0], self.answers.links)
