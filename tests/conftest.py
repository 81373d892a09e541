"""Fixtures that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyro
import pytest
import torch

# The tensors here are so small that threads cost more than they save, and far more where the machine has other work.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


@pytest.fixture(autouse=True)
def _no_global_state() -> Iterator[None]:
    """Every test starts from the same seed and must leave Pyro's global store and torch's switches as they were."""
    torch.manual_seed(0)
    settings = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args)
    yield
    left = sorted(pyro.get_param_store().keys())
    pyro.clear_param_store()
    assert not left, f"left in Pyro's global parameter store: {left}"
    now = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args)
    assert now == settings


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that every checkout can read; the test is skipped where there is none.

    ``PPL_VAE_SHARED_DATA`` names it, for tests that run away from their checkout. With ``PPL_VAE_REQUIRE_DATA=1`` a
    missing folder is a failure: a submission is not to pass because nothing was looked at.
    """
    named = os.environ.get("PPL_VAE_SHARED_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not root.is_dir():
        reason = f"no shared data at '{root}': set PPL_VAE_SHARED_DATA to the folder that holds MNIST/raw"
        if os.environ.get("PPL_VAE_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return root
