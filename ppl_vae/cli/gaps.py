"""``ppl-vae gaps``: where the inference of a run loses its nats."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc
from tyro.conf import Positional

from ppl_vae.cli.flags import as_flags
from ppl_vae.data import Dataset
from ppl_vae.evaluation import GapsConfig
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.registry.local_families import fitted_alone, inference_gaps
from ppl_vae.reports.gaps import as_json, write_gaps
from ppl_vae.reports.outcome import as_named, closing_of_gaps
from ppl_vae.reports.tables import check_table, write_table
from ppl_vae.runs.opened import OpenedRun, SplitName, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import refuse_existing_folder
from ppl_vae.runtime.config import Count, config
from ppl_vae.runtime.errors import UserError

_FAMILIES = (
    f"Families to take it apart by: {', '.join(fitted_alone())}, path/to/file.py:Class, with the defaults of their "
    "settings, or the guide's own as it was trained. By default the guide's own and full-rank."
)


@config
class Gaps:
    """Take the inference gap of a run apart: log p(x) − ELBO = approximation gap + amortization gap.

    For each family a q is fitted to each datapoint alone, the model frozen, from several starts. The approximation gap
    is what the best of them misses of log p(x), the amortization gap what the run's own guide misses of that best.
    log p(x) is the best of three lower bounds; one of them starts from the prior, where a mode that every q misses can
    be seen. Writes gaps.json, gaps.csv (a row for each datapoint), gaps.png and gaps.svg.

    examples:
      ppl-vae gaps runs/mnist --limit 500
      ppl-vae gaps runs/mnist --families diagonal planar --splits test --temperatures 1000
    """

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on the Hugging Face Hub."""
    families: Annotated[tuple[str, ...], Doc(_FAMILIES)] = ()
    splits: tuple[SplitName, ...] = ("train", "test")
    """Which parts of the data; what comes last is looked at for what to do next."""
    limit: Count = 200
    """Only the first so many datapoints of each."""
    settings: GapsConfig = field(default_factory=GapsConfig)
    """The estimates."""
    infer: InferConfig = field(default_factory=InferConfig)
    """The local fits."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    out: Path | None = None
    """The folder to make; by default the next free RUN/gaps-N."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    table: Path | None = None
    """Write the table for a paper: a new .tex or .csv."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Measure, print, write."""
        check_table(self.table)
        if self.out:
            refuse_existing_folder(self.out)
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise UserError("`splits`: name each split once, at least one.")
        opened = open_run(self.run_directory, self.device, self.opening)
        data: dict[str, Dataset] = {split: _split(opened, split, self.limit) for split in self.splits}
        found = inference_gaps(*opened.pair, self.families, data, self.settings, self.infer, **as_named(opened))
        print(as_json(found) if self.json else as_flags(str(found), self))
        out = write_gaps(found, opened, self.out)
        write_table(self.table, found)
        if not self.json:
            print(closing_of_gaps(opened, found, out))


def _split(opened: OpenedRun, name: SplitName, limit: int) -> Dataset:
    """The split; where it is missing, the advice names this command's own flag."""
    try:
        return opened.split(name, limit)
    except UserError as error:
        raise UserError(str(error).replace("use `split` ", "use `splits` ")) from None
