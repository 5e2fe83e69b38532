"""Whole runs with several images of a unit: predicted one by one and brought together, or stacked in one row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from comp.errors import DataError
from comp.predictions import read_predictions, read_raw

if TYPE_CHECKING:
    from tests.forms.conftest import Miniature


def write_patients(mini: Miniature, draw_images: bool = True) -> None:
    """Three images a patient of one digit; the target is whether it is a 2."""
    if draw_images:
        mini.train.draw(mini.data / "train_images")
        mini.test.draw(mini.data / "test_images")
    order = sorted(range(len(mini.train.names)), key=lambda row: mini.train.labels[row])
    lines = [f"p{place // 3},{mini.train.names[row]},{int(mini.train.labels[row] == '2')}\n" for place, row in enumerate(order)]
    (mini.data / "train.csv").write_text("patient,scan,sick\n" + "".join(lines))
    tests = [f"q{place // 3},{name}\n" for place, name in enumerate(mini.test.names)]
    (mini.data / "test.csv").write_text("patient,scan\n" + "".join(tests))
    (mini.data / "sample.csv").write_text("patient,sick\nq0,0\nq1,0\n")


def test_several_rows_of_a_unit_by_noisy_or(mini: Miniature) -> None:
    write_patients(mini)
    mini.write(
        "test: test.csv, test_images: test_images, id: patient, row: scan, target: sick", "kind: binary", "auc",
        "aggregate: noisy_or\nsubmission: {use: probabilities}\n",
    )  # fmt: skip
    result = mini.run()
    oof = read_predictions(result.folder / "oof.parquet")
    assert len(oof.ids) == 12 and result.scores["aggregate"] == "noisy_or"
    raw = read_raw(result.folder / "fold0/oof.parquet")
    shifted = np.exp(raw.outputs - raw.outputs.max(axis=1, keepdims=True)).astype(np.float64)
    sick = pd.Series(shifted[:, 1] / shifted.sum(axis=1)).groupby(raw.ids).agg(lambda p: 1 - np.prod(1 - p))
    here = dict(zip(oof.ids, oof.values[:, 1], strict=True))
    assert [here[unit] for unit in sick.index] == pytest.approx(sick.tolist(), abs=1e-6) and len(raw.ids) == 18
    np.testing.assert_allclose(oof.values.sum(axis=1), 1)
    test = read_predictions(result.folder / "test.parquet")
    frame = mini.predict(mini.data / "test.csv")
    assert frame["patient"].tolist() == list(test.ids)
    assert frame.iloc[:, -1].astype(float).tolist() == pytest.approx(test.values[:, 1].tolist(), abs=1e-6)


def test_predict_brings_rows_together_before_seeds(mini: Miniature) -> None:
    """As the stored files do, and with an auxiliary number that no rule is asked of."""
    write_patients(mini)
    table = pd.read_csv(mini.data / "train.csv", dtype=str)
    table.assign(age=[f"{row % 5}.5" for row in range(len(table))]).to_csv(mini.data / "train.csv", index=False)
    mini.write(
        "test: test.csv, test_images: test_images, id: patient, row: scan, target: sick, auxiliary: [age]", "kind: binary", "auc",
        "aggregate: noisy_or\nseeds: [3, 0]\ntta: [{use: hflip}]\nsubmission: {use: probabilities}\n"
        "loss: {sick: {use: cross_entropy}, age: {use: smooth_l1}}\n",
    )  # fmt: skip
    result = mini.run()
    test = read_predictions(result.folder / "test.parquet")
    frame = mini.predict(mini.data / "test.csv")
    assert frame["patient"].tolist() == list(test.ids)
    assert frame.iloc[:, -1].astype(float).tolist() == pytest.approx(test.values[:, 1].tolist(), abs=1e-9)


def test_noisy_or_of_a_number_is_refused_before_training(mini: Miniature) -> None:
    write_patients(mini)
    table = pd.read_csv(mini.data / "train.csv", dtype=str)
    table.assign(sick=table["sick"] + ".5").to_csv(mini.data / "train.csv", index=False)
    mini.write("id: patient, row: scan, target: sick", "kind: regression", "mae", "aggregate: noisy_or\n")
    with pytest.raises(DataError, match="aggregate: noisy_or is of probabilities, but target 'sick' is a number"):
        mini.run()
    assert "EpochFinished" not in {type(event).__name__ for event in mini.events}


def test_aggregate_changes_without_training(mini: Miniature) -> None:
    write_patients(mini)
    dataset = "test: test.csv, test_images: test_images, id: patient, row: scan, target: sick"
    mini.write(dataset, "kind: binary", "auc")
    first = mini.run()
    mini.write(dataset, "kind: binary", "auc", "aggregate: max\n")
    second = mini.run()
    assert first.digest == second.digest and not [event for event in mini.events if type(event).__name__ == "EpochFinished"][2:]
    assert second.scores["aggregate"] == "max"


def test_bags_of_images_in_the_channels(mini: Miniature) -> None:
    write_patients(mini)
    mini.write("test: test.csv, test_images: test_images, id: patient, row: scan, target: sick, bag: 4", "kind: binary", "auc")
    result = mini.run()
    state = json.loads((result.folder / "environment.json").read_text())
    assert state["form"]["channels"] == 4 and state["form"]["views"] == 4
    assert len(read_raw(result.folder / "fold0/oof.parquet").ids) == 6
    test = read_predictions(result.folder / "test.parquet")
    frame = mini.predict(mini.data / "test.csv")
    assert frame.iloc[:, 1].tolist() == test.values.argmax(axis=1).astype(str).tolist()
