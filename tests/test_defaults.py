"""comp.defaults: what every key is where nobody states it (the numbers are the design's)."""

from __future__ import annotations

from typing import Any

import pytest

from comp.defaults import (
    Facts,
    choose_loss,
    choose_model,
    choose_size,
    imply_uses,
    read_facts,
    trains_with_flip,
    work_out_defaults,
)

PACS = Facts(kind="multiclass", rows=1698, image_px=227, flip=True)
DIGITS = Facts(kind="multiclass", rows=1347, image_px=8, flip=False)


def work_out(facts: Facts, metric: str = "log_loss", **stated: Any) -> dict[str, Any]:
    return work_out_defaults(facts, stated, metric, lambda kind, use, parameter: True if use == "timm" else None)


@pytest.mark.parametrize(
    ("image_px", "size"), [(8, 16), (16, 16), (17, 17), (227, 227), (384, 384), (4000, 384), (None, 224)]
)  # fmt: skip
def test_size(image_px: int | None, size: int) -> None:
    assert choose_size(Facts(image_px=image_px)) == size


def test_model_by_image_size_and_hardware() -> None:
    assert choose_model(DIGITS) == {"use": "cnn"}
    assert choose_model(Facts(image_px=64)) == {"use": "cnn"}
    assert choose_model(Facts(image_px=65), gpu=True) == {"use": "timm", "arch": "convnext_tiny", "pretrained": True}
    assert choose_model(PACS, gpu=False)["arch"] == "mobilenetv3_small_100"
    assert choose_model(Facts(), gpu=False)["use"] == "timm"


@pytest.mark.parametrize(("rows", "batch"), [(4999, 32), (5000, 64), (None, 32)])
def test_batch_size(rows: int | None, batch: int) -> None:
    assert work_out(Facts(rows=rows))["train"]["batch_size"] == batch


@pytest.mark.parametrize(
    ("rows", "stated", "epochs"),
    [
        # 1698 * 4/5 / 32 = 42.45 steps an epoch; 2000 / 42.45 = 47.1
        (1698, {}, 20),
        # 20000 * 4/5 / 64 = 250 steps; 8 epochs
        (20_000, {}, 8),
        # half of the rows held out: 20000 / 2 / 64 = 156.25 steps; 12.8
        (20_000, {"split": {"folds": 2}}, 13),
        # twice the batch: 125 steps; 16
        (20_000, {"train": {"batch_size": 128}}, 16),
        (1_000_000, {}, 5),
    ],
)
def test_epochs_give_about_2000_steps(rows: int, stated: dict[str, Any], epochs: int) -> None:
    found = work_out(Facts(rows=rows), **{"model": {"use": "timm", "arch": "resnet18", "pretrained": True}, **stated})
    assert found["train"]["epochs"] == epochs


def test_the_model_inside_another_decides() -> None:
    def nest(inner: dict) -> dict:
        return {"use": "fusion", "backbone": {"use": "multi_image", "backbone": inner}}

    for inner in ({"use": "cnn"}, {"use": "timm", "arch": "swin_tiny_patch4_window7_224", "pretrained": True}):
        alone, nested = (work_out(Facts(rows=800), model=model) for model in (inner, nest(inner)))
        assert all(nested[key] == alone[key] for key in ("optimizer", "train"))


def test_from_scratch() -> None:
    for stated in ({"model": {"use": "cnn"}}, {"model": {"use": "timm", "arch": "vit_tiny_patch16_224", "pretrained": False}}):
        found = work_out(PACS, **stated)
        assert found["train"]["epochs"] == 30
        assert (found["optimizer"]["lr"], found["optimizer"]["head_lr"]) == (1e-3, None)


@pytest.mark.parametrize(
    ("arch", "rates"),
    [
        ("resnet18", (3e-4, 3e-3)), ("mobilenetv3_small_100", (3e-4, 3e-3)), ("efficientnet_b4", (3e-4, 3e-3)),
        ("convnext_tiny", (1e-4, 1e-3)), ("vit_base_patch16_224.dino", (1e-4, 1e-3)),
        ("swin_tiny_patch4_window7_224", (1e-4, 1e-3)),
        ("deit3_small_patch16_224", (1e-4, 1e-3)), ("eva02_base_patch14_448", (1e-4, 1e-3)),
    ],
)  # fmt: skip
def test_learning_rates_by_architecture(arch: str, rates: tuple[float, float]) -> None:
    optimizer = work_out(PACS, model={"arch": arch, "use": "timm"})["optimizer"]
    assert (optimizer["lr"], optimizer["head_lr"]) == rates
    assert (optimizer["opt"], optimizer["weight_decay"]) == ("adamw", 0.05)


def test_loss_by_kind_and_by_the_competitions_metric() -> None:
    assert choose_loss(PACS, "accuracy") == {"use": "cross_entropy", "smoothing": 0.1}
    assert choose_loss(PACS, "macro_f1") == {"use": "cross_entropy", "smoothing": 0.0}
    assert choose_loss(Facts(kind="multilabel"), "auc") == {"use": "bce"}
    assert choose_loss(Facts(kind="regression"), "rmse") == {"use": "mse"}
    assert (
        choose_loss(Facts(kind="multitarget", targets={"a": "multiclass", "b": "binary"}), "log_loss")["use"] == "cross_entropy"
    )
    mixed = choose_loss(Facts(kind="multitarget", targets={"a": "multiclass", "b": "regression"}), "accuracy")
    assert mixed == {"a": {"use": "cross_entropy", "smoothing": 0.1}, "b": {"use": "mse"}}


def test_plugins_by_kind() -> None:
    assert {key: imply_uses(PACS)[key] for key in ("head", "split", "submission")} == {
        "head": "linear", "split": "stratified", "submission": "labels",
    }  # fmt: skip
    multilabel = imply_uses(Facts(kind="multilabel"))
    assert (multilabel["head"], multilabel["split"], multilabel["submission"]) == ("multilabel", "multilabel", "multilabel")
    assert imply_uses(Facts(kind="multitarget"))["head"] == "multitarget"


def test_flip_only_where_a_mirrored_image_keeps_its_class() -> None:
    assert (work_out(PACS)["augment"], work_out(PACS)["tta"]) == ([{"use": "light"}], [{"use": "hflip"}])
    assert (work_out(DIGITS)["augment"], work_out(DIGITS)["tta"]) == ([{"use": "light", "flip": False, "crop": 0.8}], [])
    assert work_out(PACS, augment=[{"use": "A.RandomResizedCrop"}])["tta"] == []
    assert work_out(PACS, augment=[{"use": "A.HorizontalFlip"}])["tta"] == [{"use": "hflip"}]
    assert not trains_with_flip([{"use": "heavy", "flip": False}, "nonsense"])
    assert trains_with_flip([{"use": "on_device"}]) and not trains_with_flip([{"use": "on_device", "flip": 0.0}])


def test_select_follows_patience() -> None:
    assert work_out(PACS)["train"]["select"] == "last"
    assert work_out(PACS, train={"patience": 3})["train"]["select"] == "best"
    assert work_out(PACS, train={"patience": None})["train"]["select"] == "last"


def test_a_blend_has_no_model() -> None:
    assert not {"model", "train", "loss", "augment"} & set(work_out(PACS, blend={"use": "mean"}))


def test_facts_that_are_wrong_or_missing_count_as_unknown() -> None:
    assert read_facts({}) == Facts()
    assert read_facts({"kind": 3, "rows": "many", "image_px": True, "targets": [], "flip": "no"}) == Facts()
    assert read_facts({"kind": "regression", "rows": 5, "image_px": 9, "flip": False}) == Facts("regression", {}, 5, 9, False)


@pytest.mark.parametrize(
    "stated", [{"train": 3}, {"split": []}, {"model": "timm"}, {"augment": {}}, {"train": {"batch_size": "x"}}]
)
def test_stated_values_of_a_wrong_type_do_not_matter_here(stated: dict[str, Any]) -> None:
    assert work_out(PACS, **stated)["train"]["epochs"] == 20


def test_the_target_that_flags_become_is_one_of_those_that_kinds_are_said_of() -> None:
    kinds = {"class": "multiclass", "x": "regression"}
    dataset = {"target": ["cat", "dog"], "one_hot": "class", "auxiliary": ["x"]}
    facts = read_facts({"kind": "multitarget", "targets": kinds}, dataset)
    assert facts.targets == kinds
    assert choose_loss(facts, "accuracy") == {"class": {"use": "cross_entropy", "smoothing": 0.1}, "x": {"use": "mse"}}
    alone = read_facts({"kind": "multitarget", "targets": kinds}, dataset | {"auxiliary": []})
    assert alone == Facts(targets={"class": "multiclass"})


@pytest.mark.parametrize("auxiliary", [5, "x", None])
def test_auxiliary_targets_of_a_wrong_type_do_not_matter_here(auxiliary: Any) -> None:
    stated = {"targets": {"y": "binary", "x": "regression"}}
    assert read_facts(stated, {"target": "y", "auxiliary": auxiliary}).targets == {"y": "binary"}
