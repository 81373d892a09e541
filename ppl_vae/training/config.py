"""The settings of a fit, and the objective that they name."""

import math
from collections.abc import Iterable
from dataclasses import field
from inspect import signature
from typing import Annotated, Literal

from pydantic import Field
from torch import nn
from typing_extensions import Doc

from ppl_vae.networks.precision import Precision
from ppl_vae.objectives.elbo import Objective
from ppl_vae.objectives.named import OBJECTIVES, OBJECTIVES_IN_WORDS, ObjectiveName
from ppl_vae.programs.rows import tables_of
from ppl_vae.runtime.config import Count, CountOrZero, Seed, config, refuse_unread
from ppl_vae.runtime.errors import UserError
from ppl_vae.svi import OptimizerConfig
from ppl_vae.svi.schedule import PLATEAU_EPOCHS
from ppl_vae.tracing.capture import Engine


@config
class FitConfig:
    """How to fit."""

    epochs: Count = 100
    """Passes over the training data."""
    batch_size: Annotated[int, Field(ge=1, lt=2**31)] = 128
    """Datapoints whose gradient is worked out at once, of all processes together; they make a step."""
    accumulate: Count = 1
    """Batches that make a step, whose gradients are added up: as one of so many times the datapoints, in the memory of
    one."""
    objective: Annotated[ObjectiveName, Doc(f"What to maximise: {OBJECTIVES_IN_WORDS}.")] = "elbo"
    num_particles: Count = 1
    """Draws of z for each datapoint in a step."""
    kl_weight: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Factor of the KL in the loss (beta); reported bounds always have 1."""
    drop: Literal["nothing", "kl", "reconstruction"] = "nothing"
    """A term of the ELBO to leave out of the loss: without kl a guide shrinks to an autoencoder's points, without
    reconstruction it becomes the prior. Reported bounds always have both."""
    kl_warmup: CountOrZero = 0
    """Epochs over which that factor rises linearly from zero."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better validation bound and keep the best weights; 0 never stops."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer."""
    seed: Seed = 0
    """Seed of everything drawn in training."""
    engine: Engine = "auto"
    """How to take steps: eager, in plain Pyro; traced, compiled once and replayed; auto, whichever of the two
    finishes sooner."""
    precision: Precision = "float32"
    """Of the networks' matrix products: float32, tf32 (on NVIDIA GPUs) or bf16; densities and sums stay in float32."""
    device: str = "auto"
    """Where to compute: auto (CUDA, then MPS, then the CPU), cpu, cuda, cuda:1, mps."""

    @property
    def step_size(self) -> int:
        """Datapoints in a step."""
        return self.batch_size * self.accumulate

    def steps_per_epoch(self, num_data: int) -> int:
        """Steps that an epoch over so many datapoints takes."""
        return math.ceil(num_data / self.step_size)

    @property
    def steps_in_words(self) -> str:
        """What makes a step, in a few words."""
        batches = f"batches of {self.batch_size}"
        if self.accumulate > 1:
            batches = f"steps of {self.accumulate} {batches}"
        return f"{batches}, {self.optimizer.in_words}"

    def refuse_unread(self, *programs: nn.Module, named: Iterable[str] = ()) -> None:
        """See that training these models and guides reads all that was set, by a value of its own or by name, and that
        the optimizer can move them.

        Raises:
            UserError: it does not, or cannot.
        """
        if not tables_of(*programs):
            refuse_unread(self, ["row_learning_rate"], "per-datapoint guides", named)
        self.optimizer.check(*programs)


def doubts_about(settings: FitConfig, goes_on: bool = False) -> list[str]:
    """What settings do that their names do not say, in words.

    Args:
        settings: of the fit.
        goes_on: whether others are to follow it, so that its epochs are not all of the training.
    """
    found = []
    several = OBJECTIVES[settings.objective].tightens
    if several and settings.num_particles == 1:
        found.append(f"`objective` {settings.objective} with 1 draw of z is the ELBO; give `num_particles` 5 or more.")
    epochs, of_rates = settings.epochs, settings.optimizer
    found += of_rates.doubts
    for name, length, what in (
        ("kl_warmup", settings.kl_warmup, "the KL has its"),
        ("rate_warmup", of_rates.rate_warmup, "step sizes have their"),
    ):
        if length >= epochs and not goes_on:
            found.append(
                f"`{name}` {length} is no shorter than the training, `epochs` {epochs}: {what} full size in its "
                "last step at most; give fewer epochs of it."
            )
    if of_rates.schedule == "plateau" and 0 < settings.patience <= PLATEAU_EPOCHS:
        found.append(
            f"`patience` {settings.patience} ends training before `schedule` plateau, which waits {PLATEAU_EPOCHS} "
            "epochs, has lowered the step sizes; give more."
        )
    return found


def refuse_unfit(settings: FitConfig, guide: nn.Module, validation: object) -> None:
    """See that what waits for a better validation bound has one, and that weights that are averaged move at each step.

    Raises:
        UserError: there is no validation data, or the guide has a q for its training data only.
    """
    plateau = settings.optimizer.schedule == "plateau"
    for name, asked, without in (
        ("patience", settings.patience, "patience 0"),
        ("`schedule` plateau", plateau, "`schedule` cosine"),
    ):
        if asked and validation is None:
            raise UserError(f"{name} needs validation data; give a larger validation fraction, or {without}.")
        if asked and tables_of(guide):
            raise UserError(
                f"{name} needs a guide with a q for unseen data; a per-datapoint guide has one for its training data "
                "only."
            )
    if settings.optimizer.weight_average and tables_of(guide):
        raise UserError(
            "`weight_average` needs a guide without rows per datapoint: each moves once an epoch, and a mean would lag "
            "behind by many."
        )


def final_kl_weight(settings: FitConfig) -> float:
    """The factor of the KL in the loss after its warm-up."""
    return 0.0 if settings.drop == "kl" else settings.kl_weight


def loss_in_words(settings: FitConfig, of_point: bool = False) -> str:
    """What the loss is, in words, where it is not simply minus the bound; else nothing.

    Args:
        settings: of the fit.
        of_point: whether q is a point, whose −log p(z) stands where the KL of others does.
    """
    weight = final_kl_weight(settings)
    if settings.drop == "reconstruction":
        return f"the loss is {'minus log p(z)' if of_point else 'the KL'} alone"
    if weight == 0:
        if OBJECTIVES[settings.objective].tightens:  # a mean of p(x | z) inside a logarithm is no reconstruction
            return "the KL has no part in the loss"
        return "the loss is minus the reconstruction alone"
    factor = "" if weight == 1 else f"{weight:g} times "
    if of_point:
        return f"the loss is minus the reconstruction, minus {factor}log p(z)"
    return f"the KL has weight {weight:g} in the loss" if factor else ""


def objective_of(settings: FitConfig) -> Objective:
    """The objective that the settings name.

    Args:
        settings: of the fit.

    Raises:
        UserError: terms of a bound that has none are to be dropped, or a factor is set of a term that is.
    """
    if settings.drop == "kl" and (settings.kl_weight not in (0.0, 1.0) or settings.kl_warmup):
        raise UserError("`drop` kl leaves no KL in the loss for `kl_weight` or `kl_warmup`; leave them out.")
    if settings.drop == "reconstruction" and settings.kl_weight == 0:
        raise UserError("`drop` reconstruction with `kl_weight` 0 leaves nothing of the loss; raise `kl_weight`.")
    make = OBJECTIVES[settings.objective].make
    if settings.drop == "nothing":
        return make(settings.num_particles)
    if "reconstruct" not in signature(make).parameters:
        raise UserError(
            f"`drop` {settings.drop}: `objective` {settings.objective} has no such term; use `objective` elbo."
        )
    return make(settings.num_particles, reconstruct=settings.drop != "reconstruction")


def weights_in_words(settings: FitConfig) -> str:
    """Which weights a fit keeps, in words, where they are not simply those of its last or best epoch; else nothing."""
    decay = settings.optimizer.weight_average
    return f"weights: their running mean over steps, with decay {decay:g}" if decay else ""
