"""Training pictures as the network was given them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from comp.api import Batch, Mixed, Target, Task
from comp.engine.network import Network
from comp.engine.samples import Samples

TASK = Task((Target("label", "multiclass", ("cat", "dog"), ("label",)),))


class Backbone(torch.nn.Module):
    pass


@pytest.fixture
def network() -> Network:
    return Network(Backbone(), torch.nn.Identity(), (0.2, 0.3, 0.4), (0.5, 0.6, 0.7))


def draw(network: Network, red: int, count: int = 10) -> Batch:
    """Pictures whose red is `red` plus their place, as the network takes them; every second one is a dog."""
    pixels = torch.zeros((count, 32, 32, 3), dtype=torch.uint8)
    pixels[..., 0] = red + torch.arange(count, dtype=torch.uint8)[:, None, None]
    return Batch(network.prepare(pixels), {"label": torch.arange(count) % 2}, torch.ones(count))


def read(folder: Path, stage: str = "all") -> list[tuple[int, list[str]]]:
    """(red of the middle, lines) of each picture."""
    stored = json.loads((folder / "samples.json").read_text())
    assert stored["format"] == 1
    pictures = [
        (cv2.imdecode(np.frombuffer(base64.b64decode(one["jpeg"]), np.uint8), cv2.IMREAD_COLOR), one["lines"])
        for one in stored["stages"][stage]
    ]
    return [(int(image[48, 48, 2]), lines) for image, lines in pictures]


def test_eight_of_each_of_the_first_three_batches_unnormalised(tmp_path, network) -> None:
    samples = Samples(tmp_path, "all", TASK, network)
    for red in (20, 100, 200, 250):
        samples.look(draw(network, red, 10))
    assert not list(tmp_path.iterdir())  # a stage that ends early leaves nothing
    samples.write()
    found = read(tmp_path)
    wanted = [red + place for red in (20, 100, 200) for place in range(8)]
    assert max(abs(red - own) for (red, _), own in zip(found, wanted, strict=True)) <= 2
    assert [lines for _, lines in found][:3] == [["cat"], ["dog"], ["cat"]]


def test_a_mixed_batch_shows_what_it_was_mixed_to(tmp_path, network) -> None:
    batch = draw(network, 100, 4)
    mixed = Mixed(torch.flip(batch.images, [0]), torch.tensor([3, 2, 1, 0]), torch.tensor([0.25, 0.5, 0.5, 1.0]))
    seen = []
    samples = Samples(tmp_path, "all", TASK, network)
    ask = samples.watch(lambda network, batch, mixed, losses: seen.append((batch, mixed, losses)) or "answer")
    assert ask(network, batch, mixed, "losses") == "answer" and seen == [(batch, mixed, "losses")]
    samples.write()
    found = read(tmp_path)
    assert max(abs(red - own) for (red, _), own in zip(found, [103, 102, 101, 100], strict=True)) <= 2
    assert found[0][1] == ["cat (25%)", "dog (75%)"] and found[3][1] == ["dog"]


def test_a_stage_that_was_written_stays_and_another_joins_it(tmp_path, network) -> None:
    for stage, red in (("head", 20), ("all", 120), ("head", 220)):
        samples = Samples(tmp_path, stage, TASK, network)
        samples.look(draw(network, red, 2))
        samples.write()
    assert abs(read(tmp_path, "head")[0][0] - 20) <= 2 and abs(read(tmp_path, "all")[0][0] - 120) <= 2


def test_rows_whose_targets_do_not_count_have_no_label(tmp_path, network) -> None:
    batch = draw(network, 100, 2)
    samples = Samples(tmp_path, "all", TASK, network)
    samples.look(Batch(batch.images, batch.targets, batch.weights, labelled=torch.tensor([True, False])))
    samples.write()
    assert [lines for _, lines in read(tmp_path)] == [["cat"], ["not labelled"]]


def test_a_loop_of_its_own_is_watched_by_its_batches(tmp_path, network) -> None:
    given = [draw(network, red, 3) for red in (20, 60)]
    samples = Samples(tmp_path, "all", TASK, network)
    passed = list(samples.watch_batches(lambda number, draw=None: iter(given))(0))
    samples.write()
    assert passed == given and len(read(tmp_path)) == 6


def test_nothing_is_written_where_nothing_was_seen(tmp_path, network) -> None:
    Samples(tmp_path, "all", TASK, network).write()
    assert not list(tmp_path.iterdir())
