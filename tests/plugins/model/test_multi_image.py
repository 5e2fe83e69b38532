from __future__ import annotations

import pytest
import torch

from comp.api import ImageSpec, PluginError
from comp.plugins.model.multi_image import multi_image

IMAGE = ImageSpec((8, 8), (10, 10), channels=6)
MEANS = {"use": "means"}
GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture
def images() -> torch.Tensor:
    """Four rows of three images with two channels: 3, 2 (the middle one is missing), 1 and none."""
    found = torch.randn(4, 6, 8, 8, generator=torch.Generator().manual_seed(0))
    for row, view in ((1, 1), (2, 0), (2, 2), (3, 0), (3, 1), (3, 2)):
        found[row, 2 * view : 2 * view + 2] = torch.tensor([-0.5, -1.5]).view(2, 1, 1)
    return found


def features_of(images: torch.Tensor, row: int, view: int) -> torch.Tensor:
    view_ = images[row, 2 * view : 2 * view + 2]
    return torch.cat([view_.mean(dim=(1, 2)), view_.amax(dim=(1, 2))])


SHOWN = {0: (0, 1, 2), 1: (0, 2), 2: (1,), 3: (0, 1, 2)}


@pytest.mark.parametrize(("pool", "reduce"), [("mean", lambda x: x.mean(dim=0)), ("max", lambda x: x.amax(dim=0))])
def test_images_that_are_there_are_pooled(build, images, pool, reduce) -> None:
    network = multi_image(IMAGE, build, backbone=MEANS, views=3, pool=pool)
    outputs = network(images)
    assert outputs.shape == (4, network.features) == (4, 4)
    for row, shown in SHOWN.items():
        assert torch.allclose(outputs[row], reduce(torch.stack([features_of(images, row, view) for view in shown])), atol=1e-6)
    assert network.backbone.seen == [3 + 2 + 1 + 3], "padding never enters the backbone"


def test_concat_keeps_places_and_leaves_zeros(build, images) -> None:
    network = multi_image(IMAGE, build, backbone=MEANS, views=3, pool="concat")
    outputs = network(images).view(4, 3, 4)
    assert network.features == 12
    for row, shown in SHOWN.items():
        for view in range(3):
            expected = features_of(images, row, view) if view in shown else torch.zeros(4)
            assert torch.allclose(outputs[row, view], expected, atol=1e-6)


def test_attention_is_a_weighted_mean_of_what_is_there(build, images) -> None:
    network = multi_image(IMAGE, build, backbone=MEANS, views=3, pool="attention", hidden=5)
    outputs, attention = network(images), network.attention
    for row, shown in SHOWN.items():
        bag = torch.stack([features_of(images, row, view) for view in shown])
        # Ilse et al. 2018, eq. 9, by hand.
        hidden = torch.tanh(bag @ attention.content.weight.T + attention.content.bias)
        hidden = hidden / (1 + torch.exp(-(bag @ attention.gate.weight.T + attention.gate.bias)))
        shares = torch.softmax(hidden @ attention.score.weight[0], dim=0)
        assert torch.allclose(outputs[row], shares @ bag, atol=1e-5)
    outputs.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_the_order_of_a_bag_does_not_matter(build, images) -> None:
    torch.manual_seed(0)
    network = multi_image(IMAGE, build, backbone=MEANS, views=3, pool="attention")
    turned = images.view(4, 3, 2, 8, 8)[:, [2, 0, 1]].flatten(1, 2)
    assert torch.allclose(network(images), network(turned), atol=1e-6)


def test_the_backbone_is_built_for_one_image(build) -> None:
    image = ImageSpec((8, 8), (8, 8), 6, mean=(0.1, 0.2) * 3)
    network = multi_image(image, build, backbone=MEANS, views=3)
    assert (network.backbone.image.channels, network.backbone.image.mean, network.backbone.image.std) == (2, (0.1, 0.2), None)
    assert network.mean == (0.5,) * 6 and network.std == (0.25,) * 6 and network.any_size


def test_half_precision_and_other_sizes(build, images) -> None:
    network = multi_image(IMAGE, build, backbone=MEANS, views=3, pool="attention")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(network(images.to(torch.bfloat16))).all()
    assert network(torch.randn(2, 6, 10, 10)).shape == (2, 4)


def test_what_it_refuses(build) -> None:
    with pytest.raises(PluginError, match="model.views is 4, but image.channels is 6"):
        multi_image(IMAGE, build, backbone=MEANS, views=4)
    with pytest.raises(PluginError, match="views and hidden of 1 or more; given 0 and 128"):
        multi_image(IMAGE, build, backbone=MEANS, views=0)
    with pytest.raises(PluginError, match="multi_image takes a table of columns"):
        multi_image(IMAGE, build, backbone={"use": "table"}, views=3)
