"""Codes moved step by step, on models whose posterior and decoder are known."""

import pytest
import torch
from torch import Tensor

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import FullRank, PerDatapoint, Point
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.latent_space.perturbations import Pair, perturbations
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.programs.latents import Latents
from tests.cli.own import Encoded, Labelled
from tests.pairs import TwoLatents, all_of, amortized, optimal, oracle, simulate

MODEL = oracle()
DATA = Dataset(simulate(MODEL, 40))
INFO = DataInfo((5,), 2, 40, "")
NAMES = ("point", "exact")


def pair(name: str) -> Pair:
    if name == "exact":
        return MODEL, optimal(MODEL, FullRank)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODEL, amortized(MODEL, DATA.x, Point)


def made(*names: str, **settings: object) -> Samples:
    torch.manual_seed(1)
    return perturbations({name: pair(name) for name in names}, DATA, INFO, **settings)  # type: ignore[arg-type]


def width(direction: Tensor) -> Tensor:
    """The exact posterior's standard deviation along a direction; the same for every x."""
    covariance = MODEL.posterior(DATA.x[:1]).covariance_matrix[0]
    return (direction @ covariance @ direction).sqrt().detach()


def spread(name: str, direction: Tensor) -> Tensor:
    return (codes_of(*pair(name), DATA) @ direction).std(correction=0)


def test_where_q_has_a_density_a_unit_is_its_standard_deviation_along_the_direction() -> None:
    found = made("exact", images=(3, 7), steps=5, span=2.0, seed=4)
    direction = found["direction_0"]
    assert direction.norm().item() == pytest.approx(1.0)
    # Five standard errors of a standard deviation out of 1,000 draws. The diagonal of the covariance alone is far off.
    covariance = MODEL.posterior(DATA.x[:1]).covariance_matrix[0]
    exact, bound = width(direction), 5 / 2000**0.5
    assert abs((direction**2 @ covariance.diagonal()).sqrt() / exact - 1) > 2 * bound
    torch.testing.assert_close(found["lengths_0"], exact.expand(2), rtol=bound, atol=0)
    assert found["steps"].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    codes = codes_of(*pair("exact"), DATA, torch.tensor([3, 7]))
    expected = codes[:, None] + found["steps"][:, None] * found["lengths_0"][:, None, None] * direction
    torch.testing.assert_close(found["z_0"], expected)
    torch.testing.assert_close(
        found["means_0"], decode(MODEL, {"z": expected.flatten(0, 1)}, (5,)).unflatten(0, (2, 5))
    )
    assert f"{found['lengths_0'].mean() / spread('exact', direction):.2g} of the codes' spread" in found.words[0]


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_a_point_takes_the_same_fraction_of_its_own_spread(order: tuple[str, str]) -> None:
    found = made(*order)
    number = {name: order.index(name) for name in NAMES}
    direction = found["direction_0"]
    assert torch.equal(direction, found["direction_1"])  # as many latents, the same direction
    share = found[f"lengths_{number['exact']}"].mean() / spread("exact", direction)
    own = spread("point", direction)
    assert abs(own / spread("exact", direction) - 1) > 0.1  # the scale is not the other pair's own
    torch.testing.assert_close(found[f"lengths_{number['point']}"], (share * own).expand(3))
    said = found.words[number["point"]]
    assert said == f"steps    point: s is {share:.2g} of the codes' spread (as much as of exact)"
    assert said.removeprefix("steps    point: s is ") in found.what


def test_where_no_q_has_a_width_a_unit_is_a_tenth_of_the_spread() -> None:
    found = made("point", limit=17)
    some = codes_of(*pair("point"), DATA.head(17)) @ found["direction_0"]
    torch.testing.assert_close(found["lengths_0"], (0.1 * some.std(correction=0)).expand(3))
    assert found.words == ("steps    point: s is 0.1 of the codes' spread (no q has a width)",)
    assert "s is of point 0.1 of the codes' spread" in found.figure().get_label()


def test_seeds_choose_the_direction() -> None:
    assert torch.equal(made("point", seed=1)["direction_0"], made("point", seed=1)["direction_0"])
    assert not torch.allclose(made("point", seed=1)["direction_0"], made("point", seed=2)["direction_0"])


def test_labels_are_the_images_own_and_latents_may_be_several_and_not_real() -> None:
    torch.manual_seed(0)
    labelled, guide = Labelled((3, 4), 2, 3), Encoded((3, 4), 2)
    x = (torch.rand(12, 3, 4) < 0.5).float()
    info = DataInfo((3, 4), 3, 12, "", classes=(0, 3, 7))
    found = perturbations({"a": (labelled, guide)}, Dataset(x, torch.arange(12) % 3), info, (5, 4), steps=2)
    expected = [
        decode(labelled, {"z": z}, (3, 4), torch.full((2,), y)) for z, y in zip(found["z_0"], (2, 1), strict=True)
    ]
    torch.testing.assert_close(found["means_0"], torch.stack(expected))

    model = TwoLatents()
    rates = perturbations({"a": (model, amortized(model, torch.rand(6, 4)))}, Dataset(torch.rand(6, 4)), INFO, steps=4)
    assert rates["mix_0"].shape == (3, 4, 3)
    torch.testing.assert_close(rates["mix_0"].sum(-1), torch.ones(3, 4))
    assert (rates["rate_0"] > 0).all()


def test_mistakes_name_the_pair() -> None:
    with pytest.raises(UserError, match="name one or more pairs"):
        perturbations({}, DATA, INFO)
    with pytest.raises(UserError, match="`images` 40: the split's rows are 0 to 39"):
        made("exact", images=(0, 40))
    with pytest.raises(UserError, match="`steps`"):
        made("exact", steps=1)
    latents = Latents.of(MODEL, all_of(DATA.x))
    local = PerDatapoint(latents, FullRank(latents.size), 30).double()
    with pytest.raises(UserError, match=r"^local: its guide has a q for its training data only"):
        perturbations({"exact": pair("exact"), "local": (MODEL, local)}, DATA, INFO)
    same = Dataset(DATA.x[:1].repeat(5, 1))
    with pytest.raises(UserError, match=r"^exact: the codes of the data are all the same"):
        perturbations({"exact": pair("exact")}, same, INFO)
