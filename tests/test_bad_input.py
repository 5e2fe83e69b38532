"""Bad input, as a user meets it: exit code 2, a message that names the row, file or key, and nothing half-written."""

from __future__ import annotations

import shutil
import threading

import cv2
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from comp.predictions import read_raw


def refused(tiny, said, *words: str) -> None:
    assert said.code == 2, (said.code, said.err)
    for word in words:
        assert word in said.err, said.err
    assert "Traceback" not in said.err and not list((tiny.root / ".comp").glob("crash*"))


def run_refused(tiny, *words: str, command: str = "run") -> None:
    """Refused, and no run, no half-written file is there."""
    refused(tiny, tiny.comp(command, "exp001"), *words)
    assert not (tiny.root / "experiments/exp001/runs").exists()
    assert not list(tiny.root.rglob("*.tmp")) and not list(tiny.root.rglob("*.unfinished"))


def add_key(tiny, line: str) -> None:
    with open(tiny.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write(line + "\n")


def training_images(tiny):
    return sorted((tiny.data / "train").iterdir())


# ---- manifests -----------------------------------------------------------------------------------------------------------

PLACE = "experiments/exp001/manifest.yaml:5  "


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("loss: {use: focl}", ["loss.use", "did you mean 'focal'"]),
        ("loss: {use: focal, gama: 3}", ["loss.gama", "did you mean 'gamma'"]),
        ("loss: {use: focal, gamma: big}", ["loss.gamma", "big"]),
        ("los: {use: focal}", ["'los'", "did you mean 'loss'"]),
        ("loss: focal", ["loss", "{use: focal}"]),
        ("seed: yes", ["seed", "yes"]),
        ("on_bad_image: ignore", ["on_bad_image", "skip"]),
        ("head: {use: linear, dropout: '0.5'}", ["head.dropout"]),
        ("optimizer: {use: timm, opt: adamwx}", ["optimizer.opt", "adamwx"]),
        ("optimizer: {use: timm, opt: adamw, betta: 1}", ["optimizer.betta"]),
        ("augment: [{use: A.HorizontalFlp}]", ["augment.0.use", "HorizontalFlip"]),
        ("augment: [{use: A.HorizontalFlip, q: 1}]", ["augment.0.q"]),
        ("also: {use: accuracy}", ["also", "list"]),
    ],
)
def test_a_fault_of_the_manifest_names_file_line_and_key(tiny, line, words):
    tiny.edit("experiments/exp001/manifest.yaml", "augment: []\n", "")
    tiny.write("exp001", "model: {use: cnn, widths: [8, 8], hidden: 16}\nimage: {size: 16}\ntrain: {epochs: 1}\n\n" + line + "\n")
    run_refused(tiny, PLACE, "1 fault; nothing was run.", *words)


def test_unknown_arguments_of_a_library(tiny):
    model = "model: {use: timm, arch: resnet18, pretrained: false, drop_pth_rate: 0.1}\n"
    tiny.write("exp001", model)
    run_refused(tiny, "experiments/exp001/manifest.yaml:1", "drop_pth_rate")
    tiny.write("exp001", "model: {use: timm, arch: resnet19, pretrained: false}\n")
    run_refused(tiny, "experiments/exp001/manifest.yaml:1", "model.arch", "resnet18")


def test_all_faults_at_once(tiny):
    add_key(tiny, "seed: x\nloss: {use: focl}\nnothing: 1")
    run_refused(tiny, "seed", "focl", "nothing", "3 faults")


def test_an_unknown_kind(tiny):
    said = tiny.comp("plugins", "new", "losss", "mine")
    refused(tiny, said, "losss")


def test_yaml_that_does_not_parse(tiny):
    add_key(tiny, "loss: {use: focal")
    run_refused(tiny, "experiments/exp001/manifest.yaml:")
    tiny.edit("competition.yaml", "metric: {use: accuracy}", "metric: {use: accuracy")
    refused(tiny, tiny.comp("run", "exp001"), "competition.yaml:")


def test_a_cycle_of_extends(tiny):
    tiny.write("exp002", "extends: exp001\n")
    add_key(tiny, "extends: exp002")
    run_refused(tiny, "extends", "exp001 → exp002 → exp001")


def test_weights_that_are_not_there(tiny):
    tiny.write("exp001", "model: {use: timm, arch: resnet18, pretrained: gone.safetensors}\n")
    run_refused(tiny, "gone.safetensors")


# ---- tables --------------------------------------------------------------------------------------------------------------


def test_a_missing_column(tiny):
    tiny.edit("data/train.csv", "name,label", "name,klass")
    run_refused(tiny, "train.csv has no column 'label'", "'klass'")


def test_a_row_twice(tiny):
    line = (tiny.data / "train.csv").read_text().splitlines()[3]
    with open(tiny.data / "train.csv", "a") as file:
        file.write(line + "\n")
    run_refused(tiny, "train.csv", line.split(",")[0], "twice")


def test_a_label_that_only_the_sample_knows(tiny):
    lines = (tiny.data / "sample.csv").read_text().splitlines()
    lines[2] = lines[2].replace(",0", ",9")
    (tiny.data / "sample.csv").write_text("\n".join(lines) + "\n")
    run_refused(tiny, "'9'", lines[2].split(",")[0], "no training row has")


def test_an_empty_label(tiny):
    name = training_images(tiny)[0].stem
    text = (tiny.data / "train.csv").read_text().splitlines()
    (tiny.data / "train.csv").write_text("\n".join([text[0], f"{name},", *text[2:]]) + "\n")
    run_refused(tiny, name, "empty")


def test_fewer_units_or_groups_than_folds(tiny):
    refused(tiny, tiny.comp("run", "exp001", "--folds", "61"), "61", "60")
    lines = (tiny.data / "train.csv").read_text().splitlines()
    grouped = [f"{line},{'ab'[number % 2]}" for number, line in enumerate(lines[1:])]
    (tiny.data / "train.csv").write_text("\n".join([lines[0] + ",patient", *grouped]) + "\n")
    refused(tiny, tiny.comp("run", "exp001", "--set", "split={use: group, group: patient, folds: 3}"), "3", "2")
    assert not (tiny.root / "experiments/exp001/runs").exists()


def test_a_group_that_is_no_column(tiny):
    refused(tiny, tiny.comp("run", "exp001", "--set", "split={use: group, group: patient}"), "patient")


def test_a_path_that_leads_out(tiny):
    lines = (tiny.data / "train.csv").read_text().splitlines()
    (tiny.data / "train.csv").write_text("\n".join([*lines, "../../etc/passwd,1"]) + "\n")
    run_refused(tiny, "../../etc/passwd", "lead out of")


def test_ids_with_leading_zeros_stay_text(tiny_run):
    ids = {path.stem for path in (tiny_run.data / "test").iterdir()}
    assert all(name.startswith("0") for name in ids)
    said = tiny_run.comp("submit", "exp001", "--json")
    written = (tiny_run.root / "submissions/exp001/v001.csv").read_text().split()[1:]
    assert said.code == 0 and {line.split(",")[0] for line in written} == ids


# ---- images --------------------------------------------------------------------------------------------------------------


def test_a_missing_image(tiny):
    gone = training_images(tiny)[7]
    gone.unlink()
    run_refused(tiny, f"train/{gone.name}", "not there", "on_bad_image: skip")


@pytest.mark.parametrize("what", ["empty", "truncated"])
def test_an_image_that_cannot_be_read_is_named(tiny, what):
    bad = training_images(tiny)[7]
    bad.write_bytes(b"" if what == "empty" else bad.read_bytes()[:70])
    refused(tiny, tiny.comp("run", "exp001"), bad.name, "on_bad_image: skip")
    assert not list((tiny.root / "experiments").rglob("fold.json"))
    assert not list(tiny.root.rglob("*.unfinished")) and not list(tiny.root.rglob("*.tmp"))


def test_odd_images_are_fine(tiny):
    """1×1, CMYK, palette, 16-bit, EXIF rotation, 100 megapixels, another extension than the rest."""
    first, second, third, fourth, fifth, sixth = training_images(tiny)[:6]
    Image.new("L", (1, 1), 128).save(first)
    Image.new("CMYK", (8, 8), (0, 128, 255, 0)).save(second.with_suffix(".jpg"))
    second.unlink()
    Image.new("P", (8, 8), 3).save(third)
    cv2.imwrite(str(fourth), (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), "red").save(fifth.with_suffix(".jpg"), exif=exif)
    fifth.unlink()
    cv2.imwrite(str(sixth.with_suffix(".jpg")), np.zeros((10_000, 10_000), dtype=np.uint8))
    sixth.unlink()
    result = tiny.run()
    assert result.complete and result.scores["coverage"] == {"scored": 60, "units": 60}


def test_train_and_test_with_different_extensions(tiny):
    for path in (tiny.data / "test").iterdir():
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert tiny.run().complete
    assert tiny.comp("submit", "exp001").code == 0


def test_skip_is_a_choice_and_lists_what_it_skipped(tiny):
    bad = training_images(tiny)[7]
    bad.write_bytes(b"")
    add_key(tiny, "on_bad_image: skip")
    said = tiny.comp("run", "exp001")
    assert said.code == 0 and "skipped 1 of 60" in said.out and bad.stem in said.out
    (raw_file,) = (tiny.root / "experiments/exp001/runs").glob("*/fold0/oof.parquet")
    other = raw_file.parents[1] / "fold1/oof.parquet"
    assert bad.stem not in {*read_raw(raw_file).ids, *read_raw(other).ids}


# ---- runs and submissions ------------------------------------------------------------------------------------------------


def test_an_empty_test_set_at_submit(tiny):
    (tiny.data / "test.csv").write_text("name\n")
    assert tiny.comp("run", "exp001").code == 0
    refused(tiny, tiny.comp("submit", "exp001"), "no test predictions", "comp predict")
    assert not (tiny.root / "submissions").exists()


def test_a_second_process_waits_for_a_fold_in_use(tiny):
    """Another process holds the only fold that is wanted: this one says so, and goes on as soon as it is free."""
    from comp.manifest import load_manifest
    from comp.plan import open_run, plan_run

    plan = open_run(plan_run(tiny.project, load_manifest(tiny.project, "exp001")))
    (plan.run.folder / "fold0").mkdir()
    lock = FileLock(plan.run.folder / "fold0/.lock", thread_local=False)
    lock.acquire()
    seen: list[str] = []
    timer = threading.Timer(1.5, lambda: (seen.extend(type(event).__name__ for event in tiny.events), lock.release(force=True)))
    timer.start()
    result = tiny.run(only=[0])
    timer.join()
    assert "FoldSkipped" in seen and "FoldStarted" not in seen  # while it was held, nothing trained
    kinds = [type(event).__name__ for event in tiny.events]
    assert kinds.index("FoldStarted") > kinds.index("FoldSkipped") and result.scores["folds_done"] == ["0"]


def test_folders_that_cannot_be_written(tiny):
    """As root no folder is read-only: a file in its place cannot be written into by anybody."""
    (tiny.root / "experiments/exp001/runs").write_text("a file")
    refused(tiny, tiny.comp("run", "exp001"), "exp001/runs", "cannot be written")
    (tiny.root / "experiments/exp001/runs").unlink()
    shutil.rmtree(tiny.root / ".comp", ignore_errors=True)
    (tiny.root / ".comp").write_text("a file")
    refused(tiny, tiny.comp("run", "exp001"), ".comp/cache", "cannot be written")
    (tiny.root / ".comp").unlink()
    shutil.rmtree(tiny.root / "folds")
    (tiny.root / "folds").write_text("a file")
    refused(tiny, tiny.comp("run", "exp001"), "folds", "cannot be")


def test_submissions_that_cannot_be_written(tiny_run):
    (tiny_run.root / "submissions").write_text("a file")
    refused(tiny_run, tiny_run.comp("submit", "exp001"), "submissions", "cannot be written")


@pytest.mark.parametrize("name", ["Exp001", "../exp001", "exp 1", "a/b", ""])
def test_names_that_are_none(tiny, name):
    refused(tiny, tiny.comp("run", name), "cannot name an experiment")


def test_an_experiment_that_is_not_there(tiny):
    refused(tiny, tiny.comp("run", "exp002"), "there is no experiment 'exp002'", "did you mean 'exp001'")


def test_damaged_files_of_a_run_are_named(tiny_run):
    (folder,) = (tiny_run.root / "experiments/exp001/runs").iterdir()
    (folder / "fold0/test.parquet").write_bytes(b"PAR1 not really")
    refused(tiny_run, tiny_run.comp("submit", "exp001"), "fold0/test.parquet cannot be read")
