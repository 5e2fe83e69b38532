from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from comp.api import PluginError, Target, Task
from comp.plugins.head.cosine import cosine

TASK = Task((Target("whale", "multiclass", ("a", "b", "c"), ("whale",)),))
GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(7, 4, generator=GENERATOR)
GALLERY = torch.randn(12, 4, generator=GENERATOR)
CLASSES = torch.tensor([0, 1] * 6)  # nothing of class c


def test_it_is_scale_times_the_nearest_subcentres_cosine() -> None:
    head = cosine(TASK, 4, scale=10.0, subcentres=3)
    similarity = nn.functional.cosine_similarity(FEATURES[:, None, None], head.centres[None], dim=3)
    assert torch.allclose(head(FEATURES), 10 * similarity.amax(dim=2), atol=1e-5)
    assert torch.allclose(head(FEATURES * 7), head(FEATURES), atol=1e-5)
    assert head(torch.zeros(2, 4)).abs().max() == 0


def test_the_embedding_is_a_layer_of_its_own() -> None:
    head = cosine(TASK, 4, embedding=6)
    assert head(FEATURES).shape == (7, 3) and head.centres.shape == (3, 1, 6)
    linear, norm = head.embed[1:]
    assert torch.allclose(head.direct(FEATURES), nn.functional.normalize(norm(linear(FEATURES))), atol=1e-6)


def test_half_precision_does_not_round_the_cosines() -> None:
    head = cosine(TASK, 4, scale=64.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = head(FEATURES)
    assert outputs.dtype == torch.float32 and torch.allclose(outputs, head(FEATURES), atol=1e-5)


def neighbours(**given) -> nn.Module:
    torch.manual_seed(1)
    return cosine(TASK, 4, scale=5.0, inference="knn", **given).eval()


def test_without_a_gallery_and_in_training_centres_answer() -> None:
    head = neighbours(k=3)
    assert torch.equal(head(FEATURES), head.centres(FEATURES))
    head.fit(GALLERY, {"whale": CLASSES})
    assert not torch.equal(head(FEATURES), head.centres(FEATURES))
    assert torch.equal(head.train()(FEATURES), head.centres(FEATURES))


def test_the_nearest_rows_vote() -> None:
    head = neighbours(k=3)
    head.fit(GALLERY, {"whale": CLASSES})
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (FEATURES.numpy(), GALLERY.numpy())]
    cosines, by_centre = units[0] @ units[1].T, head.centres(FEATURES)
    for row, found in enumerate(head(FEATURES)):
        nearest = np.argsort(-cosines[row])[:3]
        votes = [sum(math.exp(5 * cosines[row, i]) for i in nearest if CLASSES[i] == c) / 3 for c in range(3)]
        least = min(math.log(vote) for vote in votes if vote)
        expected = [math.log(vote) if vote else min(by_centre[row, c].item(), least) for c, vote in enumerate(votes)]
        assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_one_nearest_row_has_the_answer_of_the_nearest_neighbour_classifier() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    head = neighbours(k=1)
    head.fit(GALLERY, {"whale": CLASSES})
    other = KNeighborsClassifier(1, metric="cosine").fit(GALLERY.numpy(), CLASSES.numpy())
    assert head(FEATURES).argmax(dim=1).tolist() == other.predict(FEATURES.numpy()).tolist()
    assert head(FEATURES).abs().max() <= 5 + 1e-4, "as the margin losses want it"


def test_a_stored_gallery_loads_into_an_empty_one_and_the_other_way_round() -> None:
    head, other = neighbours(k=3, embedding=6), neighbours(k=3, embedding=6)
    empty = {name: value.clone() for name, value in head.state_dict().items()}
    head.fit(GALLERY, {"whale": CLASSES})
    assert head.state_dict()["gallery"].shape == (12, 6) and not head.training
    network = nn.Sequential(other)
    network.load_state_dict({f"0.{name}": value for name, value in head.state_dict().items()})
    assert torch.equal(network(FEATURES), head(FEATURES))
    head.load_state_dict(empty)
    assert len(head.gallery) == 0 and torch.equal(head(FEATURES), head.centres(FEATURES))


def test_k_may_be_more_than_the_gallery_has() -> None:
    head = neighbours(k=50)
    head.fit(GALLERY, {"whale": CLASSES})
    assert torch.isfinite(head(FEATURES)).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 0.0}, r"head.scale is 0\.0"),
        ({"subcentres": 0}, "head.subcentres is 0"),
        ({"embedding": 0}, "head.embedding is 0"),
        ({"k": 0}, "head.k is 0"),
        ({"dropout": 1.0}, r"head.dropout is 1\.0"),
    ],
)
def test_what_it_refuses(given, message) -> None:
    with pytest.raises(PluginError, match=message):
        cosine(TASK, 4, **given)
    with pytest.raises(PluginError, match="one class per row; the task is multilabel"):
        cosine(Task((Target("t", "multilabel", ("a", "b"), ("t",), " "),)), 4)
