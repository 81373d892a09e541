"""A model/guide pair, run once: the guide sampled, the model replayed on its draws, many draws in one call."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple, cast

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import hold_to_plate
from ppl_vae.programs.effects import Recall, Remember, is_side_loss
from ppl_vae.programs.program import local_params, make_local, parameters_kept, refuse_functions
from ppl_vae.runtime.ambient import apart
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.turns import turn


class Traces(NamedTuple):
    """The traces of one run, log-densities computed at every site, each ``(batch,)`` or ``(num_particles, batch)``."""

    model: Trace
    guide: Trace

    def latents(self) -> list[str]:
        """Names of the model's latent sites, in its order."""
        return [name for name in self.model.stochastic_nodes if name in self.guide.nodes]

    def observed(self) -> list[str]:
        """Names of the model's observed sites."""
        return list(self.model.observation_nodes)

    def sampled(self) -> list[str]:
        """Names of all the guide's sites: auxiliary ones too, and factors, which are terms of log q."""
        return [name for name, site in self.guide.nodes.items() if site["type"] == "sample"]


def run_pair(model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int = 1) -> Traces:
    """Sample the guide and replay the model on its draws.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_particles: draws of z for each datapoint, all in one call under an outer plate.
    """
    programs = in_particles(model, num_particles), in_particles(guide, num_particles)
    with parameters_kept(lambda: modules_behind((model, guide))):
        traces = Traces(*get_importance_trace("flat", 1 + (num_particles > 1), *programs, (batch,), {}))
    _hold(model, guide, traces, batch)
    return traces


def _hold(model: nn.Module, guide: nn.Module, traces: Traces, batch: Batch) -> None:
    """Hold a run to the batch's plate, but for training steps, whose pair was held to it before the first one."""
    if _evaluated:
        hold_to_plate(model, traces.model, batch)
        hold_to_plate(guide, traces.guide, batch)


def run_pair_along_draws(
    model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int, pass_on: Callable[[Tensor], Tensor]
) -> Traces:
    """The same with densities whose gradients reach the guide's parameters through the draws alone.

    The guide is run twice: to draw z, and again on ``pass_on(z)``, its parameters held constant, for log q. The model
    is run on ``pass_on(z)`` too. In a hierarchical guide a later site's draw depends on an earlier site's z, not on
    ``pass_on(z)``, so that every path from a density to a parameter of the guide crosses ``pass_on`` exactly once.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_particles: draws of z for each of them.
        pass_on: an identity, which may change the gradient; given a site's values, ``(batch, *event)`` or
            ``(num_particles, batch, *event)``.
    """
    with parameters_kept(lambda: modules_behind((model, guide))):
        traces = _run_along_draws(model, guide, batch, num_particles, pass_on)
    _hold(model, guide, traces, batch)
    return traces


def _run_along_draws(
    model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int, pass_on: Callable[[Tensor], Tensor]
) -> Traces:
    with Remember() as memory:
        drawn = poutine.trace(in_particles(guide, num_particles)).get_trace(batch)
    given = drawn.copy()
    for name, site in latent_sites(drawn).items():
        given.nodes[name] = cast(Any, {**site, "value": pass_on(site["value"])})
    replayed = poutine.replay(in_particles(model, num_particles), trace=given)
    scored = prune_subsample_sites(poutine.trace(replayed).get_trace(batch))
    scored.compute_log_prob()
    # Densities are worked out inside the block as well: a distribution may hold a parameter itself, or a network.
    # The model is held constant too, for a guide that reads its parameters.
    with constant(model, guide), Recall(memory.calls):
        replayed = poutine.replay(in_particles(guide, num_particles), trace=given)
        again = prune_subsample_sites(poutine.trace(replayed).get_trace(batch))
        again.nodes.update({name: site for name, site in drawn.nodes.items() if is_side_loss(site)})
        again.compute_log_prob()
    return Traces(scored, again)


def in_particles(program: Callable[[Batch], object], num_particles: int) -> Callable[[Batch], object]:
    """The program under an outer plate. One particle needs none, and its sites then keep the shape ``(batch,)``."""
    if num_particles == 1:
        return program
    wrapped: Callable[[Batch], object] = pyro.plate("num_particles", num_particles, dim=-2)(program)
    return wrapped


def per_datapoint(log_prob: Tensor, batch: Batch, num_particles: int) -> Tensor:
    """A site's log-density as ``(num_particles, batch)``, whether or not it depends on the particle."""
    return log_prob.expand(num_particles, len(batch.x))


class Weighted(NamedTuple):
    """The two parts of log w = reconstruction − kl at draws z ~ q(z | x), each ``(num_particles, batch)``, in nats.

    Args:
        reconstruction: log p(x | z).
        kl: log q(z | x) − log p(z), whose mean over draws is the KL.
    """

    reconstruction: Tensor
    kl: Tensor


def weigh(traces: Traces, batch: Batch, num_particles: int) -> Weighted:
    """The importance weights of a run's draws.

    Masks are honoured, scales are not: a logsumexp of weights that a subsampled plate has multiplied by N / B is no
    bound on anything, and a mean of them is not per datapoint.
    """
    zero = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(num_particles, len(batch.x))
    reconstruction, kl = zero, zero

    def log_density(site: Any) -> Tensor:
        return per_datapoint(scale_and_mask(site["unscaled_log_prob"], mask=site["mask"]), batch, num_particles)

    for site in traces.model.nodes.values():
        if site["type"] == "sample":
            if site["is_observed"]:
                reconstruction = reconstruction + log_density(site)
            else:
                kl = kl - log_density(site)
    for name in traces.sampled():
        kl = kl + log_density(traces.guide.nodes[name])
    return Weighted(reconstruction, kl)


def latent_sites(trace: Trace) -> dict[str, Any]:
    """The sites that a program sampled, by name; a plate's choice of rows is none."""
    return {name: site for name, site in trace.iter_stochastic_nodes() if not site_is_subsample(site)}


def unwrapped(fn: Any) -> Any:
    """The distribution inside its wrappers: declared event dims, expansions, masks, transforms."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


@contextmanager
def frozen(*programs: nn.Module) -> Iterator[None]:
    """The programs as fixed densities: :func:`evaluating` them, without gradients and without validation."""
    with evaluating(*programs), torch.no_grad(), pyro.validation_enabled(False):
        yield


@contextmanager
def evaluating(*programs: nn.Module) -> Iterator[None]:
    """How programs are run by whatever is not a training step: in evaluation mode, and they are left as they were.

    Modes are put back after the block. So are buffers that a program moves in evaluation too, such as a count of its
    calls: of each block it then makes the same. Its parameters it may not change. Modules that a program keeps out of
    its own tree, as a guide that climbs its model's ELBO keeps the model, are treated alike. Parameters of any
    PyroModule stay out of Pyro's global store (:func:`ppl_vae.programs.program.local_params`). Other threads wait, and
    what the caller has switched on around it stays outside (:func:`ppl_vae.runtime.ambient.apart`).

    Raises:
        UserError: one is no module; or a program has changed one of its parameters, which the message names.
    """
    refuse_functions(*programs)
    with turn("an evaluation"), ExitStack() as stack:
        if _evaluated and all(id(program) in _evaluated for program in programs):  # by a block around this one
            yield
            return
        if not _evaluated:  # handlers between two blocks are ours
            stack.enter_context(apart())
        stack.enter_context(local_params())
        modules = [module for module in modules_behind(programs) if id(module) not in _evaluated]
        make_local(modules)
        buffers = [_Kept(module, name, value) for module in modules for name, value in _initialised(module._buffers)]
        params = [
            (module, name, value, version_of(value))
            for module in modules
            for name, value in _initialised(module._parameters)
        ]
        modes = [module.training for module in modules]
        ids = {id(module) for module in modules}
        _evaluated.update(ids)
        for module in modules:
            module.training = False
        try:
            yield
        finally:
            _evaluated.difference_update(ids)
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for buffer in buffers:
                buffer.put_back()
        for module, name, value, version in params:
            if module._parameters.get(name) is not value or version_of(value) != version:
                raise UserError(
                    f"{type(module).__name__} changes its parameter '{name}' as it runs, and only training may: do it "
                    "where self.training is true, or make it a buffer."
                )


_evaluated: set[int] = set()  # ids of the modules in evaluation; whoever reads it has the turn


class _Kept:
    """A buffer and what is in it."""

    def __init__(self, module: nn.Module, name: str, buffer: Tensor) -> None:
        self.module, self.name, self.buffer = module, name, buffer
        self.value, self.version = buffer.detach().clone(), version_of(buffer)

    def put_back(self) -> None:
        if version_of(self.buffer) != self.version:
            with torch.no_grad():
                self.buffer.copy_(self.value)
        self.module._buffers[self.name] = self.buffer  # a program may also put another tensor in its place


def _initialised(tensors: dict[str, Any]) -> list[tuple[str, Tensor]]:
    """Those that are there; a lazy module's come with its first call."""
    return [(name, value) for name, value in tensors.items() if value is not None and not nn.parameter.is_lazy(value)]


def version_of(tensor: Tensor) -> int:
    """Another number after every change in place. (What was made in inference mode cannot be changed so.)"""
    return 0 if tensor.is_inference() else tensor._version


def modules_behind(values: Iterable[Any]) -> list[nn.Module]:
    """All modules that these values run, each once.

    Args:
        values: modules, with all that are in them or that they hold in a list or tuple; methods of modules, and
            functions that know some.
    """
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()  # of functions, which may know themselves
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, nn.Module):
            new = [module for module in value.modules() if id(module) not in found]
            found |= {id(module): module for module in new}
            waiting += [each for module in new for each in vars(module).values()]
        elif isinstance(value, list | tuple):
            waiting += [each for each in value if isinstance(each, nn.Module)]
        elif inspect.ismethod(value):
            waiting.append(value.__self__)
        elif inspect.isfunction(value) and id(value) not in seen:
            seen.add(id(value))
            for cell in value.__closure__ or ():
                with suppress(ValueError):  # it is still empty
                    waiting.append(cell.cell_contents)
    return list(found.values())


@contextmanager
def constant(*programs: nn.Module) -> Iterator[None]:
    """Inside the block these programs' parameters are constants, so that no gradient is worked out for them."""
    params = [param for program in programs for param in program.parameters() if param.requires_grad]
    for param in params:
        param.requires_grad_(False)
    try:
        yield
    finally:
        for param in params:
            param.requires_grad_(True)
