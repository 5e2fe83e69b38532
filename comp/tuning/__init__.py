"""`comp tune`: a search over what a manifest varies, on Ray Tune. Spaces are comp.search's, trials on disk comp.trials'."""
