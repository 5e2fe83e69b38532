"""Runs that start from others, learn from others, or are trained with several seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from comp.errors import FoldsError, WeightsError
from comp.lineage import average_stored
from comp.predictions import link_outputs, read_predictions, read_raw
from comp.runs import find_run

STILL = "optimizer: {lr: 1.0e-12, weight_decay: 0.0}\n"
"""Training that moves nothing but batch norm, which `freeze` keeps."""


def manifest(*lines: str) -> str:
    return "".join(
        [
            "model: {use: cnn, widths: [8, 8], hidden: 16, dropout: 0.0, batch_norm: false}\nimage: {size: 16}\naugment: []\n",
            "train: {epochs: 1, batch_size: 16, workers: 0, threads: 1}\n",
            *lines,
        ]
    )


@pytest.fixture
def taught(tiny):
    """A workspace with a finished exp001, whose learning rate lets it learn something in one epoch."""
    tiny.write("exp001", manifest("optimizer: {lr: 0.02}\n"))
    tiny.run()
    return tiny


def outputs(tiny, name: str, fold: str, file: str = "oof.parquet"):
    return read_raw(find_run(tiny.project, name, partial=True).folder / f"fold{fold}" / file).outputs


# ---- init ----------------------------------------------------------------------------------------------------------------


def test_each_fold_starts_from_the_same_fold(taught):
    taught.write("exp002", manifest(STILL, "init: exp001\n"))
    taught.run("exp002")
    for fold in "01":
        assert np.allclose(outputs(taught, "exp002", fold), outputs(taught, "exp001", fold), atol=1e-5)
    assert "starts from" in " ".join(event.text for event in taught.names("Notice"))


def test_a_head_of_another_shape_starts_anew_and_it_is_said(taught):
    taught.write("exp002", manifest(STILL, "init: exp001\n", "head: {use: mlp, hidden: 4}\n"))
    taught.run("exp002", only=[0])
    assert any("with a new head" in event.text for event in taught.names("Notice"))


def test_full_into_a_fold_that_it_has_seen_is_an_error(taught):
    taught.run(full=True)
    taught.write("exp002", manifest(STILL, "init: exp001/full\n"))
    with pytest.raises(FoldsError, match="its model of everything was trained on 30 of the 30 units that this fold holds out"):
        taught.run("exp002")


def test_other_folds_are_an_error(taught):
    taught.write("exp002", manifest(STILL, "init: exp001\n", "split: {seed: 5}\n"))
    with pytest.raises(FoldsError, match="Both experiments must have the same folds"):
        taught.run("exp002")


def test_a_file_and_what_does_not_fit(taught):
    weights = find_run(taught.project, "exp001").folder / "fold0/last.safetensors"
    taught.write("exp002", manifest(STILL, f"init: {weights}\n"))
    taught.run("exp002", only=[0])
    assert np.allclose(outputs(taught, "exp002", "0"), outputs(taught, "exp001", "0"), atol=1e-5)
    taught.write("exp003", manifest(STILL, f"init: {weights}\n").replace("widths: [8, 8]", "widths: [8, 12]"))
    with pytest.raises(WeightsError, match="no weights of that shape"):
        taught.run("exp003", only=[0])
    for wrong in ("nowhere.safetensors", "exp001/half"):
        taught.write("exp004", manifest(STILL, f"init: {wrong}\n"))
        with pytest.raises(WeightsError, match="init"):
            taught.run("exp004")


def test_what_it_starts_from_is_in_the_digest(taught):
    taught.write("exp002", manifest("init: exp001\n"))
    first = taught.run("exp002", only=[0]).digest
    taught.write("exp001", manifest("optimizer: {lr: 0.01}\n"))
    taught.run()
    assert taught.run("exp002", only=[0]).digest != first


# ---- seeds ---------------------------------------------------------------------------------------------------------------


def test_several_seeds_are_averaged_and_each_is_kept(tiny):
    tiny.write("exp001", manifest("seeds: [3, 0]\n"))
    result = tiny.run()
    run = find_run(tiny.project, "exp001")
    raw = read_raw(run.folder / "fold0/oof.parquet")
    assert set(raw.seeds) == {0, 3}
    halves = [link_outputs(raw.outputs[raw.seeds == seed], raw.task, raw.links) for seed in (0, 3)]
    merged = read_predictions(run.folder / "oof.parquet")
    ids = raw.ids[raw.seeds == 0]
    assert list(ids) == list(raw.ids[raw.seeds == 3])
    found = merged.values[[list(merged.ids).index(unit) for unit in ids]]
    assert np.allclose(found, (halves[0] + halves[1]) / 2)
    assert not np.allclose(halves[0], halves[1])
    noise = result.scores["seeds"]
    assert set(noise["scores"]) == {"0", "3"}
    assert noise["std"] == pytest.approx(np.std(list(noise["scores"].values()), ddof=1))
    assert json.loads((run.folder / "fold0/fold.json").read_text())["seeds"].keys() == {"3", "0"}


def test_one_of_the_seeds_alone_gives_the_same_as_a_run_of_its_own(tiny):
    tiny.write("exp001", manifest("seeds: [3, 0]\n"))
    tiny.write("exp002", manifest("seed: 3\n"))
    tiny.run("exp001", only=[0])
    tiny.run("exp002", only=[0])
    raw = read_raw(find_run(tiny.project, "exp001", partial=True).folder / "fold0/oof.parquet")
    assert np.array_equal(raw.outputs[raw.seeds == 3], outputs(tiny, "exp002", "0"))


def test_views_and_new_images_are_predicted_by_all_seeds(tiny):
    tiny.write("exp001", manifest("seeds: [3, 0]\n"))
    tiny.run()
    assert tiny.comp("submit", "exp001", "--tta", "hflip").code == 0
    raw = read_raw(find_run(tiny.project, "exp001").folder / "fold0/oof.parquet")
    assert {(view, seed) for view, seed in zip(raw.views, raw.seeds)} == {(v, s) for v in ("plain", "hflip") for s in (0, 3)}
    said = tiny.comp("predict", "exp001", "--test", "data/test", "--out", "new.csv")
    assert said.code == 0, said.err
    assert (tiny.root / "new.csv").exists()


@pytest.mark.parametrize("seeds", ["[]", "[1, 1]"])
def test_no_seed_or_one_twice_is_a_fault(tiny, seeds):
    tiny.write("exp001", manifest(f"seeds: {seeds}\n"))
    assert "wanted several numbers, each once" in tiny.comp("run", "exp001").err


# ---- teachers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", ["true", "false"])
def test_a_student_learns_test_rows_from_the_fold_that_never_saw_its_held_out_rows(taught, soft):
    taught.write("exp002", manifest(f"objective: {{use: pseudo_labels, teachers: [exp001], threshold: 0.0, soft: {soft}}}\n"))
    taught.run("exp002")
    said = [event.text for event in taught.names("Notice") if "from their teachers" in event.text]
    assert said == [f"fold {fold}: 12 of 12 test rows are learned from their teachers" for fold in "01"]


def test_what_the_teacher_says_is_its_own_folds_answer(taught):
    from comp.engine.rows import Rows
    from comp.manifest import load_manifest
    from comp.material import open_material
    from comp.plan import open_run, plan_run
    from comp.teachers import Teachers

    taught.write("exp002", manifest("objective: {use: distillation, teachers: [exp001], rows: [test]}\n"))
    plan = open_run(plan_run(taught.project, load_manifest(taught.project, "exp002")))
    material = open_material(plan, lambda event: None, lambda: False)
    train: Rows = material.training_rows("1")
    teach = Teachers(plan).of("1", train, material.test)
    raw = read_raw(find_run(taught.project, "exp001").folder / "fold1/test.parquet")
    found = teach(["exp001"], "test")["label"]
    assert np.allclose(found, link_outputs(raw.outputs, raw.task, raw.links), atol=1e-6)
    # Fold 1 was trained on fold 0's rows: its answers for them are not fold 0's OOF.
    mine = teach(["exp001"], "train")["label"]
    run = find_run(taught.project, "exp001")
    others = average_stored(run, ["0"], "oof.parquet", train.row_ids, plan.competition.task)
    assert mine.shape == others.shape == (30, 3)
    assert not np.allclose(mine, others, atol=1e-3)
    taught.run("exp002")


def test_a_teacher_of_other_folds_is_an_error(taught):
    taught.write("exp002", manifest("objective: {use: pseudo_labels, teachers: [exp001]}\n", "split: {seed: 5}\n"))
    with pytest.raises(FoldsError, match="teachers: exp001@"):
        taught.run("exp002")


def test_check_tries_a_student_without_asking_anybody(taught):
    taught.write("exp002", manifest("objective: {use: distillation, teachers: [exp001]}\n"))
    said = taught.comp("check", "exp002")
    assert said.code == 0, said.out + said.err


def test_teachers_answer_extra_rows_too(taught):
    test = (taught.data / "test.csv").read_text().splitlines()[1:]
    (taught.data / "more.csv").write_text("\n".join(["name,label", *(f"{row.split(',')[0]},0" for row in test)]) + "\n")
    taught.write(
        "exp002",
        manifest("objective: {use: distillation, teachers: [exp001]}\n", "extra: [{table: more.csv, images: test}]\n"),
    )
    taught.run("exp002")
    *_, first, second = taught.names("FoldStarted")
    assert first.train_rows > 30 and second.train_rows > 30, "the extra rows that look like none of the held-out ones"


def test_a_student_of_everything_is_taught_every_row(taught):
    test_teachers_answer_extra_rows_too(taught)
    taught.run("exp002", full=True)
    assert (find_run(taught.project, "exp002").folder / "full/fold.json").exists()


def test_a_blend_has_no_models_to_learn_from(taught):
    assert taught.comp("blend", "exp001", "exp001@" + find_run(taught.project, "exp001").digest, "--name", "mix").code == 0
    for line in ("objective: {use: pseudo_labels, teachers: [mix]}\n", "init: mix\n"):
        taught.write("exp002", manifest(line))
        said = taught.comp("run", "exp002")
        assert said.code == 2 and "mix has no models of its own; it is a blend: name its members" in said.err


def test_a_teacher_of_other_classes_is_an_error(taught):
    taught.edit("data/train.csv", "label", "label,kind")
    rows = (taught.data / "train.csv").read_text().splitlines()
    kinds = [rows[0], *(f"{row},{'ab'[number % 2]}" for number, row in enumerate(rows[1:]))]
    (taught.data / "train.csv").write_text("\n".join(kinds) + "\n")
    taught.edit("competition.yaml", "sample: sample.csv,", "target: kind,")
    taught.edit("competition.yaml", "kind: multiclass, classes: 3", "kind: binary, classes: 2")
    taught.write("exp002", manifest("objective: {use: distillation, teachers: [exp001]}\n"))
    said = taught.comp("run", "exp002")
    assert said.code != 0 and "predicts the targets label; wanted kind" in said.err


def test_test_rows_that_are_learned_are_in_the_digest(taught):
    from comp.manifest import load_manifest
    from comp.plan import plan_run

    def digests() -> list[str]:
        return [plan_run(taught.project, load_manifest(taught.project, name)).run.digest for name in ("exp001", "exp002")]

    taught.write("exp002", manifest("objective: {use: pseudo_labels, teachers: [exp001]}\n"))
    before = digests()
    lines = (taught.data / "test.csv").read_text().splitlines()
    (taught.data / "test.csv").write_text("\n".join(lines[:-1]) + "\n")
    after = digests()
    assert before[0] == after[0] and before[1] != after[1]


def test_an_ensemble_with_a_loop_of_its_own_refuses_what_it_cannot_honour(taught):
    lines = ["ensemble: {use: torchensemble}\n", "init: exp001\n", "objective: {use: sam}\n"]
    taught.write("exp002", manifest(*lines))
    said = taught.comp("run", "exp002").err
    assert said.count("has a training loop of its own and cannot honour this") == 2
