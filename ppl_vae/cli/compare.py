"""``ppl-vae compare``: the same model, data, seeds and budget under several guides, side by side."""

import json
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import yaml

from ppl_vae import figures
from ppl_vae.cli.main import as_flags
from ppl_vae.cli.surroundings import say_as_it_is, say_what_was_read
from ppl_vae.data import DataConfig
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.evaluation import EvaluateConfig
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.registry.files import names_file
from ppl_vae.registry.pair_config import PairConfig, split_guide, unusual
from ppl_vae.registry.trust import hashes_of, remember
from ppl_vae.reports.comparison import write_comparison_report
from ppl_vae.reports.comparison_table import as_csv, as_markdown, as_terminal, of_comparisons, summarise
from ppl_vae.runs.command_line import command
from ppl_vae.runs.comparison import Job, check_jobs, run_jobs
from ppl_vae.runs.migration import migrated_pair
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered
from ppl_vae.runs.references import reference_rows
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.config import Count, CountOrZero, Few, config, from_plain, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed

_LAST_SEED = 2**63 - 1


def _fixed_bits() -> TrainConfig:
    # A per-datapoint guide has one q for each image: under dynamic binarization it would have to fit all its versions.
    return TrainConfig(data=DataConfig(binarization="static"))


@config
class CompareConfig:
    """What is compared, and on what terms."""

    guides: tuple[str, ...] = ("amortized", "mean-field", "semi-amortized")
    """Guides to compare: GUIDE or GUIDE:FAMILY, for instance amortized:iaf, mean-field, path/to/file.py:Class,
    amortized:path/to/file.py:Class."""
    seeds: Few = 3
    """How many seeds, counted up from --seed; each guide is trained and evaluated once with each."""
    settings: TrainConfig = field(default_factory=_fixed_bits)
    """Data, model and budget, the same for all."""
    num_samples: Count = 500
    """K of the importance bound; the ELBO takes a tenth."""
    limit: Count | None = 1000
    """Only the first so many test datapoints."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference on the test data, for per-datapoint guides; its seed counts up with the others."""
    references: CountOrZero = 0
    """On so many test datapoints, also Pyro's own: AutoNormal, AutoMultivariateNormal, AutoIAFNormal and NUTS."""


@config
class Compare:
    """Train one model under several guides, same data, seeds and budget, and lay them side by side.

    Writes a run directory for each guide and seed, table.md, table.csv, table.json, comparison.png, comparison.svg
    and report.html, one page with all of it. The same command goes on where it was
    stopped.

    examples:
      ppl-vae compare
      ppl-vae compare --guides amortized amortized:iaf mean-field semi-amortized --seeds 3 --out runs/compare
      ppl-vae compare --data mnist --latent-dim 20 --epochs 20 --seeds 1 --references 5
    """

    terms: CompareConfig = field(default_factory=CompareConfig)
    """The comparison."""
    out: Path | None = None
    """The folder to make, or to go on in; by default the next free runs/compare-N."""
    workers: Few | None = None
    """Runs at once; by default one for each GPU, or for each core."""

    def run(self) -> None:
        """Compare, print, write."""
        terms = self.terms
        if len({split_guide(name) for name in terms.guides}) < len(terms.guides) or not terms.guides:
            raise UserError("--guides: name each guide once, at least one (amortized is amortized:diagonal).")
        if (terms.settings.pair.guide, terms.settings.pair.family) != (PairConfig.guide, PairConfig.family):
            raise UserError("--guide and --family have no place here; name what to compare by --guides.")
        if max(terms.settings.fit.seed, terms.infer.infer_seed) > _LAST_SEED - terms.seeds + 1:
            raise UserError(f"--seed, --infer-seed: {terms.seeds} seeds counted up from there leave 64 bits.")
        jobs = [self._job(name, number) for name in terms.guides for number in range(terms.seeds)]
        jobs = check_jobs(jobs, self.out, say_what_was_read, self._warn)
        remember(hashes_of(*(name for job in jobs for name in job.settings.pair.parts.values())))  # named by the user
        with claimed(self.out, lambda: numbered(Path("runs"), "compare"), self._see_terms) as claim:
            write_text(claim.path / "compare.yaml", self._recorded)
            print(f"folder   {claim.path}")
            try:
                self._compare(jobs, claim.path)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"stopped; the same command with --out {claim.path} goes on") from None

    def _compare(self, jobs: list[Job], out: Path) -> None:
        terms = self.terms
        results = run_jobs(jobs, out, self.workers, self._warn)
        table = summarise(results)
        print(as_flags(as_terminal(table), self))
        write_text(out / "table.csv", as_csv(table))
        weights = {
            job.folder: {name: result.protocol[name] for name in ("model", "guide")}
            for job, result in zip(jobs, results, strict=True)
        }
        report: dict[str, Any] = {**table.to_dict(), "weights": weights}
        markdown = as_markdown(table)
        if terms.references:
            found = out / "references.json"
            if not found.is_file():
                data = terms.settings.data  # a finished run still records where it was
                opening = Opening(data=data.data, data_root=data.data_root)
                references = reference_rows(out / jobs[0].folder, opening, terms.references, terms.infer)
                write_text(found, json.dumps(references, indent=2))
            references = json.loads(found.read_text())
            report["references"] = references
            lines = [f"{name:<32}{value}" for name, value in references["rows"].items()]
            print(f"\n{references['title']}\n" + "\n".join(lines))
            markdown += f"\n{references['title']}\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"
        write_text(out / "table.json", json.dumps(report, indent=2))
        write_text(out / "table.md", markdown)
        seeds = f"{terms.seeds} seeds" if terms.seeds > 1 else "one seed"
        protocol = table.protocol
        caption = (
            f"{Path(terms.settings.data.data).name}: {Path(terms.settings.pair.model).name}, {seeds}, "
            f"{terms.settings.fit.epochs} epochs each; {protocol['num_datapoints']:,} test datapoints, importance "
            f"bound of {terms.num_samples} draws"
        )
        if protocol["likelihood"] != "proper":
            caption += f", likelihood: {protocol['likelihood']}"
        ranks = f". {of_comparisons(table.ranking)}" if table.ranking.differences else ""
        figure = figures.comparison(table.rows, caption + ranks)
        figures.save(figure, out / "comparison.png")
        page = write_comparison_report(
            out,
            f"{out.name}: {caption}",
            _shared_terms(terms, jobs),
            table,
            report.get("references"),
            out / "comparison.png",
            command("compare", terms, CompareConfig(), out, terms.settings.data.data in NAMES),
        )
        print(f"\npicture  {out / 'comparison.png'}\ntable    {out / 'table.md'}\nreport   {page}")

    def _warn(self, message: str) -> None:
        say_as_it_is(f"warning: {as_flags(message, self)}")

    def _job(self, name: str, number: int) -> Job:
        """The job of a guide and a seed, counted from 0. All of its draws are its own, those of evaluation too."""
        guide, family = split_guide(name)
        named = (guide,) if name == guide else (guide, family)
        terms = self.terms
        seed = terms.settings.fit.seed + number
        infer = replace(terms.infer, infer_seed=terms.infer.infer_seed + number)
        pair = replace(terms.settings.pair, guide=guide, family=family).absolute()
        settings = replace(
            terms.settings, data=terms.settings.data.absolute(), pair=pair, fit=replace(terms.settings.fit, seed=seed)
        )
        few = max(1, terms.num_samples // 10)
        bounds = (
            EvaluateConfig(num_samples=few, limit=terms.limit, seed=seed, infer=infer),
            EvaluateConfig(estimator="iwae", num_samples=terms.num_samples, limit=terms.limit, seed=seed, infer=infer),
        )
        stem = "-".join(f"{Path(part).stem}-{part.rpartition(':')[2]}" if names_file(part) else part for part in named)
        return Job(name, f"{stem}-seed{seed}", settings, *bounds)

    @property
    def _recorded(self) -> str:
        return yaml.safe_dump(to_plain(self.terms), sort_keys=False)

    def _see_terms(self, out: Path) -> None:
        """See that a folder which is there holds a comparison on the same terms, or nothing."""
        record = out / "compare.yaml"
        if record.is_file():
            if _without_places(record.read_bytes()) != _without_places(self._recorded.encode()):
                raise UserError(
                    f"{out} holds a comparison on other terms; repeat its command, or choose another --out."
                )
        elif not out.is_dir() or any(not entry.match("compare.yaml.*.partial") for entry in out.iterdir()):
            raise UserError(f"{out} exists and holds no comparison; choose another --out.")


def _without_places(record: bytes) -> Any:
    """The terms of a comparison but for where its data is, which may move; a record that cannot be read as it is."""
    try:
        terms = yaml.safe_load(record)
        for name in ("data", "data_root"):
            del terms["settings"]["data"][name]
        pair = from_plain(PairConfig, migrated_pair(terms["settings"]["pair"]))
        terms["settings"]["pair"] = unusual(pair)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return record
    return terms


def _shared_terms(terms: CompareConfig, jobs: list[Job]) -> dict[str, Any]:
    """The settings that all runs have; guide, family and seed are each run's own."""
    plain = to_plain(terms)
    plain["settings"]["pair"] = {k: v for k, v in plain["settings"]["pair"].items() if k not in ("guide", "family")}
    plain["settings"]["pair"]["settings"] = {k: v for job in jobs for k, v in job.settings.pair.settings.items()}
    plain["settings"]["fit"] = {k: v for k, v in plain["settings"]["fit"].items() if k != "seed"}
    return plain
