"""Every test has a store of parameters of its own."""

from collections.abc import Iterator

import pyro
import pytest
import torch


@pytest.fixture(autouse=True)
def own_store() -> Iterator[None]:
    """Pyro's store is the process's."""
    with pyro.get_param_store().scope():
        yield


@pytest.fixture
def double() -> Iterator[None]:
    """In float32 Adam's first steps are the signs of gradients, which rounding decides where they are 0."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
