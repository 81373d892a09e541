"""The inference gap by families that are fitted to each datapoint here and now: the whole of it as one result, with how
the fits went and what is to be doubted.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from ppl_vae import figures
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.caveats import words_of
from ppl_vae.estimates.estimate import Estimate, Origin, Protocol, errors_line
from ppl_vae.estimates.significance import beyond_chance
from ppl_vae.evaluation.gaps import Gaps, GapsConfig, take_apart
from ppl_vae.guides import Family
from ppl_vae.guides.unseen import LocalFit, counts_of, doubts_about, fit_locally, guide_for, is_point, notes_on
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.parts import check_family, factored, has_learned, is_gaussian_at_base, is_mean_field
from ppl_vae.programs.rows import tables_of
from ppl_vae.runtime.config import changed, checked, field_names, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.shown import Row, Shown, with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {"test": "test data", "validation": "validation data", "train": "training data"}
_OWN_ROWS = (
    "a per-datapoint guide has no encoder: what is called amortization gap is what its rows, fitted in training (to "
    "fresh bits at every visit if the data is dynamic), miss of a fit to these bits."
)
_ITSELF_LOCAL = (
    "a per-datapoint guide has no answer to unseen data: its q is itself a local fit here, so that there is no "
    "amortization gap."
)


class Measured(NamedTuple):
    """The gap on some data.

    Args:
        gaps: the numbers.
        protocol: what they were made on, with what and how.
        warnings: what is to be doubted, in words.
        notes: what is to be known, in words.
        fits: counts of how the fits of each family went.
    """

    gaps: Gaps
    protocol: Protocol
    warnings: list[str]
    notes: list[str]
    fits: dict[str, dict[str, int | float]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        told = {"warnings": self.warnings, "notes": self.notes, "fits": self.fits}
        return self.gaps.to_dict() | told | {"protocol": self.protocol.to_dict()}


@dataclass(frozen=True, eq=False)
class InferenceGaps(Shown):
    """The inference gap on one or several data sets, taken apart; nats per datapoint.

    Args:
        measured: by the name of the data; the same families in each.
        own: the family that is the guide's own; empty where none is.
        called: what the guide is called.
    """

    measured: Mapping[str, Measured]
    own: str = ""
    called: str = "the guide"

    @property
    def warnings(self) -> list[str]:
        """What is to be doubted, of all data together."""
        return [warning for each in self.measured.values() for warning in each.warnings]

    @property
    def notes(self) -> list[str]:
        """What is to be known, of all data together."""
        return [note for each in self.measured.values() for note in each.notes]

    def rows(self) -> list[Row]:
        """A row for each family on each data."""
        return [{"data": name, **row} for name, each in self.measured.items() for row in each.gaps.rows()]

    def footnotes(self) -> list[str]:
        """Which errors the numbers have, and each data's protocol."""
        errors = errors_line(each.gaps.inference for each in self.measured.values())
        return [errors, *(words for each in self.measured.values() for words in each.protocol.in_words())]

    def __str__(self) -> str:
        lines = []
        for name, each in self.measured.items():
            told = each.gaps.lines(self.own, _TITLES.get(name, name))
            lines += [_title(name, each), *told, *(f"  note: {note}" for note in each.notes)]
            lines += [f"  warning: {warning}" for warning in each.warnings]
            lines += words_of(each.protocol.to_dict())
        errors = errors_line(each.gaps.inference for each in self.measured.values())
        closing = [f"result   {self._in_words(name, each)}" for name, each in self.measured.items()]
        return "\n".join([*lines, f"{errors}; inference = approximation + amortization gap", *closing])

    def _in_words(self, name: str, measured: Measured) -> str:
        """What the guide loses on the data of a name, and to what."""
        gaps = measured.gaps
        inference = with_error(gaps.inference.mean, gaps.inference.stderr)
        where = f"{_title(name, measured)}: the ELBO of {self.called} is {inference} nats below log p(x)"
        if self.own not in gaps.families:
            return f"{where}; smaller is better"
        found = gaps.families[self.own]
        family, rest = (with_error(each.mean, each.stderr) for each in (found.approximation, found.amortization))
        return (
            f"{where} (smaller is better): {family} because even the best {self.own} q is that far below "
            f"(approximation gap), {rest} because the guide's q is not that best one (amortization gap)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        splits = {name: each.to_dict() for name, each in self.measured.items()}
        return {"unit": "nats per datapoint", "splits": splits}

    def to_csv(self) -> str:
        """A row for each datapoint: the bounds, the guide's ELBO, each family's optimum; gaps are their differences."""
        first = next(iter(self.measured.values())).gaps
        text = io.StringIO()
        writer = csv.writer(text)
        names = [f"log_px_{name}" for name in first.bounds], [f"local_{name}" for name in first.families]
        writer.writerow(["split", "row", *names[0], "guide", *names[1]])
        for split, (gaps, *_) in self.measured.items():
            columns = [*gaps.bounds.values(), gaps.guide, *(gap.local for gap in gaps.families.values())]
            for row, values in enumerate(zip(*(column.values.tolist() for column in columns), strict=True)):
                writer.writerow([split, row, *values])
        return text.getvalue()

    def figure(self, of: str = "") -> "Figure":
        """Both gaps as bars, a row for each family, a panel for each data; ``of`` says of what they are."""
        caption = (
            "Blue and orange together are log p(x) less the guide's ELBO, ± standard error over datapoints. A row for "
            "each family of q that was fitted to each datapoint alone."
        )
        groups = [(_title(name, each), each.gaps.bars()) for name, each in self.measured.items()]
        return figures.gaps(groups, f"{of}. {caption}" if of else caption)


def _title(name: str, measured: Measured) -> str:
    return f"{_TITLES.get(name, name)}, {measured.protocol.num_datapoints} datapoints"


def gaps_by_family(
    model: nn.Module,
    guide: nn.Module,
    families: Mapping[str, Family],
    data: Dataset | Mapping[str, Dataset],
    settings: GapsConfig | None = None,
    infer: InferConfig | None = None,
    *,
    origin: Callable[[str], Origin] | None = None,
    called: str = "the guide",
    progress: bool | None = None,
    **named: object,
) -> InferenceGaps:
    """Take the inference gap of a trained pair apart, by a q of each family fitted to each datapoint alone.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it; where it has no answer to the data, its rows are fitted to it.
        families: by name, over the model's latents; the guide's own object is taken with what it has learned, and its
            fits start where the guide is, so that its optimum cannot be missed by more than the guide.
        data: the datapoints, on the device of the pair; binarized once if dynamic. Or several, by name.
        settings: of the estimates; the defaults if None.
        infer: of the fits; the defaults if None.
        origin: where the data of a name comes from, for the protocol.
        called: what the result calls the guide.
        progress: show progress bars; None shows them on a terminal and in a notebook.
        named: settings of the estimates and of the fits by name, in place of those in ``settings`` and ``infer``:
            ``chains=8, infer_steps=500``.

    Raises:
        UserError: no setting has that name, what is called a family is none over the model's latents, the guide is a
            point, or as :func:`ppl_vae.evaluation.take_apart`.
    """
    of_fits = {name: named.pop(name) for name in field_names(InferConfig()) if name in named}
    settings = checked(changed(settings or GapsConfig(), named))
    infer = checked(changed(infer or InferConfig(), of_fits))
    parts = {"data": data} if isinstance(data, Dataset) else data
    parts = {name: part.fixed(settings.seed) for name, part in parts.items()}
    first = next(iter(parts.values()))
    if is_point(guide, first):
        raise UserError(
            "the guide puts z at one point, which has no density, so there is no gap to log p(x); train with "
            "another guide or another `family`."
        )
    latents = Latents.of(model, first.probe())
    if not isinstance(families, Mapping) or not families:
        made = f"{{'diagonal': Diagonal({latents.size})}}"
        raise UserError(f"`families` must be a dictionary of at least one family by name, such as {made}.")
    for name, family in families.items():
        check_family(family, latents, f"family '{name}'")
    measured = {}
    for name, part in parts.items():
        met, local = _fitted(model, guide, families, latents, part, infer, progress)
        programs = {family: fit.guide for family, fit in local.items()}
        with bar(len(part) * settings.total, "temperature", "annealing", progress) as done:
            gaps = take_apart(model, met, programs, part, settings, done.update)
        notes = [f"family '{family}': {note}" for family, fit in local.items() for note in notes_on(fit.fits)]
        notes += gaps.notes
        if tables_of(guide):
            notes.append(_OWN_ROWS if met is guide else _ITSELF_LOCAL)
        details = to_plain(settings) | to_plain(infer)
        del details["engine"]  # how it was worked out, not what
        details["families"] = " ".join(families)  # the best of them is the proposal for log p(x)
        common = ("gaps", settings.num_samples, settings.seed, details)
        protocol = Protocol.of(model, met, part, origin(name) if origin else None, *common)
        counts = {family: counts_of(fit.fits) for family, fit in local.items()}
        measured[name] = Measured(gaps, protocol, gaps.warnings + _doubts(gaps, local, infer), notes, counts)
    of_guide = factored(guide)
    own = next((each for each, family in families.items() if of_guide and family is of_guide.family), "")
    return InferenceGaps(measured, own, called)


def _fitted(
    model: nn.Module,
    trained: nn.Module,
    families: Mapping[str, Family],
    latents: Latents,
    data: Dataset,
    infer: InferConfig,
    progress: bool | None,
) -> tuple[nn.Module, dict[str, LocalFit]]:
    """The guide with an answer to the data, and the local fits of each family."""
    local: dict[str, LocalFit] = {}
    with bar(len(data) * len(families), "fit", "fitting", progress) as done:
        guide = guide_for(model, trained, data, infer)
        check_pair(model, guide, data.probe())
        for name, family in families.items():
            own, now = factored(trained), factored(guide)
            start = now.params if own and now and family is own.family else None
            local[name] = fit_locally(model, family, latents, data, infer, start, done.update, guide)
    return guide, local


def _doubts(gaps: Gaps, local: Mapping[str, LocalFit], infer: InferConfig) -> list[str]:
    """Signs that a "local optimum" is none."""
    found = []
    for name, gap in gaps.families.items():
        found += [f"family '{name}': {doubt}" for doubt in doubts_about(local[name].fits, infer)]
        if beyond_chance(-gap.amortization, len(gaps.families)):
            found.append(
                f"family '{name}': its local fits end below the guide's own ELBO, so they are not its optimum (unless "
                "the guide's family is richer); raise `infer_steps` or `infer_window`, or lower `infer_rate`."
            )
    ends = {name: gap.local for name, gap in gaps.families.items()}
    return found + below_mean_field(ends, {name: fit.guide.family for name, fit in local.items()})


def below_mean_field(ends: Mapping[str, Estimate], families: Mapping[str, Family]) -> list[str]:
    """Which families end below a mean-field Gaussian, in words, though its every q is one of theirs, or nearly.

    Those families are the Gaussians and the maps of Gaussians, but for what networks have learned with a guide.

    Args:
        ends: the ELBO of each family's local fits, by name.
        families: the families.
    """
    found = []
    wider = [name for name, family in families.items() if not has_learned(family) and is_gaussian_at_base(family)]
    for plain in (name for name in wider if is_mean_field(families[name])):
        for name in wider:
            short = ends[plain] - ends[name]
            if beyond_chance(short, len(ends)):
                found.append(
                    f"family '{name}': its local fits end {short.mean:.3f} nats below those of '{plain}', so they are "
                    "no optimum of it (unless it holds no such q); raise `infer_steps`, or lower `infer_rate`."
                )
    return found
