"""Metric-learning head: how near an embedding is to each class, by learned centres or by the training rows themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from comp.api import Head, PluginError, Task, plugin


@plugin("head")
def cosine(
    task: Task,
    features: int,
    /,
    *,
    scale: float = 30.0,
    subcentres: int = 1,
    embedding: int | None = None,
    dropout: float = 0.0,
    inference: Literal["centre", "knn"] = "centre",
    k: int = 20,
) -> Head:
    """scale * cosine between the embedding and each class's nearest centre, (B, features) -> (B, K) logits.

    For the margins of losses arcface (Deng et al. 2019) and cosface (Wang et al. 2018), with sub-centres (Deng et al. 2020);
    with cross_entropy it is a normalised softmax. The embedding is the features, or a linear layer and a batch norm of them.

    knn: after training, the embeddings of the fold's training rows are kept, and classes answer by their votes among the k
    nearest (Wu et al. 2018, section 3.4): log of the sum of exp(scale * cos), over k. A class without a vote answers as by its
    centre, but never above the least that has one, so that ranks go on after the votes (MAP@k).

    Args:
        scale: what cosines are multiplied by, above 0; about 10 for few classes, 30 to 64 for thousands.
        subcentres: centres of each class, from 1; the nearest counts, so that a class may be made of several groups.
        embedding: width of the embedding, from 1; null: the backbone's features as they are.
        dropout: share of the features dropped in training, in [0, 1).
        inference: what predicts: the learned centres, or the nearest training rows.
        k: how many training rows vote, from 1; for knn.

    Raises:
        PluginError: the task is not one target of classes, or a parameter is out of its range.

    Example: {use: cosine, scale: 30.0, subcentres: 3, embedding: 512}
    """
    if len(task.targets) > 1 or task.target.link != "softmax":
        raise PluginError(f"head cosine wants one target with one class per row; the task is {task.kind}: use multitarget")
    if not (math.isfinite(scale) and scale > 0):
        raise PluginError(f"head.scale is {scale}; wanted a number above 0")
    for name, number in (("subcentres", subcentres), ("embedding", embedding), ("k", k)):
        if number is not None and number < 1:
            raise PluginError(f"head.{name} is {number}; wanted 1 or more")
    if not 0 <= dropout < 1:
        raise PluginError(f"head.dropout is {dropout}; wanted a share in [0, 1)")
    embed: list[nn.Module] = [nn.Dropout(dropout)]
    if embedding is not None:
        # Only directions count: a bias in front of the batch norm would be taken out again.
        embed += [nn.Linear(features, embedding, bias=False), nn.BatchNorm1d(embedding)]
    centres = Centres(nn.Sequential(*embed), embedding or features, task.target.width, subcentres, scale)
    return centres if inference == "centre" else Neighbours(centres, task.target.name, k)


class Centres(nn.Module):
    def __init__(self, embed: nn.Module, width: int, classes: int, subcentres: int, scale: float) -> None:
        super().__init__()
        self.embed = embed
        self.centres = nn.Parameter(torch.randn(classes, subcentres, width) / math.sqrt(width))
        self.scale = scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.compare(self.direct(features))

    def direct(self, features: torch.Tensor) -> torch.Tensor:
        """(B, features) -> (B, width) float32 embeddings of length 1."""
        return F.normalize(self.embed(features).float())

    def compare(self, embeddings: torch.Tensor) -> torch.Tensor:
        # Half precision would round cosines by 0.004, which the scale makes 0.1 of a logit.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = embeddings @ F.normalize(self.centres, dim=2).flatten(0, 1).T
        return self.scale * cosines.unflatten(1, self.centres.shape[:2]).amax(dim=2)


class Neighbours(nn.Module):
    """Answers by centres until `fit` has given it a gallery, and while it trains."""

    def __init__(self, centres: Centres, target: str, k: int) -> None:
        super().__init__()
        self.centres = centres
        self.target = target
        self.k = k
        self.register_buffer("gallery", torch.zeros(0, centres.centres.shape[2]))
        self.register_buffer("gallery_classes", torch.zeros(0, dtype=torch.int64))

    @torch.no_grad()
    def fit(self, features: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> None:
        """Keep the embeddings of the training rows, (N, features), and their classes."""
        state = self.training
        self.eval()
        self.gallery = torch.cat([self.centres.direct(part) for part in features.to(self.gallery.device).split(1024)])
        self.gallery_classes = torch.as_tensor(targets[self.target], device=self.gallery.device)
        self.train(state)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training or not len(self.gallery):
            return self.centres(features)
        embeddings = self.centres.direct(features)
        with torch.autocast(embeddings.device.type, enabled=False):
            nearest, rows = (embeddings @ self.gallery.T).topk(min(self.k, len(self.gallery)), dim=1)
        by_centre, scale = self.centres.compare(embeddings), self.centres.scale
        first = nearest[:, :1]
        votes = torch.zeros_like(by_centre).scatter_add_(1, self.gallery_classes[rows], torch.exp(scale * (nearest - first)))
        answers = scale * first + torch.log(votes / nearest.shape[1])
        has_votes = votes > 0
        least = answers.masked_fill(~has_votes, math.inf).amin(dim=1, keepdim=True)
        return torch.where(has_votes, answers, torch.minimum(by_centre, least))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # A stored gallery has another size than the empty one, which torch would refuse.
        for name in ("gallery", "gallery_classes"):
            if (stored := state_dict.get(prefix + name)) is not None:
                setattr(self, name, getattr(self, name).new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
