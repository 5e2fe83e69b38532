"""Images decoded once: the store that all folds and processes map, its building, its limit, and what does without."""
