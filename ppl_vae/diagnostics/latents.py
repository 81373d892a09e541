"""The latents of given observations: moments and draws of q(z | x), and how far to trust them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppl_vae.data import Dataset
from ppl_vae.data.checks import check_rows_are_there
from ppl_vae.data.inputs import as_dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides.unseen import Fitted, LocalFit, doubts_about, fit_locally, fitted_for, notes_on
from ppl_vae.inference.fitting import InferConfig, Inferred
from ppl_vae.predictive.posteriors import posterior_moments, posterior_samples
from ppl_vae.programs.check import advice_on_likelihood, check_pair
from ppl_vae.programs.density import has_density
from ppl_vae.programs.holes import reads_stand_ins
from ppl_vae.programs.parts import factored
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Columned, Columns, Names, spread_out, unit_names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_BATCH_SIZE = 256
_OF_HOLES = (
    "the guide has no input for what is missing and would read what stands in for it as if it had been seen; so its "
    "family was fitted to what was seen of each row, the model frozen. A guide of a run on data with holes reads them."
)


@dataclass(frozen=True, eq=False)
class InferredLatents(Columned):
    """The latents of N observations.

    Args:
        arrays: ``elbo``, ``(N,)``, in nats, of a point ``reconstruction`` in its place; and for each latent
            site ``SITE_mean`` and ``SITE_std`` of q(z | x), ``(N, *latent)``, and ``SITE_samples``,
            ``(num_samples, N, *latent)``.
        fits: how local inference went, where the guide had no answer to these observations; else None.
        settings: of local inference.
        advice: what is to be known of the elbo, in words.
        y: labels by number, ``(N,)``, or None.
        names: what they are called.
    """

    arrays: dict[str, NDArray[np.floating]]
    fits: Inferred | None
    settings: InferConfig
    advice: tuple[str, ...] = ()
    y: Tensor | None = None
    names: Names = Names()  # noqa: RUF009

    def columns(self) -> Columns:
        """A row for each observation: its number from 0, label, elbo or of a point reconstruction; mean and standard
        deviation of each unit, "z1_mean", "z2_mean", …."""
        reached = next(iter(self.arrays))
        columns = {"index": np.arange(len(self.arrays[reached])), **self.names.of_labels(self.y)}
        columns[reached] = self.arrays[reached]
        for name, values in self.arrays.items():
            site, _, moment = name.rpartition("_")
            if moment in ("mean", "std"):
                columns |= spread_out(unit_names(site, values.shape[1:]), values, f"_{moment}")
        return columns

    @property
    def notes(self) -> list[str]:
        """What is to be known of local fits whose starts did not all end alike, in words."""
        return notes_on(self.fits) if self.fits else []

    @property
    def doubts(self) -> list[str]:
        """Signs that local fits are no optima, in words, with what to do."""
        return doubts_about(self.fits, self.settings) if self.fits else []

    @property
    def warnings(self) -> list[str]:
        """What is to be known before the numbers are used, in words."""
        return [*self.advice, *self.doubts]

    def __str__(self) -> str:
        return ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())


@in_range
def infer_latents(
    model: nn.Module,
    guide: nn.Module,
    data: "Dataset | ArrayLike",
    settings: InferConfig | None = None,
    *,
    num_samples: Count = 10,
    seed: Seed = 0,
    progress: bool | None = None,
    holes: bool = False,
) -> InferredLatents:
    """The posterior of observations, as the guide has it; where it has no answer to them, one of its family fitted to
    them, the model frozen. To data with holes a guide has none that reads what stands in for them as if it were seen.

    Args:
        model: p(x, z), trained.
        guide: trained with it.
        data: not dynamic, on the device of the pair, where rows that no split has begin at
            :data:`ppl_vae.programs.batch.UNSEEN`; or new observations, an array or a tensor ``(N, *event)`` of the
            numbers that the pair was trained on.
        settings: of local inference, where it is needed; the defaults if None.
        num_samples: draws of z for each observation.
        seed: of the draws.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
        holes: whether the guide was trained on data with holes, and has learned to read what stands in for them.

    Raises:
        UserError: the pair cannot be used on this data.
    """
    data = as_dataset(data, model)
    check_rows_are_there(data)
    settings = settings or InferConfig()
    with bar(len(data), "datapoint", "inferring", progress) as done:
        fitted, said = fitted_for(model, guide, data, settings, done.update), []
        if fitted.fits is None and not holes and reads_stand_ins(guide, data.probe()):
            fitted, said = Fitted(*_fitted_to_seen(model, guide, data, settings, done.update)), [_OF_HOLES]
    guide, fits = fitted
    check_pair(model, guide, data.probe())
    advice = [*said, *advice_on_likelihood(model, guide, data.probe())]
    parts = elbo(model, guide, data, num_samples, seed).by_name()
    reached = "elbo" if has_density(guide, data.probe()) else "reconstruction"
    arrays = {reached: parts[reached].values.numpy()}
    moments, samples = [], []
    with seeded(stream(seed, "samples"), data.device):
        for batch in data.batches(_BATCH_SIZE):
            moments.append(posterior_moments(guide, batch))
            samples.append(posterior_samples(guide, batch, num_samples))
    for name in moments[0]:
        arrays[f"{name}_mean"] = torch.cat([part[name].mean for part in moments]).cpu().numpy()
        arrays[f"{name}_std"] = torch.cat([part[name].std for part in moments]).cpu().numpy()
        arrays[f"{name}_samples"] = torch.cat([part[name] for part in samples], dim=1).cpu().numpy()
    return InferredLatents(arrays, fits, settings, tuple(advice), data.y, data.names)


def encode(
    model: nn.Module,
    guide: nn.Module,
    x: "Dataset | ArrayLike",
    settings: InferConfig | None = None,
    *,
    progress: bool | None = None,
    holes: bool = False,
) -> NDArray[np.floating]:
    """The codes of observations: the mean of q(z | x), all latents of the model side by side.

    :func:`infer_latents` has standard deviations and draws beside the means, and a bound on log p(x) of each row.

    Args:
        model: p(x, z), trained.
        guide: trained with it; where it has no answer to x, one of its family is fitted to x, the model frozen.
        x: an array or a tensor ``(N, *event)`` of the numbers that the pair was trained on, NaN where one is missing,
            or a data set that is not dynamic.
        settings: of local inference, where it is needed; the defaults if None.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
        holes: whether the guide was trained on data with holes.

    Returns:
        ``(N, latent_dim)``, of several latents as many numbers as all of them have.

    Raises:
        UserError: x is no array of numbers, or the pair cannot be used on it.
    """
    found = infer_latents(model, guide, x, settings, num_samples=1, progress=progress, holes=holes)
    for words in found.warnings:
        warned(words)
    means = [values.reshape(len(values), -1) for name, values in found.arrays.items() if name.endswith("_mean")]
    return np.concatenate(means, axis=1)


def _fitted_to_seen(
    model: nn.Module, guide: nn.Module, data: Dataset, settings: InferConfig, advance: Callable[[int], object]
) -> LocalFit:
    """The guide's family fitted to what was seen of each row.

    Raises:
        UserError: it has none that could be fitted.
    """
    parts = factored(guide)
    if parts is None:
        raise UserError(
            f"{type(guide).__name__} has no input for what is missing, and no family that could be fitted to what was "
            "seen: train it on data with holes, reading batch.mask, or fill the holes."
        )
    return fit_locally(model, parts.family, parts.latents, data, settings, advance=advance)
