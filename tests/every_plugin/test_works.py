"""Every built-in plugin that does not train works as its example says."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from comp.api import ImageSpec, Units
from comp.assigning import assign_folds
from comp.catalog import build_catalog
from comp.combinations import is_on_device
from comp.engine.augment import Augmenter, AugmentPlan
from comp.events import EpochFinished
from comp.judges import TaskJudge
from comp.post import build_chain
from comp.scores import build_metrics
from comp.source import Plugin
from comp.units import find_labels, find_strata, find_values

if TYPE_CHECKING:
    from tests.every_plugin.conftest import Case

CATALOG = build_catalog(None)
SPEC = ImageSpec((32, 32), (32, 32))


def use_split(spec: dict[str, Any], case: Case) -> None:
    count = np.arange(len(case.digits))
    columns = {"patient": count // 2, "site": count % 6, "age": count % 25, "fold": count % 3}
    columns["part"] = np.where(count % 4, "train", "valid")
    days = pd.date_range("2021-06-01", periods=len(case.digits)).strftime("%Y-%m-%d")
    table = pd.DataFrame({"id": [f"u{i:02d}" for i in count], **columns, "day": days}).astype(str)
    for target in case.task.targets:
        table[list(target.columns)] = case.targets[target.name].reshape(len(case.digits), -1).astype(str)
    values = find_values(case.task, case.targets)
    units = Units(table, find_strata(case.task, case.targets), find_labels(case.task, case.targets), values)
    answer = assign_folds(CATALOG, spec, units)
    assert answer.max() >= 0 and set(range(answer.max() + 1)) <= set(answer.tolist())


def use_sampler(values: dict[str, Any], case: Case) -> None:
    sampler = CATALOG.build("sampler", values, task=case.task, targets=case.targets, batch_size=32)
    first, again, other = (sampler(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.ndim == 1 and len(first) == len(other) and first.dtype.kind == "i"
    assert 0 <= first.min() and first.max() < len(case.digits)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def use_augment(values: dict[str, Any], case: Case) -> None:
    if is_on_device(CATALOG, values["use"]):
        change = CATALOG.build("augment", values, image=SPEC)
        pixels = torch.from_numpy(case.images[:8]).permute(0, 3, 1, 2) / 255
        drawn = np.random.default_rng(0).random((8, change.draws))
        images = change(pixels, drawn)
        assert images.shape == (8, 3, 32, 32) and 0 <= images.min() and images.max() <= 1 and not torch.equal(images, pixels)
        assert torch.allclose(change(pixels[3:4], drawn[3:4]), images[3:4], atol=1e-6)
        return
    augmenter = Augmenter(AugmentPlan(CATALOG, (values,), SPEC)(), SPEC.size, 3)
    images = [augmenter(case.images[row], 1, row, 0) for row in range(8)]
    assert all(image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in images)
    assert np.array_equal(images[3], augmenter(case.images[3], 1, 3, 0))


def use_mix(values: dict[str, Any], case: Case) -> None:
    mix = CATALOG.build("mix", values, task=case.task)
    mixed = mix(torch.rand(5, 3, 8, 8), torch.Generator().manual_seed(0))
    assert mixed.images.shape == (5, 3, 8, 8) and sorted(mixed.partner.tolist()) == [0, 1, 2, 3, 4]
    assert mixed.share.shape == (5,) and 0 <= mixed.share.min() and mixed.share.max() <= 1


def use_metric(values: dict[str, Any], case: Case) -> None:
    metric = CATALOG.build("metric", values, task=case.task)
    score = metric.compute(case.targets[case.task.target.name], case.answers if case.task.target.classes else case.answers[:, 0])
    assert np.isfinite(score)


def use_tta(values: dict[str, Any], case: Case) -> None:
    images = torch.rand(4, 3, 32, 32)
    for view in CATALOG.build("tta", values, image=SPEC).values():
        assert view(images).shape[:2] == (4, 3) and view(images).isfinite().all()


def judge(case: Case) -> TaskJudge:
    use = "accuracy" if all(target.classes for target in case.task.targets) else "rmse"
    return TaskJudge(case.task, build_metrics(CATALOG, {"use": use}, case.task))


def use_blend(values: dict[str, Any], case: Case) -> None:
    members = {name: np.roll(case.answers, number, axis=0) for number, name in enumerate(values["members"])}
    known = dict.fromkeys(members, case.task)
    blend = CATALOG.build("blend", values, task=case.task, score=judge(case), members=known)
    blend.fit(members, case.targets)
    assert blend.predict(members).shape == case.answers.shape


def use_post(values: dict[str, Any], case: Case) -> None:
    chain, again = (build_chain(CATALOG, [values], case.task, judge(case).metrics) for _ in range(2))
    chain.fit(case.answers, case.targets)
    again.load(json.loads(json.dumps(chain.describe())))
    assert np.array_equal(chain.apply(case.answers), again.apply(case.answers))


def use_preprocess(values: dict[str, Any], case: Case) -> None:
    step = CATALOG.build("preprocess", values, tables=None, root=Path("."))
    image = step(case.images[0], "0.png")
    assert image.dtype == np.uint8 and image.ndim == 3 and image.size


def use_submission(values: dict[str, Any], case: Case) -> None:
    form = CATALOG.build("submission", values, task=case.task, sample=None)
    assert len(form([f"u{i:02d}" for i in range(len(case.digits))], case.answers)) >= len(case.digits)


def use_dataset(values: dict[str, Any], case: Case) -> None:
    tables = CATALOG.build("dataset", values, root=Path("."), facts=None)
    assert {"row_id", "id", "image", *tables.targets} <= set(tables.train)


def use_leaderboard(values: dict[str, Any], case: Case) -> None:
    assert callable(CATALOG.build("leaderboard", values, root=Path("."), tables=None))


def use_logger(values: dict[str, Any], case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logger = CATALOG.build("logger", values, folder=Path(folder))
        told = EpochFinished("0", "train", 0, 1, 0.5, 0.5, {"accuracy": 0.5}, 0.1, 1.0, 10.0, True)
        logger(dataclasses.asdict(told) | {"event": "EpochFinished", "time": 0.0})
        logger.close()
        assert any(Path(folder).rglob("*"))


USES: dict[str, Callable[[dict[str, Any], Case], None]] = {
    name.removeprefix("use_"): thing for name, thing in globals().items() if name.startswith("use_")
}
PLUGINS = [plugin for plugin in CATALOG.plugins.values() if plugin.kind in USES]


@pytest.mark.parametrize("plugin", PLUGINS, ids=[f"{plugin.kind}.{plugin.name}" for plugin in PLUGINS])
def test_it_works_as_its_example_says(plugin: Plugin, values, try_cases) -> None:
    try_cases(USES[plugin.kind], values)
