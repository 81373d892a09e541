"""The sequence VAE: its program, word dropout, and that it learns what an n-gram cannot know."""

import pyro
import pytest
import torch
from pyro import poutine

from ppl_vae.baselines.ngrams import ngram_log_prob
from ppl_vae.data import Dataset
from ppl_vae.data.codecs import encode_text
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Amortized, Diagonal, Point, SemiAmortized
from ppl_vae.guides.semi_amortized import Training
from ppl_vae.models import SequenceVAE
from ppl_vae.models.autoregressive import Autoregressive
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.layout import Layout
from ppl_vae.programs.pair import frozen
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.conformance import WORDS
from tests.pairs import all_of


def model_of(layout: Layout = "text", word_dropout: float = 0.0, hidden: int = 6) -> SequenceVAE:
    return SequenceVAE(RecurrentDecoder(2, WORDS.shape[1:], (hidden,)), 2, layout, word_dropout=word_dropout)


def test_samples_z_and_observes_x_in_the_plate() -> None:
    model, batch = model_of(), all_of(WORDS)
    trace = poutine.trace(model).get_trace(batch)
    trace.compute_log_prob()
    assert trace.stochastic_nodes == ["data", "z"]
    assert trace.nodes["x"]["log_prob"].shape == (6,)
    assert isinstance(trace.nodes["x"]["fn"], Autoregressive)
    assert torch.equal(trace.nodes["_RETURN"]["value"], WORDS)


def test_word_dropout_is_for_training_only() -> None:
    model, batch = model_of(word_dropout=0.9), all_of(WORDS)
    z = poutine.condition(model, data={"z": torch.ones(6, 2)})

    def log_px() -> torch.Tensor:
        trace = poutine.trace(z).get_trace(batch)
        trace.compute_log_prob()
        return trace.nodes["x"]["log_prob"].detach()

    assert not torch.equal(log_px(), log_px())  # its mask is drawn anew
    with frozen(model):
        assert torch.equal(log_px(), log_px())
        told = log_px()
    model.word_dropout = 0.0
    torch.testing.assert_close(log_px(), told)


def test_the_mask_has_the_rate_that_was_asked_for() -> None:
    model = model_of(word_dropout=0.3)
    with pyro.plate("samples", 500, dim=-2):
        kept = poutine.trace(model).get_trace(all_of(WORDS)).nodes["x"]["fn"].kept
    assert kept.shape == (500, 6, 4, 1)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(kept.mean() - 0.7) < 5 * (0.21 / kept.numel()) ** 0.5


@pytest.mark.parametrize("training", ["unroll", "separate"])
def test_a_refinement_is_the_same_in_either_precision(training: Training) -> None:
    """Torch's LSTM has one kernel for float32 and another for float64; the refinement is differentiated through."""
    model = model_of()
    latents = Latents.of(model, all_of(WORDS))
    proposal = Amortized(latents, Point(2), RecurrentEncoder(WORDS.shape[1:], 2, (6,), "text"))
    guide = SemiAmortized(proposal, model, refinement_steps=3, refinement_rate=0.3, refinement_training=training)
    found = {}
    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        params = guide.to(dtype).params(all_of(WORDS.to(dtype)))
        assert (params - proposal.params(all_of(WORDS.to(dtype)))).abs().max() > 1e-3  # it has moved
        gradients = [params]
        if training == "unroll":
            gradients += torch.autograd.grad(params.square().sum(), list(proposal.encoder.parameters()))
            assert all(gradient.abs().max() > 1e-4 for gradient in gradients)
        found[dtype] = [each.double() for each in gradients]
    torch.testing.assert_close(found[torch.float32], found[torch.float64], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_it_learns_more_than_a_bigram_knows() -> None:
    """Words of the form wcw: their end repeats their beginning, which no bigram can see. It starts below the bigram."""
    words = [f"{word}c{word}" for word in ("ab", "ba", "aa", "bb")]
    x = encode_text(words * 8, "abc", 5).float()
    data = Dataset(x)
    bigram = ngram_log_prob(x, x, "text", 2).mean().item()
    torch.manual_seed(0)
    model = SequenceVAE(RecurrentDecoder(2, x.shape[1:], (16,)), 2, "text", word_dropout=0.2)
    guide = Amortized(Latents.of(model, all_of(x)), Diagonal(2), RecurrentEncoder(x.shape[1:], 4, (16,), "text"))
    assert elbo(model, guide, data, 20).elbo.mean < bigram - 1
    step = EagerStep(model, guide, TraceELBO(4), PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.02)), data)
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(1)
        for number in range(150):
            step(torch.arange(len(data)), min(1.0, number / 50))
    parts = elbo(model, guide, data, 20)
    assert parts.elbo.mean > bigram + 0.5
    assert parts.kl.mean > 0.5
