from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from comp.inline import to_yaml


@pytest.mark.parametrize(
    "value",
    [
        *(
            "train.csv",
            "/data/a b/c",
            "exp041@3f9a1c20",
            "no",
            "null",
            "007",
            "1e5",
            "2021-01-01",
            "",
            " ",
            "a: b",
            "# x",
            "日本",
        ),
        *("it's", ".", ".5", "-", "x y ", "a\nb", "~", "Y", 1, 1e-05, 0.5, True, None, ["a", "1"], {"0": "x", "on": ["no", 1]}),
    ],
)
def test_yaml_reads_back_what_was_written(value):
    text = f"key: {to_yaml(value)}\n"
    assert YAML(typ="safe", pure=True).load(text) == {"key": value}
    assert text.count("\n") == 1
