"""Pairs of the literature under one name: it stands for parts and settings, and others that are given override it."""

from typing import Literal

from ppl_vae.registry.pair_config import PairConfig

PresetName = Literal["burda-1", "burda-2"]

# The two architectures of Burda et al. 2016; their training is batches of 20, --adam-epsilon 1e-4, 3,280 epochs.
PRESETS: dict[PresetName, PairConfig] = {
    "burda-1": PairConfig(settings={"latent_dim": 50, "hidden": [200, 200], "activation": "tanh"}),
    "burda-2": PairConfig(
        model="hierarchical",
        family="bottom-up",
        settings={
            "latent_dim": 100,
            "hidden": [200, 200],
            "upper_latent_dim": 50,
            "upper_hidden": [100, 100],
            "activation": "tanh",
        },
    ),
}
