"""``ppl-vae compare``: the same model, data, seeds and budget under several guides, side by side."""

from dataclasses import field
from pathlib import Path

from ppl_vae.cli.flags import as_flags
from ppl_vae.cli.surroundings import say_as_it_is, say_what_was_read
from ppl_vae.reports.comparing import run_comparison
from ppl_vae.reports.tables import check_table, write_table
from ppl_vae.runs.terms import CompareConfig
from ppl_vae.runtime.config import Few, config


@config
class Compare:
    """Train one model under several guides, same data, seeds and budget, and lay them side by side.

    Writes a run directory for each guide and seed, table.md, table.csv, table.json, comparison.png, comparison.svg
    and report.html, one page with all of it. The same command goes on where it was stopped.

    examples:
      ppl-vae compare
      ppl-vae compare --guides amortized amortized:iaf mean-field semi-amortized --seeds 3 --out runs/compare
      ppl-vae compare --data mnist --latent-dim 20 --epochs 20 --seeds 1 --references 5
    """

    terms: CompareConfig = field(default_factory=CompareConfig)
    """The comparison."""
    out: Path | None = None
    """The folder to make, or to go on in; by default the next free runs/compare-N."""
    workers: Few | None = None
    """Runs at once; by default one for each GPU, or for each core."""
    table: Path | None = None
    """Write the table, and the paired differences, for a paper: a new .tex or .csv."""

    def run(self) -> None:
        """Compare, print, write."""
        check_table(self.table)
        found = run_comparison(
            self.terms,
            self.out,
            workers=self.workers,
            on_data=say_what_was_read,
            on_choice=lambda words: print(f"chosen   {as_flags(words, self)}"),
            on_folder=lambda path: print(f"folder   {path}"),
            on_table=lambda table: print(as_flags(str(table), self)),
            warn=lambda words: say_as_it_is(f"warning: {as_flags(words, self)}"),
        )
        write_table(self.table, found)
        if found.references:
            print(f"\n{found.references['title']}\n" + "\n".join(found.reference_lines))
        print(f"\n{found.closing}")
