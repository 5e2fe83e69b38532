"""comp.search: the space of a manifest, points of it, and what it refuses before the first trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comp.errors import ManifestError, WorkspaceError
from comp.manifest import load_manifest, load_resolved
from comp.search import Parameter, Settings, Space, check_space, describe, open_space, to_sets

if TYPE_CHECKING:
    from tests.conftest import Sheets, Tiny

TEXT = """\
augment: [{use: A.HorizontalFlip, p: 0.5}]
optimizer: {head_lr: 0.25}
search:
  trials: 7
  optimizer.lr: {loguniform: [1e-5, 1e-2]}
  train.batch_size: {choice: [8, 16, 32]}
  loss:
    choice:
      - {use: focal, gamma: {uniform: [1, 3], step: 0.5}}
      - {use: ldam, max_m: 0.5}
  train.epochs: {int: [3, 9], step: 3}
  augment.0.p: {uniform: [0, 1]}
  optimizer.weight_decay: {formula: 0.1 * optimizer.lr + optimizer.head_lr}
"""


def list_faults(sheets: Sheets, text: str, *sets: str) -> list[str]:
    sheets.write("exp001", text)
    with pytest.raises(ManifestError) as caught:
        check_space(sheets.project, "exp001", sets)
    return [str(fault).replace("experiments/exp001/manifest.yaml:", "").replace("  ", " ") for fault in caught.value.faults]


# ---- the space -----------------------------------------------------------------------------------------------------------


def test_the_space_is_flat(sheets: Sheets) -> None:
    space = open_space(sheets.load(TEXT))
    assert space.settings == Settings("tpe", "asha", trials=7, seed=42, grace=1, reduction=3)
    assert space.parameters == (
        Parameter("optimizer.lr", "loguniform", low=1e-5, high=1e-2),
        Parameter("train.batch_size", "choice", 3),
        Parameter("loss", "choice", 2),
        Parameter("loss.0.gamma", "uniform", low=1.0, high=3.0, step=0.5, condition=("loss", 0)),
        Parameter("train.epochs", "int", low=3, high=9, step=3),
        Parameter("augment.0.p", "uniform", low=0.0, high=1.0),
    )
    assert describe(space) == (
        "optimizer.lr 1e-05 to 0.01 (log), train.batch_size 8 | 16 | 32, loss focal (gamma 1 to 3 by 0.5) | ldam (max_m 0.5), "
        "train.epochs 3 to 9 by 3, augment.0.p 0 to 1, optimizer.weight_decay = 0.1 * optimizer.lr + optimizer.head_lr"
    )


def test_the_seed_is_the_manifests_unless_it_is_stated(sheets: Sheets) -> None:
    assert open_space(sheets.load(TEXT, "seed=7")).settings.seed == 7
    assert open_space(sheets.load(TEXT, "seeds=[5, 6]")).settings.seed == 5
    assert open_space(sheets.load(TEXT, "seed=7", "search.seed=8")).settings.seed == 8


def test_the_seed_itself_may_be_varied(sheets: Sheets) -> None:
    space = open_space(sheets.load("seed: 3\nsearch: {seed: {choice: [1, 2]}}"))
    assert ([parameter.name for parameter in space.parameters], space.settings.seed) == (["seed"], 3)
    check_space(sheets.project, "exp001", ())


def test_a_choice_inside_an_option(sheets: Sheets) -> None:
    space = open_space(sheets.load("search: {mix: {choice: [null, {use: cutmix, alpha: {choice: [1, {uniform: [2, 3]}]}}]}}"))
    assert [(parameter.name, parameter.condition) for parameter in space.parameters] == [
        ("mix", None), ("mix.1.alpha", ("mix", 1)), ("mix.1.alpha.1", ("mix.1.alpha", 1)),
    ]  # fmt: skip
    assert space.settle({"mix": 1, "mix.1.alpha": 1, "mix.1.alpha.1": 2.5}) == {"mix": {"use": "cutmix", "alpha": 2.5}}
    assert space.settle({"mix": 0, "mix.1.alpha": 1}) == {"mix": None}


def test_a_point_settles_and_lays_over_the_manifest_exactly(sheets: Sheets) -> None:
    manifest = sheets.load(TEXT)
    drawn = {
        "optimizer.lr": 1e-3 / 3, "train.batch_size": 1, "loss": 0, "loss.0.gamma": 1.4999, "train.epochs": 6,
        "augment.0.p": 1 / 7,
    }  # fmt: skip
    values = open_space(manifest).settle(drawn)
    assert values == {
        "optimizer.lr": 1e-3 / 3, "train.batch_size": 16, "loss": {"use": "focal", "gamma": 1.5}, "train.epochs": 6,
        "augment.0.p": 1 / 7, "optimizer.weight_decay": 0.1 * (1e-3 / 3) + 0.25,
    }  # fmt: skip
    made = load_manifest(sheets.project, "exp001", to_sets(values))
    assert made.values["optimizer"]["lr"] == 1e-3 / 3
    assert made.values["optimizer"]["weight_decay"] == 0.1 * (1e-3 / 3) + 0.25
    assert made.values["loss"]["gamma"] == 1.5
    assert made.values["augment"] == [{"use": "A.HorizontalFlip", "p": 1 / 7}]
    assert "search" not in made.values
    # What another option's plugin holds is passed over.
    assert open_space(manifest).settle({**drawn, "loss": 1})["loss"] == {"use": "ldam", "max_m": 0.5}


def test_a_whole_key_is_laid_before_what_lies_in_it(sheets: Sheets) -> None:
    values = {"loss.gamma": 2.5, "loss": {"use": "focal", "gamma": 1}, "head.k": 3, "head.use": "cosine"}
    assert to_sets(values) == ["search=null", "loss={use: focal, gamma: 1}", "head.use=cosine", "loss.gamma=2.5", "head.k=3"]
    assert (
        sheets.load("", *to_sets({key: value for key, value in values.items() if "loss" in key})).values["loss"]["gamma"] == 2.5
    )


def test_search_changes_no_digest(sheets: Sheets) -> None:
    without = sheets.load("").digest({})
    assert sheets.load("search: {optimizer.lr: {choice: [1, 2]}}").digest({}) == without


def test_a_manifest_with_a_search_reads_back(sheets: Sheets) -> None:
    manifest = sheets.load(TEXT)
    file = sheets.project.root / "resolved.yaml"
    file.write_text(manifest.dump())
    again = load_resolved(sheets.project, "exp001", file)
    assert again.values["search"] == manifest.values["search"]
    assert open_space(again) == open_space(manifest)


def test_a_manifest_without_a_search(sheets: Sheets) -> None:
    manifest = sheets.load("")
    assert "search" not in manifest.values
    with pytest.raises(WorkspaceError, match="exp001 has no `search`: say in its manifest what to vary, as in search: {opt"):
        open_space(manifest)


# ---- grids ---------------------------------------------------------------------------------------------------------------


def open_grid(sheets: Sheets, domains: str) -> Space:
    return open_space(sheets.load(f"search: {{algorithm: grid, {domains}}}"))


def test_a_grid_is_every_combination_once(sheets: Sheets) -> None:
    loss = "loss: {choice: [{use: focal, gamma: {uniform: [1, 2], step: 0.5}}, {use: ldam}]}"
    grid = open_grid(sheets, f"{loss}, train.epochs: {{int: [2, 8], step: 3}}, train.accumulate: {{logint: [1, 2]}}").grid()
    assert len(grid) == (3 + 1) * 3 * 2 == len({str(point) for point in grid})
    assert {"loss": 1, "train.epochs": 8, "train.accumulate": 1} in grid
    assert {"loss": 0, "loss.0.gamma": 1.5, "train.epochs": 5, "train.accumulate": 2} in grid


def test_a_grid_that_is_too_large_or_endless_is_refused(sheets: Sheets) -> None:
    with pytest.raises(WorkspaceError, match="the grid has 1,000,000 combinations; wanted 10,000 at most"):
        open_grid(sheets, "seed: {int: [1, 1000]}, train.epochs: {int: [1, 1000]}").grid()
    space = open_space(sheets.load("search: {train.epochs: {int: [1, 3]}, optimizer.lr: {uniform: [0.1, 1]}}"))
    with pytest.raises(WorkspaceError, match="search.optimizer.lr.uniform: a grid counts values"):
        space.grid()


# ---- what is refused before the first trial ------------------------------------------------------------------------------


def test_a_sound_space_passes(sheets: Sheets) -> None:
    sheets.write("exp001", TEXT)
    check_space(sheets.project, "exp001", ["search.trials=3"])


def test_every_option_and_both_ends_are_tried_and_all_faults_told_at_once(sheets: Sheets) -> None:
    text = """\
search:
  train.epoch: {int: [1, 9]}
  train.epochs: {int: [0, 9]}
  image.size: {logint: [16, 100000]}
  loss:
    choice:
      - {use: focal, gama: {uniform: [1, 3]}}
      - {use: ldma, max_m: 0.5}
      - {use: focal, gamma: high}
  model: {choice: [{use: cnn}, {use: timm, arch: resnet_18}]}
  augment.9.p: {uniform: [0, 1]}
  train.select: {choice: [last, best, bets]}
  optimizer.weight_decay: {formula: optimizer.lr // 0}
  optimizer.head_lr: {formula: 2 * loss.max_m}
"""
    assert list_faults(sheets, text) == [
        "2 search.train.epoch: 'train' has no parameter 'epoch'; did you mean 'epochs'?",
        "3 search.train.epochs.int.0: is 0; wanted 1 or more",
        "4 search.image.size.logint.1: is 100000; wanted 8192 or less",
        "7 search.loss.choice.0.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
        "8 search.loss.choice.1.use: there is no loss 'ldma'; did you mean 'ldam'?",
        "9 search.loss.choice.2.gamma: is 'high' (text); wanted float",
        "10 search.model.choice.1.arch: timm has no 'resnet_18'; did you mean 'resnet18'?",
        "11 search.augment.9.p: there is no item 9: the list has 1, counted from 0",
        "12 search.train.select.choice.2: is 'bets'; wanted 'last' | 'best'; did you mean 'best'?",
        "13 search.optimizer.weight_decay: 'optimizer.lr // 0' has no value: 'optimizer.lr // 0' divides by zero",
        "14 search.optimizer.head_lr: '2 * loss.max_m' has no value: there is no loss.max_m",
    ]


def test_a_choice_that_cannot_stand_beside_another_key(sheets: Sheets) -> None:
    text = """\
stages: [{name: a, epochs: 2}]
search:
  train.epochs: {choice: [1, 2]}
  ensemble: {choice: [null, {use: torchensemble}]}
"""
    found = list_faults(sheets, text)
    assert found[0].startswith("3 search.train.epochs: does nothing beside the stages of")
    assert found[1].startswith(
        "4 search.ensemble.choice.1: makes the manifest faulty: stages: the ensemble 'torchensemble' has a"
    )


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("train.threads: {choice: [1, 2]}", True),
        ("train.monitor: {choice: [metric, loss]}", True),
        # With patience it says something.
        ("train.monitor: {choice: [metric, loss]}, train.patience: {choice: [null, 3]}", False),
        ("image.predict_size: {int: [32, 64], step: 32}", False),
        ("train.accumulate: {choice: [2]}", False),
    ],
)
def test_a_key_that_changes_nothing(sheets: Sheets, text: str, idle: bool) -> None:
    sheets.write("exp001", f"search: {{{text}}}")
    if not idle:
        check_space(sheets.project, "exp001", ())
        return
    key = text.partition(":")[0]
    assert list_faults(sheets, f"search: {{{text}}}") == [f"1 search.{key}: changes nothing: every value of it trains the same"]


def test_a_key_within_one_that_is_drawn_is_tried_with_it(sheets: Sheets) -> None:
    text = "search: {loss: {choice: [{use: focal}, {use: ldam}]}, loss.gamma: {uniform: [1, 3]}}"
    [fault] = list_faults(sheets, text)
    assert fault.startswith("1 search.loss.gamma: 'ldam' has no parameter 'gamma'")
    sheets.write("exp001", "search: {model.use: {choice: [cnn]}, model.hidden: {choice: [16, 32]}}\nmodel: {use: timm}")
    check_space(sheets.project, "exp001", ())


def test_check_sees_the_space_too_and_a_run_what_is_wrong_by_itself(tiny: Tiny) -> None:
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nsearch: {train.epochs: {int: [0, 3]}}")
    said = tiny.comp("check", "exp001")
    assert said.code == 2
    assert "experiments/exp001/manifest.yaml:4  search.train.epochs.int.0: is 0; wanted 1 or more" in said.err
    tiny.edit("experiments/exp001/manifest.yaml", "{int: [0, 3]}", "{int: [3, 0]}")
    said = tiny.comp("run", "exp001")
    assert said.code == 2
    assert "experiments/exp001/manifest.yaml:4  search.train.epochs.int: is [3, 0], an empty range" in said.err
    assert not (tiny.root / "experiments/exp001/runs").exists()


# ---- merging -------------------------------------------------------------------------------------------------------------


def searched(sheets: Sheets, text: str, *sets: str) -> dict[str, Any]:
    values = sheets.load(text, *sets).values.get("search", {})
    return {key: value for key, value in values.items() if isinstance(value, dict) or key == "trials"}


def test_a_domain_replaces_the_parents_whole_and_null_takes_it_out(sheets: Sheets) -> None:
    base = "search: {trials: 9, optimizer.lr: {uniform: [1, 2], step: 1}, train.epochs: {int: [1, 3]}}"
    sheets.write("base", base)
    child = "extends: base\nsearch: {optimizer.lr: {loguniform: [1, 4]}, train.epochs: null, loss: {choice: [{use: focal}]}}"
    expected = {"trials": 9, "optimizer.lr": {"loguniform": [1, 4]}, "loss": {"choice": [{"use": "focal"}]}}
    assert searched(sheets, child) == expected
    assert searched(sheets, "extends: base\nsearch: null") == {}
    assert searched(sheets, "extends: base") == {
        "trials": 9, "optimizer.lr": {"uniform": [1, 2], "step": 1}, "train.epochs": {"int": [1, 3]}
    }  # fmt: skip
    digest = sheets.pin("base")
    assert searched(sheets, child.replace("base", f"base@{digest}")) == expected


def test_sets_reach_into_a_search(sheets: Sheets) -> None:
    text = "search: {optimizer.lr: {uniform: [1, 2], step: 1}, train.epochs: {int: [1, 3]}}"
    sets = ["search.trials=5", "search.optimizer.lr={loguniform: [1e-4, 1e-3]}", "search.augment.0.p={uniform: [0, 1]}"]
    assert searched(sheets, text, *sets, "search.train.epochs=null") == {
        "trials": 5, "optimizer.lr": {"loguniform": [1e-4, 1e-3]}, "augment.0.p": {"uniform": [0, 1]}
    }  # fmt: skip
    assert searched(sheets, "", "search.model.arch={choice: [a]}", "search.model.use={choice: [timm]}").keys() >= {"model.use"}
    assert sheets.list_faults(text, "search.trials=0", "search.optimizer.lr=3") == [
        "--set search.optimizer.lr=3 search.optimizer.lr: is 3; wanted {uniform: [a, b]}, {loguniform: [a, b]}, {int: [a, b]}, "
        "{logint: [a, b]}, {choice: [...]} or {formula: ...}",
        "--set search.trials=0 search.trials: is 0; wanted 1 or more",
    ]


def test_show_says_where_a_domain_is_from(tiny: Tiny) -> None:
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\nsearch: {train.epochs: {int: [1, 3]}}")
    said = tiny.comp("show", "exp001", "--set", "search.trials=5")
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.startswith("search")}
    assert lines["search.train.epochs.int"].split()[1:] == ["[1,", "3]", "experiments/exp001/manifest.yaml:4"]
    assert lines["search.trials"].endswith("--set search.trials=5")
    assert lines["search.algorithm"].split()[1:] == ["tpe", "default"]
