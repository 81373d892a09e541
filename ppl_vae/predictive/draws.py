"""Predictive distributions: what the model generates, from the prior, from the posterior and from chosen latents."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ppl_vae.data.checks import check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import Described
from ppl_vae.data.inputs import as_dataset
from ppl_vae.data.splits import Splits
from ppl_vae.predictive.centre import centre_of
from ppl_vae.predictive.tidy import tidy
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import no_x, trace_in_plate
from ppl_vae.programs.log_joint import log_likelihood
from ppl_vae.programs.pair import frozen, in_particles, latent_sites
from ppl_vae.programs.structure import reads_labels
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved
from ppl_vae.runtime.shown import Columned, Columns, Names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Given = Tensor | None  # labels or conditions, where the model reads them


@dataclass(frozen=True, eq=False)
class Draws(Columned):
    """Draws from a predictive distribution; ``to_frame()`` has a row for each, with its label, latents, x and means.

    Args:
        latents: by site, ``(..., n, *latent_event)``.
        means: E[x | latents], ``(..., n, *event)``; for a Bernoulli the probabilities of a lit pixel. Of a distribution
            without a mean in closed form, such as that of a sequence, its mode.
        x: draws of x given the latents, ``(..., n, *event)``.
        y: labels that they are given, ``(n,)``, or None.
        axes: what their first dimensions run over: draws, observations (``index``), or both.
        names: what columns of x and labels are called.
    """

    latents: dict[str, Tensor]
    means: Tensor
    x: Tensor
    y: Tensor | None = None
    axes: tuple[str, ...] = ("draw",)
    names: Names = Names()  # noqa: RUF009

    def columns(self) -> Columns:
        """Which draw, of which observation, from 0; the label, where there is one; and its numbers."""
        places = {name: range(size) for name, size in zip(self.axes, self.x.shape, strict=False)}
        lead = tuple(map(len, places.values()))
        labels = {name: np.broadcast_to(each, lead) for name, each in self.names.of_labels(self.y).items()}
        arrays = {**self.latents, "x": self.x, "means": self.means}
        return tidy(places, arrays, self.names, tuple(self.x.shape[len(lead) :]), labels)

    def __repr__(self) -> str:
        shapes = {**self.latents, "means": self.means, "x": self.x}
        return f"Draws({', '.join(f'{name} {tuple(value.shape)}' for name, value in shapes.items())})"


@in_range
def prior_predictive(
    model: nn.Module,
    event_shape: tuple[int, ...] | Described,
    num_samples: Count = 1,
    y: Given = None,
    c: Given = None,
) -> Draws:
    """z ~ p(z), x ~ p(x | z), or x ~ p(x | z, y, c).

    Args:
        model: p(x, z).
        event_shape: shape of one observation, or data that has it: what :func:`ppl_vae.load` gave.
        num_samples: n, at least 1.
        y, c: labels, ``(n,)``, and conditions, ``(n, C)`` or ``(C,)``, for a conditional model.

    Returns:
        draws of shape ``(n, ...)``, from torch's own generator.

    Raises:
        UserError: the model reads labels, and there are none.
    """
    names = Names()
    if isinstance(event_shape, Described):
        known = event_shape.train if isinstance(event_shape, Splits) else event_shape
        event_shape, names = known.event_shape, known.names
    with frozen(model):
        blank = _blank(model, num_samples, event_shape, y, c)
        try:
            return replace(_draws(model, _unobserved(model), blank), names=names)
        except UserError as error:
            labelled = blank._replace(y=torch.zeros(num_samples, dtype=torch.long, device=blank.x.device))
            # With a cause it is not the program's own word, but about whatever it has failed with.
            if y is None and error.__cause__ and _reads_labels(model, labelled):
                raise UserError("the model reads labels: give `y`, a label for each draw.") from error
            raise


def _reads_labels(model: nn.Module, labelled: Batch) -> bool:
    """Whether a model that has failed without labels runs with them, and reads them."""
    try:
        return reads_labels(model, labelled)
    except UserError:  # then labels are not what was missing
        return False


@in_range
def posterior_predictive(
    model: nn.Module, guide: nn.Module, batch: "Batch | Dataset | ArrayLike", num_samples: Count | None = None
) -> Draws:
    """z ~ q(z | x), x' ~ p(x' | z): what the model makes of given observations.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the observations, as a batch, a data set, or an array or tensor ``(batch, *event)`` of the numbers that
            the pair was trained on.
        num_samples: draws of z for each of them, at least 1; None for one, without a dimension for it.

    Returns:
        draws of shape ``(num_samples, batch, ...)``, or ``(batch, ...)``, from torch's own generator.

    Raises:
        UserError: they are no observations, or the pair cannot run on them.
    """
    names = Names()
    if not isinstance(batch, Batch):
        data = as_dataset(batch, model)
        names = data.names
        check_runs(data, model, guide)
        batch = data.batch(torch.arange(len(data), device=data.device))
    with frozen(model, guide):
        guide_trace = trace_in_plate(guide, batch, in_particles(guide, num_samples or 1))
        given = poutine.replay(in_particles(_unobserved(model), num_samples or 1), trace=guide_trace)
        axes = ("index",) if num_samples is None else ("draw", "index")
        draws = replace(_draws(model, given, batch), axes=axes, names=names)
    if num_samples != 1:
        return draws
    latents = {name: value.unsqueeze(0) for name, value in draws.latents.items()}
    return replace(draws, latents=latents, means=draws.means.unsqueeze(0), x=draws.x.unsqueeze(0))


def decode(
    model: nn.Module, latents: dict[str, Tensor], event_shape: tuple[int, ...], y: Given = None, c: Given = None
) -> Tensor:
    """E[x | latents], or E[x | latents, y, c], at chosen latents: the ``means`` of :func:`draw_at`."""
    return draw_at(model, latents, event_shape, y, c).means


def draw_at(
    model: nn.Module, latents: dict[str, Tensor], event_shape: tuple[int, ...], y: Given = None, c: Given = None
) -> Draws:
    """x ~ p(x | latents), or x ~ p(x | latents, y, c), at chosen latents.

    Args:
        model: p(x, z).
        latents: values by site, ``(n, *latent_event)``; sites left out are drawn from the prior.
        event_shape: shape of one observation.
        y, c: labels, ``(n,)``, and conditions, ``(n, C)`` or ``(C,)``, for a conditional model.

    Returns:
        draws of shape ``(n, ...)``, from torch's own generator.

    Raises:
        ValueError: the model has no site of one of these names.
    """
    num = len(next(iter(latents.values())))
    with frozen(model):
        program = poutine.condition(_unobserved(model), data=latents)
        blank = _blank(model, num, event_shape, y, c)
        with preserved(blank.x.device):
            unknown = set(latents) - set(latent_sites(trace_in_plate(model, blank, _unobserved(model))))
        if unknown:
            raise ValueError(f"the model samples no site '{min(unknown)}'")
        return _draws(model, program, blank)


def label_sheet(
    model: nn.Module, event_shape: tuple[int, ...], labels: Tensor, num_columns: int, c: Given = None
) -> Tensor:
    """E[x | z, y] of a conditional model for some labels and a few z ~ p(z), each shared by a column.

    Args:
        model: p(z) p(x | z, y).
        event_shape: shape of one observation.
        labels: a row for each, ``(R,)``.
        num_columns: how many z, from torch's own generator.
        c: conditions, ``(C,)``.

    Returns:
        ``(R, num_columns, *event)``.
    """
    labels = labels.to(_placement(model)["device"])
    drawn = prior_predictive(model, event_shape, num_columns, labels[:1].expand(num_columns), c).latents
    shared = {name: value.repeat(len(labels), *[1] * (value.dim() - 1)) for name, value in drawn.items()}
    means = decode(model, shared, event_shape, labels.repeat_interleave(num_columns), c)
    return cast(Tensor, means.unflatten(0, (len(labels), num_columns)))


def latent_grid(
    model: nn.Module, event_shape: tuple[int, ...], axis: Tensor, label: int | None = None, c: Given = None
) -> Tensor:
    """The images of a 2-D latent plane: E[x | z] where z₁ and z₂ each take the values of an axis.

    Args:
        model: p(x, z) with one latent, of size 2.
        event_shape: shape of one observation.
        axis: ``(S,)``, for example S values equally spaced from −3 to 3.
        label, c: for a conditional model, conditions ``(C,)``.

    Returns:
        ``(S, S, *event)``: rows are z₂ in the axis's order, columns z₁.

    Raises:
        ValueError: the latent is not one vector of size 2.
    """
    name = plane_site(model, event_shape, c)
    if name is None:
        raise ValueError("a grid needs a model with one latent of size 2")
    z2, z1 = torch.meshgrid(*[axis.to(**_placement(model))] * 2, indexing="ij")
    z = torch.stack([z1.flatten(), z2.flatten()], dim=1)  # (S², 2)
    y = None if label is None else torch.full((len(z),), label, device=z.device)
    images: Tensor = decode(model, {name: z}, event_shape, y, c).unflatten(0, (len(axis), len(axis)))
    return images


def plane_site(model: nn.Module, event_shape: tuple[int, ...], c: Given = None) -> str | None:
    """The name of the model's only latent if that is a plane, ``(2,)``; else None. Of conditions ``(C,)`` any do."""
    with frozen(model), preserved(_placement(model)["device"]):
        y = torch.zeros(1, dtype=torch.long, device=_placement(model)["device"])
        trace = trace_in_plate(model, _blank(model, 1, event_shape, y, c), _unobserved(model))
    sites = latent_sites(trace)
    shapes = {name: tuple(site["fn"].event_shape) for name, site in sites.items() if name != "x"}
    return next(iter(shapes)) if list(shapes.values()) == [(2,)] else None


def has_standard_normal_prior(model: nn.Module, batch: Batch) -> bool:
    """Whether the prior of all latents is N(0, I), x being the batch's."""
    with frozen(model), preserved(batch.x.device):
        sites = latent_sites(trace_in_plate(model, batch)).values()
    priors = [site["fn"].base_dist if isinstance(site["fn"], Independent) else site["fn"] for site in sites]
    return all(isinstance(p, Normal) and bool((p.loc == 0).all() and (p.scale == 1).all()) for p in priors)


def _draws(model: nn.Module, handled: Callable[[Batch], object], batch: Batch) -> Draws:
    trace = trace_in_plate(model, batch, handled)
    if "x" not in trace.nodes:
        raise no_x()
    x = cast(Any, trace.nodes["x"])
    latents = {
        name: site["value"] for name, site in latent_sites(trace).items() if not site["infer"].get("was_observed")
    }
    return Draws(latents, centre_of(x["fn"]).expand_as(x["value"]), x["value"], batch.y)


def _unobserved(model: nn.Module) -> Callable[[Batch], object]:
    """The model with x to be sampled; the batch then only says how many."""
    return cast(Callable[[Batch], object], poutine.uncondition(model))


def _blank(model: nn.Module, num: int, event_shape: tuple[int, ...], y: Given, c: Given) -> Batch:
    x = torch.zeros(num, *event_shape, **_placement(model))
    return Batch(x, y, torch.arange(num, device=x.device), c=None if c is None else c.to(x).expand(num, -1))


def _placement(model: nn.Module) -> dict[str, Any]:
    """Device and dtype of the model's parameters."""
    param = next(model.parameters(), torch.zeros(()))
    return {"device": param.device, "dtype": param.dtype}


def expected_reconstruction(model: nn.Module, latents: dict[str, Tensor], batch: Batch) -> Tensor:
    """The mean of log p(x | z) over given draws, ``(batch,)``, in nats.

    Args:
        model: p(x, z).
        latents: draws by site, ``(num_samples, batch, *latent_event)``, from whatever sampler.
        batch: the observations.
    """
    with frozen(model):
        return log_likelihood(model, batch, latents).mean(0)
