"""How timm's backbones pool; the rest of the plugin is tested in tests/plugins/test_model.py."""

from __future__ import annotations

import pytest
import torch

from comp.api import ImageSpec, PluginError
from comp.plugins.model.timm import GeneralisedMean, signature, timm

IMAGE = ImageSpec((32, 32), (32, 32))
PICTURES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(arch: str, pool: str, size: int = 32):
    torch.manual_seed(0)
    return timm(ImageSpec((size, size), (size, size)), arch=arch, pretrained=False, pool=pool).eval()


@pytest.mark.parametrize(("p", "expected"), [(1.0, 2 / 3), (2.0, (14 / 27) ** 0.5), (1000.0, 3 ** (-1 / 1000))])
def test_the_generalised_mean_goes_from_the_mean_to_the_maximum(p, expected) -> None:
    pool = GeneralisedMean((2, 3), keepdim=False)
    torch.nn.init.constant_(pool.p, p)
    assert pool(torch.tensor([1 / 3, 2 / 3, 1.0]).view(1, 1, 1, 3)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("arch", ["test_resnet", "mobilenetv3_small_050", "test_convnext2", "vgg11"])
def test_gem_takes_the_place_of_the_mean(arch) -> None:
    plain, gem = build(arch, "auto"), build(arch, "gem")
    [pool] = [module for module in gem.modules() if isinstance(module, GeneralisedMean)]
    assert pool.p.tolist() == [3.0] and gem.features == plain.features
    maps = torch.rand(2, 5, 4, 4)
    assert torch.allclose(pool(maps).flatten(), (maps**3).mean(dim=(2, 3)).pow(1 / 3).flatten(), atol=1e-6)
    with torch.no_grad():
        assert gem(PICTURES).shape == (2, gem.features) and not torch.allclose(gem(PICTURES), plain(PICTURES))
    gem(PICTURES).sum().backward()
    assert torch.isfinite(pool.p.grad).all() and pool.p.grad.abs().max() > 0


def test_gem_in_a_map_with_channels_last() -> None:
    gem = build("swin_tiny_patch4_window7_224", "gem", 224)
    with torch.no_grad():
        assert gem(torch.randn(1, 3, 224, 224)).shape == (1, gem.features)


def test_gem_is_of_the_inputs_type_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert torch.isfinite(build("test_resnet", "gem")(PICTURES)).all()


def test_other_pools_are_timms() -> None:
    network = build("test_resnet", "max").network
    with torch.no_grad():
        assert torch.allclose(network(PICTURES), network.forward_features(PICTURES).amax(dim=(2, 3)))
    assert build("test_vit", "avg", 64).network.global_pool == "avg"
    assert build("test_vit", "token", 64).network.global_pool == "token"


def test_what_cannot_pool_so_is_refused() -> None:
    with pytest.raises(PluginError, match="test_vit pools no map, so gem has nothing to replace"):
        build("test_vit", "gem", 64)
    with pytest.raises(PluginError, match="timm cannot build test_resnet.*token"):
        build("test_resnet", "token")
    with pytest.raises(ValueError, match=r"'global_pool' cannot be set here: give it as model\.pool"):
        signature("test_resnet", {"global_pool": "max"})
