"""Stored features: what a frozen backbone makes of the images, worked out once and kept beside them, for a head to learn from.

Only where every epoch would show the same pixels. The file lies in the image store's folder, is named by all that the features
depend on, and serves every fold and experiment that agrees in it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from comp import __version__
from comp.engine.data import iterate_images
from comp.engine.joined import JoinedStore
from comp.engine.network import Network
from comp.engine.rows import Rows
from comp.engine.sizes import without_weights
from comp.engine.stage import Stage
from comp.errors import RunInterrupted, WorkspaceError
from comp.events import PredictionProgress
from comp.images import Size
from comp.manifest import Manifest
from comp.project import atomic_write, hash_json
from comp.stores.cache import make_room, room_lock
from comp.stores.stored import ImageStore

FORMAT = 1
ROWS = 64  # at a time; always as many, because other batches may give other last bits
MOST_BYTES = 2**30


class StoredFeatures:
    """Features of whole image stores, by the size that they are looked at in.

    Args:
        made_by: what the features depend on besides the weights and the images, as plain data.
        tell: called with (images done, images in all).
        stop: asked between batches.
    """

    def __init__(self, stage: Stage, made_by: list[Any], tell: Callable[[int, int], None], stop: Callable[[], bool]) -> None:
        self.network, self.fabric, self.tell, self.stop = stage.network, stage.fabric, tell, stop
        self.ranks = stage.ranks
        self.key = [FORMAT, made_by, identify_backbone(stage.network), self.fabric.strategy.precision.precision]
        self.key += [self.fabric.device.type, version("torch"), version("timm")]
        self.key += [] if stage.network.channels_last else ["contiguous"]
        self.known: dict[tuple[Path, Size], np.ndarray] = {}

    def of(self, rows: Rows, size: Size) -> np.ndarray:
        """(N, F) float32, one for each row.

        Raises:
            RunInterrupted: a stop was asked for before they were all worked out.
        """
        stores = rows.store.stores if isinstance(rows.store, JoinedStore) else (rows.store,)
        starts = np.cumsum([0, *map(len, stores)])
        found = np.empty((len(rows), self.network.backbone.features), np.float32)
        for store, start in zip(stores, starts.tolist(), strict=False):
            here = (rows.positions >= start) & (rows.positions < start + len(store))
            found[here] = self.read(store, size)[store.rows[rows.positions[here] - start]]
        return found

    def read(self, store: ImageStore, size: Size) -> np.ndarray:
        """(stored images, F) float32, from the file or worked out now."""
        if (store.folder, size) not in self.known:
            file = store.folder / f"features-{hash_json([*self.key, size])[:16]}.npy"
            unwritten = self.ranks.agree(lambda: self.write(file, store, size))
            self.known[store.folder, size] = load_features(file) if unwritten is None else unwritten
        return self.known[store.folder, size]

    def write(self, file: Path, store: ImageStore, size: Size) -> np.ndarray | None:
        """Write the file, unless it is there. Returns what stands in it instead where the cache has no room."""
        if file.exists():
            return None
        features, data = self.work_out(store, size), io.BytesIO()
        np.save(data, features)
        with room_lock(store.folder.parent):
            if make_room(store.folder.parent, data.tell(), keep=store.folder.name):
                return features
            atomic_write(file, data.getvalue())
        return None

    def work_out(self, store: ImageStore, size: Size) -> np.ndarray:
        self.network.backbone.eval()
        first = np.unique(store.rows, return_index=True)[1]  # one position of each stored image, in their order
        parts: list[np.ndarray] = []
        with torch.no_grad(), self.fabric.autocast():
            for images in iterate_images(store, first, ROWS, size):
                if self.stop():
                    raise RunInterrupted("stopped")
                prepared = self.network.prepare(images.to(self.fabric.device))
                parts.append(self.network.backbone(prepared).float().cpu().numpy())
                self.tell(min(len(parts) * ROWS, len(first)), len(first))
        return np.concatenate(parts)

    def batches(
        self, rows: Rows, size: Size, order: np.ndarray, batch_size: int, start: int, every: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What TrainLoader.epoch gives, features (B, F) in place of images."""
        features = self.of(rows, size)
        for at in range(start * batch_size, len(order), every * batch_size):
            chosen = order[at : at + batch_size]
            yield torch.from_numpy(features[chosen]), torch.from_numpy(chosen)

    def answer(self, network: Network, rows: Rows, size: Size) -> np.ndarray:
        """(N, outputs) float32: the raw outputs of a network with the same frozen backbone."""
        network.eval()
        with torch.inference_mode(), self.fabric.autocast():
            return network.head(torch.from_numpy(self.of(rows, size)).to(self.fabric.device)).float().cpu().numpy()


def load_features(file: Path) -> np.ndarray:
    """Raises: WorkspaceError: it is damaged, or holds anything but numbers."""
    try:
        features = np.load(file, allow_pickle=False)
        if not isinstance(features, np.ndarray):
            raise ValueError("several arrays")
        return features
    except (OSError, ValueError, EOFError) as error:
        raise WorkspaceError(f"{file} cannot be read ({error}); delete it, and it is worked out anew") from error


def open_features(stage: Stage, manifest: Manifest, predict_size: Size) -> StoredFeatures | None:
    """The features that a stage can learn from; None where its images differ from epoch to epoch, or its backbone learns."""
    context = stage.context
    if not shows_the_same(context.stage) or stage.network.takes_table:
        return None
    stores = stage.rows.store.stores if isinstance(stage.rows.store, JoinedStore) else (stage.rows.store,)
    sizes = {context.image.size, predict_size}
    if sum(map(len, stores)) * len(sizes) * stage.network.backbone.features * 4 > MOST_BYTES:
        return None

    def tell(done: int, total: int) -> None:
        context.emit(PredictionProgress(context.fold, "features", done, total))

    return StoredFeatures(stage, describe_model(manifest), tell, context.stop)


def describe_model(manifest: Manifest) -> list[Any]:
    """Its code and its arguments, many of which (a pooling, a number of views) show neither in its layers nor in its weights."""
    model, image = manifest.values["model"], manifest.values["image"]
    sources = manifest.catalog.source_hashes([("model", model)])
    return [__version__, sources, without_weights(model), {key: image[key] for key in ("size", "mean", "std", "channels")}]


def shows_the_same(stage: dict[str, Any]) -> bool:
    """Whether a stage's frozen backbone is shown the same pixels in every epoch."""
    frozen = stage["freeze"]
    whole = "backbone" in ([frozen] if isinstance(frozen, str) else frozen or [])
    return whole and not stage["augment"] and stage["mix"] is None and stage["objective"]["use"] == "supervised"


def identify_backbone(network: Network) -> str:
    """A hash of its layers, its weights and what images are normalised with."""
    digest = hashlib.sha256(repr(network.backbone).encode())
    parts: dict[str, torch.Tensor] = {**network.backbone.state_dict(), "scale": network.scale, "shift": network.shift}
    for name, value in sorted(parts.items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
