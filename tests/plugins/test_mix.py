from __future__ import annotations

import numpy as np
import pytest
import torch

from comp.api import Batch, Mixed, PluginError
from comp.plugins.mix.cutmix import cutmix
from comp.plugins.mix.mixup import mixup
from comp.plugins.mix.mixup_cutmix import mixup_cutmix
from comp.plugins.objective.supervised import supervised


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int, height: int = 9, width: int = 6) -> torch.Tensor:
    """Image i is all i."""
    return torch.arange(float(count))[:, None, None, None].expand(count, 3, height, width).clone()


def test_mixup_adds_up_by_share() -> None:
    images = numbered(7)
    mixed = mixup(alpha=1.0)(images, generator())
    expected = mixed.share * torch.arange(7.0) + (1 - mixed.share) * mixed.partner.float()
    assert torch.allclose(mixed.images, expected[:, None, None, None].expand_as(images), atol=1e-5)
    assert sorted(mixed.partner.tolist()) == list(range(7))
    assert torch.equal(images, numbered(7)), "the images given are not changed"


def test_mixup_shares_follow_the_beta_distribution() -> None:
    shares = torch.cat([mixup(alpha=0.2)(numbered(64, 1, 1), generator(seed)).share for seed in range(50)])
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * 1.4), rel=0.05)


def test_cutmix_share_is_the_exact_area_that_stays() -> None:
    for seed in range(20):
        images = numbered(8)
        mixed = cutmix(p=1.0)(images, generator(seed))
        for row in range(8):
            partner = int(mixed.partner[row])
            pixels = mixed.images[row, 0]
            assert set(pixels.unique().tolist()) <= {float(row), float(partner)}
            if partner != row:
                assert mixed.share[row].item() == pytest.approx((pixels == row).float().mean().item())
            pasted = np.argwhere((pixels != row).numpy())
            if len(pasted):
                height, width = pasted.max(axis=0) - pasted.min(axis=0) + 1
                assert height * width == len(pasted), "what is pasted is one box"


def test_cutmix_boxes_are_cut_at_borders_and_small_on_average_as_drawn() -> None:
    # Uncut boxes have mean area 1/2 at alpha 1; the borders take some of it.
    shares = torch.cat([cutmix(alpha=1.0, p=1.0)(numbered(64, 32, 32), generator(seed)).share for seed in range(20)])
    assert 0.55 < shares.mean().item() < 0.75 and shares.min() < 0.3


@pytest.mark.parametrize("make", [mixup, cutmix, mixup_cutmix])
def test_p_is_the_share_of_batches_and_the_generator_decides_alone(make) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    mixes = [make(p=0.5)(numbered(3), generator(seed)) is not None for seed in range(400)]
    assert 0.4 < sum(mixes) / 400 < 0.6
    assert torch.equal(state, torch.get_rng_state())
    first, again = (make(p=1.0)(numbered(5), generator(3)) for _ in range(2))
    assert torch.equal(first.images, again.images) and torch.equal(first.partner, again.partner)
    assert make(p=0.0)(numbered(3), generator()) is None


@pytest.mark.parametrize("make", [mixup, cutmix, mixup_cutmix])
def test_half_precision_images_stay_so(make) -> None:
    mixed = make(p=1.0)(numbered(4).half(), generator())
    assert mixed.images.dtype == torch.float16 and mixed.share.dtype == torch.float32


@pytest.mark.parametrize("make", [mixup, cutmix])
def test_ranges(make) -> None:
    with pytest.raises(PluginError, match="mix.alpha is 0"):
        make(alpha=0.0)
    with pytest.raises(PluginError, match="mix.p is 1.5"):
        make(p=1.5)


def test_each_batch_is_mixed_up_or_cut() -> None:
    # Image i is all i: a cut one has whole numbers only.
    cut = []
    for seed in range(200):
        mixed = mixup_cutmix(cutmix_share=0.25)(numbered(7), generator(seed))
        cut.append(bool((mixed.images == mixed.images.round()).all()))
    assert 30 < sum(cut) < 70
    first, again = (mixup_cutmix()(numbered(5), generator(3)) for _ in range(2))
    assert torch.equal(first.images, again.images) and torch.equal(first.share, again.share)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup_alpha": 0.0}, "mix.mixup_alpha is 0.0"), ({"cutmix_alpha": -1.0}, "mix.cutmix_alpha is -1.0"),
        ({"cutmix_share": 2.0}, "mix.cutmix_share is 2.0"), ({"p": -0.5}, "mix.p is -0.5"),
    ],
)  # fmt: skip
def test_ranges_of_both(arguments, message) -> None:
    with pytest.raises(PluginError, match=message):
        mixup_cutmix(**arguments)


def test_label_sets_of_an_odd_batch_are_mixed_by_hand() -> None:
    """Three images with two labels: the loss is that of the mixed labels, which timm's Mixup would make (4, 5) -> (20, 5) of."""
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.3, 0.7]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    mixed = Mixed(torch.zeros(3, 3, 8, 8), torch.tensor([1, 2, 0]), torch.tensor([0.25, 0.5, 1.0]))

    def loss(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        bce = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets["tags"], reduction="none")
        return {"tags": bce.mean(dim=1)}

    batch = Batch(torch.zeros(3, 3, 8, 8), {"tags": labels}, torch.ones(3))
    total, _ = supervised()(lambda images: logits, batch, mixed, loss)
    # Row 0: a quarter of (1, 0) and three of (0, 0); row 1: half (0, 0), half (1, 1); row 2: its own.
    soft = torch.tensor([[0.25, 0.0], [0.5, 0.5], [1.0, 1.0]])
    by_hand = -(soft * logits.sigmoid().log() + (1 - soft) * (-logits).sigmoid().log()).mean()
    assert total.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize("make", [mixup, cutmix, mixup_cutmix])
@pytest.mark.parametrize("count", [1, 3])
def test_odd_batches_are_mixed_whole(make, count) -> None:
    mixed = make(p=1.0)(numbered(count), generator())
    assert len(mixed.images) == len(mixed.share) == count and sorted(mixed.partner.tolist()) == list(range(count))
