"""The conditional model: labels are read by the decoder and by the encoder, and asked for in words."""

import pytest
import torch
from torch import Tensor

from ppl_vae import Batch, UserError
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Amortized, Diagonal, FullRank, PerDatapoint, SemiAmortized
from ppl_vae.models import ConditionalVAE
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.predictive.draws import decode, label_sheet, latent_grid, prior_predictive
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from tests.pairs import bits

CLASSES = 3
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


def conditional(latent_dim: int = 2) -> ConditionalVAE:
    return ConditionalVAE(Decoder(latent_dim, (3, 4), (8,), "tanh", num_classes=CLASSES), latent_dim, CLASSES)


def batch_of(y: Tensor | None = LABELS) -> Batch:
    return Batch(bits(6), y, torch.arange(6))


def amortized(model: ConditionalVAE, *, labelled: bool = True) -> Amortized:
    family = FullRank(2)
    encoder = Encoder((3, 4), family.num_params, (8,), "tanh", CLASSES if labelled else 0)
    return Amortized(Latents.of(model, batch_of()), family, encoder, labelled=labelled)


def test_the_label_changes_the_output() -> None:
    model = conditional()
    z = torch.randn(1, 2).expand(CLASSES, 2)
    means = decode(model, {"z": z}, (3, 4), torch.arange(CLASSES))
    assert means.shape == (CLASSES, 3, 4)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (means[a] - means[b]).abs().max() > 1e-3
    again = decode(model, {"z": z}, (3, 4), torch.ones(CLASSES, dtype=torch.long))
    assert torch.equal(again[0], again[1])
    torch.testing.assert_close(again[0], means[1])


def test_log_weights_are_of_x_given_y() -> None:
    """log p(x | z, y) by hand, and no density of y."""
    model = conditional()
    guide = amortized(model)
    batch = batch_of()
    torch.manual_seed(1)
    found = log_weights(model, guide, batch, 1)[0]
    torch.manual_seed(1)
    q = guide.q(batch)
    z = q.rsample()
    logits = model.decoder(z, LABELS)
    likelihood = torch.distributions.Bernoulli(logits=logits).log_prob(batch.x).sum((-1, -2))
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(found, likelihood + prior - q.log_prob(z))
    torch.manual_seed(1)
    others = log_weights(model, amortized(model, labelled=False), batch._replace(y=(LABELS + 1) % CLASSES), 1)[0]
    assert not torch.allclose(found, others)


def test_no_labels_are_refused() -> None:
    model = conditional()
    with pytest.raises(UserError, match="the conditional model needs labels"):
        model(batch_of(None))
    with pytest.raises(UserError, match="needs labels"):
        check_pair(model, amortized(model, labelled=False), batch_of(None))


def test_the_encoder_reads_the_label() -> None:
    guide = amortized(conditional())
    params = [guide.params(batch_of(LABELS.roll(shift))) for shift in (0, 1)]
    differ = (params[0] - params[1]).abs().amax(1) > 1e-4
    assert torch.equal(differ, LABELS.roll(1) != LABELS)
    blind = amortized(conditional(), labelled=False)
    assert torch.equal(blind.params(batch_of()), blind.params(batch_of(None)))


@pytest.mark.parametrize("labelled", [True, False])
def test_pairs_keep_the_contracts(labelled: bool) -> None:
    model = conditional()
    guide = amortized(model, labelled=labelled)
    latents = guide.latents
    assert [(site.name, site.shape) for site in latents.sites] == [("z", (2,))]
    for program in (guide, PerDatapoint(latents, Diagonal(2), 6), SemiAmortized(guide, model)):
        check_pair(model, program, batch_of())
        data = Dataset(bits(6), LABELS)
        assert elbo(model, program, data, 4).elbo.values.isfinite().all()


def test_refinement_reads_the_label() -> None:
    """A proposal blind to y, refined on p(x | z, y), is not."""
    model = conditional()
    guide = SemiAmortized(amortized(model, labelled=False), model)
    refined = []
    for y in (LABELS, (LABELS + 1) % CLASSES):
        torch.manual_seed(2)
        with torch.no_grad():
            refined.append(guide.params(batch_of(y)))
    assert (refined[0] - refined[1]).abs().amax(1).min() > 1e-5


def test_leading_dimensions() -> None:
    """K draws of a batch share its labels: row by row the decoder's own answers."""
    model = conditional()
    z = torch.randn(5, 6, 2)
    logits = model.decoder(z, LABELS)
    assert logits.shape == (5, 6, 3, 4)
    torch.testing.assert_close(logits[3, 2], model.decoder(z[3, 2:3], LABELS[2:3])[0])


def test_label_sheet_shares_z_down_its_columns() -> None:
    model = conditional()
    torch.manual_seed(4)
    sheet = label_sheet(model, (3, 4), torch.arange(CLASSES), 5)
    assert sheet.shape == (CLASSES, 5, 3, 4)
    torch.manual_seed(4)
    z = prior_predictive(model, (3, 4), 5, torch.zeros(5, dtype=torch.long)).latents["z"]
    for label in range(CLASSES):
        expected = decode(model, {"z": z}, (3, 4), torch.full((5,), label))
        torch.testing.assert_close(sheet[label], expected)
    assert (sheet[:, 0] - sheet[:, 1]).abs().amax((-1, -2)).min() > 1e-4  # another z in another column
    assert (sheet[0] - sheet[1]).abs().amax((-1, -2)).min() > 1e-4  # another label in another row


def test_prior_predictive_and_grid_take_labels() -> None:
    model = conditional()
    draws = prior_predictive(model, (3, 4), 4, torch.tensor([0, 1, 2, 0]))
    assert draws.x.shape == draws.means.shape == (4, 3, 4)
    grids = [latent_grid(model, (3, 4), torch.linspace(-3, 3, 3), label=label) for label in (0, 1)]
    assert grids[0].shape == (3, 3, 3, 4)
    assert (grids[0] - grids[1]).abs().max() > 1e-3
