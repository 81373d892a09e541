"""What a data set from Python can hold, and the one line that every function says of it before it begins."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, check_pair, encode, fit, infer_latents, posterior_predictive
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import diagnose
from ppl_vae.evaluation import annealed_importance_bound, elbo, importance_bound
from ppl_vae.guides import Diagonal
from ppl_vae.inference.fitting import infer
from ppl_vae.models import VAE
from tests.fits import assert_same, settings, weights
from tests.pairs import bits, vae_pair

DOORS: dict[str, Callable[[nn.Module, nn.Module, Dataset], object]] = {
    "fit": lambda model, guide, data: fit(model, guide, data, settings=FitConfig(epochs=1, device="cpu")),
    "fit, validation": lambda model, guide, data: fit(
        model, guide, Dataset(bits(12)), data, FitConfig(epochs=1, device="cpu")
    ),
    "elbo": elbo,
    "check_pair": lambda model, guide, data: check_pair(model, guide, data.probe()),
    "importance_bound": lambda model, guide, data: importance_bound(model, guide, data, 2),
    "diagnose": lambda model, guide, data: diagnose(model, guide, data, num_samples=100),
    "infer, latents given": lambda model, guide, data: infer(model, Diagonal(2), data, guide.latents),
    "infer": lambda model, _, data: infer(model, Diagonal(2), data),
    "annealed_importance_bound": lambda model, guide, data: annealed_importance_bound(model, guide, data, 2),
}


def refused(door: str, data: Dataset, message: str) -> None:
    model, guide = vae_pair()
    before = weights(model, guide)
    with pytest.raises(UserError, match=message) as caught:
        DOORS[door](model, guide, data)
    assert "\n" not in str(caught.value)
    assert_same(weights(model, guide), before)


@pytest.mark.parametrize(
    "door", [door for door in DOORS if door not in ("infer", "infer, latents given", "annealed_importance_bound")]
)
def test_another_precision_is_named_with_what_to_do(door: str) -> None:
    """The others run the model alone, whose decoder takes z and not x."""
    refused(
        door, Dataset(bits(12).double()), r"float64 where its parameters are float32 \(x.to\(torch.float32\) makes it"
    )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_named_by_its_row(door: str, bad: float) -> None:
    x = bits(12)
    x[7, 1, 2] = bad
    refused(door, Dataset(x), "^x holds NaN or infinity, first in row 7; remove those values, or say ")


def test_a_model_of_doubles_takes_doubles() -> None:
    model, guide = vae_pair()
    assert elbo(model.double(), guide.double(), Dataset(bits(12).double())).elbo.values.dtype == torch.float64
    with pytest.raises(UserError, match=r"float32 where its parameters are float64 \(x.to\(torch.float64\)"):
        elbo(model, guide, Dataset(bits(12)))


@pytest.mark.parametrize("dynamic", [False, True])
def test_training_is_the_same_whatever_the_layout_in_memory(dynamic: bool) -> None:
    x = torch.rand(40, 3, 4, generator=torch.Generator().manual_seed(0)).round(decimals=0 if not dynamic else 2)
    fortran = x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert fortran.stride() != x.stride()
    found = []
    for each in (x, fortran):
        pair = vae_pair()
        history = fit(*pair, Dataset(each, dynamic=dynamic), settings=settings(patience=0, epochs=2))
        found.append((weights(*pair), [row.elbo for row in history]))
    assert_same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("given", [np.zeros((4, 3, 4), np.float32), torch.zeros(4, 3, 4), [[0.0]], None])
def test_what_is_no_data_set_is_named(given):
    model, guide = vae_pair()
    with pytest.raises(UserError, match=rf"the data is a {type(given).__name__}; make it a ppl_vae\.data\.Dataset"):
        fit(model, guide, given, settings=FitConfig(epochs=1, device="cpu"))


@pytest.mark.parametrize("given", ["digits", None, [[0.0], [1.0, 2.0]], {"x": 1.0}])
def test_what_is_no_array_is_named(given):
    model, guide = vae_pair()
    for read in (encode, infer_latents, posterior_predictive):
        with pytest.raises(UserError, match=rf"^a {type(given).__name__} is no array of numbers; give an array"):
            read(model, guide, given)
        with pytest.raises(UserError, match=r"^x holds int64; give the numbers that the pair was trained on, as float"):
            read(model, guide, np.zeros((4, 3, 4), np.int64))
        with pytest.raises(UserError, match=r"^x has shape \(4,\); it must be \(N, \*event\)"):
            read(model, guide, [0.0, 1.0, 1.0, 0.0])


def test_data_without_a_row_is_refused():
    model, guide = vae_pair()
    for call in (fit, elbo):
        with pytest.raises(UserError, match="the data has no rows"):
            call(model, guide, Dataset(torch.zeros(0, 3, 4)))


@pytest.mark.parametrize("door", ["fit", "check_pair"])
def test_a_guide_that_observes_is_refused(door: str) -> None:
    model, _ = vae_pair()
    with pytest.raises(UserError, match=r"^site 'x': the guide observes it; a guide draws latents"):
        DOORS[door](model, model, Dataset(bits(12)))


@pytest.mark.parametrize("door", ["fit", "elbo", "check_pair", "importance_bound", "diagnose"])
def test_a_function_is_no_program_of_a_pair(door: str) -> None:
    model, _ = vae_pair()

    def run(batch: Batch) -> object:
        return model(batch)

    with pytest.raises(UserError, match=r"this is a function: make it the forward of a pyro\.nn\.PyroModule\.$"):
        DOORS[door](run, run, Dataset(bits(12)))  # type: ignore[arg-type]


def test_of_a_model_that_lacks_its_labels_it_is_told_what_it_was_given() -> None:
    class Labelled(VAE):
        def forward(self, batch: Batch) -> Tensor:
            return super().forward(batch._replace(x=batch.x * (batch.y + 1)[:, None, None]))

    decoder = vae_pair()[0].decoder
    with pytest.raises(UserError, match=r"^Labelled cannot run on x of shape .*, y None, mask None .*: TypeError: "):
        elbo(Labelled(decoder, 2), vae_pair()[1], Dataset(bits(12)))
