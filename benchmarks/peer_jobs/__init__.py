"""The same work as others do it: one script for each peer, run by benchmarks.peers in that peer's own Python.

Each is given TABLE (a CSV of file, label, fold; -1 is the test set) and OUT, trains 5 folds x 2 epochs of mobilenetv3_small_050
from scratch at 128 px (batch 32, AdamW, crops of 60 to 100%, flips, two loader processes), predicts each fold's held-out rows and
the test rows, and ends with a line `accuracy 0.123`. They import nothing of comp.
"""
