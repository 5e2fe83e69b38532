"""Drawing: handwritten digits as the files of a competition: JPEG, PNG, TIFF, arrays, of any size and number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

TEST_FROM = 100
"""Of each digit, the first hundred are for training, those from here on for the test set."""


@dataclass(frozen=True)
class Drawing:
    """One handwritten digit.

    Attributes:
        digit: 0 to 9.
        ink: (8, 8) float64, 0 (paper) to 1 (ink).
    """

    digit: int
    ink: np.ndarray

    def draw(self, height_px: int = 32, width_px: int = 32, grey: bool = False) -> np.ndarray:
        """(H, W, 3) uint8, or (H, W) where grey: white on black."""
        flat = np.rint(cv2.resize(self.ink, (width_px, height_px), interpolation=cv2.INTER_LINEAR) * 255).astype(np.uint8)
        return flat if grey else np.repeat(flat[:, :, None], 3, axis=2)

    def save(self, path: Path, height_px: int = 32, width_px: int = 32, grey: bool = False) -> None:
        """Into a file of the kind that its ending says, with the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.encode(path.suffix, height_px, width_px, grey))

    def encode(self, suffix: str, height_px: int = 32, width_px: int = 32, grey: bool = False) -> bytes:
        """The bytes of such a file: .jpg, .png, .tif."""
        return cv2.imencode(suffix, self.draw(height_px, width_px, grey))[1].tobytes()


def take_digits(counts: Sequence[int], test: bool = False) -> list[Drawing]:
    """counts[d] drawings of each digit d, in an order that tells nothing; always the same, and none both in training and test."""
    images, labels = load_digits(return_X_y=True)
    first = TEST_FROM if test else 0
    chosen = [row for digit, count in enumerate(counts) for row in np.flatnonzero(labels == digit)[first : first + count]]
    order = np.random.default_rng(len(chosen)).permutation(len(chosen))
    return [Drawing(int(labels[row]), images[row].reshape(8, 8) / 16) for row in np.array(chosen)[order]]


def name_hex(number: int, length: int = 32) -> str:
    """A name of hexadecimal digits, as many competitions have; 1 -> another one than 2, in an order that tells nothing."""
    generator = np.random.default_rng(number + 7919)
    return "".join("0123456789abcdef"[place] for place in generator.integers(0, 16, length))
