"""A user's nn.Module in the experiment's folder is a model by its name, and models nest whatever the catalog finds."""

from __future__ import annotations

import pytest
import torch

from comp.api import ImageSpec, Target, Task
from comp.catalog import build_catalog
from comp.project import Project

MODULE = '''\
from torch import nn

from comp.api import ImageSpec, plugin


@plugin("model")
class MyNet(nn.Module):
    """Two convolutions.

    Args:
        width: channels.
    """

    mean, std, any_size = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), True

    def __init__(self, image: ImageSpec, /, *, width: int = 4) -> None:
        super().__init__()
        self.features = width
        self.body = nn.Sequential(nn.Conv2d(image.channels, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images):
        return self.body(images)
'''
TASK = Task((Target("label", "multiclass", ("a", "b"), ("label",)),))


@pytest.fixture
def catalog(tmp_path):
    (tmp_path / "competition.yaml").write_text("format: 1\n")
    folder = tmp_path / "experiments" / "exp001"
    folder.mkdir(parents=True)
    (folder / "my_net.py").write_text(MODULE)
    return build_catalog(Project(tmp_path), [folder])


def test_a_class_of_the_experiments_folder_is_a_model(catalog) -> None:
    network = catalog.build("model", {"use": "MyNet", "width": 6}, task=TASK, image=ImageSpec((16, 16), (16, 16)))
    assert type(network).__name__ == "MyNet" and network(torch.zeros(2, 3, 16, 16)).shape == (2, 6)


def test_it_may_stand_inside_others(catalog) -> None:
    spec = {"use": "fusion", "backbone": {"use": "multi_image", "views": 2, "backbone": {"use": "MyNet"}}, "hidden": 5}
    image = ImageSpec((16, 16), (16, 16), channels=6)
    network = catalog.build("model", spec, task=TASK, image=image, table_width=3)
    assert network(torch.randn(2, 6, 16, 16), torch.randn(2, 3)).shape == (2, network.features) == (2, 4 + 5)
    coded = {"use": "autoencoder", "backbone": {"use": "timm", "arch": "test_resnet", "pretrained": False}}
    network = catalog.build("model", coded, task=TASK, image=ImageSpec((128, 128), (128, 128), 1), table_width=0)
    assert network(torch.rand(2, 1, 128, 128)).shape == (2, network.features)
