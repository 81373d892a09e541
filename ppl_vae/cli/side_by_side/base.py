"""What all commands share that lay runs side by side: look, write, say where."""

from collections.abc import Callable
from dataclasses import field, fields
from pathlib import Path
from typing import ClassVar

from tyro.conf import Positional

from ppl_vae.reports.side_by_side import SideBySide
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_samples
from ppl_vae.runtime.config import Seed, config


@config
class Laid:
    """What all share."""

    run_directories: Positional[tuple[Path, ...]]
    """Runs on the same data, as a directory, a zip or hf://OWNER/NAME each."""
    out: Path | None = None
    """The .npz to write, with a picture (.png, .svg) beside it; by default COMMAND-N.npz here."""
    seed: Seed = 0
    """Seed of draws and of grey levels' bits."""
    opening: Opening = field(default_factory=Opening)
    """Where the runs' data is now, and whether their own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    lay: ClassVar[Callable[..., SideBySide]]
    """What the library does: it takes ``paths``, and the settings by their names."""

    def run(self) -> None:
        """Look, write, draw."""
        refuse_existing_arrays(self.out or self._free())
        asked = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "out"}
        samples, title = self.lay(paths=asked.pop("run_directories"), **asked)
        out = write_samples(self.out, self._free, samples, title)
        print("\n".join([f"arrays   {out}", f"picture  {out.with_suffix('.png')}", *samples.words]))

    def _free(self) -> Path:
        return numbered(Path(), type(self).__name__.lower(), ".npz", ".png", ".svg")
