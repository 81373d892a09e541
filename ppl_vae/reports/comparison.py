"""The report of a comparison: one page with its table, its figure, its terms and how to do it again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ppl_vae.estimates.caveats import POINT_IN_WORDS, words_of
from ppl_vae.reports.comparison_table import (
    DIFFERENCES,
    HEAD,
    Table,
    cells,
    difference_cells,
    footnote,
    of_fits,
    of_ties,
)
from ppl_vae.reports.page import bullets, folded, lines_of_code, page, paragraph, picture_of, section, warned_of
from ppl_vae.reports.page import table as rows_of
from ppl_vae.runtime.files import write_text


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
