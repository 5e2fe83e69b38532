from __future__ import annotations

import pytest
import torch

from comp.api import ImageSpec, PluginError
from comp.plugins.model.fusion import fusion

IMAGE = ImageSpec((8, 8), (8, 8), channels=3)
MEANS = {"use": "means"}


def test_features_of_the_image_then_of_the_columns(build) -> None:
    network = fusion(IMAGE, 4, build, backbone=MEANS, hidden=5).eval()
    images, table = torch.randn(2, 3, 8, 8), torch.randn(2, 4)
    outputs = network(images, table)
    assert network.takes_table and outputs.shape == (2, network.features) == (2, 6 + 5)
    assert torch.equal(outputs[:, :6], network.backbone(images))
    first, second = network.columns[0], network.columns[3]
    assert torch.allclose(outputs[:, 6:], torch.relu(second(torch.relu(first(table)))), atol=1e-6)
    assert (network.mean, network.std, network.any_size) == ((0.5,) * 3, (0.25,) * 3, True)


def test_both_learn(build) -> None:
    network = fusion(IMAGE, 4, build, backbone=MEANS)
    network(torch.randn(2, 3, 8, 8), torch.randn(2, 4)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.parametrize(
    ("width", "given", "message"),
    [
        (0, {}, "name them in dataset.columns"),
        (2, {"hidden": 0}, "model.hidden is 0"),
        (2, {"dropout": 1.0}, r"model.dropout is 1\.0"),
        (2, {"backbone": {"use": "table"}}, "takes the table itself"),
    ],
)
def test_what_it_refuses(build, width, given, message) -> None:
    with pytest.raises(PluginError, match=message):
        fusion(IMAGE, width, build, **{"backbone": MEANS, **given})
