from __future__ import annotations

import pytest
import timm as library
import torch
from torch import nn

from comp.api import ImageSpec, PluginError
from comp.plugins.model.timm import timm as backbone_of
from comp.plugins.optimizer.timm import names, signature, timm


class Network(nn.Module):
    def __init__(self, backbone: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(0.0), nn.Linear(features, 3))


def small() -> Network:
    return Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4)


def settings(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Each parameter's learning rate and weight decay."""
    names_of = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names_of[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_head_and_backbone_have_their_rates_and_norms_and_biases_no_decay() -> None:
    network = small()
    optimizer = timm(network, opt="adamw", lr=1e-4, head_lr=1e-3, weight_decay=0.05, betas=[0.8, 0.99])
    assert isinstance(optimizer, torch.optim.AdamW) and tuple(optimizer.param_groups[0]["betas"]) == (0.8, 0.99)
    assert settings(network, optimizer) == {
        "backbone.0.weight": (1e-4, 0.05),
        "backbone.0.bias": (1e-4, 0.0),
        "backbone.1.weight": (1e-4, 0.0),
        "backbone.1.bias": (1e-4, 0.0),
        "head.1.weight": (1e-3, 0.05),
        "head.1.bias": (1e-3, 0.0),
    }


def test_the_head_learns_at_lr_unless_it_has_its_own() -> None:
    network = small()
    assert {lr for lr, _ in settings(network, timm(network, lr=2e-3)).values()} == {2e-3}


def test_frozen_parameters_are_left_out() -> None:
    network = small()
    network.backbone.requires_grad_(False)
    assert set(settings(network, timm(network))) == {"head.1.weight", "head.1.bias"}
    network.head.requires_grad_(False)
    with pytest.raises(PluginError, match="nothing is left to train"):
        timm(network)


@pytest.mark.parametrize("opt", ["adam", "adamw", "sgd", "momentum", "rmsprop", "lamb", "lion", "adafactor", "lookahead_adam"])
def test_every_kind_of_optimizer_steps(opt) -> None:
    network = small()
    before = network.head[1].weight.detach().clone()
    optimizer = timm(network, opt=opt, lr=1e-2)
    network.head(network.backbone(torch.randn(2, 3, 8, 8))).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.head[1].weight)


def train(network: Network, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        torch.manual_seed(step)  # as the engine does: some optimizers draw
        images = torch.randn(4, 3, 8, 8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network.head(network.backbone(images)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


@pytest.mark.slow
def test_every_optimizer_steps_and_resumes_bit_for_bit() -> None:
    needs_cuda = []
    for opt in [name for name in names() if not name.startswith("lookahead_") or name in ("lookahead_adamw", "lookahead_sgd")]:
        torch.manual_seed(0)
        network = small()
        try:
            optimizer = timm(network, opt=opt, lr=1e-3)
        except PluginError as error:
            assert "CUDA required" in str(error)
            needs_cuda.append(opt)
            continue
        before = network.head[1].weight.detach().clone()
        train(network, optimizer, range(7))
        torch.manual_seed(0)
        halted = small()
        optimizer = timm(halted, opt=opt, lr=1e-3)
        train(halted, optimizer, range(3))
        resumed = small()
        resumed.load_state_dict(halted.state_dict())
        again = timm(resumed, opt=opt, lr=1e-3)
        again.load_state_dict(optimizer.state_dict())
        train(resumed, again, range(3, 7))
        assert not torch.equal(before, network.head[1].weight), opt
        assert torch.equal(network.head[1].weight, resumed.head[1].weight), opt
    assert all(opt.startswith(("bnb", "fused")) for opt in needs_cuda)


def test_lookahead_by_hand() -> None:
    """Zhang et al. 2019, algorithm 1, every sixth step; timm takes the first sixth step for the slow weights' start."""
    network = Network(nn.Identity(), 1)
    optimizer = timm(network, opt="lookahead_momentum", lr=0.1, weight_decay=0.0, momentum=0.0)
    weight = network.head[1].bias
    nn.init.zeros_(weight)
    found = []
    for _ in range(13):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        found.append(weight.detach()[0].item())
    # At -1.2 half of the way back to -0.6, and on from there.
    assert found[4:] == pytest.approx([-0.5, -0.6, -0.7, -0.8, -0.9, -1.0, -1.1, -0.9, -1.0])


def test_sgd_step_by_hand() -> None:
    network = small()
    optimizer = timm(network, opt="sgd", lr=0.1, head_lr=0.5, weight_decay=0.0, momentum=0.0, nesterov=False)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.allclose(before[name] - parameter, torch.full_like(parameter, 0.5 if name.startswith("head") else 0.1))


def test_layer_decay_is_timms_written_into_the_rates() -> None:
    vit = backbone_of(ImageSpec((64, 64), (64, 64)), arch="test_vit", pretrained=False)
    network = Network(vit, vit.features)
    found = settings(network, timm(network, lr=1e-3, head_lr=1e-2, layer_decay=0.5, weight_decay=0.1))
    for group in library.optim.param_groups_layer_decay(vit.network, 0.1, vit.network.no_weight_decay(), layer_decay=0.5):
        for parameter in group["params"]:
            name = next(name for name, other in network.named_parameters() if other is parameter)
            assert found[name] == pytest.approx((1e-3 * group["lr_scale"], group["weight_decay"]))
    assert found["backbone.network.blocks.0.attn.qkv.weight"][0] < found["backbone.network.blocks.5.attn.qkv.weight"][0]
    assert found["head.1.weight"] == (1e-2, 0.1)
    assert "lr_scale" not in timm(network, layer_decay=0.5).param_groups[0]


def test_what_the_architecture_exempts_has_no_decay() -> None:
    vit = backbone_of(ImageSpec((64, 64), (64, 64)), arch="test_vit", pretrained=False)
    network = Network(vit, vit.features)
    assert settings(network, timm(network, weight_decay=0.1))["backbone.network.pos_embed"][1] == 0.0


def test_signature_is_the_classs_own() -> None:
    assert {"betas", "amsgrad", "fused"} <= set(signature("adamw", {}).parameters)
    assert "params" not in signature("adamw", {}).parameters
    assert {"adamw", "lookahead_adamw"} <= set(names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "optimizer.lr is 0.0"),
        ({"head_lr": -1.0}, "optimizer.head_lr is -1.0"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay is -0.1"),
        ({"layer_decay": 0.5}, "does not tell its layers"),
        ({"opt": "lookahead_adahessian"}, "needs second derivatives"),
        ({"opt": "adamw", "betas": [0.9, 2.0]}, "optimizer adamw: Invalid beta"),
    ],
)
def test_what_an_optimizer_refuses(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        timm(small(), **arguments)
