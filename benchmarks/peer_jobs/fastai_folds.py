"""fastai: its DataBlock, one cycle. Usage: python fastai_folds.py TABLE OUT"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import timm
import torch
from fastai.vision.all import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    FlipItem,
    GradientClip,
    ImageBlock,
    Learner,
    Normalize,
    RandomResizedCrop,
    accuracy,
    imagenet_stats,
    set_seed,
)
from torch import nn

SIZE, BATCH, EPOCHS, FOLDS, WORKERS = 128, 32, 2, 5, 2


def main(file: Path, out: Path) -> None:
    table = pd.read_csv(file, dtype={"label": str})
    rows, test = table[table["fold"] >= 0].reset_index(drop=True), table[table["fold"] < 0]
    answers, right, classes = torch.zeros(1), 0, []
    for fold in range(FOLDS):
        set_seed(fold)
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock),
            get_x=ColReader("file"),
            get_y=ColReader("label"),
            splitter=ColSplitter("held_out"),
            item_tfms=[RandomResizedCrop(SIZE, min_scale=0.6), FlipItem()],
            batch_tfms=[Normalize.from_stats(*imagenet_stats)],
        )
        data = block.dataloaders(rows.assign(held_out=rows["fold"] == fold), bs=BATCH, num_workers=WORKERS)
        classes = list(data.vocab)
        model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=len(classes))
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
        learner = Learner(data, model, loss_func=loss, metrics=accuracy, wd=0.05, cbs=GradientClip(1.0))
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(EPOCHS, 1e-3)
            outputs, targets = learner.get_preds()
            right += int((outputs.argmax(1) == targets).sum())
            answers = answers + learner.get_preds(dl=data.test_dl(test))[0] / FOLDS
    test.assign(label=[classes[index] for index in answers.argmax(1)])[["file", "label"]].to_csv(out, index=False)
    print(f"accuracy {right / len(rows):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
