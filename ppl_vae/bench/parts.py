"""The parts of a benchmark that are asked for, one after the other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ppl_vae.bench.contenders import Name
from ppl_vae.bench.epoch import measure_epoch
from ppl_vae.bench.evaluation import measure_evaluation
from ppl_vae.bench.first_epoch import measure_first_epoch
from ppl_vae.bench.load import measure_load
from ppl_vae.bench.machine import describe_machine
from ppl_vae.bench.networks import measure_networks
from ppl_vae.bench.precision import measure_precision
from ppl_vae.bench.scaling import measure_scaling
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES
from ppl_vae.bench.startup import measure_imports, measure_starts
from ppl_vae.bench.steps import measure_steps

SizeName = Literal["digits", "mnist", "burda", "burda-iwae"]
Part = Literal["steps", "load", "networks", "evaluation", "scaling", "startup", "precision", "epoch", "first-epoch"]


def num_tables(parts: Sequence[Part], sizes: Sequence[SizeName]) -> int:
    """How many tables these parts make."""
    return len(set(parts) - {"steps"}) + (len(sizes) if "steps" in parts else 0)


def measure(
    parts: Sequence[Part],
    sizes: Sequence[SizeName],
    names: Sequence[Name],
    data_root: Path,
    clock: Clock,
    advance: Callable[[], object],
) -> dict[str, Any]:
    """Measure.

    Args:
        parts: what.
        sizes: of the steps.
        names: whose steps, in the table's order.
        data_root: the folder of torchvision's data sets, for ``epoch`` and ``first-epoch``.
        clock: how to measure.
        advance: called after each table.

    Returns:
        ``machine``, and each part by name.
    """
    results: dict[str, Any] = {"machine": describe_machine(clock.device)}  # now: its load is that of others
    if "epoch" in parts:  # first: its loader forks, which jax objects to once it is there
        results["epoch"] = measure_epoch(data_root, clock)
        advance()
    if "first-epoch" in parts:
        results["first-epoch"] = measure_first_epoch(data_root, clock)
        advance()
    if "steps" in parts:
        results["steps"] = {}
        for name in sizes:
            results["steps"][name] = measure_steps(name, SIZES[name], names, clock)
            advance()
    if "load" in parts:
        results["load"] = measure_load(names, clock)
        advance()
    if "networks" in parts:
        results["networks"] = measure_networks(clock)
        advance()
    if "evaluation" in parts:
        results["evaluation"] = measure_evaluation(clock)
        advance()
    if "scaling" in parts:
        results["scaling"] = measure_scaling(clock)
        advance()
    if "precision" in parts:
        results["precision"] = measure_precision(clock)
        advance()
    if "startup" in parts:
        size = SIZES["mnist"]
        imports, starts = measure_imports(clock), measure_starts(size, clock)
        results["startup"] = {"size": str(size), "imports": imports, "starts": starts}
        advance()
    return results
