"""The report of a run: one page that says what was run, what came of it, and how to do it again."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ppl_vae import figures
from ppl_vae.data import Dataset, Splits
from ppl_vae.diagnostics import Diagnostics, diagnose
from ppl_vae.estimates import Protocol
from ppl_vae.estimates.caveats import POINT_IN_WORDS, density_of, words_of
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.evaluation.per_step import BesideNGrams, beside_ngrams, has_steps
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.reports.chosen import all_settings, changed_settings
from ppl_vae.reports.effort import FULL, QUIET_SECONDS, Effort
from ppl_vae.reports.ending.card import Estimated, Named, cells_of, rows_of_parts, write_card
from ppl_vae.reports.next_steps import after_training, not_collapsed
from ppl_vae.reports.outcome import for_how_long, named, numbers_of, result_of, what_estimates_are_of
from ppl_vae.reports.page import (
    beside_each_other,
    bullets,
    folded,
    folded_lines,
    folded_section,
    in_large,
    lines_of_code,
    page,
    paragraph,
    picture_of,
    section,
    table,
    warned_of,
)
from ppl_vae.reports.pictures import title_of
from ppl_vae.reports.reproduction import reproduction
from ppl_vae.runs.command_line import command_on, train_command
from ppl_vae.runs.opened import OpenedRun, split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.device import choose_device, device_of
from ppl_vae.runtime.errors import reason, warned
from ppl_vae.runtime.files import CannotWriteError, write_text
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded

_SEED = 0  # what `ppl-vae evaluate` takes where nothing else is asked for

_T = TypeVar("_T")

_ERRORS = ("± over datapoints", "± of the estimate on these datapoints")  # headings

_TRAINING_IN_WORDS = (
    "Nats per datapoint, bigger is better, except for the KL: means over one epoch, while the parameters moved."
)

_HOW = "How these numbers were made, and fingerprints of what they were made with"

# The pictures that say most: of those that a run has the first few stand at the top of the page.
_FIRST = ("reconstructions", "latent", "prior", "training", "grid", "posteriors", "kl-by-unit")
_NUM_FIRST = 4


class Written(NamedTuple):
    """A report.

    Args:
        path: of the page.
        warnings: of what the pair is like, a line each.
        parts: the ELBO and its parts; None where they could not be had.
    """

    path: Path
    warnings: tuple[str, ...]
    parts: ElboParts | None

    def __str__(self) -> str:
        return f"{self.path} (its pictures: {self.path.parent / 'figures'})"


def write_report(
    run: Run,
    splits: Splits,
    pictures: Iterable[Path],
    left_out: Callable[[str], object] = warned,
    effort: Effort = FULL,
) -> Written | None:
    """Estimate, diagnose and write ``report.html`` and the run's card, each in one piece, over an older one.

    What cannot be had of an odd pair or data is left out, and the page says why.

    Args:
        run: trained.
        splits: its data.
        pictures: to show, besides the KL by unit that is drawn here.
        left_out: called, in words, if no page could be made.
        effort: how much it looks at.

    Returns:
        what was written; None if no page could be made.
    """
    path = run.path / "report.html"
    try:
        pair = run.load_pair(choose_device(run.record.config.fit.device))
        report = _Report(OpenedRun(run, pair, device_of(pair.model)), splits, effort)
        write_text(path, report.page(list(pictures)))
        write_card(report.opened, report.estimated, report.first[:1])
    except CannotWriteError:
        raise
    except Exception as error:  # a finished training must not end in a page that cannot be made
        left_out(f"left out report: {reason(error)}")
        return None
    return Written(path, report.warnings, report.parts)


class _Report:
    """What the report of one run is made from."""

    def __init__(self, opened: OpenedRun, splits: Splits, effort: Effort) -> None:
        self.opened, self.run, self.pair, self.effort = opened, opened.run, opened.pair, effort
        self.config, self.splits = self.run.record.config, splits
        self.local = bool(tables_of(self.pair.guide))
        self.split = split_shown(self.pair, splits)
        data = splits.get(self.split)
        self.total, self.once = len(data), ", binarized once" if data.dynamic else ""
        # The bits that `ppl-vae evaluate` takes; only what is held has any that stay.
        self.data = (data.head(data.at_once) if data.dynamic else data).to(opened.device).fixed(_SEED)
        self.of_elbo = self.data.head(effort.elbo_datapoints)
        self.few = self.data.head(effort.datapoints)
        self.missing: list[str] = []
        self.warnings: tuple[str, ...] = ()
        self.parts: ElboParts | None = None
        self.protocols: dict[str, Protocol] = {}
        self.estimated, self.first = Estimated(), list[Path]()  # for the card

    def page(self, pictures: list[Path]) -> str:
        """The whole page."""
        with seeded(_SEED, self.opened.device):
            point = not has_density(self.pair.guide, self.few.probe())
        bounded = 0 if point else len(self.few)
        total = len(self.of_elbo) + bounded + len(self.few)
        with bar(total, "datapoint", "report", delay=QUIET_SECONDS) as done:
            rows = self._estimates(point, done.update)
            beside = self._try("n-grams", self._beside_ngrams)
            found = self._try("diagnostics", lambda: self._diagnose(done.update))
        if found and not found.units.kl.isnan().all():
            picture = self._try("KL by unit", lambda: self._draw_units(found))
            pictures += [picture] if picture else []
        self.warnings, of_bound = (found.warnings, found.bound_warnings) if found else ((), ())
        (first, more), settings, history = _parted(pictures), self._settings(), self.opened.history
        warnings = [*self.warnings, *of_bound, *self._reservations(point)]
        self.first, self.estimated = first, Estimated(rows, self._note(), list(self.protocols.values()), warnings)
        about, last = f"{title_of(self.run)}. ", after_training(self.run, self.pair, self.splits, history)
        return page(
            f"{self.config.in_words} on {Path(self.config.data.data).name} ({self.run.path.name})",
            paragraph(f"Trained on {self.run.record.info.num_data:,} datapoints, {for_how_long(self.run, history)}."),
            in_large(*result_of(self.pair, self.splits, history, self.parts)),
            warned_of(warnings),
            beside_each_other(picture_of(each, about) for each in first) if first else "",
            section("What to do next", lines_of_code([last.command]), paragraph(_sentence(last.gives))),
            section("Estimates", *self._tables_of_estimates(rows, beside)),
            section("Diagnostics", _diagnostics(found, self.split)),
            self._try("predictive checks", self._reproduction) or "",
            section("Training", paragraph(_TRAINING_IN_WORDS), table(numbers_of(history, self.config.fit))),
            section("Settings", *settings),
            folded_section("How it is built, and more pictures", *(picture_of(each, about) for each in more)),
            section("Do it again", lines_of_code(self._commands())),
        )

    def _tables_of_estimates(self, rows: list[Named], beside: BesideNGrams | None) -> list[str]:
        protocols = {name: _flat(protocol) for name, protocol in self.protocols.items()}
        names = dict.fromkeys(name for plain in protocols.values() for name in plain)
        protocol_rows = [(name, *(plain.get(name, "") for plain in protocols.values())) for name in names]
        steps = [paragraph(f"Nats per {beside.step}, of the ELBO:"), table(beside.in_words())] if beside else []
        note, made = paragraph(self._note() + self._less()), folded(_HOW, table(protocol_rows, protocols))
        return [note, table([cells_of(*row) for row in rows], _ERRORS), *steps, made]

    def _settings(self) -> list[str]:
        """Those that were changed, if any, and all; and what was decided in reading the data."""
        changed = self._try("changed settings", lambda: changed_settings(self.run.record, self.splits))
        shown = table(changed, ("", "why")) if changed else paragraph("All as they are where nothing is set.")
        everything = folded("All settings", table(all_settings(self.run.record, self.pair)))
        return [shown, everything, folded_lines("How the data was read", self.splits.notes)]

    def _try(self, what: str, make: Callable[[], _T]) -> _T | None:
        try:
            return make()
        except Exception as error:  # a user's own pair can raise anything
            self.missing.append(f"left out {what}: {reason(error)}")
            return None

    def _diagnose(self, advance: Callable[[int], object]) -> Diagnostics:
        data, effort = self.data.head(self.effort.codes), self.effort
        num, unfinished = min(effort.datapoints, len(data)), not_collapsed(self.run, self.opened.history)
        return diagnose(*self.pair, data, effort.draws, _SEED, advance, num, unfinished)

    def _reproduction(self) -> str:
        given = self.run.record.info, self.effort.replicates, self.split, title_of(self.run), self.run.figures
        return reproduction(self.pair, self.data.head(self.effort.checked), *given, self.effort == FULL)

    def _beside_ngrams(self) -> BesideNGrams | None:
        layout = self.opened.info.layout
        if not self.parts or self.opened.is_point or not has_steps(self.pair.model, self.of_elbo, layout):
            return None
        return beside_ngrams("elbo", self.parts.elbo, self.of_elbo, self.opened.split("train").fixed(_SEED), layout)

    def _estimates(self, point: bool, advance: Callable[[int], object]) -> list[Named]:
        draws, k = self.effort.elbo_draws, self.effort.bound_draws
        self.parts = self._try("ELBO", lambda: elbo(*self.pair, self.of_elbo, draws, _SEED, advance))
        rows = rows_of_parts(self.parts, point)
        if self.parts:
            self._note_protocol("reconstruction" if point else "elbo", self.of_elbo, draws)
        if point:
            return rows
        bound = self._try("importance bound", lambda: importance_bound(*self.pair, self.few, k, _SEED, advance))
        if bound:
            self._note_protocol("iwae", self.few, k)
            of_few = f" on the first {len(self.few)}" if len(self.few) < len(self.of_elbo) else ""
            if self.parts and of_few:  # beside a bound on other datapoints the ELBO could seem the higher one
                rows.append((f"elbo{of_few} alone", self.parts.elbo.head(len(self.few))))
            bounded = density_of(self.pair.model, self.few)
            rows.append((f"importance bound on {bounded}{of_few}, K = {k}", bound))
            if bound.rise:
                rows.append((f"higher than with half as many draws, K = {k // 2} by", bound.rise))
        return rows

    def _note_protocol(self, estimator: str, data: Dataset, num_samples: int) -> None:
        origin = self.opened.origin(self.split)
        self.protocols[estimator] = Protocol.of(*self.pair, data, origin, estimator, num_samples, _SEED)

    def _draw_units(self, found: Diagnostics) -> Path:
        units = found.units
        methods = "; ".join(f"{site}: {method}" for site, method in units.methods.items())
        where = f"first {found.num_datapoints} of the {named(self.split)}"
        caption = (
            f"{title_of(self.run)}. What each unit of z is used for: its KL, and whether its posterior mean moves with "
            f"x; {where} ({methods})."
        )
        path = self.run.figures / "kl-by-unit.png"
        figures.save(found.figure(caption), path)
        return path

    def _reservations(self, point: bool) -> list[str]:
        found = [words for protocol in list(self.protocols.values())[:1] for words in words_of(protocol.to_dict())]
        if point:
            found.append(POINT_IN_WORDS)
        return found + self.missing

    def _note(self) -> str:
        """What the estimates are of."""
        held = (
            ""
            if len(self.data) == self.total
            else f" They are of the first {len(self.data):,}: memory is to hold no more (`data_memory`)."
        )
        return f"{what_estimates_are_of(self.data, self.local, self.split, self.once, self.parts)}{held}"

    def _less(self) -> str:
        return "" if self.effort.estimates_all else f" {self.effort.in_words(self.run.path)}"

    def _commands(self) -> list[str]:
        effort, path = self.effort, self.run.path
        where = {} if self.split == "test" else {"split": self.split}
        limit = {} if len(self.of_elbo) == self.total else {"limit": len(self.of_elbo)}
        draws = {} if effort.elbo_draws == FULL.elbo_draws else {"num_samples": effort.elbo_draws}
        commands = [train_command(self.run.record.asked, path), command_on("evaluate", path, **where, **limit, **draws)]
        if "iwae" in self.protocols:
            draws = {} if effort.bound_draws == FULL.bound_draws else {"num_samples": effort.bound_draws}
            few = {"estimator": "iwae", "limit": effort.datapoints}
            commands.append(command_on("evaluate", path, **where, **few, **draws))
        return commands


def _parted(pictures: list[Path]) -> tuple[list[Path], list[Path]]:
    """The pictures that say most, and all others."""
    by_stem = {each.stem: each for each in pictures}
    first = [by_stem[stem] for stem in _FIRST if stem in by_stem][:_NUM_FIRST]
    return first, [each for each in pictures if each not in first]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _flat(protocol: Protocol) -> dict[str, Any]:
    """The details beside the rest; the estimator's name heads the column."""
    plain = protocol.to_dict()
    plain |= plain.pop("details")
    return {name: value for name, value in plain.items() if name != "estimator"}


def _diagnostics(found: Diagnostics | None, split: str) -> str:
    if found is None:
        return "<p>None; the warnings say why.</p>"
    _, *lines = found.lines()
    return (
        f"<p>On {found.num_datapoints} datapoints of the {named(split)}, the first ones if there are more.</p>\n"
        + bullets(lines)
    )
