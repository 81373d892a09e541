"""What a caller has switched on around a call changes no number of ours."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, is_dataclass

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, elbo, fit
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, SemiAmortized
from ppl_vae.models import VAE
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.precision import computing_in
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.ambient import apart
from tests.evaluations import EVALUATIONS, Given
from tests.pairs import all_of, bits

X = bits(12, seed=3)

AMBIENT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": lambda: torch.inference_mode(),
    "mask": lambda: poutine.mask(mask=False),
    "scale": lambda: poutine.scale(scale=0.5),
    "condition": lambda: poutine.condition(data={"z": torch.zeros(2)}),
    "plate": lambda: pyro.plate("outer", 3, dim=-2),
    "block": lambda: poutine.block(),
}


def pair(kind: str = "amortized") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    model = VAE(Decoder(2, (3, 4), (8,), "tanh"), 2)
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), Encoder((3, 4), 4, (8,), "tanh"))
    return model, guide if kind == "amortized" else SemiAmortized(guide, model, refinement_steps=2)


def numbers(found: object) -> list[object]:
    """All that a result holds, in some order that does not change."""
    if isinstance(found, Tensor):
        return [found.detach().clone()]
    if isinstance(found, nn.Module):
        return [value for value in found.state_dict().values()]
    if isinstance(found, dict):
        return [number for value in found.values() for number in numbers(value)]
    if isinstance(found, list | tuple | set):
        return [number for value in found for number in numbers(value)]
    if is_dataclass(found):
        return [number for each in fields(found) for number in numbers(getattr(found, each.name))]
    return [found] if isinstance(found, str | int | float | bool) or found is None else []


def _equal(a: Tensor, b: Tensor) -> bool:
    """NaN, of an error that is not known, included."""
    return a.shape == b.shape and bool(((a == b) | (a != a) & (b != b)).all())


def alike(mine: list[object], theirs: list[object]) -> bool:
    return len(mine) == len(theirs) and all(
        _equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b or a != a
        for a, b in zip(mine, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def alone() -> dict[str, list[object]]:
    """What every evaluation gives where nothing is switched on."""
    on, found = Given(*pair(), Dataset(X)), {}
    with torch.no_grad():
        for name, call in EVALUATIONS.items():
            torch.manual_seed(0)
            found[name] = numbers(call(on))
    return found


# The rest are Pyro's handlers too, as the scale is, around the same calls.
LIKE_ANOTHER = ("block", "condition", "plate", "mask")


@pytest.mark.parametrize(
    "state", [pytest.param(name, marks=[pytest.mark.slow] * (name in LIKE_ANOTHER)) for name in AMBIENT]
)
def test_every_evaluation_gives_what_it_gives_alone(state: str, alone: dict[str, list[object]]) -> None:
    on = Given(*pair(), Dataset(X))
    with torch.no_grad():
        for name, call in EVALUATIONS.items():
            torch.manual_seed(0)
            with AMBIENT[state]():
                found = numbers(call(on))
            assert alike(found, alone[name]), name


@pytest.mark.parametrize(
    ("state", "kind"),
    [*((state, "amortized") for state in (*AMBIENT, "no_grad")), ("inference mode", "semi-amortized")],
)
def test_training_gives_what_it_gives_alone(state: str, kind: str) -> None:
    settings = FitConfig(epochs=3, batch_size=4, device="cpu", engine="eager")

    def trained(around: Callable[[], AbstractContextManager[object]]) -> list[object]:
        model, guide = pair(kind)
        with around():
            history = fit(model, guide, Dataset(X), Dataset(X), settings)
        bounds = [(row.elbo, row.validation_bound) for row in history]
        assert bounds[0] != bounds[-1]  # it has learned something
        return [*numbers(bounds), *numbers([model, guide])]

    assert alike(trained(AMBIENT.get(state, torch.no_grad)), trained(apart))


def test_what_was_switched_on_is_on_again() -> None:
    @contextmanager
    def all_of_it() -> Iterator[None]:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), poutine.scale(scale=0.5):
            yield

    @apart()
    def stumbles() -> None:
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        raise RuntimeError("inside")

    with all_of_it():
        with pytest.raises(RuntimeError, match="inside"):
            stumbles()
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
        with poutine.trace() as trace:
            pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
        assert trace.trace.nodes["z"]["scale"] == 0.5


@pytest.mark.parametrize("allowed", [True, False])
def test_convolutions_are_in_float32_inside_and_the_callers_setting_is_back(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    found = []

    class Seen(VAE):
        def forward(self, batch: Batch) -> Tensor:
            found.append(torch.backends.cudnn.allow_tf32)
            return super().forward(batch)

    model, guide = pair()
    model.__class__ = Seen
    elbo(model, guide, Dataset(X))
    assert set(found) == {False}
    assert torch.backends.cudnn.allow_tf32 == allowed
    with apart(), computing_in("tf32"):  # as in training, which evaluates in its own precision
        found.clear()
        elbo(model, guide, Dataset(X))
        assert set(found) == {True}
    assert torch.backends.cudnn.allow_tf32 == allowed
