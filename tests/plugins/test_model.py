from __future__ import annotations

import time
from pathlib import Path

import pytest
import timm as library
import torch
from safetensors.torch import save_file

from comp.api import ImageSpec, PluginError, WeightsError
from comp.plugins.model import timm as module
from comp.plugins.model.cnn import cnn
from comp.plugins.model.timm import names, signature, timm


def spec(size: int, channels: int = 3) -> ImageSpec:
    return ImageSpec((size, size), (size, size), channels)


# ---- cnn -----------------------------------------------------------------------------------------------------------------


def test_cnn_is_the_textbook_network_without_batch_norm() -> None:
    network = cnn(spec(32), batch_norm=False, grid=100).eval()
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 64, 128, 128]
    images = torch.randn(2, 3, 32, 32)
    x = images
    for layer in convolutions:
        x = torch.nn.functional.max_pool2d(torch.relu(layer(x)), 2)
    expected = torch.relu(network.dense(x.flatten(1)))
    assert x.shape == (2, 128, 2, 2) and torch.allclose(network(images), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "other"), [(16, 20), (31, 16), (100, 125)])
def test_cnn_predicts_at_its_own_size_but_takes_another(size, other) -> None:
    network = cnn(spec(size, channels=1), hidden=10).eval()
    assert not network.any_size and network.features == 10
    assert len(network.mean) == len(network.std) == 1
    for side in (size, other):
        assert network(torch.randn(2, 1, side, side)).shape == (2, 10)


def test_cnn_refuses_images_that_it_would_pool_away() -> None:
    with pytest.raises(PluginError, match="needs 16 px; image.size is 8 x 8"):
        cnn(spec(8))
    assert cnn(spec(8), widths=[4, 4, 4])(torch.randn(2, 3, 8, 8)).shape == (2, 512)
    with pytest.raises(PluginError, match="model.dropout is 1.0"):
        cnn(spec(16), dropout=1.0)


# ---- timm ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["test_resnet", "test_vit", "test_efficientnet", "mobilenetv3_small_050", "vgg11"])
def test_features_are_pooled_and_as_wide_as_said(arch) -> None:
    network = timm(spec(64), arch=arch, pretrained=False).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, network.features)


def test_models_of_one_size_are_built_for_the_images() -> None:
    vit = timm(spec(96), arch="test_vit", pretrained=False)
    assert not vit.any_size and vit(torch.zeros(1, 3, 96, 96)).shape == (1, vit.features)
    assert timm(spec(96), arch="test_vit", pretrained=False, dynamic_img_size=True).any_size
    assert timm(spec(96), arch="test_resnet", pretrained=False).any_size


def test_statistics_are_the_architectures() -> None:
    assert timm(spec(32), arch="mobilenetv3_small_050", pretrained=False).mean == (0.485, 0.456, 0.406)
    assert timm(spec(32), arch="vit_tiny_patch16_224", pretrained=False).std == (0.5, 0.5, 0.5)
    grey = timm(spec(32, channels=1), arch="mobilenetv3_small_050", pretrained=False)
    assert grey.mean == pytest.approx((0.449,), abs=1e-9) and grey(torch.zeros(2, 1, 32, 32)).shape == (2, grey.features)
    assert timm(spec(32, channels=4), arch="mobilenetv3_small_050", pretrained=False).mean == (0.485, 0.456, 0.406, 0.485)


def test_arguments_reach_the_architecture() -> None:
    plain = timm(spec(32), arch="mobilenetv2_050", pretrained=False)
    same = timm(spec(32), arch="mobilenetv2_050", pretrained=False, pad_type="same")
    assert type(plain.network.conv_stem) is torch.nn.Conv2d and "Same" in type(same.network.conv_stem).__name__


def test_what_the_architecture_refuses_is_known_before_it_is_built() -> None:
    assert signature("test_resnet", {"arch": "test_resnet", "pretrained": True, "drop_path_rate": 0.1}) is None
    with pytest.raises(TypeError, match="drop_pth_rate"):
        signature("test_resnet", {"drop_pth_rate": 0.1})
    with pytest.raises(ValueError, match="the head is the kit's"):
        signature("test_resnet", {"num_classes": 3})
    with pytest.raises(PluginError, match="model.in_chans is 1, image.channels 3"):
        timm(spec(32), arch="test_resnet", pretrained=False, in_chans=1)
    with pytest.raises(PluginError, match="resnet18.nope|nope"):
        timm(spec(32), arch="resnet18.nope", pretrained=False)


def test_names_are_architectures_and_tags() -> None:
    known = set(names())
    assert {"resnet18", "resnet18.a1_in1k", "test_vit"} <= known


def saved(folder: Path, arch: str = "test_resnet", **arguments) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(1)
    source = library.create_model(arch, num_classes=7, **arguments)
    path = folder / "weights.safetensors"
    save_file(source.state_dict(), path)
    return path, source.eval()


def test_weights_of_a_file_without_its_classifier(tmp_path, monkeypatch) -> None:
    path, source = saved(tmp_path)
    pth = tmp_path / "weights.pth"
    torch.save({"state_dict": source.state_dict()}, pth)
    monkeypatch.chdir(tmp_path)
    images = torch.randn(2, 3, 64, 64)
    expected = source.forward_head(source.forward_features(images), pre_logits=True)
    for given in (path, pth, Path("weights.pth")):
        network = timm(spec(64), arch="test_resnet", pretrained=given).eval()
        assert torch.allclose(network(images), expected, atol=1e-6)
        assert "state_dict" not in network.network.pretrained_cfg
    monkeypatch.chdir("/")
    monkeypatch.setenv("COMP_WORKSPACE", str(tmp_path))
    assert timm(spec(64), arch="test_resnet", pretrained=Path("weights.pth")).features == source.num_features


def test_weights_of_a_file_are_fitted_to_grey_images_and_to_another_size(tmp_path) -> None:
    path, source = saved(tmp_path)
    grey = timm(spec(64, channels=1), arch="test_resnet", pretrained=path).network
    first, ours = source.state_dict()["conv1.0.weight"], grey.state_dict()["conv1.0.weight"]
    assert torch.allclose(ours, first.sum(dim=1, keepdim=True), atol=1e-5)
    path, _ = saved(tmp_path, "test_vit")
    assert timm(spec(96), arch="test_vit", pretrained=path)(torch.zeros(1, 3, 96, 96)).shape == (1, 64)


def test_weights_that_do_not_fit_name_the_keys(tmp_path) -> None:
    path, source = saved(tmp_path)
    state = source.state_dict()
    state["layer9.weight"] = torch.zeros(1)
    del state["bn1.weight"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"(?s)does not fit test_resnet.*bn1\.weight.*layer9\.weight"):
        timm(spec(64), arch="test_resnet", pretrained=path)
    state = {**source.state_dict(), "bn1.weight": torch.zeros(3)}
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"bn1\.weight"):
        timm(spec(64), arch="test_resnet", pretrained=path)


def test_weights_that_are_no_weights(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*gone\.pth"):
        timm(spec(64), arch="test_resnet", pretrained=tmp_path / "gone.pth")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        timm(spec(64), arch="test_resnet", pretrained=tmp_path / "text.safetensors")
    torch.save({"state_dict": Path("code")}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        timm(spec(64), arch="test_resnet", pretrained=tmp_path / "code.pth")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty cache, and a hub at an address where nothing answers."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


def test_weights_that_cannot_be_fetched_are_said_soon(hub) -> None:
    with pytest.raises(WeightsError, match=r"test_resnet are not on this machine and cannot be fetched from http://127"):
        timm(spec(64), arch="test_resnet", pretrained=True)


@pytest.mark.timeout(60)
def test_an_address_that_never_answers_is_given_up(hub, monkeypatch) -> None:
    def hang(*_args, **_more) -> None:
        time.sleep(5)
        raise OSError

    monkeypatch.setattr(module, "PROBE_S", 0.2)
    monkeypatch.setattr(module.urllib.request, "urlopen", hang)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"no answer within 0\.2 s"):
        timm(spec(64), arch="test_resnet", pretrained=True)
    assert time.monotonic() - started < 4


def test_weights_in_the_cache_are_loaded_without_a_network(hub) -> None:
    config = library.get_pretrained_cfg("test_resnet")
    folder = hub / f"models--{config.hf_hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    torch.manual_seed(3)
    source = library.create_model("test_resnet")
    save_file(source.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    network = timm(spec(64), arch="test_resnet", pretrained=True)
    assert torch.equal(network.network.conv1[0].weight, source.conv1[0].weight)


def test_architectures_without_weights_say_so(hub) -> None:
    with pytest.raises(WeightsError, match="timm has no weights for coatnet_0_224"):
        timm(spec(224), arch="coatnet_0_224", pretrained=True)
