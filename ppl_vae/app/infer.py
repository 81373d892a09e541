"""``ppl-vae infer``: the posterior of new observations."""

from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.app.opened import OpenedRun, open_run, refuse_existing_file
from ppl_vae.config import config
from ppl_vae.data import Dataset, binarized
from ppl_vae.data.npz import read_npz
from ppl_vae.errors import UserError
from ppl_vae.objectives import TraceELBO
from ppl_vae.pair import check_pair, frozen
from ppl_vae.predictive import posterior_moments, posterior_predictive
from ppl_vae.seeding import seeded

_BATCH_SIZE = 256


@config
class Infer:
    """Infer the latents of observations that the run has not seen, and write them as arrays.

    The file gets, for each latent site (z for the models here): SITE_mean and SITE_std of q(z | x), (N, *latent);
    SITE_samples, (num_samples, N, *latent); and elbo, (N,), in nats.

    examples:
      ppl-vae infer runs/mnist --input new.npz --out latents.npz
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    input: Path
    """An .npz whose x has observations of the run's shape; binarized as the run's data was."""
    out: Path
    """The .npz to write."""
    num_samples: PositiveInt = 10
    """Draws of z for each observation."""
    seed: NonNegativeInt = 0
    """Seed of the draws and of binarization."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Infer and write."""
        refuse_existing_file(self.out)
        opened = open_run(self.run_directory, self.device)
        x, y = read_npz(self.input)
        shape = tuple(x.shape[1:])
        if shape != opened.event_shape:
            raise UserError(
                f"{self.input}: observations of shape {shape}, not the run's {opened.event_shape}; reshape x."
            )
        data = binarized(x, y, opened.run.record.config.data.binarization, self.seed).to(opened.device)
        arrays = self._infer(opened, data)
        with self.out.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes the arrays for its own flags
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        print(f"latents  {self.out}: {shapes}")

    def _infer(self, opened: OpenedRun, data: Dataset) -> dict[str, np.ndarray]:
        model, guide = opened.pair
        parts: dict[str, list[torch.Tensor]] = {}
        with seeded(self.seed, opened.device):
            check_pair(model, guide, data.probe())
        with (
            seeded(self.seed, opened.device),
            tqdm(total=len(data), unit="datapoint", disable=None, leave=False) as bar,
        ):
            for batch in data.batches(_BATCH_SIZE):
                with frozen(model, guide):
                    elbo = TraceELBO(self.num_samples).terms(model, guide, batch).elbo
                draws = posterior_predictive(model, guide, batch, self.num_samples)
                found = {"elbo": elbo}
                for name, moments in posterior_moments(guide, batch).items():
                    found |= {f"{name}_mean": moments.mean, f"{name}_std": moments.std}
                    found[f"{name}_samples"] = draws.latents[name].transpose(0, 1)  # datapoints first, to join batches
                for name, value in found.items():
                    parts.setdefault(name, []).append(value.cpu())
                bar.update(len(batch.x))
        joined = {name: torch.cat(values).numpy() for name, values in parts.items()}
        return {name: a.swapaxes(0, 1) if name.endswith("_samples") else a for name, a in joined.items()}
