"""What suits the data where nobody has said: model, likelihood and networks, said in one line.

    bits, grey levels (as bits)     Bernoulli likelihood
    photographs, colour             Normal likelihood, convolutional networks
    grey levels (as they are), reals  Normal likelihood
    counts                          Poisson likelihood
    columns of several kinds        a likelihood for each
    text, music                     the sequence model

How grey levels become bits is the data's (:func:`ppl_vae.data.dataset.suiting`), unless a likelihood is set: then it
is what that likelihood is of.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from ppl_vae.data import Binarization, DataConfig, Splits
from ppl_vae.data.kinds import IN_WORDS, Kind, kind_of
from ppl_vae.data.reading import read_data
from ppl_vae.registry.factories import LIKELIHOODS
from ppl_vae.registry.files import find
from ppl_vae.registry.pair_config import AUTO, PairConfig
from ppl_vae.registry.settings import parameters_of

_CONVOLVED = 8  # pixels of height and width, from which convolutions see more than a dense layer does

# What a likelihood, or a model that has one of its own, takes.
_TAKES: dict[str, dict[str, Binarization]] = {
    "likelihood": {name: "dynamic" if name == "bernoulli" else "none" for name in LIKELIHOODS},
    "model": {"linear-gaussian": "none", "two-layer-linear-gaussian": "none"},
}
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


def data_for(data: DataConfig, pair: PairConfig) -> Splits:
    """The data, its binarization chosen where nobody has: by the pair's parts that are set, else by the numbers.

    A model that has no likelihood to choose cannot be given one that takes photographs as they are: it sees bits.
    """
    if data.binarization != "auto":
        return read_data(data)
    for part, takes in _TAKES.items():
        if way := takes.get(getattr(pair, part)):
            return read_data(replace(data, binarization=way))
    found = read_data(data)
    pictures = kind_of(found.train.values(), found.layout) in ("photographs", "colour")
    if pictures and pair.model != AUTO and "likelihood" not in parameters_of(find("model", pair.model)):
        return read_data(replace(data, binarization="dynamic"))
    return found


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
    several = len(set(data.kinds)) > 1 or "category" in data.kinds
    kind = kind_of(train.values(), data.layout)
    now: Kind = "bits" if train.dynamic else kind
    unset = [name for name in ("model", "likelihood", "net") if getattr(pair, name) == AUTO]
    found: dict[str, Any] = {"model": pair.model}
    if "model" in unset:
        found["model"] = "sequence" if kind in ("text", "music") else PairConfig.model
    reads = parameters_of(maker or find("model", found["model"])).keys()
    said = [f"the {found['model']} model"] if "model" in unset and found["model"] != PairConfig.model else []
    flags = ["model"] if said else []
    if binarization == "auto" and kind in ("grey levels", "photographs", "colour"):
        said.append(
            {"dynamic": "bits drawn from x at every visit", "static": "bits drawn from x once"}.get(
                data.binarization, "x not binarized"
            )
        )
        flags.append("binarization")
    if "likelihood" in unset:
        found["likelihood"] = PairConfig.likelihood
        if "likelihood" in reads:
            found["likelihood"] = "columns" if several else _LIKELIHOODS.get(now, "normal")
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
    why = f"x is {kind}" if kind in ("text", "music") else f"x has {IN_WORDS[kind]}"
    why = "x has columns of several kinds" if several else why
    words = f"{', '.join(said)}, since {why} (to choose yourself: {', '.join(f'`{each}`' for each in flags)})"
    return Suited(replace(pair, **found), chosen, words if said else "", tuple(flags), why)
