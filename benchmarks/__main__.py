"""All benchmarks, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

for name in ("startup", "overhead", "folds", "store"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
