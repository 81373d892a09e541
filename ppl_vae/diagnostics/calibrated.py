"""Calibration of a pair as one result: the verdict, how the guide was fitted to the simulated data, the protocol."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.diagnostics.calibration import MIN_SIMULATIONS, Calibration, calibrate
from ppl_vae.estimates.estimate import Origin, Protocol, check_origin
from ppl_vae.evaluation.estimators import EvaluateConfig, fitted_to, given_for, protocol_of, refuse_point
from ppl_vae.guides.unseen import Fitted, lines_about, told_of
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.runtime.config import checked, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.shown import Row, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Calibrated(Shown):
    """What a calibration came to.

    Args:
        calibration: ranks and verdict.
        protocol: what it was made on, with what and how.
        fitted: the guide, and how its fits to the simulated data went, if there were any.
        infer: by what settings.
    """

    calibration: Calibration
    protocol: Protocol
    fitted: Fitted
    infer: InferConfig

    def rows(self) -> list[Row]:
        """A row for each coordinate."""
        return list(self.calibration.rows())

    def __str__(self) -> str:
        words = self.protocol.in_words(None if self.fitted.fits is None else to_plain(self.infer))
        return "\n".join([str(self.calibration), *lines_about(self.fitted, self.infer), *words])

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; the protocol last."""
        told = told_of(self.fitted, self.infer)
        return {**self.calibration.to_dict(), **told, "protocol": self.protocol.to_dict()}

    def figure(self, title: str = "") -> "Figure":
        """The ranks, drawn, with what was done and the verdict below; ``title`` says of what."""
        done = (
            f"{self.protocol.num_datapoints} simulations, rank of each latent among {self.protocol.num_samples} draws "
            f"of q. {self.calibration.verdict}"
        )
        return self.calibration.figure(f"{title}: {done}" if title else done)


def calibrate_pair(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: EvaluateConfig | None = None,
    origin: Origin | None = None,
    progress: bool | None = None,
) -> Calibrated:
    """:func:`ppl_vae.diagnostics.calibrate` of a pair whose guide may have no answer to simulated data: its rows are
    then fitted to it.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it.
        data: gives the shape of an observation, and the labels to simulate for and the holes to give the simulations,
            over and over; on the pair's device.
        settings: how many simulations (``limit``) and draws (``num_samples``), the seed, and those of local inference.
        origin: where the data comes from, for the protocol.
        progress: show a progress bar; None shows it on a terminal and in a notebook.

    Raises:
        UserError: the guide is a point, or as :func:`ppl_vae.diagnostics.calibrate`.
    """
    settings = checked(settings or EvaluateConfig(estimator="sbc"))
    settings.refuse_unread()
    check_origin(origin)
    refuse_point(guide, data, settings)
    if settings.num_simulated < MIN_SIMULATIONS:
        raise UserError(
            f"`limit`: calibration needs at least {MIN_SIMULATIONS} simulations, got {settings.num_simulated}."
        )
    met: list[tuple[Fitted, Dataset]] = []

    def fit(simulated: Dataset) -> nn.Module:
        met.append((fitted_to(model, guide, simulated, settings.infer, progress), simulated))
        return met[0][0].guide

    count = settings.num_simulated
    with bar(count, "simulation", "calibrating", progress) as done:
        y, c = given_for(data, settings)
        drawn = settings.draws, y, settings.seed, done.update
        calibration = calibrate(model, fit, data.event_shape, count, *drawn, holes=data, c=c)
    fitted, simulated = met[0]
    origin = (origin or Origin.unknown(data)).simulated(simulated)
    return Calibrated(
        calibration, protocol_of(model, fitted.guide, simulated, settings, origin), fitted, settings.infer
    )
