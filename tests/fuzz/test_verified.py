"""`comp submit --verify`: no byte of a submission or of its json changes unseen, nor of the weights and predictions behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from comp.errors import CompError
from comp.verify import verify_submission
from tests.fuzz.exploring import explore


@pytest.mark.slow
def test_any_changed_byte_is_seen(tiny_run):
    assert tiny_run.comp("submit", "exp001").code == 0
    assert verify_submission(tiny_run.project, "exp001", "v001").same
    [run] = (tiny_run.root / "experiments/exp001/runs").iterdir()
    folder = tiny_run.root / "submissions/exp001"
    behind = [
        run / "fold0/last.safetensors",
        run / "fold1/test.parquet",
        run / "fold0/oof.parquet",
        run / "manifest.resolved.yaml",
    ]
    files = {path: path.read_bytes() for path in (folder / "v001.csv", folder / "v001.json", *behind)}

    def check(given: tuple[Path, int, int]) -> None:
        path, at, mask = given
        data = bytearray(files[path])
        data[at % len(data)] ^= mask
        path.write_bytes(bytes(data))
        try:
            found = verify_submission(tiny_run.project, "exp001", "v001")
            assert not found.same or is_same_json(path, data, files[path]), (path, at, mask)
        except CompError as error:
            assert str(error)
        finally:
            path.write_bytes(files[path])

    explore(st.tuples(st.sampled_from(sorted(files)), st.integers(0, 10**6), st.integers(1, 255)), 400, check)
    assert verify_submission(tiny_run.project, "exp001", "v001").same


def is_same_json(path: Path, data: bytes, other: bytes) -> bool:
    """A blank for a line break changes nothing that a json says."""
    return path.suffix == ".json" and json.loads(data) == json.loads(other)
