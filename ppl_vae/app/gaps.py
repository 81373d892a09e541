"""``ppl-vae gaps``: where the inference of a run loses its nats."""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from matplotlib.figure import Figure
from pydantic import PositiveInt
from torch import nn
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.app.fitted import fit_locally, guide_for
from ppl_vae.app.grey_levels import words_of
from ppl_vae.app.opened import OpenedRun, SplitName, open_run
from ppl_vae.app.paths import numbered, write_atomically
from ppl_vae.app.registry import FAMILIES
from ppl_vae.check import check_pair
from ppl_vae.config import config, to_plain
from ppl_vae.data import Dataset
from ppl_vae.errors import UserError, unknown_name
from ppl_vae.evaluation import Estimate, GapsConfig, Protocol, inference_gaps
from ppl_vae.evaluation import Gaps as Parts
from ppl_vae.figures import GapBar
from ppl_vae.guides import Family, Guide, PerDatapoint
from ppl_vae.inference import InferConfig
from ppl_vae.latents import Latents

# Families whose q of one datapoint is all its own: a point has no density, and an iaf's networks are learned with a
# guide, so that there is none to borrow.
_LOCAL = tuple(name for name in FAMILIES if name not in ("point", "iaf"))
_TITLES = {"test": "test data", "validation": "validation data", "train": "training data"}


@config
class Gaps:
    """Take the inference gap of a run apart: log p(x) − ELBO = approximation gap + amortization gap.

    For each family a q is fitted to each datapoint alone, the model frozen. The approximation gap is what the best of
    them misses of log p(x), the amortization gap what the run's own guide misses of that best. Writes gaps.json,
    gaps.csv (a row for each datapoint) and gaps.png.

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
    limit: PositiveInt = 200
    """Only the first so many datapoints of each."""
    settings: GapsConfig = field(default_factory=GapsConfig)
    """The estimates."""
    infer: InferConfig = field(default_factory=InferConfig)
    """The local fits."""
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
        opened = open_run(self.run_directory, self.device)
        data: dict[str, Dataset] = {
            split: opened.split(split, self.limit).fixed(self.settings.seed) for split in self.splits
        }
        latents = Latents.of(opened.pair.model, next(iter(data.values())).probe())
        families = local_families(opened.pair.guide, latents, self.families)
        results: dict[str, Parts] = {}
        protocols: dict[str, Protocol] = {}
        for split, part in data.items():
            results[split], guide = self._measure(opened, families, latents, part, own=split == "train")
            protocols[split] = self._protocol(opened, split, part, guide)
        plain = {split: gaps.to_dict() | {"protocol": protocols[split].to_dict()} for split, gaps in results.items()}
        text = json.dumps({"unit": "nats per datapoint", "splits": plain}, indent=2)
        print(text if self.json else _as_table(results, protocols))
        out = self.out or numbered(opened.run.path, "gaps")
        out.mkdir(parents=True)
        write_atomically(out / "gaps.json", text)
        write_atomically(out / "gaps.csv", _as_csv(results))
        figures.save(_figure(opened, results), out / "gaps.png")
        if not self.json:
            print(f"\npicture  {out / 'gaps.png'}\nfigures  {out / 'gaps.json'}, {out / 'gaps.csv'}")

    def _measure(
        self, opened: OpenedRun, families: Mapping[str, Family], latents: Latents, data: Dataset, *, own: bool
    ) -> tuple[Parts, nn.Module]:
        """The gap on a split, and the guide whose it is.

        Args:
            opened: the run.
            families: to take it apart by.
            latents: of the model.
            data: the split's.
            own: whether it is what the run was trained on, of which a per-datapoint guide has rows of its own.
        """
        model, trained = opened.pair
        fits = len(families) + (isinstance(trained, PerDatapoint) and not own)
        with tqdm(total=len(data) * fits, unit="fit", desc="fitting", disable=None, leave=False) as bar:
            guide = trained if own else guide_for(model, trained, data, self.infer, bar.update)
            check_pair(model, guide, data.probe())
            local = {}
            for name, family in families.items():
                # Its own family starts where the guide is, so that its optimum cannot be missed by more than the guide.
                same = isinstance(trained, Guide) and family is trained.family
                start = guide.params if same and isinstance(guide, Guide) else None
                local[name] = fit_locally(model, family, latents, data, self.infer, start, bar.update)
        passes = len(data) * self.settings.annealing.total
        with tqdm(total=passes, unit="temperature", desc="annealing", disable=None, leave=False) as bar:
            return inference_gaps(model, guide, local, data, self.settings, bar.update), guide

    def _protocol(self, opened: OpenedRun, split: str, data: Dataset, guide: nn.Module) -> Protocol:
        details = to_plain(self.settings) | to_plain(self.infer)
        details |= details.pop("annealing")
        del details["engine"]  # how it was worked out, not what
        return opened.protocol("gaps", split, data, self.settings.num_samples, self.settings.seed, guide, details)


def local_families(guide: nn.Module, latents: Latents, names: tuple[str, ...]) -> dict[str, Family]:
    """The families to fit, by name; the guide's own is the guide's own object, with what it has learned.

    Args:
        guide: the run's.
        latents: of the run's model.
        names: what was asked for; none means the guide's own and full-rank.

    Raises:
        UserError: unknown family, or one that cannot be fitted to a datapoint.
    """
    learned = guide.family if isinstance(guide, Guide) else None
    own = next((name for name, kind in FAMILIES.items() if type(learned) is kind), None)
    if own == "point":
        raise UserError("a point has no density, so there is no gap to log p(x); train with another --family.")
    names = names or tuple(dict.fromkeys([own or "diagonal", "full-rank"]))
    if len(set(names)) < len(names):
        raise UserError("--families: name each family once.")
    families: dict[str, Family] = {}
    for name in names:
        if name not in _LOCAL and name != own:
            raise unknown_name("family", name, dict.fromkeys([*_LOCAL, *([own] if own else [])]))
        families[name] = learned if learned is not None and name == own else FAMILIES[name](latents.size)
    return families


def _refuse_folder(path: Path) -> None:
    """Raise a UserError if no folder can be made at that path; its parents are made with it."""
    if path.exists():
        raise UserError(f"{path} exists; choose another --out.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"{nearest} is no folder that can be written to; choose another --out.")


def _figure(opened: OpenedRun, results: Mapping[str, Parts]) -> Figure:
    groups = []
    for split, gaps in results.items():
        bars = [GapBar(name, _pair(gap.approximation), _pair(gap.amortization)) for name, gap in gaps.families.items()]
        groups.append((_TITLES[split], bars))
    first = next(iter(results.values()))
    pair = opened.run.record.config.pair
    caption = (
        f"{Path(opened.run.record.config.data.data).name}: {pair.model}, {pair.guide} × {pair.family}. Blue and orange "
        f"together are log p(x) less the guide's ELBO, in nats, over {len(first.guide.values)} datapoints, ± standard "
        "error. A row for each family of q that was fitted to each datapoint alone."
    )
    return figures.gaps(groups, caption=caption)


def _pair(estimate: Estimate) -> tuple[float, float]:
    return estimate.mean, estimate.stderr


def _as_table(results: Mapping[str, Parts], protocols: Mapping[str, Protocol]) -> str:
    lines = []
    for split, gaps in results.items():
        protocol = protocols[split]
        lines += [f"{_TITLES[split]}, {protocol.num_datapoints} datapoints"]
        for name, bound in gaps.bounds.items():
            lines.append(f"  {_text('log p(x) ≥', bound)}  {name}{' (taken)' if name == gaps.best else ''}")
        lines.append(f"  {_text('guide ELBO', gaps.guide)}")
        lines.append(f"  {_text('inference gap', gaps.inference)}")
        lines.append(f"  {'family':<14}{'local optimum':>20}{'approximation gap':>20}{'amortization gap':>20}")
        for name, gap in gaps.families.items():
            cells = (
                f"{part.mean:.3f} ± {part.stderr:.3f}" for part in (gap.local, gap.approximation, gap.amortization)
            )
            lines.append(f"  {name:<14}" + "".join(f"{cell:>20}" for cell in cells))
        lines += words_of(protocol.to_dict())
    lines.append("nats per datapoint, ± standard error over datapoints; inference = approximation + amortization gap")
    return "\n".join(lines)


def _text(label: str, estimate: Estimate) -> str:
    return f"{label:<14}{_cell(estimate)}"


def _cell(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} ± {estimate.stderr:.3f}".rjust(20)


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
