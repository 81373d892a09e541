"""``ppl-vae evaluate``: bounds on log p(x), with their errors, protocol and diagnostics."""

import json
import math
from dataclasses import field
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.app.caveats import POINT_IN_WORDS, words_of
from ppl_vae.app.estimators import EvaluateConfig, Evaluated, calibrate_run, evaluate_run, is_point
from ppl_vae.app.fitted import Fitted
from ppl_vae.app.labels import warn_of_unseen_in
from ppl_vae.app.opened import OpenedRun, open_run
from ppl_vae.app.opening import Opening
from ppl_vae.app.paths import numbered, write_figure, write_new
from ppl_vae.app.per_step import beside_ngrams, per_step_lines
from ppl_vae.config import config, to_plain
from ppl_vae.evaluation import Diagnostics, Estimate, Protocol, diagnose
from ppl_vae.evaluation.aggregate import Aggregate
from ppl_vae.inference import InferConfig
from ppl_vae.runtime.files import CannotWriteError

# Diagnostics look at the first so many datapoints: pairs of them are compared, so the cost grows with the square.
_DIAGNOSED = 500
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
    """With elbo and iwae, diagnostics on the first 500 of the datapoints."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        opened = open_run(self.run_directory, self.device, self.opening)
        if self.settings.estimator == "sbc":
            self._calibrate(opened)
            return
        evaluated = evaluate_run(opened, self.settings)
        warn_of_unseen_in(opened.info, f"{evaluated.protocol.split} data", evaluated.data.y)
        protocol = evaluated.protocol
        plain, lines = as_json(evaluated.results, protocol), [_as_table(evaluated.results)]
        if evaluated.acceptance is not None:
            plain["acceptance"] = _number(evaluated.acceptance)
            lines += _acceptance_lines(evaluated.acceptance)
        if self.settings.estimator != "bdmc":
            headline = next(iter(evaluated.results))
            if found := beside_ngrams(opened, headline, evaluated.results[headline], evaluated.data):
                plain["per_step"] = found.to_dict()
                lines += per_step_lines(found)
        plain |= _fits(evaluated.fitted, self.settings.infer)
        lines += _fits_lines(evaluated.fitted, self.settings.infer)
        if self.diagnose and self.settings.estimator in ("elbo", "iwae") and protocol.num_datapoints > 1:
            diagnostics = _diagnosed(opened, evaluated, self.settings.seed)
            plain["diagnostics"] = diagnostics.to_dict()
            lines += diagnostics_lines(diagnostics)
        if "elbo" in evaluated.results and is_point(evaluated.fitted.guide):
            plain["warning"] = POINT_IN_WORDS
            lines.append(f"warning: {POINT_IN_WORDS}")
        lines += _protocol_lines(protocol, evaluated.fitted, self.settings.infer)
        print(json.dumps(plain) if self.json else "\n".join(lines))

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
            lines = [calibration.verdict, *_fits_lines(fitted, infer), *_protocol_lines(protocol, fitted, infer)[1:]]
            print("\n".join(lines), flush=True)
        if problem:
            raise problem
        if not self.json:
            print(f"picture  {picture}")


def _diagnosed(opened: OpenedRun, evaluated: Evaluated, seed: int) -> Diagnostics:
    """Diagnostics on the first of the datapoints that were evaluated, with the guide that they were evaluated with."""
    data = evaluated.data.head(_DIAGNOSED)
    with tqdm(total=len(data), unit="datapoint", desc="diagnosing", disable=None, leave=False) as bar:
        return diagnose(opened.pair.model, evaluated.fitted.guide, data, seed=seed, advance=bar.update)


def _acceptance_lines(acceptance: float) -> list[str]:
    lines = [f"acceptance {acceptance:.2f} of the Hamiltonian transitions"]
    if acceptance < _LOW_ACCEPTANCE:
        lines.append("warning: chains that hardly move; raise --temperatures, or --start guide.")
    return lines


def _fits(fitted: Fitted, infer: InferConfig) -> dict[str, Any]:
    """How local inference went and by what settings, for JSON; nothing where there was none.

    Beside the protocol, not in it: it tells how the guide was come by, and guides are what a comparison compares.
    """
    if fitted.converged is None:
        return {}
    counts = {"num": len(fitted.converged), "converged": int(fitted.converged.sum())}
    return {"local_fits": counts | to_plain(infer)}


def _fits_lines(fitted: Fitted, infer: InferConfig) -> list[str]:
    if fitted.converged is None or bool(fitted.converged.all()):
        return []
    unfinished, num = int((~fitted.converged).sum()), len(fitted.converged)
    advice = "or lower --infer-rate" if infer.infer_rate >= InferConfig.infer_rate else "or --infer-rate"
    return [f"warning: {unfinished} of {num} local fits had not converged; raise --infer-steps {advice}."]


def diagnostics_lines(found: Diagnostics) -> list[str]:
    """The diagnostics in a few lines, warnings last."""
    lines = [f"on the first {found.num_datapoints} datapoints:"]
    if found.weights:
        ess, khat = found.weights.ess, found.weights.khat_quantile
        lines.append(f"  effective sample size {with_error(ess, 1)} of {found.num_samples} draws")
        lines.append(
            f"  PSIS k̂ median {khat(0.5):.2f}, 95 % below {khat(0.95):.2f}; above 0.7 on "
            f"{100 * found.weights.unreliable:.0f} % of datapoints"
        )
    lines.append(f"  active units {found.units.num_active} of {len(found.units.names)}")
    if found.aggregate:
        over_data = found.aggregate
        ends = (over_data.mutual_information, over_data.mutual_information_upper)
        lines.append(f"  mutual information I(x; z) {_between(over_data, *ends)}")
        if over_data.kl_to_prior and over_data.kl_to_prior_lower:
            ends = (over_data.kl_to_prior_lower, over_data.kl_to_prior)
            lines.append(f"  KL(q(z) ‖ p(z)) {_between(over_data, *ends)}")
    return [*lines, *(f"warning: {warning}" for warning in found.warnings)]


def _between(over_data: Aggregate, low: Estimate, high: Estimate) -> str:
    """One number where its two ends say the same, else both: a single one would claim to know."""
    if not over_data.wide:
        return f"{with_error(low)} nats"
    return f"between {low.mean:.2f} and {high.mean:.2f} nats; {over_data.num_datapoints} datapoints tell no closer"


def with_error(estimate: Estimate, digits: int = 2, width: int = 0) -> str:
    """The mean, as wide as that, ± its standard error, which a single datapoint does not have."""
    error = f" ± {estimate.stderr:.{digits}f}" if len(estimate.values) > 1 else ""
    return f"{estimate.mean:{width}.{digits}f}{error}"


def as_json(results: dict[str, Estimate], protocol: Protocol) -> dict[str, Any]:
    """The headline first: its value and stderr, then the other parts with theirs, then the protocol."""
    headline, *others = results
    plain: dict[str, Any] = {headline: _number(results[headline].mean), "stderr": _number(results[headline].stderr)}
    for name in others:
        plain |= {name: _number(results[name].mean), f"{name}_stderr": _number(results[name].stderr)}
    return {**plain, "unit": "nats per datapoint", "protocol": protocol.to_dict()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _as_table(results: dict[str, Estimate]) -> str:
    return "\n".join(f"{name:<16}{with_error(value, 3, 12)}" for name, value in results.items())


def _protocol_lines(protocol: Protocol, fitted: Fitted, infer: InferConfig) -> list[str]:
    fields = protocol.to_dict()
    fields |= fields.pop("details")
    if fitted.converged is not None:
        fields |= to_plain(infer)
    details = ", ".join(f"{key} {value}" for key, value in fields.items())
    error = "± standard error over datapoints" if protocol.num_datapoints > 1 else "of one, so no standard error"
    return [*words_of(fields), f"nats per datapoint, {error}", details]
