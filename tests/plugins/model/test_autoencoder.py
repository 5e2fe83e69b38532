from __future__ import annotations

import pytest
import torch
from torch import nn

from comp.api import ImageSpec, PluginError
from comp.plugins.model.autoencoder import autoencoder

GREY = ImageSpec((32, 40), (48, 48), channels=1)
MEANS = {"use": "means"}


def test_the_code_has_a_quarter_of_the_side_and_is_the_inner_models_image(build) -> None:
    network = autoencoder(GREY, build, backbone=MEANS)
    images = torch.rand(3, 1, 32, 40)
    code = network.encode(images)
    assert code.shape == (3, 3, 8, 10) and code.min() >= 0
    inner = network.backbone.image
    assert (inner.size, inner.predict_size, inner.channels, inner.mean) == ((8, 10), (12, 12), 3, None)
    network.eval()
    assert torch.equal(network(images), network.backbone(network.encode(images))) and network.features == 6


def test_an_image_of_896_px_is_a_code_of_224(build) -> None:
    with torch.device("meta"):
        network = autoencoder(ImageSpec((896, 896), (896, 896), 1), build, backbone=MEANS)
    assert network.encode(torch.zeros(1, 1, 896, 896, device="meta")).shape == (1, 3, 224, 224)


def test_the_layers_are_those_of_the_write_up(build) -> None:
    network = autoencoder(GREY, build, backbone=MEANS)
    widths = {
        part: [layer.out_channels for layer in getattr(network, part).modules() if isinstance(layer, nn.Conv2d)]
        for part in ("encoder", "from_code", "from_half", "to_image")
    }
    assert widths == {"encoder": [16, 16, 8, 3], "from_code": [8, 8], "from_half": [16, 16], "to_image": [1]}
    pools = [number for number, layer in enumerate(network.encoder) if isinstance(layer, nn.MaxPool2d)]
    assert pools == [6, 13]


@pytest.mark.parametrize("size", [(32, 40), (33, 46), (27, 31)])
def test_reconstructions_have_the_images_size_and_lie_in_0_to_1(build, size) -> None:
    network = autoencoder(ImageSpec(size, size, 3), build, backbone=MEANS)
    images = torch.rand(2, 3, *size)
    found, wanted = network.reconstruct(images)
    assert found.shape == wanted.shape == images.shape and torch.equal(wanted, images)
    assert 0 <= found.min() and found.max() <= 1


def test_what_is_wanted_is_the_image_before_it_was_normalised(build) -> None:
    network = autoencoder(ImageSpec((8, 8), (8, 8), 2, mean=(0.5, 0.25), std=(0.5, 0.125)), build, backbone=MEANS)
    images = torch.rand(2, 2, 8, 8)
    mean, std = torch.tensor([0.5, 0.25]).view(2, 1, 1), torch.tensor([0.5, 0.125]).view(2, 1, 1)
    _, wanted = network.reconstruct((images - mean) / std)
    assert torch.allclose(wanted, images, atol=1e-6)


def test_it_learns_to_reconstruct_and_leaves_the_inner_model_alone(build) -> None:
    torch.manual_seed(0)
    network = autoencoder(ImageSpec((16, 16), (16, 16), 1), build, backbone=MEANS)
    centres = torch.rand(16, 1, 2, 2)
    images = nn.functional.interpolate(centres, (16, 16), mode="bilinear")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        found, wanted = network.reconstruct(images)
        losses.append((found - wanted).square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0] and network.backbone.seen == []


def test_what_it_refuses(build) -> None:
    with pytest.raises(PluginError, match="image.size is 3 x 8"):
        autoencoder(ImageSpec((3, 8), (3, 8)), build, backbone=MEANS)
    with pytest.raises(PluginError, match=r"model.widths is \[16\]"):
        autoencoder(GREY, build, backbone=MEANS, widths=[16])
    with pytest.raises(PluginError, match="autoencoder takes a table of columns"):
        autoencoder(GREY, build, backbone={"use": "table"})
