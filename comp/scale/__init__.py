"""Who trains besides this process: children on this machine, ranks that share a fold, the nodes of a Ray cluster."""
