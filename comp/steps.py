"""Steps: what is done once to every image before it is resized and stored (`preprocess`), and what of it a store's key holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comp.api import Preprocess, Tables
from comp.catalog import Catalog
from comp.digest import hash_weights
from comp.errors import ImageError
from comp.images import check_array


@dataclass(frozen=True)
class Steps:
    """Preprocess steps, one after another; false where there are none. Pickles as what open_steps was given: a step is often a
    closure.

    Attributes:
        uses: what a manifest calls each.
        name: their arguments, sources and files, for the key of a store.
        given: to open_steps.
    """

    steps: tuple[Preprocess, ...] = ()
    uses: tuple[str, ...] = ()
    name: str = ""
    given: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __call__(self, image: np.ndarray, ref: str) -> np.ndarray:
        """Raises: ImageError: a step failed, or returned no image."""
        for use, step in zip(self.uses, self.steps):
            try:
                image = check_array(step(image, ref), f"preprocess {use!r}")
            except ImageError:
                raise
            except Exception as error:  # a plugin's code: its failure on one image is that image's fault
                raise ImageError(f"preprocess {use!r} raised {type(error).__name__}: {error}") from error
        return image

    def __reduce__(self) -> tuple[Any, ...]:
        return (open_steps, self.given) if self.given else (Steps, (self.steps, self.uses, self.name))

    def describe(self, ref: str) -> str:
        """What the steps' answers for this image depend on besides image, arguments and sources."""
        return "|".join(step.key(ref) for step in self.steps if hasattr(step, "key"))


NO_STEPS = Steps()


def open_steps(catalog: Catalog, specs: Sequence[Mapping[str, Any]], tables: Tables, root: Path) -> Steps:
    """The steps of a manifest's `preprocess`.

    Args:
        tables: of the images that they will be given.
        root: the workspace.

    Raises:
        PluginError: a step cannot be built.
    """
    if not specs:
        return NO_STEPS
    steps = tuple(catalog.build("preprocess", spec, tables=tables, root=root) for spec in specs)
    sources = catalog.source_hashes(("preprocess", spec) for spec in specs)
    files = hash_weights(catalog, {"preprocess": list(specs)}, root)
    name = json.dumps([list(specs), sources, files], sort_keys=True, default=str)
    return Steps(steps, tuple(spec["use"] for spec in specs), name, (catalog, specs, tables, root))
