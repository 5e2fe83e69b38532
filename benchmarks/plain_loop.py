"""The baseline of benchmarks.folds: what people write in a notebook, without the kit. 5 folds x 2 epochs, tensors in memory.

No augmentation, no checkpoints, no report. Usage: python plain_loop.py DATA OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from sklearn.model_selection import StratifiedKFold
from torch import nn

SIZE, BATCH, EPOCHS, FOLDS = 128, 32, 2, 5
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def load_images(folder: Path, files: pd.Series) -> torch.Tensor:
    images = [np.asarray(Image.open(folder / file).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)) for file in files]
    tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (tensor - MEAN) / STD


@torch.inference_mode()
def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    model.eval()
    return torch.cat([model(batch).softmax(1) for batch in images.split(2 * BATCH)])


def main(folder: Path, out: Path) -> None:
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    classes = sorted(train["label"].astype(str).unique())
    labels = torch.tensor([classes.index(label) for label in train["label"].astype(str)])
    images, test_images = load_images(folder, train["file"]), load_images(folder, test["file"])
    oof, answers = torch.zeros(len(train), len(classes)), torch.zeros(len(test), len(classes))
    for fold, (used, held_out) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=42).split(labels, labels)):
        torch.manual_seed(fold)
        model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=len(classes))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
        steps = EPOCHS * -(-len(used) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for epoch in range(EPOCHS):
            model.train()
            for rows in torch.from_numpy(used)[torch.randperm(len(used))].split(BATCH):
                loss = nn.functional.cross_entropy(model(images[rows]), labels[rows], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            oof[held_out] = predict(model, images[held_out])
            accuracy = (oof[held_out].argmax(1) == labels[held_out]).float().mean()
            print(f"fold {fold} epoch {epoch} accuracy {accuracy:.4f}")
        answers += predict(model, test_images) / FOLDS
    print(f"OOF accuracy {(oof.argmax(1) == labels).float().mean():.4f}")
    test.assign(label=[classes[index] for index in answers.argmax(1)])[["image_id", "label"]].to_csv(out, index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
