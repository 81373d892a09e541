"""A function of tensors as one graph, compiled where that is worth its time."""
