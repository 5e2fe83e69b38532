"""leaf-classification: white leaves on black, 192 measures of each in the tables, train and test pictures in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.competitions.drawing import Drawing, take_digits

BAR = 0.5
SETS = ("model={use: fusion, backbone: {use: cnn, widths: [16, 32], hidden: 64, dropout: 0.2}, hidden: 64}",)

SPECIES = (
    "Acer_Capillipes Acer_Opalus Alnus_Cordata Betula_Pendula Cornus_Chinensis "
    "Fagus_Sylvatica Ilex_Aquifolium Populus_Nigra Quercus_Nigra Tilia_Tomentosa"
).split()
MEASURES = [f"{part}{number}" for part in ("margin", "shape", "texture") for number in range(1, 65)]


def write(data: Path) -> pd.DataFrame:
    train, test = take_digits([10] * 10), take_digits([2] * 10, test=True)
    # The ids count through both parts, as if the leaves had been numbered first and divided afterwards.
    ids = np.random.default_rng(3).permutation(np.arange(1, len(train) + len(test) + 1))
    order = np.argsort(ids[len(train) :])
    test, test_ids = [test[place] for place in order], ids[len(train) :][order]
    for number, drawing in zip([*ids[: len(train)], *test_ids], [*train, *test], strict=True):
        drawing.save(data / "images" / f"{number}.jpg", 28 + number % 13, 30 + number % 9, grey=True)
    table = pd.DataFrame({"id": ids[: len(train)], "species": [SPECIES[drawing.digit] for drawing in train]})
    pd.concat([table, measure(train)], axis=1).to_csv(data / "train.csv", index=False)
    pd.concat([pd.DataFrame({"id": test_ids}), measure(test)], axis=1).to_csv(data / "test.csv", index=False)
    sample = pd.DataFrame({"id": test_ids, **dict.fromkeys(SPECIES, 1 / len(SPECIES))})
    sample.to_csv(data / "sample_submission.csv", index=False)
    answers = {name: [str(int(SPECIES[drawing.digit] == name)) for drawing in test] for name in SPECIES}
    return pd.DataFrame({"id": test_ids.astype(str), **answers})


def measure(drawings: list[Drawing]) -> pd.DataFrame:
    """The ink of 64 places, that ink beside its neighbour's, and noise: as small as those numbers are in the original."""
    noise = np.random.default_rng(len(drawings))
    rows = []
    for drawing in drawings:
        margin = drawing.ink.ravel() / 128
        shape = (drawing.ink.ravel() + np.roll(drawing.ink.ravel(), 1)) / 2000
        rows.append([*margin, *shape, *noise.integers(0, 9, 64) / 1024])
    return pd.DataFrame(np.array(rows).round(6), columns=MEASURES)
