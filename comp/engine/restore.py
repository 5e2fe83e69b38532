"""Restoring: a fold's network from its stored weights, for predictions that were not made when it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from comp.api import ImageSpec, Link, Task
from comp.combinations import is_gatherer
from comp.engine.checkpoint import load_weights
from comp.engine.ensembles import EnsembleNetwork
from comp.engine.network import ClassCounts, Network, build_network, find_layout
from comp.engine.sizes import without_weights
from comp.engine.tabular import read_encoder
from comp.errors import WeightsError
from comp.manifest import Manifest
from comp.runs import read_fold


def restore_network(
    manifest: Manifest, task: Task, image: ImageSpec, folder: Path, fabric: Fabric
) -> tuple[Network | EnsembleNetwork, dict[str, Link]]:
    """The network that predicted for a complete fold, on the device, and the links of its outputs.

    Raises:
        WeightsError: the fold is not complete, or its weights do not fit the manifest's model.
    """
    record = read_fold(folder)
    if record is None:
        raise WeightsError(f"{folder} holds no finished fold; `comp run {manifest.name}` trains it.")
    encoder = read_encoder(folder)
    network = build_empty(manifest, task, image, record["links"], encoder.width if encoder else 0)
    try:
        network.load_state_dict(load_weights(folder / record["weights"]))
    except RuntimeError as error:
        shown = "\n".join(str(error).splitlines()[:5])  # torch lists every key
        raise WeightsError(f"{folder / record['weights']} does not fit the model of {manifest.name}: {shown}") from error
    network = fabric.to_device(network).to(memory_format=find_layout(network))
    return network.eval(), record["links"]


def build_empty(
    manifest: Manifest, task: Task, image: ImageSpec, links: Mapping[str, Link], table_width: int = 0
) -> Network | EnsembleNetwork:
    """The manifest's network, untrained: its pretrained weights are not looked for."""
    values: dict[str, Any] = {**manifest.values, "model": without_weights(manifest.values["model"])}
    # Heads take class counts for their initial bias only, which the stored weights replace.
    counts = ClassCounts({target.name: np.ones(len(target.classes)) for target in task.targets}, 2)

    def make_network() -> Network:
        return build_network(manifest.catalog, values, task, image, counts, ("restored",), table_width)

    network = make_network()
    if not values["ensemble"] or is_gatherer(manifest.catalog, values["ensemble"]["use"]):
        return network
    ensemble = manifest.catalog.build("ensemble", values["ensemble"], task=task)
    return EnsembleNetwork(ensemble.assemble(make_network, links), network)
