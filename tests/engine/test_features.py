"""Stored features: worked out once, the same as those of the images, reused only where they would be the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.engine import fold as fold_module
from comp.engine.checkpoint import load_weights
from comp.engine.features import StoredFeatures, describe_model, identify_backbone, open_features, shows_the_same
from comp.engine.joined import join_rows
from comp.engine.network import Network
from comp.errors import RunInterrupted
from comp.events import Event, PredictionProgress
from comp.pictures import MOST_SHOWN, make_thumbnail
from comp.predictions import read_raw
from comp.project import hash_json

if TYPE_CHECKING:
    from tests.engine.conftest import Case, Desk

FROZEN = ("augment=[]", "stages=[{name: head, epochs: 3, freeze: backbone}]")
ROWS, HELD_OUT, TESTED = 100, 20, 20
SCALED = """\
from collections.abc import Callable
from comp.api import Backbone, Spec, plugin


@plugin("model")
def scaled(build: Callable[..., Backbone], /, *, backbone: Spec, by: float) -> Backbone:
    "Features times a number."
    made = build(backbone)
    made.register_forward_hook(lambda module, given, features: by * features)
    return made
"""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the backbone is shown, call by call."""
    from comp.plugins.model.cnn import Cnn

    counts: list[int] = []
    forward = Cnn.forward

    def counting(self: Cnn, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Cnn, "forward", counting)
    return counts


@pytest.fixture
def fresh(desk: Desk, tmp_path) -> Desk:
    """With an image store of its own: no other test has left features there."""
    object.__setattr__(desk, "cache", tmp_path / "cache")
    return desk


def show_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "open_features", lambda *given: None)


def test_training_shows_every_image_once_and_the_next_head_finds_the_features(fresh: Desk, seen: list[int]) -> None:
    fresh.case(*FROZEN).train()
    assert sum(seen) == ROWS + HELD_OUT + TESTED
    seen.clear()
    fresh.case(*FROZEN, "head={use: mlp, hidden: 8}").train()
    assert sum(seen) == HELD_OUT + TESTED
    seen.clear()
    fresh.case(*FROZEN, "seed=7").train()  # other weights, so other features
    assert sum(seen) == ROWS + HELD_OUT + TESTED


def test_it_trains_the_head_that_images_would_have_trained(fresh: Desk, monkeypatch) -> None:
    case = fresh.case(*FROZEN)
    folder, record = case.train()
    show_images(monkeypatch)
    other, wanted = case.train()
    stored, shown = load_weights(folder / record["weights"]), load_weights(other / wanted["weights"])
    assert all(torch.allclose(stored[name], shown[name], rtol=0, atol=1e-5) for name in shown)
    assert not torch.allclose(stored["head.1.weight"], case.network().state_dict()["head.1.weight"])
    for file in ("oof.parquet", "test.parquet"):
        assert np.allclose(read_raw(folder / file).outputs, read_raw(other / file).outputs, rtol=0, atol=1e-5)
    assert record["scores"] == wanted["scores"]


def test_where_the_cache_has_no_room_they_stay_in_memory(fresh: Desk, seen: list[int], monkeypatch, tmp_path) -> None:
    case = fresh.case(*FROZEN)
    stored, _ = case.train()
    assert len(list((tmp_path / "cache").glob("*/features-*"))) == 1
    for file in (tmp_path / "cache").glob("*/features-*"):
        file.unlink()
    seen.clear()
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    folder, _ = case.train()
    assert sum(seen) == ROWS + HELD_OUT + TESTED and not list((tmp_path / "cache").glob("*/features-*"))
    assert case.files(folder) == case.files(stored)


def test_stopped_and_resumed_it_ends_with_the_same_bits(fresh: Desk) -> None:
    case = fresh.case(*FROZEN)
    whole, _ = case.train()
    steps = iter(range(7))
    stopped = case.job(stop=lambda: next(steps, None) is None)
    with pytest.raises(RunInterrupted):
        case.train(stopped)
    folder, _ = case.train(case.job(folder=stopped.folder))
    assert case.files(folder) == case.files(whole)


def test_killed_after_its_last_epoch_it_ends_with_the_same_bits(fresh: Desk, monkeypatch) -> None:
    monkeypatch.setattr(fold_module, "CHECKPOINT_EVERY_S", 0.0)
    answer = StoredFeatures.answer  # whose last bits differ on some machines
    monkeypatch.setattr(StoredFeatures, "answer", lambda *given: answer(*given) + 1e-3)
    case = fresh.case(*FROZEN)
    whole, _ = case.train()

    def die(event: Event) -> None:
        if isinstance(event, PredictionProgress) and event.what == "test":
            raise KeyboardInterrupt

    job = case.job()
    with pytest.raises(KeyboardInterrupt):
        case.train(job, fresh.tale(die))
    assert (job.folder / "last.ckpt").exists()
    folder, _ = case.train(job)
    assert case.files(folder) == case.files(whole)


def test_the_report_gets_the_images_of_the_first_rows(fresh: Desk) -> None:
    case = fresh.case(*FROZEN)
    job = case.job()
    folder, _ = case.train(job)
    pictures = json.loads((folder / "samples.json").read_text())["stages"]["head"]
    chosen = case.stage(rows=job.train).draw_order(0)[:MOST_SHOWN]
    wanted = [make_thumbnail(image) for image in job.train.store.take(job.train.positions[chosen])]
    assert [one["jpeg"] for one in pictures] == wanted and len(set(wanted)) > 20
    assert [one["lines"] for one in pictures] == [[str(digit)] for digit in job.train.targets["label"][chosen]]


def take_features(case: Case, rows, size: tuple[int, int]) -> tuple[np.ndarray, Network]:
    stage = case.stage(rows=rows)
    features = open_features(stage, case.manifest, size)
    assert features is not None
    return features.of(rows, size), stage.network


def test_features_stand_in_the_rows_order_also_of_several_stores(fresh: Desk) -> None:
    case = fresh.case(*FROZEN)
    shuffled = case.rows.take(np.random.default_rng(0).permutation(ROWS)[:30])
    test = join_rows([case.rows.take(np.arange(3)), case.rows.take(np.arange(3))])
    for rows in (shuffled, test):
        found, network = take_features(case, rows, (16, 16))
        network.eval()
        with torch.no_grad():
            wanted = network.encode(network.prepare(torch.from_numpy(rows.store.take(rows.positions))))
        assert np.allclose(found, wanted.numpy(), atol=1e-5)


def test_another_size_has_other_features(fresh: Desk) -> None:
    case = fresh.case(*FROZEN)
    small, network = take_features(case, case.rows, (16, 16))
    large, _ = take_features(case, case.rows, (24, 24))
    assert small.shape == large.shape == (ROWS, network.backbone.features) and not np.allclose(small, large, atol=1e-2)


def test_another_argument_that_shows_in_no_layer_has_other_features(fresh: Desk) -> None:
    fresh.load("about: x\n")
    (fresh.project.experiments / "exp001" / "scaled.py").write_text(SCALED)
    found = []
    for by in (1.0, 2.0):
        case = fresh.case(*FROZEN, f"model={{use: scaled, by: {by}, backbone: {{use: cnn, widths: [4, 6], hidden: 12}}}}")
        found.append(take_features(case, case.rows, (16, 16))[0])
    assert found[0].any() and np.array_equal(found[1], 2 * found[0])


def test_where_a_weight_file_lies_does_not_count(desk: Desk) -> None:
    model = "model={use: multi_image, views: %d, backbone: {use: timm, arch: resnet18, pretrained: %s}}"
    mine, yours, other = (
        hash_json(describe_model(desk.case(model % given, "image.channels=3").manifest))
        for given in ((1, "/mine/a.pt"), (1, "/yours/a.pt"), (3, "/mine/a.pt"))
    )
    assert mine == yours != other


@pytest.mark.parametrize(
    ("sets", "same"),
    [
        (FROZEN, True),
        (("augment=[]", "stages=[{name: head, epochs: 1, freeze: [backbone]}]"), True),
        (("augment=[]", "stages=[{name: head, epochs: 1, freeze: norm}]"), False),
        (("augment=[]",), False),
        (FROZEN[1:], False),
        ((*FROZEN, "mix={use: mixup}"), False),
        ((*FROZEN, "objective={use: sam}"), False),
    ],
)
def test_where_every_epoch_shows_the_same(desk: Desk, sets, same: bool) -> None:
    assert shows_the_same(desk.case(*sets).manifest.stages[0]) is same


def test_a_backbone_is_known_by_its_weights_and_normalisation(desk: Desk) -> None:
    network, twin = desk.case().network(), desk.case().network()
    assert identify_backbone(network) == identify_backbone(twin)
    with torch.no_grad():
        next(twin.backbone.parameters())[0] += 1e-3
    darker = desk.case("image.mean=0.3").network()
    assert len({identify_backbone(one) for one in (network, twin, darker)}) == 3
