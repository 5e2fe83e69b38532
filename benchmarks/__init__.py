"""Every speed claim of the README, runnable: `make bench`, or one of them: `python -m benchmarks.startup`.

Each prints a ratio against a named baseline measured in the same run. Run them alone: two processes with two threads each on
two cores are ten times slower, not twice.
"""
