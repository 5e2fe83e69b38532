"""What Ray Tune's own searchers and pruners make of our space and of earlier trials; no cluster is started."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from comp.errors import CompError
from comp.scale.cluster import SETTINGS
from comp.search import Parameter, Settings, Space
from comp.stopping import Stop
from comp.trials import Search, TrialRecord
from comp.tuning.logbook import Logbook
from comp.tuning.trainable import TrialFailed, TrialStopped, to_drawn
from comp.tuning.tuner import (
    SCORE,
    Plan,
    import_tune,
    list_domains,
    open_callback,
    open_pruner,
    open_searcher,
    open_stopper,
    read_failure,
    tell_pruner,
    tell_searcher,
)

PARAMETERS = (
    Parameter("lr", "loguniform", low=1e-4, high=1.0),
    Parameter("drop", "uniform", low=0.1, high=0.7, step=0.2),
    Parameter("loss", "choice", options=3),
    Parameter("width", "int", low=4, high=6),
    Parameter("batch", "logint", low=1, high=64),
)
LEARNING = ("tpe", "hyperopt")


class Flat(Space):
    @property
    def parameters(self):
        return PARAMETERS


def plan_for(algorithm="tpe", pruner="asha", ended=(), points=(), mode="max", epochs=9, seed=7, begun=0) -> Plan:
    settings = Settings(algorithm=algorithm, pruner=pruner, trials=20, seed=seed, grace=1, reduction=3)
    return Plan(Flat(settings, {}, {}, {}), mode, epochs, len(ended) + begun, list(ended), list(points), 20)


def record(number: int, state="done", score: float | None = 0.5, epochs: int = 9, lr: float = 0.01) -> TrialRecord:
    drawn = {"lr": lr, "drop": 0.3, "loss": 1, "width": 5, "batch": 8}
    curve = [(epoch, score) for epoch in range(1, epochs + 1)] if score is not None else []
    return TrialRecord(f"t{number:04d}", drawn, {}, f"run{number}", state, score, {}, curve, epochs)


@pytest.fixture(scope="module")
def tune():
    return import_tune()


def draw(searcher, names) -> list[dict]:
    return [to_drawn(PARAMETERS, searcher.suggest(name)) for name in names]


@pytest.mark.parametrize("algorithm", LEARNING)
def test_what_is_drawn_lies_in_the_space(tune, algorithm):
    searcher = open_searcher(tune, plan_for(algorithm))
    points = draw(searcher, [f"n{number}" for number in range(40)])
    assert {point["drop"] for point in points} == {0.1, 0.3, 0.5, 0.7}
    assert {point["loss"] for point in points} == {0, 1, 2} and {point["width"] for point in points} == {4, 5, 6}
    assert all(1e-4 <= point["lr"] <= 1 and 1 <= point["batch"] <= 64 for point in points)
    assert all(isinstance(point[name], int) for point in points for name in ("loss", "width", "batch"))
    assert sum(point["lr"] < 1e-2 for point in points) > 10, "it draws on a log scale"


@pytest.mark.parametrize("algorithm", LEARNING)
def test_a_searcher_is_told_of_earlier_trials_and_begins_with_what_was_begun(tune, algorithm):
    begun = {"lr": 0.25, "drop": 0.5, "loss": 2, "width": 4, "batch": 16}
    ended = [record(1, lr=0.03), record(2, "pruned", 0.2, 1, lr=0.9), record(3, "failed", None, 0, lr=0.5)]
    searcher = open_searcher(tune, plan_for(algorithm, ended=ended, points=[begun]))
    tell_searcher(searcher, ended)
    first, *others = draw(searcher, ["a", "b", "c"])
    assert first == pytest.approx(begun)
    assert not {point["lr"] for point in others} & {0.03, 0.9, 0.5, 0.25}


@pytest.mark.parametrize("algorithm", LEARNING)
def test_a_searcher_learns_from_earlier_trials(tune, algorithm):
    """Where trials near 1e-3 were good and those above 0.1 poor, it draws there less often than one that knows nothing."""
    near = [record(number, score=0.9, lr=1e-3 * (1 + number / 50)) for number in range(15)]
    far = [record(20 + number, score=0.1, lr=0.1 + number / 50) for number in range(25)]
    ended = [*near, *far]
    knowing, naive = open_searcher(tune, plan_for(algorithm, ended=ended)), open_searcher(tune, plan_for(algorithm))
    tell_searcher(knowing, ended)
    names = [f"n{number}" for number in range(20)]
    counts = [sum(point["lr"] > 0.05 for point in draw(searcher, names)) for searcher in (knowing, naive)]
    assert counts[0] + 4 <= counts[1]


@pytest.mark.parametrize("algorithm", LEARNING)
def test_later_draws_differ_and_the_same_call_draws_the_same(tune, algorithm):
    ended = [record(1)]
    plans = [plan_for(algorithm), plan_for(algorithm), plan_for(algorithm, ended=ended)]
    first, again, later = (open_searcher(tune, plan) for plan in plans)
    tell_searcher(later, ended)
    assert draw(first, "abc") == draw(again, "abc") != draw(later, "abc")


@pytest.mark.parametrize("algorithm", LEARNING)
def test_what_was_drawn_before_a_kill_is_not_drawn_again(tune, algorithm):
    before = draw(open_searcher(tune, plan_for(algorithm)), "abcd")
    points = before[:2]
    after = draw(open_searcher(tune, plan_for(algorithm, points=points, begun=2)), "abcd")
    assert [point["batch"] for point in after[:2]] == [point["batch"] for point in points]
    assert not {point["lr"] for point in after[2:]} & {point["lr"] for point in before}


def test_at_random_it_begins_with_what_was_begun_too(tune):
    """Tune's generator asks for an experiment, which it is given without a cluster."""
    from ray.tune.experiment import Experiment

    begun = {"lr": 0.25, "drop": 0.5, "loss": 2, "width": 4, "batch": 16}
    found = []
    for plan in (plan_for("random", points=[begun]), plan_for("random", points=[begun], begun=1)):
        searcher = open_searcher(tune, plan)
        searcher.add_configurations([Experiment("e", lambda config: None, config=list_domains(tune, PARAMETERS), num_samples=5)])
        found.append([to_drawn(PARAMETERS, trial.config) for trial in iter(searcher.next_trial, None)])
    for points in found:
        assert len(points) == 5 and points[0] == begun
    assert found[0][1:] != found[1][1:]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_pruner_judges_by_earlier_trials(tune, pruner, mode):
    from ray.tune.experiment import Trial

    good, poor = (0.9, 0.2) if mode == "max" else (0.2, 0.9)
    ended = [record(number, score=good) for number in range(4)]
    decisions = []
    for known in (ended, []):
        plan = plan_for(pruner=pruner, mode=mode, ended=known)
        scheduler = open_pruner(plan)
        tell_pruner(scheduler, known)
        trial = Trial("new", trial_id="new", stub=True)
        scheduler.on_trial_add(None, trial)
        decisions.append(scheduler.on_trial_result(None, trial, {SCORE: poor, "epoch": 1, "training_iteration": 1}))
    assert decisions == ["STOP", "CONTINUE"]


def test_asha_stops_nobody_for_having_come_to_the_end(tune):
    from ray.tune.experiment import Trial

    scheduler, trial = open_pruner(plan_for(epochs=3)), Trial("new", trial_id="new", stub=True)
    scheduler.on_trial_add(None, trial)
    decisions = [scheduler.on_trial_result(None, trial, {SCORE: 0.1 * epoch, "epoch": epoch}) for epoch in (1, 2, 3, 4)]
    assert decisions == ["CONTINUE"] * 4


def test_without_a_pruner_nothing_is_stopped(tune):
    from ray.tune.experiment import Trial

    ended = [record(number, score=0.9) for number in range(4)]
    scheduler = open_pruner(plan_for(pruner="none", ended=ended))
    tell_pruner(scheduler, ended)
    assert scheduler.on_trial_result(None, Trial("new", stub=True), {SCORE: 0.1, "epoch": 1}) == "CONTINUE"


def test_hooks_are_written_down_without_what_they_hold(tune):
    """Tune pickles them with its settings, and a terminal cannot be pickled."""
    with open("/dev/null", "w") as view:
        book = open_book(Path("/dev"), view.write)
        for hook, kind in ((open_callback(tune, book, PARAMETERS), tune.Callback), (open_stopper(tune, book), tune.Stopper)):
            assert isinstance(hook, kind)
            function, args = hook.__reduce__()
            assert function is kind and args == ()


@pytest.mark.parametrize(
    ("error", "is_bug"), [(OSError(28, "No space left on device"), False), (KeyError("fold"), True)], ids=["disk", "bug"]
)
def test_what_goes_wrong_while_it_is_noted_ends_the_search(tune, tmp_path, error, is_bug):
    """Tune itself passes over what a hook raises."""

    def fail(event):
        raise error

    class Trial:
        trial_id, config = "a", {}

    book = open_book(tmp_path, fail)
    notes, stopper = open_callback(tune, book, PARAMETERS), open_stopper(tune, book)
    assert not stopper.stop_all()
    notes.on_trial_start(1, [], Trial())
    assert str(error.args[-1]) in book.broken and book.bug is (error if is_bug else None)
    first = book.broken
    book.emit = print
    notes.on_trial_result(2, [], Trial(), {})
    assert book.broken == first, "the first is the one that is told"
    stopper.stop_all()
    assert book.stop_file.exists(), "trials are told to end"


def open_book(folder, emit) -> Logbook:
    search = Search("exp001", "0a1b2c3d", folder / "search" / "0a1b2c3d", {})
    return Logbook(search, lambda drawn: ({}, "run"), emit, Stop(), folder / "stop")


def test_ray_has_its_settings_before_it_is_imported():
    """In another process: here somebody has imported it."""
    look = "from comp.tuning.tuner import import_tune; import_tune(); from ray._private import ray_constants as ray; "
    command = [sys.executable, "-c", f"{look}print(ray.RAY_DEDUP_LOGS_SKIP_REGEX)"]
    given = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(command, capture_output=True, text=True, env=given, check=True)
    assert done.stdout == SETTINGS["RAY_DEDUP_LOGS_SKIP_REGEX"] + "\n"


def test_why_a_trial_failed(tune, tmp_path):
    from ray.exceptions import RayTaskError

    class Trial:
        pickled_error_file = None

    assert "its process died" in read_failure(Trial())
    wanted = {TrialFailed("the loss is nan"): "the loss is nan", TrialStopped("saved"): None, OSError("no\nway"): "OSError: no"}
    for cause, why in wanted.items():
        path = tmp_path / "error.pkl"
        path.write_bytes(pickle.dumps(RayTaskError("train", "", cause)))
        Trial.pickled_error_file = str(path)
        assert read_failure(Trial()) == why


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(CompError, match=r"needs Ray: pip install 'comp-kit\[ray\]'"):
        import_tune()


def test_parameters_of_a_combination_that_lacks_some(tune):
    lacking = replace(record(1), drawn={"lr": 0.03, "loss": 1})
    for algorithm in LEARNING:
        searcher = open_searcher(tune, plan_for(algorithm, ended=[lacking]))
        tell_searcher(searcher, [lacking])
        assert draw(searcher, "a")
