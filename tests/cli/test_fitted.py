"""The guide with which a run meets data: the trained one where it has an answer, else one fitted to the data."""

import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.guides.unseen import fitted_for, guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.latents import Latents
from tests.pairs import optimal, oracle, simulate

BRIEF = InferConfig(infer_steps=20)
ONCE = InferConfig(infer_starts=1)


@pytest.fixture
def model():
    return oracle()


def rows(model, data):
    return PerDatapoint(Latents.of(model, data.probe()), Diagonal(3), len(data), data.first).double()


def test_a_function_of_x_answers_itself(model):
    data = Dataset(simulate(model, 5))
    guide = optimal(model, Diagonal)
    found = fitted_for(model, guide, data, BRIEF)
    assert found.guide is guide is guide_for(model, guide, data, BRIEF)
    assert found.fits is None


def test_rows_answer_for_their_own_data_only(model):
    data = Dataset(simulate(model, 5), first=10)
    guide = rows(model, data)
    assert fitted_for(model, guide, data, BRIEF) == (guide, None)
    assert fitted_for(model, guide, data.replace(first=11), BRIEF).guide is not guide


@pytest.mark.slow
def test_whether_the_fits_had_converged_comes_along(model):
    data = Dataset(simulate(model, 5), first=100)
    guide = rows(model, Dataset(data.x))
    done = fitted_for(model, guide, data, ONCE)
    cut = fitted_for(model, guide, data, BRIEF)
    assert done.fits.converged.tolist() == [True] * 5
    assert cut.fits.converged.tolist() == [False] * 5
    assert torch.equal(done.guide.table.weight, guide_for(model, guide, data, ONCE).table.weight)
