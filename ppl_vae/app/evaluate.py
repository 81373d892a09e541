"""``ppl-vae evaluate``: bounds on log p(x), with their errors, protocol and diagnostics."""

import json
import math
from dataclasses import field
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.app.estimators import EvaluateConfig, calibrate_run, evaluate_run, fitted_guide
from ppl_vae.app.grey_levels import words_of
from ppl_vae.app.opened import OpenedRun, open_run
from ppl_vae.app.paths import numbered
from ppl_vae.config import config
from ppl_vae.evaluation import Diagnostics, Estimate, Protocol, diagnose

# Diagnostics look at the first so many datapoints: pairs of them are compared, so the cost grows with the square.
_DIAGNOSED = 500


@config
class Evaluate:
    """Estimate log p(x), the ELBO and its parts, or test the guide's calibration.

    elbo and iwae come with diagnostics: the weights' effective sample size and PSIS k, KL and activity of each latent
    unit, mutual information, and warnings in words. bdmc and sbc work on data simulated by the model; sbc also draws
    the ranks.

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
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    diagnose: bool = True
    """With elbo and iwae, diagnostics on the first 500 of the datapoints."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        opened = open_run(self.run_directory, self.device)
        if self.settings.estimator == "sbc":
            self._calibrate(opened)
            return
        results, protocol = evaluate_run(opened, self.settings)
        plain, lines = as_json(results, protocol), [_as_table(results)]
        if self.diagnose and self.settings.estimator in ("elbo", "iwae") and protocol.num_datapoints > 1:
            found = diagnose_run(opened, self.settings)
            plain["diagnostics"] = found.to_dict()
            lines += diagnostics_lines(found)
        print(json.dumps(plain) if self.json else "\n".join([*lines, *_protocol_lines(protocol)]))

    def _calibrate(self, opened: OpenedRun) -> None:
        calibration, protocol = calibrate_run(opened, self.settings)
        picture = numbered(opened.run.figures, "calibration", ".png")
        caption = (
            f"{opened.run.path.name}: {protocol.num_datapoints} simulations, rank of each latent among "
            f"{protocol.num_samples} draws of q. {calibration.verdict}"
        )
        figure = figures.calibration(calibration.ranks, calibration.num_samples, calibration.names, caption)
        figures.save(figure, picture)
        if self.json:
            print(json.dumps({**calibration.to_dict(), "picture": str(picture), "protocol": protocol.to_dict()}))
        else:
            print("\n".join([calibration.verdict, f"picture  {picture}", *_protocol_lines(protocol)[1:]]))


def diagnose_run(opened: OpenedRun, settings: EvaluateConfig, progress: bool | None = None) -> Diagnostics:
    """Diagnostics on the first datapoints of a split of the run's data."""
    data = opened.split(settings.split, settings.limit).head(_DIAGNOSED).fixed(settings.seed)
    guide = fitted_guide(opened, data, settings.infer, progress)
    hide = None if progress is None else not progress
    with tqdm(total=len(data), unit="datapoint", desc="diagnosing", disable=hide, leave=False) as bar:
        return diagnose(opened.pair.model, guide, data, seed=settings.seed, advance=bar.update)


def diagnostics_lines(found: Diagnostics) -> list[str]:
    """The diagnostics in a few lines, warnings last."""
    lines = [f"on the first {found.num_datapoints} datapoints:"]
    if found.weights:
        ess, khat = found.weights.ess, found.weights.khat_quantile
        lines.append(f"  effective sample size {ess.mean:.1f} ± {ess.stderr:.1f} of {found.num_samples} draws")
        lines.append(
            f"  PSIS k̂ median {khat(0.5):.2f}, 95 % below {khat(0.95):.2f}; above 0.7 on "
            f"{100 * found.weights.unreliable:.0f} % of datapoints"
        )
    lines.append(f"  active units {found.units.num_active} of {len(found.units.names)}")
    if found.aggregate:
        lines.append(f"  mutual information I(x; z) {_pair(found.aggregate.mutual_information)} nats")
        if found.aggregate.kl_to_prior:
            lines.append(f"  KL(q(z) ‖ p(z)) {_pair(found.aggregate.kl_to_prior)} nats")
    return [*lines, *(f"warning: {warning}" for warning in found.warnings)]


def _pair(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f} ± {estimate.stderr:.2f}"


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
    return "\n".join(f"{name:<16}{value.mean:>12.3f} ± {value.stderr:.3f}" for name, value in results.items())


def _protocol_lines(protocol: Protocol) -> list[str]:
    fields = protocol.to_dict()
    fields |= fields.pop("details")
    details = ", ".join(f"{key} {value}" for key, value in fields.items())
    return [*words_of(fields), "nats per datapoint, ± standard error over datapoints", details]
