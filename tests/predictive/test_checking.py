"""Predictive checks accuse wrong models, and right ones no more often than they say."""

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from ppl_vae import Batch, UserError, build_guide, build_model, fit
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.predictive import PredictiveChecks, predictive_checks
from ppl_vae.programs.holes import seen
from ppl_vae.programs.latents import Latents
from tests.conjugate import Program
from tests.figures.whole import faults
from tests.masked_pca import DIM, SIZE, ExactUnderMask, pca


def drawn(model: Any, num: int, seed: int, share: float = 0.2) -> Dataset:
    """Data that the model has made, with holes."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(num, DIM, generator=generator).double()
    x = z @ model.weight.mT + model.mean + model.log_scale.exp() * torch.randn(num, SIZE, generator=generator)
    return Dataset(x.detach(), mask=torch.rand(x.shape, generator=generator) >= share)


def checked(data: Dataset, model: Any, **settings: Any) -> PredictiveChecks:
    return predictive_checks(model, ExactUnderMask(model), data, DataInfo.of(data), num_replicates=50, **settings)


@pytest.mark.parametrize("latents", ["posterior", "prior"])
def test_a_right_model_with_its_exact_posterior_passes(latents: Any) -> None:
    model = pca()
    found = [checked(drawn(model, 200, seed), model, latents=latents) for seed in range(20)]
    assert sum(bool(each.beyond.any()) for each in found) == 0
    assert all(each.sentence.startswith("None of 56 statistics of the data differs") for each in found)
    # Two-sided p-values from 50 draws under the prior are 2k / 51, k from 1 to 25, or 1, each once in 25.5 times. Of
    # 20 data sets each statistic's mean p has the standard error 0.29 / √20, and statistics of a data set depend on
    # each other: as if there were only 7 of 56, which is how many columns there are.
    mean = torch.stack([each.p_values for each in found]).mean()
    error = 0.29 / (20 * SIZE) ** 0.5
    if latents == "prior":
        assert abs(mean - 0.52) < 5 * error
    else:  # each row is used twice
        assert mean > 0.52 + error


WRONG = {
    "mean": lambda model: model.mean[2].add_(1.0),
    "standard deviation": lambda model: model.log_scale.add_(0.7),
    "correlation": lambda model: model.weight[1].neg_(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_one_is_told_by_what_is_wrong(wrong: str) -> None:
    right = pca()
    data = drawn(right, 400, 0)
    model = pca()
    with torch.no_grad():
        WRONG[wrong](model)
    found = checked(data, model, latents="prior")
    told = {row["statistic"] for row in found.rows() if row["beyond_chance"] == "yes"}
    assert wrong in told
    if wrong == "correlation":
        assert told == {"correlation"}
        columns = {row["column"] for row in found.rows() if row["beyond_chance"] == "yes"}
        assert all("x2" in str(each) for each in columns)
    first = found.rows()[0]
    assert first["beyond_chance"] == "yes"
    assert first["p_value"] == pytest.approx(2 / 51)
    assert f"{first['statistic']} of {first['column']}".lower() in found.sentence.lower()


def counts(num: int, size: int = 6) -> Tensor:
    """Negative binomial, mean 4 and variance 4 + 4² / 1.5."""
    generator = torch.Generator().manual_seed(0)
    rates = torch._standard_gamma(torch.full((num, size), 1.5), generator=generator) * 4 / 1.5
    return torch.poisson(rates, generator=generator)


def test_a_poisson_model_of_overdispersed_counts_is_found_out_and_a_negative_binomial_one_is_not() -> None:
    """Trained; one latent cannot make six columns vary each by itself."""
    data = Dataset(counts(800))
    told = {}
    for likelihood in ("poisson", "negative-binomial"):
        torch.manual_seed(0)
        model = build_model("vae", data, likelihood=likelihood, latent_dim=1, hidden=(8,))
        guide = build_guide("amortized", model, data, hidden=(8,))
        fit(model, guide, data, epochs=40, device="cpu", batch_size=100, learning_rate=0.01)
        found = predictive_checks(model, guide, data, DataInfo.of(data), num_replicates=60)
        told[likelihood] = [row["statistic"] for row in found.rows() if row["beyond_chance"] == "yes"]
        assert faults(found.figure("counts")) == []
    assert told["poisson"].count("standard deviation") >= 5
    assert told["poisson"].count("share of zeros") >= 5
    assert told["negative-binomial"] == []


def flat(rates: Tensor) -> Program:
    """Counts whose rates no latent changes."""

    def run(batch: Batch) -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
        likelihood = dist.Poisson(rates + 0 * z.unsqueeze(-1)).to_event(1)
        pyro.sample("x", seen(likelihood, batch), obs=batch.x)

    return Program(run)


def test_columns_that_are_nearly_always_zero_are_not_judged_by_single_rows() -> None:
    """With 0.01 ones expected a single one is no wonder among 60 columns, and none of the draws may have it."""
    x = torch.zeros(200, 60)
    x[torch.arange(6), torch.arange(6)] = 1.0
    data = Dataset(x)
    guide = Program(lambda batch: pyro.sample("z", dist.Normal(torch.zeros(()), 1.0)))
    model = flat(torch.full((60,), 5e-4))
    found = predictive_checks(model, guide, data, DataInfo((60,), 0, 200, "", kinds=("counts",)), num_replicates=30)
    assert not found.beyond.any()
    assert {row["beyond_chance"] for row in found.rows()} == {"not judged"}
    assert "Nothing can be judged" in found.sentence
    often = predictive_checks(  # but where the model makes many where there are none
        flat(torch.full((60,), 0.5)), guide, data, DataInfo((60,), 0, 200, "", kinds=("counts",)), num_replicates=30
    )
    assert (often.beyond & often.statistics.which("share of zeros")).sum() == 60


def test_what_stands_in_for_holes_counts_for_nothing() -> None:
    model = pca()
    data = drawn(model, 100, 0, share=0.3)
    assert data.mask is not None
    other = data.replace(x=torch.where(data.mask, data.x, torch.full_like(data.x, 1e3)))
    first, second = (checked(each, model) for each in (data, other))
    torch.testing.assert_close(first.data, second.data)
    torch.testing.assert_close(first.draws, second.draws)


def test_it_is_the_same_every_time_whatever_fits_into_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    model = pca()
    data = drawn(model, 50, 0)
    state = torch.get_rng_state()
    first, again = checked(data, model), checked(data, model)
    assert torch.equal(first.draws, again.draws)
    assert not torch.equal(first.draws, checked(data, model, seed=1).draws)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr("ppl_vae.predictive.checking._ELEMENTS", 50 * SIZE * 7)
    monkeypatch.setattr("ppl_vae.predictive.checking._DRAWS", 7 * 13)  # parts of 7 data sets, of 13 rows; 1 at the end
    parts = checked(data, model)
    assert parts.draws.shape == first.draws.shape
    assert ((parts.draws.mean(0) - first.draws.mean(0)).abs() < 5 * first.draws.std(0) * (2 / 50) ** 0.5).all()


def test_refusals() -> None:
    model = pca()
    data = drawn(model, 12, 0)
    guide = PerDatapoint(Latents.of(model, Dataset(data.x).probe()), Diagonal(DIM), 5).double()
    with pytest.raises(UserError, match="rows"):
        predictive_checks(model, guide, data, DataInfo.of(data))
    predictive_checks(model, guide, data.head(5), DataInfo.of(data), num_replicates=20)
    with pytest.raises(UserError, match=r"`num_replicates`: must be .*20"):
        predictive_checks(model, guide, data, DataInfo.of(data), num_replicates=5)


def test_it_shows_itself() -> None:
    model = pca()
    found = checked(drawn(model, 100, 0), model)
    assert str(found).count("\n") == 14  # a sentence, an empty line, a head, twelve statistics
    assert len(found.rows()) == 56
    figure = found.figure("a run")
    assert [axes.get_label() for axes in figure.axes if axes.axison] == ["centres", "spreads", "correlations"]
    assert str(figure.get_label()).startswith("a run. Does the model reproduce the data?")
    assert "<table>" in found._repr_html_()
