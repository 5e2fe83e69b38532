from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.engine.tabular import fit_encoder, read_encoder, write_encoder
from comp.errors import DataError, FormatError

TRAIN = pd.DataFrame({"age": ["10", "20", "", "30"], "sex": ["f", "m", "f", "f"], "dose": ["1", "1", "1", "1"]})


def test_numbers_are_standardised_and_words_are_one_hot() -> None:
    encoder = fit_encoder([TRAIN])
    assert encoder.width == 2 + 1 + 2
    # age: mean 20, deviation sqrt(200 / 3); a second feature says where it is missing. dose does not vary.
    spread = (200 / 3) ** 0.5
    wanted = [[-10 / spread, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 1, 0], [10 / spread, 0, 0, 1, 0]]
    assert np.allclose(encoder.encode(TRAIN), wanted)


def test_what_training_never_saw_is_none_of_the_values() -> None:
    encoder = fit_encoder([TRAIN])
    new = pd.DataFrame({"age": ["40"], "sex": ["x"], "dose": ["2"]})
    assert np.allclose(encoder.encode(new), [[20 / (200 / 3) ** 0.5, 0, 1, 0, 0]])


def test_it_is_kept_with_the_fold(tmp_path) -> None:
    encoder = fit_encoder([TRAIN])
    write_encoder(tmp_path, encoder)
    assert read_encoder(tmp_path) == encoder
    assert read_encoder(tmp_path / "other") is None
    (tmp_path / "columns.json").write_text('{"format": 99}')
    with pytest.raises(FormatError, match="format 99"):
        read_encoder(tmp_path)


def test_a_missing_column_and_a_word_among_numbers() -> None:
    encoder = fit_encoder([TRAIN])
    with pytest.raises(DataError, match="no column sex"):
        encoder.encode(TRAIN.drop(columns="sex"))
    with pytest.raises(DataError, match="'age' holds 'old'"):
        encoder.encode(TRAIN.assign(age="old"))


def test_a_word_anywhere_makes_the_column_classes_in_every_fold() -> None:
    held_out = TRAIN.assign(age=["10", "unknown", "", "30"])
    assert fit_encoder([TRAIN, held_out]).classes["age"] == ["", "10", "20", "30"]
    assert fit_encoder([TRAIN, TRAIN]).numbers["age"][0] == 20
    assert fit_encoder([None, None]) is None
