"""A branch for each target, on shared features; a target that is a code of the others is answered by their branches."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from comp.api import Head, PluginError, Task, plugin, read_formula


@plugin("head")
def multitarget(
    task: Task,
    features: int,
    /,
    *,
    hidden: int | None = None,
    dropout: float = 0.0,
    init: Literal["zero", "small", "default"] = "zero",
    code: str | None = None,
) -> Head:
    """One branch per target, (B, features) -> (B, outputs), side by side in the task's order.

    How much a target's loss counts is said by the loss: `loss: {mask: {use: focal, weight: 2.0}, age: {use: cross_entropy}}`.
    A joint code is one more target, without a branch: its classes' probabilities are the products of the parts', as in
    `code: label = mask*6 + gender*3 + age`. So label may be what is scored, and the parts be auxiliary targets.

    Args:
        hidden: width of a hidden ReLU layer in every branch, from 1; null: a branch is one linear layer.
        dropout: share of what enters a branch's last layer dropped in training, in [0, 1).
        init: how the last layers' weights start. zero: at 0; small: normal with standard deviation 0.01; default: torch's
            own, whose first logits are so large that fine-tuning a pretrained backbone suffers.
        code: `target = formula of other targets`, in + - * // % and comparisons; where all classes of a target are whole numbers
            they count as those, else they are texts to compare with, as in `label = mask*2 + (gender == 'female')`;
            null: every target has a branch.

    Raises:
        PluginError: a parameter is out of its range; the code names no targets, or none of its values is some class.

    Example: {use: multitarget, hidden: 256}
    """
    if hidden is not None and hidden < 1:
        raise PluginError(f"head.hidden is {hidden}; wanted 1 or more units, or null")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    joint = read_code(code, task) if code is not None else None
    own = [target for target in task.targets if joint is None or target.name != joint.name]
    return Branches([make_branch(features, target.width, hidden, dropout, init) for target in own], task, joint)


class Branches(nn.Module):
    def __init__(self, branches: list[nn.Module], task: Task, joint: Joint | None) -> None:
        super().__init__()
        # Numbered, not named: a column's name may hold dots, which torch refuses.
        self.branches = nn.ModuleList(branches)
        self.names = [target.name for target in task.targets]
        self.joint = joint

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        outputs = [branch(features) for branch in self.branches]
        if self.joint is not None:
            place = self.names.index(self.joint.name)
            known = dict(zip([*self.names[:place], *self.names[place + 1 :]], outputs, strict=True))
            outputs.insert(place, self.joint(known))
        return torch.cat([output.float() for output in outputs] if self.joint is not None else outputs, dim=1)


def make_branch(features: int, outputs: int, hidden: int | None, dropout: float, init: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    if hidden is not None:
        inner = nn.Linear(features, hidden)
        nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")
        nn.init.zeros_(inner.bias)
        layers = [inner, nn.ReLU()]
    last = nn.Linear(hidden or features, outputs)
    if init != "default":
        nn.init.normal_(last.weight, std={"zero": 0.0, "small": 0.01}[init])
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.Dropout(dropout), last)


# ---- joint code ----------------------------------------------------------------------------------------------------------


class Joint(nn.Module):
    """Log-probabilities of a target's classes, each the sum over the combinations of the parts' classes that make it."""

    def __init__(self, name: str, parts: list[str], combinations: list[list[tuple[int, ...]]]) -> None:
        super().__init__()
        self.name, self.parts = name, parts
        flat = [combination for found in combinations for combination in found]
        ends = list(itertools.accumulate(len(found) for found in combinations))
        longest = max(len(found) for found in combinations)
        # Filled up with the number of a combination that is impossible.
        rows = [[*range(end - len(found), end)] for found, end in zip(combinations, ends, strict=True)]
        self.register_buffer("chosen", torch.tensor(flat), persistent=False)
        self.register_buffer(
            "grouped", torch.tensor([row + [len(flat)] * (longest - len(row)) for row in rows]), persistent=False
        )

    def forward(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logs = [outputs[part].float().log_softmax(dim=1)[:, self.chosen[:, i]] for i, part in enumerate(self.parts)]
        whole = torch.stack(logs).sum(dim=0)
        impossible = whole.new_full((len(whole), 1), -torch.inf)
        return torch.cat([whole, impossible], dim=1)[:, self.grouped].logsumexp(dim=2)


def read_code(code: str, task: Task) -> Joint:
    """The joint target that `name = formula` describes.

    Raises:
        PluginError: it does not parse, names no targets of classes, or leaves a class without a combination.
    """
    name, _, formula = (part.strip() for part in code.partition("="))
    classes = {target.name: target.classes for target in task.targets if target.link == "softmax"}
    try:
        read = read_formula(formula)
    except ValueError:
        raise PluginError(f"head.code is {code!r}; wanted a formula such as label = mask*6 + gender*3 + age") from None
    parts = read.names
    if name not in classes or not parts or name in parts or not classes.keys() >= set(parts):
        there = ", ".join(classes)
        raise PluginError(f"head.code is {code!r}; wanted a target = a formula of others; targets of classes are {there}")
    known = {part: read_classes(classes[part]) for part in parts}
    found: dict[str, list[tuple[int, ...]]] = {label: [] for label in classes[name]}
    for combination in itertools.product(*(range(len(classes[part])) for part in parts)):
        values = {part: known[part][number] for part, number in zip(parts, combination, strict=True)}
        try:
            made = str(read.evaluate(values))
        except ValueError as error:
            raise PluginError(f"head.code is {code!r}: {error}") from error
        # A combination that makes no class was never seen: it has no share in the answer.
        found.get(made, []).append(combination)
    empty = [label for label, combinations in found.items() if not combinations]
    if empty:
        raise PluginError(f"head.code: no combination of {', '.join(parts)} makes the class {', '.join(empty[:5])} of {name}")
    return Joint(name, list(parts), list(found.values()))


def read_classes(names: Sequence[str]) -> list[int] | list[str]:
    """The classes of a target as numbers, where all are whole numbers, else as texts."""
    return [int(name) for name in names] if all(re.fullmatch(r"-?\d+", name) for name in names) else list(names)
