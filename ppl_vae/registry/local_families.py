"""The families that can be fitted to a datapoint alone, by name; and the inference gap taken apart by them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pyro.distributions import Delta
from torch import nn

from ppl_vae.data import Dataset
from ppl_vae.evaluation import GapsConfig, InferenceGaps, gaps_by_family
from ppl_vae.guides import Family
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import unwrapped
from ppl_vae.programs.parts import factored, has_learned, neutral
from ppl_vae.registry.factories import EVERY_FAMILY, FAMILIES, Factory, family_name
from ppl_vae.registry.files import construct, find, names_file
from ppl_vae.registry.settings import NOTHING, settings_of
from ppl_vae.runtime.errors import UserError, unknown_name
from ppl_vae.runtime.seeding import seeded


def inference_gaps(
    model: nn.Module,
    guide: nn.Module,
    families: Mapping[str, Family] | Sequence[str | type],
    data: Dataset | Mapping[str, Dataset],
    settings: GapsConfig | None = None,
    infer: InferConfig | None = None,
    **named: Any,
) -> InferenceGaps:
    """Take the inference gap of a trained pair apart, by a q of each family fitted to each datapoint alone.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it.
        families: by name, as ``["diagonal", "full-rank"]``, or classes; the guide's own is taken with what it has
            learned, others with the defaults of their settings, and of none the guide's own and full-rank. Or a
            mapping from names of yours to families that are made already.
        data: the datapoints, on the device of the pair; or several data sets, by name.
        settings, infer, named: as for :func:`ppl_vae.evaluation.gaps_by_family`, which has the rest.

    Raises:
        UserError: unknown family, or one that cannot be fitted to a datapoint; or as there.
    """
    if not isinstance(families, Mapping):
        first = data if isinstance(data, Dataset) else next(iter(data.values()))
        asked = (families,) if isinstance(families, str | type) else tuple(families)
        families = local_families(guide, Latents.of(model, first.probe()), asked)
    return gaps_by_family(model, guide, families, data, settings, infer, **named)


def local_families(guide: nn.Module, latents: Latents, names: Sequence[str | type]) -> dict[str, Family]:
    """The families to fit, by name: the guide's own is the guide's own object, with what it has learned and was set of
    it; others have the defaults of their settings.

    Args:
        guide: the run's.
        latents: of the run's model.
        names: what was asked for, also classes, and ``path/to/file.py:Class``, which then goes by the name of its
            class; none means the guide's own and full-rank.

    Raises:
        UserError: unknown family, or one that cannot be fitted to a datapoint.
    """
    parts = factored(guide)
    learned: Family | None = parts.family if parts else None
    own = family_name(learned)
    ours = {maker: name for name, maker in EVERY_FAMILY.items()}
    names = names or tuple(dict.fromkeys([own or "diagonal", "full-rank"]))
    names = [ours.get(name, name) if isinstance(name, type) else name for name in names]
    called = [_short(name) for name in names]
    if len(set(called)) < len(names):
        raise UserError("`families`: name each family once.")
    sizes, families = tuple(site.size for site in latents.sites), dict[str, Family]()
    for asked, short in zip(names, called, strict=True):
        name, maker = (short, asked) if isinstance(asked, type) else (asked, _maker(asked))
        if learned is not None and (name == own or type(learned) is maker):
            families[own or name] = learned
        elif maker is None:
            known = [*fitted_alone(), *([own] if own else []), "path/to/file.py:Class"]
            raise unknown_name("family", name, dict.fromkeys(known))
        elif why := _why_not(name, maker, sizes):
            raise UserError(f"family '{name}' {why}")
        else:
            families[short] = _made(name, maker, sizes)
    return families


def _short(name: str | type) -> str:
    """What a family is called in a result."""
    if isinstance(name, type):
        return name.__name__
    return name.rpartition(":")[2] if names_file(name) else name


def _maker(name: str) -> Factory | None:
    return find("family", name) if names_file(name) else EVERY_FAMILY.get(name)


def fitted_alone() -> list[str]:
    """The names of the families that can be fitted to a datapoint whatever family the guide has."""
    return [name for name, maker in EVERY_FAMILY.items() if not _why_not(name, maker)]


def _why_not(name: str, maker: Factory, sizes: tuple[int, ...] = (2,)) -> str:
    """Why a family cannot be fitted alone, in words that go on after its name; "" if it can."""
    needed = [each.name for each in settings_of(maker).values() if each.default is NOTHING]
    if needed:
        return (
            f"needs `{needed[0]}`, which is set in training; name another, or in Python pass the family itself to "
            "ppl_vae.inference_gaps."
        )
    goes_by_layers = name in EVERY_FAMILY and name not in FAMILIES
    if goes_by_layers or has_learned(family := _made(name, maker, sizes)):
        return "has networks, which only a guide of that family has learned; name another."
    if isinstance(unwrapped(neutral(family)), Delta):
        return "is a point, which has no density, so that there is no gap to log p(x); name another."
    return ""


def _made(name: str, maker: Factory, sizes: tuple[int, ...]) -> Family:
    with seeded(0):  # networks draw their start
        return cast(
            Family, construct("family", name, maker, {"latent_dim": lambda: sum(sizes), "sizes": lambda: sizes})
        )
