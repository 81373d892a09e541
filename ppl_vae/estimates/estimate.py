"""An estimate with its error, and the protocol that says what it may be compared with."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.caveats import words_of
from ppl_vae.estimates.fingerprint import fingerprint_of
from ppl_vae.programs.check import Likelihood, likelihood_label
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import Row, Shown, error_alone, with_error

# What a comparison compares; two results that differ only here can be ranked.
_COMPARED = ("model", "guide")
_HASHES = (*_COMPARED, "fingerprint")
_IN_FRONT = ("estimator", "num_samples", "num_datapoints", "data", "split")


@dataclass(frozen=True, eq=False)
class Estimate(Shown):
    """The mean over datapoints of a quantity in nats.

    It has two errors. One is over datapoints: how far the mean of other datapoints of the same kind, with draws of
    their own, would be. The other is that of the estimate on these datapoints: how far their mean with other draws
    would be. The first holds the second, so they are not to be added.

    Args:
        values: one for each datapoint, ``(N,)``, N ≥ 1.
        noise: of the draws, by independent stream, ``(G, N)``: for each datapoint terms whose squares add up to the
            variance of its value over draws. None where nothing was drawn, or a single draw, which does not tell.
        rise: what the last doubling of the number of draws added, in expectation, where the estimate is a bound that
            draws tighten; None where it is not.
    """

    values: Tensor
    noise: Tensor | None = None
    rise: "Estimate | None" = None

    @property
    def mean(self) -> float:
        """The mean over datapoints."""
        return float(self.values.double().mean())

    @property
    def stderr(self) -> float:
        """Its standard error over datapoints, s / √N; NaN for a single one."""
        if len(self.values) < 2:
            return math.nan
        return float(self.values.double().std() / len(self.values) ** 0.5)

    @property
    def monte_carlo_stderr(self) -> float:
        """Its standard error over draws on these datapoints; NaN where it is not known."""
        if self.noise is None:
            return math.nan
        found = float(self.noise.double().square().sum().sqrt() / len(self.values))
        # Draws of a point differ by rounding alone; an error that is not known stays so.
        return 0.0 if found <= 1e-12 * abs(self.mean) else found

    @property
    def stderr_of_each(self) -> Tensor:
        """The standard error of each datapoint's value over draws, ``(N,)``; NaN where it is not known."""
        if self.noise is None:
            return torch.full_like(self.values, math.nan)
        return self.noise.double().square().sum(0).sqrt()

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference at each datapoint: what the two share, such as how hard an x is, is no part of its errors.

        Raises:
            UserError: they are of different numbers of datapoints.
        """
        if len(self.values) != len(other.values):
            raise UserError(
                f"a paired difference needs the same datapoints; these estimates are of {len(self.values)} and of "
                f"{len(other.values)}; estimate both on the same datapoints."
            )
        noise = None
        if self.noise is not None and other.noise is not None:
            noise = self.noise - other.noise  # independent streams add up, shared ones cancel
        return Estimate(self.values.double() - other.values.double(), noise)

    def head(self, num: int) -> "Estimate":
        """That of the first ``num`` datapoints alone, of the same draws, without its rise."""
        return Estimate(self.values[:num], None if self.noise is None else self.noise[:, :num])

    def __neg__(self) -> "Estimate":
        return Estimate(-self.values, None if self.noise is None else -self.noise)

    def to_dict(self) -> dict[str, float | None]:
        """Mean and standard errors, as JSON takes them: None for what is not finite."""
        plain = {"mean": self.mean, "stderr": self.stderr, "monte_carlo_stderr": self.monte_carlo_stderr}
        return {name: value if math.isfinite(value) else None for name, value in plain.items()}

    def text(self, digits: int = 3, width: int = 0) -> str:
        """Mean ± standard error over datapoints (± that of the estimate on these datapoints), those that are known.

        Args:
            digits: decimals of a mean without an error.
            width: of the mean alone.
        """
        of_draws = self.monte_carlo_stderr
        bracket = f" (± {error_alone(of_draws)})" if 0 < of_draws < math.inf else ""
        return with_error(self.mean, self.stderr, digits, width) + bracket

    def __str__(self) -> str:
        return self.text()

    def rows(self) -> list[Row]:
        """One, of mean and standard errors."""
        return [self.to_dict()]


def errors_line(estimates: Iterable[Estimate]) -> str:
    """The unit of estimates, and which of their errors is which."""
    known = list(estimates)
    several = all(len(each.values) > 1 for each in known)
    errors = "± standard error over datapoints" if several else "of one, so no error over datapoints"
    if any(0 < each.monte_carlo_stderr < math.inf for each in known):
        errors += ", (±) of the estimate on these datapoints"
    return f"nats per datapoint, {errors}"


def rows_of(estimates: Mapping[str, Estimate]) -> list[Row]:
    """A row for each estimate, with its name."""
    return [{"name": name, **each.to_dict()} for name, each in estimates.items()]


def table_of(estimates: Mapping[str, Estimate]) -> str:
    """A line for each estimate, the ± of all below each other."""
    return "\n".join(f"{name:<16}{each.text(width=12)}" for name, each in estimates.items())


class Origin(NamedTuple):
    """Where datapoints come from, as a protocol tells it.

    Args:
        data: name of the data set.
        fingerprint: hash of the data and its splits.
        split: which part of it.
        binarization: how grey levels became bits.
        data_seed: seed of the split and of static binarization.
    """

    data: str
    fingerprint: str
    split: str
    binarization: str
    data_seed: int

    @classmethod
    def unknown(cls, data: Dataset) -> "Origin":
        """Of datapoints alone: a name for none, and a hash of these x."""
        return cls("given", _hash_of(data), "given", "given", 0)

    def simulated(self, data: Dataset) -> "Origin":
        """The same of data that the model has drawn: what remains of its origin is the name, and its holes if any."""
        split = "simulated" if data.mask is None else f"simulated, with holes as in {self.split}"
        return self._replace(fingerprint=_hash_of(data), split=split, binarization="simulated")


def check_origin(origin: object) -> None:
    """See that an origin, where there is one, is one; before an estimate is made, not after.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(origin, Origin | None):
        raise UserError(
            f"`origin` is a {type(origin).__name__}; give run.origin('test') of a run, an Origin of "
            "ppl_vae.estimates.estimate, or nothing."
        )


def _hash_of(data: Dataset) -> str:
    digest = hashlib.sha256(data.values().cpu().contiguous().numpy().tobytes())
    if data.mask is not None:
        digest.update(data.mask.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Protocol:
    """What an estimate was made on, with what and how; :meth:`unlike` says what forbids ranking two together.

    Args:
        data: name of the data set.
        fingerprint: hash of the data and its splits.
        split: which part of it.
        num_datapoints: how many observations, from its beginning.
        binarization: how grey levels became bits.
        data_seed: seed of the split and of static binarization.
        likelihood: whether p(x) is a likelihood of these x at all; see :func:`ppl_vae.programs.check.likelihood_label`.
        estimator: name of the estimator.
        num_samples: its draws for each datapoint.
        seed: seed of its draws, and of dynamic binarization's.
        model: hash of the model's weights alone, the same under every guide; see
            :func:`ppl_vae.estimates.fingerprint.fingerprint_of`.
        guide: hash of the weights of the guide that the estimate was made with, local rows included.
        details: settings that only this estimator has, by name.
    """

    data: str
    fingerprint: str
    split: str
    num_datapoints: int
    binarization: str
    data_seed: int
    likelihood: Likelihood
    estimator: str
    num_samples: int
    seed: int
    model: str
    guide: str
    details: Mapping[str, str | int | float | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        guide: nn.Module,
        data: Dataset,
        origin: "Origin | None",
        estimator: str,
        num_samples: int,
        seed: int,
        details: Mapping[str, Any] | None = None,
    ) -> "Protocol":
        """Read off what an estimate was made with.

        Args:
            model: p(x, z).
            guide: q(z | x), with which it was made, local rows included.
            data: the datapoints, as they were used.
            origin: where they come from; None where that is not known (:meth:`Origin.unknown`).
            estimator: its name.
            num_samples: draws for each datapoint.
            seed: of the draws.
            details: settings that only this estimator has.
        """
        origin = origin or Origin.unknown(data)
        return cls(
            data=origin.data,
            fingerprint=origin.fingerprint,
            split=origin.split,
            num_datapoints=len(data),
            binarization=origin.binarization,
            data_seed=origin.data_seed,
            likelihood=likelihood_label(model, data.probe()),
            estimator=estimator,
            num_samples=num_samples,
            seed=seed,
            model=fingerprint_of(model),
            guide=fingerprint_of(guide),
            details=details or {},
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def in_words(self, more: Mapping[str, Any] | None = None) -> list[str]:
        """What has to be said of its likelihood, if anything, and the fields with their values, in one line.

        Hashes, which tell a person nothing, are in :meth:`to_dict` only; so is that a likelihood is one.

        Args:
            more: fields to name besides.
        """
        plain = {name: value for name, value in self.to_dict().items() if name not in (*_HASHES, *_IN_FRONT)}
        if self.likelihood == "proper":
            del plain["likelihood"]
        plain |= plain.pop("details") | dict(more or {})
        made = f"estimator {self.estimator}, num_samples {self.num_samples}"
        of_what = f"on {self.num_datapoints} datapoints of {self.data} (split {self.split})"
        rest = ", ".join(f"{key} {value}" for key, value in plain.items())
        return [*words_of(self.to_dict()), f"{made}, {of_what}; {rest}"]

    def unlike(self, other: "Protocol") -> list[str]:
        """Names of the fields that forbid ranking the two together: all that differ but the weights' hashes."""
        return unlike(self.to_dict(), other.to_dict())


def unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """:meth:`Protocol.unlike` of protocols as they are stored; a field that only one of them has differs."""
    absent = object()
    return [
        name for name in {**one, **other} if name not in _COMPARED and one.get(name, absent) != other.get(name, absent)
    ]


def shared(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a stored protocol that results ranked together have in common."""
    return {name: value for name, value in protocol.items() if name not in _COMPARED}
