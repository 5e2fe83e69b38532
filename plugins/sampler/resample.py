"""imbalanced-learn's under- and over-sampling by name, on the training part of a fold only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from comp.api import PluginError, Sampler, Task, plugin

from ._classes import combine_classes

OURS = ("self", "random_state", "shrinkage")


def names() -> tuple[str, ...]:
    """Those that choose among rows at random; the others measure distances between, or make up, rows of a table."""
    return ("RandomUnderSampler", "RandomOverSampler")


def signature(name: str, arguments: dict[str, Any]) -> inspect.Signature:
    """What the class takes, less what the kit gives it and what would make up images."""
    given = inspect.signature(find_class(name).__init__)
    return inspect.Signature([parameter for key, parameter in given.parameters.items() if key not in OURS])


@plugin("sampler", family="method", names="names", signature="signature")
def resample(
    task: Task, targets: Mapping[str, np.ndarray], /, *, method: str = "RandomUnderSampler", **arguments: Any
) -> Sampler:
    """A sampler of imbalanced-learn, drawn anew for every epoch; other keys go to it (sampling_strategy, replacement).

    RandomUnderSampler shows every class as often as the rarest, RandomOverSampler as often as the most frequent, unless
    sampling_strategy says otherwise: a share of the rarer of two classes, or a mapping of class to rows. Several targets: the
    classes are their combinations (targets that are numbers left out).

    Args:
        method: RandomUnderSampler or RandomOverSampler.

    Raises:
        PluginError: imbalanced-learn has no such sampler, or refuses an argument; sampling_strategy names no
            class; a target holds label sets, or no target has classes.

    Example: {use: resample, method: RandomUnderSampler, sampling_strategy: not minority}
    """
    if method not in names():
        raise PluginError(f"sampler.method is {method!r}; of imbalanced-learn's, {' and '.join(names())} choose among images")
    classes = combine_classes(task, targets, "resample")
    if isinstance(arguments.get("sampling_strategy"), Mapping):
        arguments = {**arguments, "sampling_strategy": number_classes(task, arguments["sampling_strategy"])}
    build = find_class(method)

    def draw(generator: np.random.Generator) -> np.ndarray:
        try:
            chooser = build(**arguments, random_state=int(generator.integers(2**31)))
            chooser.fit_resample(np.arange(len(classes))[:, None], classes)
        except (TypeError, ValueError) as error:
            raise PluginError(f"sampler {method}: {error}") from error
        # Under-sampling keeps the rows of a class together.
        return generator.permutation(np.asarray(chooser.sample_indices_, dtype=np.int64))

    return draw


def find_class(name: str) -> Any:
    from imblearn import over_sampling, under_sampling

    return getattr(under_sampling, name, None) or getattr(over_sampling, name)


def number_classes(task: Task, wanted: Mapping[Any, int]) -> dict[int, int]:
    """Class -> rows with the classes numbered, as imbalanced-learn is given them."""
    known = [target for target in task.targets if target.classes]
    numbers = {name: number for number, name in enumerate(known[0].classes)} if len(known) == 1 else {}
    strange = [str(name) for name in wanted if str(name) not in numbers]
    if strange:
        known_as = f"{known[0].name} has {', '.join(known[0].classes[:10])}" if numbers else "several targets have no names"
        raise PluginError(f"sampler.sampling_strategy: no class {', '.join(strange)}; {known_as}")
    return {numbers[str(name)]: rows for name, rows in wanted.items()}
