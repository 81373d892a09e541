"""Tables of several kinds of columns, and categories."""

import pytest
import torch

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.data.splits import Splits, splits_of
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Categorical, Columns, NegativeBinomial, Normal
from ppl_vae.programs.check import check_pair

KINDS = ("category", "counts", "category", "category", "bits", "category", "category", "reals", "category")
NAMES = ("one=only", "number", "colour=red", "colour=blue", "lit", "shape=a", "shape=b", "size", "shape2=c")


def mixed(num: int = 500) -> torch.Tensor:
    """Two groups, of which every column tells."""
    generator = torch.Generator().manual_seed(0)
    group = torch.rand(num, generator=generator) < 0.5
    here = group.float()
    noisy = (torch.rand(num, generator=generator) < 0.1) ^ group
    columns = [
        torch.ones(num),
        torch.poisson(3 + 20 * here, generator=generator),
        noisy.float(),
        1 - noisy.float(),
        ((torch.rand(num, generator=generator) < 0.1) ^ group).float(),
        here,
        1 - here,
        1000 * here + 30 * torch.randn(num, generator=generator),
        torch.ones(num),
    ]
    return torch.stack(columns, dim=1)


def table() -> Splits:
    return splits_of(pv.Dataset(mixed()))._replace(kinds=KINDS, columns=NAMES)


def test_each_column_has_the_density_of_its_kind() -> None:
    torch.manual_seed(0)
    x = mixed().double()
    mean, std = x.mean(0), x.std(0, correction=0)
    likelihood = Columns(mean, std, KINDS, (1, 1, 2, 1, 2, 1, 1)).double()
    output = likelihood.start(mean) + 0.3 * torch.randn(9).double()
    found = likelihood(output, 0).log_prob(x)
    counts, reals = NegativeBinomial(mean[1:2], std[1:2]), Normal(mean[7:8], std[7:8], noise_scale="feature")
    torch.testing.assert_close(found[:, 1:2], counts(output[1:2], 0).log_prob(x[:, 1:2]))
    torch.testing.assert_close(found[:, 7:8], reals(output[7:8], 0).log_prob(x[:, 7:8]))
    torch.testing.assert_close(found[:, 4], torch.distributions.Bernoulli(logits=output[4]).log_prob(x[:, 4]))
    assert (found[:, 0] == 0).all()  # of one category there is nothing to say
    for block in (slice(2, 4), slice(5, 7)):
        both = output[block].log_softmax(0)
        torch.testing.assert_close(found[:, block].sum(1), both[x[:, block].argmax(1)])


def test_a_mixed_table_is_given_columns_and_what_they_hold_is_learned() -> None:
    data = table()
    model = pv.build_model(VAE, data, latent_dim=1, hidden=(16,))
    assert isinstance(model.likelihood, Columns)
    guide = pv.build_guide("amortized", model, data)
    history = pv.fit(model, guide, data.train, epochs=20, batch_size=25, engine="eager", device="cpu", progress=False)
    assert history[-1].elbo > history[0].elbo + 2
    draws = pv.prior_predictive(model, (9,), 200).x
    assert model.likelihood(torch.zeros(9), 1).support.check(draws).all()
    assert (draws[:, 5] == 1 - draws[:, 6]).all()


def test_what_no_column_can_hold_is_refused() -> None:
    for column, value in ((1, 2.5), (1, -1.0), (4, 0.5), (5, 1.0), (5, 0.3)):
        x = mixed()
        x[1] = x[0]
        x[1, 5:7] = torch.tensor([0.0, 1.0])
        x[1, column] = value
        data = table()._replace(train=pv.Dataset(x))
        model = pv.build_model(VAE, data, hidden=(4,))
        with pytest.raises(UserError, match="support of the model's columns likelihood, which takes in each column"):
            check_pair(model, pv.build_guide("amortized", model, data), data.train.probe())


def test_kinds_that_are_not_those_of_the_columns() -> None:
    ones = torch.ones(3)
    with pytest.raises(UserError, match="kinds are of 2 columns and blocks of 3, and x has 3"):
        Columns(ones, ones, ("reals", "bits"))
    with pytest.raises(UserError, match="columns are a table's, and an observation here has shape"):
        Columns(torch.ones(3, 4), torch.ones(3, 4))


def test_shares_of_codes_are_recovered() -> None:
    torch.manual_seed(0)
    share = torch.tensor([0.5, 0.1, 0.05, 0.35])
    data = pv.Dataset(torch.multinomial(share, 3000, replacement=True).float().unsqueeze(1).repeat(1, 2))
    model = pv.build_model(VAE, data, likelihood="categorical", latent_dim=1, hidden=())
    (linear,) = model.decoder.net
    torch.nn.init.zeros_(linear.weight).requires_grad_(False)
    guide = pv.build_guide("amortized", model, data, hidden=())
    settings = {"epochs": 40, "learning_rate": 0.02, "batch_size": 300, "engine": "eager", "device": "cpu"}
    pv.fit(model, guide, data, progress=False, **settings)
    found = linear.bias.detach().reshape(2, 4).softmax(-1)
    assert ((found - share).abs() < 5 * (share * (1 - share) / 3000).sqrt() + 0.01).all()
    with pytest.raises(UserError, match="the codes go up to 4999"):
        Categorical((4999.0,))
