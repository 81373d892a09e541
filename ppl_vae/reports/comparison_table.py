"""The table of a comparison: a row a guide, over seeds, as text for a terminal, Markdown, CSV and HTML."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ppl_vae.estimates.caveats import words_of
from ppl_vae.estimates.estimate import shared, unlike
from ppl_vae.evaluation.comparison import Difference, Ranking, mean_of, ranking_of
from ppl_vae.figures import Row
from ppl_vae.runs.comparison import NATS, Result
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import Cell, error_alone, in_columns, with_error


class Table(NamedTuple):
    """A comparison's numbers.

    Args:
        rows: one a guide, the best bound on log p(x) first, what has none last.
        ranking: what is known of that order.
        protocol: that all share, with the seeds of the trainings and their evaluations.
        local_fits: by guide, how the fits to the test data went after each training; without those that fit nothing.
        bound_warnings: by guide, what is wrong with the bound of each training.
    """

    rows: list[Row]
    ranking: Ranking
    protocol: dict[str, Any]
    local_fits: dict[str, list[dict[str, Any]]]
    bound_warnings: dict[str, list[list[str]]]

    @property
    def result(self) -> str:
        """Which guide is the best, or that none is known to be; empty where none is compared."""
        ranking = self.ranking
        if not ranking.differences:
            return ""
        best, *others = ranking.guides
        if tied := ranking.tied_with(best):
            behind = [name for name in others if name not in tied]
            rest = f"; clearly behind: {', '.join(behind)}" if behind else ""
            return (
                f"a tie: no guide is known to be the best. {best} has the highest bound on log p(x) here, but how far "
                f"it is above {', '.join(tied)} may be chance{rest}"
            )
        second = next(each for each in ranking.differences if {each.better, each.worse} == {best, others[0]})
        by = with_error(second.mean, second.margin)
        return (
            f"{best} is the best: its bound on log p(x) is {by} nats per datapoint above that of {others[0]}, the next "
            "(higher is better)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As dictionaries and numbers, None for what is not known."""
        ranking = self.ranking
        rows = [
            row.to_dict()
            | {"tied_with": ranking.tied_with(row.guide), "local_fits": self.local_fits.get(row.guide)}
            | {"bound_warnings": self.bound_warnings[row.guide]}
            for row in self.rows
        ]
        differences = [
            {
                "better": each.better,
                "worse": each.worse,
                "mean": _number(each.mean),
                "stderr": _number(each.stderr),
                "margin": _number(each.margin),
                "over_trainings": _number(each.over_trainings),
                "over_datapoints": _number(each.over_datapoints),
                "tied": each.tied,
            }
            for each in ranking.differences
        ]
        ranked = {"by": "log_px", "level": ranking.level, "comparisons": len(differences), "correction": "Bonferroni"}
        return {"rows": rows, "ranking": {**ranked, "differences": differences}, "protocol": self.protocol}


def summarise(results: list[Result]) -> Table:
    """One row a guide, means and their margins over seeds, the best bound on log p(x) first.

    Raises:
        UserError: the results are of unlike protocols, which must not be ranked.
    """
    for result in results[1:]:
        differing = [name for name in unlike(results[0].protocol, result.protocol) if name != "seed"]
        if differing:
            raise UserError(
                f"{result.guide} was not evaluated like {results[0].guide} ({', '.join(differing)} differ), so the two "
                "cannot be ranked; compare them on the same terms, in a new `out`."
            )
    by_guide: dict[str, list[Result]] = {}
    for result in results:
        by_guide.setdefault(result.guide, []).append(result)
    bounds = {
        guide: torch.tensor([each.log_px for each in mine], dtype=torch.float64)
        for guide, mine in by_guide.items()
        if mine[0].log_px is not None
    }
    ranking = ranking_of(bounds)
    rows = [
        Row(
            guide, len(by_guide[guide]), _over_seeds(by_guide[guide]), ranking.ranks(guide) if guide in bounds else None
        )
        for guide in (*ranking.guides, *(guide for guide in by_guide if guide not in bounds))
    ]
    seeds = list(dict.fromkeys(result.protocol["seed"] for result in results))
    protocol = {name: value for name, value in shared(results[0].protocol).items() if name != "seed"}
    fits = {guide: [each.local_fits for each in mine if each.local_fits] for guide, mine in by_guide.items()}
    told = {guide: found for guide, found in fits.items() if found}
    wrong = {guide: [each.bound_warnings for each in mine] for guide, mine in by_guide.items()}
    return Table(rows, ranking, protocol | {"seeds": seeds}, told, wrong)


def _over_seeds(results: Sequence[Result]) -> dict[str, tuple[float, float, float] | None]:
    """Each figure's mean, standard error and margin; None where a training has none."""
    found = {name: [result.figures[name] for result in results] for name in results[0].figures}
    found["log_px_over_datapoints"] = [mean_of(result.log_px).stderr if result.log_px else None for result in results]
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: mean_of(known[name]) if len(known[name]) == len(results) else None for name in found}


COLUMNS = {
    "elbo": "ELBO",
    "log_px": "log p(x) ≥",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "seconds": "seconds",
    "parameters": "parameters",
}
HEAD = ("rank", *COLUMNS.values())
DIFFERENCES = ("log p(x) ≥, difference", "over trainings", "over datapoints", "verdict")


def cells(row: Row) -> list[str]:
    """A row of the table as text."""
    cells = [row.guide, row.rank_in_words]
    for name in COLUMNS:
        figure = row.figures[name]
        if figure is None:
            cells.append("–")
        elif name == "parameters":
            cells.append(f"{figure[0]:,.0f}")
        else:
            cells.append(with_error(figure[0], figure[2], digits=2 if name in NATS else 1))
    return cells


def narrow(rows: Sequence[Mapping[str, Cell]]) -> list[Mapping[str, Cell]]:
    """Of rows that have everything, what a paper shows: ranks, and the figures of :data:`COLUMNS` with their errors."""
    kept = ["guide", "best_rank", "worst_rank", "seeds"]
    kept += [f"{name}{error}" for name in COLUMNS for error in ("", "_stderr")]
    return [{name: row[name] for name in kept} for row in rows]


def difference_cells(difference: Difference) -> list[str]:
    """A pair of guides as text."""
    margins = difference.margin, difference.over_trainings, difference.over_datapoints
    known = [margin if math.isfinite(margin) else math.nan for margin in margins]
    apart = ["–" if math.isnan(margin) else error_alone(margin) if margin else "0" for margin in known[1:]]
    pair = f"{difference.better} − {difference.worse}"
    verdict = "a tie" if difference.tied else f"{difference.better} is better"
    return [pair, with_error(difference.mean, known[0]), *apart, verdict]


def as_terminal(table: Table) -> str:
    """The table in columns, with what has to be said of it."""
    lines = [*in_columns([["guide", *HEAD], *map(cells, table.rows)]), footnote(table)]
    if table.ranking.differences:
        pairs = map(difference_cells, table.ranking.differences)
        lines += ["", *in_columns([["one − another", *DIFFERENCES], *pairs])]
        lines += [of_comparisons(table.ranking), *filter(None, [of_ties(table.ranking)])]
    result = [f"result   {table.result}"] if table.result else []
    return "\n".join([*lines, *of_fits(table), *words_of(table.protocol), *result])


def as_markdown(table: Table) -> str:
    """The table in Markdown, with its protocol."""
    lines = [*_in_markdown(["guide", *HEAD], map(cells, table.rows)), "", footnote(table), ""]
    if table.ranking.differences:
        pairs = map(difference_cells, table.ranking.differences)
        lines += [
            *_in_markdown(["one − another", *DIFFERENCES], pairs),
            "",
            of_comparisons(table.ranking),
            of_ties(table.ranking),
            "",
        ]
    if said := of_fits(table):
        lines += [*(f"- {line}" for line in said), ""]
    details = ", ".join(f"{key} {value}" for key, value in table.protocol.items() if value != {})
    return "\n".join([*lines, " ".join([*words_of(table.protocol), f"Protocol: {details}."]), ""])


def as_csv(table: Table) -> str:
    """The rows as CSV: every figure with its standard error and margin, its ranks, and the kind of likelihood."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(table.rows[0].figures)
    columns = [column for name in names for column in (name, f"{name}_stderr", f"{name}_margin")]
    writer.writerow(["guide", "seeds", "best_rank", "worst_rank", *columns, "likelihood"])
    for row in table.rows:
        cells = [value for name in names for value in (row.figures[name] or ("", "", ""))]
        writer.writerow([row.guide, row.seeds, *(row.rank or ("", "")), *cells, table.protocol["likelihood"]])
    return text.getvalue()


def footnote(table: Table) -> str:
    """What units and errors the table has."""
    seeds = table.rows[0].seeds
    errors = (
        f"± is the {100 * table.ranking.level:.0f} % interval over {seeds} trainings (Student's t, "
        f"{_counted(seeds - 1, 'degree')} of freedom), each evaluated by draws of its own, whose noise is included"
        if seeds > 1
        else "one seed, so no interval over trainings"
    )
    alone = {
        name: max((found[0] for row in table.rows if (found := row.figures[name]) and found[0] > 0), default=None)
        for name in ("log_px_over_datapoints", "log_px_monte_carlo")
    }
    known = [
        f"{error_alone(error)} {what}"
        for error, what in zip(alone.values(), ("over datapoints", "of the estimate on these datapoints"), strict=True)
        if error
    ]
    if known:
        errors += f"; in one training log p(x) has a standard error of {', '.join(known)}"
    return f"Nats per test datapoint, bigger is better, except for the KL; seconds of training; {errors}."


def of_comparisons(ranking: Ranking) -> str:
    """How the ranks were come by."""
    count, level = len(ranking.differences), f"{100 * ranking.level:.0f} %"
    held = f"at {level}" if count == 1 else f"{level} for all together (Bonferroni)"
    return f"Ranks by log p(x) ≥, from {_counted(count, 'comparison')} on the same datapoints and bits, {held}."


def of_fits(table: Table) -> list[str]:
    """How local fits to the test data went, and what is wrong with bounds, where there is anything to say."""
    lines = []
    for guide, trainings in table.local_fits.items():
        for number, fits in enumerate(trainings, start=1):
            which = f"{guide}, training {number}" if len(trainings) > 1 else guide
            lines += [f"{which}: {note}" for note in fits["notes"]]
            lines += [f"warning: {which}: {doubt}" for doubt in fits["warnings"]]
    for guide, bounds in table.bound_warnings.items():
        for number, wrong in enumerate(bounds, start=1):
            which = f"{guide}, training {number}" if len(bounds) > 1 else guide
            lines += [f"warning: {which}: {each}" for each in wrong]
    return lines


def of_ties(ranking: Ranking) -> str:
    """What a tie is, where there is one, and what one seed says."""
    if ranking.seeds > 1 and not any(each.tied for each in ranking.differences):
        return ""
    if ranking.seeds > 1:
        return "A tie: the difference may be chance, of trainings and of datapoints; ± is of both together."
    return (
        "A tie: the difference may be the chance of these datapoints. One seed: what is said to be better is so of "
        "these trainings; with other seeds the order may differ."
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _in_markdown(head: list[str], lines: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(line)} |" for line in lines)]
