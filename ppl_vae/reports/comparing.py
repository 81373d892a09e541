"""One model under several guides, side by side: trained, evaluated, ranked, and written down."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ppl_vae.data import DataConfig, Splits
from ppl_vae.diagnostics.references import references
from ppl_vae.registry.pair_config import offered_to
from ppl_vae.registry.settings import given
from ppl_vae.registry.trust import hashes_of, remember
from ppl_vae.reports.comparison import Comparison
from ppl_vae.reports.comparison_table import summarise
from ppl_vae.reports.next_steps import haste_of
from ppl_vae.runs.comparison import check_jobs, run_jobs
from ppl_vae.runs.kept_data import FILE, is_in_memory, keep, of_data, written
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered
from ppl_vae.runs.run import Run
from ppl_vae.runs.terms import (
    CompareConfig,
    check_named,
    jobs_of,
    names_of,
    read_from,
    refuse_other_terms,
    resolved,
    shared_terms,
)
from ppl_vae.runtime.config import Few, changed, checked, field_names, in_range
from ppl_vae.runtime.errors import UserError, unknown_name, warned
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed


@in_range
def compare(
    data: Any = None,
    guides: Sequence[str | type] = CompareConfig.guides,
    *,
    out: Path | str | None = None,
    workers: Few | None = None,
    warn: Callable[[str], object] = warned,
    **named: object,
) -> Comparison:
    """Train one model under several guides, same data, seeds and budget, evaluate them alike, and rank them.

    Each run trains in a process of its own, several at a time; a script calls this under
    ``if __name__ == "__main__":``.

    Args:
        data: its name, path or settings, what :func:`ppl_vae.load` returned, or what that takes: an array, a frame, a
            data set; the digits by default. What is binarized is so once (``static``) unless settings say otherwise.
        guides: ``GUIDE`` or ``GUIDE:FAMILY`` by name, ``path/to/file.py:Class``, or a class of a file.
        out: a folder for the runs, new or of the same comparison, which goes on there; None for a temporary one. Data
            that is in memory is written into it, ``data.npz``, which the runs read.
        workers: how many runs at once; None is one for each GPU, or for each core.
        warn: called with each thing that is to be known of the numbers to come, in words.
        named: fields of :class:`ppl_vae.runs.terms.CompareConfig`, at any depth, and settings of the pair's parts:
            ``seeds=3``, ``model="vae"``, ``epochs=50``, ``latent_dim=2``.

    Raises:
        UserError: settings, data or a guide cannot be used, or ``out`` holds something else.
    """
    _refuse_swapped(data)
    terms = CompareConfig(guides=names_of(guides))
    check_named(named)
    with TemporaryDirectory() as folder:
        kept = Path(folder) / FILE if is_in_memory(data) else None
        if kept:
            settings = of_data(named)
            data, named = written(data, kept, settings), {name: named[name] for name in named.keys() - settings.keys()}
        if isinstance(data, DataConfig):
            terms = replace(terms, settings=replace(terms.settings, data=data))
        elif data is not None:
            named = {"data": str(data), **named}
        place = Path(folder) / "comparison" if out is None else Path(out)
        found = run_comparison(
            _settled(terms, named), place, workers=workers, warn=warn, kept=kept if kept and kept.exists() else None
        )
        return found if out is not None else replace(found, files={})


def _refuse_swapped(data: object) -> None:
    """Guides where the data is to stand."""
    if isinstance(data, list | tuple) and data and all(isinstance(each, str | type) for each in data):
        raise UserError("`data` is a list of names; the data comes first: compare(data, guides=[...]).")


def _settled(terms: CompareConfig, named: dict[str, Any]) -> CompareConfig:
    """The terms with settings by name, those of the pair's parts among them."""
    of_parts = {name: named.pop(name) for name in named.keys() - field_names(terms)}
    terms = checked(changed(terms, named))
    if of_parts:
        offered = offered_to(*(job.settings.pair for job in jobs_of(terms)))
        if unknown := [name for name in of_parts if name not in offered]:
            raise unknown_name("setting", unknown[0], {*offered, *field_names(terms)})
        pair = replace(terms.settings.pair, settings=given(of_parts))
        terms = checked(replace(terms, settings=replace(terms.settings, pair=pair)))
    return terms


def run_comparison(
    terms: CompareConfig,
    out: Path | None = None,
    *,
    workers: int | None = None,
    on_data: Callable[[Splits], object] | None = None,
    on_choice: Callable[[str], object] | None = None,
    on_folder: Callable[[Path], object] | None = None,
    on_table: Callable[[Comparison], object] | None = None,
    warn: Callable[[str], object] = warned,
    kept: Path | None = None,
) -> Comparison:
    """:func:`compare`, on these terms, in a folder that is kept; the same call goes on where it was stopped.

    Args:
        terms: what to compare, on what terms.
        out: the folder to make, or to go on in; None for the next free ``runs/compare-N``.
        workers: how many runs at once; None is one for each GPU, or for each core.
        on_data: called with the data before anything is written.
        on_choice: called with what was chosen by the data, why, and the settings for another, in one line.
        on_folder: called with the folder when it is there.
        on_table: called with the comparison before the references are worked out, which takes minutes.
        warn: called with each thing that is to be known of the numbers to come, in words.
        kept: the file of the data, to be copied into the folder.
    """
    jobs = jobs_of(terms)
    chosen: list[str] = []
    jobs = check_jobs(jobs, out, on_data, chosen.append, warn)
    asked, terms = terms, resolved(terms, jobs)
    remember(hashes_of(*(name for job in jobs for name in job.settings.pair.parts.values())))  # named by the user
    free, make_way = partial(numbered, Path("runs"), "compare"), partial(refuse_other_terms, terms)
    with claimed(out, free, make_way) as claim:
        if kept:
            there = partial(read_from, keep(kept, claim.path))
            jobs = [job._replace(settings=there(job.settings)) for job in jobs]
            asked, terms = (replace(each, settings=there(each.settings)) for each in (asked, terms))
        write_text(claim.path / "compare.yaml", terms.recorded)
        if on_choice and chosen:
            on_choice(chosen[0])
        if on_folder:
            on_folder(claim.path)
        try:
            doubts: list[str] = []
            results = run_jobs(jobs, claim.path, workers, doubts.append)
            for words in doubts:
                warn(words)
            weights = {
                job.folder: {name: result.protocol[name] for name in ("model", "guide")}
                for job, result in zip(jobs, results, strict=True)
            }
            shared, table = shared_terms(terms, jobs), summarise(results)
            soon = haste_of([Run.open(claim.path / job.folder) for job in jobs])
            found = Comparison(terms, asked, shared, table, weights, tuple(doubts), soon)
            if on_table:
                on_table(found)
            if terms.references:
                found = replace(found, references=_references(terms, claim.path, jobs[0].folder))
            return replace(found, files=found.write(claim.path))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; the same command with `out` {claim.path} goes on") from None


def _references(terms: CompareConfig, out: Path, folder: str) -> dict[str, Any]:
    """Pyro's own inference on the first run, worked out once and kept."""
    kept, data = out / "references.json", terms.settings.data
    if not kept.is_file():
        opening = Opening(data=data.data, data_root=data.data_root)  # a finished run still records where it was
        opened = open_run(out / folder, "cpu", opening)
        test = opened.split("test", terms.references)
        title = (
            f"References on the first {len(test)} test datapoints of {folder}: ELBO, ± standard error over datapoints."
        )
        rows = references(*opened.pair, test, terms.infer)
        write_text(kept, json.dumps({"title": title, "rows": rows}, indent=2))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found
