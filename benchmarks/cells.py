"""Counts of 20,000 cells by 2,000 genes, simulated and sparse: python -m benchmarks.cells.

Negative binomial about means that are linear in ten latents on the log scale, times each cell's depth; a likelihood of
that kind and a Poisson one are trained on the same split for 20 epochs each, and their importance bounds on the test
cells are subtracted cell by cell.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

import ppl_vae as pv

CELLS, GENES, LATENTS, EPOCHS, DRAWS = 20_000, 2_000, 10, 20, 100


def simulated() -> sparse.csr_array:
    """The counts, ``(CELLS, GENES)``; about nine of ten are 0."""
    generator = np.random.default_rng(0)
    loadings = generator.normal(0, 0.4, (LATENTS, GENES))
    level, dispersion = generator.normal(-2.8, 1.0, GENES), generator.lognormal(0.5, 0.5, GENES)
    depth = generator.lognormal(0.0, 0.4, (CELLS, 1))
    rows = []
    for part in np.array_split(np.arange(CELLS), 20):
        mean = depth[part] * np.exp(level + generator.normal(size=(len(part), LATENTS)) @ loadings)
        rows.append(sparse.csr_array(generator.poisson(generator.gamma(dispersion, mean / dispersion))))
    return sparse.vstack(rows, format="csr")


def main() -> None:
    """Print what is found."""
    with tempfile.TemporaryDirectory() as folder:
        counts = simulated()
        sparse.save_npz(Path(folder) / "cells.npz", counts)
        print(f"{CELLS:,} × {GENES:,}, {counts.nnz / CELLS / GENES:.1%} above 0, largest {counts.max()}")
        began = time.perf_counter()
        data = pv.load(Path(folder) / "cells.npz")
        print(f"read in {time.perf_counter() - began:.1f} s: {data}")
        bounds = {}
        for likelihood in ("poisson", "negative-binomial"):
            began = time.perf_counter()
            model = pv.build_model(
                "vae", data, likelihood=likelihood, size_factors="total", latent_dim=LATENTS, hidden=(128,)
            )
            guide = pv.build_guide("amortized", model, data)
            history = pv.fit(model, guide, data.train, data.validation, epochs=EPOCHS, batch_size=128)
            trained = time.perf_counter() - began
            torch.manual_seed(0)
            bounds[likelihood] = pv.importance_bound(model, guide, data.test.head(1000), num_samples=DRAWS)
            reached = history[-1].validation_bound
            print(f"{likelihood}: {EPOCHS} epochs in {trained:.0f} s, {reached:.1f} on validation data", flush=True)
        more = bounds["negative-binomial"] - bounds["poisson"]
        print(f"importance bound of {DRAWS} draws on 1,000 test cells: negative binomial {more} nats above Poisson")
        print(f"that is {more.mean / more.stderr:.0f} standard errors")


if __name__ == "__main__":
    main()
