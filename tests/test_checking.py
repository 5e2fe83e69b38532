"""comp.checking: all faults of a manifest at once, each with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Sheets


def test_all_faults_at_once_each_with_its_line(sheets: Sheets) -> None:
    text = """\
los: {use: focal}
loss:
  use: focal
  gama: 3
seed: 3.7
image: {size: "3", fit: pd, siz: 1}
augment: {use: light}
tta: [hflip]
sampler: imbalanced
mix: {alpha: 1}
train:
  epochs: true
  batch_size: 0
  precision: 8
  workers: -1
  clip_norm: -1
on_bad_image: ignore
head: {use: linar}
"""
    assert sheets.list_faults(text) == [
        "1 los: a manifest has no key 'los'; did you mean 'loss'?",
        "4 loss.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
        "5 seed: is 3.7 (a number); wanted int",
        "6 image.siz: 'image' has no parameter 'siz'; did you mean 'size'?",
        "6 image.size: is '3' (text); wanted int | list[int]",
        "6 image.fit: is 'pd'; wanted 'squash' | 'pad' | 'crop'; did you mean 'pad'?",
        "7 augment: is {'use': 'light'}; wanted a list such as [{use: …}]",
        "8 tta.0: is 'hflip'; wanted a mapping such as {use: hflip}",
        "9 sampler: is 'imbalanced'; wanted a mapping such as {use: imbalanced}",
        "10 mix: is {'alpha': 1}; wanted a mapping such as {use: …}",
        "12 train.epochs: is true (a bool); wanted int",
        "13 train.batch_size: is 0; wanted 1 or more",
        "14 train.precision: is 8 (an integer); wanted 'auto' | 'bf16' | '16' | '32' | 16 | 32",
        "15 train.workers: is -1; wanted 0 or more",
        "16 train.clip_norm: is -1; wanted 0 or more",
        "17 on_bad_image: is 'ignore'; wanted 'error' | 'skip'",
        "18 head.use: there is no head 'linar'; did you mean 'linear'?",
    ]


@pytest.mark.parametrize("key", ["devices"])
def test_keys_that_are_not_there_yet(sheets: Sheets, key: str) -> None:
    assert f"1 {key}: a manifest has no key {key!r}" in sheets.list_faults(f"{key}: 1\n")[0]


# ---- specs in specs -------------------------------------------------------------------------------------------------------

BOTH = '''from comp.api import Spec, plugin


@plugin("loss")
def both(build, /, *, base: Spec = {"use": "focal"}, parts: list[Spec] = [], named: "dict[str, Spec] | None" = None):
    """Nests."""
    return build(base), [build(part) for part in parts]
'''


@pytest.fixture
def nesting(sheets: Sheets) -> Sheets:
    (sheets.project.root / "plugins").mkdir()
    (sheets.project.root / "plugins" / "both.py").write_text(BOTH)
    return sheets


def test_faults_of_nested_specs_have_their_place(nesting: Sheets) -> None:
    text = """\
loss:
  use: both
  base: {use: fokal}
  parts:
    - {use: focal, gama: 1}
    - {gamma: 1}
    - {use: both, base: {use: focal, gamma: x}}
  named: {a: {use: focal, alpha: x}}
"""
    assert [fault.partition(" (it takes")[0].partition(" (there are")[0] for fault in nesting.list_faults(text)] == [
        "3 loss.base.use: there is no loss 'fokal'; did you mean 'focal'?",
        "5 loss.parts.0.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
        "6 loss.parts.1: is {'gamma': 1}; wanted a mapping such as {use: …}",
        "7 loss.parts.2.base.gamma: is 'x' (text); wanted float",
        "8 loss.named.a.alpha: is 'x' (text); wanted float | None",
    ]
    assert nesting.list_faults("loss: {use: both, parts: focal}\n") == [
        "1 loss.parts: is 'focal' (text); wanted list[{use: …}]"
    ]


def test_nested_specs_are_filled_in_and_merge(nesting: Sheets) -> None:
    loss = nesting.load("loss: {use: both, parts: [{use: focal, gamma: 1}]}\n").values["loss"]
    assert (loss["base"]["gamma"], loss["parts"][0]["gamma"], loss["parts"][0]["alpha"]) == (2.0, 1.0, None)
    nesting.write("below", "loss: {use: both, base: {use: focal, gamma: 3, alpha: 0.5}}\n")
    changed = nesting.load("extends: below\nloss: {base: {gamma: 1}}\n").values["loss"]["base"]
    assert (changed["gamma"], changed["alpha"]) == (1.0, 0.5)
    assert nesting.load("extends: below\nloss: {base: {use: bce}}\n").values["loss"]["base"]["use"] == "bce"


# ---- stages ---------------------------------------------------------------------------------------------------------------


def test_stages_merge_over_the_run(sheets: Sheets) -> None:
    text = """\
mix: {use: cutmix}
optimizer: {lr: 1e-2}
stages:
  - {name: head, epochs: 3, freeze: backbone, mix: null}
  - {name: all, epochs: 20, optimizer: {lr: 1e-5}, freeze: norm, start: best}
"""
    manifest = sheets.load(text)
    head, every = manifest.stages
    assert (head["mix"], head["freeze"], head["start"], head["optimizer"]["lr"], head["train"]["epochs"]) == (
        None,
        "backbone",
        "last",
        1e-2,
        3,
    )
    assert (every["mix"]["use"], every["optimizer"]["lr"], every["optimizer"]["weight_decay"], every["start"]) == (
        "cutmix",
        1e-5,
        0.05,
        "best",
    )
    assert manifest.values["train"]["epochs"] == 23
    assert set(head) == {
        "name", "epochs", "freeze", "start", "image", "augment", "mix", "sampler", "loss", "objective", "optimizer", "scheduler",
        "train",
    }  # fmt: skip


def test_faults_of_stages(sheets: Sheets) -> None:
    text = """\
stages:
  - {name: a, epochs: 0, start: best, frez: backbone}
  - {name: a, freeze: 3}
  - {name: B, epochs: 1, optimizer: {lr: fast}, train: {epochs: 3, batch_size: 0}}
  - 7
  - {name: c, epochs: 1, loss: {use: nope}, model: {use: cnn}}
"""
    assert sheets.list_faults(text) == [
        "2 stages.0.frez: a stage has no key 'frez'; did you mean 'freeze'?",
        "2 stages.0.epochs: is 0; wanted 1 or more",
        "2 stages.0.start: the first stage has none before it to start from",
        "3 stages.1.epochs: a stage needs 'epochs' (int): of the stage",
        "3 stages.1.freeze: is 3 (an integer); wanted str | list[str] | None",
        "3 stages.1.name: 'a' names two stages",
        "4 stages.2.train.epochs: a stage's `epochs` stands in the stage itself, not in its `train`",
        "4 stages.2.name: is 'B'; wanted small letters, digits and _, a letter first",
        "4 stages.2.optimizer.lr: is 'fast' (text); wanted float",
        "4 stages.2.train.batch_size: is 0; wanted 1 or more",
        "5 stages.3: is 7; wanted a mapping such as {name: head, epochs: 3}",
        "6 stages.4.model: a stage has no key 'model'",
        "6 stages.4.loss.use: there is no loss 'nope'" + sheets.list_faults("loss: {use: nope}\n")[0].partition("'nope'")[2],
    ]


def test_epochs_beside_stages_are_a_fault(sheets: Sheets) -> None:
    stages = "stages: [{name: a, epochs: 2}]\n"
    assert "2 train.epochs: does nothing beside the stages" in sheets.list_faults(stages + "train: {epochs: 3}\n")[0]
    sheets.write("base", stages)
    assert "train.epochs: does nothing" in sheets.list_faults("extends: base\n", "train.epochs=1")[0]
    assert sheets.load("extends: base\nstages: null\ntrain: {epochs: 3}\n").stages[0]["epochs"] == 3
    sheets.write("base", "train: {epochs: 3}\n")
    assert sheets.load("extends: base\n" + stages).stages[0]["epochs"] == 2


# ---- blends and ensembles -------------------------------------------------------------------------------------------------


def test_a_blend(sheets: Sheets) -> None:
    sheets.write("a", "")
    sheets.write("b", "")
    manifest = sheets.load("blend: {use: mean, members: [a, b]}\n")
    assert (manifest.is_blend, manifest.stages, "model" in manifest.values, "loss" in manifest.relevant()) == (
        True,
        [],
        False,
        False,
    )
    assert manifest.values["blend"]["members"] == ["a", "b"]
    assert manifest.values["tta"] == []


def test_faults_of_a_blend(sheets: Sheets) -> None:
    sheets.write("a", "")
    text = "blend:\n  use: mean\n  members: [a, aa, exp001, a@01234567, ../a]\nloss: {use: focal}\ntrain: {epochs: 3}\n"
    assert [fault.partition("; ")[0] for fault in sheets.list_faults(text)] == [
        f"3 blend.members.1: there is no experiment 'aa' in {sheets.project.experiments}",
        "3 blend.members.2: a blend cannot be a member of itself",
        "3 blend.members.3: a has no run 01234567",
        "3 blend.members.4: '../a' cannot name an experiment: "
        "wanted small letters, digits and _, a letter first, 64 at most (exp042)",
        "4 loss: a blend trains no model (1)",
        "5 train: a blend trains no model (1)",
    ]
    assert "'mean' needs 'members'" in sheets.list_faults("blend: {use: mean}\n")[0]
    assert sheets.list_faults("blend: {use: mean, members: []}\n") == [
        "1 blend.members: is empty; wanted the experiments to blend"
    ]


def test_an_ensemble_owns_its_loop(sheets: Sheets) -> None:
    text = (
        "ensemble: {use: torchensemble}\nmix: {use: mixup}\ntrain: {ema: true, accumulate: 2}\nstages: [{name: a, epochs: 1}]\n"
    )
    assert [fault.partition(": ")[0] for fault in sheets.list_faults(text)] == [
        "2 mix",
        "3 train.ema",
        "3 train.accumulate",
        "4 stages",
    ]
    assert sheets.load("ensemble: {use: torchensemble}\n").values["ensemble"]["use"] == "torchensemble"


def test_an_ensemble_of_epochs_has_an_ordinary_fold_but_chooses_no_single_epoch(sheets: Sheets) -> None:
    text = "ensemble: {use: swa}\nmix: {use: mixup}\ntrain: {ema: true, accumulate: 2}\nstages: [{name: a, epochs: 1}]\n"
    assert sheets.load(text).values["ensemble"] == {"use": "swa", "start": 0.75}
    for key, value in (("patience", 3), ("select", "best")):
        assert sheets.list_faults(f"ensemble: {{use: soup}}\ntrain: {{{key}: {value}}}\n") == [
            f"2 train.{key}: takes one epoch; the ensemble 'soup' makes a network of several: set train.select: last"
        ]
    assert sheets.load("ensemble: {use: soup}\ntrain: {patience: 3, select: last}\n")
