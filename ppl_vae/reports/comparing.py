"""One model under several guides, side by side: trained, evaluated, ranked, and written down."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ppl_vae import figures
from ppl_vae.data import DataConfig, Splits
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.diagnostics.references import references
from ppl_vae.evaluation.comparison import Ranking
from ppl_vae.registry.pair_config import offered_to
from ppl_vae.registry.settings import given
from ppl_vae.registry.trust import hashes_of, remember
from ppl_vae.reports.comparison import warnings_of, write_comparison_report
from ppl_vae.reports.comparison_table import Table, as_csv, as_markdown, as_terminal, narrow, of_comparisons, summarise
from ppl_vae.reports.next_steps import Step, after_comparison, haste_of
from ppl_vae.runs.command_line import command
from ppl_vae.runs.comparison import check_jobs, run_jobs
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered
from ppl_vae.runs.run import Run
from ppl_vae.runs.terms import (
    CompareConfig,
    check_named,
    jobs_of,
    names_of,
    refuse_other_terms,
    resolved,
    shared_terms,
)
from ppl_vae.runtime.config import Few, changed, checked, field_names, in_range
from ppl_vae.runtime.errors import UserError, unknown_name, warned
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed
from ppl_vae.runtime.shown import Cell, Row, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison(Shown):
    """Guides side by side; ``print`` shows the table.

    Args:
        terms: what was compared, and on what terms.
        asked: the same before anything was chosen by the data.
        shared: the settings that all runs have.
        table: the numbers, with the ranking and the protocol.
        weights: fingerprints of model and guide, by the folder of each run.
        doubts: what is to be known of single runs, in words.
        too_soon: how many trainings ended too soon to be judged, in words; empty where none did.
        references: Pyro's own inference beside ours, where it was asked for: a title, and a text by name.
        files: what was written that is worth a look, by kind; none of a temporary folder.
    """

    terms: CompareConfig
    asked: CompareConfig
    shared: dict[str, Any]
    table: Table
    weights: dict[str, dict[str, str]]
    doubts: tuple[str, ...] = ()
    too_soon: str = ""
    references: dict[str, Any] | None = None
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What is to be known before the numbers are used, in words."""
        return [*self.doubts, *warnings_of(self.table), *filter(None, [self.too_soon])]

    def rows(self) -> list[Row]:
        """One a guide, the best first: ranks, and each figure's mean, its standard error and the 95 % margin over
        seeds, None where there is none."""
        return [self._row(row) for row in self.table.rows]

    def _row(self, row: figures.Row) -> Row:
        best, worst = row.rank or (None, None)
        cells: dict[str, Cell] = {"guide": row.guide, "seeds": row.seeds, "best_rank": best, "worst_rank": worst}
        for name, found in row.to_dict()["figures"].items():
            parts = found or dict.fromkeys(("mean", "stderr", "margin"))
            cells |= {name: parts["mean"], f"{name}_stderr": parts["stderr"], f"{name}_margin": parts["margin"]}
        return cells

    @property
    def ranking(self) -> Ranking:
        """Who is above whom, and the paired differences; a table of its own."""
        return self.table.ranking

    def tables(self) -> dict[str, list[Row]]:
        """The guides, ± standard error over seeds, and the paired differences of each two."""
        differences = self.ranking.rows()
        return {"": narrow(self.rows())} | ({"differences": differences} if differences else {})

    def footnotes(self) -> list[str]:
        """What was compared, what ± is, and how many comparisons were made."""
        units = "Nats per test datapoint, bigger is better, except for the KL; ± standard error over trainings."
        return [f"{self.caption}.", units, *self.ranking.footnotes()]

    def __str__(self) -> str:
        return as_terminal(self.table)

    @property
    def caption(self) -> str:
        """What was compared, in words."""
        settings, protocol = self.terms.settings, self.table.protocol
        seeds = f"{self.terms.seeds} seeds" if self.terms.seeds > 1 else "one seed"
        caption = (
            f"{Path(settings.data.data).name}: {Path(settings.pair.model).name}, {seeds}, "
            f"{settings.fit.epochs} epochs each; {protocol['num_datapoints']:,} test datapoints, importance "
            f"bound of {self.terms.num_samples} draws"
        )
        return caption if protocol["likelihood"] == "proper" else f"{caption}, likelihood: {protocol['likelihood']}"

    def figure(self) -> "Figure":
        """Each guide's ELBO and importance bound, and its seconds of training."""
        ranks = f". {of_comparisons(self.table.ranking)}" if self.table.ranking.differences else ""
        return figures.comparison(
            self.table.rows, f"{self.caption}. Each guide's bounds and seconds of training{ranks}"
        )

    @property
    def reference_lines(self) -> list[str]:
        """Pyro's own inference beside ours, a line each; none where it was not asked for."""
        rows = self.references["rows"] if self.references else {}
        return [f"{name:<32}{value}" for name, value in rows.items()]

    @property
    def closing(self) -> str:
        """Where its files are, and what to do next, a line each."""
        step = self.next_step
        lines = [*self.files.items(), *([("next", step)] if step else [])]
        return "\n".join(f"{kind:<9}{what}" for kind, what in lines)

    @property
    def next_step(self) -> Step | None:
        """The command that tells most of what is not known yet; None where nothing was ranked, or nothing is kept."""
        if not self.table.ranking.differences or not self.files:
            return None
        return after_comparison(self.files["table"].parent, self.asked, self.terms, self.table.ranking, self.too_soon)

    def write(self, out: Path) -> dict[str, Path]:
        """Write ``table.csv``, ``table.json``, ``table.md``, ``comparison.png`` and ``.svg`` and ``report.html``.

        Args:
            out: the folder, which is there; older files of these names go.

        Returns:
            what is worth a look, by kind.
        """
        write_text(out / "table.csv", as_csv(self.table))
        report: dict[str, Any] = {**self.table.to_dict(), "weights": self.weights}
        markdown, picture, settings = as_markdown(self.table), out / "comparison.png", self.terms.settings
        if self.references:
            report["references"] = self.references
            markdown += f"\n{self.references['title']}\n\n"
            markdown += "\n".join(f"- {line}" for line in self.reference_lines) + "\n"
        write_text(out / "table.json", json.dumps(report, indent=2))
        write_text(out / "table.md", markdown)
        figures.save(self.figure(), picture)
        again = command("compare", self.asked, CompareConfig(), out, settings.data.data in NAMES)
        title = f"{out.name}: {self.caption}"
        page = write_comparison_report(out, title, self.shared, self.table, self.references, picture, again)
        return {"picture": picture, "table": out / "table.md", "report": page}


@in_range
def compare(
    guides: Sequence[str | type] = CompareConfig.guides,
    data: DataConfig | Path | str | None = None,
    *,
    out: Path | str | None = None,
    workers: Few | None = None,
    warn: Callable[[str], object] = warned,
    **named: object,
) -> Comparison:
    """Train one model under several guides, same data, seeds and budget, evaluate them alike, and rank them.

    Each run trains in a process of its own, several at a time; a script calls this under
    ``if __name__ == "__main__":``.

    Args:
        guides: ``GUIDE`` or ``GUIDE:FAMILY`` by name, ``path/to/file.py:Class``, or a class of a file.
        data: its settings, or just its name or path; what is binarized is so once (``static``) unless
            the settings say otherwise.
        out: a folder for the runs, new or of the same comparison, which goes on there; None for a temporary one.
        workers: how many runs at once; None is one for each GPU, or for each core.
        warn: called with each thing that is to be known of the numbers to come, in words.
        named: fields of :class:`ppl_vae.runs.terms.CompareConfig`, at any depth, and settings of the pair's parts:
            ``seeds=3``, ``model="vae"``, ``epochs=50``, ``latent_dim=2``.

    Raises:
        UserError: settings, data or a guide cannot be used, or ``out`` holds something else.
    """
    terms = CompareConfig(guides=names_of(guides))
    check_named(named)
    if isinstance(data, DataConfig):
        terms = replace(terms, settings=replace(terms.settings, data=data))
    elif not isinstance(data, Path | str | None):
        raise UserError(
            f"`data` is a {type(data).__name__}, and a comparison trains in processes of its own, which read the data "
            "themselves; give its name, a file (numpy.savez(path, x=x, y=y)) or a DataConfig."
        )
    elif data is not None:
        named = {"data": str(data), **named}
    of_parts = {name: named.pop(name) for name in named.keys() - field_names(terms)}
    terms = checked(changed(terms, named))
    if of_parts:
        offered = offered_to(*(job.settings.pair for job in jobs_of(terms)))
        if unknown := [name for name in of_parts if name not in offered]:
            raise unknown_name("setting", unknown[0], {*offered, *field_names(terms)})
        pair = replace(terms.settings.pair, settings=given(of_parts))
        terms = checked(replace(terms, settings=replace(terms.settings, pair=pair)))
    if out is not None:
        return run_comparison(terms, Path(out), workers=workers, warn=warn)
    with TemporaryDirectory() as folder:
        return replace(run_comparison(terms, Path(folder) / "comparison", workers=workers, warn=warn), files={})


def run_comparison(
    terms: CompareConfig,
    out: Path | None = None,
    *,
    workers: int | None = None,
    on_data: Callable[[Splits], object] | None = None,
    on_choice: Callable[[str], object] | None = None,
    on_folder: Callable[[Path], object] | None = None,
    on_table: Callable[[Comparison], object] | None = None,
    warn: Callable[[str], object] = warned,
) -> Comparison:
    """:func:`compare`, on these terms, in a folder that is kept; the same call goes on where it was stopped.

    Args:
        terms: what to compare, on what terms.
        out: the folder to make, or to go on in; None for the next free ``runs/compare-N``.
        workers: how many runs at once; None is one for each GPU, or for each core.
        on_data: called with the data before anything is written.
        on_choice: called with what was chosen by the data, why, and the settings for another, in one line.
        on_folder: called with the folder when it is there.
        on_table: called with the comparison before the references are worked out, which takes minutes.
        warn: called with each thing that is to be known of the numbers to come, in words.
    """
    jobs = jobs_of(terms)
    chosen: list[str] = []
    jobs = check_jobs(jobs, out, on_data, chosen.append, warn)
    asked, terms = terms, resolved(terms, jobs)
    remember(hashes_of(*(name for job in jobs for name in job.settings.pair.parts.values())))  # named by the user
    free, make_way = partial(numbered, Path("runs"), "compare"), partial(refuse_other_terms, terms)
    with claimed(out, free, make_way) as claim:
        write_text(claim.path / "compare.yaml", terms.recorded)
        if on_choice and chosen:
            on_choice(chosen[0])
        if on_folder:
            on_folder(claim.path)
        try:
            doubts: list[str] = []
            results = run_jobs(jobs, claim.path, workers, doubts.append)
            for words in doubts:
                warn(words)
            weights = {
                job.folder: {name: result.protocol[name] for name in ("model", "guide")}
                for job, result in zip(jobs, results, strict=True)
            }
            shared, table = shared_terms(terms, jobs), summarise(results)
            soon = haste_of([Run.open(claim.path / job.folder) for job in jobs])
            found = Comparison(terms, asked, shared, table, weights, tuple(doubts), soon)
            if on_table:
                on_table(found)
            if terms.references:
                found = replace(found, references=_references(terms, claim.path, jobs[0].folder))
            return replace(found, files=found.write(claim.path))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; the same command with `out` {claim.path} goes on") from None


def _references(terms: CompareConfig, out: Path, folder: str) -> dict[str, Any]:
    """Pyro's own inference on the first run, worked out once and kept."""
    kept, data = out / "references.json", terms.settings.data
    if not kept.is_file():
        opening = Opening(data=data.data, data_root=data.data_root)  # a finished run still records where it was
        opened = open_run(out / folder, "cpu", opening)
        test = opened.split("test", terms.references)
        title = (
            f"References on the first {len(test)} test datapoints of {folder}: ELBO, ± standard error over datapoints."
        )
        rows = references(*opened.pair, test, terms.infer)
        write_text(kept, json.dumps({"title": title, "rows": rows}, indent=2))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found
