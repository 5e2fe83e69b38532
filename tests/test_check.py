"""`comp check`: everything that can be known before training."""

from __future__ import annotations

import numpy as np
import pytest

from comp.api import Target, Task
from comp.check import duration_text, make_up_answers


@pytest.fixture(scope="module")
def report(copy_tiny):
    tiny = copy_tiny(
        "model: {use: cnn, widths: [8, 8], hidden: 16}\nimage: {size: 16}\naugment: []\n"
        "train: {epochs: 2, batch_size: 16, threads: 1}\n"
    )
    said = tiny.comp("check", "exp001", "--json")
    assert said.code == 0, said.err
    return said.json


def test_tables_folds_images(report):
    sections = dict(report["sections"])
    assert sections["tables"] == ["60 training rows", "12 test rows", "target label: multiclass, 3 classes"]
    assert sections["folds"][0] == "2 folds from default.csv; units held out: 30, 30"
    assert sections["folds"][1:] == ["label=0: 10 10", "label=1: 10 10", "label=2: 10 10"]
    assert sections["images"][0] == "training: 60 of 60 images read, median short side 8 px, 1 channels"


def test_the_model_ran_on_a_real_batch(report):
    model = dict(report["sections"])["model"]
    assert model[0].startswith(
        "batch 16 x 1 x 16 x 16 -> 16 features -> 16 x 3; first loss 1.09"
    )  # ln 3: a head that starts at zero


def test_the_estimate_adds_up(report):
    estimate = report["estimate"]
    assert estimate["run_s"] == pytest.approx(2 * estimate["fold_s"] + estimate["read_s"])
    assert estimate["fold_s"] > 2 * estimate["epoch_s"] > 0 and estimate["memory_mib"] > 0


def test_the_form_was_tried(report):
    assert dict(report["sections"])["submission"] == ["'labels' gives 12 rows of name, label, as the sample wants"]


def test_it_makes_no_run(tiny):
    assert tiny.comp("check", "exp001").code == 0
    assert not (tiny.root / "experiments/exp001/runs").exists()


def test_all_reads_every_image_and_names_the_bad(tiny):
    names = sorted((tiny.data / "train").iterdir())
    names[40].write_bytes(names[40].read_bytes()[:60])
    said = tiny.comp("check", "exp001", "--all")
    assert said.code == 2 and names[40].name in said.err and "on_bad_image: skip" in said.err
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\non_bad_image: skip")
    said = tiny.comp("check", "exp001", "--all", "--json")
    assert said.code == 0 and names[40].name in said.json["warnings"][0]


def test_rare_classes_and_the_score_in_reach(tiny):
    """A class of one image: whoever holds it out cannot know it, so 60 of 61 are in reach."""
    with open(tiny.data / "train.csv", "a") as file:
        file.write("9999,7\n")
    (tiny.data / "train/9999.png").write_bytes(next((tiny.data / "train").iterdir()).read_bytes())
    (warning,) = tiny.comp("check", "exp001", "--json").json["warnings"]
    assert "7 (1)" in warning and f"accuracy {60 / 61:.4f}" in warning


def test_a_form_that_does_not_fit_is_refused_before_training(tiny):
    said = tiny.comp("check", "exp001", "--set", "submission={use: probabilities}")
    assert said.code == 2 and "sample" in said.err


def test_made_up_answers_are_legal():
    task = Task((Target("a", "multiclass", ("x", "y"), ("a",)), Target("b", "regression", (), ("b",))))
    assert np.array_equal(make_up_answers(task, 2), [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])


def test_durations():
    assert [duration_text(seconds) for seconds in (3.21, 90, 7200)] == ["3.2 s", "1.5 min", "2.0 h"]
