"""What an estimator reads off a pair: numbers of each row that depend on no other row.

An estimator's methods are functions of a row. So what is drawn for a row is drawn from a seed of its own
(:class:`ppl_vae.sklearn.rows.Rows`), and what a network says of it is worked out in float64, where the order in which
a matrix product adds up, another for each number of rows, is below what anybody compares.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.checks import check_runs
from ppl_vae.evaluation.over_draws import NO_WEIGHTS, runs_for
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.programs.density import refuse_points
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks, log_weights
from ppl_vae.programs.pair import frozen, modules_behind
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.seeding import preserved, reseed, seeded, stream
from ppl_vae.sklearn.rows import Rows

_DRAWS_OF_A_MEAN = 1000


def bounds(model: nn.Module, guide: nn.Module, rows: Rows, num_samples: int) -> Tensor:
    """The importance bound on log p(x) of each row, or on log p(x | y) under each label.

    That of a row is what :func:`ppl_vae.importance_bound` says of the row alone, by its own seed.

    Args:
        model: p(x, z).
        guide: q(z | x), with an answer to this data.
        rows: on the device of the pair.
        num_samples: K, draws for each bound.

    Returns:
        ``(N, each)``, float64, in nats.

    Raises:
        UserError: the pair cannot run on this data, or q is a point.
    """
    data, found = rows.data, []
    with frozen(model, guide), preserved(data.device):
        check_runs(data, model, guide)
        refuse_points(guide, data.probe(), NO_WEIGHTS)
        runs = runs_for(guide, data)
        places_of = torch.arange(len(data), device=data.device).split(rows.each)
        for places, seed in zip(places_of, rows.seeds, strict=True):
            batch = data.batch(places)
            reseed(stream(seed, "draws"), data.device)
            draws = [log_weights(model, guide, batch, count, runs) for count in chunks(num_samples, batch)]
            found.append(torch.cat(draws).double().logsumexp(0) - math.log(num_samples))
    return torch.stack(found).cpu()


def means(model: nn.Module, guide: nn.Module, rows: Rows, sites: Sequence[str]) -> Tensor:
    """The mean of q(z | x) of each row, under each label where there are some.

    Args:
        model: p(x, z), of which a guide may hold parts.
        guide: q(z | x), with an answer to this data. Where its mean has no closed form it is one of 1,000 draws.
        rows: on the device of the pair.
        sites: the latents whose means stand side by side.

    Returns:
        ``(N, each, size of z)``, float64.

    Raises:
        UserError: the guide cannot run on this data.
    """
    check_runs(rows.data, model, guide)
    _, precise = in_float64(model, guide)
    data = rows.data.to(device_of(precise))
    data = data.replace(x=data.values().double(), scale=None)

    def of(places: Tensor) -> Tensor:
        moments = posterior_moments(precise, data.batch(places), _DRAWS_OF_A_MEAN)
        return torch.cat([moments[site].mean.reshape(len(places), -1) for site in sites], dim=1)

    everywhere = torch.arange(len(data), device=data.device)
    if _is_drawn(of, everywhere[:2]):
        found = []
        for places, seed in zip(everywhere.split(rows.each), rows.seeds, strict=True):
            with seeded(stream(seed, "moments"), data.device):
                found.append(of(places))
    else:
        with preserved(data.device):
            found = [of(places) for places in everywhere.split(BATCH_SIZE)]
    stacked: Tensor = torch.cat(found).unflatten(0, (-1, rows.each)).cpu()
    return stacked


def _is_drawn(of: Callable[[Tensor], Tensor], rows: Tensor) -> bool:
    """Whether another seed has another mean."""
    found = []
    for seed in (0, 1):
        with seeded(seed, rows.device):
            found.append(of(rows))
    return not torch.equal(*found)


def decoded(model: nn.Module, latents: Mapping[str, Tensor], event_shape: tuple[int, ...], prior: Tensor) -> Tensor:
    """E[x | z], or of a model that reads labels Σ_y p(y) E[x | z, y].

    Args:
        model: p(x, z), in which z and the label are independent.
        latents: by site, ``(n, *latent_event)``, on the CPU.
        event_shape: of one observation.
        prior: p(y), ``(labels,)``; ``(0,)`` if the model reads none.

    Returns:
        ``(n, *event)``, float64.
    """
    (precise,) = in_float64(model)
    device = device_of(precise)
    num, parts = len(next(iter(latents.values()))), []
    with preserved(device):
        for rows in torch.arange(num).split(BATCH_SIZE):
            some = {name: value[rows].to(device, torch.float64) for name, value in latents.items()}
            each = [decode(precise, some, event_shape)] if not len(prior) else []
            for label, weight in enumerate(prior.tolist()):
                y = torch.full((len(rows),), label, device=device)
                each.append(weight * decode(precise, some, event_shape, y))
            parts.append(torch.stack(each).sum(0).double().cpu())
    return torch.cat(parts)


def in_float64(*programs: nn.Module) -> tuple[nn.Module, ...]:
    """Copies that compute in float64, with whatever modules they keep out of their own trees; what they share, they
    share. Apple's GPUs have no such numbers: copies of what is there are on the CPU."""
    copies = copy.deepcopy(programs)
    for module in modules_behind(copies):
        if device_of(module).type == "mps":
            module.cpu()
        module.double()
    return copies
