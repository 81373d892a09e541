"""Every public function that runs programs and is no training step, called once; none may change what it is given.

A new one is a line here: ``test_evaluations.py`` finds those that are missing.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae import Batch, UserError, evaluation
from ppl_vae.data import Dataset, checks
from ppl_vae.data.info import DataInfo
from ppl_vae.diagnostics import aggregate, calibrated, calibration, diagnosis, units
from ppl_vae.diagnostics import evaluation as whole
from ppl_vae.estimates import fingerprint
from ppl_vae.evaluation import (
    EvaluateConfig,
    annealing,
    bidirectional,
    bounds,
    estimators,
    gaps,
    local_gaps,
    over_draws,
    per_step,
    simulation,
    weight_tails,
)
from ppl_vae.explorer import exploring
from ppl_vae.guides import Diagonal, unseen
from ppl_vae.inference import ends, fitting, starts
from ppl_vae.inference.weights import Weights
from ppl_vae.objectives import elbo
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted
from ppl_vae.predictive import centre, checking, distributions, draws, generators, imputation, posteriors, rendering
from ppl_vae.predictive.latent_space import codes, directions, interpolation, nearest, planes, several, traversal, walks
from ppl_vae.programs import check, density, log_joint, structure
from ppl_vae.programs.anatomy import drawing, layers, trying
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen
from ppl_vae.training import film

weights = import_module("ppl_vae.programs.log_weights")  # whose name its own function has in the package

MODULES = (
    *(
        aggregate,
        annealing,
        bidirectional,
        bounds,
        calibration,
        diagnosis,
        fingerprint,
        gaps,
        log_joint,
        simulation,
        units,
        weights,
    ),
    *(
        weight_tails,
        over_draws,
        evaluation,
        estimators,
        local_gaps,
        per_step,
        whole,
        calibrated,
        check,
        checks,
        film,
        unseen,
        centre,
        density,
        structure,
        drawing,
        layers,
        trying,
        fitting,
        walks,
        elbo,
        draws,
        starts,
        ends,
    ),
    *(
        checking,
        codes,
        directions,
        distributions,
        posteriors,
        generators,
        imputation,
        interpolation,
        several,
        nearest,
        planes,
        rendering,
        traversal,
        exploring,
    ),
)
"""Where to look for them."""

_FITS = fitting.InferConfig(infer_window=2, infer_halvings=1, infer_steps=4)
_ANNEALING = annealing.AnnealingConfig(temperatures=2, leapfrog=1, start="guide", engine="eager")
_GAPS = gaps.GapsConfig(
    elbo_samples=2, num_samples=2, chains=2, temperatures=2, prior_temperatures=2, leapfrog=1, engine="eager"
)


def _frozen(function: Callable[..., object], on: "Given") -> None:
    with frozen(on.model, on.guide):
        for program in (on.model, on.guide):
            function(program, on.batch)


class Given(NamedTuple):
    """What the functions are called with: a pair whose latent is one vector z of size 2, and data for it."""

    model: nn.Module
    guide: nn.Module
    data: Dataset

    @property
    def batch(self) -> Batch:
        """All of the data."""
        return self.data.batch(torch.arange(len(self.data)))

    @property
    def event(self) -> tuple[int, ...]:
        return self.data.event_shape

    @property
    def latents(self) -> Latents:
        return Latents.of(self.model, self.batch)

    @property
    def info(self) -> DataInfo:
        """What is known of the data."""
        return DataInfo(self.event, 0, len(self.data), "")

    @property
    def of_data(self) -> tuple[nn.Module, nn.Module, Dataset, DataInfo]:
        return self.model, self.guide, self.data, self.info

    @property
    def holed(self) -> Dataset:
        """The data with a mask, under which the first number of all was not seen."""
        mask = torch.ones_like(self.data.kept, dtype=torch.bool)
        mask.view(-1)[0] = False
        return self.data.replace(mask=mask)

    def z(self, *leading: int) -> Tensor:
        """Some values of z."""
        return torch.linspace(-1, 1, 2 * torch.Size(leading).numel()).reshape(*leading, 2)


def refused(said: str, function: Callable[..., object], *given: object) -> None:
    """Call a function that refuses this pair in these words, once it has run it."""
    try:
        function(*given)
    except UserError as error:
        if said not in str(error):
            raise


EVALUATIONS: dict[str, Callable[[Given], object]] = {
    "aggregate.aggregate": lambda on: aggregate.aggregate(on.model, on.guide, on.data),
    "annealing.annealed_importance_bound": lambda on: annealing.annealed_importance_bound(
        on.model, on.guide, on.data, 2, _ANNEALING
    ),
    "annealing.reverse_annealed_bound": lambda on: annealing.reverse_annealed_bound(
        on.model, on.guide, on.data, on.z(len(on.data)), 2, _ANNEALING
    ),
    "bidirectional.bidirectional_bounds": lambda on: bidirectional.bidirectional_bounds(
        on.model, on.guide, on.data, {"z": on.z(len(on.data))}, 2, _ANNEALING
    ),
    "bounds.elbo": lambda on: bounds.elbo(on.model, on.guide, on.data, 2),
    "bounds.importance_bound": lambda on: bounds.importance_bound(on.model, on.guide, on.data, 2),
    "calibration.calibrate": lambda on: calibration.calibrate(on.model, on.guide, on.event, 20, 7),
    "simulation.simulate": lambda on: simulation.simulate(on.model, on.event, 3),
    "check.advice_on_scale": lambda on: check.advice_on_scale(on.model, on.batch, torch.tensor([1.0, 100.0])),
    "check.advice_on_likelihood": lambda on: check.advice_on_likelihood(on.model, on.guide, on.batch),
    "checks.advice_on": lambda on: checks.advice_on(on.data, on.model, on.guide),
    "check.check_pair": lambda on: check.check_pair(on.model, on.guide, on.batch),
    "checks.check_runs": lambda on: checks.check_runs(on.data, on.model, on.guide),
    "check.seeded_log_weights": lambda on: check.seeded_log_weights(on.model, on.guide, on.batch),
    "check.likelihood_label": lambda on: check.likelihood_label(on.model, on.batch),
    "diagnosis.diagnose": lambda on: diagnosis.diagnose(on.model, on.guide, on.data, 100),
    "ends.judged": lambda on: ends.judged(
        Weights(on.model, Diagonal(2), on.latents), on.batch, torch.zeros(2, len(on.data), 4), 0
    ),
    "posteriors.posterior_gaussians": lambda on: posteriors.posterior_gaussians(on.model, on.guide, on.data),
    "film.take_frame": lambda on: film.take_frame(on.model, on.guide, on.data, torch.linspace(-1, 1, 2)),
    "fingerprint.fingerprint_of": lambda on: fingerprint.fingerprint_of(on.model),
    "unseen.fit_locally": lambda on: unseen.fit_locally(
        on.model, Diagonal(2), on.latents, on.data, _FITS, lambda batch: on.guide.params(batch)
    ),
    "unseen.is_point": lambda on: unseen.is_point(on.guide, on.data),
    "unseen.fitted_for": lambda on: unseen.fitted_for(on.model, on.guide, on.data, _FITS),
    "unseen.guide_for": lambda on: unseen.guide_for(on.model, on.guide, on.data, _FITS),
    "gaps.take_apart": lambda on: gaps.take_apart(on.model, on.guide, {"own": on.guide}, on.data, _GAPS),
    "checking.predictive_checks": lambda on: refused("is no table", checking.predictive_checks, *on.of_data),
    "centre.has_mean": lambda on: centre.has_mean(on.model, on.batch),
    "density.points_of": lambda on: density.points_of(on.guide, on.batch),
    "density.is_drawn": lambda on: density.is_drawn(on.guide, on.batch),
    "over_draws.runs_for": lambda on: over_draws.runs_for(on.guide, on.data),
    "over_draws.sums_over_draws": lambda on: over_draws.sums_over_draws(
        on.model, on.guide, on.data, lambda batch, *of: weights.log_weights(on.model, on.guide, batch, *of), 2, log=True
    ),
    "density.has_density": lambda on: density.has_density(on.guide, on.batch),
    "density.refuse_points": lambda on: density.refuse_points(on.guide, on.batch, ""),
    "structure.reads_labels": lambda on: structure.reads_labels(on.model, on.batch),
    "structure.reads_conditions": lambda on: structure.reads_conditions(on.model, on.batch),
    "drawing.reparameterised": lambda on: drawing.reparameterised(on.guide, on.batch),
    "layers.networks": lambda on: layers.networks(on.model, on.guide, on.batch),
    "trying.learned": lambda on: _frozen(trying.learned, on),
    "trying.tried": lambda on: _frozen(trying.tried, on),
    "structure.graphical_model": lambda on: [
        structure.graphical_model(program, on.batch) for program in (on.model, on.guide)
    ],
    "local_gaps.gaps_by_family": lambda on: local_gaps.gaps_by_family(
        on.model, on.guide, {"own": Diagonal(2)}, on.data, _GAPS, _FITS
    ),
    "estimators.estimates": lambda on: estimators.estimates(on.model, on.guide, on.data, EvaluateConfig(num_samples=2)),
    "estimators.fitted_to": lambda on: estimators.fitted_to(on.model, on.guide, on.data, _FITS),
    "estimators.refuse_point": lambda on: estimators.refuse_point(on.guide, on.data, EvaluateConfig(estimator="iwae")),
    "estimators.protocol_of": lambda on: estimators.protocol_of(on.model, on.guide, on.data, EvaluateConfig(), None),
    "per_step.has_steps": lambda on: per_step.has_steps(on.model, on.data, "plain"),
    "evaluation.evaluate": lambda on: whole.evaluate(
        on.model, on.guide, on.data, EvaluateConfig(estimator="iwae", num_samples=2), diagnosed=False, each=True
    ),
    "calibrated.calibrate_pair": lambda on: calibrated.calibrate_pair(
        on.model, on.guide, on.data, EvaluateConfig(estimator="sbc", num_samples=7, limit=20)
    ),
    "fitting.infer": lambda on: fitting.infer(on.model, Diagonal(2), on.data, init=on.guide.params, settings=_FITS),
    "walks.codes_of": lambda on: [
        walks.codes_of(on.model, on.guide, on.data, kind=kind) for kind in ("means", "samples")
    ],
    "walks.decode_codes": lambda on: walks.decode_codes(on.model, on.latents, on.z(3), on.event),
    "walks.draws_along": lambda on: walks.draws_along(on.model, on.latents, on.z(2, 3), on.event, 0),
    "log_joint.draw": lambda on: log_joint.draw(on.guide, on.latents, on.batch, 3),
    "log_joint.draw_with_likelihood": lambda on: log_joint.draw_with_likelihood(on.model, on.latents, on.batch, 3),
    "log_joint.likelihood_of_draws": lambda on: log_joint.likelihood_of_draws(on.model, on.batch, 3),
    "log_joint.log_guide": lambda on: log_joint.log_guide(on.guide, on.latents, on.batch, on.z(2, len(on.data))),
    "log_joint.log_likelihood": lambda on: log_joint.log_likelihood(on.model, on.batch, {"z": on.z(2, len(on.data))}),
    "log_joint.log_prior_and_likelihood": lambda on: log_joint.log_prior_and_likelihood(
        on.model, on.latents, on.batch, on.z(2, len(on.data))
    ),
    "log_weights.log_weights": lambda on: weights.log_weights(on.model, on.guide, on.batch, 2),
    "log_weights.weighted_draws": lambda on: weights.weighted_draws(on.model, on.guide, on.batch, 2),
    "elbo.require_closed_forms": lambda on: elbo.require_closed_forms(on.model, on.guide, on.batch),
    "draws.decode": lambda on: draws.decode(on.model, {"z": on.z(3)}, on.event),
    "draws.draw_at": lambda on: draws.draw_at(on.model, {"z": on.z(3)}, on.event),
    "draws.expected_reconstruction": lambda on: draws.expected_reconstruction(
        on.model, {"z": on.z(2, len(on.data))}, on.batch
    ),
    "draws.has_standard_normal_prior": lambda on: draws.has_standard_normal_prior(on.model, on.batch),
    "draws.label_sheet": lambda on: draws.label_sheet(on.model, on.event, torch.arange(2), 2),
    "draws.latent_grid": lambda on: draws.latent_grid(on.model, on.event, torch.linspace(-1, 1, 2)),
    "draws.plane_site": lambda on: draws.plane_site(on.model, on.event),
    "posteriors.posterior_moments": lambda on: posteriors.posterior_moments(on.guide, on.batch),
    "draws.posterior_predictive": lambda on: draws.posterior_predictive(on.model, on.guide, on.batch),
    "posteriors.posterior_samples": lambda on: posteriors.posterior_samples(on.guide, on.batch, 2),
    "draws.prior_predictive": lambda on: draws.prior_predictive(on.model, on.event, 3),
    "starts.likely_points": lambda on: starts.likely_points(on.model, on.latents, on.batch, 2),
    "starts.placing": lambda on: starts.placing(Diagonal(2), on.z(1))(on.z(3)),
    "starts.starting_rows": lambda on: starts.starting_rows(
        on.model, Diagonal(2), on.latents, on.batch, 3, guide=on.guide
    ),
    "units.units": lambda on: units.units(on.model, on.guide, on.data),
    "weight_tails.weight_tails": lambda on: weight_tails.weight_tails(on.model, on.guide, on.data, 100),
    "codes.decode_ways": lambda on: codes.decode_ways(on.model, on.data, on.info, on.z(2, 3), None, 0),
    "codes.encode": lambda on: codes.encode(on.model, on.guide, on.data, torch.tensor([1, 0])),
    "codes.label_number": lambda on: codes.label_number(on.model, on.info, None),
    "codes.labels_for": lambda on: codes.labels_for(on.model, on.info, None, torch.zeros(2)),
    "directions.arithmetic": lambda on: directions.arithmetic(*on.of_data, subtract=[0], add=[1]),
    "distributions.conditional": lambda on: refused(
        "no labels and no conditions", distributions.conditional, on.model, on.info
    ),
    "distributions.posterior": lambda on: distributions.posterior(*on.of_data),
    "distributions.prior": lambda on: distributions.prior(on.model, on.info, 3),
    "exploring.explored": lambda on: refused("cannot be explored", exploring.explored, *on.of_data),
    "generators.of_model": lambda on: generators.of_model(on.model, on.info).sheet(2, 2),
    "interpolation.interpolate": lambda on: interpolation.interpolate(*on.of_data, images=[0, 2]),
    "nearest.neighbours": lambda on: nearest.neighbours(*on.of_data, images=[0, 2], count=2),
    "planes.grid": lambda on: planes.grid(on.model, on.info, 3, spacing="quantiles"),
    "planes.hollow_plane": lambda on: refused("no empty place between", planes.hollow_plane, *on.of_data, 1),
    "rendering.centre": lambda on: rendering.centre(on.model, on.info),
    "rendering.device_of": lambda on: rendering.device_of(on.model),
    "rendering.is_drawn": lambda on: rendering.is_drawn(on.model, on.info),
    "rendering.shown_of": lambda on: rendering.shown_of(
        on.model, on.info, draws.prior_predictive(on.model, on.event, 2)
    ),
    "imputation.impute": lambda on: imputation.impute(on.model, on.guide, on.holed, on.info, 5, 2),
    "imputation.imputed": lambda on: imputation.imputed(on.model, on.guide, on.holed, 5, 2),
    "several.several_codes": lambda on: several.several_codes(*on.of_data, images=[0, 2], num_draws=2),
    "check.takes_bits_alone": lambda on: check.takes_bits_alone(on.model, on.batch),
    "check.takes_counts": lambda on: check.takes_counts(on.model, on.batch),
    "check.given_totals": lambda on: check.given_totals(on.model),
    "rendering.shows_noise": lambda on: rendering.shows_noise(on.model, on.info),
    "rendering.shows_means": lambda on: rendering.shows_means(on.model, on.info),
    "rendering.takes_labels": lambda on: rendering.takes_labels(on.model, on.info),
    "rendering.takes_conditions": lambda on: rendering.takes_conditions(on.model, on.info),
    "rendering.at_means": lambda on: rendering.at_means(on.model, on.info),
    "traversal.traverse": lambda on: traversal.traverse(*on.of_data, units.units(on.model, on.guide, on.data), image=1),
    # Methods, which are not looked for.
    "latents.Latents.of": lambda on: Latents.of(on.model, on.batch),
    "TraceELBO.check": lambda on: TraceELBO(analytic_kl=True).check(on.model, on.guide, on.batch),
    "TraceELBO.loss": lambda on: TraceELBO().loss(on.model, on.guide, on.batch),
    "ImportanceWeighted.check": lambda on: ImportanceWeighted(2, doubly_reparameterised=True).check(
        on.model, on.guide, on.batch
    ),
}
"""By the function's name."""

QUESTIONS = {
    *(
        "centre.has_mean",
        "checking.predictive_checks",
        "unseen.is_point",
        "codes.label_number",
        "codes.labels_for",
        "rendering.centre",
        "rendering.device_of",
        "rendering.is_drawn",
        "check.given_totals",
        "check.takes_bits_alone",
        "check.takes_counts",
        "imputation.imputed",
        "rendering.shows_noise",
        "rendering.shows_means",
        "rendering.takes_labels",
        "rendering.takes_conditions",
        "rendering.at_means",
        "check.check_pair",
        "checks.check_runs",
        "check.likelihood_label",
        "check.seeded_log_weights",
        "density.has_density",
        "density.is_drawn",
        "over_draws.runs_for",
        "density.points_of",
        "density.refuse_points",
        "drawing.reparameterised",
        "layers.networks",
        "trying.learned",
        "trying.tried",
        "structure.graphical_model",
        "structure.reads_labels",
        "structure.reads_conditions",
    ),
    *(
        "draws.has_standard_normal_prior",
        "draws.plane_site",
        "latents.Latents.of",
        "fingerprint.fingerprint_of",
    ),
    *("elbo.require_closed_forms", "TraceELBO.check", "ImportanceWeighted.check"),
    # What is given a seed.
    *("annealing.annealed_importance_bound", "annealing.reverse_annealed_bound", "bounds.elbo", "film.take_frame"),
    "bidirectional.bidirectional_bounds",
    *("bounds.importance_bound", "calibration.calibrate", "simulation.simulate", "diagnosis.diagnose"),
    *("estimators.estimates", "estimators.fitted_to", "estimators.refuse_point", "estimators.protocol_of"),
    *("per_step.has_steps", "evaluation.evaluate", "calibrated.calibrate_pair", "local_gaps.gaps_by_family"),
    *("gaps.take_apart", "fitting.infer", "unseen.fit_locally", "unseen.fitted_for", "unseen.guide_for"),
    *("walks.draws_along", "ends.judged", "starts.placing", "over_draws.sums_over_draws"),
}
"""Those that leave random generators alone too; the others draw from torch's own."""
