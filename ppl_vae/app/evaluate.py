"""``ppl-vae evaluate``: bounds on log p(x), with their errors and protocol."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.app.opened import open_run
from ppl_vae.config import config
from ppl_vae.evaluation import Estimate, Protocol, elbo, importance_bound


@config
class Evaluate:
    """Estimate the ELBO and its parts, or the K-sample importance bound on log p(x), on a split of the run's data.

    examples:
      ppl-vae evaluate runs/mnist
      ppl-vae evaluate runs/mnist --estimator iwae --num-samples 500 --limit 1000 --json
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    estimator: Literal["elbo", "iwae"] = "elbo"
    """elbo, with its reconstruction and KL; or iwae, the K-sample importance bound (Burda et al. 2016)."""
    num_samples: PositiveInt = 10
    """Draws of z for each datapoint; K of the importance bound."""
    split: Literal["test", "validation", "train"] = "test"
    """Which part of the data."""
    limit: PositiveInt | None = None
    """Only the first so many datapoints."""
    seed: NonNegativeInt = 0
    """Seed of the draws and of dynamic binarization."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        opened = open_run(self.run_directory, self.device)
        data = opened.split(self.split, self.limit)
        settings = opened.run.record.config.data
        protocol = Protocol(
            data=settings.data,
            split=self.split,
            num_datapoints=len(data),
            binarization=settings.binarization,
            data_seed=settings.data_seed,
            estimator=self.estimator,
            num_samples=self.num_samples,
            seed=self.seed,
        )
        with tqdm(total=len(data), unit="datapoint", disable=None, leave=False) as bar:
            if self.estimator == "elbo":
                parts = elbo(*opened.pair, data, self.num_samples, self.seed, bar.update)
                results = parts._asdict()
            else:
                bound = importance_bound(*opened.pair, data, self.num_samples, self.seed, bar.update)
                results = {"log_px": bound}
        print(json.dumps(_as_json(results, protocol)) if self.json else _as_table(results, protocol))


def _as_json(results: dict[str, Estimate], protocol: Protocol) -> dict[str, Any]:
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
    details = ", ".join(f"{key} {value}" for key, value in protocol.to_dict().items())
    return "\n".join([*lines, f"nats per datapoint, ± standard error over datapoints; {details}"])
