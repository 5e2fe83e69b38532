from __future__ import annotations

import numpy as np
import pytest
import torch

from comp.api import PluginError
from comp.plugins.mix.cutmix import cutmix
from comp.plugins.mix.mixup import mixup


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


@pytest.mark.parametrize("make", [mixup, cutmix])
def test_p_is_the_share_of_batches_and_the_generator_decides_alone(make) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    mixes = [make(p=0.5)(numbered(3), generator(seed)) is not None for seed in range(400)]
    assert 0.4 < sum(mixes) / 400 < 0.6
    assert torch.equal(state, torch.get_rng_state())
    first, again = (make(p=1.0)(numbered(5), generator(3)) for _ in range(2))
    assert torch.equal(first.images, again.images) and torch.equal(first.partner, again.partner)
    assert make(p=0.0)(numbered(3), generator()) is None


@pytest.mark.parametrize("make", [mixup, cutmix])
def test_half_precision_images_stay_so(make) -> None:
    mixed = make(p=1.0)(numbered(4).half(), generator())
    assert mixed.images.dtype == torch.float16 and mixed.share.dtype == torch.float32


@pytest.mark.parametrize("make", [mixup, cutmix])
def test_ranges(make) -> None:
    with pytest.raises(PluginError, match="mix.alpha is 0"):
        make(alpha=0.0)
    with pytest.raises(PluginError, match="mix.p is 1.5"):
        make(p=1.5)
