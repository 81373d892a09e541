"""The only room that knows the names of models, guides, families, likelihoods, priors and presets, and users' files."""
