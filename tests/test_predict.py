"""`comp predict`: from checkpoints alone."""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import comp.predict
from comp.errors import ImageError
from comp.events import Notice, StoreProgress
from comp.predict import gather_here, predict_new
from comp.predictions import read_predictions

PROBABILITIES = "submission: {use: probabilities}\n"


def run_folder(tiny):
    return next((tiny.root / "experiments/exp001/runs").glob("*/environment.json")).parent


def as_probabilities(tiny):
    with open(tiny.root / "experiments/exp001/manifest.yaml", "a") as file:
        file.write(PROBABILITIES)


def predict(tiny, test, *more: str) -> pd.DataFrame:
    out = tiny.root / "out.csv"
    said = tiny.comp("predict", "exp001", "--test", test, "--out", out, *more)
    assert said.code == 0, said.err
    return pd.read_csv(out, dtype={"name": str})


def test_it_equals_the_stored_test_predictions(tiny_run):
    as_probabilities(tiny_run)
    stored = read_predictions(run_folder(tiny_run) / "test.parquet")
    for test in ("data/test", "data/test.csv"):
        found = predict(tiny_run, tiny_run.root / test)
        assert list(found["name"]) == sorted(stored.ids)
        order = np.argsort(stored.ids)
        assert np.abs(found.drop(columns="name").to_numpy() - stored.values[order]).max() < 1e-12


def test_needs_neither_training_images_nor_tables(tiny_run):
    as_probabilities(tiny_run)
    before = predict(tiny_run, tiny_run.data / "test")
    shutil.move(tiny_run.data / "test", tiny_run.root / "elsewhere")
    shutil.rmtree(tiny_run.data)
    pd.testing.assert_frame_equal(predict(tiny_run, tiny_run.root / "elsewhere"), before)


def test_a_run_made_without_a_test_set_predicts_as_one_with(tiny, tiny_run):
    as_probabilities(tiny)
    shutil.move(tiny.data / "test", tiny.root / "later")
    tiny.run()
    found = predict(tiny, tiny.root / "later").set_index("name")
    stored = read_predictions(run_folder(tiny_run) / "test.parquet")
    assert np.abs(found.loc[list(stored.ids)].to_numpy() - stored.values).max() < 1e-12


def test_a_sample_says_order_and_form(tiny_run):
    found = predict(tiny_run, tiny_run.data / "test", "--sample", tiny_run.data / "sample.csv")
    sample = pd.read_csv(tiny_run.data / "sample.csv", dtype=str)
    assert list(found["name"]) == list(sample["name"]) and list(found.columns) == ["name", "label"]
    packed = tiny_run.data / "sample.csv.gz"
    packed.write_bytes(gzip.compress((tiny_run.data / "sample.csv").read_bytes()))
    pd.testing.assert_frame_equal(predict(tiny_run, tiny_run.data / "test", "--sample", packed), found)


def test_todays_tta_counts(tiny_run):
    as_probabilities(tiny_run)
    plain = predict(tiny_run, tiny_run.data / "test")
    tiny_run.edit("experiments/exp001/manifest.yaml", "augment: []", "augment: []\ntta: [{use: hflip}]")
    flipped = predict(tiny_run, tiny_run.data / "test")
    assert np.abs(plain.drop(columns="name").to_numpy() - flipped.drop(columns="name").to_numpy()).max() > 1e-4
    tiny_run.comp("score", "exp001")
    stored = read_predictions(run_folder(tiny_run) / "test.parquet")
    order = np.argsort(stored.ids)
    assert np.abs(flipped.drop(columns="name").to_numpy() - stored.values[order]).max() < 1e-12


def test_bad_images_are_an_error_or_the_mean_image(tiny_run):
    shutil.copytree(tiny_run.data / "test", tiny_run.root / "new")
    (tiny_run.root / "new/0000.png").write_bytes(b"\x89PNG broken")
    said = tiny_run.comp("predict", "exp001", "--test", tiny_run.root / "new", "--out", "out.csv")
    assert said.code == 2 and "0000.png" in said.err and not (tiny_run.root / "out.csv").exists()
    said = tiny_run.comp(
        "predict", "exp001", "--test", tiny_run.root / "new", "--out", "out.csv", "--on-bad-image", "mean", "--json"
    )
    assert said.json["bad"] == ["0000"] and said.json["rows"] == 13


def test_images_that_are_predicted_while_they_are_read_give_the_same_file(tiny_run, monkeypatch):
    """What a GPU does, which this machine need not have."""
    as_probabilities(tiny_run)
    shutil.copytree(tiny_run.data / "test", tiny_run.root / "new")
    shutil.copytree(tiny_run.data / "train", tiny_run.root / "new", dirs_exist_ok=True)
    (tiny_run.root / "new" / sorted(os.listdir(tiny_run.root / "new"))[40]).write_bytes(b"\x89PNG broken")
    fabrics, stores, told = [], [], []
    open_restored = comp.predict.open_restored

    def open_elsewhere(plan, emit):
        restored = open_restored(plan, emit)
        fabrics.append(restored.fabric)
        return replace(restored, fabric=SimpleNamespace(device=torch.device("meta")))

    def gather(restored, rows):
        stores.append(rows.store)
        for _ in range(2000):  # what is told of the images is told at once, not when somebody predicts
            if any(isinstance(event, StoreProgress) for event in told):
                break
            time.sleep(0.01)
        else:
            pytest.fail("nothing was told in 20 s")
        return gather_here(replace(restored, fabric=fabrics[0]), rows)

    def predict_into(out, on_bad, *given):
        predict_new(tiny_run.project, "exp001", tiny_run.root / "new", None, tiny_run.root / out, on_bad, told.append, *given)
        return (tiny_run.root / out).read_bytes()

    with monkeypatch.context() as patched:
        patched.setattr(comp.predict, "open_restored", open_elsewhere)
        found = predict_into("a.csv", "mean", None, gather)
        with pytest.raises(ImageError, match="1 of 72"):
            predict_into("b.csv", "error", None, gather)
    assert type(stores[0]).__name__ == "GrowingImages" and list(stores[0].bad) == [40]
    progress = [event for event in told if isinstance(event, StoreProgress)]
    assert (progress[-1].what, progress[-1].done) == ("test", 72)
    said = [event.text.splitlines()[0] for event in told if isinstance(event, Notice)]
    assert said.count("1 of 72 test images cannot be read; they were predicted as the mean image:") == 1, said
    shutil.rmtree(tiny_run.root / ".comp/cache")
    assert predict_into("c.csv", "mean") == found and not (tiny_run.root / "b.csv").exists()


def test_an_empty_test_set_gives_the_header(tiny_run):
    (tiny_run.root / "empty").mkdir()
    said = tiny_run.comp("predict", "exp001", "--test", "empty", "--out", "out.csv")
    assert said.code == 0 and "the test set is empty" in said.out + said.err
    assert (tiny_run.root / "out.csv").read_text() == "name,label\n"
    said = tiny_run.comp("predict", "exp001", "--test", "empty", "--out", "out.csv", "--sample", tiny_run.data / "sample.csv")
    assert said.code == 2 and "lists no image" in said.err


def test_a_stub_of_one_image(tiny_run):
    (tiny_run.root / "stub").mkdir()
    first = sorted((tiny_run.data / "test").iterdir())[0]
    shutil.copy(first, tiny_run.root / "stub")
    assert list(predict(tiny_run, tiny_run.root / "stub")["name"]) == [first.stem]


def test_names_that_fit_training_images_too_are_no_guess(tiny_run):
    """Of images of one name the one in the folder of test images counts; without such a folder nothing is guessed."""
    data = tiny_run.root / "same"
    for folder, source in (("a", "train"), ("test", "test")):
        (data / folder).mkdir(parents=True)
        shutil.copy(sorted((tiny_run.data / source).iterdir())[0], data / folder / "x.png")
    (data / "list.csv").write_text("name\nx\n")
    as_probabilities(tiny_run)
    found = predict(tiny_run, data / "list.csv")
    (data / "test").rename(data / "b")
    said = tiny_run.comp("predict", "exp001", "--test", data / "list.csv", "--out", "out.csv")
    assert said.code == 2 and "'a/x.png', 'b/x.png'" in said.err
    shutil.rmtree(data / "a")
    pd.testing.assert_frame_equal(predict(tiny_run, data / "list.csv"), found)


@pytest.mark.parametrize("out", ["file/out.csv"])
def test_an_impossible_place_is_said_first(tiny_run, out):
    (tiny_run.root / "file").write_text("")
    said = tiny_run.comp("predict", "exp001", "--test", tiny_run.data / "test", "--out", out)
    assert said.code == 2 and "cannot be made" in said.err


def test_weights_that_are_gone_are_named(tiny_run):
    (run_folder(tiny_run) / "fold1/last.safetensors").unlink()
    said = tiny_run.comp("predict", "exp001", "--test", tiny_run.data / "test", "--out", "out.csv")
    assert said.code == 2 and "fold1/last.safetensors is not there" in said.err


def test_a_page_shows_the_images_with_what_is_predicted(tiny_run):
    as_probabilities(tiny_run)
    found = predict(tiny_run, tiny_run.data / "test", "--pictures", "pages/new.html").set_index("name")
    text = (tiny_run.root / "pages/new.html").read_text()
    shown = re.findall(r'<div class="id">(.*?)</div><div>(.*?)</div>', text)
    assert dict(shown) == {name: f"{row.idxmax()} ({row.max():.0%})" for name, row in found.iterrows()}
    pictures = [base64.b64decode(picture) for picture in re.findall(r'src="data:image/jpeg;base64,(.*?)"', text)]
    assert len(pictures) == 12 and not re.search(r"https?://|<script", text)
    # What lies beside an id is that id's own image.
    name = shown[3][0]
    drawn = cv2.imdecode(np.frombuffer(pictures[3], np.uint8), cv2.IMREAD_GRAYSCALE)
    away = {}
    for file in (tiny_run.data / "test").iterdir():
        image = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), drawn.shape, interpolation=cv2.INTER_LINEAR)
        away[file.stem] = np.abs(image.astype(float) - drawn).mean()
    assert min(away, key=away.get) == name
    counts = re.findall(r"<tr><td>(\d)</td>.*?<td>(\d+)</td><td>", text, re.S)
    predicted = found.idxmax(axis=1)
    assert [(digit, int(count)) for digit, count in counts] == [(digit, int((predicted == digit).sum())) for digit in "012"]


def test_the_page_of_an_empty_test_set_says_so(tiny_run):
    (tiny_run.root / "empty").mkdir()
    said = tiny_run.comp("predict", "exp001", "--test", "empty", "--out", "out.csv", "--pictures", "page.html", "--json")
    assert said.json["pictures"] == "page.html"
    assert "The test set is empty" in (tiny_run.root / "page.html").read_text()


def test_a_place_for_the_page_that_cannot_be_is_said_first(tiny_run):
    (tiny_run.root / "file").write_text("")
    said = tiny_run.comp("predict", "exp001", "--test", tiny_run.data / "test", "--out", "out.csv", "--pictures", "file/x.html")
    assert said.code == 2 and "--pictures file/x.html" in said.err and not (tiny_run.root / "out.csv").exists()
