"""The network: normalised as the weights want, initialised from its key alone, frozen in part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from torch import nn

from comp.api import ImageSpec
from comp.engine.losses import count_classes
from comp.engine.network import ClassCounts, Network, build_network, enter_training, fit_channels, freeze_parts, is_norm
from comp.errors import PluginError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


@pytest.mark.parametrize("channels", [1, 3])
def test_prepare_is_x_over_255_less_mean_over_std(channels) -> None:
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    network = Network(nn.Identity(), nn.Identity(), mean, std)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, channels), dtype=np.uint8)
    pixels[0, 0, :2] = [[0], [255]]
    found = network.prepare(torch.from_numpy(pixels))
    expected = ((pixels.astype(np.float64) / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)
    assert found.dtype == torch.float32 and found.shape == (2, channels, 5, 4)
    assert np.abs(found.numpy() - expected).max() < 1e-6
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(pixels[0, 0, 0], [0] * channels), "what is in the store stays as it is"


def test_the_manifests_mean_and_std_come_before_the_weights(desk: Desk) -> None:
    own = desk.case("image.mean=0.2", "image.std=0.4").network()
    white = torch.full((1, 16, 16, 1), 255, dtype=torch.uint8)
    assert own.prepare(white).mean().item() == pytest.approx((1 - 0.2) / 0.4)
    assert desk.case().network().prepare(white).mean().item() == pytest.approx((1 - 0.5) / 0.5)


def test_statistics_of_colours_become_their_mean_for_other_channels() -> None:
    assert fit_channels((0.1, 0.2, 0.6), ImageSpec((8, 8), (8, 8), channels=1)) == (pytest.approx(0.3),)
    assert fit_channels((0.1, 0.2, 0.6), ImageSpec((8, 8), (8, 8), channels=3)) == (0.1, 0.2, 0.6)


def test_the_normalisation_is_no_part_of_the_weights(desk: Desk) -> None:
    assert not {"scale", "shift"} & desk.case().network().state_dict().keys()


def test_initial_weights_come_from_the_key_alone(desk: Desk) -> None:
    case = desk.case("head={use: linear, init: small}")
    first = case.network().state_dict()
    torch.manual_seed(123)
    torch.rand(7)
    again = case.network().state_dict()
    counts = ClassCounts(count_classes(case.task, case.rows.targets), len(case.rows))
    different = build_network(case.manifest.catalog, case.manifest.values, case.task, case.image, counts, (42, "1")).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.body.0.weight"], different["backbone.body.0.weight"])


def test_a_head_of_another_width_is_named(desk: Desk) -> None:
    folder = desk.project.root / "plugins"
    folder.mkdir()
    (folder / "narrow.py").write_text(
        "from torch import nn\nfrom comp.api import Head, plugin\n\n\n@plugin('head')\ndef narrow(features: int, /) -> Head:\n"
        '    """Two outputs."""\n    return nn.Sequential(nn.Dropout(0.5), nn.Linear(features, 2))\n'
    )
    with pytest.raises(PluginError, match=r"head 'narrow' answers \(2,\) values per image; the task has 10 outputs \(0, 1, "):
        desk.case("head={use: narrow}").network()


def test_checking_the_head_leaves_it_in_training(desk: Desk) -> None:
    assert desk.case().network().head.training


NORMS = ("resnet18", "convnext_atto", "efficientnet_b0", "vit_tiny_patch16_224")


@pytest.mark.parametrize("arch", NORMS)
def test_every_norm_of_timm_is_known_as_one(arch) -> None:
    with torch.device("meta"):
        network = timm.create_model(arch, num_classes=0)
    for name, module in network.named_modules():
        expected = any(part in type(module).__name__ for part in ("BatchNorm", "LayerNorm", "GroupNorm"))
        assert is_norm(module) == expected, (name, type(module).__name__)
    assert sum(map(is_norm, network.modules())) > 10


def test_freezing_and_thawing() -> None:
    backbone = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    network = Network(backbone, nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), (0.5,), (0.5,))

    def state() -> tuple[list[bool], list[bool]]:
        layers = [*backbone, *network.head]
        learning = [all(weight.requires_grad for weight in layer.parameters()) for layer in layers]
        return learning, [layer.training for layer in layers]

    def enter(freeze: str | list[str] | None) -> tuple[list[bool], list[bool]]:
        enter_training(network, freeze_parts(network, freeze))
        return state()

    network.eval()
    assert enter("backbone") == ([False, False, True, True, True], [False, False, False, True, True])
    assert enter("norm") == ([True, False, True, True, True], [True, False, True, True, True])
    assert enter(None) == ([True] * 5, [True] * 5)
    # Of the backbone's layers only the first two have weights.
    assert enter("layers:1") == ([False, True, True, True, True], [False, True, True, True, True])
    assert enter("layers:2") == ([False, False, True, True, True], [False, False, True, True, True])
    assert enter(["0", "norm"]) == enter("layers:2")
    assert enter("*.bias")[0] == [False, False, True, True, True]
    assert backbone[0].weight.requires_grad and not backbone[0].bias.requires_grad
    for wrong in ("layers:3", "layers:x", "stem*"):
        with pytest.raises(PluginError, match="freeze"):
            enter(wrong)


def test_a_backbone_that_does_not_say_what_it_is(desk: Desk) -> None:
    case = desk.case(plain=True)
    counts = ClassCounts(count_classes(case.task, case.rows.targets), len(case.rows))

    class Catalog:
        def build(self, kind, spec, **offers):
            return nn.Flatten()

    with pytest.raises(PluginError, match=r"model 'cnn'.*\(Flatten\) has no features, mean, std, any_size"):
        build_network(Catalog(), case.manifest.values, case.task, case.image, counts, (1,))
