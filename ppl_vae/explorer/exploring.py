"""From a pair and data to what the page shows: the models, networks and families that a browser can compute."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ppl_vae.data import Binarization, Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import rows_of
from ppl_vae.diagnostics.units import Units, units
from ppl_vae.explorer.convolutions import decoder_layers, encoder_layers
from ppl_vae.explorer.networks import Dense, Layer, Scales, layers_of
from ppl_vae.explorer.page import Contents, Placement
from ppl_vae.guides import Amortized, Diagonal, Family, FullRank, LowRank, Point, SemiAmortized
from ppl_vae.models import VAE, ConditionalVAE, LinearGaussian
from ppl_vae.models.likelihoods import Bernoulli, NegativeBinomial, Normal, Poisson
from ppl_vae.models.priors import StandardNormal
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.scaling import Scaling
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.predictive.wording import is_table
from ppl_vae.programs.holes import with_gaps
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import tables_of
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded

_NUM_EXAMPLES = 32  # images that are shown, not only their place
_BATCH_SIZE = 100

# The families that the page computes, by its names for them.
_FAMILIES: dict[type[Family], Literal["diagonal", "low-rank", "full-rank", "point"]] = {
    Diagonal: "diagonal",
    LowRank: "low-rank",
    FullRank: "full-rank",
    Point: "point",
}

_CLIPPED = "Means outside [0, 1] are drawn as 0 or 1."
_OF_USUAL_TOTAL = "Means are those of a row whose total is the usual one."
_ENDS = {
    "column": "White is the smallest number of a column in training, black the largest.",
    "number": "White is the smallest number in training, black the largest.",
}
_BETWEEN = "What lies outside is drawn as the nearer of them."
_NOT_SEEN = "Light blue: not seen."
_KL_IN_WORDS = "a unit's KL is KL(q ‖ prior) in nats, averaged over them."
_BITS = "A new datapoint is turned into bits at ½, "
_ON_GREY = {
    "dynamic": _BITS + "since this run's guide saw bits only (drawn anew at every visit).",
    "static": _BITS + "since this run's guide saw bits only (drawn once).",
    "threshold": _BITS + "as this run's data was.",
    "none": "A new datapoint keeps its levels, as this run's data did.",
}


def explored(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: DataInfo,
    binarization: Binarization = "none",
    title: str = "explorer",
    subtitle: str = "",
    split: str = "test",
    called: str = "",
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> Contents:
    """What a page shows of a pair: ``html(explored(...))`` is the page.

    Args:
        model: a VAE, conditional or not, of fully connected or convolutional networks and a standard normal prior, or a
            linear-Gaussian.
        guide: q(z | x), with an answer to the data.
        data: whose places are shown, and on which the KL of each unit is found; two datapoints or more.
        info: of the training data.
        binarization: how grey levels became bits for the guide; new datapoints become so likewise.
        title: of the page.
        subtitle: what the pair is, in a line; how many units z has is added.
        split: what the page calls the data.
        called: how the model is called where it is refused; by its class if empty.
        seed: of the bits of grey levels, and of draws.
        advance: called with the number of datapoints done.

    Raises:
        UserError: the page cannot compute this model, there is a single datapoint, or the guide puts one nowhere.
    """
    decoded = _decoded(model, called or type(model).__name__)
    if len(data) < 2:
        raise UserError(f"the {split} data has a single datapoint; name another `split`.")
    data = data.fixed(seed)
    with seeded(seed, data.device), frozen(model, guide):
        means = []
        for batch in data.batches(_BATCH_SIZE):
            means.append(posterior_moments(guide, batch)["z"].mean.cpu())
            if advance:
                advance(len(batch.x))
        used = units(model, guide, data)
    codes = torch.cat(means).float().numpy()
    if not np.isfinite(codes).all():
        raise UserError(
            "the guide's means are not finite: its training diverged; train again with a lower learning rate."
        )
    placement, placing = _placement(guide, binarization)
    return Contents(
        title=title,
        subtitle=", ".join(filter(None, (subtitle, f"z of {len(used.names)} units"))),
        notes=[
            f"The dots are {len(data)} datapoints of the {split} data; {_KL_IN_WORDS}",
            *_said(info, data, decoded),
        ],
        placing=placing,
        decoder=decoded.layers,
        link=decoded.link,
        event_shape=info.event_shape,
        num_classes=decoded.num_classes,
        classes=info.called(info.labels),
        offered=rows_of(info).numbers.tolist() if decoded.num_classes else [],
        names=used.names,
        kl=used.kl.numpy(),
        order=_order(used),
        means=codes,
        labels=None if data.y is None else data.y.cpu().numpy(),
        images=_images(info, data.head(_NUM_EXAMPLES)),
        placement=placement,
        least=info.least,
        largest=info.largest,
        columns=_columns(info),
        photographs=info.photographs,
    )


def _said(info: DataInfo, data: Dataset, decoded: "_Decoded") -> list[str]:
    """What is to be said of how numbers are drawn."""
    ends = "column" if len(info.least) > 1 else "number"
    drawn = [f"{_ENDS[ends]} {_BETWEEN}"] if info.least else [_CLIPPED] if decoded.link != "sigmoid" else []
    return [*drawn, *decoded.notes, *([_NOT_SEEN] if data.mask is not None else [])]


def _images(info: DataInfo, few: Dataset) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Bytes where these hold them, else numbers as they are, NaN where nothing was seen."""
    values = few.values(slice(len(few))).cpu()
    if few.mask is None and not info.least:
        return (values.clamp(0, 1) * 255).round().byte().numpy()
    return with_gaps(values.float(), None if few.mask is None else few.mask.cpu()).numpy()


def _columns(info: DataInfo) -> list[str]:
    """What the columns are called, of a table of so few that a page can list them."""
    return list(info.column_names) if is_table(info) else []


class _Decoded(NamedTuple):
    """How the page decodes: from z to the link's argument, the link, how many labels are taken, what is to be said."""

    layers: list[Layer]
    link: Literal["sigmoid", "identity", "exp"]
    num_classes: int
    notes: list[str]


def _decoded(model: nn.Module, called: str) -> _Decoded:
    """The decoder of a model.

    Raises:
        UserError: the model is not one that can be explored.
    """
    if type(model) is LinearGaussian:
        weight, bias = model.weight.detach().cpu().numpy(), model.mean.detach().cpu().numpy()
        return _Decoded([Dense(weight, bias)], "identity", 0, [])
    if type(model) in (VAE, ConditionalVAE) and isinstance(decoder := model.decoder, Decoder | ConvDecoder):
        if not isinstance(model.prior, StandardNormal):
            raise UserError(
                "the page draws z from N(0, I), and this model has another prior; 'ppl-vae sample' draws from it."
            )
        if decoder.conditions is not None:
            raise UserError("the page has no place for conditions, which this model reads; take 'ppl-vae sample'.")
        try:
            layers, classes = _layers(decoder), decoder.num_classes
        except ValueError as error:  # somebody has put layers of their own into it
            raise UserError(f"the page cannot compute this decoder: {error}.") from None
        if isinstance(model.likelihood, Bernoulli):
            return _Decoded(layers, "sigmoid", classes, [])
        if isinstance(model.likelihood, Normal) and (found := _in_units_of_x(layers, model.likelihood)):
            return _Decoded(found, "identity", classes, [])
        counts = model.likelihood  # those with more zeros have other means
        if isinstance(counts, Poisson | NegativeBinomial) and type(counts) in (Poisson, NegativeBinomial):
            return _Decoded(layers, "exp", classes, [_OF_USUAL_TOTAL] if counts.given_totals else [])
        raise UserError(
            f"the page cannot compute the means of a {type(model.likelihood).__name__} likelihood with this decoder, "
            "only of `likelihood` bernoulli, poisson, negative-binomial, or normal if `noise_scale` is one or feature; "
            "'ppl-vae sample' takes any."
        )
    raise UserError(
        f"model {called} cannot be explored; runs of `model` vae, conditional and linear-gaussian can, with "
        "`likelihood` bernoulli, normal, poisson or negative-binomial; 'ppl-vae sample' takes any."
    )


def _placement(guide: nn.Module, binarization: Binarization) -> tuple[Placement | None, list[str]]:
    """How new datapoints are placed, if they can be, and what is to be said of it."""
    if tables_of(guide):
        why = "this guide has a row for each training datapoint and no encoder; 'ppl-vae infer' fits rows to new ones."
        return None, [f"New datapoints cannot be placed here: {why}"]
    proposal = guide.proposal if type(guide) is SemiAmortized else guide
    # Of a class of somebody's own, though it inherits, nothing says what it computes.
    if type(proposal) is not Amortized or not (encoder := _encoder(proposal)):
        return None, ["New datapoints cannot be placed here: the guide is not one whose encoder this page can compute."]
    if proposal.holes:
        why = "this run's encoder also reads which numbers were seen; 'ppl-vae infer' takes data with holes."
        return None, [f"New datapoints cannot be placed here: {why}"]
    family = _FAMILIES.get(type(proposal.family))
    if family is None:
        why = "q is a normalising flow, whose moments this page does not compute; 'ppl-vae infer' draws from it."
        return None, [f"New datapoints cannot be placed here: {why}"]
    notes = [_ON_GREY[binarization]]
    if proposal is not guide:
        notes.append("This guide refines its encoder's proposal; of a new datapoint the page shows the proposal only.")
    if family == "point":
        notes.append("q is a single point and has no ellipse.")
    return Placement(encoder, family, binarization != "none"), notes


def _encoder(guide: Amortized) -> list[Layer]:
    """The layers of a guide's encoder; none where it is another, or somebody has put layers of their own into it."""
    try:
        return _layers(guide.encoder)
    except ValueError:
        return []


def _layers(network: nn.Module) -> list[Layer]:
    """The layers of one of our encoders or decoders.

    Raises:
        ValueError: it is another, though it may inherit, or holds modules that a browser has not.
    """
    if type(network) is ConvEncoder:
        return encoder_layers(network)
    if type(network) is ConvDecoder:
        return decoder_layers(network)
    if type(network) is Decoder:
        return layers_of(network.net)
    if type(network) is Encoder:
        layers = layers_of(network.net)
        return layers if network.scaling is None else [_scales(network.scaling), *layers]
    raise ValueError(f"a browser has no {type(network).__name__}; it can compute this package's own")


def _in_units_of_x(layers: list[Layer], likelihood: Normal) -> list[Layer] | None:
    """Layers up to the Normal's location; None where these are not all that it takes."""
    if likelihood.scaled_by == "one":
        return layers
    if likelihood.scaled_by != "feature" or not isinstance(last := layers[-1], Dense):
        return None
    shift, unit = (each.detach().cpu().flatten().numpy() for each in (likelihood.shift, likelihood.unit))
    return [*layers[:-1], Dense(unit[:, None] * last.weight, shift + unit * last.bias)]


def _scales(scaling: nn.Module) -> Scales:
    """How x is brought to one scale.

    Raises:
        ValueError: in a way of somebody's own.
    """
    if type(scaling) is not Scaling:
        raise ValueError(f"a browser has no {type(scaling).__name__}")
    counted, shift, unit = (each.detach().cpu().numpy() for each in (scaling.counted, scaling.shift, scaling.unit))
    return Scales(counted.astype(np.uint8), shift, unit)


def _order(used: Units) -> NDArray[np.int64]:
    """The units from the largest KL to the smallest; where q is a point, by how far its place moves over the data."""
    key = used.variance_of_means if used.kl.isnan().all() else used.kl
    return torch.argsort(key, descending=True, stable=True).numpy()
