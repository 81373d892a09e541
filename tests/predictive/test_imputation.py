"""What is inferred of what is missing, against the closed form of probabilistic PCA."""

import math
from typing import Any

import pytest
import torch

from ppl_vae import UserError, build_guide, build_model
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import PerDatapoint
from ppl_vae.guides.families import Diagonal, Point
from ppl_vae.predictive import impute
from ppl_vae.predictive.imputation import imputed
from ppl_vae.programs.latents import Latents
from tests.masked_pca import SIZE, ExactUnderMask, pca

ROWS = 12
NUM = 4000


def data(share: float = 0.4) -> Dataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, SIZE, generator=generator).double()
    return Dataset(x, mask=torch.rand(x.shape, generator=generator) >= share)


def exact(model: Any, given: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of x_missing given x_seen; of what was seen, itself and 0."""
    covariance = (model.weight @ model.weight.mT + (2 * model.log_scale).exp() * torch.eye(SIZE).double()).detach()
    centre = model.mean.detach()
    means, deviations = given.x.clone(), torch.zeros_like(given.x)
    for row in range(len(given)):
        seen = given.mask[row]
        gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen]).mT
        means[row, ~seen] = centre[~seen] + gain @ (given.x[row, seen] - centre[seen])
        rest = covariance[~seen][:, ~seen] - gain @ covariance[seen][:, ~seen]
        deviations[row, ~seen] = rest.diagonal().sqrt()
    return means, deviations


@pytest.mark.parametrize("poor", [False, True])
def test_closed_form(poor: bool) -> None:
    model, given = pca(), data()
    guide: Any = ExactUnderMask(model)
    if poor:  # q is the same broad one for all rows: the weights have to take that off
        latents = Latents.of(model, Dataset(given.x).probe())
        guide = PerDatapoint(latents, Diagonal(latents.size), ROWS).double()
    found = imputed(model, guide, given, NUM, num_draws=50, probability=0.9, seed=2)
    means, deviations = exact(model, given)
    assert torch.equal(found.x[given.mask], given.x[given.mask])
    assert torch.equal(found.draws[:, given.mask], given.x[given.mask].expand(50, -1))
    missing = ~given.mask
    error = deviations / found.effective.sqrt().unsqueeze(1)
    assert (((found.x - means).abs() / error)[missing] < 5).all()
    for end, sign in ((found.lower, -1), (found.upper, 1)):
        # A quantile at 5 % of K draws has the standard error √(0.05 · 0.95 / K) / φ(1.645), in deviations.
        quantile = means + sign * 1.644854 * deviations
        error = deviations * math.sqrt(0.0475) / 0.1031 * (1 / found.effective + 1 / NUM).sqrt().unsqueeze(1)
        assert (((end - quantile).abs() / error)[missing] < 5).all()
    assert torch.allclose(found.effective, torch.full((ROWS,), float(NUM)).double()) != poor


def test_a_point_has_all_weight() -> None:
    model, given = pca(), data()
    latents = Latents.of(model, Dataset(given.x).probe())
    guide = PerDatapoint(latents, Point(latents.size), ROWS).double()
    found = imputed(model, guide, given, 10)
    z = guide.params(given.batch(torch.arange(ROWS)))
    expected = (z @ model.weight.mT + model.mean).detach()
    torch.testing.assert_close(found.x[~given.mask], expected[~given.mask])


def test_samples_say_what_was_inferred_and_draw_themselves() -> None:
    model, given = pca(), data()
    info = DataInfo.of(Dataset(given.x.float()))
    made = impute(model, ExactUnderMask(model), given, info, num_samples=50, num_draws=5)
    assert "draws    50 of z for each datapoint with holes, weighted: as good as 50 of equal weight" in str(made)
    point = PerDatapoint(latents := Latents.of(model, Dataset(given.x).probe()), Point(latents.size), ROWS).double()
    assert "weight" not in str(impute(model, point, given, info, num_samples=5, num_draws=1))
    assert made["draws"].shape == (5, ROWS, SIZE)
    assert f"{int((~given.mask).sum())} of {given.mask.numel()} numbers, with 90% intervals" in str(made)
    assert (made["lower"] <= made["x"]).all()
    assert made.figure().axes


def test_refusals() -> None:
    model, given = pca(), data()
    with pytest.raises(UserError, match="nothing is missing"):
        imputed(model, ExactUnderMask(model), Dataset(given.x))
    with pytest.raises(UserError, match="nothing is missing"):
        imputed(model, ExactUnderMask(model), Dataset(given.x, mask=torch.ones_like(given.mask)))
    with pytest.raises(UserError, match="`probability`: must be less than 1, got 90"):
        imputed(model, ExactUnderMask(model), given, probability=90)


@pytest.mark.parametrize(
    ("probability", "message"), [("a", "valid number"), (1.0, "less than 1"), (0, "greater than 0")]
)
def test_a_probability_that_is_none_is_refused(probability: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"`probability`: must be .*{message}"):
        imputed(pca(), ExactUnderMask(pca()), data(), 10, probability=probability)


def test_a_probability_in_words_is_taken_for_what_it_is() -> None:
    said, meant = (imputed(pca(), ExactUnderMask(pca()), data(), 10, probability=each) for each in ("0.9", 0.9))  # type: ignore[arg-type]
    assert torch.equal(said.upper, meant.upper)


def test_names_are_inferred_by_the_likeliest_and_not_averaged() -> None:
    """Codes 0 and 3 alone: their mean is a code that nothing has."""
    x = 3.0 * (torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    given = Dataset(x, mask=torch.arange(4).expand(20, 4) > 0)
    model = build_model("vae", given, likelihood="categorical", latent_dim=2, hidden=(4,))
    with torch.no_grad():  # 3 is the likelier one, by far
        logits = model.decoder.net[-1]
        logits.weight.zero_()
        logits.bias.copy_(torch.tensor([3.0, -9.0, -9.0, 4.0]).repeat(4))
    found = imputed(model, build_guide("amortized", model, given, hidden=(4,)), given, 300)
    assert set(found.x[~given.mask].tolist()) == {3.0}
    assert set(found.lower[~given.mask].tolist()) | set(found.upper[~given.mask].tolist()) <= {0.0, 3.0}
