"""Whole runs with weights, auxiliary targets, numbers and grades, extra tables, fixes and preprocess steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from comp.check import check_experiment
from comp.lookalikes import find_lookalikes
from comp.manifest import load_manifest
from comp.plan import plan_run
from comp.predictions import read_predictions, read_raw

if TYPE_CHECKING:
    from tests.forms.conftest import Digits, Miniature


def test_weights_are_1_on_average_over_a_folds_training_rows(drawn: Miniature, jobs: list[Any]) -> None:
    (drawn.data / "train.csv").write_text(drawn.train.table(w=[1 + 3 * (label == "0") for label in drawn.train.labels]))
    drawn.write("test_images: test_images, weight: w")
    drawn.run()
    for job in jobs:
        assert job.train.weights.mean() == pytest.approx(1) and job.train.weights.dtype == np.float32
        heavy = job.train.targets["label"] == 0
        assert job.train.weights[heavy].mean() == pytest.approx(4 * job.train.weights[~heavy].mean())


def test_auxiliary_targets_are_trained_and_not_scored(drawn: Miniature) -> None:
    ink = [float(image.sum()) / 300 for image in drawn.train.images]
    around = [str(int(label == "0")) for label in drawn.train.labels]
    (drawn.data / "train.csv").write_text(drawn.train.table(round=around, ink=ink))
    drawn.write(
        "test_images: test_images, auxiliary: [round, ink]",
        "kind: multitarget, targets: {label: multiclass, round: binary, ink: regression}",
    )
    result = drawn.run()
    raw = read_raw(result.folder / "fold1/oof.parquet")
    assert [(target.name, target.scored) for target in raw.task.targets] == [("label", True), ("round", False), ("ink", False)]
    assert raw.outputs.shape[1] == 6
    oof, test = (read_predictions(result.folder / f"{part}.parquet") for part in ("oof", "test"))
    assert oof.columns == test.columns == ("0", "1", "2") and set(result.scores["per_target"]) == {"label"}
    frame = drawn.predict(drawn.data / "test_images")
    assert list(frame) == ["id", "label"] and set(frame["label"]) <= {"0", "1", "2"}


def test_numbers_and_grades(drawn: Miniature) -> None:
    drawn.write("test_images: test_images", "kind: ordinal")
    assert read_predictions(drawn.run().folder / "oof.parquet").task.target.kind == "ordinal"
    drawn.write("test_images: test_images", "kind: regression", "rmse")
    result = drawn.run()
    oof = read_predictions(result.folder / "oof.parquet")
    assert oof.task.target.kind == "regression" and oof.values.shape == (36, 1) and result.scores["pooled"] > 0


def find_first_twin(theirs: np.ndarray, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fourth of theirs is the first of ours; other digits of 8 px look alike, too, and are not the point here."""
    extra, shown = find_lookalikes(theirs, ours)
    assert (3, 0) in set(zip(extra.tolist(), shown.tolist(), strict=True))
    return np.array([3]), np.array([0])


def test_extra_rows_are_trained_on_and_never_those_that_look_held_out(
    drawn: Miniature, strangers: Digits, jobs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three strangers, and two training images in larger files: a twin is left out where its original is held out."""
    larger = drawn.data / "elsewhere"
    strangers.draw(larger)
    for twin, source in (("t1", 0), ("t2", 5)):
        small = np.rint(drawn.train.images[source] * 15.9).astype(np.uint8)
        cv2.imwrite(str(larger / f"{twin}.png"), cv2.resize(small, (48, 48)))
    names = [*strangers.names, "t1", "t2"]
    labels = [*(f"digit {label}" for label in strangers.labels), f"digit {drawn.train.labels[0]}", "unknown"]
    (drawn.data / "more.csv").write_text("".join(f"{a},{b}\n" for a, b in [("file", "what"), *zip(names, labels, strict=True)]))
    labels = "labels: {digit 0: '0', digit 1: '1', digit 2: '2'}, leave_out: [unknown]"
    extra = f"{{table: more.csv, images: elsewhere, id: file, target: what, weight: 0.5, {labels}}}"
    drawn.write("test_images: test_images")
    plain = drawn.run().digest
    drawn.write("test_images: test_images", manifest=f"extra: [{extra}]\n")
    monkeypatch.setattr("comp.training_part.find_lookalikes", find_first_twin)
    drawn.take_notices()
    jobs.clear()
    result = drawn.run()
    assert result.digest != plain and result.scores["further"] == {"extra_rows": 4}
    told = drawn.take_notices()
    assert "extra more.csv: 4 rows, trained on in every fold with weight 0.5, 1 left out by their label" in told
    twin_fold = next(job.fold for job in jobs if drawn.train.names[0] in set(job.held_out.ids))
    assert f"fold {twin_fold}: 1 extra rows look like held-out images and are left out" in told
    for job in jobs:
        theirs = [row for row in job.train.ids if row.startswith("extra0:")]
        assert len(theirs) == (3 if job.fold == twin_fold else 4) and not any(row.startswith("extra") for row in job.held_out.ids)
        mine = job.train.weights[[not row.startswith("extra") for row in job.train.ids]]
        assert job.train.weights.mean() == pytest.approx(1) and job.train.weights.min() == pytest.approx(mine[0] / 2)
    assert len(read_predictions(result.folder / "oof.parquet").ids) == 36
    (drawn.data / "more.csv").write_text((drawn.data / "more.csv").read_text().replace("unknown", "digit 2"))
    assert plan_run(drawn.project, load_manifest(drawn.project, "exp001")).run.digest != result.digest


def test_fixes_change_what_is_trained_on_and_not_what_is_scored(drawn: Miniature, jobs: list[Any]) -> None:
    drawn.write("test_images: test_images")
    plain = drawn.run()
    first, second = drawn.train.names[:2]
    other = "2" if drawn.train.labels[1] != "2" else "1"
    (drawn.root / "fixes.csv").write_text(
        f"row_id,action,column,value,reason\n{first},drop,,,blurred\n{second},relabel,label,{other},a typing error\n"
    )
    jobs.clear()
    result = drawn.run()
    assert result.digest != plain.digest and result.scores["further"] == {"dropped": 1, "relabelled": 1}
    seen = {row: job.train.targets["label"][place] for job in jobs for place, row in enumerate(job.train.ids)}
    assert first not in seen and seen[second] == int(other)
    held = {row: job.held_out.targets["label"][place] for job in jobs for place, row in enumerate(job.held_out.ids)}
    assert len(held) == 36 and held[second] == int(drawn.train.labels[1]) and held[first] == int(drawn.train.labels[0])


STEP = '''
import numpy as np
from comp.api import Preprocess, plugin


@plugin("preprocess")
def invert(*, by: int = 255) -> Preprocess:
    """Negative.

    Args:
        by: the brightest value.
    """
    return lambda image, ref: (by - image).astype(np.uint8)
'''


def test_preprocess_steps_are_stored_and_kept_apart(drawn: Miniature, jobs: list[Any]) -> None:
    drawn.write("test_images: test_images")
    plain = drawn.run()
    drawn.write("test_images: test_images", manifest="preprocess: [{use: square}, {use: invert}]\n")
    (drawn.root / "experiments/exp001/steps.py").write_text(STEP)
    inverted = drawn.run()
    assert plain.digest != inverted.digest
    before, after = (jobs[place].train.store.pixels for place in (0, 2))
    np.testing.assert_allclose(255.0 - before, after, atol=1)
    assert len(list((drawn.root / ".comp/cache").glob("*/store.json"))) == 4
    frame = drawn.predict(drawn.data / "test_images")
    test = read_predictions(inverted.folder / "test.parquet")
    best = dict(zip(test.ids, test.values.argmax(axis=1).astype(str), strict=True))
    assert frame["label"].tolist() == [best[name] for name in frame["id"]]


def test_check_states_what_is_stacked_weighted_fixed_and_added(drawn: Miniature) -> None:
    (drawn.data / "train.csv").write_text(drawn.train.table(w=["1"] * 36, sex=["f", "m"] * 18))
    (drawn.root / "fixes.csv").write_text(f"row_id,action\n{drawn.train.names[3]},drop\n")
    drawn.write("weight: w, columns: [], auxiliary: [sex], test_images: test_images")
    said = "\n".join(line for _, lines in check_experiment(drawn.project, "exp001").sections for line in lines)
    assert "rows are weighted by w" in said and "target sex: binary, 2 classes, not scored" in said
    assert "fixes.csv: 1 rows dropped, 0 relabelled, where they are trained on" in said
