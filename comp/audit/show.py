"""Show: clusters as pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from comp.api import Tables
from comp.audit.clusters import Cluster, Member
from comp.pictures import Grid, Picture, make_thumbnail, shorten
from comp.shown import read_first

MOST_CLUSTERS = 60
MOST_PICTURES = 6


def show_clusters(clusters: Sequence[Cluster], tables: Tables) -> list[tuple[str, Grid]]:
    """(what stands above it, its pictures) of the gravest clusters."""
    return [(_name(cluster), _show(cluster, tables)) for cluster in clusters[:MOST_CLUSTERS]]


def _name(cluster: Cluster) -> str:
    what = ("labels disagree", "training and test", "several folds")
    said = [text for text, applies in zip(what, cluster.graveness, strict=True) if applies]
    alike = "equal" if cluster.likeness >= 1 else f"alike by {np.floor(cluster.likeness * 1000) / 1000:.3f}"
    return ", ".join([*said, alike])


def _show(cluster: Cluster, tables: Tables) -> Grid:
    # The last ones are of the test set, where there are any.
    shown = [*cluster.members[: MOST_PICTURES - 1], cluster.members[-1]]
    images = [read_first(tables, member.image) for member in dict.fromkeys(shown)]
    pictures = [
        Picture("" if isinstance(image, str) else make_thumbnail(image), _caption(member))
        for member, image in zip(dict.fromkeys(shown), images, strict=True)
    ]
    missing = next((image for image in images if isinstance(image, str)), "")
    return Grid(tuple(pictures), len(cluster.members), missing)


def _caption(member: Member) -> tuple[str, ...]:
    if member.fold is None:
        return shorten(member.row_id), "test"
    where = "never held out" if member.fold < 0 else f"fold {member.fold}"
    return shorten(member.row_id), f"training, {where}", shorten(member.label)
