from __future__ import annotations

import pytest
import torch
from torch import nn

from comp.api import PluginError, Target, Task
from comp.plugins.head.multitarget import multitarget

MASK = Target("mask", "multiclass", ("0", "1", "2"), ("mask",))
GENDER = Target("gender", "binary", ("female", "male"), ("gender",))
AGE = Target("age", "ordinal", ("0", "1", "2"), ("age",))
LABEL = Target("label", "multiclass", tuple(str(number) for number in range(18)), ("label",))
TASK = Task((MASK, LABEL, GENDER, AGE))
CODE = "label = mask*6 + (gender == 'female')*3 + age"
FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))


def test_a_code_is_answered_by_the_branches_of_its_parts() -> None:
    head = multitarget(TASK, 8, init="default", code=CODE).eval()
    outputs = head(FEATURES)
    assert outputs.shape == (5, TASK.outputs) and len(head.branches) == 3
    part = {name: outputs[:, columns].softmax(dim=1) for name, columns in TASK.slices.items()}
    for mask in range(3):
        for gender in range(2):
            for age in range(3):
                expected = part["mask"][:, mask] * part["gender"][:, gender] * part["age"][:, age]
                number = mask * 6 + (1 - gender) * 3 + age
                assert torch.allclose(part["label"][:, number], expected, atol=1e-6)


def test_the_loss_of_a_code_is_the_sum_of_its_parts_losses() -> None:
    head = multitarget(TASK, 8, init="default", code=CODE)
    outputs, cross_entropy = head(FEATURES), nn.functional.cross_entropy
    mask, gender, age = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0, 1, 1, 0, 0]), torch.tensor([2, 1, 0, 2, 1])
    targets = {"mask": mask, "gender": gender, "age": age, "label": mask * 6 + (1 - gender) * 3 + age}
    losses = {name: cross_entropy(outputs[:, TASK.slices[name]], value, reduction="none") for name, value in targets.items()}
    assert torch.allclose(losses["label"], losses["mask"] + losses["gender"] + losses["age"], atol=1e-5)


def test_several_combinations_may_make_one_class_and_some_none() -> None:
    least = Target("least", "multiclass", ("0", "1", "2"), ("least",))
    head = multitarget(Task((least, MASK, AGE)), 8, init="default", code="least = mask + age").eval()
    outputs = head(FEATURES)
    mask, age = outputs[:, 3:6].softmax(dim=1), outputs[:, 6:].softmax(dim=1)
    sums = torch.stack([sum(mask[:, m] * age[:, c - m] for m in range(3) if 0 <= c - m < 3) for c in range(3)], dim=1)
    assert torch.allclose(outputs[:, :3].exp(), sums, atol=1e-6)
    assert torch.allclose(outputs[:, :3].softmax(dim=1), sums / sums.sum(dim=1, keepdim=True), atol=1e-6)
    outputs.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())


def test_the_state_holds_branches_only() -> None:
    coded = multitarget(TASK, 8, code=CODE)
    assert all(name.startswith("branches.") for name in coded.state_dict())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("label = mask*6 + gender*3 + age", r"'female' is no number; wanted \(column == 'female'\)"),
        ("label = mask*6 + sex*3 + age", "wanted a target = a formula of others"),
        ("label = label", "wanted a target = a formula of others"),
        ("mask*6 + age", "wanted a target = a formula of others|wanted a formula such as"),
        ("label = mask*", "wanted a formula such as"),
        ("label = mask*6 + age", "makes the class 3, 4, 5, 9, 10 of label"),
        ("label = mask**2 + age", r"'mask \*\* 2' is no part of a formula"),
        ("label = max(mask, age)", "is no part of a formula|wanted a target"),
        ("label = mask*6 + (gender == 1)*3 + age", "a number, 1, with a text, gender, which holds 'female'; wanted quotes"),
        ("label = (mask == '1')*6 + age", r"a number, mask, with a text, '1'; wanted no quotes, as in \(mask == 1\)"),
        ("label = mask*9223372036854775807 + age", "becomes too large; wanted results below"),
    ],
)
def test_codes_that_are_none(code, message) -> None:
    with pytest.raises(PluginError, match=message):
        multitarget(TASK, 8, code=code)


def test_classes_of_which_one_is_no_number_are_texts() -> None:
    site = Target("site", "multiclass", ("1", "3", "NA"), ("site",))
    third = Target("third", "binary", ("0", "1"), ("third",))
    head = multitarget(Task((site, third)), 8, init="default", code="third = site == '3'").eval()
    shares = head(FEATURES).detach()[:, :3].softmax(dim=1)
    torch.testing.assert_close(head(FEATURES)[:, 3:].exp(), torch.stack([shares[:, [0, 2]].sum(dim=1), shares[:, 1]], dim=1))
    with pytest.raises(PluginError, match="a number, 3, with a text, site"):
        multitarget(Task((site, third)), 8, code="third = site == 3")
