"""The families that ``ppl-vae gaps`` can fit to a datapoint alone."""

import torch
from pyro.distributions import Delta
from torch import nn

from ppl_vae.guides import Family
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import unwrapped
from ppl_vae.programs.parts import factored, has_learned
from ppl_vae.registry.factories import FAMILIES, FAMILY_NAMES, family_name
from ppl_vae.runtime.errors import UserError, unknown_name
from ppl_vae.runtime.seeding import seeded


def local_families(guide: nn.Module, latents: Latents, names: tuple[str, ...]) -> dict[str, Family]:
    """The families to fit, by name; the guide's own is the guide's own object, with what it has learned.

    Args:
        guide: the run's.
        latents: of the run's model.
        names: what was asked for; none means the guide's own and full-rank.

    Raises:
        UserError: unknown family, or one that cannot be fitted to a datapoint.
    """
    parts = factored(guide)
    learned: Family | None = parts.family if parts else None
    own = family_name(learned)
    names = names or tuple(dict.fromkeys([own or "diagonal", "full-rank"]))
    if len(set(names)) < len(names):
        raise UserError("`families`: name each family once.")
    with seeded(0):  # networks draw their start
        fresh = {name: make(latents.size) for name, make in FAMILIES.items()}
    networks = {name for name in FAMILY_NAMES if name not in fresh or has_learned(fresh[name])}
    local = {name: family for name, family in fresh.items() if name not in networks and not _is_point(family)}
    families: dict[str, Family] = {}
    for name in names:
        if learned is not None and name == own:
            families[name] = learned
            continue
        if name in networks:
            raise UserError(
                f"family '{name}' has networks, which only a guide of that family has learned; name another."
            )
        if name not in local:
            raise unknown_name("family", name, dict.fromkeys([*local, *([own] if own else [])]))
        families[name] = local[name]
    return families


def _is_point(family: Family) -> bool:
    return isinstance(unwrapped(family(torch.zeros(1, family.num_params))), Delta)
