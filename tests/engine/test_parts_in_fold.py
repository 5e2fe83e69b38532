"""Models, heads and pools that ask more of a fold than images and classes, trained, stored and restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from comp.api import Target, Task
from comp.engine.predict import PredictBatch, predict_views
from comp.engine.restore import restore_network
from comp.predictions import read_raw

if TYPE_CHECKING:
    from tests.engine.conftest import Desk

CNN = "{use: cnn, widths: [4], hidden: 8}"
AUTOENCODER = (
    f"model={{use: autoencoder, backbone: {CNN}, widths: [4, 4]}}",
    "stages=[{name: code, epochs: 1, objective: {use: reconstruction}}, {name: classes, epochs: 1}]",
    "augment=[]",
)
COSINE = ("head={use: cosine, inference: knn, k: 3, embedding: 6, subcentres: 2}",)
CORAL = ("head={use: coral}",)
DROPOUT = ("head={use: multi_sample_dropout, samples: 3}",)
GEM = ("model={use: timm, arch: test_resnet, pretrained: false, pool: gem}", "image.size=32")
VIEWS = (f"model={{use: multi_image, backbone: {CNN}, views: 3, pool: attention, hidden: 4}}", "image.channels=3")


@pytest.mark.parametrize(
    "sets", [AUTOENCODER, COSINE, CORAL, DROPOUT, GEM, VIEWS], ids=["autoencoder", "cosine", "coral", "dropout", "gem", "views"]
)
def test_a_fold_predicts_as_it_does_when_restored(desk: Desk, sets) -> None:
    case = desk.case(*sets, *([] if sets is AUTOENCODER else ["train.epochs=1"]))
    job = case.job()
    folder, record = case.train(job)
    assert 0 <= record["scores"]["accuracy"] <= 1 and np.isfinite(record["elapsed_s"])
    network, _ = restore_network(case.manifest, case.task, case.image, folder, case.fabric)
    outputs = predict_views(network, case.fabric, job.held_out, {"plain": None}, PredictBatch(32, case.image.predict_size))
    assert np.array_equal(outputs["plain"], read_raw(folder / "oof.parquet").outputs)
    if "cosine" in sets[0]:
        assert len(network.head.gallery) == len(job.train)


def test_a_joint_code_is_answered_by_its_parts(desk: Desk) -> None:
    number = Target("number", "multiclass", tuple("0123456789"), ("number",))
    odd, half = (Target(name, "multiclass", tuple(classes), (name,)) for name, classes in (("odd", "01"), ("half", "01234")))

    def split(digits: np.ndarray) -> dict[str, np.ndarray]:
        return {"number": digits, "odd": digits % 2, "half": digits // 2}

    case = desk.case(
        "head={use: multitarget, code: number = half*2 + odd}",
        "loss={number: {use: cross_entropy, weight: 0.0}, odd: {use: cross_entropy}, half: {use: cross_entropy, weight: 2.0}}",
        plain=True, answers=(Task((number, odd, half)), split),
    )  # fmt: skip
    folder, _ = case.train()
    outputs = torch.as_tensor(read_raw(folder / "oof.parquet").outputs)
    parts = outputs[:, 12:].softmax(dim=1)[:, :, None] * outputs[:, 10:12].softmax(dim=1)[:, None]
    assert torch.allclose(outputs[:, :10].exp(), parts.flatten(1), atol=1e-5)


def test_what_an_autoencoder_draws_is_kept_as_a_picture(desk: Desk) -> None:
    import cv2

    folder, _ = desk.case(*AUTOENCODER).train()
    picture = cv2.imread(str(folder / "reconstructions.png"))
    assert picture.shape == (3 * 96, 8 * 96, 3)
    # The first row is the held-out images themselves: not all alike, and of a digit's contrast.
    first = picture[:96].reshape(96, 8, 96, 3)
    assert first.max() > 200 and (first[:, 0] != first[:, 1]).any()


def test_a_model_that_draws_nothing_leaves_no_picture(desk: Desk) -> None:
    folder, _ = desk.case().train()
    assert not (folder / "reconstructions.png").exists()
