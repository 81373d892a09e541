"""``ppl-vae pack``: a run as one file."""

from pathlib import Path

from tyro.conf import Positional

from ppl_vae.runs.handed_on.packing import pack
from ppl_vae.runtime.config import config


@config
class Pack:
    """Pack a run into one file, which every command that reads runs takes as it is, and so does ppl_vae.open.

    It says what the run needs beside it. To go on with a packed run, unzip it first.

    examples:
      ppl-vae pack runs/mnist
      ppl-vae pack runs/mnist --to mnist.zip
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    to: Path | None = None
    """The .zip to write; by default the run's name and .zip, beside it."""

    def run(self) -> None:
        """Pack."""
        print(pack(self.run_directory, self.to))
