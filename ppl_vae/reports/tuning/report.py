"""The report of a study: one page with the best settings, what they gain, its pictures and all trials."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ppl_vae import figures
from ppl_vae.reports.page import (
    bullets,
    folded,
    in_large,
    lines_of_code,
    page,
    paragraph,
    picture_of,
    section,
    table,
    warned_of,
)
from ppl_vae.reports.tuning.importance import enough_for, importance, usable
from ppl_vae.reports.tuning.result import Tuning, as_text, signed
from ppl_vae.runs.command_line import command_on
from ppl_vae.runtime.config import to_plain
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import with_error

_OPEN = 12  # trials in a table that need not be unfolded


def write_tuning_report(found: Tuning, out: Path) -> dict[str, Path]:
    """Write ``trials.png``, ``settings.png``, each with its SVG, and ``report.html`` into the study's folder, over
    older ones.

    Args:
        found: the study, its two runs kept.
        out: the folder.

    Returns:
        what is worth a look, by kind.
    """
    pictures = {out / "trials.png": found.figure(), out / "settings.png": found.figure_of_settings()}
    for path, figure in pictures.items():
        figures.save(figure, path)
    about = f"{found.caption}. "
    write_text(
        out / "report.html",
        page(
            f"Search of settings: {found.settings.in_words} on {Path(found.settings.data.data).name} ({out.name})",
            paragraph(f"{found.how_many}, of up to {found.most_epochs} epochs each."),
            in_large(*_result(found)),
            warned_of(found.warnings),
            table(_best(found), _head(found)),
            *map(paragraph, _of_choice(found)),
            _next(found),
            *(picture_of(path, about) for path in pictures),
            section("Which setting matters", *_importance(found)),
            section("Trials", _trials(found)),
            section("How it was made", _how(found)),
            section("Do it again, or go on to more trials", lines_of_code([found.command_of(found.terms, out)])),
        ),
    )
    return {"report": out / "report.html"}


def _result(found: Tuning) -> tuple[str, str]:
    """The headline, and what it is of."""
    if found.gain is None:
        elbo = found.elbo[0].test
        of = f"nats per datapoint on {len(elbo.values):,} test datapoints: "
        return f"ELBO {with_error(elbo.mean, elbo.stderr)}", of + found.verdict
    of = (
        f"nats per datapoint of ELBO on {len(found.gain.values):,} test datapoints: the best settings (trial "
        f"{found.best.number}) less those given (trial 0), paired by datapoint"
    )
    return signed(found.gain), of


def _head(found: Tuning) -> list[str]:
    """The columns of the table of the best."""
    best = [f"the best (trial {found.best.number})"] if found.lead else []
    return [*best, "as given (trial 0)", *(["difference, paired"] if found.lead else [])]


def _best(found: Tuning) -> Iterator[list[str]]:
    """Settings, bound and ELBOs of the best trial and of the first; of one alone where they are the same."""
    numbers = list(dict.fromkeys([found.best.number, 0]))
    two, blank = [found.trials[number] for number in numbers], [""] if found.lead else []
    for name in found.best_settings:
        yield [name.replace("_", " "), *(as_text(found.values_of(each).get(name)) for each in two), *blank]
    objective = found.settings.fit.objective
    yield [
        f"validation bound ({objective}), which trials are chosen by",
        *(as_text(each.bound) for each in two),
        *blank,
    ]
    for split in ("validation", "test"):
        elbos = [getattr(found.elbo[number], split) for number in numbers]
        paired = [signed(getattr(found.lead, split))] if found.lead else []
        what = f"ELBO on {len(elbos[0].values):,} {split} datapoints, {found.terms.num_samples} draws of z each"
        yield [what, *(with_error(elbo.mean, elbo.stderr) for elbo in elbos), *paired]


def _of_choice(found: Tuning) -> list[str]:
    """What the numbers are, and what choosing does to them."""
    words = (
        "Nats per datapoint, bigger is better, ± standard errors over datapoints, which say nothing of what another "
        "seed would change: each trial was trained once. The validation bound is of its training's own draws, so it is "
        "not quite the ELBO below it."
    )
    of_choice = found.choice and f"{found.choice[:1].upper()}{found.choice[1:]}."
    return [words, *filter(None, [of_choice])]


def _next(found: Tuning) -> str:
    step = found.next_step
    if step is None:
        return ""
    shown = command_on("report", found.runs[found.best.number])
    more = [paragraph("What the best run has learned:"), lines_of_code([shown])]
    return section("What to do next", lines_of_code([step.command]), paragraph(f"{step.gives.capitalize()}."), *more)


def _importance(found: Tuning) -> list[str]:
    shares = importance(found.searched, found.trials)
    if shares:
        rows = [(name.replace("_", " "), f"{share:.0%}") for name, share in shares.items()]
        words = (
            f"Shares of the variance of the validation bound, alone and together with others, in a random forest that "
            f"was fitted to the {len(usable(found.trials))} trials that ran to their end with settings "
            "of their own (Optuna's fANOVA, Hutter et al. 2014). They have no errors, know nothing of what was ended "
            "early, and are of the ranges that were searched: of a wider range a setting has more."
        )
        return [table(rows), paragraph(words)]
    if len(found.searched) == 1:
        return []
    ran, needed = len(usable(found.trials)), enough_for(found.searched)
    if ran >= needed:
        return [paragraph("All bounds are the same: none matters.")]
    words = (
        f"Too few trials to tell: {ran} with settings of their own ran to their end, and fewer than {needed} would "
        f"divide noise among {len(found.searched)} settings. Look at the picture, with as much doubt."
    )
    return [paragraph(words)]


def _trials(found: Tuning) -> str:
    rows = found.rows()
    head = [name.replace("_", " ") for name in rows[0]][1:]
    shown = table(([as_text(cell) for cell in row.values()] for row in rows), head)
    return shown if len(rows) <= _OPEN else folded(f"All {len(rows)}, the best first", shown)


def _how(found: Tuning) -> str:
    of_search = [
        "The first trial has the settings as they were given, the others what a tree-structured Parzen estimator "
        "suggests (Bergstra et al. 2011; Optuna, Akiba et al. 2019), the first of them drawn at random.",
        "A training is ended early where its validation bound is below the median of the others' at the same epoch; "
        "such a trial cannot be the best.",
        "Test data had no part in any choice: the best trial and the first were trained again, as runs of their own, "
        f"and their ELBOs estimated with {found.terms.num_samples} draws of z.",
    ]
    searched = table(
        (name.replace("-", "_"), values) for name, _, values in (w.partition("=") for w in found.terms.search)
    )
    return (
        bullets(of_search)
        + folded("What was searched", searched)
        + folded("All settings as given", table(_flat(to_plain(found.settings))))
    )


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of settings at any depth."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif value is not None:
            yield name, as_text(value)
