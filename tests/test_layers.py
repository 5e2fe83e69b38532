"""comp.layers: competition.yaml, what is extended, its own keys and `--set`, laid together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from comp.errors import WorkspaceError
from comp.manifest import load_manifest

if TYPE_CHECKING:
    from tests.conftest import Sheets

# ---- merging --------------------------------------------------------------------------------------------------------------


def test_mappings_merge_lists_replace_and_another_use_replaces(sheets: Sheets) -> None:
    sheets.write(
        "base",
        "loss: {use: focal, gamma: 3}\naugment: [{use: medium}, {use: A.HorizontalFlip}]\ntrain: {batch_size: 8, patience: 2}\n",
    )
    text = "extends: base\nloss: {alpha: 0.5}\naugment: [{use: heavy}]\ntrain: {batch_size: 16}\n"
    values = sheets.load(text).values
    assert (values["loss"]["gamma"], values["loss"]["alpha"]) == (3.0, 0.5)
    assert [spec["use"] for spec in values["augment"]] == ["heavy"]
    assert (values["train"]["batch_size"], values["train"]["patience"], values["train"]["select"]) == (16, 2, "best")
    values = sheets.load("extends: base\nloss: {use: cross_entropy}\n").values
    assert "gamma" not in values["loss"]


def test_the_default_use_counts_where_a_mapping_has_none(sheets: Sheets) -> None:
    sheets.write("base", "optimizer: {weight_decay: 0.5}\n")
    assert sheets.load("extends: base\noptimizer: {use: timm, lr: 1}\n").values["optimizer"]["weight_decay"] == 0.5
    sheets.write("base", "loss: {smoothing: 0.3}\n")
    assert "smoothing" not in sheets.load("extends: base\nloss: {use: focal}\n").values["loss"]


def test_null_restores_what_is_underneath(sheets: Sheets) -> None:
    sheets.write(
        "base",
        "metric: {use: macro_f1}\nsplit: {folds: 3}\nloss: {use: focal, gamma: 3}\nmix: {use: cutmix}\ntrain: {clip_norm: 5}\n",
    )
    text = "extends: base\nmetric: null\nsplit: {folds: null}\nloss: {gamma: null}\nmix: null\ntrain: {clip_norm: null}\n"
    values = sheets.load(text).values
    assert values["metric"]["use"] == "accuracy"
    assert values["split"]["folds"] == 5
    assert (values["loss"]["use"], values["loss"]["gamma"]) == ("focal", 2.0)
    assert values["mix"] is None
    assert values["train"]["clip_norm"] == 1.0
    assert sheets.load("extends: base\n", "mix=null").values["mix"] is None


def test_a_chain_of_three_and_what_is_not_handed_down(sheets: Sheets) -> None:
    sheets.write("one", "about: the first\nseed: 1\ntrain: {batch_size: 8}\n")
    sheets.write("two", "about: the second\nextends: one\nseed: 2\n")
    manifest = sheets.load("extends: two\n")
    assert (manifest.values["seed"], manifest.values["train"]["batch_size"], manifest.values["about"]) == (2, 8, "")
    assert manifest.parents == ("two", "one")


def test_plugins_of_parents_are_found(sheets: Sheets) -> None:
    sheets.write("one", "loss: {use: mine}\n")
    (sheets.project.experiments / "one" / "mine.py").write_text(
        'from comp.api import plugin\n@plugin("loss")\ndef mine(*, x: int = 1): "x"\n'
    )
    assert sheets.load("extends: one\n").values["loss"] == {"use": "mine", "weight": 1.0, "x": 1}
    assert sheets.list_faults("loss: {use: mine}\n")[0].startswith("1 loss.use: there is no loss 'mine'")


def test_losses_by_target(sheets: Sheets) -> None:
    sheets.write("base", "loss: {label: {use: focal, gamma: 3}, alphabet: {use: cross_entropy}}\n")
    values = sheets.load("extends: base\nloss: {alphabet: {smoothing: 0.2}}\n").values
    assert values["loss"]["label"]["gamma"] == 3.0
    alphabet = {"use": "cross_entropy", "weight": 1.0, "smoothing": 0.2, "weights": "none", "beta": 0.999}
    assert values["loss"]["alphabet"] == alphabet
    assert sheets.load("extends: base\nloss: {use: focal}\n").values["loss"]["use"] == "focal"
    assert "use" not in sheets.load("loss: {label: {use: focal}}\n").values["loss"]
    assert sheets.list_faults("loss: {label: {use: focal, gama: 1}, other: {use: foca}}\n") == [
        "1 loss.label.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
        "1 loss.other.use: there is no loss 'foca'; did you mean 'focal'?",
    ]


# ---- what is extended -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("loss: {use: focal\ntrain: 3\n", "2 is not YAML: while parsing a flow mapping expected ',' or '}', but got ':'"),
        ("a: b: c\n", "1 is not YAML: mapping values are not allowed here"),
        ("\tx: 1\n", "1 is not YAML: while scanning for the next token found character '\\t' that cannot start any token"),
        ("- 1\n", "1 wanted `key: value` lines"),
        ("seed: 1\nseed: 2\n", "2 seed: stands twice (first in line 1)"),
        ("loss:\n  use: !!python/name:os.system x\n",
         "2 loss.use: the tag tag:yaml.org,2002:python/name:os.system is not read; plain values only"),
        ("a: &a {seed: 1}\n<<: *a\n", "2 a key must be text (`<<` is not read; `extends` takes over another manifest)"),
        ("--- {}\n--- {}\n", "2 is not YAML: expected a single document in the stream but found another document"),
        ("format: 2\n", "1 format: is 2, but this comp reads up to 1: upgrade comp-kit"),
        ("extends: 3\n", "1 extends: is 3; wanted an experiment (exp041), a run of it (exp041@3f9a1c20) or an example"),
        ("extends: ../up\n", "1 extends: is '../up'; wanted an experiment (exp041), a run of it (exp041@3f9a1c20) or an example"),
        ("extends: exp001\n", "1 extends: goes in a circle: exp001 → exp001"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(sheets: Sheets, text: str, fault: str) -> None:
    assert fault in sheets.list_faults(text)


def test_a_circle_of_three(sheets: Sheets) -> None:
    sheets.write("a", "extends: b\n")
    sheets.write("b", "seed: 1\nextends: exp001\n")
    assert sheets.list_faults("extends: a\n") == [
        "experiments/b/manifest.yaml:2 extends: goes in a circle: exp001 → a → b → exp001"
    ]


def test_a_parent_that_is_not_there(sheets: Sheets) -> None:
    sheets.write("baseline", "")
    assert (
        "there is no experiment and no example 'baselin'; did you mean 'baseline'?" in sheets.list_faults("extends: baselin\n")[0]
    )
    with pytest.raises(WorkspaceError, match="there is no experiment 'exp009'"):
        load_manifest(sheets.project, "exp009")


# ---- pinned ---------------------------------------------------------------------------------------------------------------


def test_a_pinned_parent_stays_as_it_was(sheets: Sheets) -> None:
    sheets.write("base", "loss: {use: focal, gamma: 3}\nmodel: {use: timm, arch: vit_tiny_patch16_224}\n")
    digest = sheets.pin("base")
    sheets.write("base", "loss: {use: focal, gamma: 4}\n")
    child = sheets.load(f"extends: base@{digest}\ntrain: {{batch_size: 8}}\n")
    assert child.values["loss"]["gamma"] == 3.0
    assert (child.values["optimizer"]["lr"], child.values["train"]["batch_size"]) == (1e-4, 8)
    assert child.parents == (f"base@{digest}",)
    assert child.values["split"]["folds"] == 5


def test_a_pin_is_read_from_the_childs_copy_first(sheets: Sheets) -> None:
    sheets.write("exp001", "")
    (sheets.project.experiments / "exp001" / "extends").mkdir()
    (sheets.project.experiments / "exp001" / "extends" / "gone@01234567.yaml").write_text(
        "format: 1\nseed: 7\nmix: null\ndataset: {use: digits}\n"
    )
    values = sheets.load("extends: gone@01234567\n").values
    assert (values["seed"], values["dataset"]["use"]) == (7, "csv")


def test_null_is_a_value_in_what_is_pinned(sheets: Sheets) -> None:
    sheets.write("base", "model: {use: timm, arch: resnet18, pretrained: false}\n")
    digest = sheets.pin("base")
    values = sheets.load(f"extends: base@{digest}\nmodel: {{pretrained: true}}\n").values
    assert (values["optimizer"]["lr"], values["optimizer"]["head_lr"]) == (1e-3, None)


def test_stages_over_a_pinned_parent_with_epochs(sheets: Sheets) -> None:
    sheets.write("base", "train: {epochs: 7}\n")
    digest = sheets.pin("base")
    assert sheets.load(f"extends: base@{digest}\nstages: [{{name: a, epochs: 2}}]\n").values["train"]["epochs"] == 2


def test_a_pin_that_is_not_there(sheets: Sheets) -> None:
    sheets.write("base", "")
    digest = sheets.pin("base")
    (fault,) = sheets.list_faults("extends: base@00000000\n")
    assert "there is neither a run base@00000000 nor its copy" in fault
    assert f"runs of base: {digest}" in fault


# ---- --set ----------------------------------------------------------------------------------------------------------------


def test_sets_are_yaml_and_reach_into_lists(sheets: Sheets) -> None:
    sets = [
        "optimizer.lr=1e-4",
        "augment=[{use: light}, {use: medium}]",
        "augment.1.crop=0.9",
        "about=a: b = c",
        "train.patience=3",
        "seed=7",
    ]
    values = sheets.load("", *sets[:3], "about='a: b = c'", *sets[4:]).values
    assert (values["optimizer"]["lr"], values["train"]["patience"], values["seed"], values["about"]) == (1e-4, 3, 7, "a: b = c")
    assert [(spec["use"], spec["crop"]) for spec in values["augment"]] == [("light", 0.6), ("medium", 0.9)]
    # A default list, too, can be reached into.
    assert sheets.load("", "augment.0.crop=0.9").values["augment"][0]["crop"] == 0.9
    assert sheets.load("stages: [{name: a, epochs: 2}]\n", "stages.0.optimizer.lr=1e-2").stages[0]["optimizer"]["lr"] == 1e-2


def test_sets_may_change_the_plugin(sheets: Sheets) -> None:
    values = sheets.load("loss: {use: focal, gamma: 3}\n", "loss.use=cross_entropy", "loss.smoothing=0.3").values
    assert values["loss"] == {"use": "cross_entropy", "weight": 1.0, "smoothing": 0.3, "weights": "none", "beta": 0.999}


def test_folds(sheets: Sheets) -> None:
    assert sheets.load("", folds=3).values["split"]["folds"] == 3
    assert sheets.list_faults("", folds=1) == ["--set split.folds=1 split.folds: is 1; wanted 2 or more"]
    assert "'column' has no parameter 'folds'" in sheets.list_faults("split: {use: column}\n", folds=3)[0]


def test_faults_of_sets(sheets: Sheets) -> None:
    sets = ["lr", "=3", "extends=base", "loss.gama=3", "augment.5.p=1", "seed=[1", "augment.0.crop=x"]
    assert [fault.partition(" (")[0] for fault in sheets.list_faults("loss: {use: focal}\n", *sets)] == [
        "--set lr wanted key=value, as in `--set optimizer.lr=1e-4`",
        "--set =3 wanted key=value, as in `--set optimizer.lr=1e-4`",
        "--set extends=base 'extends' can only stand in the manifest itself",
        "--set augment.5.p=1 augment.5.p: there is no item 5: the list has 1, counted from 0",
        "--set seed=[1 seed: is not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'",
        "--set augment.0.crop=x augment.0.crop: is 'x'",
        "--set loss.gama=3 loss.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
    ]


def test_a_use_after_its_arguments_would_drop_them(sheets: Sheets) -> None:
    assert sheets.list_faults("", "loss.gamma=3", "loss.use=focal") == [
        "--set loss.use=focal loss.use: replaces all of 'loss', loss.gamma before it, too: give --set loss.use first"
    ]
    assert sheets.load("", "loss.use=focal", "loss.gamma=3").values["loss"]["gamma"] == 3


# ---- files ----------------------------------------------------------------------------------------------------------------


def test_yaml_bombs_and_depth_are_bounded(sheets: Sheets) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    assert any("holds more than 20,000 values" in fault for fault in sheets.list_faults(bomb))
    assert any("holds more than 20,000 values or 50 levels" in fault for fault in sheets.list_faults("a: &a [*a]\n"))
    deep = "a: " + "[" * 100_000
    assert any("is not YAML" in fault or "nested too deeply" in fault for fault in sheets.list_faults(deep))
    assert sheets.load("augment: &a [{use: light}]\ntta: []\n").values["augment"][0]["use"] == "light"


def test_yaml_1_2(sheets: Sheets) -> None:
    values = sheets.load("about: no\noptimizer: {lr: 1e-3}\nsplit: {use: time, column: no, cut: 2020-01-01}\n").values
    assert (values["about"], values["optimizer"]["lr"], values["split"]["column"], values["split"]["cut"]) == (
        "no",
        1e-3,
        "no",
        "2020-01-01",
    )
