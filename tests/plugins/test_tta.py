from __future__ import annotations

import pickle

import torch

from comp.plugins.tta.flips import rotations, vflip
from comp.plugins.tta.hflip import hflip


def test_hflip_mirrors_columns_only() -> None:
    images = torch.arange(12.0).reshape(1, 2, 2, 3)
    (view,) = hflip().values()
    assert view(images)[0, 0].tolist() == [[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]]
    assert torch.equal(view(view(images)), images)
    assert pickle.loads(pickle.dumps(hflip()))["hflip"] is view


def test_vflip_mirrors_rows_only() -> None:
    images = torch.arange(12.0).reshape(1, 2, 2, 3)
    (view,) = vflip().values()
    assert view(images)[0, 0].tolist() == [[3.0, 4.0, 5.0], [0.0, 1.0, 2.0]]


def test_rotations_are_quarter_turns() -> None:
    images = torch.arange(6.0).reshape(1, 1, 2, 3)
    views = rotations()
    assert views["turn90"](images)[0, 0].tolist() == [[2.0, 5.0], [1.0, 4.0], [0.0, 3.0]]
    assert torch.equal(views["turn90"](views["turn90"](images)), views["turn180"](images))
    assert torch.equal(views["turn90"](views["turn270"](images)), images)
    assert torch.equal(views["turn180"](images), hflip()["hflip"](vflip()["vflip"](images)))
