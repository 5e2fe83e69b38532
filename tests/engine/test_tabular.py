from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from comp.engine.tabular import describe_missing, fit_encoder, read_encoder, write_encoder
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
    held_out = TRAIN.assign(age=["10", "old", "", "30"])
    assert fit_encoder([TRAIN, held_out]).classes["age"] == ["", "10", "20", "30"]
    assert fit_encoder([TRAIN, TRAIN]).numbers["age"][0] == 20
    assert fit_encoder([None, None]) is None


def test_a_word_for_what_is_missing_among_numbers_is_a_missing_number() -> None:
    train = TRAIN.assign(age=["10", "na", "20", "30"])
    encoder = fit_encoder([train])
    # mean 20, deviation sqrt(200 / 3) of the three numbers; the word is 0 and 1 in the feature that says so.
    spread = (200 / 3) ** 0.5
    assert np.allclose(encoder.encode(train)[:, :2], [[-10 / spread, 0], [0, 1], [0, 0], [10 / spread, 0]])
    assert np.allclose(encoder.encode(train.assign(age=[" N/A", "unknown", "?", ""]))[:, :2], [[0, 1]] * 4)
    test = train.assign(age=["40", "NaN", "", "50"])
    assert describe_missing([train, None, test]) == [
        "age is a number: 2 of 8 rows have 'NaN', 'na' there, which counts as missing"
    ]
    assert describe_missing([TRAIN]) == [] == describe_missing([None])


def test_a_word_in_the_test_part_alone_has_no_feature_of_its_own() -> None:
    train = TRAIN.assign(age=["10", "20", "30", "20"])
    encoder = fit_encoder([train, train.assign(age=["na", "10", "20", "30"])])
    assert encoder.numbers["age"] == (20, 50**0.5, False)
    assert encoder.encode(train.assign(age="na"))[:, 0].tolist() == [0] * 4


def test_where_words_outnumber_numbers_the_column_is_classes() -> None:
    words = TRAIN.assign(age=["na", "none", "na", "1"])
    assert fit_encoder([words]).classes["age"] == ["1", "na", "none"] and describe_missing([words]) == []
    assert fit_encoder([TRAIN.assign(age="na")]).classes["age"] == ["na"]
