"""The layers of pairs that are known."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from ppl_vae import Batch
from ppl_vae.guides import Amortized, Diagonal, InverseAutoregressive, PerDatapoint
from ppl_vae.networks.convolutional import ConvEncoder
from ppl_vae.programs.anatomy.layers import Fold, networks
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.errors import UserError
from tests.pairs import PriorGuide, all_of, bits, oracle, vae_pair
from tests.programs.test_structure import case


def words(folds: tuple[Fold, ...]) -> list[str]:
    """A line a row, such as "loc 2 | scale 2", and how often it comes."""

    def sized(words: str, size: tuple[int, ...]) -> str:
        return " ".join([words, "×".join(map(str, size))]).strip()

    return [
        (f"{fold.times}: " if fold.times > 1 else "")
        + " | ".join((f"{'×'.join(map(str, box.takes))} → " if box.takes else "") + sized(box.words, box.size)
                     for box in row.boxes)
        for fold in folds
        for row in fold.rows
    ]  # fmt: skip


def test_a_vae() -> None:
    model, guide = vae_pair()
    found = networks(model, guide, all_of(bits(3)))
    assert words(found.guide) == ["x 3×4", "12 → Linear + relu 16", "Linear 4", "loc 2 | scale 2", "z 2"]
    assert words(found.model) == ["z 2", "Linear + tanh 16", "Linear 12", "logits 3×4", "x 3×4"]


def test_labels_go_beside_what_they_are_read_with() -> None:
    model, guide, batch = case("conditional, diagonal, amortized")
    found = networks(model, guide, batch)
    assert words(found.guide)[0] == "x 3×4 | y"
    assert words(found.model)[0] == "y | z 2"


def test_a_latent_above_another() -> None:
    found = networks(*case("hierarchical, diagonal, amortized"))
    assert [line.split()[0] for line in words(found.model)] == ["z2", "Linear", "Linear", "loc", "z1", "Linear",
                                                                "Linear", "logits", "x"]  # fmt: skip
    assert words(found.guide)[-1] == "z2 2 | z1 3"


def test_the_maps_of_a_flow_come_after_its_heads() -> None:
    model, _ = vae_pair()
    batch = all_of(bits(3))
    latents = Latents.of(model, batch)
    family = InverseAutoregressive(2, iaf_maps=4, iaf_hidden=7)
    guide = Amortized(latents, family, ConvEncoder((3, 4), family.num_params, (5,)))
    found = words(networks(model, guide, batch).guide)
    assert any(line.startswith("Conv2d 3 × 3, stride 2 + relu") for line in found)
    place = found.index("loc 2 | scale 2")
    assert found[place + 1 :] == ["4: 4 → MaskedLinear + elu 7", "4: MaskedLinear 4", "z 2"]  # fmt: skip


def test_rows_stand_in_the_place_of_an_encoder() -> None:
    model, _ = vae_pair()
    batch = all_of(bits(3))
    guide = PerDatapoint(Latents.of(model, batch), Diagonal(2), 54_000)
    assert words(networks(model, guide, batch).guide) == ["54,000 rows 4", "loc 2 | scale 2", "z 2"]


def test_a_refinement_is_a_box_for_each_step() -> None:
    found = networks(*case("vae, full-rank, semi-amortized"))
    assert words(found.guide).count("the model's gradient") == 2


class Odd(PyroModule):
    """A user's: a recurrent layer of torch's, eight blocks of the same kind, one of them called in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.GRU(4, 6, batch_first=True)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Tanh()) for _ in range(8))
        self.out = nn.Linear(6, 2)

    def forward(self, batch: Batch) -> None:
        h = self.steps(batch.x)[0][:, -1]
        for block in self.blocks:
            h = block(h)
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.out(h), 1.0).to_event(1))


def test_odd_modules_of_a_user_and_blocks_that_repeat() -> None:
    model, _ = vae_pair()
    guide = Odd()
    found = networks(model, guide, all_of(bits(3)))
    assert words(found.guide) == ["x 3×4", "GRU, 3 steps 6", "8: Linear 6", "8: LayerNorm + tanh 6", "Linear 2",
                                  "loc 2 | scale 2", "z 2"]  # fmt: skip
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in guide.modules())


def test_without_a_layer_there_is_nothing_to_draw() -> None:
    with pytest.raises(UserError, match="neither model nor guide runs a module that is a layer"):
        networks(oracle(), PriorGuide(3, 0.5), all_of(torch.zeros(2, 5, dtype=torch.float64)))
