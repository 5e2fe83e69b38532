"""Several networks in one pass: the bits of each alone, however many memory holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from comp.engine import together
from comp.engine.network import Network
from comp.engine.predict import Member, PredictBatch, predict_views
from comp.engine.together import Joint, count_bytes
from comp.stores.stored import ImageStore

if TYPE_CHECKING:
    from tests.engine.conftest import Case, Desk

VIEWS = {"plain": None, "mirrored": lambda images: images.flip(-1)}
BATCH = PredictBatch(32, (16, 16))


@dataclass
class Three:
    """Three networks that answer differently, and what is told while they predict; `opened`: which were restored, in order."""

    case: Case
    networks: list[Network]
    opened: list[int] = field(default_factory=list)
    seen: list[range] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def predict(self) -> list[dict[str, np.ndarray]]:
        joint = Joint(self.case.fabric, self.case.rows, VIEWS, BATCH, 10, self.note, self.told.append)
        return list(joint.predict([self.opener(number) for number in range(3)]))

    def opener(self, number: int) -> Callable[[], Member]:
        def open_one() -> Member:
            self.opened.append(number)
            return Member(self.networks[number])

        return open_one

    def note(self, now: range, done: int, total: int) -> None:
        if done == total:
            self.seen.append(now)

    def demand_alone(self, found: list[dict[str, np.ndarray]]) -> None:
        """Raises AssertionError: not the bits of each network by itself."""
        alone = [predict_views(network, self.case.fabric, self.case.rows, VIEWS, BATCH) for network in self.networks]
        assert not np.allclose(alone[0]["plain"], alone[2]["plain"], atol=1e-3)
        for one, other in zip(found, alone, strict=True):
            assert list(one) == list(VIEWS) and all(np.array_equal(one[view], other[view]) for view in VIEWS)


@pytest.fixture
def three(desk: Desk) -> Three:
    case = desk.case(plain=True)
    networks = [case.network() for _ in range(3)]
    with torch.no_grad():
        for number, network in enumerate(networks):
            for weight in network.parameters():
                weight.mul_(1 + number / 2)
    return Three(case, networks)


def test_all_that_fit_predict_in_one_pass_over_the_images(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, take = [], ImageStore.take
    monkeypatch.setattr(ImageStore, "take", lambda self, positions: (taken.append(len(positions)), take(self, positions))[1])
    found = three.predict()
    assert sum(taken) == len(three.case.rows) and three.seen == [range(0, 3)] and three.told == []
    three.demand_alone(found)


def test_where_memory_holds_two_the_third_comes_after_them(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = sum(value.numel() * 4 for value in three.networks[0].state_dict().values() if value.is_floating_point())
    assert weights <= count_bytes(three.networks[0]) <= weights + 100  # scale and shift, and batch counts
    each = count_bytes(three.networks[0]) + 2 * len(three.case.rows) * 10 * 2 * 4
    monkeypatch.setattr(together, "measure_free", lambda device: 2.1 * each / together.SHARE / 2)
    three.demand_alone(three.predict())
    assert three.seen == [range(0, 2), range(2, 3)] and three.opened == [0, 1, 2]
    [text] = three.told
    assert "holds 2 of the 3 models at a time: the images are looked at 2 times" in text


def test_answers_are_as_many_as_the_machine_has_room_for(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = len(three.case.rows) * 10 * 2 * 4
    given, elsewhere = [1e12, 2.5 * answers / together.SHARE], torch.device("meta")  # a GPU's, and the machine's, for two
    monkeypatch.setattr(together, "measure_free", lambda device: given[device.type == "cpu"])
    fabric = SimpleNamespace(device=elsewhere)
    joint = Joint(fabric, three.case.rows, VIEWS, BATCH, 10, three.note, three.told.append)
    assert len(joint.open_some([three.opener(number) for number in range(3)])) == 2
    given[1] = 0
    assert len(joint.open_some([three.opener(number) for number in range(3)])) == 1


def test_where_a_batch_has_no_room_beside_them_there_are_fewer(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, room = Network.forward, [4]  # the fifth forward pass finds none

    def failing(self: Network, images: torch.Tensor) -> torch.Tensor:
        room[0] -= 1
        if room[0] == 0:
            raise torch.OutOfMemoryError
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", failing)
    found = three.predict()
    assert three.seen == [range(0, 1), range(1, 2), range(2, 3)] and three.opened == [0, 1, 2, 0, 1, 2]
    assert "1 of the 3 models" in three.told[0] and len(three.told) == 1
    three.demand_alone(found)


class Weighed(nn.Module):
    """Answers the mean colour, and the sum of its rows' own features."""

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2) / 255

    def forward(self, images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.stack([images.mean(dim=(1, 2, 3)), table.sum(dim=1)], dim=1)


def test_each_network_is_given_its_own_features_of_the_rows(three: Three) -> None:
    rows = three.case.rows.take(np.arange(70))
    tables = [np.random.default_rng(seed).normal(size=(70, 3)).astype(np.float32) for seed in range(2)]
    joint = Joint(three.case.fabric, rows, {"plain": None}, BATCH, 2, lambda *now: None, three.told.append)
    found = joint.predict([lambda table=table: Member(Weighed(), table) for table in tables])
    colours = rows.store.take(rows.positions).mean(axis=(1, 2, 3)) / 255
    for outputs, table in zip(found, tables, strict=True):
        assert np.allclose(outputs["plain"], np.stack([colours, table.sum(axis=1)], axis=1), atol=1e-5)
