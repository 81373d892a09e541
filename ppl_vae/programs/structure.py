"""The graphical model of a Pyro program, read from the program itself: its random variables and what they depend on.

The program is run once while the batch's tensors and every draw carry their names along through all that is worked
out from them (Pyro's provenance tracking, on which ``pyro.render_model`` is built too): a variable depends on the names
that its log-density carries. Unlike Pyro's own, this also sees the batch's x and y, on which a guide depends, and a
tensor that lends another its shape or type alone is nothing that it depends on. Where a program does what provenance
cannot be carried through, what it depends on is found by trying.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from pyro import poutine
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import ProvenanceTensor, detach_provenance, get_provenance, track_provenance
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.program import trace_program
from ppl_vae.runtime.seeding import preserved

_Sites = dict[str, Any]
_Parents = dict[str, set[str]]


@dataclass(frozen=True)
class Variable:
    """A random variable, or a part of the batch that the program is given.

    Args:
        name: of the site, or "x" or "y".
        distribution: its name, such as "Normal"; None for a part of the batch, which has none.
        observed: whether its value is given.
        parents: names of the variables that it depends on directly.
        plates: names of the plates that it is in, from the outside.
    """

    name: str
    distribution: str | None
    observed: bool
    parents: tuple[str, ...]
    plates: tuple[str, ...]


@dataclass(frozen=True)
class GraphicalModel:
    """What a program's variables are and how they hang together.

    Args:
        variables: parents before children, except where a program reads the value of x and observes it too.
        plates: size of each plate by name, as the program was run.
    """

    variables: tuple[Variable, ...]
    plates: dict[str, int]


def graphical_model(program: nn.Module, batch: Batch) -> GraphicalModel:
    """Read a model's or a guide's structure; random generators and parameters are left as they were.

    A vector that a guide draws all latents from in one piece (``infer={"is_auxiliary": True}``) is left out: what is
    cut from it depends on what the vector depends on, and is named after its distribution.

    Args:
        program: a model or guide.
        batch: a few datapoints that it accepts.

    Raises:
        UserError: the program does not run on the batch.
    """
    with frozen(program):
        try:
            sites, parents = _tracked(program, batch)
        except Exception:  # whatever an operation that knows no provenance makes of such a tensor
            sites, parents = _tried(program, batch)
    auxiliary = {name for name, site in sites.items() if site["infer"].get("is_auxiliary")}
    given = {"x", "y"} - set(sites)
    variables: list[Variable] = []
    for name, site in sites.items():
        if name in auxiliary:
            continue
        cut_from = [each for each in parents[name] if each in auxiliary]
        behind = parents[name].union(*(parents[each] for each in cut_from)) - auxiliary - {name}
        kind = f"transformed {_kind(sites[cut_from[0]]['fn'])}" if cut_from else _kind(site["fn"])
        plates = tuple(frame.name for frame in sorted(_plates(site), key=lambda frame: frame.dim))
        order = ["x", "y", *sites]
        variables.append(
            Variable(name, kind, bool(site["is_observed"]), tuple(sorted(behind, key=order.index)), plates)
        )
    for part in sorted(given, reverse=True):
        children = [variable for variable in variables if part in variable.parents]
        if children:
            variables.insert(0, Variable(part, None, True, (), children[0].plates))
    return GraphicalModel(tuple(variables), {f.name: int(f.size) for site in sites.values() for f in _plates(site)})


def reads_labels(model: nn.Module, batch: Batch) -> bool:
    """Whether x, or a latent, depends on the labels: then x can be drawn, and z decoded, for given labels only.

    A model that observes the labels under a distribution of their own generates them, and does not read them.

    Args:
        model: p(x, z), or p(x, z | y).
        batch: a few datapoints that it accepts; without labels the answer is no.

    Raises:
        UserError: the model does not run on the batch.
    """
    if batch.y is None:
        return False
    generated = (each for each in graphical_model(model, batch).variables if each.name == "x" or not each.observed)
    return any("y" in each.parents for each in generated)


def _tracked(program: nn.Module, batch: Batch) -> tuple[_Sites, _Parents]:
    """The sites, and the names that each one's log-density carries."""

    def named(value: Tensor | None, name: str) -> Tensor | None:
        return None if value is None else ProvenanceTensor(value, frozenset({name}))

    known = Batch(cast(Tensor, named(batch.x, "x")), named(batch.y, "y"), batch.index)
    with preserved(batch.x.device), TrackProvenance(), _ValuesOnly():
        sites = _sites(trace_program(program, known))
        found = {name: set(get_provenance(_log_prob(site, site["value"]))) for name, site in sites.items()}
    variables = {"x", "y", *sites}  # parameters have names too
    return sites, {name: behind & variables - {name} for name, behind in found.items()}


_LIKE = frozenset(
    getattr(torch, f"{kind}_like") for kind in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")
) | frozenset(getattr(Tensor, f"new_{kind}") for kind in ("zeros", "ones", "empty", "full", "tensor", "empty_strided"))
_TOGETHER = frozenset({torch.broadcast_tensors})  # each lends the others its shape
_AS = frozenset({Tensor.to, Tensor.type_as, Tensor.expand_as, Tensor.view_as, Tensor.reshape_as})


class _ValuesOnly(TorchFunctionMode):
    """Inside the block a tensor that lends another its shape, dtype or device alone does not pass its names on."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _LIKE:  # what they are filled with is another argument
            filled = get_provenance([args[1:], {name: value for name, value in kwargs.items() if name != "input"}])
            return track_provenance(func(*detach_provenance(args), **detach_provenance(kwargs)), filled)
        if func in _AS:
            args, kwargs = (*args[:1], *detach_provenance(args[1:])), detach_provenance(kwargs)
        elif func in _TOGETHER:
            alike = func(*detach_provenance(args))
            return type(alike)(
                track_provenance(value, get_provenance(given)) for value, given in zip(alike, args, strict=True)
            )
        return func(*args, **kwargs)


def _tried(program: nn.Module, batch: Batch) -> tuple[_Sites, _Parents]:
    """The sites, and for each what changes its density when it is given another value, all else as it was."""
    with preserved(batch.x.device):
        first = trace_program(program, batch)
        others = _sites(trace_program(program, batch))
    sites = _sites(first)

    def affected(changed: Batch, trace: Any) -> set[str]:
        with preserved(batch.x.device):
            again = _sites(trace_program(program, changed, poutine.replay(program, trace=trace)))
        return {
            name
            for name, site in sites.items()
            if not torch.equal(_log_prob(again[name], site["value"]), _log_prob(site, site["value"]))
        }

    children = {"x": affected(batch._replace(x=1 - batch.x), first)}
    if batch.y is not None:
        children["y"] = affected(batch._replace(y=(batch.y == 0).to(batch.y.dtype)), first)
    for name, site in sites.items():
        if not site["is_observed"]:
            edited = first.copy()
            cast(Any, edited.nodes)[name] = {**site, "value": others[name]["value"]}
            children[name] = affected(batch, edited)
    return sites, {name: {each for each, found in children.items() if name in found} - {name} for name in sites}


def _sites(trace: Any) -> _Sites:
    return {n: site for n, site in trace.nodes.items() if site["type"] == "sample" and not site_is_subsample(site)}


def _plates(site: Any) -> list[Any]:
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized]


def _log_prob(site: Any, value: Tensor) -> Tensor:
    log_prob: Tensor = site["fn"].log_prob(value)
    return log_prob


def _kind(fn: Any) -> str:
    """The distribution's public name, without the wrappers that change its shape only."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    if type(fn).__name__ == "TransformedDistribution":
        return f"transformed {_kind(fn.base_dist)}"
    return next(kind.__name__ for kind in type(fn).__mro__ if not kind.__name__.startswith("_"))
