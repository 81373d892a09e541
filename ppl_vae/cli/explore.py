"""``ppl-vae explore``: one HTML file in which the decoder of a run can be played with."""

from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tyro.conf import Positional

from ppl_vae.explorer import explored, html
from ppl_vae.predictive.rendering import check_drawable
from ppl_vae.runs.opened import SplitName, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_file, write_new
from ppl_vae.runtime.config import Seed, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.progress import bar

_QUIET_SECONDS = 2.0  # a progress bar only after these


@config
class Explore:
    """Write one HTML file in which the decoder runs: open it in a browser, no network is needed.

    Drag over the latent plane or move a slider and see E[x | z] change; draw or drop an image and see where q puts it;
    walk between two points; switch labels of a conditional model. Of a z of more than two numbers any two make the
    plane, and the sliders are ordered by KL.

    It shows our models (vae, conditional, linear-gaussian) with fully connected or convolutional networks. New
    datapoints can be placed by a run with an encoder and the diagonal, low-rank, full-rank or point family.

    examples:
      ppl-vae explore runs/digits-1
      ppl-vae explore runs/mnist --num-images 1000 --out mnist.html
    """

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on the Hugging Face Hub."""
    out: Path | None = None
    """The .html to write; by default the next free RUN/explorer-N.html."""
    num_images: Annotated[int, Field(ge=2, le=5000)] = 300
    """How many images' places are shown, and the KL of each unit is found on."""
    split: SplitName | None = None
    """Where they come from; by default test, or train where the guide has a row for each of those."""
    seed: Seed = 0
    """Seed of binarization and of draws."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Gather and write."""
        if self.out:
            if self.out.suffix != ".html":
                raise UserError(f"--out {self.out}: name a file that ends in .html.")
            refuse_existing_file(self.out)
        opened = open_run(self.run_directory, self.device, self.opening)
        check_drawable(opened.event_shape)
        settings = opened.run.record.config
        split = opened.answered(self.split)
        data = opened.split(split, self.num_images)
        with bar(len(data), "image", "exploring", delay=_QUIET_SECONDS) as done:
            contents = explored(
                *opened.pair,
                data,
                opened.info,
                settings.data.binarization,
                title=f"{opened.run.path.resolve().name}: explorer",
                subtitle=f"{Path(settings.data.data).name}: {settings.in_words}",
                split=split,
                called=settings.pair.model,
                seed=self.seed,
                advance=done.update,
            )
        page = html(contents)
        free = partial(numbered, opened.run.path, "explorer", ".html")
        out = write_new(self.out, free, lambda out: write_text(out, page, new=True))
        print(f"explorer  {out} ({out.stat().st_size / 1e6:.1f} MB; open it in a browser)")
