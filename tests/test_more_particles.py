"""What the importance weighted objective is for: with more particles the same epochs leave a better model."""

import pytest
import torch

from ppl_vae import FitConfig, fit
from ppl_vae.data import load
from ppl_vae.estimates import Estimate
from ppl_vae.evaluation import importance_bound
from ppl_vae.guides import Diagonal
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Bernoulli
from ppl_vae.networks.dense import Decoder
from tests.pairs import amortized


@pytest.mark.slow
def test_fifty_particles_explain_unseen_digits_better_than_one() -> None:
    """By half a nat, which is nine standard errors over the test datapoints (Burda et al. 2016: a nat and a half).

    The bound that is compared is so tight in ten dimensions that annealing comes to the same difference.
    """
    splits = load("digits")
    assert splits.test is not None
    start = Bernoulli().start(splits.train.x.mean(0))
    reached: dict[int, Estimate] = {}
    for num_particles in (1, 50):
        torch.manual_seed(0)
        model = VAE(Decoder(10, (8, 8), (400,), "relu", start), 10)
        guide = amortized(model, splits.train.x, Diagonal, (400,))
        untrained = importance_bound(model, guide, splits.test, 1000)
        settings = FitConfig(epochs=100, objective="iwae", num_particles=num_particles, device="cpu")
        fit(model, guide, splits.train, settings=settings, progress=False)
        reached[num_particles] = importance_bound(model, guide, splits.test, 1000)
        assert (reached[num_particles] - untrained).mean > 2  # the decoder starts at the mean image, which is not bad
    better = reached[50] - reached[1]
    assert better.mean > 5 * better.stderr
