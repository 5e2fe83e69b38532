"""torchvision's transforms, a DataLoader and a plain loop. Usage: python torchvision_loop.py TABLE OUT"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE, BATCH, EPOCHS, FOLDS, WORKERS = 128, 32, 2, 5, 2
NORMALIZE = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
TRAIN = transforms.Compose([transforms.RandomResizedCrop(SIZE, scale=(0.6, 1.0)), transforms.RandomHorizontalFlip(), *NORMALIZE])
PREDICT = transforms.Compose([transforms.Resize((SIZE, SIZE)), *NORMALIZE])


class Pictures(Dataset):
    def __init__(self, table: pd.DataFrame, transform: transforms.Compose) -> None:
        self.files, self.labels, self.transform = table["file"].tolist(), table["code"].tolist(), transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.files[index]).convert("RGB")), self.labels[index]


def load(table: pd.DataFrame, transform: transforms.Compose, shuffle: bool = False) -> DataLoader:
    return DataLoader(Pictures(table, transform), BATCH if shuffle else 2 * BATCH, shuffle=shuffle, num_workers=WORKERS)


@torch.inference_mode()
def predict(model: nn.Module, table: pd.DataFrame) -> torch.Tensor:
    model.eval()
    return torch.cat([model(images).softmax(1) for images, _ in load(table, PREDICT)])


def main(file: Path, out: Path) -> None:
    table = pd.read_csv(file)
    classes = sorted(table.loc[table["fold"] >= 0, "label"].astype(str).unique())
    table["code"] = [classes.index(label) if label in classes else -1 for label in table["label"].astype(str)]
    test, answers, right = table[table["fold"] < 0], torch.zeros(1), 0
    for fold in range(FOLDS):
        torch.manual_seed(fold)
        used, held_out = table[(table["fold"] >= 0) & (table["fold"] != fold)], table[table["fold"] == fold]
        model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=len(classes))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
        loader = load(used, TRAIN, shuffle=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))
        for _ in range(EPOCHS):
            model.train()
            for images, labels in loader:
                loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            outputs = predict(model, held_out)
        right += int((outputs.argmax(1).numpy() == held_out["code"].to_numpy()).sum())
        answers = answers + predict(model, test) / FOLDS
    test.assign(label=[classes[index] for index in answers.argmax(1)])[["file", "label"]].to_csv(out, index=False)
    print(f"accuracy {right / (table['fold'] >= 0).sum():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
