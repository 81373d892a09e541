"""Networks in short precision, everything after them in float32."""

import re

import pytest
import torch
from torch import Tensor

from ppl_vae import FitConfig, fit
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.pair import run_pair
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep
from tests.pairs import all_of, bits, stripes_data, vae_pair


@pytest.mark.parametrize("family", [Diagonal, FullRank])
def test_bf16_changes_the_networks_and_nothing_after_them(family: type) -> None:
    model, guide = vae_pair(family)
    batch = all_of(bits(8))
    with computing_in("bf16"):
        low = guide.params(batch)
        traces = run_pair(model, guide, batch)
    full = guide.params(batch)
    assert low.dtype == full.dtype == torch.float32
    assert not torch.equal(low, full)
    torch.testing.assert_close(low, full, rtol=2e-2, atol=2e-2)
    for trace in traces:
        for site in trace.nodes.values():
            if site["type"] == "sample" and isinstance(site["value"], Tensor):
                assert site["value"].dtype in (torch.float32, torch.int64)
                assert site["log_prob"].dtype == torch.float32
    # The draw is loc + L ε in float32: in bf16 it would have 7 bits, so that all of them were bf16 numbers.
    z = traces.guide.nodes["z"]["value"]
    assert not torch.equal(z, z.bfloat16().float())


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_settings_are_put_back(precision: Precision) -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    inside = (before[0] or precision == "tf32", precision == "tf32")

    def fail() -> None:
        with computing_in(precision):
            raise ValueError(f"tf32: {allowed()}")

    with pytest.raises(ValueError, match=re.escape(f"tf32: {inside}")):
        fail()
    assert allowed() == before
    _, guide = vae_pair()
    assert torch.equal(guide.params(all_of(bits(3))), guide.params(all_of(bits(3))))


def test_parameters_and_moments_stay_in_float32() -> None:
    model, guide = vae_pair()
    optimizer = PairOptimizer(model, guide, OptimizerConfig())
    step = EagerStep(model, guide, TraceELBO(), optimizer, stripes_data(20), "bf16")
    assert step(torch.arange(8)).dtype == torch.float32
    assert all(tensor.dtype == torch.float32 for tensor in optimizer.state_tensors())


def first_sums(kind: type, precision: Precision) -> Tensor:
    model, guide = vae_pair()
    data, optimizer = stripes_data(20, dynamic=False), PairOptimizer(model, guide, OptimizerConfig())
    eager = EagerStep(model, guide, TraceELBO(500), optimizer, data, precision)
    step = TracedStep(eager, 8, lambda graph, examples: graph) if kind is TracedStep else eager
    torch.manual_seed(0)
    return step(torch.arange(8))


@pytest.mark.slow
def test_traced_and_eager_agree_in_bf16() -> None:
    """On the same noise they do the same operations, whose only difference is in the order of a sum's terms."""
    eager, traced, full = (
        first_sums(*of) for of in ((EagerStep, "bf16"), (TracedStep, "bf16"), (EagerStep, "float32"))
    )
    torch.testing.assert_close(traced, eager, rtol=1e-4, atol=1e-4)
    assert (full - eager).abs().max() > 1e-3  # what bf16 does is more than that


def test_training_in_bf16_learns() -> None:
    def last(precision: str) -> float:
        settings = FitConfig(epochs=20, batch_size=50, precision=precision, device="cpu", kl_warmup=0)
        history = fit(*vae_pair(), stripes_data(300), settings=settings)
        assert history[-1].elbo > history[0].elbo + 0.5
        return history[-1].elbo

    assert abs(last("bf16") - last("float32")) < 0.2
