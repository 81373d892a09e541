"""The terms of a comparison: which guides, on what data and with what budget; and the jobs that they make."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import yaml

from ppl_vae.evaluation import EvaluateConfig
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.registry.factories import GUIDES
from ppl_vae.registry.files import names_file
from ppl_vae.registry.pair_config import PairConfig, split_guide, unusual
from ppl_vae.runs.comparison import Job
from ppl_vae.runs.migration import migrated_pair
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.config import Count, CountOrZero, Few, config, from_plain, to_plain
from ppl_vae.runtime.errors import UserError

_LAST_SEED = 2**63 - 1


@config
class CompareConfig:
    """What is compared, and on what terms."""

    guides: tuple[str, ...] = ("amortized", "mean-field", "semi-amortized")
    """Guides to compare: GUIDE or GUIDE:FAMILY, for instance amortized:iaf, mean-field, path/to/file.py:Class,
    amortized:path/to/file.py:Class."""
    seeds: Few = 3
    """How many seeds, counted up from --seed; each guide is trained and evaluated once with each."""
    settings: TrainConfig = field(default_factory=TrainConfig)
    """Data, model and budget, the same for all."""
    num_samples: Count = 500
    """K of the importance bound; the ELBO takes a tenth."""
    limit: Count | None = 1000
    """Only the first so many test datapoints."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference on the test data, for per-datapoint guides; its seed counts up with the others."""
    references: CountOrZero = 0
    """On so many test datapoints, also Pyro's own: AutoNormal, AutoMultivariateNormal, AutoIAFNormal and NUTS."""

    @property
    def recorded(self) -> str:
        """What ``compare.yaml`` holds."""
        return yaml.safe_dump(to_plain(self), sort_keys=False)


def jobs_of(terms: CompareConfig) -> list[Job]:
    """A job for each guide and seed.

    Raises:
        UserError: a guide is named twice, or none; or the seeds leave 64 bits.
    """
    if len({split_guide(name) for name in terms.guides}) < len(terms.guides) or not terms.guides:
        raise UserError("`guides`: name each guide once, at least one (amortized is amortized:diagonal).")
    if (terms.settings.pair.guide, terms.settings.pair.family) != (PairConfig.guide, PairConfig.family):
        raise UserError("`guide` and `family` are not used here; name what to compare by `guides`.")
    if max(terms.settings.fit.seed, terms.infer.infer_seed) > _LAST_SEED - terms.seeds + 1:
        raise UserError(f"`seed`, `infer_seed`: {terms.seeds} seeds counted up from there leave 64 bits.")
    return [_job(terms, name, number) for name in terms.guides for number in range(terms.seeds)]


def _job(terms: CompareConfig, name: str, number: int) -> Job:
    """The job of a guide and a seed, counted from 0. All of its draws are its own, those of evaluation too."""
    guide, family = split_guide(name)
    named = (guide,) if name == guide else (guide, family)
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


def read_from(path: Path, settings: TrainConfig) -> TrainConfig:
    """The same settings of data that is in that file."""
    return replace(settings, data=replace(settings.data, data=str(path)))


def shared_terms(terms: CompareConfig, jobs: Sequence[Job]) -> dict[str, Any]:
    """The settings that all runs have; guide, family and seed are each run's own."""
    plain = to_plain(terms)
    plain["settings"]["pair"] = {k: v for k, v in plain["settings"]["pair"].items() if k not in ("guide", "family")}
    plain["settings"]["pair"]["settings"] = {k: v for job in jobs for k, v in job.settings.pair.settings.items()}
    plain["settings"]["fit"] = {k: v for k, v in plain["settings"]["fit"].items() if k != "seed"}
    return plain


def refuse_other_terms(terms: CompareConfig, out: Path) -> None:
    """See that a folder which is there holds a comparison on the same terms, or nothing.

    Raises:
        UserError: it holds something else.
    """
    record = out / "compare.yaml"
    if record.is_file():
        if _without_places(record.read_bytes()) != _without_places(terms.recorded.encode()):
            raise UserError(f"{out} holds a comparison on other terms; repeat its command, or choose another `out`.")
    elif not out.is_dir() or any(not entry.match("compare.yaml.*.partial") for entry in out.iterdir()):
        raise UserError(f"{out} exists and holds no comparison; choose another `out`.")


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


def names_of(guides: Sequence[str | type]) -> tuple[str, ...]:
    """Guides by name: of a class of ours its own, of another its file and its name.

    Raises:
        UserError: a class that is in no file, for instance of a notebook; or what names no guide.
    """
    if isinstance(guides, str | type):
        name = guides if isinstance(guides, str) else guides.__name__
        raise UserError(f"`guides` is {name} alone; put it into a list, with what it is compared with.")
    for guide in guides:
        if not isinstance(guide, str | type):
            raise UserError(
                f"`guides`: a guide is its name, as amortized:full-rank, path/to/file.py:Class, or a class, not a "
                f"{type(guide).__name__}."
            )
    return tuple(guide if isinstance(guide, str) else _name_of(guide) for guide in guides)


def check_named(named: Mapping[str, object]) -> None:
    """See that the parts of a pair are named, since a comparison trains in processes of its own.

    Raises:
        UserError: one is a class or an object.
    """
    for kind in PairConfig().parts.keys() & named.keys():
        if not isinstance(part := named[kind], str):
            what = part.__name__ if isinstance(part, type) else f"a {type(part).__name__}"
            raise UserError(
                f"`{kind}` is {what}, and a comparison trains in processes of its own; give its name, or "
                "path/to/file.py:Class."
            )


def _name_of(guide: type) -> str:
    ours = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", guide.__name__).lower()
    if guide.__module__.startswith("ppl_vae.") and ours in GUIDES:
        return ours
    try:
        return f"{inspect.getfile(guide)}:{guide.__name__}"
    except (OSError, TypeError):
        raise UserError(
            f"guide {guide.__name__} is in no file, and a comparison trains in other processes; put it into one."
        ) from None


def resolved(terms: CompareConfig, jobs: Sequence[Job]) -> CompareConfig:
    """The terms with what was chosen by the data; guide and family are each run's own."""
    settings, found = terms.settings, jobs[0].settings
    pair = replace(settings.pair, model=found.pair.model, likelihood=found.pair.likelihood, net=found.pair.net)
    data = replace(settings.data, binarization=found.data.binarization)
    return replace(terms, settings=replace(settings, pair=pair, data=data))
