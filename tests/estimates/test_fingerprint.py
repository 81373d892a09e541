"""Hashes of weights."""

import copy

import pytest
import torch
from torch import nn

from ppl_vae.estimates.fingerprint import fingerprint_of
from tests.pairs import vae_pair


def test_the_same_weights_have_the_same_hash() -> None:
    model, guide = vae_pair()
    found = fingerprint_of(model)
    assert len(found) == 16
    assert int(found, 16)
    assert fingerprint_of(copy.deepcopy(model)) == fingerprint_of(model.requires_grad_(False)) == found
    assert fingerprint_of(guide) != found


def test_it_is_the_models_alone() -> None:
    """Another guide, fitted to the frozen model or not, leaves it as it is."""
    model, guide = vae_pair()
    before = fingerprint_of(model), fingerprint_of(guide)
    with torch.no_grad():
        next(iter(guide.parameters())).add_(1.0)
    assert fingerprint_of(model) == before[0]
    assert fingerprint_of(guide) != before[1]


class State(nn.Module):
    """A module of one buffer."""

    def __init__(self, value: torch.Tensor, name: str = "value") -> None:
        super().__init__()
        self.register_buffer(name, value)


VALUE = torch.arange(6, dtype=torch.float32)
OTHERS = {
    "one bit": State(torch.nextafter(VALUE, VALUE + 1)),
    "shape": State(VALUE.reshape(2, 3)),
    "name": State(VALUE, "other"),
    "dtype": State(VALUE.view(torch.int32)),
    "order": State(VALUE.flip(0)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_different_has_another_hash(what: str) -> None:
    assert fingerprint_of(OTHERS[what]) != fingerprint_of(State(VALUE.clone()))


def test_any_tensor_can_be_hashed() -> None:
    """Scalars, bfloat16, none at all, and views that are not contiguous, which count as what they show."""
    for value in (torch.tensor(1.0), torch.ones(3, dtype=torch.bfloat16), torch.zeros(0), torch.tensor([True])):
        assert len(fingerprint_of(State(value))) == 16
    transposed = VALUE.reshape(2, 3).T
    assert fingerprint_of(State(transposed)) == fingerprint_of(State(transposed.contiguous()))
