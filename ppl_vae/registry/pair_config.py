"""The names of a pair's parts, and what is set of their settings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

from ppl_vae.networks.architecture import READ_BY, Networks
from ppl_vae.registry.factories import GUIDES, TABLES, Factory, Sizes
from ppl_vae.registry.files import find, names_file
from ppl_vae.registry.settings import Setting, described, is_plain, offered_by, parameters_of, plain
from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError, nearest, unknown_name

OPTIONAL_PARTS = ("family", "likelihood", "prior", "net")
"""What not every model or guide reads."""

AUTO: Final = "auto"
"""In place of a part: to be chosen by the data, see :mod:`ppl_vae.registry.suited`."""


@config
class PairConfig:
    """Which model and guide, of which parts; and the settings of these makers, as far as they are set.

    Args:
        model: The generative program p(x, z). Hierarchical is z2 → z1 → x. Auto is sequence for text and music, vae for
            all else.
        guide: The variational program q(z | x).
        family: What q is. Bottom-up is q(z1 | x) q(z2 | z1).
        likelihood: What the decoder's output means. Bernoulli is for bits; continuous-bernoulli and normal (its scale
            learned) are for grey levels, with `binarization` none; normal and student-t for real numbers; poisson and
            the negative binomials for counts; columns for a table of several kinds. Auto is what suits the data.
        prior: p(z). Mixture is of Gaussians; vamp, of the guide's posteriors at learned pseudo-inputs.
        net: Encoder and decoder of our models and guides: fully connected (mlp), or convolutional (data of images
            only). Auto is conv for photographs and images in colour.
        settings: by name, numbers, words and lists of them; what is not here has the default of its signature.
    """

    model: str = "vae"
    guide: str = "amortized"
    family: str = "diagonal"
    likelihood: str = "bernoulli"
    prior: str = "standard-normal"
    net: Literal["auto", "mlp", "conv"] = "mlp"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have the settings as they are recorded, lists for tuples, so that equal ones are equal.

        Raises:
            ValueError: a setting is none, which in a record that was changed by hand may be.
        """
        for name, value in self.settings.items():
            if not name.isidentifier() or not is_plain(value):
                raise ValueError(f"{name} is to be a number, a word or a list of them")
        object.__setattr__(self, "settings", {name: plain(value) for name, value in self.settings.items()})

    @property
    def parts(self) -> dict[str, str]:
        """The names of the parts, by kind."""
        return {kind: getattr(self, kind) for kind in TABLES}

    @property
    def chosen(self) -> list[str]:
        """What is set: the parts that are not the usual ones, and the settings."""
        return [*(kind for kind in OPTIONAL_PARTS if getattr(self, kind) != getattr(PairConfig, kind)), *self.settings]

    @property
    def in_words(self) -> str:
        """The pair as captions name it; a guide of the user's own has no family."""
        model, likelihood, prior = (Path(name).name for name in (self.model, self.likelihood, self.prior))
        unusual = [
            words
            for words, usual in (
                (f"{likelihood} likelihood", self.likelihood == PairConfig.likelihood),
                (f"{prior} prior", self.prior == PairConfig.prior),
            )
            if not usual
        ]
        return ", ".join([model, self.guide_in_words, *unusual])

    @property
    def guide_in_words(self) -> str:
        """The guide as a parameterisation × a family; one of the user's own has no family."""
        guide, family = (Path(name).name for name in (self.guide, self.family))
        return guide if names_file(self.guide) else f"{guide} × {family}"

    def absolute(self) -> "PairConfig":
        """The same with a user's files by absolute path, good from any working directory."""
        files = {kind: str(Path(name).absolute()) for kind, name in self.parts.items() if names_file(name)}
        return replace(self, **cast(dict[str, Any], files))


def help_of_parts() -> dict[str, str]:
    """What each part of a pair is, and which of them have names: the help of its flag."""
    said = described(PairConfig)
    for kind, table in TABLES.items():
        what, _, more = said[kind].partition(". ")
        said[kind] = f"{what.removesuffix('.')}: {', '.join(table)}, or path/to/file.py:Class. {more}".strip()
    return said


def split_guide(name: str) -> tuple[str, str]:
    """GUIDE or GUIDE:FAMILY as (guide, family); a user's file keeps its own colon."""
    guide, _, family = name.partition(":")
    if guide not in GUIDES and names_file(name):
        return name, PairConfig.family
    return guide, family or PairConfig.family


def makers_of(settings: PairConfig) -> dict[str, Factory]:
    """What makes the parts of a pair, by kind; of those that are yet to be chosen nothing.

    Raises:
        UserError: unknown names, or a user's file that cannot be used.
    """
    return {kind: find(kind, name) for kind, name in settings.parts.items() if name != AUTO}


def offered_to(*pairs: PairConfig) -> dict[str, Setting]:
    """All settings that may be set beside these names: those of the named makers, then those of all of ours."""
    return offered_beside([maker for pair in pairs for maker in makers_of(pair).values()])


def unusual(pair: PairConfig, usual: PairConfig | None = None) -> dict[str, Any]:
    """The parts and settings of a pair that are not the usual ones, by default those of :class:`PairConfig`."""
    usual = usual or PairConfig()
    parts = {kind: getattr(pair, kind) for kind in (*TABLES, "net")}
    offered = offered_to(pair)
    return {kind: name for kind, name in parts.items() if name != getattr(usual, kind)} | {
        name: value
        for name, value in pair.settings.items()
        if name not in offered or value != plain(offered[name].default)
    }


def our_settings() -> dict[str, Setting]:
    """The settings of all of our makers."""
    return offered_beside([])


def offered_beside(named: Sequence[Callable[..., object]]) -> dict[str, Setting]:
    """The settings of these makers, then those of all of ours."""
    ours = (maker for table in TABLES.values() for maker in table.values())
    return offered_by([*named, Sizes, Networks, *ours])


def unread_error(names: Sequence[str], known: Iterable[str]) -> UserError:
    """The error for what was set and nothing in a pair reads.

    Args:
        names: of it, at least one.
        known: of all that could have been set: of what is none of them it says the nearest, of others what reads them.
    """
    known = list(known)
    for name in names:
        if name not in known:
            return unknown_name("setting", name, known)
    each = ((f"`{name}`: nothing in this pair reads it", "; ".join(readers_of(name))) for name in names)
    return UserError(" ".join(f"{what}; what does: {readers}." if readers else f"{what}." for what, readers in each))


def refuse_unknown(pair: PairConfig) -> None:
    """See that what is set is known, whether this pair reads it or not: a record of an earlier version has both.

    Raises:
        UserError: it is the setting of no maker, named or ours.
    """
    known = offered_to(pair)
    for name in pair.settings:
        if name not in known:
            near = nearest(name, known)
            raise UserError(f"there is no setting `{name}`; {f'did you mean `{near}`?' if near else 'take it out.'}")


def why_none(name: str, pairs: Sequence[PairConfig]) -> str:
    """Why there is no setting of a name, in words.

    Args:
        name: of the setting.
        pairs: that it was meant for; none where a trained one is used.
    """
    if not pairs:
        readers = "; ".join(readers_of(name))
        return f"it is set in training, for {readers}" if readers else ""
    for pair in pairs:
        for kind, maker in makers_of(pair).items():
            if parameter := parameters_of(maker).get(name):
                why = (
                    "a setting's type is a number, a word, yes or no, a choice (Literal) or several of them"
                    if parameter.kind is parameter.KEYWORD_ONLY
                    else "only a keyword-only parameter (after *) is a setting"
                )
                return f"{kind} {pair.parts[kind]} takes it, but {why}"
    return "no part of this pair has a setting of that name"


def readers_of(name: str) -> list[str]:
    """What of ours reads a setting or a part, in words."""
    asked = {"prior": {"prior", "make_prior"}, "net": {"decoder", "networks"}}.get(name, {name})
    sized = ("family", "prior") if name == "latent_dim" else ()  # by what the model's latents come to
    found = [
        f"`{kind}` {', '.join(makers)}"
        for kind, table in TABLES.items()
        if kind not in sized
        and (makers := [key for key, maker in table.items() if asked & parameters_of(maker).keys()])
    ]
    if name in READ_BY["mlp"]:
        found.append("models and guides with networks")
    elif name in READ_BY["conv"]:
        found.append("`net` conv")
    return found
