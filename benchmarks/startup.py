"""`comp --help` against `python -c "import click"`: wall seconds of whole processes, taken in turn. Claim: at most 1.5 times."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

PAIRS = 21


def time_process(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    comp = [str(Path(sys.executable).parent / "comp"), "--help"]
    click = [sys.executable, "-c", "import click"]
    time_process(comp), time_process(click)
    pairs = [(time_process(comp), time_process(click)) for _ in range(PAIRS)]
    ratio = statistics.median(a / b for a, b in pairs)
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    times = f"comp --help {ours * 1000:.0f} ms   import click {theirs * 1000:.0f} ms"
    print(f"start-up   {times}   ratio {ratio:.2f} (claim <= 1.50)")


if __name__ == "__main__":
    main()
