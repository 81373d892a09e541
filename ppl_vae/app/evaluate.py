"""``ppl-vae evaluate``: bounds on log p(x), with their errors and protocol."""

import json
import math
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.app.fitted import guide_for
from ppl_vae.app.grey_levels import words_of
from ppl_vae.app.opened import OpenedRun, open_run
from ppl_vae.check import check_pair, likelihood_label
from ppl_vae.config import Seed, config
from ppl_vae.errors import UserError
from ppl_vae.evaluation import Estimate, Protocol, elbo, importance_bound
from ppl_vae.evaluation.fingerprint import fingerprint_of
from ppl_vae.guides import Guide, Point
from ppl_vae.inference import InferConfig

Estimator = Literal["elbo", "iwae"]
SplitName = Literal["test", "validation", "train"]


@config
class EvaluateConfig:
    """What to estimate, on what."""

    estimator: Estimator = "elbo"
    """elbo, with its reconstruction and KL; or iwae, the K-sample importance bound (Burda et al. 2016)."""
    num_samples: PositiveInt = 10
    """Draws of z for each datapoint; K of the importance bound."""
    split: SplitName = "test"
    """Which part of the data."""
    limit: PositiveInt | None = None
    """Only the first so many datapoints."""
    seed: Seed = 0
    """Seed of the draws and of dynamic binarization."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""


@config
class Evaluate:
    """Estimate the ELBO and its parts, or the K-sample importance bound on log p(x), on a split of the run's data.

    examples:
      ppl-vae evaluate runs/mnist
      ppl-vae evaluate runs/mnist --estimator iwae --num-samples 500 --limit 1000 --json
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    settings: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The estimate."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        results, protocol = evaluate_run(open_run(self.run_directory, self.device), self.settings)
        print(json.dumps(as_json(results, protocol)) if self.json else _as_table(results, protocol))


def evaluate_run(
    opened: OpenedRun, settings: EvaluateConfig, progress: bool | None = None
) -> tuple[dict[str, Estimate], Protocol]:
    """Estimate on a split of the run's data, binarized once, so that every estimator sees the same bits.

    Args:
        opened: the run.
        settings: what to estimate, on what.
        progress: show a progress bar; None shows it on a terminal only.

    Returns:
        estimates by name, the headline first, and the protocol.
    """
    model, guide = opened.pair
    data = opened.split(settings.split, settings.limit).fixed(settings.seed)
    if settings.estimator == "iwae" and isinstance(guide, Guide) and isinstance(guide.family, Point):
        raise UserError("a point has no density, so it gives no importance weights; use --estimator elbo.")
    hide = None if progress is None else not progress
    with tqdm(total=len(data), unit="datapoint", desc="inferring", disable=hide, leave=False) as bar:
        guide = guide_for(model, guide, data, settings.infer, bar.update)
    check_pair(model, guide, data.probe())
    with tqdm(total=len(data), unit="datapoint", desc="evaluating", disable=hide, leave=False) as bar:
        if settings.estimator == "elbo":
            results = elbo(model, guide, data, settings.num_samples, settings.seed, bar.update)._asdict()
        else:
            bound = importance_bound(model, guide, data, settings.num_samples, settings.seed, bar.update)
            results = {"log_px": bound}
    record = opened.run.record
    protocol = Protocol(
        data=record.config.data.data,
        fingerprint=record.info.fingerprint,
        split=settings.split,
        num_datapoints=len(data),
        binarization=record.config.data.binarization,
        data_seed=record.config.data.data_seed,
        likelihood=likelihood_label(model, data.probe()),
        estimator=settings.estimator,
        num_samples=settings.num_samples,
        seed=settings.seed,
        model=fingerprint_of(model),
        guide=fingerprint_of(guide),
    )
    return results, protocol


def as_json(results: dict[str, Estimate], protocol: Protocol) -> dict[str, Any]:
    """The headline first: its value and stderr, then the other parts with theirs, then the protocol."""
    headline, *others = results
    plain: dict[str, Any] = {headline: results[headline].mean, "stderr": _number(results[headline].stderr)}
    for name in others:
        plain |= {name: results[name].mean, f"{name}_stderr": _number(results[name].stderr)}
    return {**plain, "unit": "nats per datapoint", "protocol": protocol.to_dict()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _as_table(results: dict[str, Estimate], protocol: Protocol) -> str:
    lines = [f"{name:<16}{value.mean:>12.3f} ± {value.stderr:.3f}" for name, value in results.items()]
    fields = protocol.to_dict()
    fields |= fields.pop("details")
    details = ", ".join(f"{key} {value}" for key, value in fields.items())
    lines += words_of(fields)
    return "\n".join([*lines, f"nats per datapoint, ± standard error over datapoints; {details}"])
