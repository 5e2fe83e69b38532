"""Which search a call belongs to, and what of it is left; nothing is trained and no cluster started."""

from __future__ import annotations

import pytest

from comp.errors import WorkspaceError
from comp.trials import claim_trial, write_trial
from comp.tuning.wishes import Wishes, begin_search, count_left, describe_search, describe_trial, list_others, plan_trials

MANIFEST = """\
about: a small network
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 2, batch_size: 16, workers: 0}
search:
  algorithm: ALGORITHM
  trials: 5
  optimizer.lr: {choice: [0.01, 0.02]}
  train.epochs: {int: [2, 4]}
"""


def begin(tiny, algorithm="tpe", manifest=MANIFEST, **wishes):
    tiny.write("exp001", manifest.replace("ALGORITHM", algorithm))
    return begin_search(tiny.project, "exp001", Wishes(**wishes))


def end(opened, drawn, state="done", score=0.5):
    record = claim_trial(opened.search, drawn, opened.space.settle(drawn), "0a1b2c3d")
    write_trial(opened.search.folder, record.__class__(record.trial, drawn, record.values, "0a1b2c3d", state, score))


def test_a_new_search_has_everything_before_it(tiny):
    opened = begin(tiny)
    plan = plan_trials(opened)
    assert (plan.new, plan.ended, plan.points, plan.mode) == (5, [], [], "max")
    assert plan.epochs == 4 and opened.search.folds == ["0"]
    said = describe_search(opened, plan)
    assert (said.trials, said.epochs, said.about) == (5, 4, "a small network")
    assert said.fixed == "all else that exp001 says: csv, 2 folds, seed 42"
    assert said.varied == "optimizer.lr 0.01 | 0.02, train.epochs 2 to 4 (tpe, pruned by asha)"
    assert said.measured == "accuracy on the held-out rows of fold 0 (of 2), higher is better"


def test_epochs_are_counted_over_folds_and_seeds(tiny):
    assert plan_trials(begin(tiny, only=None, sets=("seeds=[0, 1, 2]",))).epochs == 4 * 2 * 3


def test_epochs_of_stages_that_are_varied(tiny):
    stages = "stages: [{name: a, epochs: 2}, {name: b, epochs: 3}]\n"
    text = MANIFEST.replace("train.epochs:", "stages.1.epochs:").replace("epochs: 2, batch", "batch") + stages
    assert plan_trials(begin(tiny, manifest=text)).epochs == 2 + 4


def test_what_has_ended_counts_and_what_was_begun_is_tried_first(tiny):
    opened = begin(tiny)
    first, second = {"optimizer.lr": 0, "train.epochs": 3}, {"optimizer.lr": 1, "train.epochs": 2}
    end(opened, first, "failed", None)
    claim_trial(opened.search, second, opened.space.settle(second))
    plan = plan_trials(begin(tiny, trials=8))
    assert (plan.new, [record.drawn for record in plan.ended], plan.points) == (7, [first], [second])
    assert plan.known == 2
    assert count_left(opened, plan) == 7
    assert plan_trials(begin(tiny, trials=1)).new == 0


def test_a_grid_is_whole_unless_the_call_says_otherwise_and_repeats_nothing(tiny):
    opened = begin(tiny, "grid")
    assert plan_trials(opened).new == 6 and plan_trials(begin(tiny, "grid", trials=4)).new == 4
    # Another algorithm drew them: the values count, not how they were drawn.
    end(opened, {"optimizer.lr": 1, "train.epochs": 3.0})
    begun = {"optimizer.lr": 1, "train.epochs": 4}
    claim_trial(opened.search, begun, opened.space.settle(begun))
    plan = plan_trials(opened)
    assert plan.new == 5 == len(plan.points) and plan.points[0] == begun
    assert {"optimizer.lr": 1, "train.epochs": 3} not in plan.points
    assert plan_trials(begin(tiny, "grid", trials=80)).new == 5


def test_a_trial_is_described_by_its_values_and_the_digest_of_its_run(tiny):
    opened = begin(tiny)
    values, digest = describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 2})
    other = describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 3})[1]
    assert values == {"optimizer.lr": 0.02, "train.epochs": 2} and len(digest) == 8 and digest != other
    tiny.write("exp002", MANIFEST.partition("search:")[0] + "optimizer: {lr: 0.02}\n")
    assert tiny.comp("show", "exp002").code == 0
    run = tiny.run("exp002", only=[0], place="trials")
    assert run.digest == digest


def test_a_manifest_that_is_edited_meanwhile_ends_the_search(tiny):
    opened = begin(tiny)
    tiny.edit("experiments/exp001/manifest.yaml", "a small network", "a tiny network")
    describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 2})
    tiny.edit("experiments/exp001/manifest.yaml", "hidden: 16", "hidden: 17")
    with pytest.raises(WorkspaceError, match="the manifest of exp001 has changed since the search began"):
        describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 2})
    tiny.edit("experiments/exp001/manifest.yaml", "hidden: 17", "hidden: none")
    with pytest.raises(WorkspaceError, match="has changed"):
        describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 2})


def test_a_metric_that_is_edited_meanwhile_ends_the_search(tiny):
    opened = begin(tiny)
    tiny.edit("competition.yaml", "metric: {use: accuracy}", "metric: {use: log_loss}")
    with pytest.raises(WorkspaceError, match="the manifest of exp001 has changed since the search began"):
        describe_trial(opened, {"optimizer.lr": 1, "train.epochs": 2})


def test_the_same_search_whatever_way_it_goes_on(tiny):
    digests = {begin(tiny, "tpe").search.digest, begin(tiny, "random").search.digest, begin(tiny, trials=7).search.digest}
    assert len(digests) == 1
    others = {begin(tiny, only=(1,)).search.digest, begin(tiny, sets=("train.batch_size=8",)).search.digest}
    assert len(digests | others) == 3


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"only": (7,)}, "--only 7: the folds are 0, 1"),
        ({"only": None, "confirm": True}, "none is left to confirm"),
        ({"sets": ("search=null",)}, "has no `search`"),
    ],
    ids=["fold", "confirm", "search"],
)
def test_what_cannot_be_is_said_before_anything_runs(tiny, wishes, words):
    with pytest.raises(WorkspaceError, match=words):
        begin(tiny, **wishes)


def test_the_best_is_confirmed_on_folds_of_the_repeat_that_chose_it(tiny):
    tiny.edit("competition.yaml", "folds: 2, seed", "folds: 3, repeats: 2, seed")
    plan = begin(tiny).plan
    assert plan.run.folds == list("012345")
    assert list_others(plan, ["0"]) == ["1", "2"] and list_others(plan, ["3", "5"]) == ["4"]
    for only in ((0, 1, 2), (0, 3), None):
        with pytest.raises(WorkspaceError, match="none is left to confirm"):
            begin(tiny, only=only, confirm=True)


def test_every_trial_has_the_threads_of_its_cpus(tiny):
    assert begin(tiny).sets == ["train.threads=1"]
    assert begin(tiny, cpu=2.0).sets == ["train.threads=2"] and begin(tiny, cpu=0.5).sets == ["train.threads=1"]
    assert begin(tiny, cpu=4.0, sets=("train.threads=3",)).threads == 3


def test_the_command_that_goes_on():
    assert Wishes().command("exp001") == "comp tune exp001"
    wishes = Wishes(("loss={use: focal}",), 80, None, 2.0, 0.5, "h:6379", True)
    assert wishes.command("exp001") == (
        "comp tune exp001 --set 'loss={use: focal}' --trials 80 --only all --per-trial gpu=0.5,cpu=2 --address h:6379 --confirm"
    )
    assert Wishes(only=(0, 2)).command("exp001") == "comp tune exp001 --only 0,2"
