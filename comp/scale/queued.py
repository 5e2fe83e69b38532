"""Queued: an experiment whose folds wait for a process to train them, run, or have ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from comp.events import Emit, FoldQueued, FoldSkipped, RunStopped
from comp.given import RunResult
from comp.plan import RunPlan
from comp.run import finish_run, report_run
from comp.runs import FULL, fold_folder, read_fold
from comp.train import lock_fold


@dataclass
class Queued:
    """One experiment while its folds are trained.

    Attributes:
        view: who looks at it; tell: all its readers.
        waiting: folds that nobody trains yet, in order; `running`: those that a child of ours does.
        away: fold -> the number of the child that died with it.
        elsewhere: folds of which was said that another process has them.
        lost: what an interruption could not save.
    """

    plan: RunPlan
    view: Emit
    tell: Emit
    waiting: list[str]
    running: set[str] = field(default_factory=set)
    away: dict[str, int] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    failure: Exception | None = None
    outcome: RunResult | Exception | None = None

    @property
    def name(self) -> str:
        return self.plan.manifest.name

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def skip_complete(self) -> None:
        """Leave out what is done, by whomever."""
        for fold in [fold for fold in self.waiting if read_fold(fold_folder(self.plan.run.folder, fold))]:
            self.waiting.remove(fold)
            self.tell(FoldSkipped(fold, "complete"))

    def queue(self) -> None:
        """Show what is about to be trained."""
        for fold in self.waiting:
            self.view(FoldQueued(fold, sum(stage["epochs"] for stage in self.plan.manifest.stages)))

    def find_free(self, child: int, alone: bool) -> str | None:
        """The first fold that this child can train now.

        Args:
            alone: there is no other child, so that what died with this one can only be tried with it.
        """
        self.skip_complete()
        for fold in self.waiting:
            if fold == FULL and (len(self.waiting) > 1 or self.running):  # may need the folds' lengths
                continue
            if self.away.get(fold) == child and not alone:
                continue
            lock = lock_fold(fold_folder(self.plan.run.folder, fold))
            if lock:
                lock.release()  # the child takes it
                return fold
            if fold not in self.elsewhere:
                self.elsewhere.add(fold)
                self.tell(FoldSkipped(fold, "in another process"))
        return None

    def fail(self, error: Exception) -> None:
        """No further fold begins; those that are trained are finished."""
        self.failure = self.failure or error
        self.waiting.clear()

    def conclude(self, elapsed_s: float) -> None:
        """Merge what is done, and report it."""
        if self.failure:
            self.tell(RunStopped(str(self.failure)))
            self.outcome = self.failure
        else:
            self.outcome = finish_run(self.plan, self.tell, elapsed_s)
            report_run(self.plan)
