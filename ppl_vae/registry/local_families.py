"""The families that ``ppl-vae gaps`` can fit to a datapoint alone."""

from pyro.distributions import Delta
from torch import nn

from ppl_vae.guides import Family
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import unwrapped
from ppl_vae.programs.parts import factored, has_learned, neutral
from ppl_vae.registry.factories import EVERY_FAMILY, FAMILIES, family_name
from ppl_vae.registry.settings import NOTHING, settings_of
from ppl_vae.runtime.errors import UserError, unknown_name
from ppl_vae.runtime.seeding import seeded


def local_families(guide: nn.Module, latents: Latents, names: tuple[str, ...]) -> dict[str, Family]:
    """The families to fit, by name: the guide's own is the guide's own object, with what it has learned and was set of
    it; others have the defaults of their settings.

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
    families: dict[str, Family] = {}
    for name in names:
        if learned is not None and name == own:
            families[name] = learned
        elif name not in EVERY_FAMILY:
            raise unknown_name("family", name, dict.fromkeys([*fitted_alone(), *([own] if own else [])]))
        else:
            families[name] = _made_alone(name, latents.size)
    return families


def fitted_alone() -> list[str]:
    """The names of the families that can be fitted to a datapoint whatever family the guide has."""
    return [name for name in EVERY_FAMILY if not _why_not(name)]


def _made_alone(name: str, size: int) -> Family:
    if why := _why_not(name, size):
        raise UserError(f"family '{name}' {why}")
    return _made(name, size)


def _why_not(name: str, size: int = 2) -> str:
    """Why a family cannot be fitted alone, in words that go on after its name; "" if it can."""
    needed = [each.name for each in settings_of(EVERY_FAMILY[name]).values() if each.default is NOTHING]
    if needed:
        return (
            f"needs `{needed[0]}`, which is set in training; name another, or in Python pass the family itself to "
            "ppl_vae.inference_gaps."
        )
    if name not in FAMILIES or has_learned(family := _made(name, size)):
        return "has networks, which only a guide of that family has learned; name another."
    if isinstance(unwrapped(neutral(family)), Delta):
        return "is a point, which has no density, so that there is no gap to log p(x); name another."
    return ""


def _made(name: str, size: int) -> Family:
    with seeded(0):  # networks draw their start
        return FAMILIES[name](size)
