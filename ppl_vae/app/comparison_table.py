"""The table of a comparison: a row a guide, over seeds, as text for a terminal, Markdown, CSV and HTML."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ppl_vae.app.caveats import words_of
from ppl_vae.app.comparison import NATS, Result
from ppl_vae.errors import UserError
from ppl_vae.evaluation.estimate import unlike
from ppl_vae.figures import Row
from ppl_vae.figures.numbers import with_error


def summarise(results: list[Result]) -> list[Row]:
    """One row a guide, means and standard errors over seeds, the best bound on log p(x) first.

    Raises:
        UserError: the results are of unlike protocols, which must not be ranked.
    """
    for result in results[1:]:
        differing = unlike(results[0].protocol, result.protocol)
        if differing:
            raise UserError(
                f"{result.guide} was not evaluated like {results[0].guide} ({', '.join(differing)} differ), so the two "
                "cannot be ranked; compare them on the same terms, in a new --out."
            )
    rows = []
    for guide in dict.fromkeys(result.guide for result in results):
        mine = [result.figures for result in results if result.guide == guide]
        rows.append(Row(guide, len(mine), {name: _over_seeds([f[name] for f in mine]) for name in mine[0]}))
    return sorted(rows, key=_rank, reverse=True)


def _rank(row: Row) -> tuple[bool, float]:
    """By the bound on log p(x), the best first; what has none comes last."""
    bound = row.figures["log_px"]
    return bound is not None, bound[0] if bound else 0.0


def _over_seeds(values: list[float | None]) -> tuple[float, float] | None:
    """Mean and standard error; the error of a single seed is NaN."""
    known = torch.tensor([value for value in values if value is not None], dtype=torch.float64)
    if len(known) < len(values):
        return None
    stderr = float(known.std() / len(known) ** 0.5) if len(known) > 1 else float("nan")
    return float(known.mean()), stderr


COLUMNS = {
    "elbo": "ELBO",
    "log_px": "log p(x) ≥",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "seconds": "seconds",
    "parameters": "parameters",
}


def cells(row: Row) -> list[str]:
    """A row of the table as text."""
    cells = [row.guide]
    for name in COLUMNS:
        figure = row.figures[name]
        if figure is None:
            cells.append("–")
        elif name == "parameters":
            cells.append(f"{figure[0]:,.0f}")
        else:
            cells.append(with_error(*figure, digits=2 if name in NATS else 1))
    return cells


def as_terminal(rows: list[Row], protocol: Mapping[str, Any]) -> str:
    """The table in columns, with what has to be said of it."""
    table = [["guide", *COLUMNS.values()], *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([*lines, footnote(rows), *words_of(protocol)])


def as_markdown(rows: list[Row], protocol: Mapping[str, Any]) -> str:
    """The table in Markdown, with its protocol."""
    lines = ["| guide | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    details = ", ".join(f"{key} {value}" for key, value in protocol.items() if value != {})
    notes = [footnote(rows), *words_of(protocol), f"Protocol: {details}."]
    return "\n".join([*lines, "", " ".join(notes), ""])


def as_csv(rows: list[Row], protocol: Mapping[str, Any]) -> str:
    """The table as CSV, every figure with its standard error in a column of its own, and the kind of likelihood."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(rows[0].figures)
    columns = [column for name in names for column in (name, f"{name}_stderr")]
    writer.writerow(["guide", "seeds", *columns, "likelihood"])
    for row in rows:
        cells = [value for name in names for value in (row.figures[name] or ("", ""))]
        writer.writerow([row.guide, row.seeds, *cells, protocol["likelihood"]])
    return text.getvalue()


def footnote(rows: Sequence[Row]) -> str:
    """What units and errors the table has."""
    several = f"± standard error over {rows[0].seeds} seeds"
    errors = several if rows[0].seeds > 1 else "one seed, so no standard error"
    return f"Nats per test datapoint, bigger is better; seconds of training; {errors}."
