"""What a comparison has found: the guides side by side, as a table, a picture and a page with how to do it again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_vae import figures
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.estimates.caveats import POINT_IN_WORDS, words_of
from ppl_vae.evaluation.comparison import Ranking
from ppl_vae.reports.comparison_table import (
    DIFFERENCES,
    HEAD,
    Table,
    as_csv,
    as_markdown,
    as_terminal,
    cells,
    difference_cells,
    footnote,
    narrow,
    of_comparisons,
    of_fits,
    of_ties,
)
from ppl_vae.reports.next_steps import Step, after_comparison
from ppl_vae.reports.page import bullets, folded, lines_of_code, page, paragraph, picture_of, section, warned_of
from ppl_vae.reports.page import table as rows_of
from ppl_vae.runs.command_line import command
from ppl_vae.runs.terms import CompareConfig
from ppl_vae.runtime.files import write_text
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
        found_cells: dict[str, Cell] = {"guide": row.guide, "seeds": row.seeds, "best_rank": best, "worst_rank": worst}
        for name, found in row.to_dict()["figures"].items():
            parts = found or dict.fromkeys(("mean", "stderr", "margin"))
            found_cells |= {name: parts["mean"], f"{name}_stderr": parts["stderr"], f"{name}_margin": parts["margin"]}
        return found_cells

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

    def _repr_html_(self) -> str:
        """The table as a report has it, with the paired differences and what is to be known."""
        apart = rows_of(map(difference_cells, self.ranking.differences), DIFFERENCES)
        notes = [footnote(self.table), of_ties(self.ranking), *self.warnings]
        return rows_of(map(cells, self.table.rows), HEAD) + apart + "".join(map(paragraph, filter(None, notes)))

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
        report_page = write_comparison_report(out, title, self.shared, self.table, self.references, picture, again)
        return {"picture": picture, "table": out / "table.md", "report": report_page}


def write_comparison_report(
    out: Path,
    title: str,
    terms: Mapping[str, Any],
    table: Table,
    references: Mapping[str, Any] | None,
    picture: Path,
    command: str,
) -> Path:
    """Write ``report.html`` into the comparison's folder, in one piece, over an older one.

    Args:
        out: the folder.
        title: what was compared, in words.
        terms: what was the same for all, plain; nested settings too.
        table: the numbers.
        references: Pyro's own inference beside ours, where it was asked for.
        picture: the figure.
        command: that makes this comparison.
    """
    ranking = table.ranking
    apart = rows_of(map(difference_cells, ranking.differences), DIFFERENCES)
    path = out / "report.html"
    write_text(
        path,
        page(
            title,
            warned_of(warnings_of(table)),
            rows_of(map(cells, table.rows), HEAD),
            paragraph(footnote(table)),
            bullets(of_fits(table)),
            picture_of(picture, f"{title.partition(': ')[2]}. "),
            section("Differences", apart, *map(paragraph, filter(None, [of_ties(ranking)]))) if apart else "",
            section("Pyro's own inference", *_of_references(references)) if references else "",
            section("How it was made", rows_of(_flat(terms))),
            folded(
                "How these numbers were made",
                rows_of((name, value) for name, value in table.protocol.items() if value != {}),
            ),
            section("Do it again", lines_of_code([command])),
        ),
    )
    return path


def _of_references(references: Mapping[str, Any]) -> tuple[str, str]:
    return paragraph(references["title"]), bullets(f"{name}: {value}" for name, value in references["rows"].items())


def warnings_of(table: Table) -> list[str]:
    """What is to be known before the numbers are used, in words; the doubts about local fits are in the table."""
    found = words_of(table.protocol)
    if any(row.figures["elbo"] is None for row in table.rows):
        found.append(POINT_IN_WORDS)
    if table.rows[0].seeds == 1:
        found.append("One seed: how much of a difference is due to chance in training is unknown.")
    return found


def _flat(terms: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of settings at any depth."""
    for name, value in terms.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif value is not None:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
