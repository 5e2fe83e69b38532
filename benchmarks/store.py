"""Reading images: the store is built against PIL and cv2 that decode and resize in as many threads; and so are batches of images
that have no store.

On 500 photographs of 1,500 to 4,000 px, made of the pictures (JPEG, quality 90, a fourth of them turned by EXIF), and on the
pictures themselves. Claims: photographs at least 3 times as fast as PIL and twice as fast as cv2; pictures no slower than PIL.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from benchmarks.pictures import make_photographs, open_pictures
from comp.stores.cache import LIMIT
from comp.stores.store import open_store

SIDE = 224
BATCH = 32
CORES = os.cpu_count() or 1


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder with JPEGs in it, or in its folders; else made from digits")
    parser.add_argument("--photographs", type=int, default=500, help="how many are made of them")
    parser.add_argument("--grain", type=float, default=0.0, help="noise of the photographs, as a standard deviation of 255")
    return parser.parse_args()


def with_pil(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def with_cv2(path: Path) -> np.ndarray:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def read_in_threads(read: Callable[[Path], np.ndarray], paths: Sequence[Path]) -> None:
    images = np.empty((len(paths), SIDE, SIDE, 3), np.uint8)

    def put(at: int) -> None:
        images[at] = read(paths[at])

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(put, range(len(paths))))


def build(folder: Path, names: Sequence[str], cache: Path) -> None:
    assert open_store(names, folder, None, (SIDE, SIDE), "squash", 3, cache).stored


def take_batches(folder: Path, names: Sequence[str], cache: Path) -> Callable[[], None]:
    """An epoch of batches, without a store."""
    os.environ[LIMIT] = "0"
    unstored = open_store(names, folder, None, (SIDE, SIDE), "squash", 3, cache)
    del os.environ[LIMIT]
    assert not unstored.stored

    def take() -> None:
        for start in range(0, len(names), BATCH):
            unstored.take(np.arange(start, min(start + BATCH, len(names))))

    return take


def time_works(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds; the rounds take turns, and the best counts."""
    best = dict.fromkeys(works, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, work in works.items():
            wall, processor = time.perf_counter(), time.process_time()
            work()
            spent = time.perf_counter() - wall, time.process_time() - processor
            best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def measure(what: str, folder: Path, names: Sequence[str], caches: Path, rounds: int) -> None:
    paths = [folder / name for name in names]
    bytes_each = sum(path.stat().st_size for path in paths) / len(paths)
    number = iter(range(rounds))
    works = {
        "PIL": lambda: read_in_threads(with_pil, paths),
        "cv2": lambda: read_in_threads(with_cv2, paths),
        "store": lambda: build(folder, names, caches / f"{what}{next(number)}"),
        "no store": take_batches(folder, names, caches / "none"),
    }
    cv2.setNumThreads(1)
    best = time_works(works, rounds)
    print(f"{what}: {len(names)} JPEGs of {bytes_each / 1000:.0f} kB to {SIDE} px, {CORES} threads each")
    for name, (wall_s, processor_s) in best.items():
        rate, each_ms = len(names) / wall_s, 1000 * processor_s / len(names)
        ratios = "   ".join(f"{best[other][0] / wall_s:5.2f} x {other}" for other in ("PIL", "cv2"))
        print(f"  {name:<9} {rate:7.1f} img/s   {ratios}   {each_ms:6.2f} ms of processor an image")


def main() -> None:
    given = read_arguments()
    with open_pictures(given.data) as (data, folder):
        pictures = sorted(data.rglob("*.jpg"))[:1000]
        measure("pictures", data, [str(path.relative_to(data)) for path in pictures], folder / "cache", 3)
        photographs = make_photographs(folder / "photographs", pictures, given.photographs, given.grain)
        measure("photographs", folder / "photographs", photographs, folder / "cache", 1)


if __name__ == "__main__":
    main()
