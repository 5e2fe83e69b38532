from __future__ import annotations

import pytest
import torch

from comp.api import PluginError
from comp.plugins.ensemble.soup import soup


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"a": torch.tensor([value]), "batches": torch.tensor(3)}


def closeness(given: dict[str, torch.Tensor]) -> float:
    """A score whose best weight is 10."""
    return -abs(given["a"].item() - 10)


def cook(values: list[float], candidates: int = 10) -> tuple[float, list[int], list[float]]:
    gatherer, tasted = soup(len(values), candidates=candidates), []
    for epoch, value in enumerate(values):
        gatherer.gather(epoch, weights(value), closeness(weights(value)))

    def judge(given: dict[str, torch.Tensor]) -> float:
        tasted.append(given["a"].item())
        return closeness(given)

    mean, epochs = gatherer.finish(judge, lambda _: pytest.fail("statistics are averaged"))
    return mean["a"].item(), epochs, tasted


def test_an_epoch_joins_where_the_score_does_not_fall() -> None:
    # From the best down: 9 (-1); with 12 the mean is 10.5 (-0.5), so it joins; with 7 it is 28/3 (-0.67), so it does not;
    # with 14 it is 35/3 (-1.67), which neither does; with 4 it is 25/3.
    mean, epochs, tasted = cook([4.0, 14.0, 7.0, 12.0, 9.0])
    assert mean == 10.5 and epochs == [3, 4]
    assert tasted == pytest.approx([10.5, 28 / 3, 35 / 3, 25 / 3])


def test_an_equal_score_joins_and_the_later_of_equal_epochs_comes_first() -> None:
    mean, epochs, tasted = cook([9.0, 9.0])
    assert (mean, epochs, tasted) == (9.0, [0, 1], [9.0])


def test_it_is_never_worse_than_its_best_epoch() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        values = (10 + 5 * torch.randn(6)).tolist()
        mean, _, _ = cook(values)
        assert closeness(weights(mean)) >= max(closeness(weights(value)) for value in values) - 1e-6


def test_the_best_candidates_alone_are_kept() -> None:
    gatherer = soup(20, candidates=2)
    for epoch, value in enumerate([4.0, 14.0, 7.0, 12.0, 9.0]):
        gatherer.gather(epoch, weights(value), closeness(weights(value)))
    assert [epoch for _, epoch, _ in gatherer.found] == [4, 3]


def test_without_held_out_rows_the_last_epoch_stays() -> None:
    gatherer = soup(3)
    gatherer.gather(0, weights(1.0), None)
    assert gatherer.finish(closeness, dict) is None and gatherer.chooses


def test_its_state_goes_on() -> None:
    first, second = soup(4), soup(4)
    for epoch, value in enumerate([9.0, 12.0]):
        first.gather(epoch, weights(value), closeness(weights(value)))
    second.load(first.state())
    mean, epochs = second.finish(closeness, dict)
    assert mean["a"].item() == 10.5 and mean["batches"] == 3 and epochs == [0, 1]


def test_what_it_refuses() -> None:
    with pytest.raises(PluginError, match="ensemble.candidates is 0"):
        soup(4, candidates=0)
