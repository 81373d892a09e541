"""What is asked of a pair as two Pyro programs: densities that are functions of z and x alone, a state that is all."""

import copy
import io

import pyro
import torch
from torch import Tensor

from ppl_vae.programs.check import check_pair
from ppl_vae.programs.log_weights import log_weights
from ppl_vae.programs.pair import run_pair
from ppl_vae.testing.case import Case, Pair, differs, require, require_close
from ppl_vae.testing.densities import densities_at, draws_of, trace_of


def check_contract(case: Case) -> None:
    """The pair passes ``check_pair``, which changes nothing, not even of a pair in training mode."""
    model, guide = (program.train() for program in case.pair())
    before, state = torch.get_rng_state(), copy.deepcopy([model.state_dict(), guide.state_dict()])
    check_pair(model, guide, case.batch())
    check_pair(model, guide, case.batch(torch.tensor([1])))
    require(torch.equal(torch.get_rng_state(), before), "the check has moved torch's generator")
    for program, values in zip((model, guide), state, strict=True):
        for name, value in program.state_dict().items():
            require(torch.equal(value, values[name]), f"running the pair in evaluation mode has changed '{name}'")


def check_shapes(case: Case) -> None:
    """One finite log-weight for each sample and datapoint, no two of them the same."""
    for num_samples in (1, 3):
        for rows in (torch.arange(len(case.x)), torch.tensor([2])):
            weights = log_weights(*case.pair(), case.batch(rows), num_samples)
            shape = (num_samples, len(rows))
            require(
                weights.shape == shape, f"log-weights are {tuple(weights.shape)} and not (samples, batch) = {shape}"
            )
            require(weights.isfinite().all(), "a log-weight is not finite")
            require(len(weights.unique()) == weights.numel(), "two draws or two datapoints have the same log-weight")


def check_leading_dimensions(case: Case) -> None:
    """Three samples in one call have the densities that each has alone."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    with pyro.plate("samples", 3, dim=-2):
        draws = draws_of(trace_of(pair[1], batch))
    together = densities_at(pair, batch, draws, num_samples=3)
    for sample in range(3):
        alone = densities_at(pair, batch, {name: value[sample] for name, value in draws.items()})
        for which, values, expected in zip(("model", "guide"), together, alone, strict=True):
            require_close(values[sample], expected, f"the {which} gives a sample another density beside others")
    for values in together:
        require(values.shape == (3, len(case.x)), f"densities of three samples are {tuple(values.shape)}")
        require(differs(values[0], values[1]), "two samples have the same densities")


def check_rows_are_independent(case: Case) -> None:
    """A datapoint's densities do not depend on its place in the batch, nor on what else is in it."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    draws = draws_of(trace_of(pair[1], batch))
    whole = densities_at(pair, batch, draws)
    size = len(case.x)
    for rows in (torch.arange(size).flip(0), torch.tensor([2]), torch.tensor([3, 0, 1]), torch.tensor([1, 1, 0])):
        part = densities_at(pair, case.batch(rows), {name: value[rows] for name, value in draws.items()})
        for which, found, values in zip(("model", "guide"), part, whole, strict=True):
            require_close(found, values[rows], f"to the {which} a datapoint is another beside others")
    for values in whole:
        require(differs(values, values.flip(0)), "all datapoints have the same densities")


def check_guide_looks_at_x(case: Case) -> None:
    """q(z | x) is another for another x: the same draws, the observations exchanged."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    draws = draws_of(trace_of(pair[1], batch))
    exchanged = case.batch(torch.arange(len(case.x)).roll(1))
    both = zip(("model", "guide"), densities_at(pair, batch, draws), densities_at(pair, exchanged, draws), strict=True)
    for which, given, found in both:
        require(differs(given, found), f"the {which}'s density is the same for another x")


def check_precision(case: Case) -> None:
    """float32 and float64 in, the same out, and the same numbers to float32's rounding."""
    values = []
    draws: dict[str, Tensor] = {}
    for dtype in (torch.float32, torch.float64):
        chosen = case if dtype == torch.float32 else case.double()
        model, guide = chosen.pair()
        found = draws_of(trace_of(guide, chosen.batch()))
        draws = draws or found
        for name, value in found.items():
            require(value.dtype == dtype, f"'{name}' is {value.dtype} where the data is {dtype}")
        for run in run_pair(model, guide, chosen.batch(), 2)[:2]:
            for name, site in run.nodes.items():
                if site["type"] == "sample":
                    found_type = site["log_prob"].dtype
                    require(found_type == dtype, f"log p of '{name}' is {found_type} where the data is {dtype}")
        same = {name: value.to(dtype) for name, value in draws.items()}
        log_p, log_q = densities_at((model, guide), chosen.batch(), same)
        values.append(torch.stack([log_p, log_q]).double())
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-4)


def check_state_round_trip(case: Case) -> None:
    """A pair with the state of another is that other; the state is plain tensors."""
    first, second = case.pair(seed=0), case.pair(seed=1)
    require(differs(_weights(first, case), _weights(second, case)), "two pairs of different seeds are alike")
    for source, target in zip(first, second, strict=True):
        buffer = io.BytesIO()
        torch.save(source.state_dict(), buffer)
        buffer.seek(0)
        target.load_state_dict(torch.load(buffer, weights_only=True))
    same = torch.equal(_weights(first, case), _weights(second, case))
    require(same, "a pair with the state_dict of another is not that other: something of it is in no state_dict")


def check_copy(case: Case) -> None:
    """A deep copy is the same, and then a thing of its own."""
    pair = case.pair()
    other = copy.deepcopy(pair)
    before = _weights(pair, case)
    require(torch.equal(_weights(other, case), before), "a deep copy gives other numbers")
    with torch.no_grad():
        for program in other:
            for param in program.parameters():
                param.mul_(1.2).add_(0.01)
    require(differs(_weights(other, case), before), "parameters have changed and the numbers have not")
    require(torch.equal(_weights(pair, case), before), "changing a deep copy has changed the pair")


def check_same_noise_same_answer(case: Case) -> None:
    """Nothing but torch's generator decides, and nothing is kept from one call to the next."""
    pair = case.pair()
    found = [_weights(pair, case, seed) for seed in (1, 2, 1)]
    require(torch.equal(found[0], found[2]), "the same seed gives other numbers: something is kept between calls")
    require(differs(found[0], found[1]), "another seed gives the same numbers")


def _weights(pair: Pair, case: Case, seed: int = 5) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return log_weights(*pair, case.batch(), 3)
