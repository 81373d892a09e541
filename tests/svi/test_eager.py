"""One eager step: what it does to the parameters, and that it never waits for the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.meta import is_read
from tests.pairs import all_of, bits, stripes_data, vae_pair


class HostSyncError(AssertionError):
    """Something read a tensor's value."""


class _Dispatch(TorchDispatchMode):
    """Sees every operation below Python, so also what C++ reads on its own."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_read(func, args):
            raise HostSyncError(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def no_host_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise at anything for which a CUDA device would have to be waited for."""

    def refuse(*_: object) -> None:
        raise HostSyncError

    with monkeypatch.context() as patch, _Dispatch():
        for name in ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"):
            patch.setattr(torch.Tensor, name, refuse)
        yield


@pytest.mark.parametrize("family", [Diagonal, FullRank])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_never_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, family: type, objective: ObjectiveName, clip_norm: float | None
) -> None:
    model, guide = vae_pair(family)
    optimizer = PairOptimizer(model, guide, OptimizerConfig(clip_norm=clip_norm))
    step = EagerStep(model, guide, OBJECTIVES[objective].make(2), optimizer, stripes_data(20))
    index = torch.arange(8)
    before = [param.detach().clone() for param in guide.parameters()]
    with pyro.validation_enabled(False), no_host_sync(monkeypatch):
        sums = step(index, 0.5)
        step(index, torch.tensor(0.5))
    assert sums.isfinite().all()
    assert not any(torch.equal(a, b) for a, b in zip(before, guide.parameters(), strict=True))


def test_the_check_finds_pyros_own_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model, guide = vae_pair()
    batch = all_of(bits(8))
    with (
        pytest.raises(HostSyncError),
        pyro.validation_enabled(False),
        no_host_sync(monkeypatch),
    ):
        Trace_ELBO(max_plate_nesting=1).loss_and_grads(model, guide, batch)
    with pytest.raises(HostSyncError), no_host_sync(monkeypatch):
        torch.ones(3)[torch.tensor([True, False, True])]
    assert torch.ones(()).item() == 1.0  # the patches are gone


def test_returns_the_sums_over_the_batch() -> None:
    model, guide = vae_pair()
    data = stripes_data(20, dynamic=False)
    index = torch.tensor([3, 1, 7])
    torch.manual_seed(1)
    terms = TraceELBO().terms(model, guide, data.batch(index))
    step = EagerStep(model, guide, TraceELBO(), descent(model, guide), data)
    torch.manual_seed(1)
    sums = step(index)
    torch.testing.assert_close(sums, torch.stack([terms.bound.sum(), terms.reconstruction.sum(), terms.kl.sum()]))
    assert not sums.requires_grad


def descent(model: nn.Module, guide: nn.Module, rate: float = 1.0, clip_norm: float | None = None) -> PairOptimizer:
    """Plain gradient descent, whose steps are the gradients themselves."""
    optimizer = PairOptimizer(model, guide, OptimizerConfig(clip_norm=clip_norm))
    optimizer.of_shared = torch.optim.SGD(optimizer.shared, lr=rate)
    return optimizer


def moved(clip_norm: float | None, kl_weight: float = 1.0) -> list[Tensor]:
    """How far one step of plain gradient descent, of size 1, moves each parameter: minus the gradient it used."""
    model, guide = vae_pair()
    params = [*model.parameters(), *guide.parameters()]
    before = [param.detach().clone() for param in params]
    data = stripes_data(20, dynamic=False)
    step = EagerStep(model, guide, TraceELBO(), descent(model, guide, clip_norm=clip_norm), data)
    torch.manual_seed(1)
    step(torch.arange(6), kl_weight)
    return [old - param.detach() for old, param in zip(before, params, strict=True)]


def test_descends_the_loss() -> None:
    model, guide = vae_pair()
    torch.manual_seed(1)
    TraceELBO().terms(model, guide, stripes_data(20, dynamic=False).batch(torch.arange(6)), 0.4).loss.backward()
    expected = [param.grad for param in (*model.parameters(), *guide.parameters())]
    torch.testing.assert_close(moved(None, 0.4), expected, rtol=1e-4, atol=1e-6)


def test_old_gradients_are_forgotten() -> None:
    model, guide = vae_pair()
    data = stripes_data(20, dynamic=False)
    params = [*model.parameters(), *guide.parameters()]
    step = EagerStep(model, guide, TraceELBO(), descent(model, guide, rate=0.0), data)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        step(torch.arange(6))
        found.append([param.grad.clone() for param in params])
    torch.testing.assert_close(found[0], found[1])


def test_clipping_scales_the_whole_gradient() -> None:
    free, clipped = moved(None), moved(0.01)
    norm = torch.cat([gradient.flatten() for gradient in free]).norm()
    assert norm > 0.1
    assert torch.cat([gradient.flatten() for gradient in clipped]).norm().item() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(clipped, [gradient * 0.01 / norm for gradient in free], rtol=1e-2, atol=1e-6)
    torch.testing.assert_close(moved(1e6), free)


def test_dynamic_data_is_drawn_anew_at_every_step() -> None:
    seen = []

    class Recorder(TraceELBO):
        def terms(self, model, guide, batch, kl_weight=1.0):
            seen.append(batch.x)
            return super().terms(model, guide, batch, kl_weight)

    model, guide = vae_pair()
    grey = Dataset(torch.full((4, 3, 4), 0.5), dynamic=True)
    step = EagerStep(model, guide, Recorder(), descent(model, guide), grey)
    step(torch.arange(4))
    step(torch.arange(4))
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x in seen)
    assert not torch.equal(*seen)
