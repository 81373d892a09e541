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
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import ProvenanceTensor, detach_provenance, get_provenance, track_provenance
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, TransformedDistribution
from torch.overrides import TorchFunctionMode

from ppl_vae.programs.anatomy.trying import Parents, Sites, learned, log_prob_of, sites_of, tried
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.pair import frozen, unwrapped
from ppl_vae.programs.program import trace_program
from ppl_vae.runtime.seeding import preserved

_GIVEN = ("x", "y", "c")  # what of a batch a variable may depend on


@dataclass(frozen=True)
class Variable:
    """A random variable, or a part of the batch that the program is given.

    Args:
        name: of the site, or "x", "y" or "c".
        distribution: its name, such as "Normal", or "N(0, I)" where that is what it is whatever is learned; None for a
            part of the batch, which has none.
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
class Parameters:
    """Learned parameters of a program: θ of a model, φ of a guide.

    Args:
        children: names of the variables whose distributions depend on them directly.
        plates: names of the plates that they are in, from the outside: none if all datapoints share them, the
            datapoints' if each has its own.
    """

    children: tuple[str, ...]
    plates: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphicalModel:
    """What a program's variables are and how they hang together.

    Args:
        variables: parents before children, except where a program reads the value of x and observes it too.
        plates: size of each plate by name, as the program was run.
        parameters: those that all datapoints share, those that each has of its own, or both; empty where nothing is
            learned.
    """

    variables: tuple[Variable, ...]
    plates: dict[str, int]
    parameters: tuple[Parameters, ...] = ()


def graphical_model(program: nn.Module, batch: Batch) -> GraphicalModel:
    """Read a model's or a guide's structure; random generators and parameters are left as they were.

    A vector that a guide draws all latents from in one piece (``infer={"is_auxiliary": True}``) is left out: what is
    cut from it depends on what the vector depends on, and is named after its distribution.

    Args:
        program: a model or guide.
        batch: a few datapoints that it accepts; two at least, for parameters that each has of its own to be told.

    Raises:
        UserError: the program does not run on the batch.
    """
    with frozen(program):
        sites, parents = _sites_and_parents(program, batch)
        found = learned(program, batch)
        variables = _variables(sites, parents, found.shared | found.own)
    plates = {frame.name: int(frame.size) for site in sites.values() for frame in _plates(site)}
    vectors = {variable.name: _cut_from(variable.name, sites, parents) for variable in variables}

    def parameters(names: frozenset[str], own: bool) -> Parameters:
        children = [each for each in variables if each.name in names or set(vectors[each.name]) & names]
        around = [each for each in children[0].plates if plates[each] == len(batch.x)] if own else []
        return Parameters(tuple(each.name for each in children), tuple(around[:1]))

    behind = [parameters(names, own) for names, own in ((found.shared, False), (found.own, True)) if names]
    return GraphicalModel(tuple(variables), plates, tuple(behind))


def _sites_and_parents(program: nn.Module, batch: Batch) -> tuple[Sites, Parents]:
    try:
        return _tracked(program, batch)
    except Exception:  # whatever an operation that knows no provenance makes of such a tensor
        return tried(program, batch)


def _variables(sites: Sites, parents: Parents, learned_ones: frozenset[str]) -> list[Variable]:
    auxiliary = {name for name, site in sites.items() if site["infer"].get("is_auxiliary")}
    order = [*_GIVEN, *sites]
    variables: list[Variable] = []
    for name, site in sites.items():
        if name in auxiliary:
            continue
        cut_from = _cut_from(name, sites, parents)
        behind = parents[name].union(*(parents[each] for each in cut_from)) - auxiliary - {name}
        kind = f"transformed {_kind(sites[cut_from[0]]['fn'])}" if cut_from else _kind(site["fn"])
        if not behind and name not in learned_ones:
            kind = _standard(site["fn"]) or kind
        plates = tuple(frame.name for frame in sorted(_plates(site), key=lambda frame: frame.dim))
        variables.append(
            Variable(name, kind, bool(site["is_observed"]), tuple(sorted(behind, key=order.index)), plates)
        )
    for part in sorted(set(_GIVEN) - set(sites), key=_GIVEN.index, reverse=True):
        children = [variable for variable in variables if part in variable.parents]
        if children:
            variables.insert(0, Variable(part, None, True, (), children[0].plates))
    return variables


def _cut_from(name: str, sites: Sites, parents: Parents) -> list[str]:
    """The vectors that a variable is a part of."""
    return [each for each in parents.get(name, ()) if sites.get(each, {"infer": {}})["infer"].get("is_auxiliary")]


def reads_labels(model: nn.Module, batch: Batch) -> bool:
    """Whether x, or a latent, depends on the labels: then x can be drawn, and z decoded, for given labels only.

    A model that observes the labels under a distribution of their own generates them, and does not read them.

    Args:
        model: p(x, z), or p(x, z | y).
        batch: a few datapoints that it accepts; without labels the answer is no.

    Raises:
        UserError: the model does not run on the batch.
    """
    return batch.y is not None and _reads("y", model, batch)


def reads_conditions(model: nn.Module, batch: Batch) -> bool:
    """Whether x, or a latent, depends on the conditions ``batch.c``; without any the answer is no. As
    :func:`reads_labels`."""
    return batch.c is not None and _reads("c", model, batch)


def _reads(part: str, model: nn.Module, batch: Batch) -> bool:
    with frozen(model):
        variables = _variables(*_sites_and_parents(model, batch), frozenset())
    return any(part in each.parents for each in variables if each.name == "x" or not each.observed)


def _tracked(program: nn.Module, batch: Batch) -> tuple[Sites, Parents]:
    """The sites, and the names that each one's log-density carries."""

    def named(value: Tensor | None, name: str) -> Tensor | None:
        return None if value is None else ProvenanceTensor(value, frozenset({name}))

    given = {name: named(getattr(batch, name), name) for name in _GIVEN}
    known = Batch(cast(Tensor, given["x"]), given["y"], batch.index, c=given["c"])
    with preserved(batch.x.device), TrackProvenance(), _ValuesOnly():
        sites = sites_of(trace_program(program, known))
        found = {name: set(get_provenance(log_prob_of(site, site["value"]))) for name, site in sites.items()}
    variables = {*_GIVEN, *sites}  # parameters have names too
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


def _plates(site: Any) -> list[Any]:
    return [frame for frame in site["cond_indep_stack"] if frame.vectorized]


def _standard(fn: Any) -> str | None:
    """N(0, I), or N(0, 1) of a single number, where that is what a distribution is by its numbers."""
    inner = unwrapped(fn)
    single = not fn.event_shape
    if isinstance(inner, Normal):
        standard = (inner.loc == 0).all() and (inner.scale == 1).all()
    elif isinstance(inner, MultivariateNormal):
        unit = torch.eye(inner.event_shape[0], dtype=inner.loc.dtype, device=inner.loc.device)
        standard = (inner.loc == 0).all() and (inner.scale_tril == unit).all()
    else:
        return None
    is_mapped = isinstance(fn, TransformedDistribution)
    return None if is_mapped or not standard else "N(0, 1)" if single else "N(0, I)"


def _kind(fn: Any) -> str:
    """The distribution's public name, without the wrappers that change its shape only."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution", "MaskedDistribution"):
        fn = fn.base_dist
    if type(fn).__name__ == "TransformedDistribution":
        return f"transformed {_kind(fn.base_dist)}"
    return next(kind.__name__ for kind in type(fn).__mro__ if not kind.__name__.startswith("_"))
