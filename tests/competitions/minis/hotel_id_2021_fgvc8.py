"""hotel-id-2021-fgvc8 in small: training images in a folder per chain, test images without one, the five likeliest hotels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.competitions.drawing import name_hex, take_digits

BAR = 0.5
SETS: tuple[str, ...] = ()

HOTELS = (36363, 53586, 18807, 64314, 60181, 204, 5, 11093, 32, 58089)
CHAINS = (87, 3, 87, 0, 87, 6, 3, 91, 0, 6)
COUNTS = (16, 15, 14, 13, 12, 12, 11, 10, 9, 8)


def write(data: Path) -> pd.DataFrame:
    rows = []
    for number, drawing in enumerate(take_digits(COUNTS)):
        image, chain = f"{name_hex(number, 16)}.jpg", CHAINS[drawing.digit]
        drawing.save(data / "train_images" / str(chain) / image, 32, 44)
        rows.append((image, chain, HOTELS[drawing.digit], f"2018-02-{number % 27 + 1:02d} 22:10:{number % 60:02d}"))
    table = pd.DataFrame(rows, columns=["image", "chain", "hotel_id", "timestamp"]).sort_values("image")
    table.to_csv(data / "train.csv", index=False)
    answers = []
    for number, drawing in enumerate(take_digits((3,) * 10, test=True)):
        image = f"{name_hex(1000 + number, 16)}.jpg"
        drawing.save(data / "test_images" / image, 32, 44)
        answers.append((image, str(HOTELS[drawing.digit])))
    solution = pd.DataFrame(answers, columns=["image", "hotel_id"])
    solution.assign(hotel_id="36363 53586 18807 64314 60181").to_csv(data / "sample_submission.csv", index=False)
    return solution
