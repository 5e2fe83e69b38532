"""All benchmarks, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

for name in ("startup", "first_step", "overhead", "folds", "store", "predict", "tables", "frozen", "augment", "gpu"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
