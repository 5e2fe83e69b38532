"""Miniatures: competitions of a few digits, in the forms that competitions hand out, which train in a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from comp.events import Notice
from comp.project import Project
from comp.run import run_experiment

EACH = 12
MODEL = """\
model: {use: cnn, widths: [8, 8], hidden: 16}
image: {size: 16}
augment: []
train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}
"""


@dataclass(frozen=True)
class Digits:
    """(N, 8, 8) floats 0..16, their digits as text, and names."""

    images: np.ndarray
    labels: list[str]
    names: list[str]

    def __iter__(self) -> Any:
        """(name, image, label) of each."""
        return zip(self.names, self.images, self.labels, strict=True)

    def table(self, **columns: list[Any]) -> str:
        """A CSV of id, label and these."""
        return pd.DataFrame({"id": self.names, "label": self.labels, **columns}).to_csv(index=False)

    def draw(self, folder: Path) -> None:
        """A PNG of each."""
        folder.mkdir(parents=True)
        for name, image, _ in self:
            (folder / f"{name}.png").write_bytes(as_png(image))


def load(first: int, count: int) -> Digits:
    """Digits 0, 1 and 2 of scikit-learn, from the first-th of each on."""
    images, labels = load_digits(n_class=3, return_X_y=True)
    rows = np.sort(np.concatenate([np.flatnonzero(labels == digit)[first : first + count] for digit in range(3)]))
    return Digits(images[rows].reshape(-1, 8, 8), [str(label) for label in labels[rows]], [f"d{row:04d}" for row in rows])


def as_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.rint(image * 15.9).astype(np.uint8))[1].tobytes()


@dataclass
class Miniature:
    """A competition of three digits: `train` has twelve images each, `test` six in all."""

    root: Path
    train: Digits
    test: Digits
    events: list[Any] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def project(self) -> Project:
        return Project(self.root)

    def write(self, dataset: str, task: str = "kind: multiclass", metric: str = "accuracy", manifest: str = "") -> None:
        (self.root / "competition.yaml").write_text(
            f"format: 1\ndataset: {{use: csv, data: data, sample: sample.csv, {dataset}}}\ntask: {{{task}, flip: false}}\n"
            f"split: {{folds: 2, seed: 1}}\nmetric: {{use: {metric}}}\n"
        )
        folder = self.root / "experiments/exp001"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.yaml").write_text(MODEL + manifest)

    def run(self, **wishes: Any) -> Any:
        return run_experiment(self.project, "exp001", emit=self.events.append, **wishes)

    def predict(self, test: Path) -> pd.DataFrame:
        """`comp predict --test`: the submission."""
        from comp.predict import predict_new

        predict_new(self.project, "exp001", test, None, self.root / "out.csv", "error", self.events.append)
        return pd.read_csv(self.root / "out.csv", dtype=str)

    def take_notices(self) -> str:
        found = "\n".join(event.text for event in self.events if isinstance(event, Notice))
        self.events.clear()
        return found


@pytest.fixture
def mini(tmp_path: Path) -> Miniature:
    """Its tables are there; its images are the test's to write, in whatever form."""
    made = Miniature(tmp_path, load(0, EACH), load(EACH, 2))
    made.data.mkdir()
    (made.data / "train.csv").write_text(made.train.table())
    (made.data / "sample.csv").write_text("id,label\n" + "".join(f"{name},0\n" for name in made.test.names))
    return made


@pytest.fixture
def drawn(mini: Miniature) -> Miniature:
    """The same with its images in PNG files."""
    mini.train.draw(mini.data / "train_images")
    mini.test.draw(mini.data / "test_images")
    return mini


@pytest.fixture
def strangers() -> Digits:
    """One more of each digit."""
    return load(60, 1)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jobs of the folds that are trained from here on."""
    import comp.material

    found: list[Any] = []
    real = comp.material.train_seeds

    def note(job: Any, *rest: Any) -> Any:
        found.append(job)
        return real(job, *rest)

    monkeypatch.setattr("comp.material.train_seeds", note)
    return found
