"""Labels against the classes that a program reads: whatever function is asked, no label is taken for no class."""

from collections.abc import Callable

import pyro
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import diagnose
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.models import ConditionalVAE
from ppl_vae.models.base import Model
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from tests.pairs import bits

CLASSES = 3
ALL = torch.tensor([0, 1, 2] * 4)


def pair_of(decoder: nn.Module, encoder: nn.Module) -> tuple[nn.Module, nn.Module]:
    model = ConditionalVAE(decoder, 2, CLASSES)
    return model, Amortized(Latents.of(model, Dataset(bits(12), ALL).probe()), Diagonal(2), encoder, labelled=True)


def dense() -> tuple[nn.Module, nn.Module]:
    return pair_of(Decoder(2, (3, 4), (8,), num_classes=CLASSES), Encoder((3, 4), 4, (8,), num_classes=CLASSES))


def convolutional() -> tuple[nn.Module, nn.Module]:
    sizes = {"channels": (4,), "hidden": (8,), "num_classes": CLASSES}
    return pair_of(ConvDecoder(2, (3, 4), **sizes), ConvEncoder((3, 4), 4, **sizes))


class Foreign(Model):
    """A stranger's conditional model, with an embedding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.decoder = nn.Embedding(CLASSES, 2), Decoder(2, (3, 4), (8,))

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", pyro.distributions.Normal(batch.x.new_zeros(2), 1.0).to_event(1))
            logits = self.decoder(z + self.embedding(batch.y))
            x: Tensor = pyro.sample("x", pyro.distributions.Bernoulli(logits=logits).to_event(2), obs=batch.x)
            return x


def labels(row: int, label: int) -> Tensor:
    y = ALL.clone()
    y[row] = label
    return y


DOORS: dict[str, Callable[[nn.Module, nn.Module, Dataset], object]] = {
    "fit": lambda model, guide, data: fit(model, guide, data, settings=FitConfig(epochs=1, device="cpu")),
    "fit, validation": lambda model, guide, data: fit(
        model, guide, Dataset(bits(12), ALL), data, FitConfig(epochs=1, device="cpu")
    ),
    "elbo": elbo,
    "importance_bound": lambda model, guide, data: importance_bound(model, guide, data, 2),
    "diagnose": lambda model, guide, data: diagnose(model, guide, data, num_samples=100),
    "check_pair": lambda model, guide, data: check_pair(model, guide, data.probe()),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("make", [dense, convolutional])
@pytest.mark.parametrize(("row", "label"), [(7, -1), (5, 12), (11, 3)])
def test_a_label_that_is_no_class_is_named(door: str, make: Callable[[], tuple], row: int, label: int) -> None:
    model, guide = make()
    with pytest.raises(
        UserError, match=rf"^y is {label} in row {row}, and .* knows the classes 0 to 2; correct it"
    ) as caught:
        DOORS[door](model, guide, Dataset(bits(12), labels(row, label)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", [-1, 12])
def test_a_strangers_embedding_is_tried_on_the_extremes(label: int) -> None:
    model = Foreign()
    guide = Amortized(Latents.of(model, Dataset(bits(12), ALL).probe()), Diagonal(2), Encoder((3, 4), 4, (8,)))
    fit(model, guide, Dataset(bits(12), ALL), settings=FitConfig(epochs=1, device="cpu"))
    with pytest.raises(UserError, match=r"^Foreign cannot run on x of shape .*IndexError: index out of range"):
        fit(model, guide, Dataset(bits(12), labels(9, label)), settings=FitConfig(epochs=1, device="cpu"))


def test_a_program_that_reads_no_label_takes_any() -> None:
    model, guide = dense()
    unlabelled = Amortized(guide.latents, Diagonal(2), Encoder((3, 4), 4, (8,)))
    check_pair(model, unlabelled, Dataset(bits(12), ALL).probe())
    with pytest.raises(UserError, match=r"^y is 12 in row 5, and ConditionalVAE knows"):
        check_pair(model, unlabelled, Dataset(bits(12), labels(5, 12)).probe())
    alone = Encoder((3, 4), 4, (8,))
    assert alone(bits(12), labels(5, 12)).shape == (12, 4)
