"""What suits the data where nobody has said: model, likelihood and networks, said in one line.

    bits, grey levels (as bits)             Bernoulli likelihood
    photographs, colour                     Normal likelihood, convolutional networks
    grey levels (as they are), reals        Normal likelihood
    counts                                  Poisson likelihood
    columns of several kinds, categories    for each column the likelihood of its kind
    text, music                             the sequence model

How grey levels become bits is the data's (:func:`ppl_vae.data.binarization.suiting`), unless a likelihood is set: then
it is what that likelihood is of. One of counts or codes is given a file's integers as they are, images' too.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, cast

from torch import nn

from ppl_vae.data import DataConfig, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.data.kinds import IN_WORDS, Kind, kind_of
from ppl_vae.data.loading import reader_for, split
from ppl_vae.data.sources import reads
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.check import takes_bits_alone, takes_counts
from ppl_vae.registry.build import Assembly
from ppl_vae.registry.files import find
from ppl_vae.registry.pair_config import AUTO, PairConfig
from ppl_vae.registry.settings import parameters_of
from ppl_vae.runtime.config import checked
from ppl_vae.runtime.seeding import seeded

_CONVOLVED = 8  # pixels of height and width, from which convolutions see more than a dense layer does

_BINARIZABLE: tuple[Kind, ...] = ("grey levels", "photographs", "colour")
_BINARIZED = {"dynamic": "bits drawn from x anew at every visit", "static": "bits drawn from x once"}
_LIKELIHOODS: dict[Kind, str] = {**dict.fromkeys(("bits", "text", "music"), "bernoulli"), "counts": "poisson"}


class Suited(NamedTuple):
    """A pair that suits the data.

    Args:
        pair: with nothing left to be chosen.
        chosen: the names of what was chosen: of ``model``, ``likelihood``, ``net`` and ``binarization``.
        words: in one line, what was chosen, why, and the settings for another; empty if nothing depended on the data.
        told: the names of what that line is about.
        why: what the data is, as the end of "since ...".
    """

    pair: PairConfig
    chosen: tuple[str, ...]
    words: str
    told: tuple[str, ...]
    why: str


def data_for(data: DataConfig, pair: PairConfig, x: Any = None, y: Any = None) -> Splits:
    """The data, its binarization and the scale of its integers chosen where nobody has: by what the pair takes where
    its likelihood is not to be chosen, else by the numbers.

    A program that takes bits alone is given bits, drawn anew at every visit; one of counts or codes the integers of a
    file as they are; any other has x as it is.

    Args:
        data: which, and how to read and split it.
        pair: that is to see it.
        x: an array of observations in place of the data that is named, ``(N, *event)``.
        y: labels beside them, ``(N,)``.

    Raises:
        UserError: as :func:`ppl_vae.load`; or the pair's parts are unknown.
    """
    reader = reader_for(data if x is None else x, y)
    held: dict[int | None, Any] = {}  # by the one setting of those changed below that reading depends on

    def read(**changes: Any) -> Splits:
        config = checked(replace(data, **changes))
        if config.integer_scale not in held:
            held[config.integer_scale] = reader(config)
        found = split(held[config.integer_scale], config)
        return found if x is None else found._replace(settings=None)

    fixed = pair.likelihood != AUTO or (pair.model != AUTO and not _reads_likelihood(find("model", pair.model)))
    if not fixed:
        return read()
    scaled = x is not None or reads(data.data, "integer_scale")
    if data.integer_scale is None and data.binarization in ("auto", "none") and scaled:
        found = read(binarization="none")
        if found.scale > 1:
            whole = split(held[None]._replace(scale=0), replace(data, binarization="none"))
            if _takes(takes_counts, pair, whole):
                return read(binarization="none", integer_scale=0)
    if data.binarization != "auto":
        return read()
    found = read(binarization="none")
    if found.kinds:  # of a table: nothing in it is grey
        return found
    bits = _takes(takes_bits_alone, pair, found) if found.layout == "plain" else None
    if bits is None:
        return read()
    grey = kind_of(found.train.some(), found.layout) in _BINARIZABLE
    return read(binarization="dynamic") if bits and grey else found


def _takes(numbers: Callable[[nn.Module, Batch], bool], pair: PairConfig, data: Splits) -> bool | None:
    """Whether the model of a pair takes numbers of a kind; None where it cannot be made or run as yet.

    Args:
        numbers: that kind, as :func:`ppl_vae.programs.check.takes_bits_alone`.
        pair: whose model; what is not set is as by default.
        data: that it would see, as it is.
    """
    usual = {name: getattr(PairConfig(), name) for name in ("model", "likelihood", "net")}
    unset = {name: value for name, value in usual.items() if getattr(pair, name) == AUTO}
    try:
        with seeded(0):
            model = Assembly(replace(pair, **unset), DataInfo.of(data), None).make_model()
        return numbers(model, data.train.probe())
    except Exception:  # whoever makes it for good says what is wrong
        return None


def _reads_likelihood(maker: Callable[..., object]) -> bool:
    return "likelihood" in parameters_of(maker)


_SINCE = {
    "dynamic": "the model takes bits alone",
    "static": "a guide with parameters for each image is to see the same bits at every visit",
}


def suited(
    pair: PairConfig, data: Splits, binarization: str = "none", maker: Callable[..., object] | None = None
) -> Suited:
    """Choose what is ``auto`` in a pair.

    Args:
        pair: what was set, and what was not.
        data: read already.
        binarization: as it was set, ``auto`` if it was not.
        maker: of the model; None for that of its name.

    Raises:
        UserError: the model is unknown, or a user's file that cannot be used.
    """
    train = data.train
    kinds = set(data.kinds)
    by_column = len(kinds) > 1 or "category" in kinds  # blocks of categories have no likelihood but that of columns
    kind = cast(Kind, data.kinds[0]) if kinds and not by_column else kind_of(train.some(), data.layout)
    now: Kind = "bits" if train.dynamic else kind
    unset = [name for name in ("model", "likelihood", "net") if getattr(pair, name) == AUTO]
    found: dict[str, Any] = {"model": pair.model}
    if "model" in unset:
        found["model"] = "sequence" if kind in ("text", "music") else PairConfig.model
    reads = parameters_of(maker or find("model", found["model"])).keys()
    said = [f"the {found['model']} model"] if "model" in unset and found["model"] != PairConfig.model else []
    flags = ["model"] if said else []
    if binarization == "auto" and kind in _BINARIZABLE:
        said.append(_BINARIZED.get(data.binarization, "x as it is, not drawn as bits"))
        flags.append("binarization")
    if "likelihood" in unset:
        found["likelihood"] = PairConfig.likelihood
        if "likelihood" in reads:
            found["likelihood"] = "columns" if by_column else _LIKELIHOODS.get(now, "normal")
            said.append(f"{found['likelihood']} likelihood")
            flags.append("likelihood")
    if "net" in unset:
        large = len(train.event_shape) >= 2 and min(train.event_shape[:2]) >= _CONVOLVED
        convolved = now in ("photographs", "colour") and large and not reads.isdisjoint(("decoder", "networks"))
        found["net"] = "conv" if convolved else PairConfig.net
        if convolved:
            said.append("convolutional networks")
            flags.append("net")
    chosen = tuple([*unset, *(["binarization"] if binarization == "auto" else [])])
    why = f"x is {kind}" if kind in ("text", "music") else f"x holds {IN_WORDS[kind]}"
    if by_column:
        why = "x has columns of several kinds" if len(kinds) > 1 else "x holds categories"
    if "binarization" in flags and data.binarization != ("dynamic" if kind == "grey levels" else "none"):
        takes = _SINCE.get(data.binarization, "the model takes other numbers than bits")
        why = takes if flags == ["binarization"] else f"{takes}, and {why}"
    words = f"{', '.join(said)}, since {why} (to choose yourself: {', '.join(f'`{each}`' for each in flags)})"
    return Suited(replace(pair, **found), chosen, words if said else "", tuple(flags), why)
