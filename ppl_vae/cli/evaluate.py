"""``ppl-vae evaluate``: bounds on log p(x), with their errors, protocol and diagnostics."""

import json
import math
import sys
from dataclasses import field
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.data.labels import unseen_among
from ppl_vae.diagnostics import Diagnostics, diagnose
from ppl_vae.diagnostics.aggregate import Aggregate
from ppl_vae.evaluation import Estimate, Protocol
from ppl_vae.evaluation.errors_shown import errors_line, with_error, with_errors
from ppl_vae.evaluation.per_datapoint import as_csv, per_datapoint
from ppl_vae.evaluation.significance import still_rising
from ppl_vae.evaluation.weight_tails import WeightTails, weight_tails
from ppl_vae.figures import numbers
from ppl_vae.guides.unseen import Fitted, counts_of, doubts_about, notes_on
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.density import has_density
from ppl_vae.reports.caveats import POINT_IN_WORDS, words_of
from ppl_vae.runs.estimators import EvaluateConfig, Evaluated, calibrate_run, evaluate_run, fitted_guide
from ppl_vae.runs.opened import OpenedRun, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_file, write_figure, write_new
from ppl_vae.runs.per_step import beside_ngrams, per_step_lines
from ppl_vae.runtime.config import config, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import CannotWriteError, write_text
from ppl_vae.runtime.seeding import seeded, stream

_DIAGNOSED = 500  # datapoints that diagnostics look at where not so many are asked for: a thousand draws of each
_DIAGNOSTIC_DRAWS = 1000
_LOW_ACCEPTANCE = 0.4  # the step sizes aim at 0.65


@config
class Evaluate:
    """Estimate log p(x), the ELBO and its parts, or test the guide's calibration.

    elbo and iwae come with diagnostics: the weights' effective sample size and PSIS k, KL and activity of each latent
    unit, mutual information, and warnings in words. bdmc and sbc work on data simulated by the model; sbc also draws
    the ranks. Of sequence models nats per step too, beside a unigram's and a bigram's of the same data.

    examples:
      ppl-vae evaluate runs/mnist
      ppl-vae evaluate runs/mnist --estimator iwae --num-samples 500 --limit 1000 --json
      ppl-vae evaluate runs/mnist --estimator ais --limit 100 --temperatures 1000
      ppl-vae evaluate runs/mnist --estimator bdmc --limit 50 --temperatures 500
      ppl-vae evaluate runs/mnist --estimator sbc
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    settings: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The estimate."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    diagnose: bool = True
    """With elbo and iwae, diagnostics, on as many datapoints as --limit says, or on the first 500."""
    per_datapoint: Path | None = None
    """Write what was found of each datapoint as CSV: index, elbo, reconstruction, kl, log_px, k_hat, ess."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        if self.per_datapoint:
            if self.settings.estimator in ("bdmc", "sbc"):
                raise UserError(f"--per-datapoint is for elbo, iwae and ais, not for {self.settings.estimator}.")
            refuse_existing_file(self.per_datapoint, "--per-datapoint")
        opened = open_run(self.run_directory, self.device, self.opening)
        if self.settings.estimator == "sbc":
            self._calibrate(opened)
            return
        evaluated = evaluate_run(opened, self.settings)
        prior = self.settings.estimator == "ais" and self.settings.annealing.start == "prior"
        if prior and self.per_datapoint:  # annealing has looked at no guide, the table has columns of one
            evaluated = evaluated._replace(fitted=fitted_guide(opened, evaluated.data, self.settings.infer))
        for words in unseen_among(opened.info, f"{evaluated.protocol.split} data", evaluated.data.y):
            print(f"warning: {words}", file=sys.stderr)
        protocol = evaluated.protocol
        headline = next(iter(evaluated.results))
        plain, lines = as_json(evaluated.results, protocol), [_as_table(evaluated.results)]
        if (rise := evaluated.results[headline].rise) and self.settings.estimator != "bdmc":
            plain["rise"] = rise.to_dict() | {"still_rising": still_rising(evaluated.results[headline])}
            lines += _rise_lines(evaluated.results[headline], self.settings)
        if evaluated.acceptance is not None:
            plain["acceptance"] = _number(evaluated.acceptance)
            lines += _acceptance_lines(evaluated.acceptance)
        simulated = self.settings.estimator == "bdmc"
        if not simulated and (found := beside_ngrams(opened, headline, evaluated.results[headline], evaluated.data)):
            plain["per_step"] = found.to_dict()
            lines += per_step_lines(found)
        plain |= _fits(evaluated.fitted, self.settings.infer)
        lines += _fits_lines(evaluated.fitted, self.settings.infer)
        diagnostics = None
        if self.diagnose and self.settings.estimator in ("elbo", "iwae") and protocol.num_datapoints > 1:
            diagnostics = self._diagnosed(opened, evaluated)
            plain["diagnostics"] = diagnostics.to_dict()
            lines += diagnostics_lines(diagnostics)
            if self.settings.estimator == "iwae":  # what is wrong with the bound does not touch the ELBO
                lines += [f"warning: {warning}" for warning in diagnostics.bound_warnings]
        if self.per_datapoint:
            weights = diagnostics.weights if diagnostics else self._weights(opened, evaluated)
            write_text(self.per_datapoint, as_csv(per_datapoint(evaluated.results, weights)), new=True)
            lines.append(
                f"{self.per_datapoint}: {', '.join(evaluated.results)} as above, the rest by {_DIAGNOSTIC_DRAWS} draws"
            )
        if "elbo" in evaluated.results and not has_density(evaluated.fitted.guide, evaluated.data.probe()):
            plain["warning"] = POINT_IN_WORDS
            lines.append(f"warning: {POINT_IN_WORDS}")
        lines.append(errors_line(evaluated.results.values()))
        lines += _protocol_lines(protocol, evaluated.fitted, self.settings.infer)
        print(json.dumps(plain) if self.json else "\n".join(lines))

    def _diagnosed(self, opened: OpenedRun, evaluated: Evaluated) -> Diagnostics:
        """Diagnostics on the datapoints that were evaluated, with the guide that they were evaluated with."""
        asked = self.settings.limit or self.per_datapoint
        num = len(evaluated.data) if asked else min(_DIAGNOSED, len(evaluated.data))
        with tqdm(total=num, unit="datapoint", desc="diagnosing", disable=None, leave=False) as bar:
            pair = opened.pair.model, evaluated.fitted.guide
            return diagnose(*pair, evaluated.data, _DIAGNOSTIC_DRAWS, self.settings.seed, bar.update, num)

    def _weights(self, opened: OpenedRun, evaluated: Evaluated) -> WeightTails | None:
        """The weights of the draws that diagnostics make, where they were not asked for."""
        data, guide = evaluated.data, evaluated.fitted.guide
        with seeded(stream(self.settings.seed, "draws"), data.x.device):
            if not has_density(guide, data.probe()):
                return None
            return weight_tails(opened.pair.model, guide, data, _DIAGNOSTIC_DRAWS)

    def _calibrate(self, opened: OpenedRun) -> None:
        calibration, protocol, fitted = calibrate_run(opened, self.settings)
        infer = self.settings.infer
        caption = (
            f"{opened.run.path.name}: {protocol.num_datapoints} simulations, rank of each latent among "
            f"{protocol.num_samples} draws of q. {calibration.verdict}"
        )
        figure = figures.calibration(calibration.ranks, calibration.num_samples, calibration.names, caption)
        picture, problem = None, None
        try:
            folder = opened.run.figures
            picture = write_new(
                None,
                lambda: numbered(folder, "calibration", ".png", ".svg"),
                lambda path: write_figure(path, figure),
            )
        except CannotWriteError as error:
            problem = error  # a folder that cannot be written to must not cost the verdict
        if self.json:
            plain = {**calibration.to_dict(), **_fits(fitted, infer), "picture": str(picture) if picture else None}
            print(json.dumps({**plain, "protocol": protocol.to_dict()}), flush=True)
        else:
            lines = [calibration.verdict, *_fits_lines(fitted, infer), *_protocol_lines(protocol, fitted, infer)]
            print("\n".join(lines), flush=True)
        if problem:
            raise problem
        if not self.json:
            print(f"picture  {picture}")


def _rise_lines(bound: Estimate, settings: EvaluateConfig) -> list[str]:
    """What is known of how far a bound is from what it would come to."""
    assert bound.rise
    what = "chains" if settings.estimator == "ais" else "draws"
    lines = [f"of half of the {settings.draws} {what} it is {_small(bound.rise)} nats lower"]
    if still_rising(bound):
        advice = "--temperatures" if what == "chains" else "--num-samples, or take --estimator ais"
        lines.append(f"warning: by more than its error, so log p(x) is higher than it says; raise {advice}.")
    return lines


def _small(estimate: Estimate) -> str:
    """A small number with its errors, two digits of each."""
    of_draws = estimate.monte_carlo_stderr
    bracket = f" (± {of_draws:.2g})" if math.isfinite(of_draws) else ""
    return numbers.with_error(estimate.mean, estimate.stderr, 3) + bracket


def _acceptance_lines(acceptance: float) -> list[str]:
    lines = [f"acceptance {acceptance:.2f} of the Hamiltonian transitions"]
    if acceptance < _LOW_ACCEPTANCE:
        lines.append(
            "warning: chains that hardly move: the steps that their pilot found are too long; raise --temperatures, "
            "with which it grows longer."
        )
    return lines


def _fits(fitted: Fitted, infer: InferConfig) -> dict[str, Any]:
    """How local inference went and by what settings, for JSON; nothing where there was none.

    Beside the protocol, not in it: it tells how the guide was come by, and guides are what a comparison compares.
    """
    if fitted.fits is None:
        return {}
    return {"local_fits": counts_of(fitted.fits) | to_plain(infer)}


def _fits_lines(fitted: Fitted, infer: InferConfig) -> list[str]:
    if fitted.fits is None:
        return []
    return [*notes_on(fitted.fits), *(f"warning: {doubt}" for doubt in doubts_about(fitted.fits, infer))]


def diagnostics_lines(found: Diagnostics) -> list[str]:
    """The diagnostics in a few lines, warnings of the pair last."""
    lines = [f"on the first {found.num_datapoints} datapoints, {found.num_samples} draws of each:"]
    if found.weights:
        ess, khat = found.weights.ess, found.weights.khat_quantile
        lines.append(f"  effective sample size {with_error(ess, 1)} of {found.num_samples} draws")
        if rise := found.weights.log_px.rise:
            lines.append(f"  importance bound of half of the draws {_small(rise)} nats lower")
        if found.left_out:
            more = 100 * found.left_out.share
            lines.append(f"  draws from the prior find more of log p(x) on {more:.0f} % of datapoints")
        lines.append(
            f"  PSIS k̂ median {khat(0.5):.2f}, 95 % below {khat(0.95):.2f}; above 0.7 on "
            f"{100 * found.weights.unreliable:.0f} % of datapoints"
        )
    lines.append(f"  active units {found.units.num_active} of {len(found.units.names)}")
    if found.aggregate:
        lines += [f"  {line}" for line in _information_lines(found.aggregate)]
    lines += [f"  {note}" for note in found.notes]
    return [*lines, *(f"warning: {warning}" for warning in found.warnings)]


def _information_lines(over_data: Aggregate) -> list[str]:
    name = "mutual information I(x; z)"
    low, high = over_data.mutual_information, over_data.mutual_information_upper
    if over_data.vague:
        most = f"it may be {high.mean:.1f} nats" if math.isfinite(high.mean) else "it may be anything"
        return [
            f"{name} left out: {most}, and to tell takes more than e to that power of datapoints; these are "
            f"{over_data.num_datapoints}, e to the power of {over_data.log_num:.1f}"
        ]
    lines = [f"{name} {_between(over_data, low, high)}"]
    if over_data.kl_to_prior and over_data.kl_to_prior_lower:
        lines.append(f"KL(q(z) ‖ p(z)) {_between(over_data, over_data.kl_to_prior_lower, over_data.kl_to_prior)}")
    return lines


def _between(over_data: Aggregate, low: Estimate, high: Estimate) -> str:
    """One number where its two ends say the same, else both: a single one would claim to know."""
    if not over_data.wide:
        return f"{with_error(low)} nats"
    return f"between {low.mean:.2f} and {high.mean:.2f} nats"


def as_json(results: dict[str, Estimate], protocol: Protocol) -> dict[str, Any]:
    """The headline first: its value and errors, over datapoints and over draws, then the other parts with theirs."""
    plain: dict[str, Any] = {}
    for name, estimate in results.items():
        prefix = f"{name}_" if plain else ""
        found = estimate.to_dict()
        plain |= {name: found.pop("mean"), **{f"{prefix}{error}": value for error, value in found.items()}}
    return {**plain, "unit": "nats per datapoint", "protocol": protocol.to_dict()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _as_table(results: dict[str, Estimate]) -> str:
    return "\n".join(f"{name:<16}{with_errors(value, 3, 12)}" for name, value in results.items())


def _protocol_lines(protocol: Protocol, fitted: Fitted, infer: InferConfig) -> list[str]:
    fields = protocol.to_dict()
    fields |= fields.pop("details")
    if fitted.fits is not None:
        fields |= to_plain(infer)
    return [*words_of(fields), ", ".join(f"{key} {value}" for key, value in fields.items())]
