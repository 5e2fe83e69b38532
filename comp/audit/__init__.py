"""The audit: what makes a score a lie: pictures that stand twice, groups that folds divide, a test set of another kind."""
