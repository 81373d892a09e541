"""The pictures and the report of a baseline."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl_vae import figures
from ppl_vae.baselines.bayes import BayesClassifier
from ppl_vae.data.labels import MOST_LABELS
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.reports.page import (
    beside_each_other,
    in_large,
    lines_of_code,
    page,
    paragraph,
    picture_of,
    section,
    table,
    warned_of,
)
from ppl_vae.runs.baseline import BaselineConfig, BaselineRun
from ppl_vae.runs.command_line import command
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 10  # of components, the heaviest first; of a Gaussian's means, before they wrap

_NOT_COMPARABLE = (
    "p(x | y) is a density of continuous values and no probability of bits. Its logarithm cannot be ranked with "
    "log p(x) of a model with a Bernoulli likelihood, so none stands here; accuracies and pictures can be compared."
)


def draw_baseline(
    run: BaselineRun, classifier: BayesClassifier, metrics: Mapping[str, Any], drawn: Tensor, by_label: Tensor
) -> list[Path]:
    """Draw a baseline into its ``figures/``.

    Args:
        run: where.
        classifier: fitted.
        metrics: as :func:`ppl_vae.baselines.judging.judge` returns.
        drawn: E[x | t] of draws from p(x), ``(n, *event)``.
        by_label: of draws from each p(x | y), ``(C, m, *event)``.

    Returns:
        the PNGs; beside each is its SVG.
    """
    title = _title(run)
    d, size = classifier.basis.shape[1], classifier.basis.shape[0]
    draws = f"E[x | t] for t ~ p(t | y), t the first {d} of {size} principal components"
    names = run.record.info.called(classifier.labels.tolist()[:MOST_LABELS])
    row = "a row for each label y" if len(names) == len(classifier.labels) else f"the first {len(names)} labels y"
    test, first = metrics["test"], metrics["test"]["accuracy"]
    made = {
        "samples": figures.sheet(
            drawn, f"{title}. Draws from p(x), first a label, then an image of it: {draws}, y ~ p(y)."
        ),
        "classes": figures.strips(
            by_label[: len(names)], names, caption=f"{title}. Draws from p(x | y), {row}: {draws}."
        ),
        "components": _components(classifier, names, title, run.record.info.num_data),
        "confusion": figures.confusion(
            test["confusion"],
            run.record.info.called(test["labels"]),
            f"{title}. {first['num']:,} test data, and what they are taken for; accuracy {percent(first)}.",
        ),
    }
    paths = []
    for stem, figure in made.items():
        paths.append(run.figures / f"{stem}.png")
        figures.save(figure, paths[-1])
    return paths


def _components(classifier: BayesClassifier, names: list[str], title: str, num_data: int) -> "Figure":
    if max(len(mixture.weights) for mixture in classifier.classes) == 1:
        rows = -(-len(names) // _COLUMNS)
        columns = min(len(names), _COLUMNS)
        images = torch.full((rows * columns, *classifier.event_shape), torch.nan, dtype=torch.float64)
        images[: len(names)] = torch.cat([classifier.component_means(number) for number in range(len(names))])
        words = [
            f"{name}: {_weight(weight)}"
            for name, weight in zip(names, classifier.prior[: len(names)].tolist(), strict=True)
        ]
        words += [""] * (rows * columns - len(words))
        grid = [words[row * columns : (row + 1) * columns] for row in range(rows)]
        caption = f"{title}. Mean of each class; below, its label and p(y)."
        return figures.labelled(images.view(rows, columns, *classifier.event_shape), grid, caption=caption)
    columns = min(_COLUMNS, max(len(mixture.weights) for mixture in classifier.classes))
    images = torch.full((len(names), columns, *classifier.event_shape), torch.nan, dtype=torch.float64)
    grid = []
    sizes = (classifier.prior * num_data).tolist()
    for number, (mixture, size) in enumerate(zip(classifier.classes[: len(names)], sizes, strict=False)):
        means = classifier.component_means(number)[:columns]
        images[number, : len(means)] = means
        words = [_share(weight, size) for weight in mixture.weights[:columns].tolist()]
        grid.append(words + [""] * (columns - len(words)))
    empty = sum(
        int((mixture.weights * size < 1).sum()) for mixture, size in zip(classifier.classes, sizes, strict=True)
    )
    total = sum(len(mixture.weights) for mixture in classifier.classes)
    caption = (
        f"{title}. A row for each label: means of its components, the heaviest first; below, their weights. {empty} of "
        f"the {total} components have vanished: they are left with less than one datapoint."
    )
    return figures.labelled(images, grid, names, caption)


def _share(weight: float, num_data: float) -> str:
    """A component's weight, or that it has none worth a datapoint of its label's."""
    return _weight(weight) if weight * num_data >= 1 else "vanished"


def _weight(weight: float) -> str:
    return f"{100 * weight:.0f} %" if weight >= 0.01 else "<1 %"


def percent(share: Mapping[str, float]) -> str:
    """A share with its error, in words."""
    return with_error(100 * share["mean"], 100 * share["stderr"]) + " %"


def write_baseline_report(
    run: BaselineRun, classifier: BayesClassifier, metrics: Mapping[str, Any], pictures: Iterable[Path]
) -> Path:
    """Write ``report.html``, in one piece.

    Args:
        run: where.
        classifier: fitted.
        metrics: as :func:`ppl_vae.baselines.judging.judge` returns, and ``seconds`` of the fit.
        pictures: to show.
    """
    config, info, test = run.record.config, run.record.info, metrics["test"]
    warnings = [_NOT_COMPARABLE]
    labels = classifier.labels.tolist()
    unfinished = [
        y for y, mixture in zip(info.called(labels), classifier.classes, strict=True) if not mixture.converged
    ]
    if unfinished:
        warnings.append(
            f"Not converged after {config.iterations} iterations: label {', '.join(unfinished)}; raise `iterations`."
        )
    rows = [(f"accuracy, {name} data", percent(metrics[name]["accuracy"])) for name in metrics if name != "seconds"]
    by_label = [
        (f"label {info.called([int(label)])[0]}", percent(share), f"{share['num']:,}")
        for label, share in test["by_label"].items()
    ]
    settings = command(f"baseline {run.record.baseline}", config, BaselineConfig(), run.path, config.data.data in NAMES)
    note = (
        "Share of the labels that argmax p(x | y) p(y) finds, ± standard error, "
        "with one image right and one wrong added, so that it is never 0."
    )
    first = metrics["test"]["accuracy"]
    about = f"{_title(run)}. "
    made = page(
        f"{run.record.in_words} on {Path(config.data.data).name} ({run.path.name})",
        in_large(f"accuracy {percent(first)}", f"of {first['num']:,} test data"),
        warned_of(warnings),
        beside_each_other(picture_of(each, about) for each in pictures),
        section(
            "What to do next",
            lines_of_code([shlex.join(["ppl-vae", "generators", str(run.path)])]),
            paragraph("It gives draws of it under test data; name trained models behind it to have theirs below."),
        ),
        section("Accuracy", paragraph(note), table([*rows, ("time", f"{metrics['seconds']:.1f} seconds of fitting")])),
        section("Accuracy by label, test data", table(by_label, ["accuracy", "test data"])),
        section("What was fitted", table(_settings(run, classifier))),
        section("Do it again", lines_of_code([settings])),
    )
    path = run.path / "report.html"
    write_text(path, made)
    return path


def _title(run: BaselineRun) -> str:
    return f"{Path(run.record.config.data.data).name}: {run.record.in_words}"


def _settings(run: BaselineRun, classifier: BayesClassifier) -> list[tuple[str, str]]:
    config, info = run.record.config, run.record.info
    shape, (size, d) = " × ".join(map(str, info.event_shape)), classifier.basis.shape
    counts = sorted({len(mixture.weights) for mixture in classifier.classes})
    most = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    density = f"a full covariance in {d} of {size} principal components"
    if run.record.baseline == "mixture":
        density = f"for each label a variational mixture of {most} Gaussians, each with {density}"
    if d < size:
        density += f"; noise of variance {classifier.noise:.4g} in every other direction"
    return [
        ("p(x | y)", density),
        ("ridge", f"{config.ridge:g}, added to the variance of every direction"),
        ("data", f"{config.data.data}, {info.num_data:,} training datapoints of shape {shape}"),
        ("binarization", config.data.binarization),
        ("data fingerprint", info.fingerprint),
        ("seeds", f"{config.seed} of the fit and the draws, {config.data.data_seed} of the data"),
        ("versions", ", ".join(f"{name} {number}" for name, number in run.record.versions.items())),
    ]
