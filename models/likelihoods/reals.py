"""Likelihoods of real numbers: Normal and Student-t, with one scale, one a feature, or the decoder's."""

from collections.abc import Sequence
from typing import Annotated, Literal

import pyro.distributions as dist
import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.models.likelihoods.base import HASTE, Likelihood
from ppl_vae.networks.dense import positive, raw_scale
from ppl_vae.runtime.errors import UserError

Scale = Literal["auto", "one", "feature", "decoder"]

# Half a step between 256 grey levels: below it a density says nothing of the picture that was stored.
_SMALLEST_SCALE = 0.5 / 255
_FIRST_SCALE = 12**-0.5  # of a pixel that is uniform on [0, 1]
_SMALLEST_SHARE = 1e-3  # of a feature's standard deviation: most tables are written with fewer digits
_LEAST_DEGREES = 2.0  # of freedom, from which on there is a variance
_FIRST_DEGREES = 8.0


class LocationScale(Likelihood):
    """x = location + scale × noise, location and scale as Normal says; what the noise is, a subclass says.

    Args:
        x_mean: m, the mean of the data, ``(*event)``; not needed for `noise_scale` one.
        x_std: s, its standard deviations, likewise.
        kinds: what the columns of a table hold; none of images.
        noise_scale: How wide the noise is: one scale for all of x, one a feature, or the decoder's, another for each z.
            Auto is feature for tables and one for all else.

    Attributes:
        raw_scale: σ before :func:`ppl_vae.networks.dense.positive`, by ten: ``()``, or ``(*event)`` and in units of s.
        shift: m, ``(*event)``, a buffer; with one scale there is none.
        unit: s, likewise, 1 where a feature is constant.
    """

    raw_scale: Tensor
    shift: Tensor
    unit: Tensor

    def __init__(
        self,
        x_mean: Tensor | None = None,
        x_std: Tensor | None = None,
        kinds: Sequence[str] = (),
        *,
        noise_scale: Scale = "auto",
    ) -> None:
        super().__init__()
        self.scaled_by = ("feature" if kinds else "one") if noise_scale == "auto" else noise_scale
        if self.scaled_by == "one":
            self.raw_scale = nn.Parameter(raw_scale(torch.tensor(_FIRST_SCALE), _SMALLEST_SCALE) / HASTE)
            return
        if x_mean is None or x_std is None:
            raise UserError(f"`noise_scale` {self.scaled_by} is relative to the data; give x_mean and x_std.")
        self.register_buffer("shift", x_mean.clone())
        self.register_buffer("unit", torch.where(x_std > 0, x_std, 1.0))
        if self.scaled_by == "feature":
            self.raw_scale = nn.Parameter(torch.zeros_like(x_mean))

    @property
    def scale(self) -> Tensor:
        """σ: ``()``, above half a step of 256 grey levels, or ``(*event)``, above a thousandth of s.

        Raises:
            UserError: it comes from the decoder, for each z another.
        """
        if self.scaled_by == "decoder":
            raise UserError("the scale comes from the decoder, and is another for each z.")
        if self.scaled_by == "one":
            return positive(HASTE * self.raw_scale, _SMALLEST_SCALE)
        return self.unit * positive(HASTE * self.raw_scale, _SMALLEST_SHARE)

    def start(self, x_mean: Tensor) -> Tensor:
        """Where the location is the mean, and a scale from the decoder the data's standard deviation."""
        if self.scaled_by == "one":
            return x_mean
        location = (x_mean - self.shift) / self.unit
        return location if self.scaled_by == "feature" else torch.stack([location, torch.zeros_like(location)], dim=-1)

    def location_and_scale(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Location and scale, each as x."""
        if self.scaled_by == "one":
            return output, self.scale
        if self.scaled_by == "feature":
            return self.shift + self.unit * output, self.scale
        location, raw = output.unbind(-1)
        return self.shift + self.unit * location, self.unit * positive(raw, _SMALLEST_SHARE)


class Normal(LocationScale):
    """x ~ N(location, scale²), a density of real numbers or of grey levels.

        one        N(η, σ²)                  one σ, learned
        feature    N(m + s η, (s σ)²)        σ of each feature, learned; m and s, its mean and spread in the data
        decoder    N(m + s η, (s σ)²)        η and σ from the decoder: heteroscedastic

    Relative to m and s, columns of any scale are learned alike; densities are of x as it is. σ is
    softplus(·) + 10⁻³ there, so that no density is without bound.
    """

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        likelihood: dist.TorchDistribution = dist.Normal(*self.location_and_scale(output)).to_event(event_dim)
        return likelihood


class StudentT(LocationScale):
    """x ~ location + scale × t(ν): real numbers with outliers, which a Normal would give a wide scale.

        p(x) ∝ (1 + ((x − location) / scale)² / ν)^(−(ν + 1) / 2)

    Location and scale are the Normal's. The variance is scale² ν / (ν − 2); ν → ∞ is the Normal.

    Args:
        x_mean: m, as for Normal.
        x_std: s, likewise.
        kinds: likewise.
        degrees_of_freedom: ν of Student's t, above 2; none: learned, one a feature where the scale is not one for all.
    """

    def __init__(
        self,
        x_mean: Tensor | None = None,
        x_std: Tensor | None = None,
        kinds: Sequence[str] = (),
        *,
        noise_scale: Scale = "auto",
        degrees_of_freedom: Annotated[float, Field(gt=_LEAST_DEGREES)] | None = None,
    ) -> None:
        super().__init__(x_mean, x_std, kinds, noise_scale=noise_scale)
        self.degrees_of_freedom = degrees_of_freedom
        if degrees_of_freedom is None:
            first = raw_scale(torch.tensor(_FIRST_DEGREES), _LEAST_DEGREES) / HASTE
            shape = () if x_mean is None or self.scaled_by == "one" else x_mean.shape
            self.raw_degrees = nn.Parameter(first.expand(shape).clone())

    @property
    def degrees(self) -> Tensor | float:
        """ν: as it was set, or learned, ``()`` or ``(*event)``."""
        if self.degrees_of_freedom is not None:
            return self.degrees_of_freedom
        return positive(HASTE * self.raw_degrees, _LEAST_DEGREES)

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        location, scale = self.location_and_scale(output)
        likelihood: dist.TorchDistribution = dist.StudentT(self.degrees, location, scale).to_event(event_dim)
        return likelihood
