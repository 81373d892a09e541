"""How often simulation-based calibration refuses a q that is wrong by so much: python benchmarks/calibration_power.py.

Probabilistic PCA with three latents, whose posterior is known; q is that posterior, each coordinate scaled and shifted.
All simulations are made in one call and cut into calibrations, which are then independent of each other.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch
from ppl_vae.diagnostics import calibrate
from ppl_vae.diagnostics.calibration import judge
from ppl_vae.models import LinearGaussian

NUM_SAMPLES, TOTAL, SIZES = 63, 300_000, (100, 300, 1000)


class WrongGuide(PyroModule):
    """The posterior with standard deviations times ``scale``, moved by ``shift`` of them."""

    def __init__(self, model: LinearGaussian, scale: float, shift: float) -> None:
        super().__init__()
        self.posterior, self.scale, self.shift = model.posterior, scale, shift

    def forward(self, batch: Batch) -> None:
        """Sample z."""
        exact = self.posterior(batch.x)
        loc = exact.loc + self.shift * exact.stddev
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=self.scale * exact.scale_tril))


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    model = LinearGaussian((5,), 3).double()
    with torch.no_grad():
        model.weight.normal_()
    print(f"| q | {' | '.join(f'{size} simulations' for size in SIZES)} |")
    print(f"|---|{'---|' * len(SIZES)}")
    wrongs = {"exact": (1.0, 0.0), "width × 0.8": (0.8, 0.0), "width × 1.25": (1.25, 0.0), "shift of ½ sd": (1.0, 0.5)}
    for name, (scale, shift) in wrongs.items():
        found = calibrate(model, WrongGuide(model, scale, shift), (5,), TOTAL, NUM_SAMPLES)
        cells = []
        for size in SIZES:
            verdicts = [judge(ranks, NUM_SAMPLES, found.names).passed for ranks in found.ranks.split(size)]
            cells.append(f"{100 * (1 - sum(verdicts) / len(verdicts)):.1f} %")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
