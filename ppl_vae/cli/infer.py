"""``ppl-vae infer``: the posterior of new observations."""

from dataclasses import field
from functools import partial
from pathlib import Path

from tyro.conf import Positional

from ppl_vae.cli.flags import as_flags
from ppl_vae.cli.surroundings import say_as_it_is
from ppl_vae.diagnostics.latents import infer_latents
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.runs.new_data import new_data
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import refuse_existing_file
from ppl_vae.runtime.config import Count, Seed, config
from ppl_vae.runtime.files import write_arrays


@config
class Infer:
    """Infer the latents of observations that the run has not seen, and write them as arrays.

    The file gets, for each latent site (z for the models here): SITE_mean and SITE_std of q(z | x), (N, *latent);
    SITE_samples, (num_samples, N, *latent); and elbo, (N,), in nats, of a point its reconstruction instead.

    examples:
      ppl-vae infer runs/mnist --input new.npz --out latents.npz
    """

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on the Hugging Face Hub."""
    input: Path
    """An .npz whose x has observations of the run's shape, binarized as the run's data was; or a file or folder like
    that which the run was trained on."""
    out: Path
    """The .npz to write."""
    num_samples: Count = 10
    """Draws of z for each observation."""
    seed: Seed = 0
    """Seed of the draws and of binarization."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    trust: bool = False
    """Run the files that the run names as parts of its pair, though they have not been run here before."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    def run(self) -> None:
        """Infer and write."""
        refuse_existing_file(self.out)
        opened = open_run(self.run_directory, self.device, Opening(trust=self.trust))
        found = new_data(opened, self.input, self.seed)
        for words in found.warnings:
            say_as_it_is(f"warning: {words}")
        infer = partial(infer_latents, num_samples=self.num_samples, seed=self.seed, holes=opened.info.holes)
        latents = infer(*opened.pair, found.data, self.infer)
        for words in latents.advice:
            say_as_it_is(f"warning: {as_flags(words, self)}")
        write_arrays(self.out, latents.arrays, new=True)
        for note in found.notes:
            print(f"data     {note}")
        print(f"latents  {self.out}: {latents}")
        for note in latents.notes:
            print(f"fits     {note}")
        for doubt in latents.doubts:
            print(as_flags(f"warning  {doubt}", self))
