"""``ppl-vae explore``: one HTML file in which the decoder of a run can be played with."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import nn
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.data import Dataset
from ppl_vae.data.labels import rows_of
from ppl_vae.diagnostics.units import Units, units
from ppl_vae.explorer import Contents, Dense, Layer, Placement, html, layers_of
from ppl_vae.guides import Amortized, Diagonal, Family, FullRank, LowRank, Point, SemiAmortized
from ppl_vae.models import VAE, ConditionalVAE, LinearGaussian
from ppl_vae.models.likelihoods import Bernoulli, Normal
from ppl_vae.models.priors import StandardNormal
from ppl_vae.networks.convolutional import ConvDecoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.predictive.draws import posterior_moments
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.files import names_file
from ppl_vae.runs.opened import OpenedRun, SplitName, check_drawable, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_file, write_new
from ppl_vae.runtime.config import Seed, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.seeding import seeded

_NUM_EXAMPLES = 32  # images that are shown, not only their place
_QUIET_SECONDS = 2.0  # a progress bar only after these
_BATCH_SIZE = 100

# The families that the page computes, by its names for them.
_FAMILIES: dict[type[Family], Literal["diagonal", "low-rank", "full-rank", "point"]] = {
    Diagonal: "diagonal",
    LowRank: "low-rank",
    FullRank: "full-rank",
    Point: "point",
}


@config
class Explore:
    """Write one HTML file in which the decoder runs: open it in a browser, no network is needed.

    Drag over the latent plane or move a slider and see E[x | z] change; draw or drop an image and see where q puts it;
    walk between two points; switch labels of a conditional model. Of a z of more than two numbers any two make the
    plane, and the sliders are ordered by KL.

    It shows our models (vae, conditional, linear-gaussian) with fully connected networks. New images can be placed by a
    run with an encoder and the diagonal, low-rank, full-rank or point family.

    examples:
      ppl-vae explore runs/digits-1
      ppl-vae explore runs/mnist --num-images 1000 --out mnist.html
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    out: Path | None = None
    """The .html to write; by default the next free RUN/explorer-N.html."""
    num_images: Annotated[int, Field(ge=2, le=5000)] = 300
    """How many images' places are shown, and the KL of each unit is found on."""
    split: SplitName | None = None
    """Where they come from; by default test, or train where the guide has a row for each of those."""
    seed: Seed = 0
    """Seed of binarization and of draws."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Gather and write."""
        if self.out:
            if self.out.suffix != ".html":
                raise UserError(f"--out {self.out}: name a file that ends in .html.")
            refuse_existing_file(self.out)
        opened = open_run(self.run_directory, self.device, self.opening)
        check_drawable(opened.event_shape)
        decoded = _decoded(opened)
        split = self._split(opened.pair.guide)
        data = opened.split(split, self.num_images).fixed(self.seed)
        if len(data) < 2:
            raise UserError(f"the {split} data has a single image; name another --split.")
        page = html(self._contents(opened, decoded, split, data))
        out = write_new(
            self.out,
            lambda: numbered(opened.run.path, "explorer", ".html"),
            lambda out: write_text(out, page, new=True),
        )
        print(f"explorer  {out} ({out.stat().st_size / 1e6:.1f} MB; open it in a browser)")

    def _split(self, guide: nn.Module) -> SplitName:
        if not tables_of(guide):
            return self.split or "test"
        if self.split not in (None, "train"):
            raise UserError("this run's guide knows its training data only; use --split train.")
        return "train"

    def _contents(self, opened: OpenedRun, decoded: "_Decoded", split: SplitName, data: Dataset) -> Contents:
        record, (model, guide) = opened.run.record, opened.pair
        with (
            seeded(self.seed, opened.device),
            frozen(model, guide),
            tqdm(total=len(data), unit="image", disable=None, leave=False, delay=_QUIET_SECONDS) as bar,
        ):
            means = []
            for batch in data.batches(_BATCH_SIZE):
                means.append(posterior_moments(guide, batch)["z"].mean.cpu())
                bar.update(len(batch.x))
            used = units(model, guide, data)
        codes = torch.cat(means).float().numpy()
        if not np.isfinite(codes).all():
            raise UserError("the guide puts images at places that are not finite; its training went wild: train again.")
        placement, placing = _placement(guide, record.config.pair.guide, record.config.data.binarization)
        return Contents(
            title=f"{opened.run.path.resolve().name}: explorer",
            subtitle=f"{Path(record.config.data.data).name}: {record.config.in_words}, z of {len(used.names)} units",
            notes=[f"The dots are {len(data)} images of the {split} data; {_KL_IN_WORDS}", *decoded.notes],
            placing=placing,
            decoder=decoded.layers,
            link=decoded.link,
            event_shape=opened.event_shape,
            num_classes=decoded.num_classes,
            classes=[str(label) for label in opened.info.labels],
            offered=rows_of(opened.info).numbers.tolist() if decoded.num_classes else [],
            names=used.names,
            kl=used.kl.numpy(),
            order=_order(used),
            means=codes,
            labels=None if data.y is None else data.y.cpu().numpy(),
            images=(data.x[:_NUM_EXAMPLES].clamp(0, 1) * 255).round().byte().cpu().numpy(),
            placement=placement,
        )


class _Decoded(NamedTuple):
    """How the page decodes: from z to the link's argument, the link, how many labels are taken, what is to be said."""

    layers: list[Layer]
    link: Literal["sigmoid", "identity"]
    num_classes: int
    notes: list[str]


def _decoded(opened: OpenedRun) -> _Decoded:
    """The decoder of a run.

    Raises:
        UserError: the model is not one that can be explored.
    """
    model = opened.pair.model
    if type(model) is LinearGaussian:
        weight, bias = model.weight.detach().cpu().numpy(), model.mean.detach().cpu().numpy()
        return _Decoded([Dense(weight, bias)], "identity", 0, [_CLIPPED])
    if type(model) in (VAE, ConditionalVAE) and type(model.decoder) is Decoder:
        if not isinstance(model.prior, StandardNormal):
            raise UserError(
                "the page draws z from N(0, I), and this model has another prior; 'ppl-vae sample' draws from it."
            )
        layers, classes = layers_of(model.decoder.net), model.decoder.num_classes
        if isinstance(model.likelihood, Bernoulli):
            return _Decoded(layers, "sigmoid", classes, [])
        if isinstance(model.likelihood, Normal):
            return _Decoded(layers, "identity", classes, [_CLIPPED])
    if type(model) in (VAE, ConditionalVAE) and type(model.decoder) is ConvDecoder:
        raise UserError(
            "this run's decoder is convolutional, and the page computes fully connected ones; train with --net mlp "
            "to explore, or draw with 'ppl-vae sample', which takes any."
        )
    name = opened.run.record.config.pair.model
    raise UserError(
        f"model {name} cannot be explored; runs of --model vae, conditional and linear-gaussian can, with fully "
        "connected networks and --likelihood bernoulli or normal; 'ppl-vae sample' takes any."
    )


def _placement(guide: nn.Module, name: str, binarization: str) -> tuple[Placement | None, list[str]]:
    """How new images are placed, if they can be, and what is to be said of it."""
    if tables_of(guide):
        why = "this guide has a row for each training image and no encoder; 'ppl-vae infer' fits rows to new ones."
        return None, [f"New images cannot be placed here: {why}"]
    proposal = guide.proposal if isinstance(guide, SemiAmortized) else guide
    if not isinstance(proposal, Amortized) or type(proposal.encoder) is not Encoder or names_file(name):
        return None, ["New images cannot be placed here: the guide is not one whose encoder this page can compute."]
    family = _FAMILIES.get(type(proposal.family))
    if family is None:
        why = "q is a normalising flow, whose moments this page does not compute; 'ppl-vae infer' draws from it."
        return None, [f"New images cannot be placed here: {why}"]
    notes = [_ON_GREY[binarization]]
    if isinstance(guide, SemiAmortized):
        notes.append("This guide refines its encoder's proposal; of a new image the page shows the proposal only.")
    if family == "point":
        notes.append("q is a point, without an ellipse.")
    return Placement(layers_of(proposal.encoder.net), family, binarization != "none"), notes


_CLIPPED = "Means outside [0, 1] are drawn as the nearer end."
_KL_IN_WORDS = "a unit's KL is that of q from the prior, in nats, on average over them."
_BITS = "A new image is cut at ½ into bits, "
_ON_GREY = {
    "dynamic": _BITS + "since this run's guide saw bits only (drawn anew at every visit).",
    "static": _BITS + "since this run's guide saw bits only (drawn once).",
    "threshold": _BITS + "as this run's data was.",
    "none": "A new image keeps its grey levels, as this run's data did.",
}


def _order(used: Units) -> np.ndarray:
    """The units from the largest KL to the smallest; where q is a point, by how far its place moves over the data."""
    key = used.variance_of_means if used.kl.isnan().all() else used.kl
    return torch.argsort(key, descending=True, stable=True).numpy()
