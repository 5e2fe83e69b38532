"""Tuner: Ray Tune as a search uses it: the space as its searchers have it, what they hear of earlier trials, and its hooks.

Tune decides what is tried, where, and what is pruned. What becomes of the trials is noted in a Logbook; Tune's own files are
scratch: a search goes on from our records, which its searchers and pruners are told anew.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comp.errors import CompError
from comp.scale.cluster import import_ray
from comp.search import Parameter, Space
from comp.trials import TrialRecord
from comp.tuning.logbook import Logbook
from comp.tuning.trainable import TrialFailed, TrialOrder, TrialStopped, run_trial, to_drawn, to_point

SCORE, EPOCH = "score", "epoch"

DRIVER = {
    "RAY_AIR_NEW_OUTPUT": "0",  # which prints a table even where it is told to be silent
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is comp's: trials save first
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
WORKER = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # A pruned trial's thread ends where it waits in tune.report; its process then takes the next trial, with torch imported.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
}
"""What Tune reads from the environment, in the driver's process and in the trials'."""


@dataclass(frozen=True)
class Share:
    """Of the cluster, for one trial."""

    cpu: float
    gpu: float


@dataclass(frozen=True)
class Plan:
    """What a search is to do now.

    Attributes:
        space: its settings say how.
        mode: max | min: of the score.
        epochs: the most that a trial trains, over its folds.
        known: how many trials there are, those that have not ended among them.
        ended: trials of earlier calls, in the order in which they began.
        points: to be tried first; of a grid all that are left.
        new: how many trials are to be started, those of `points` among them.
    """

    space: Space
    mode: str
    epochs: int
    known: int
    ended: Sequence[TrialRecord]
    points: Sequence[dict[str, int | float]]
    new: int


def import_tune() -> Any:
    """Raises: CompError: what the search needs is not installed."""
    os.environ.update(DRIVER)
    import_ray()
    try:
        import hyperopt  # noqa: F401
        import optuna  # noqa: F401
        from ray import tune
    except ImportError as error:
        raise CompError(f"a search needs Ray: pip install 'comp-kit[ray]' ({error})") from error
    return tune


def fit(plan: Plan, order: TrialOrder, share: Share, logbook: Logbook, scratch: Path) -> None:
    """Run the trials until all have ended or the logbook says that it is over. Ray is connected."""
    tune = import_tune()
    parameters = plan.space.parameters
    with be_silent():
        searcher = open_searcher(tune, plan)
        pruner = open_pruner(plan)
        tell_searcher(searcher, plan.ended)
        tell_pruner(pruner, plan.ended)
        drawn_by_tune = plan.space.settings.algorithm in ("random", "grid")
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(run_trial, order=order), {"cpu": share.cpu, "gpu": share.gpu}),
            param_space=list_domains(tune, parameters) if drawn_by_tune else {},
            tune_config=tune.TuneConfig(search_alg=searcher, scheduler=pruner, num_samples=plan.new, reuse_actors=True),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                callbacks=[open_callback(tune, logbook, parameters)],
                stop=open_stopper(tune, logbook),
                verbose=0,
            ),
        )
        tuner.fit()
    logbook.close()


@contextmanager
def be_silent() -> Iterator[None]:
    """Nothing of Ray's or Optuna's on the terminal: a failed trial is told by us, with its reason."""
    import optuna

    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    verbosity = optuna.logging.get_verbosity()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        optuna.logging.set_verbosity(verbosity)


# ---- the space -----------------------------------------------------------------------------------------------------------


def list_domains(tune: Any, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Name -> Tune's domain. All are drawn, whatever they depend on: what has no place in a trial is passed over."""
    return {parameter.name: make_domain(tune, parameter) for parameter in parameters}


def make_domain(tune: Any, parameter: Parameter) -> Any:
    low, high = parameter.low, parameter.high
    if parameter.kind == "choice":
        return tune.choice(list(range(parameter.options)))
    if parameter.step is not None:
        # Tune's own steps count from 0, not from the least value.
        return tune.randint(0, math.floor((high - low) / parameter.step + 1e-9) + 1)
    match parameter.kind:
        case "uniform":
            return tune.uniform(low, high)
        case "loguniform":
            return tune.loguniform(low, high)
        case "int":
            return tune.randint(int(low), int(high) + 1)
    return tune.lograndint(int(low), int(high) + 1)


# ---- searchers and pruners -----------------------------------------------------------------------------------------------


def open_searcher(tune: Any, plan: Plan) -> Any:
    """Tune's searcher, which will first suggest the trials that were there before, then `points`."""
    settings, parameters = plan.space.settings, plan.space.parameters
    seed = settings.seed + plan.known  # what is drawn now differs from what was drawn before
    points = [to_point(parameters, point) for point in plan.points]
    if settings.algorithm in ("random", "grid"):
        from ray.tune.search.basic_variant import BasicVariantGenerator

        return BasicVariantGenerator(points_to_evaluate=points, random_state=seed)
    points = [*(to_point(parameters, record.drawn) for record in plan.ended), *points]
    if settings.algorithm == "tpe":
        from ray.tune.search.optuna import OptunaSearch

        searcher = OptunaSearch(metric=SCORE, mode=plan.mode, seed=seed, points_to_evaluate=points)
    else:
        from ray.tune.search.hyperopt import HyperOptSearch

        searcher = HyperOptSearch(metric=SCORE, mode=plan.mode, random_state_seed=seed, points_to_evaluate=points or None)
    searcher.set_search_properties(None, None, list_domains(tune, parameters))
    return searcher


def open_pruner(plan: Plan) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule

    settings = plan.space.settings
    if settings.pruner == "asha":
        longest = max(plan.epochs, settings.grace)
        rungs = {"max_t": longest, "grace_period": settings.grace, "reduction_factor": settings.reduction}
        # Whoever comes to the last rung has still to predict and to be written down: it is not stopped there.
        pruner = ASHAScheduler(time_attr=EPOCH, stop_last_trials=False, **rungs)
    elif settings.pruner == "median":
        # It would pause a trial until others have come as far, which costs it what is not in its checkpoint.
        pruner = MedianStoppingRule(time_attr=EPOCH, grace_period=settings.grace, min_time_slice=math.inf)
    else:
        return FIFOScheduler()
    pruner.set_search_properties(SCORE, plan.mode)
    return pruner


def tell_searcher(searcher: Any, ended: Sequence[TrialRecord]) -> None:
    """Let it suggest each earlier trial, and hear what came of it."""
    if not hasattr(searcher, "suggest"):
        return  # it learns nothing from results
    for record in ended:
        searcher.suggest(record.trial)
        results = list_results(record)
        for result in results[:-1]:
            searcher.on_trial_result(record.trial, result)
        failed = record.state == "failed"
        searcher.on_trial_complete(record.trial, results[-1] if results and not failed else None, error=failed)


def tell_pruner(pruner: Any, ended: Sequence[TrialRecord]) -> None:
    """Let it see the scores of earlier trials by which it judges new ones."""
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import MedianStoppingRule

    # As running trials they would be judged again; the median rule takes nothing more of one that it would have stopped.
    tell = pruner.on_trial_complete if isinstance(pruner, MedianStoppingRule) else pruner.on_trial_result
    for record in ended:
        trial = Trial("earlier", trial_id=record.trial, stub=True)
        pruner.on_trial_add(None, trial)
        for result in list_results(record):
            tell(None, trial, result)


def list_results(record: TrialRecord) -> list[dict[str, Any]]:
    """A trial's curve as Tune passes it on."""
    return [{SCORE: score, EPOCH: epoch, "training_iteration": i + 1} for i, (epoch, score) in enumerate(record.curve)]


# ---- hooks ---------------------------------------------------------------------------------------------------------------

# Tune writes its settings down, hooks among them, for a way to go on that we do not take: what it finds there is a bare one.


def open_stopper(tune: Any, logbook: Logbook) -> Any:
    class Stopper(tune.Stopper):
        def __reduce__(self) -> tuple[Any, tuple]:
            return tune.Stopper, ()

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        @logbook.guard()
        def stop_all(self) -> bool:
            return logbook.is_over()

    return Stopper()


def open_callback(tune: Any, logbook: Logbook, parameters: Sequence[Parameter]) -> Any:
    class Notes(tune.Callback):
        """Has what Tune sees noted in the logbook."""

        def __reduce__(self) -> tuple[Any, tuple]:
            return tune.Callback, ()

        @logbook.guard()
        def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            logbook.start(trial.trial_id, to_drawn(parameters, trial.config))

        @logbook.guard()
        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
            logbook.report(trial.trial_id, result[EPOCH], result[SCORE], result["elapsed_s"])
            logbook.warn(result["warnings"])

        @logbook.guard()
        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            last = trial.last_result or {}
            # A trial that was not told to end says itself how it ended.
            logbook.end(trial.trial_id, last.get("ended", "pruned"), last.get("per_fold"))

        @logbook.guard()
        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            why = read_failure(trial)
            if why is None:
                logbook.interrupt(trial.trial_id)
            else:
                logbook.end(trial.trial_id, "failed", why=why)

    return Notes()


def read_failure(trial: Any) -> str | None:
    """Why a trial failed; None: it did not, but ended because it was told to."""
    from ray.exceptions import RayActorError

    path = Path(trial.pickled_error_file or "")
    error = pickle.loads(path.read_bytes()) if path.is_file() else None
    cause = getattr(error, "cause", error)
    if isinstance(cause, TrialStopped):
        return None
    if isinstance(cause, TrialFailed):
        return str(cause)
    if cause is None or isinstance(cause, RayActorError):
        return "its process died; it may have needed more memory than there is"
    return f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '')}"
