"""Results that cannot be are errors in words, and chance is let be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, UserError
from ppl_vae.estimates import Estimate
from ppl_vae.estimates.order import refuse_disorder
from ppl_vae.evaluation import AnnealingConfig, bidirectional_bounds, simulate
from tests.conjugate import Program, beta_bernoulli, gamma_poisson

SHORT = AnnealingConfig(temperatures=10, leapfrog=3, engine="eager")


class Mirrored(dist.Normal):
    """Draws on the other side of zero than its density is."""

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return -super().rsample(torch.Size(sample_shape))


def mirrored() -> tuple[nn.Module, tuple[int, ...]]:
    def model(batch: Batch) -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
        pyro.sample("x", Mirrored(z.unsqueeze(-1).expand(*z.shape, 20), 0.5).to_event(1), obs=batch.x)

    return Program(model), (20,)


def right(make: Callable[[], tuple]) -> tuple[nn.Module, tuple[int, ...]]:
    oracle = make()
    return oracle.model, oracle.event_shape


def test_a_negative_gap_is_an_error() -> None:
    """What it draws is not what it scores: the bound from above comes out below the one from below."""
    model, shape = mirrored()
    with pytest.raises(
        UserError,
        match=r"^impossible: the bound on log p\(x\) from below is above .* by [\d.]+ ± .*200 datapoints.*log_p",
    ) as caught:
        bidirectional_bounds(model, None, *simulate(model, shape, 200), 2, replace(SHORT, temperatures=3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [beta_bernoulli, gamma_poisson])
def test_right_models_are_bracketed(make: Callable[[], tuple]) -> None:
    model, shape = right(make)
    data, truth = simulate(model, shape, 60)
    found = bidirectional_bounds(model, None, data, truth, 4, SHORT)
    exact = torch.as_tensor(make().log_px(data.x.numpy()))
    for below, above in ((found.lower.log_px.values, exact), (exact, found.upper.log_px.values)):
        gap = Estimate(above - below)
        assert gap.mean > -5 * gap.stderr
    assert found.gap.mean < 0.5


def test_chance_is_let_be() -> None:
    """4 standard errors of a Gaussian; of few datapoints as many of Student's t as are as rare; of one nothing."""
    generator = torch.Generator().manual_seed(0)
    for num in (2, 3, 10):
        noise = torch.randn(300, num, generator=generator, dtype=torch.float64)
        errors = 0
        for row in noise:
            try:
                refuse_disorder(Estimate(row), Estimate(torch.zeros_like(row)), "", "")
            except UserError:
                errors += 1
        assert errors <= 1, num  # 0.01 are expected; at 4 standard errors whatever the number, of two 23
    refuse_disorder(Estimate(torch.ones(1)), Estimate(torch.zeros(1)), "", "")
    equal = torch.linspace(-100, -90, 50)
    refuse_disorder(Estimate(equal + 1e-5), Estimate(equal), "", "")  # rounding of float32
    with pytest.raises(UserError, match="impossible: A is above B, by 1"):
        refuse_disorder(Estimate(equal + 1 + 0.1 * torch.rand(50)), Estimate(equal), "A is above B", "mend it.")
