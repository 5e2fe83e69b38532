"""Tokens of Kaggle and of trackers appear in nothing that a run and a submission write or print. With trackers: test_trackers."""

from __future__ import annotations

import json
import os

TOKENS = {
    "KAGGLE_KEY": "planted-kaggle-key", "KAGGLE_USERNAME": "planted-kaggle-name", "KAGGLE_API_TOKEN": "planted-kaggle-token",
    "WANDB_API_KEY": "planted-wandb-key", "MLFLOW_TRACKING_TOKEN": "planted-mlflow-token",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password", "HF_TOKEN": "planted-hub-token",
}  # fmt: skip


def test_no_token_is_in_any_file_or_output(tiny, tmp_path, monkeypatch, capfd) -> None:
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    (home / ".kaggle/kaggle.json").write_text(json.dumps({"username": "planted-file-name", "key": "planted-file-key"}))
    monkeypatch.setenv("HOME", str(home))

    tiny.write("exp002", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + "model: {use: nothing}\n")
    (tiny.root / "plugins/loss").mkdir(parents=True)
    (tiny.root / "plugins/loss/bad.py").write_text(
        'from comp.api import plugin\n\n\n@plugin("loss")\ndef bad(task, /):\n    "Fails."\n    raise ValueError\n'
    )
    tiny.write("exp003", (tiny.root / "experiments/exp001/manifest.yaml").read_text() + "loss: {use: bad}\n")
    fine = ("check exp001", "run exp001", "submit exp001 -m hello", "submit exp001 --verify v001", "board", "show exp001")
    said = [tiny.comp(*command.split()) for command in (*fine, "check exp002", "run exp003")]
    assert [one.code for one in said[:6]] == [0] * 6 and all(one.code for one in said[6:]), said

    # The files that are searched hold what was written; a token among it would be seen.
    files = [path for path in tmp_path.rglob("*") if path.is_file() and ".kaggle" not in path.parts]
    assert {"environment.json", "v001.json", "ledger.csv", "events.jsonl"} <= {path.name for path in files}
    told = "".join(one.out + one.err for one in said) + "".join(capfd.readouterr())
    assert "planted" in "".join(os.environ.values())
    assert "planted" not in told
    assert [path for path in files if b"planted" in path.read_bytes()] == []
