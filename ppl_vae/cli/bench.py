"""``ppl-vae bench``: how fast a step is, beside the same step in other hands."""

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from tqdm import tqdm

from ppl_vae.bench.contenders import TITLES, Name
from ppl_vae.bench.parts import Part, SizeName, measure, num_tables
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.table import as_markdown
from ppl_vae.bench.threads import limit_threads
from ppl_vae.runs.paths import refuse_existing_file
from ppl_vae.runtime.config import Count, Few, config
from ppl_vae.runtime.device import choose_device
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text


@config
class Bench:
    """Measure speed and print tables.

    steps: milliseconds an optimisation step of Pyro's example, PyTorch by hand, NumPyro, the matrix products alone and
    our eager and traced steps, in one process by turns, on random data. load: the same beside two busy processes.
    networks: a convolutional pair and an LSTM for words, beside PyTorch by hand. evaluation: the
    importance bound and annealing, beside NumPyro. scaling: our steps by batch, latent size and number of datapoints.
    startup: imports, the first step, memory. precision: our steps and bounds in float32, tf32 (on a GPU) and bf16.
    epoch: one epoch of MNIST by ppl-vae train against the Pyro example as shipped, its loader included. first-epoch:
    when a fresh process has the numbers of its first epoch of MNIST, eager and auto, and how long auto then compiles.

    NumPyro takes part where it is installed: pip install 'ppl_vae[bench]'.

    examples:
      ppl-vae bench
      ppl-vae bench --only steps --sizes digits --repeats 3
      ppl-vae bench --only epoch --data-root data --out epoch.md epoch.json
      ppl-vae bench --device cuda
    """

    only: tuple[Part, ...] = ("steps", "load", "networks", "evaluation", "scaling", "startup")
    """What to measure. By default all but precision, and epoch and first-epoch, which need MNIST."""
    sizes: tuple[SizeName, ...] = ("digits", "mnist", "burda", "burda-iwae")
    """Of steps: 64-128-10, 784-400-50, 784-200-200-50, and the last with the importance bound of 50 draws."""
    contenders: tuple[Name, ...] = ("pyro", "handwritten", "numpyro", "floor", "eager", "traced")
    """Whose steps."""
    repeats: Few = 7
    """Rounds, in each of which everybody is timed once; at most 3 for what takes seconds (epochs, first steps)."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 0.5
    """How long each of those times is to last at least, which says how many steps it has."""
    steps: Count | None = None
    """That number of steps (of evaluation: of draws), in place of what fills --seconds."""
    threads: Few | None = None
    """Processor threads of every contender; by default torch's own choice."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    data_root: Path = Path("data")
    """Of epoch and first-epoch: the folder of torchvision's data sets."""
    json: bool = False
    """Print JSON instead of tables: every repetition is in it."""
    out: tuple[Path, ...] = ()
    """Also write files: tables where the name ends in .md, everything where it ends in .json."""

    def run(self) -> None:
        """Measure and print."""
        for path in self.out:
            if path.suffix not in (".md", ".json"):
                raise UserError(f"--out {path}: the name must end in .md (tables) or .json (everything).")
            refuse_existing_file(path)
        device = str(choose_device(self.device))
        before = torch.get_num_threads()
        limit_threads(self.threads or before)
        try:
            results = self._measured(device)
        finally:
            torch.set_num_threads(before)
        tables, everything = as_markdown(results), json.dumps(results)
        for path in self.out:
            write_text(path, (tables if path.suffix == ".md" else everything) + "\n", new=True)
        print(everything if self.json else tables)

    def _measured(self, device: str) -> dict[str, Any]:
        total = num_tables(self.only, self.sizes)
        with tqdm(total=total, unit="table", leave=False, dynamic_ncols=True, disable=None) as bar:
            clock = Clock(device, self.repeats, self.seconds, self.steps, bar.set_description)
            each_once: list[Name] = [name for name in TITLES if name in self.contenders]  # in the table's order
            measured = measure(self.only, self.sizes, each_once, self.data_root, clock, bar.update)
        return {"command": self._command(), **measured}

    def _command(self) -> str:
        """The command that measures the same, wherever this one was called from; where it writes is left out."""
        words = ["ppl-vae", "bench"]
        for column in fields(self):
            value = getattr(self, column.name)
            if column.name not in ("out", "json") and value != column.default:
                values = value if isinstance(value, tuple) else (value,)
                words += ["--" + column.name.replace("_", "-"), *map(str, values)]
        return shlex.join(words)
