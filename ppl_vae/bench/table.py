"""What was measured, as Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from ppl_vae.bench.contenders import TITLES
from ppl_vae.bench.evaluation import NUM_CHAINS, NUM_IMAGES
from ppl_vae.bench.first_epoch import EPOCHS
from ppl_vae.bench.first_steps import STEPS
from ppl_vae.bench.load import NUM_BUSY
from ppl_vae.programs.log_weights import BATCH_SIZE


def as_markdown(results: dict[str, Any]) -> str:
    """All measurements, each under its heading, the machine last.

    Args:
        results: as ``ppl-vae bench --json`` prints them.
    """
    parts = []
    for size in results.get("steps", {}):
        parts += [f"### {size}: {results['steps'][size]['size']}", _steps(results["steps"][size])]
    for name, heading, lines in _OTHERS:
        if name in results:
            parts += [f"### {heading}", lines(results[name])]
    machine = [f"- {key}: {value}" for key, value in results["machine"].items()]
    return "\n\n".join([*parts, "### The machine", "\n".join([f"- command: `{results['command']}`", *machine])])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned, so that it can be read on a terminal too; the first column to the left, numbers to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        [cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in enumerate(pairs)]
        for pairs in (zip(line, widths, strict=True) for line in lines)
    ]
    rule = ["-" * width if number == 0 else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _range(timing: dict[str, Any]) -> str:
    return f"{_ms(timing['min'])}–{_ms(timing['max'])}"


def _ratio(ratio: dict[str, float] | None) -> list[str]:
    """Two cells: median and range."""
    return [f"{ratio['median']:.2f}", f"{ratio['min']:.2f}–{ratio['max']:.2f}"] if ratio else ["", ""]


def _steps(result: dict[str, Any]) -> str:
    rows = []
    for who, title in TITLES.items():
        if timing := result["contenders"].get(who):
            rows.append([title, _ms(timing["ms"]), _range(timing), *_ratio(result["ratios"].get(f"traced/{who}"))])
    table = _table(["contender", "ms a step, median", "min–max", "traced / it", "min–max"], rows)
    absent = [f"{TITLES[who]}: left out, {why}." for who, why in result["absent"].items()]
    return "\n\n".join([table, *absent])


def _by_name(result: dict[str, Any]) -> str:
    return "\n\n".join(f"{name}: {of_size['size']}\n\n{_steps(of_size)}" for name, of_size in result.items())


def _evaluation(result: dict[str, Any]) -> str:
    parts = []
    for estimator, (title, unit) in _ESTIMATORS.items():
        rows: list[list[str]] = []
        absent: dict[str, str] = {}
        for size, of_size in result[estimator].items():
            absent |= of_size["absent"]
            for name, row in of_size["contenders"].items():
                rates = [f"{row['rate']:,.0f}", f"{row['min']:,.0f}–{row['max']:,.0f}"]
                bound = "" if name == "eager" else f"{row['difference']:+.3f} ± {row['stderr']:.3f}"
                of_it = _ratio(of_size["ratios"].get(f"traced/{name}"))
                rows.append([f"{size}, {name}", *rates, *of_it, f"{row['first']:.1f}", bound])
        header = [title, f"{unit} a second, median", "min–max", "traced / it", "min–max"]
        parts.append(_table([*header, "s of the first part, compiling included", "log p(x) less eager's"], rows))
        parts += [f"{name}: left out, {why}." for name, why in absent.items()]
    return "\n\n".join(parts)


_ESTIMATORS = {
    "importance": (f"importance bound, batches of {BATCH_SIZE} images", "images × draws"),
    "annealing": (f"annealing, {NUM_CHAINS} chains for each of {NUM_IMAGES} images", "images × temperatures"),
}


def _scaling(result: dict[str, Any]) -> str:
    rows = []
    for name, row in result.items():
        traced = row.get("traced")
        rows.append(
            [
                f"{name} ({row['size']})",
                _ms(row["eager"]["ms"]),
                _ms(traced["ms"]) if traced else row["absent"],
                *_ratio(row.get("traced/eager")),
            ]
        )
    return _table(["case", "eager, ms a step", "traced, ms a step", "traced / eager", "min–max"], rows)


def _startup(result: dict[str, Any]) -> str:
    imports = _table(["import", "s"], ([name, f"{seconds:.2f}"] for name, seconds in result["imports"].items()))
    present = {name: row for name, row in result["starts"].items() if "absent" not in row}
    header = [f"fresh process ({result['size']})", "s to the end of the first step", f"peak MiB, {STEPS} steps"]
    rows = [[name, f"{row['first_step']:.1f}", f"{row['peak']:,.0f}"] for name, row in present.items()]
    if any("device_peak" in row for row in present.values()):
        header.append("peak MiB of the GPU")
        for cells, row in zip(rows, present.values(), strict=True):
            cells.append(f"{row['device_peak']:,.0f}")
    starts = _table(header, rows)
    absent = [f"{name}: left out, {row['absent']}." for name, row in result["starts"].items() if name not in present]
    return "\n\n".join([imports, starts, *absent])


def _precision(result: dict[str, Any]) -> str:
    rows = []
    for name, row in result.items():
        difference = f"{row['difference']:+.4f} ± {row['stderr']:.4f}"
        rows.append([f"{name}, {row['engine']}", _ms(row["ms"]), _range(row), *_ratio(row["ratio"]), difference])
    header = ["size, precision, engine", "ms a step, median", "min–max", "it / float32", "min–max"]
    return _table([*header, "bound less float32's, nats"], rows)


_EPOCHS = {
    "script": "Pyro's examples/vae/vae.py: images in memory, one by one",
    "tutorial": "pyro.ai/examples/vae.html: torchvision and ToTensor, one worker",
    "eager": "ppl-vae train --engine eager",
    "traced": "ppl-vae train --engine traced",
    "eager whole": "the whole command, eager: start, pictures, report",
    "traced whole": "the whole command, traced: the same, and compiling",
}


def _epoch(result: dict[str, Any]) -> str:
    rows = []
    for name, title in _EPOCHS.items():
        seconds = result["rounds"][name]
        cells = [f"{result['seconds'][name]:.2f}", f"{min(seconds):.2f}–{max(seconds):.2f}", f"{seconds[0]:.2f}"]
        for example in ("script", "tutorial"):
            cells += _ratio(result["ratios"].get(f"{name}/{example}"))
        rows.append([title, *cells])
    header = ["an epoch of MNIST", "s, median", "min–max", "first round"]
    return _table([*header, "it / script", "min–max", "it / tutorial", "min–max"], rows)


def _first_epoch(result: dict[str, Any]) -> str:
    rows = []
    for name, seconds in result["seconds"].items():
        epochs = [said["first_epoch"] for said in result["rounds"][name]]
        compiling = f"{seconds['compiling']:.1f}" if "compiling" in seconds else ""
        ratios = _ratio(result["ratios"].get(f"{name}/eager"))
        rows.append([name, f"{median(epochs):.2f}", f"{min(epochs):.2f}–{max(epochs):.2f}", *ratios, compiling])
    header = [f"a fresh process, {EPOCHS} epochs asked for", "s to the end of the first epoch", "min–max"]
    return _table([*header, "it / eager", "min–max", "s it then waits for the compiler"], rows)


_OTHERS = (
    ("load", f"Steps beside {NUM_BUSY} busy processes", _by_name),
    ("networks", "Steps with other networks", _by_name),
    ("evaluation", "Evaluation", _evaluation),
    ("scaling", "Scaling", _scaling),
    ("precision", "Precision: the same parameters and noise", _precision),
    ("startup", "Startup and memory", _startup),
    ("epoch", "An epoch of MNIST", _epoch),
    ("first-epoch", "The first epoch of MNIST, by auto", _first_epoch),
)
