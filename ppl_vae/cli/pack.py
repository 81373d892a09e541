"""``ppl-vae pack``: a run as one file, or on the Hugging Face Hub."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from ppl_vae.cli.flags import as_flags
from ppl_vae.runs.handed_on.address import address_of
from ppl_vae.runs.handed_on.packing import pack
from ppl_vae.runs.handed_on.pushing import push_to_hub
from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError


@config
class Pack:
    """Pack a run into one file, or put it on the Hugging Face Hub; every command that reads runs takes it from there.

    It says what the run needs beside it. To go on with a packed run, unzip it first.

    examples:
      ppl-vae pack runs/mnist
      ppl-vae pack runs/mnist --to mnist.zip
      ppl-vae pack runs/mnist --to hf://me/mnist --private
    """

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, or hf://OWNER/NAME on the Hugging Face Hub."""
    to: Path | None = None
    """The .zip to write; by default the run's name and .zip, beside it. Or hf://OWNER/NAME, a repository there."""
    private: bool = False
    """With --to hf://OWNER/NAME, a new repository can be read by its owner alone."""
    license: str | None = None
    """With --to hf://OWNER/NAME, the Hub's name of a license for the card: mit, apache-2.0, ..."""

    def run(self) -> None:
        """Pack, or push."""
        address = self.to and address_of(self.to)
        if not address and (self.private or self.license):
            raise UserError("--private and --license are for --to hf://OWNER/NAME.")
        how: dict[str, Any] = {"private": self.private or None, "license": self.license}
        found = push_to_hub(self.run_directory, str(address), **how) if address else pack(self.run_directory, self.to)
        print(as_flags(str(found), self))
