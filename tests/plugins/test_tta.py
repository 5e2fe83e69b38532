from __future__ import annotations

import pickle

import torch

from comp.plugins.tta.hflip import hflip


def test_hflip_mirrors_columns_only() -> None:
    images = torch.arange(12.0).reshape(1, 2, 2, 3)
    (view,) = hflip().values()
    assert view(images)[0, 0].tolist() == [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]]
    assert torch.equal(view(view(images)), images)
    assert pickle.loads(pickle.dumps(hflip()))["hflip"] is view
