"""Likelihoods of real numbers: columns of any scale, scales of a feature and of the decoder, degrees of freedom."""

import pytest
import torch

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Normal, StudentT
from ppl_vae.programs.check import advice_on_scale

UNITS = torch.tensor([1e-3, 1.0, 1e3, 50.0, 0.2, 1e5])


def table(num: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(num, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    return mixed.tanh() + 0.2 * torch.randn(num, 6, generator=generator)


def trained(x: torch.Tensor, likelihood: str = "normal", **settings: object) -> tuple[float, float, VAE]:
    data = pv.Dataset(x)
    model = pv.build_model(VAE, data, likelihood=likelihood, latent_dim=2, hidden=(16,), **settings)
    guide = pv.build_guide("amortized", model, data)
    history = pv.fit(model, guide, data, epochs=15, batch_size=20, engine="eager", device="cpu", progress=False)
    return history[0].elbo, history[-1].elbo, model


def test_a_table_is_learned_alike_whatever_the_units_of_its_columns() -> None:
    """The density of x in other units is that of x by the product of the units."""
    first, last, model = trained(table())
    _, raw, _ = trained(table() * UNITS + 3 * UNITS)
    assert last > first + 1
    assert raw + UNITS.log().sum().item() == pytest.approx(last, abs=0.02)
    assert model.likelihood.scale.shape == (6,)


def test_one_scale_for_all_columns_is_warned_of_where_they_differ() -> None:
    data = pv.Dataset(table() * UNITS)
    one, own = (pv.build_model(VAE, data, noise_scale=scale, hidden=(4,)) for scale in ("one", "auto"))
    batch, spread = data.probe(), data.spread()
    assert "standard deviations from 0.00" in advice_on_scale(one, batch, spread)[0]
    assert advice_on_scale(own, batch, spread) == []
    assert advice_on_scale(one, batch, spread / UNITS) == []


def test_the_decoder_knows_where_the_noise_is_wide() -> None:
    torch.manual_seed(1)
    z = torch.rand(1500, 1)
    x = torch.cat([4 * z, torch.randn(1500, 3) * (0.05 + 2 * (z > 0.5))], dim=1)
    assert trained(x, noise_scale="decoder")[1] > trained(x, noise_scale="feature")[1] + 1


@pytest.mark.slow
def test_students_degrees_of_freedom_are_learned_from_outliers() -> None:
    torch.manual_seed(0)
    with_outliers = torch.distributions.StudentT(2.5).sample((1500, 3)) * 10
    few, many = (
        trained(x, "student-t", noise_scale="feature")[2].likelihood for x in (with_outliers, torch.randn(1500, 3))
    )
    assert (few.degrees < 5).all()
    assert (many.degrees > 8).all()
    assert StudentT(degrees_of_freedom=4.0).degrees == 4.0


def test_what_is_relative_to_the_data_needs_the_data() -> None:
    with pytest.raises(UserError, match=r"`noise_scale` decoder is relative to the data; give x_mean and x_std"):
        Normal(noise_scale="decoder")
    assert Normal().scale.shape == ()  # of images, and as it always was
