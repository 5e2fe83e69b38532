"""AutoGluon MultiModal: one predictor a fold. Usage: python autogluon_folds.py TABLE OUT"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from torchvision import transforms

SIZE, BATCH, EPOCHS, FOLDS, WORKERS = 128, 32, 2, 5, 2
SETTINGS = {
    "model.names": ["timm_image"],
    "model.timm_image.image_size": SIZE,
    "model.timm_image.train_transforms": [
        transforms.RandomResizedCrop(SIZE, scale=(0.6, 1.0)),
        transforms.RandomHorizontalFlip(),
    ],
    "model.timm_image.val_transforms": ["resize_to_square"],
    "optim.lr": 1e-3,
    "optim.lr_choice": "single_stage",
    "optim.weight_decay": 0.05,
    "optim.max_epochs": EPOCHS,
    "optim.val_check_interval": 1.0,
    "optim.top_k": 1,
    "optim.label_smoothing": 0.1,
    "env.batch_size": BATCH,
    "env.per_gpu_batch_size": BATCH,
    "env.num_workers": WORKERS,
    "env.num_workers_inference": WORKERS,
    "env.precision": "32",
}


def write_start(folder: Path, seed: int) -> Path:
    """Random weights as a checkpoint: AutoGluon would fetch pretrained ones."""
    torch.manual_seed(seed)
    model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=0)
    folder.mkdir()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    width = model.eval()(torch.zeros(1, 3, SIZE, SIZE)).shape[1]
    facts = {"architecture": "mobilenetv3_small_050", "num_features": width, "pretrained_cfg": model.default_cfg}
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def main(file: Path, out: Path) -> None:
    table = pd.read_csv(file, dtype={"label": str}).rename(columns={"file": "image"})
    rows, test = table[table["fold"] >= 0], table[table["fold"] < 0]
    right, answers = 0, 0.0
    for fold in range(FOLDS):
        used, held_out = (part[["image", "label"]] for part in (rows[rows["fold"] != fold], rows[rows["fold"] == fold]))
        with tempfile.TemporaryDirectory() as folder:
            start = write_start(Path(folder) / "start", fold)
            predictor = MultiModalPredictor(
                label="label", problem_type="multiclass", path=f"{folder}/fold", verbosity=0, eval_metric="acc"
            )
            settings = {**SETTINGS, "model.timm_image.checkpoint_name": str(start)}
            predictor.fit(used, tuning_data=held_out, hyperparameters=settings, seed=fold)
            right += int((predictor.predict(held_out[["image"]]).to_numpy() == held_out["label"].to_numpy()).sum())
            answers = answers + predictor.predict_proba(test[["image"]]) / FOLDS
    test.assign(label=answers.idxmax(axis=1)).rename(columns={"image": "file"})[["file", "label"]].to_csv(out, index=False)
    print(f"accuracy {right / len(rows):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
