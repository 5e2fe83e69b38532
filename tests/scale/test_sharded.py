"""`comp predict --on ray`: shards, wherever they are predicted, give the answers of one undivided prediction."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

import pytest

from comp.errors import RunInterrupted, WorkspaceError
from comp.events import PredictionProgress
from comp.predict import make_raw, predict_new
from comp.scale import sharded

SEVERAL = "tta: [{use: hflip}]\nsubmission: {use: probabilities}\n"


@pytest.fixture
def many(tiny_run):
    """A run, today with another view, and 72 new pictures, one of which cannot be read: three batches of 32."""
    for part in ("train", "test"):
        shutil.copytree(tiny_run.data / part, tiny_run.root / "new", dirs_exist_ok=True)
    sorted((tiny_run.root / "new").iterdir())[40].write_bytes(b"\x89PNG broken")
    with open(tiny_run.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write(SEVERAL)
    return tiny_run


def predict(many, out, gather=None, emit=lambda event: None):
    given = {} if gather is None else {"gather": gather}
    predict_new(many.project, "exp001", many.root / "new", None, many.root / out, "mean", emit, **given)
    return (many.root / out).read_bytes()


def never(*event):
    return False


def gather_in_shards(count, cut, restored, rows):
    """As gather_on, without a cluster."""
    shards = sharded.cut_shards(restored, rows, count)
    cut += [len(shard.table) for shard in shards]
    for predicted in sharded.join_outputs([sharded.predict_shard(shard, never, never) for shard in shards]):
        yield make_raw(restored.plan.competition.trained, rows, predicted)


@pytest.mark.parametrize(("count", "lengths"), [(1, [72]), (2, [64, 8]), (3, [32, 32, 8]), (50, [32, 32, 8])])
def test_shards_are_whole_batches_and_give_the_same_bytes(many, count, lengths):
    cut = []
    found = predict(many, "shards.csv", partial(gather_in_shards, count, cut))
    assert cut == lengths and found == predict(many, "whole.csv")


def test_a_run_of_several_seeds_and_of_columns_beside_the_image(tiny):
    for file in ("train.csv", "test.csv"):
        head, *lines = (tiny.data / file).read_text().splitlines()
        (tiny.data / file).write_text("\n".join([f"{head},age", *(f"{line},{n % 7}" for n, line in enumerate(lines))]) + "\n")
    tiny.edit("competition.yaml", "id: name}", "id: name, columns: [age]}")
    manifest = "batch_size: 2, workers"
    tiny.edit("experiments/exp001/manifest.yaml", "batch_size: 16, workers", manifest)
    with open(tiny.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write("seeds: [1, 2]\n" + SEVERAL)
    tiny.run()
    test, cut, answers = tiny.data / "test.csv", [], []
    for out, given in (("whole.csv", {}), ("shards.csv", {"gather": partial(gather_in_shards, 2, cut)})):
        predict_new(tiny.project, "exp001", test, None, tiny.root / out, "error", lambda event: None, **given)
        answers.append((tiny.root / out).read_bytes())
    assert cut == [8, 4] and answers[0] == answers[1]


def test_a_node_without_the_workspace_says_so_and_a_stop_ends_a_shard(many, tmp_path):
    def gather(restored, rows):
        [shard] = sharded.cut_shards(restored, rows, 1)
        for lacking in (replace(shard, root=str(tmp_path / "elsewhere")), replace(shard, store=str(tmp_path / "elsewhere"))):
            with pytest.raises(WorkspaceError, match="elsewhere is not there: the workspace must lie in a folder that all nodes"):
                sharded.predict_shard(lacking, never, never)
        with pytest.raises(RunInterrupted):
            sharded.predict_shard(shard, never, lambda: True)
        return gather_in_shards(1, [], restored, rows)

    predict(many, "out.csv", gather)


def test_images_that_the_cache_has_no_room_for_are_refused(many, monkeypatch):
    monkeypatch.setenv("COMP_CACHE_GB", "0")
    with pytest.raises(WorkspaceError, match="no room for 72 test images.*or predict without --on"):
        predict(many, "out.csv", partial(gather_in_shards, 2, []))


def test_two_nodes_give_the_bytes_of_one_process(many, two_nodes, monkeypatch):
    told, predict_one = [], sharded.predict_shard

    def predict_and_sign(shard, *given):
        import ray

        (many.root / f"by-{ray.get_runtime_context().get_node_id()}").touch()
        return predict_one(shard, *given)

    monkeypatch.setattr(sharded, "predict_shard", predict_and_sign)
    with sharded.open_shards(two_nodes.address, told.append) as gather:
        found = predict(many, "cluster.csv", gather, told.append)
    assert found == predict(many, "here.csv") and len(list(many.root.glob("by-*"))) == 2
    progress = [event for event in told if isinstance(event, PredictionProgress)]
    assert [event.fold for event in progress] == ["0", "1"] * 3 and progress[-1].done == progress[-1].total == 72
