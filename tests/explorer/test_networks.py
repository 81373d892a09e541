import base64
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from ppl_vae.explorer import Activation, Dense, layers_of
from ppl_vae.explorer.networks import packed
from ppl_vae.networks.dense import Activation as Name
from ppl_vae.networks.dense import mlp


@pytest.mark.parametrize("name", get_args(Name))
def test_every_activation_is_known(name):
    network = mlp(3, (5,), 2, name)
    first, between, last = layers_of(network)
    assert between == Activation(name)
    for dense, linear in ((first, network[0]), (last, network[2])):
        assert isinstance(dense, Dense)
        assert dense.weight.shape == (linear.out_features, linear.in_features)
        assert np.array_equal(dense.weight, linear.weight.detach().numpy())
        assert np.array_equal(dense.bias, linear.bias.detach().numpy())


def test_no_bias_is_a_bias_of_zeros():
    (layer,) = layers_of(nn.Sequential(nn.Linear(2, 3, bias=False)))
    assert np.array_equal(layer.bias, np.zeros(3))


@pytest.mark.parametrize(
    "module", [nn.GELU("tanh"), nn.ELU(0.5), nn.Softplus(beta=2), nn.Dropout(), nn.Conv2d(1, 1, 1)]
)
def test_what_a_browser_cannot_compute_is_refused(module):
    with pytest.raises(ValueError, match="a browser has no"):
        layers_of(nn.Sequential(nn.Linear(2, 2), module))


def test_packed_arrays_are_what_they_were():
    for values, dtype in ((torch.randn(3, 4).numpy(), "<f4"), (np.arange(6, dtype=np.uint8).reshape(2, 3), "u1")):
        plain = packed(values)
        back = np.frombuffer(base64.b64decode(plain["base64"]), dtype=dtype).reshape(plain["shape"])
        assert np.array_equal(back, values)
    assert packed(np.arange(3.0))["kind"] == "float32"
