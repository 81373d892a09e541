"""``ppl-vae gaps``: where the inference of a run loses its nats."""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.evaluation import Estimate, GapsConfig, Protocol, inference_gaps
from ppl_vae.evaluation import Gaps as Parts
from ppl_vae.evaluation.errors_shown import errors_line, with_errors
from ppl_vae.evaluation.significance import beyond_chance
from ppl_vae.figures import GapBar
from ppl_vae.guides import Family
from ppl_vae.guides.unseen import LocalFit, counts_of, doubts_about, fit_locally, guide_for, notes_on
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.parts import factored, has_learned
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.local_families import local_families
from ppl_vae.reports.caveats import words_of
from ppl_vae.runs.opened import OpenedRun, SplitName, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered
from ppl_vae.runtime.config import Count, config, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed

_TITLES = {"test": "test data", "validation": "validation data", "train": "training data"}


_OWN_ROWS = (
    "a per-datapoint guide has no encoder: what is called amortization gap is what its rows, fitted in training (to "
    "fresh bits at every visit if the data is dynamic), miss of a fit to these bits."
)
_ITSELF_LOCAL = (
    "a per-datapoint guide has no answer to unseen data: its q is itself a local fit here, so that there is no "
    "amortization gap."
)


class _Measured(NamedTuple):
    """The gap on a split, the guide whose it is, doubts and notes in words, and how the fits went."""

    gaps: Parts
    guide: nn.Module
    warnings: list[str]
    notes: list[str]
    fits: dict[str, dict[str, int | float]]


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
    """A run directory, as 'ppl-vae train' wrote it."""
    families: tuple[str, ...] = ()
    """Families to take it apart by: diagonal, low-rank, full-rank, planar, or the guide's own. By default the guide's
    own and full-rank."""
    splits: tuple[SplitName, ...] = ("test", "train")
    """Which parts of the data."""
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
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Measure, print, write."""
        if self.out:
            _refuse_folder(self.out)
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise UserError("--splits: name each split once, at least one.")
        opened = open_run(self.run_directory, self.device, self.opening)
        if opened.is_point:
            raise UserError(
                "a point has no density, so there is no gap to log p(x); train with another guide or another --family."
            )
        data: dict[str, Dataset] = {
            split: _split(opened, split, self.limit).fixed(self.settings.seed) for split in self.splits
        }
        latents = Latents.of(opened.pair.model, next(iter(data.values())).probe())
        families = local_families(opened.pair.guide, latents, self.families)
        measured = {split: self._measure(opened, families, latents, part) for split, part in data.items()}
        results = {split: each.gaps for split, each in measured.items()}
        protocols = {
            split: self._protocol(opened, split, part, measured[split].guide, " ".join(families))
            for split, part in data.items()
        }
        plain = {
            split: gaps.to_dict()
            | {"warnings": measured[split].warnings, "notes": measured[split].notes}
            | {"fits": measured[split].fits, "protocol": protocols[split].to_dict()}
            for split, gaps in results.items()
        }
        text = json.dumps({"unit": "nats per datapoint", "splits": plain}, indent=2)
        print(text if self.json else _as_table(measured, protocols))
        with claimed(self.out, lambda: numbered(opened.run.path, "gaps"), _refuse_folder) as claim:
            out = claim.path
            try:
                write_text(out / "gaps.json", text)
                write_text(out / "gaps.csv", _as_csv(results))
                figures.save(_figure(opened, results), out / "gaps.png")
            except BaseException:
                claim.discard("gaps.json", "gaps.csv", "gaps.png", "gaps.svg")
                raise
        if not self.json:
            print(f"\npicture  {out / 'gaps.png'}\nfigures  {out / 'gaps.json'}, {out / 'gaps.csv'}")

    def _measure(self, opened: OpenedRun, families: Mapping[str, Family], latents: Latents, data: Dataset) -> _Measured:
        model, trained = opened.pair
        with tqdm(total=len(data) * len(families), unit="fit", desc="fitting", disable=None, leave=False) as bar:
            guide = guide_for(model, trained, data, self.infer)
            check_pair(model, guide, data.probe())
            local: dict[str, LocalFit] = {}
            for name, family in families.items():
                # Its own family starts where the guide is, so that its optimum cannot be missed by more than the guide.
                own, now = factored(trained), factored(guide)
                start = now.params if own and now and family is own.family else None
                local[name] = fit_locally(model, family, latents, data, self.infer, start, bar.update, guide)
        programs = {name: fit.guide for name, fit in local.items()}
        passes = len(data) * self.settings.total
        with tqdm(total=passes, unit="temperature", desc="annealing", disable=None, leave=False) as bar:
            gaps = inference_gaps(model, guide, programs, data, self.settings, bar.update)
        notes = [f"family '{name}': {note}" for name, fit in local.items() for note in notes_on(fit.fits)] + gaps.notes
        if tables_of(trained):
            notes.append(_OWN_ROWS if guide is trained else _ITSELF_LOCAL)
        counts = {name: counts_of(fit.fits) for name, fit in local.items()}
        return _Measured(gaps, guide, gaps.warnings + _doubts(gaps, local, self.infer), notes, counts)

    def _protocol(self, opened: OpenedRun, split: str, data: Dataset, guide: nn.Module, families: str) -> Protocol:
        details = to_plain(self.settings) | to_plain(self.infer)
        del details["engine"]  # how it was worked out, not what
        details["families"] = families  # the best of them is the proposal for log p(x)
        return opened.protocol("gaps", split, data, self.settings.num_samples, self.settings.seed, guide, details)


def _doubts(gaps: Parts, local: Mapping[str, LocalFit], infer: InferConfig) -> list[str]:
    """Signs that a "local optimum" is none."""
    found = []
    for name, gap in gaps.families.items():
        found += [f"family '{name}': {doubt}" for doubt in doubts_about(local[name].fits, infer)]
        if beyond_chance(-gap.amortization, len(gaps.families)):
            found.append(
                f"family '{name}': its local fits end below the guide's own ELBO, so they are no optimum of it (unless "
                "the guide's family is richer); raise --infer-steps or --infer-window, or lower --infer-rate."
            )
    if "diagonal" in gaps.families:
        for name, gap in gaps.families.items():  # which contain the diagonal one, but for what networks were learned
            if has_learned(local[name].guide.family):
                continue
            short = gaps.families["diagonal"].local - gap.local
            if beyond_chance(short, len(gaps.families)):
                found.append(
                    f"family '{name}' contains the diagonal one and its local fits end {short.mean:.3f} nats below "
                    "that: they are no optimum; raise --infer-steps, or lower --infer-rate."
                )
    return found


def _split(opened: OpenedRun, name: SplitName, limit: int) -> Dataset:
    """The split; where it is missing, the advice names this command's own flag."""
    try:
        return opened.split(name, limit)
    except UserError as error:
        raise UserError(str(error).replace("use --split ", "use --splits ")) from None


def _refuse_folder(path: Path) -> None:
    """Raise a UserError if no folder can be made at that path; its parents are made with it."""
    if os.path.lexists(path):
        raise UserError(f"{path} exists; choose another --out.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"{nearest} is no folder that can be written to; choose another --out.")


def _figure(opened: OpenedRun, results: Mapping[str, Parts]) -> Figure:
    groups = []
    for split, gaps in results.items():
        bars = [GapBar(name, _pair(gap.approximation), _pair(gap.amortization)) for name, gap in gaps.families.items()]
        groups.append((f"{_TITLES[split]}, {len(gaps.guide.values)} datapoints", bars))
    caption = (
        f"{Path(opened.run.record.config.data.data).name}: {opened.run.record.config.in_words}. Blue and orange "
        "together are log p(x) less the guide's ELBO, ± standard error over datapoints. A row for each family of q "
        "that was fitted to each datapoint alone."
    )
    return figures.gaps(groups, caption=caption)


def _pair(estimate: Estimate) -> tuple[float, float]:
    return estimate.mean, estimate.stderr


def _as_table(measured: Mapping[str, _Measured], protocols: Mapping[str, Protocol]) -> str:
    lines = []
    for split, (gaps, _, warnings, notes, _) in measured.items():
        protocol = protocols[split]
        lines += [f"{_TITLES[split]}, {protocol.num_datapoints} datapoints"]
        for name, bound in gaps.bounds.items():
            lines.append(f"  {_text('log p(x) ≥', bound)}  {name}{' (taken)' if name == gaps.best else ''}")
        lines.append(f"  {_text('guide ELBO', gaps.guide)}")
        lines.append(f"  {_text('inference gap', gaps.inference)}")
        lines.append(f"  {'family':<14}{'local optimum':>28}{'approximation gap':>28}{'amortization gap':>28}")
        for name, gap in gaps.families.items():
            parts = (gap.local, gap.approximation, gap.amortization)
            lines.append(f"  {name:<14}" + "".join(map(_cell, parts)))
        lines += [f"  note: {note}" for note in notes] + [f"  warning: {warning}" for warning in warnings]
        lines += words_of(protocol.to_dict())
    shown = [each.gaps.inference for each in measured.values()]
    lines.append(f"{errors_line(shown)}; inference = approximation + amortization gap")
    return "\n".join(lines)


def _text(label: str, estimate: Estimate) -> str:
    return f"{label:<14}{_cell(estimate)}"


def _cell(estimate: Estimate) -> str:
    return with_errors(estimate, 3).rjust(28)


def _as_csv(results: Mapping[str, Parts]) -> str:
    """A row for each datapoint: the bounds, the guide's ELBO, each family's optimum; the gaps are their differences."""
    families = list(next(iter(results.values())).families)
    bounds = list(next(iter(results.values())).bounds)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["split", "row", *(f"log_px_{name}" for name in bounds), "guide", *(f"local_{n}" for n in families)]
    )
    for split, gaps in results.items():
        columns = [gaps.bounds[name] for name in bounds] + [gaps.guide] + [gaps.families[n].local for n in families]
        for row, values in enumerate(zip(*(column.values.tolist() for column in columns), strict=True)):
            writer.writerow([split, row, *values])
    return text.getvalue()
