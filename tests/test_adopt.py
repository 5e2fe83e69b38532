"""`comp run --resume` and what it shares with `comp merge`: folds that were trained elsewhere join the run here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from comp.errors import RunInterrupted, WorkspaceError
from comp.predictions import read_predictions
from comp.runs import hash_files, read_fold


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    """A team mate's folder, two floors above the run, that nobody may write to."""
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    folder = tmp_path / "from a team mate"
    shutil.copytree(run, folder / "working" / run.name)
    return folder


def run_of(folder: Path) -> Path:
    (run,) = folder.glob("working/*")
    return run


def forget(tiny, fold: str) -> Path:
    """As if this fold had never been trained here; returns the run's folder."""
    (run,) = (tiny.root / "experiments/exp001/runs").glob("*/")
    shutil.rmtree(run / f"fold{fold}")
    for name in ("scores.json", "oof.parquet", "test.parquet"):
        (run / name).unlink(missing_ok=True)
    return run


def list_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_fold_states_the_hashes_of_all_that_it_leaves(tiny_run):
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    files = read_fold(run / "fold0")["files"]
    assert files == hash_files(run / "fold0")
    assert set(files) >= {"last.safetensors", "oof.parquet", "test.parquet", "samples.json"}
    assert "fold.json" not in files and not any(name.startswith(".") for name in files)


def test_another_view_that_is_predicted_later_renews_the_hash(tiny_run):
    (run,) = (tiny_run.root / "experiments/exp001/runs").glob("*/")
    before = read_fold(run / "fold0")["files"]
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]")
    assert tiny_run.comp("score", "exp001").code == 0
    after = read_fold(run / "fold0")["files"]
    assert after == hash_files(run / "fold0") and after["oof.parquet"] != before["oof.parquet"]
    assert after["last.safetensors"] == before["last.safetensors"]


def test_what_a_read_only_copy_has_finished_is_not_trained_again(tiny, copy):
    before = list_bytes(copy)
    result = tiny.run(resume=copy)
    assert result.complete and not tiny.names("FoldStarted")
    assert list_bytes(copy) == before
    theirs = read_predictions(run_of(copy) / "oof.parquet")
    assert (read_predictions(result.folder / "oof.parquet").values == theirs.values).all()
    # The curves of the report are of these folds, too.
    told = [json.loads(line) for line in (result.folder / "events.jsonl").read_text().splitlines()]
    assert [event["fold"] for event in told if event["event"] == "EpochFinished"] == ["0", "1"]
    assert not list(result.folder.glob(".*.part"))


@pytest.mark.parametrize("noted", [[24, 24], None])
def test_the_run_here_stores_images_at_the_size_of_the_copy(tiny, copy, noted):
    file = run_of(copy) / "environment.json"
    state = json.loads(file.read_text())
    assert state["form"].pop("stored_px") == [16, 16]
    file.write_text(json.dumps({**state, "form": {**state["form"], **({"stored_px": noted} if noted else {})}}))
    shutil.rmtree(run_of(copy) / "fold1")
    result = tiny.run(resume=copy)
    assert json.loads((result.folder / "environment.json").read_text())["form"].get("stored_px") == noted
    kept = {store["by"][0]: store["size"] for store in tiny.comp("cache", "--json").json["stores"]}
    assert kept["exp001 train"] == (noted or [16, 16])


def test_a_fold_that_was_interrupted_elsewhere_goes_on_here_with_the_same_bits(tiny, tiny_run, tmp_path):
    for workspace in (tiny, tiny_run):
        workspace.edit("experiments/exp001/manifest.yaml", "epochs: 1", "epochs: 3")
    whole = tiny_run.run().folder

    def stop_at(event) -> None:
        if type(event).__name__ == "EpochFinished" and event.epoch == 1:
            raise RunInterrupted("stopped")

    from comp.run import run_experiment

    with pytest.raises(RunInterrupted):
        run_experiment(tiny.project, "exp001", emit=stop_at)
    (begun,) = (tiny.root / "experiments/exp001/runs").glob("*/")
    assert (begun / "fold0/last.ckpt").exists()
    begun.rename(tmp_path / "elsewhere")

    result = tiny.run(resume=tmp_path / "elsewhere")
    assert [event.resumed_epoch for event in tiny.names("FoldStarted")] == [2, 0]
    assert (result.folder / "fold0/last.safetensors").read_bytes() == (whole / "fold0/last.safetensors").read_bytes()
    assert (tmp_path / "elsewhere/fold0/last.ckpt").exists()


def test_what_is_here_stays_as_it_is(tiny_run, copy):
    run = forget(tiny_run, "1")
    before = list_bytes(run / "fold0")
    (run_of(copy) / "fold0/oof.parquet").write_bytes(b"other")  # is not even looked at
    tiny_run.run(resume=copy)
    assert list_bytes(run / "fold0") == before
    said = [event.text for event in tiny_run.events if type(event).__name__ == "Notice"]
    assert "fold 0 is here already, and stays as it is" in said
    assert any(text.startswith("fold 1 is taken over from") and text.endswith("finished") for text in said)


def test_a_fold_that_has_begun_here_is_not_set_back(tiny_run, copy):
    run = forget(tiny_run, "1")
    theirs = run_of(copy) / "fold1"
    (theirs / "fold.json").unlink()
    (theirs / "last.ckpt").write_bytes(b"of theirs")
    (run / "fold1").mkdir()
    (run / "fold1/last.ckpt").write_bytes(b"of ours")
    from comp.adopt import adopt_folds, find_copies
    from comp.runs import list_runs

    (here,), (there,), told = list_runs(tiny_run.project, "exp001"), find_copies(copy), []
    assert adopt_folds(here, there, told.append, begun=True) == []
    assert (run / "fold1/last.ckpt").read_bytes() == b"of ours"
    assert any("has begun here already" in event.text for event in told)
    (run / "fold1/last.ckpt").unlink()
    assert adopt_folds(here, there, told.append, begun=True) == ["1"]
    assert (run / "fold1/last.ckpt").read_bytes() == b"of theirs"


def test_a_finished_fold_takes_the_place_of_one_that_has_only_begun(tiny_run, copy):
    run = forget(tiny_run, "1")
    (run / "fold1").mkdir()
    (run / "fold1/last.ckpt").write_bytes(b"of ours")
    assert tiny_run.run(resume=copy).complete
    assert not (run / "fold1/last.ckpt").exists() and not tiny_run.names("FoldStarted")


def test_a_fold_that_another_process_trains_is_left_to_it(tiny_run, copy):
    from comp.adopt import adopt_folds, find_copies
    from comp.runs import list_runs

    run = forget(tiny_run, "1")
    (run / "fold1").mkdir()
    (here,), (there,), told = list_runs(tiny_run.project, "exp001"), find_copies(copy), []
    with FileLock(run / "fold1/.lock"):
        assert adopt_folds(here, there, told.append) == []
    assert any("in another process" in event.text for event in told)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_file_that_is_not_what_was_written_is_named_and_nothing_is_taken(tiny, copy, damage):
    file = run_of(copy) / "fold1/oof.parquet"
    file.write_bytes(file.read_bytes()[:-1]) if damage == "changed" else file.unlink()
    with pytest.raises(WorkspaceError) as caught:
        tiny.run(resume=copy)
    said = f"{file} is {'not the file that was written' if damage == 'changed' else 'missing'}"
    assert said in str(caught.value) and "nothing was taken over" in str(caught.value)
    assert not list(tiny.root.glob("experiments/exp001/runs/*/fold?"))


def test_folds_without_hashes_are_taken_and_said(tiny, copy):
    for fold in ("fold0", "fold1"):
        file = run_of(copy) / fold / "fold.json"
        file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "files"}))
    assert tiny.run(resume=copy).complete
    said = [event for event in tiny.names("Notice") if "without hashes" in event.text]
    assert len(said) == 2 and all(event.level == "warning" for event in said)


def test_another_run_is_refused_with_what_differs(tiny, copy):
    tiny.edit("experiments/exp001/manifest.yaml", "batch_size: 16", "batch_size: 8")
    with pytest.raises(WorkspaceError) as caught:
        tiny.run(resume=copy)
    assert "train.batch_size was 16 and is 8" in str(caught.value) and str(run_of(copy)) in str(caught.value)
    assert not list((tiny.root / "experiments" / "exp001").glob("runs/*")), "a refusal leaves nothing behind"


def test_other_tables_are_refused(tiny, copy):
    lines = (tiny.data / "train.csv").read_text().splitlines()
    name, label = lines[1].split(",")
    (tiny.data / "train.csv").write_text("\n".join([lines[0], f"{name},{(int(label) + 1) % 3}", *lines[2:]]) + "\n")
    with pytest.raises(WorkspaceError, match="there and here differ:\n.*: .*tables"):
        tiny.run(resume=copy)


def test_a_folder_without_runs_is_refused(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    said = tiny.comp("run", "exp001", "--resume", tmp_path / "empty")
    assert said.code == 2 and "no run in" in said.err and "environment.json" in said.err
