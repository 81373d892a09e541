"""What a short training makes of names: better than a bigram, and z is used."""

import pytest
import torch

from ppl_vae import FitConfig, fit
from ppl_vae.baselines.ngrams import ngram_log_prob
from ppl_vae.data import load
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.models import SequenceVAE
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from ppl_vae.programs.latents import Latents
from ppl_vae.svi import OptimizerConfig

pytestmark = pytest.mark.slow


def test_names_beat_the_bigram(shared_data):
    data = load(str(shared_data / "names" / "names.txt"))
    test, shape = data.test.head(1000), data.train.event_shape
    bigram = ngram_log_prob(data.train.x, test.x, "text", 2).mean()
    torch.manual_seed(0)
    model = SequenceVAE(RecurrentDecoder(16, shape, (128,)), 16, "text", word_dropout=0.4)
    guide = Amortized(Latents.of(model, data.train.probe()), Diagonal(16), RecurrentEncoder(shape, 32, (128,), "text"))
    assert elbo(model, guide, test).elbo.mean < bigram - 3
    settings = FitConfig(epochs=4, kl_warmup=4, optimizer=OptimizerConfig(learning_rate=4e-3))
    fit(model, guide, data.train, None, settings, progress=False, warn=[].append)  # the warm-up is all of the training
    parts = elbo(model, guide, test)
    assert parts.elbo.mean > bigram + 0.5
    assert parts.kl.mean > 1
