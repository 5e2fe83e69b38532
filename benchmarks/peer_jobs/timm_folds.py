"""timm's train script, once a fold, on folders of links; it predicts no test set.

Usage: python timm_folds.py TABLE OUT TRAIN_PY
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

FOLDS = 5
WORDS = (
    "--model mobilenetv3_small_050 --input-size 3 128 128 --device cpu -b 32 -vb 64 -j 2 --opt adamw --lr 1e-3 "
    "--weight-decay 0.05 "
    "--sched cosine --sched-on-updates --epochs 2 --warmup-epochs 0 --cooldown-epochs 0 --clip-grad 1.0 --smoothing 0.1 "
    "--scale 0.6 1.0 --hflip 0.5 --color-jitter 0 --crop-pct 1.0 --checkpoint-hist 1 --val-split held_out --experiment fold"
).split()


def link_fold(table: pd.DataFrame, fold: int, folder: Path) -> int:
    """Folders of classes for training and for the held-out rows. Returns how many classes there are."""
    rows = table[table["fold"] >= 0]
    for row in rows.itertuples():
        place = folder / ("held_out" if row.fold == fold else "train") / str(row.label)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row.Index}-{Path(row.file).name}").symlink_to(row.file)
    return rows["label"].nunique()


def main(file: Path, out: Path, script: Path) -> None:
    table = pd.read_csv(file)
    right = 0.0
    for fold in range(FOLDS):
        with tempfile.TemporaryDirectory() as folder:
            classes = link_fold(table, fold, Path(folder) / "data")
            given = ["--data-dir", f"{folder}/data", "--output", folder, "--num-classes", str(classes), "--seed", str(fold)]
            done = subprocess.run([sys.executable, script, *WORDS, *given], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stdout + done.stderr)
            last = pd.read_csv(Path(folder) / "fold" / "summary.csv").iloc[-1]
            right += last["eval_top1"] / 100 * (table["fold"] == fold).sum()
    out.touch()
    print(f"accuracy {right / (table['fold'] >= 0).sum():.3f}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
