"""Drawings: what a model that draws its images again makes of some of them, as a picture for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning_fabric import Fabric

from comp.engine.data import iterate_images
from comp.engine.rows import Rows
from comp.images import Size
from comp.project import atomic_write

SHOWN = 8
LEAST_PX, MOST_PX = 96, 224
RECONSTRUCTIONS = "reconstructions.png"


def draw_reconstructions(network: Any, fabric: Fabric, rows: Rows, size: Size, folder: Path) -> None:
    """Write reconstructions.png: a column for each of the first images, above each other the image, the model's code of it (where
    it has an `encode`) and what it draws. Nothing for a model that draws nothing."""
    backbone = getattr(network, "backbone", None)
    if not hasattr(backbone, "reconstruct") or (folder / RECONSTRUCTIONS).exists():
        return
    images = next(iterate_images(rows.store, rows.positions[:SHOWN], SHOWN, size))
    network.eval()
    with torch.inference_mode(), fabric.autocast():
        prepared = network.prepare(images.to(fabric.device))
        drawn, wanted = backbone.reconstruct(prepared)
        code = [stretch(backbone.encode(prepared))] if hasattr(backbone, "encode") else []
    strips = [paste_beside(part.float().cpu().numpy()) for part in (wanted, *code, drawn)]
    width = max(strip.shape[1] for strip in strips)
    grid = np.vstack([cv2.resize(strip, (width, width // SHOWN), interpolation=cv2.INTER_NEAREST) for strip in strips])
    atomic_write(folder / RECONSTRUCTIONS, cv2.imencode(".png", grid[:, :, ::-1])[1].tobytes())


def stretch(code: torch.Tensor) -> torch.Tensor:
    """Each image's code from its least value to its greatest, as 0..1."""
    low, high = code.amin(dim=(1, 2, 3), keepdim=True), code.amax(dim=(1, 2, 3), keepdim=True)
    return (code - low) / (high - low).clamp_min(1e-12)


def paste_beside(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) in 0..1 -> one uint8 RGB picture, SHOWN squares wide; of other than three channels the first is shown grey."""
    shown = images if images.shape[1] == 3 else np.repeat(images[:, :1], 3, axis=1)
    pixels = (shown.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    height, width = pixels.shape[1:3]
    side = min(MOST_PX, max(LEAST_PX, height, width))
    how = cv2.INTER_AREA if max(height, width) > side else cv2.INTER_NEAREST
    squares = [cv2.resize(picture, (side, side), interpolation=how) for picture in pixels]
    blank = np.full((side, side, 3), 255, np.uint8)
    return np.hstack([*squares, *[blank] * (SHOWN - len(squares))])
