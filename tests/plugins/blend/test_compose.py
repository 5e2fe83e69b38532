"""Composed answers, against products written out, and the formula against Python's own arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import softmax

from comp.api import PluginError, Target, Task
from comp.plugins.blend.compose import compose, evaluate


def make_task(name: str, *classes: str, kind: str = "multiclass") -> Task:
    return Task((Target(name, kind, classes, (name,)),))


CODE = "mask*6 + gender*3 + age"
WIDTHS = {"mask": 3, "gender": 2, "age": 3}
GROUPS = {name: make_task(name, *map(str, range(width))) for name, width in WIDTHS.items()}
JOINT = make_task("ans", *map(str, range(18)))


def draw(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: softmax(random.normal(size=(rows, task.outputs)), axis=1) for name, task in GROUPS.items()}


def test_the_joint_code_is_the_product():
    members = draw(7)
    rule = compose(JOINT, GROUPS, code=CODE)
    rule.fit(members, {})
    found = rule.predict(members)
    for mask, gender, age in itertools.product(range(3), range(2), range(3)):
        wanted = members["mask"][:, mask] * members["gender"][:, gender] * members["age"][:, age]
        np.testing.assert_allclose(found[:, mask * 6 + gender * 3 + age], wanted)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert rule.any_targets


def test_combinations_that_are_no_class_are_left_out_and_equal_codes_add_up():
    members = draw(5)
    known = make_task("ans", *(str(code) for code in range(18) if code != 17))
    found = compose(known, GROUPS, code=CODE).predict(members)
    left = 1 - members["mask"][:, 2] * members["gender"][:, 1] * members["age"][:, 2]
    np.testing.assert_allclose(found[:, 0], members["mask"][:, 0] * members["gender"][:, 0] * members["age"][:, 0] / left)
    pair = {"mask": GROUPS["mask"], "age": GROUPS["age"]}
    total = compose(make_task("ans", *map(str, range(5))), pair, code="mask + age").predict(members)
    mask, age = members["mask"], members["age"]
    np.testing.assert_allclose(total[:, 1], mask[:, 0] * age[:, 1] + mask[:, 1] * age[:, 0])


def test_classes_that_are_no_numbers_stand_for_their_places():
    groups = {"sex": make_task("sex", "female", "male"), "old": make_task("old", "no", "yes")}
    members = {"sex": np.array([[0.3, 0.7]]), "old": np.array([[0.9, 0.1]])}
    found = compose(make_task("ans", "a", "b", "c", "d"), groups, code="sex*2 + old").predict(members)
    np.testing.assert_allclose(found, [[0.27, 0.03, 0.63, 0.07]])


def test_without_a_code_the_targets_stand_side_by_side():
    task = Task((*GROUPS["age"].targets, *GROUPS["mask"].targets))
    members = draw(4)
    rule = compose(task, {"one": GROUPS["mask"], "two": GROUPS["age"]})
    found = rule.predict({"one": members["mask"], "two": members["age"]})
    np.testing.assert_array_equal(found, np.hstack([members["age"], members["mask"]]))
    with pytest.raises(PluginError, match="no member predict the target 'age'"):
        compose(task, {"one": GROUPS["mask"]})
    with pytest.raises(PluginError, match=r"2 members \(a, b\) predict the target 'mask'"):
        compose(GROUPS["mask"], {"a": GROUPS["mask"], "b": GROUPS["mask"]})
    with pytest.raises(PluginError, match="as multiclass of 2 classes; wanted multiclass of 3"):
        compose(GROUPS["mask"], {"a": make_task("mask", "0", "1")})


def test_a_formula_that_is_none_or_leaves_a_member_out_is_refused():
    for code, said in {
        "a*6": "does not name the member 'b'", "a*6 + c + b": "names 'c'; there are a, b", "a ** b": "no part of a",
        "a*9223372036854775807*b*9": "becomes too large", "(a == 'x') + b": "a number, a, with a text, 'x'",
    }.items():  # fmt: skip
        with pytest.raises(PluginError, match=said):
            evaluate(code, {"a": np.arange(2), "b": np.arange(2)})


def test_codes_that_miss_classes_and_members_that_do_not_fit_are_refused():
    # mask*6 + gender*2 + age reaches 0 to 4, 6 to 10 and 12 to 16.
    with pytest.raises(PluginError, match="no combination of mask, gender, age has the code 5, 11, 17, which 'ans' has"):
        compose(JOINT, GROUPS, code="mask*6 + gender*2 + age")
    several = Task((*GROUPS["mask"].targets, *GROUPS["age"].targets))
    with pytest.raises(PluginError, match="a code answers one target of one class"):
        compose(several, GROUPS, code=CODE)
    with pytest.raises(PluginError, match="gender must predict one target of one class"):
        compose(JOINT, {**GROUPS, "gender": make_task("gender", "0", "1", kind="multilabel")}, code=CODE)
    wide = {name: make_task(name, *map(str, range(400))) for name in ("a", "b")}
    with pytest.raises(PluginError, match="more than 100,000 combinations"):
        compose(JOINT, wide, code="a + b")


def test_codes_and_classes_of_twenty_digits_are_exact():
    names = [f"1234567890123456789{digit}" for digit in range(3)]
    pair = {"a": make_task("a", "0", "1"), "b": make_task("b", *names)}
    members = {"a": np.array([[0.25, 0.75]]), "b": np.array([[0.5, 0.3, 0.2]])}
    rule = compose(make_task("ans", "0", "1", "2"), pair, code="(a == 0)*(b % 10) + (a == 1)*(b % 2)*2")
    # b % 10 is 0, 1, 2; b % 2 is 0, 1, 0: 0 from (0, 0), (1, 0), (1, 2); 1 from (0, 1); 2 from (0, 2), (1, 1).
    np.testing.assert_allclose(rule.predict(members), [[0.25 * 0.5 + 0.75 * 0.7, 0.25 * 0.3, 0.25 * 0.2 + 0.75 * 0.3]])
