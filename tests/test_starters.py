"""Every starter works as it stands: it is found, built by the catalog from its defaults, and does what its kind promises."""

from __future__ import annotations

import ast

import numpy as np
import pandas as pd
import pytest
import torch

from comp.api import KINDS, Batch, EnsembleJob, ImageSpec, Mixed, Target, Task, Units
from comp.catalog import build_catalog
from comp.errors import WorkspaceError
from comp.project import Project
from comp.starters import STARTERS, start_plugin

TASK = Task((Target("label", "multiclass", ("cat", "dog", "fox"), ("label",)),))
IMAGE = ImageSpec((16, 16), (16, 16))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    (root / "competition.yaml").write_text("format: 1\n")
    project = Project(root)
    for kind in KINDS:
        start_plugin(project, kind, f"my_{kind}", None)
    return project


@pytest.fixture(scope="module")
def catalog(project):
    return build_catalog(project)


@pytest.fixture
def build(catalog):
    return lambda kind, **offers: catalog.build(kind, {"use": f"my_{kind}"}, **offers)


def test_every_kind_has_one_that_the_catalog_finds(project, catalog):
    assert set(STARTERS) == set(KINDS)
    assert not [row for row in catalog.broken if project.root in row.file.parents]
    for kind in KINDS:
        plugin, _ = catalog.find(kind, f"my_{kind}")
        assert plugin.origin == "workspace" and plugin.summary
        assert all(parameter.help for parameter in plugin.parameters), kind


@pytest.mark.parametrize("kind", KINDS)
def test_at_most_fifteen_lines_that_fit_a_screen(kind):
    lines = STARTERS[kind].strip().splitlines()
    assert len(lines) <= 15 and max(map(len, lines)) <= 130
    ast.parse(STARTERS[kind])


def test_dataset(build, project):
    (project.root / "train.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    tables = build("dataset", root=project.root)
    assert tables.train[["row_id", "id", "image", "label"]].values.tolist() == [["a.png"] * 3 + ["cat"], ["b.png"] * 3 + ["dog"]]
    assert tables.files == (project.root / "train.csv",)


def test_split(build):
    units = Units(pd.DataFrame({"id": list("abcdefg")}), np.zeros(7, dtype=np.int64), np.zeros((7, 1)), np.zeros((7, 0)))
    assert build("split", units=units).tolist() == [0, 1, 2, 3, 4, 0, 1]


def test_preprocess(build, project):
    step = build("preprocess", tables=None, root=project.root)
    image = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    assert np.array_equal(step(image, "a.png"), image[1:9, 2:18])


def test_augment(build, catalog):
    turned = build("augment", image=IMAGE)
    assert turned(image=np.zeros((16, 16, 3), dtype=np.uint8))["image"].shape == (16, 16, 3)


def test_mix(build):
    images = torch.rand(5, 3, 4, 4)
    mixed = build("mix", task=TASK)(images, torch.Generator().manual_seed(0))
    assert isinstance(mixed, Mixed) and mixed.share.tolist() == pytest.approx([0.8] * 5)
    torch.testing.assert_close(mixed.images[2], 0.8 * images[2] + 0.2 * images[mixed.partner[2]])


def test_sampler(build):
    order = build("sampler", task=TASK, targets={"label": np.zeros(10, dtype=np.int64)})(np.random.default_rng(0))
    assert len(set(order.tolist())) == 5 and order.max() < 10


def test_model_and_head(build):
    model = build("model", task=TASK, image=IMAGE)
    features = model(torch.rand(2, 3, 16, 16))
    assert features.shape == (2, model.features) and len(model.mean) == len(model.std) == 3
    assert build("head", task=TASK, features=model.features, counts={})(features).shape == (2, 3)


def test_loss(build):
    outputs, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    losses = build("loss", task=TASK, counts=None)(outputs, targets)
    logs = outputs.log_softmax(1)
    expected = -(0.95 * logs[torch.arange(4), targets] + 0.05 * logs.mean(1))
    torch.testing.assert_close(losses, expected)


def test_objective(build):
    batch = Batch(torch.rand(2, 3), {"label": torch.tensor([0, 1])}, torch.tensor([1.0, 3.0]))
    loss, parts = build("objective")(
        torch.nn.Identity(), batch, None, lambda outputs, targets: {"label": torch.tensor([2.0, 4.0])}
    )
    assert float(loss) == pytest.approx((2 + 12) / 2) and float(parts["label"]) == pytest.approx(7.0)


def test_optimizer_and_scheduler(build):
    network = torch.nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    optimizer = build("optimizer", network=network)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    scheduler = build("scheduler", optimizer=optimizer, steps=10, epochs=1)
    rates = []
    for step in (0, 5, 10):
        scheduler.step(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.005, 0.0])
    scheduler.load_state_dict({"full": [1.0]})
    scheduler.step(0)
    scheduler.epoch(0, None)
    assert optimizer.param_groups[0]["lr"] == 1.0 and scheduler.state_dict() == {"full": [1.0]}


def test_ensemble(build):
    seen = []
    batch = Batch(torch.rand(4, 2), {"label": torch.tensor([0, 1, 2, 0])}, torch.ones(4))
    job = EnsembleJob(
        make_network=lambda: torch.nn.Linear(2, 3),
        batches=lambda number: iter([batch] * 2),
        batches_per_epoch=2,
        rows=4,
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets["label"], reduction="none"),
        links={"label": "softmax"},
        clip_norm=0.0,
        epochs=30,
        optimizer={"use": "timm", "lr": 0.05},
        device=torch.device("cpu"),
        report=lambda *told: seen.append(told),
    )
    ensemble = build("ensemble", task=TASK)
    network = ensemble.fit(job)
    assert [told[:2] for told in seen[:3]] == [(0, 0), (0, 1), (1, 0)] and seen[-1][2] < seen[0][2]
    assert ensemble.passes(30) == 30
    ensemble.assemble(job.make_network, job.links).load_state_dict(network.state_dict())


def test_metric(build):
    scores = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    assert build("metric", task=TASK).compute(np.array([0, 2]), scores) == 0.5


def test_tta(build):
    [(name, view)] = build("tta", image=IMAGE).items()
    images = torch.rand(1, 1, 2, 3)
    assert name == "my_tta"
    torch.testing.assert_close(view(images), images.flip(2, 3))


def test_post(build):
    post = build("post", task=TASK, score=None)
    post.fit(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    again = build("post", task=TASK, score=None)
    again.load(post.state())
    assert again.apply(np.array([0.0])).tolist() == [1.5]


def test_blend(build):
    blend = build("blend", task=TASK)
    members = {"a": np.array([[0.1]]), "b": np.array([[0.2]]), "c": np.array([[0.9]])}
    blend.fit(members, {})
    assert blend.predict(members).tolist() == [[0.2]]


def test_submission(build):
    sample = pd.DataFrame({"Id": ["u1"], "Predicted": ["cat"]})
    form = build("submission", task=TASK, sample=sample)
    answer = form(["u2", "u1"], np.array([[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]]))
    assert not form.rows_sum_to_one and answer.to_dict("list") == {"Id": ["u2", "u1"], "Predicted": ["dog", "fox"]}
    assert list(build("submission", task=TASK, sample=None)([], np.zeros((0, 3))).columns) == ["id", "label"]


def test_logger(build, tmp_path):
    logger = build("logger", folder=tmp_path)
    logger({"event": "Notice", "text": "not an epoch"})
    logger({"event": "EpochFinished", "fold": "0", "epoch": 3, "scores": {"accuracy": 0.5}})
    logger.close()
    assert (tmp_path / "epochs.txt").read_text() == "0 3 {'accuracy': 0.5}\n"


def test_leaderboard(build, tmp_path):
    (tmp_path / "answers.csv").write_text("id,label\n01,cat\n02,dog\n03,dog\n")
    (tmp_path / "given.csv").write_text("id,label\n03,dog\n01,cat\n02,cat\n")
    assert build("leaderboard", root=tmp_path)(tmp_path / "given.csv")["public"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["9th", "a-b", "class", "_hidden", "", "../x", "여우"])
def test_names_that_are_none_are_refused(project, name):
    with pytest.raises(WorkspaceError, match="cannot name a plugin"):
        start_plugin(project, "loss", name, None)


def test_a_taken_name_is_refused(project):
    with pytest.raises(WorkspaceError, match=r"there is a loss 'focal' already: .*focal\.py:"):
        start_plugin(project, "loss", "focal", None)


def test_a_file_is_never_overwritten(project):
    file = project.plugins / "loss" / "notes.py"
    file.write_text("mine = 1\n")
    with pytest.raises(WorkspaceError, match="exists already"):
        start_plugin(project, "loss", "notes", None)
    assert file.read_text() == "mine = 1\n"
