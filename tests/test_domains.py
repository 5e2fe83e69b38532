"""comp.domains: what `search:` may say, and all that is wrong with it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comp.domains import Choice, Derived, Range, list_extremes, read_tree

if TYPE_CHECKING:
    from tests.conftest import Sheets


def test_trees_are_read() -> None:
    assert read_tree({"uniform": [0, 1], "step": 0.25}) == Range("uniform", 0.0, 1.0, 0.25)
    tree = read_tree({"choice": ["a", {"use": "focal", "gamma": {"logint": [1, 8]}}, {"uniform": [0, 2]}]})
    assert tree == Choice(("a", {"use": "focal", "gamma": Range("logint", 1, 8)}, Range("uniform", 0, 2)))
    derived = read_tree({"formula": "0.5 * optimizer.lr + 1e-3 * seed + (model.arch == 'vgg.16')"})
    assert isinstance(derived, Derived)
    assert derived.names == ("optimizer.lr", "model.arch", "seed")
    assert derived.evaluate({"optimizer.lr": 4.0, "seed": 1000, "model.arch": "vgg.16"}.__getitem__) == 0.5 * 4.0 + 1.0 + 1


def test_a_formula_speaks_of_the_keys_as_they_are_written() -> None:
    with pytest.raises(ValueError, match=r"'optimizer.lr / 2' is no part of a formula"):
        read_tree({"formula": "optimizer.lr / 2"}).evaluate(lambda name: 1.0)


def test_extremes_are_both_ends_and_every_option_one_at_a_time() -> None:
    tree = read_tree({"choice": [{"use": "focal", "gamma": {"uniform": [1, 3]}, "alpha": {"choice": [0.1, 0.2]}}, None]})
    assert list_extremes(tree) == [
        (("choice", "0"), {"use": "focal", "gamma": 1.0, "alpha": 0.1}),
        (("choice", "0", "gamma", "uniform", "1"), {"use": "focal", "gamma": 3.0, "alpha": 0.1}),
        (("choice", "0", "alpha", "choice", "1"), {"use": "focal", "gamma": 1.0, "alpha": 0.2}),
        (("choice", "1"), None),
    ]
    stepped = {"int": [32, 100], "step": 32}, {"uniform": [0.1, 0.75], "step": 0.2}
    assert [list_extremes(read_tree(tree))[1][1] for tree in stepped] == [96, 0.7]  # the greatest that is drawn
    assert list_extremes(read_tree({"int": [1, 4]})) == [(("int", "0"), 1), (("int", "1"), 4)]


def test_all_faults_at_once_with_their_lines(sheets: Sheets) -> None:
    text = """\
search:
  algorithm: gird
  trials: 0
  algoritm: tpe
  optimizer.lr: {loguniform: [0, 1e-2]}
  train.epochs: {int: [9, 3]}
  train.batch_size:
    choice:
      - 8
      - 8
  image.size: {int: [16, 2.5]}
  augment.0.p: {uniform: [0, .inf]}
  loss: {choice: []}
  mix: {choice: [{use: cutmix, alpha: {uniform: [2, 1]}}]}
  optimzer.lr: {uniform: [0, 1]}
  sampler: {use: imbalanced}
  model.dropout: {uniform: [0, 1], int: [0, 1]}
  head.dropout: {uniform: [0, 1], stp: 1}
  optimizer.beta: {choice: 5}
  train.accumulate: {int: [1, 4], step: 0.5}
  optimizer.head_lr: {loguniform: [1, 2], step: 1}
  stages..epochs: {int: [1, 2]}
"""
    domains = "{uniform: [a, b]}, {loguniform: [a, b]}, {int: [a, b]}, {logint: [a, b]}, {choice: [...]} or {formula: ...}"
    assert sheets.list_faults(text) == [
        "2 search.algorithm: is 'gird'; wanted 'random' | 'grid' | 'tpe' | 'hyperopt'; did you mean 'grid'?",
        "3 search.trials: is 0; wanted 1 or more",
        "4 search.algoritm: is neither a setting of a search nor a key of a manifest; did you mean 'algorithm'?",
        "5 search.optimizer.lr.loguniform: begins at 0, which has no logarithm; wanted a least number above 0",
        "6 search.train.epochs.int: is [9, 3], an empty range; wanted the least first, then a greater number",
        "10 search.train.batch_size.choice.1: 8 stands twice",
        "11 search.image.size.int: is [16, 2.5]; wanted [least, greatest], two whole numbers",
        "12 search.augment.0.p.uniform: is [0, inf]; wanted [least, greatest], two numbers",
        "13 search.loss.choice: is empty; wanted a list of options",
        "14 search.mix.choice.0.alpha.uniform: is [2, 1], an empty range; wanted the least first, then a greater number",
        "15 search.optimzer.lr: is neither a setting of a search nor a key of a manifest; did you mean 'optimizer'?",
        f"16 search.sampler: is {{'use': 'imbalanced'}}; wanted {domains}",
        "17 search.model.dropout: is uniform and int at once; wanted one of them",
        "18 search.head.dropout.stp: is no part of a domain; did you mean 'step'?; a range may have a step",
        "19 search.optimizer.beta.choice: is 5; wanted a list of options",
        "20 search.train.accumulate.step: is 0.5; wanted a whole number above 0, 3 at most",
        "21 search.optimizer.head_lr.step: goes with uniform or int, not with loguniform",
        "22 search.stages..epochs: is no dotted key such as optimizer.lr",
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "dataset.target",
            "'dataset' is what the competition holds fixed: scores of trials that differ in it cannot be compared",
        ),
        ("split.folds", "'split' is what the competition holds fixed"),
        ("metric", "'metric' is what the competition holds fixed"),
        ("submission", "'submission' is what the competition holds fixed"),
        ("tta", "a trial is measured on the raw outputs for held-out rows, which 'tta' does not change"),
        ("post", "a trial is measured on the raw outputs for held-out rows, which 'post' does not change"),
        ("logger", "'logger' changes nothing that a trial could measure"),
        ("search.trials", "'search' changes nothing that a trial could measure"),
        ("extends", "'extends' changes nothing that a trial could measure"),
        ("about", "'about' changes nothing that a trial could measure"),
        ("seeds", "'seeds' is the same in all trials"),
        ("train.devices", "'train.devices' is the same in all trials"),
        ("blend", "'blend' trains nothing that could be searched"),
    ],
)
def test_what_may_not_be_varied(sheets: Sheets, key: str, said: str) -> None:
    [fault] = sheets.list_faults(f"search: {{{key}: {{choice: [1, 2]}}}}")
    assert fault.startswith(f"1 search.{key}: {said}")


def test_devices_within_an_option_are_refused_too(sheets: Sheets) -> None:
    [fault] = sheets.list_faults("search: {train: {choice: [{epochs: 2}, {epochs: 3, devices: 2}]}}")
    assert fault.startswith("1 search.train.choice.1.devices: 'train.devices' is the same in all trials")


@pytest.mark.parametrize(
    ("formulas", "faults"),
    [
        ({"optimizer.lr": "2 * train.lr +"}, ["search.optimizer.lr.formula: '2 * train.lr +' is no formula such as 10 *"]),
        ({"optimizer.lr": 5}, ["search.optimizer.lr.formula: is 5; wanted arithmetic over keys, such as 10 * optimizer.lr"]),
        ({"optimizer.lr": "2 * trian.epochs"}, ["names 'trian.epochs', which is no key of a manifest"]),
        ({"optimizer.lr": "2 * optimizer.lr"}, ["'2 * optimizer.lr' goes in a circle: it needs its own value"]),
        ({"optimizer.lr": "2 * optimizer.head_lr", "optimizer.head_lr": "3 * optimizer.lr"}, ["in a circle", "in a circle"]),
    ],
)
def test_faulty_formulas(sheets: Sheets, formulas: dict[str, Any], faults: list[str]) -> None:
    text = "search:\n" + "".join(f"  {key}: {{formula: {value}}}\n" for key, value in formulas.items())
    found = sheets.list_faults(text)
    assert len(found) == len(faults)
    assert all(said in fault for said, fault in zip(faults, found, strict=True))


def test_a_grid_counts(sheets: Sheets) -> None:
    text = "search:\n  algorithm: grid\n  optimizer.lr: {loguniform: [1e-4, 1]}\n  train.epochs: {int: [1, 3]}\n"
    text += "  loss: {choice: [{use: focal, gamma: {uniform: [0, 1]}}, {use: focal, gamma: {uniform: [0, 2], step: 1}}]}\n"
    wanted = "a grid counts values: give it a step, or a choice of values"
    assert sheets.list_faults(text) == [
        f"3 search.optimizer.lr.loguniform: {wanted}",
        f"5 search.loss.choice.0.gamma.uniform: {wanted}",
    ]
    assert sheets.load(text, "search.algorithm=random").values["search"]["algorithm"] == "random"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("search: 5", "1 search: is 5; wanted a mapping such as {algorithm: …}"),
        (
            "search: {trials: 5}",
            "1 search: names no key to vary; wanted, for instance, optimizer.lr: {loguniform: [1.0e-5, 1.0e-2]}",
        ),
        ("search: {seed: 1.5, seed: 2}", "1 search.seed: stands twice (first in line 1)"),
    ],
)
def test_searches_that_are_none(sheets: Sheets, text: str, fault: str) -> None:
    assert fault in sheets.list_faults(text)


def test_a_blend_is_not_tuned(sheets: Sheets) -> None:
    sheets.write("exp000", "")
    text = "blend: {use: mean, members: [exp000]}\nsearch: {blend.members: {choice: [[exp000]]}}"
    assert [fault for fault in sheets.list_faults(text) if "a blend trains no model" in fault] == [
        "2 search: a blend trains no model (1); remove one of the two"
    ]
