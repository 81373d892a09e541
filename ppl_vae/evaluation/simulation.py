"""Data from the model itself, whose exact posterior draws are known: what two-sided bounds and calibration stand on."""

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.predictive.draws import prior_predictive
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.check import given_totals
from ppl_vae.programs.contract import hold_to_x_alone, not_x, trace_in_plate
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream


@in_range
def simulate(
    model: nn.Module,
    event_shape: tuple[int, ...],
    num: Count,
    y: Tensor | None = None,
    seed: Seed = 0,
    c: Tensor | None = None,
) -> tuple[Dataset, dict[str, Tensor]]:
    """Data from the model itself, z* ~ p(z), x* ~ p(x | z*): of each x* one exact posterior draw, z*, is then known.

    Args:
        model: p(x, z).
        event_shape: shape of one observation.
        num: how many, at least 1.
        y: labels, ``(num,)``, for a conditional model.
        seed: of the draws; the caller's generators are left alone.
        c: conditions, ``(num, C)``, likewise.

    Returns:
        the data, x* ``(num, *event)``, y and c, numbered from ``UNSEEN``, so that no row of a per-datapoint guide is
        taken for theirs; and z* by site, ``(num, *latent_event)``.

    Raises:
        UserError: the model is given each row's total, which it cannot draw; or it observes anything but x, so that
            what it draws is not what it is evaluated on.
    """
    if given_totals(model):
        raise UserError(
            "this model is given the total of each row and has no distribution of totals, so that rows drawn from it "
            "are not those that it would be evaluated on; take an estimate on data, or `size_factors` none."
        )
    if y is not None and len(y) != num:
        raise ValueError(f"{len(y)} labels for {num} simulations")
    if c is not None and len(c) != num:
        raise ValueError(f"{len(c)} rows of conditions for {num} simulations")
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    with seeded(stream(seed, "simulation"), device):
        draws = prior_predictive(model, event_shape, num, y, c)
        if tuple(draws.x.shape[1:]) != tuple(event_shape):
            raise not_x()
        data = Dataset(draws.x.detach(), y, first=UNSEEN, c=c)
        with frozen(model):
            probe = data.probe()
            hold_to_x_alone(trace_in_plate(model, probe), probe)
    return data, {name: value.detach() for name, value in draws.latents.items()}


def with_holes_of(data: Dataset, simulated: Dataset) -> Dataset:
    """Simulated data with the holes of given data, the first row's in the first, over and over: what the model and the
    guide will meet there. A guide that takes all of x for seen says little of one that has to do without a part of it.

    The holes are not chosen by the x that they hide, so that z* stays an exact draw of the posterior,
    which is p(z | x*_seen) now.

    Args:
        data: whose holes, and what stands in for them; without any, the simulated data is returned as it is.
        simulated: as :func:`simulate` gives it.
    """
    if data.mask is None:
        return simulated
    rows = torch.arange(len(simulated), device=data.device) % len(data)
    mask, stand_ins = data.mask[rows].to(simulated.device), data.values(rows).to(simulated.kept)
    return simulated.replace(x=torch.where(mask, simulated.kept, stand_ins), mask=mask)
