"""How a guide draws its latents: as a map of its parameters and of noise that they have no part in, or not."""

from dataclasses import dataclass

import torch
from pyro.distributions import Delta
from torch import nn
from torch.distributions import (
    Cauchy,
    Distribution,
    Independent,
    Laplace,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from ppl_vae.programs.anatomy.trying import Sites, sites_of
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import points_of
from ppl_vae.programs.pair import frozen, unwrapped
from ppl_vae.programs.program import trace_program
from ppl_vae.programs.structure import graphical_model
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved

_STANDARD: dict[type[Distribution], str] = {Normal: "N(0, I)", Laplace: "Laplace(0, 1)", Cauchy: "Cauchy(0, 1)"}
_CORRELATED = (MultivariateNormal, LowRankMultivariateNormal)


@dataclass(frozen=True)
class Reparameterisation:
    """z as a deterministic map of noise, so that a gradient passes through it (Kingma and Welling 2014).

    Args:
        latents: names of the guide's latents, in its order.
        given: what of the batch q depends on: of "x" and "y", in this order.
        own: whether each datapoint has parameters of its own, φₙ.
        formula: the right side of z = …, such as "loc + scale · ε".
        noise: the distribution of ε, such as "N(0, I)".
    """

    latents: tuple[str, ...]
    given: tuple[str, ...]
    own: bool
    formula: str
    noise: str

    @property
    def parameters(self) -> str:
        """φ, or φₙ if each datapoint has its own."""
        return "φₙ" if self.own else "φ"


def reparameterised(guide: nn.Module, batch: Batch) -> Reparameterisation:
    """How a guide's draws depend on its parameters; random generators and parameters are left as they were.

    Args:
        guide: q(z | x).
        batch: a few datapoints that it has an answer to; two at least, for parameters of each to be told.

    Raises:
        UserError: no gradient reaches the guide's parameters through a draw: it puts a point somewhere, draws from a
            distribution whose draws cannot be differentiated, or learns nothing.
    """
    for name in points_of(guide, batch):
        raise UserError(f"'{name}' is a point: nothing is drawn, and the gradient passes through it as it is")
    graph = graphical_model(guide, batch)
    if not graph.parameters:
        raise UserError("the guide learns nothing, so no gradient has to reach it")
    with frozen(guide), preserved(batch.x.device):
        sites = {name: site for name, site in sites_of(trace_program(guide, batch)).items() if not site["is_observed"]}
        drawn = {name: site for name, site in sites.items() if not isinstance(unwrapped(site["fn"]), Delta)}
        for name, site in drawn.items():
            if not site["fn"].has_rsample:
                raise UserError(
                    f"'{name}' is drawn from a distribution whose draws carry no gradient; it is trained by the score "
                    "function"
                )
        latents = tuple(name for name, site in sites.items() if not site["infer"].get("is_auxiliary"))
        given = tuple(each.name for each in graph.variables if each.distribution is None)
        parameters = Reparameterisation(latents, given, any(each.plates for each in graph.parameters), "", "")
        formula, noise = _formula(sites, drawn) or (
            f"T(ε; {', '.join((parameters.parameters, *given))})",
            _noise(drawn),
        )
    return Reparameterisation(latents, given, parameters.own, formula, noise)


def _formula(sites: Sites, drawn: Sites) -> tuple[str, str] | None:
    """z and its noise where all draws are of one location-scale family, and what is cut from a vector is as it was."""
    found = {_location_scale(site["fn"]) for site in drawn.values()}
    if len(found) != 1 or None in found:
        return None
    images = [site["value"] for name, site in sites.items() if name not in drawn]
    if images:
        if len(drawn) != 1:
            return None
        (vector,) = (site["value"] for site in drawn.values())
        together = torch.cat([image.reshape(len(vector), -1) for image in images], dim=-1)
        if together.shape != vector.shape or not torch.equal(together, vector):
            return None
    return found.pop()


def _location_scale(fn: Distribution) -> tuple[str, str] | None:
    while isinstance(fn, Independent):
        fn = fn.base_dist
    if isinstance(fn, _CORRELATED):
        return "loc + L ε", "N(0, I)"
    for kind, noise in _STANDARD.items():
        if isinstance(fn, kind):
            return "loc + scale · ε", noise
    return None


def _noise(drawn: Sites) -> str:
    """Of the draws at the start of their maps, as far as it is known."""
    bases = {next((noise for kind, noise in _STANDARD.items() if isinstance(unwrapped(site["fn"]), kind)),
                  "N(0, I)" if isinstance(unwrapped(site["fn"]), _CORRELATED) else "p(ε)")
             for site in drawn.values()}  # fmt: skip
    return bases.pop() if len(bases) == 1 else "p(ε)"
