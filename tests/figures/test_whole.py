"""Every figure is whole, whatever stands in it: nothing is cut off, and no text lies on another."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from ppl_vae import figures
from ppl_vae.programs.anatomy.drawing import Reparameterisation
from ppl_vae.programs.anatomy.layers import Box, Fold, Networks, Row
from ppl_vae.programs.structure import GraphicalModel, Parameters, Variable
from ppl_vae.training.metrics import EpochMetrics
from tests.figures.whole import faults

# ruff: noqa: E501  # a line a picture
rng = np.random.default_rng(0)
START = rng.bit_generator.state
LONG = "a_folder_of_photographs.with dots, and a very long name indeed"
CAPTION = f"{LONG}: vae, amortized × full-rank ({LONG}). " * 3
CLASSES = ["Ankle boot", "T-shirt/top", "a class with a really long name", "貓", "7", "Bag", "Coat", "Dress", "x", "−1"]


def pixels(*shape: int) -> np.ndarray:
    return rng.random(shape)


def curves(epochs: int, scale: float, *, validation: bool = True, of_point: bool = False) -> Figure:
    steps = np.arange(1, epochs + 1)
    elbos = -scale * (1 + 50 * np.exp(-steps) + 0.1 / steps)
    return figures.training_curves(
        [
            EpochMetrics(
                *(int(n), elbo, elbo, elbo + scale / 10, scale / 10 * (1 - np.exp(-n)), 1.0),
                *((elbo * 1.01, 1.0, elbo + scale / 9, scale / 9) if validation else (None, 1.0)),
            )
            for n, elbo in zip(steps, elbos, strict=True)
        ],
        CAPTION,
        of_point=of_point,
    )


def compared(names: list[str], scale: float, seeds: int) -> Figure:
    def figure(mean: float) -> tuple[float, float, float]:
        return (mean, *((0.01 * scale, 0.03 * scale) if seeds > 1 else (float("nan"),) * 2))

    known = [
        {"elbo": figure(-scale * (1 + 0.001 * place)), "log_px": figure(-scale), "seconds": figure(scale)}
        for place in range(len(names))
    ]
    return figures.comparison(
        [figures.Row(name, seeds, known[place], (1, len(names))) for place, name in enumerate(names)], CAPTION
    )


def scatter(classes: list[str] | None, dims: int, spread: float = 1.0, scale: float = 1.0, *, prior=True) -> Figure:
    index = np.arange(300) % max(1, len(classes or []))
    codes = scale * (rng.normal(size=(300, dims)) * 0.3 + spread * rng.normal(size=(300, dims))[index])
    labels = None if classes is None else np.array(classes)[index]
    return figures.latent_scatter(codes, labels, CAPTION, codes.repeat(2, 0), standard_normal=prior)


def holes(names: list[str], classes: list[str] | None, number: int = 4) -> Figure:
    labels = None if classes is None else np.array(classes)[np.arange(200) % len(classes)]
    planes = [
        figures.LatentPlane(
            name, 20**place * rng.normal(size=(200, 2)), rng.normal(size=(number, 2)), pixels(number, 8, 8)
        )
        for place, name in enumerate(names)
    ]
    return figures.latent_holes(planes, labels, CAPTION)


def program(names: list[str], distribution: str, plate: str) -> Figure:
    latents = tuple(Variable(name, distribution, False, (), ("data",)) for name in names)
    x = Variable("x", distribution, True, tuple(names), ("data",))
    q = tuple(replace(latent, parents=("x",)) for latent in latents)
    model = GraphicalModel((*latents, x), {"data": 5}, (Parameters(("x",)),))
    learned = (Parameters(tuple(names)), Parameters((names[0],), ("data",)))
    guide = GraphicalModel((replace(x, distribution=None, parents=()), *q), {"data": 5}, learned)
    return figures.graphical_model(model, guide, CAPTION, {"data": plate})


def layered(folds: list[tuple[list[list[str]], int]], size: tuple[int, ...] = (28, 28)) -> Figure:
    made = tuple(Fold(tuple(Row(tuple(Box("layer", words, size, size) for words in row)) for row in rows), times)
                 for rows, times in folds)  # fmt: skip
    seen, latent = (Fold((Row((Box(kind, "x", size),)),), 1) for kind in ("observed", "latent"))
    return figures.networks(Networks((seen, *made), (latent, *made, seen)), CAPTION)


def redrawn(latents: list[str], given: tuple[str, ...], formula: str = "loc + scale · ε") -> Figure:
    return figures.reparameterisation(Reparameterisation(tuple(latents), given, True, formula, "N(0, I)"), CAPTION)


def film(classes: list[str] | None, point: bool = False) -> Figure:
    labels = None if classes is None else np.array(classes)[np.arange(60) % len(classes)]
    cov = np.repeat(0.01 * np.eye(2)[None], 60, 0)
    return figures.film_frame(rng.normal(size=(60, 2)), cov, labels, pixels(5, 5, 8, 8), 4.0, title=LONG, point=point)


def ellipses(classes: list[str] | None, scale: float = 1.0, prior: bool = True) -> Figure:
    labels = None if classes is None else np.array(classes)[np.arange(200) % len(classes)]
    halves = scale * rng.normal(size=(200, 2, 2))
    means = 3 * scale * rng.normal(size=(200, 2))
    return figures.posteriors(means, halves @ halves.mT, labels, CAPTION, standard_normal=prior)


def ranks(names: list[str]) -> Figure:
    return figures.calibration(rng.integers(0, 20, size=(100, len(names))), 19, names, CAPTION)


def units(names: list[str], scale: float = 1.0) -> Figure:
    kl = scale * np.arange(len(names))
    return figures.kl_by_unit(kl, 0.1 * kl, kl > scale, names, CAPTION)


def bars(titles: list[str], labels: list[str], scale: float) -> Figure:
    made = [figures.GapBar(label, (scale * n, 0.1 * scale), (scale * (3 - n), scale)) for n, label in enumerate(labels)]
    return figures.gaps([(title, made) for title in titles], CAPTION)


def rows_of_table(panels: int, columns: list[str], scale: float, steps: int = 2, *, in_order: bool = False) -> Figure:
    series = {f"step {n}": scale * rng.normal(size=(panels, 1, len(columns))) for n in range(steps)}
    errors = {"step 0": scale * pixels(panels, 1, len(columns))}
    names = [f"z{n}\n0.12 ± 0.03 nats" for n in range(panels)]
    data = ["step 0"] if in_order else []
    return figures.table_profiles(
        series, names, columns, (-scale, scale), errors, CAPTION, in_order=in_order, observed=data
    )


def pieces(rows: int, columns: int, names: list[str], steps: int = 160, likely: float = 0.97) -> Figure:
    keys = np.round(pixels(rows, columns, steps, 88) - likely + 0.5)
    going = np.arange(steps) < rng.integers(1, steps + 1, (rows, columns, 1))
    across = names[:columns] if names else []
    return figures.music(going, keys, (names * rows)[:rows], across, CAPTION)


def with_holes(*shape: int) -> np.ndarray:
    images = pixels(*shape)
    images[..., :2, :2] = np.nan
    return images


def checks(columns: list[str], scale: float, wide: float = 0.1, counted: float = 0.5) -> Figure:
    """A share of the columns without a spread, as bits are; a tenth of everything beyond chance."""

    def part(values: np.ndarray, error: float, low: float = -np.inf, high: float = np.inf) -> figures.Checked:
        drawn = values + error * rng.normal(size=values.shape)
        ends = (np.clip(each, low, high) for each in (values, drawn, drawn - error, drawn + error))
        return figures.Checked(*ends, rng.random(values.shape) < 0.1)

    num = len(columns)
    some = np.where(rng.random(num) < counted, 1.0, np.nan)
    centres, spreads = part(scale * rng.normal(size=num), scale * wide), part(scale * some, scale * wide, 0.0)
    pairs = part(rng.uniform(-0.7, 0.7, num * (num - 1) // 2), 0.1, -1.0, 1.0)
    return figures.column_checks(columns, centres, spreads, part(some * pixels(num), 0.1, 0.0, 1.0), pairs, CAPTION)


def study(num: int, scale: float, early: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Bounds, some far below the others and some missing, and who ran to the end; the first did."""
    bounds = -scale * (100 + rng.exponential(size=num))
    bounds[1::7] *= 3
    bounds[3::9] = np.nan
    whole = (rng.random(num) > early) & np.isfinite(bounds)
    whole[0] = True
    return bounds, whole


def trials(num: int, scale: float, early: float = 0.4) -> Figure:
    return figures.trial_history(*study(num, scale, early), CAPTION)


def searched(names: list[str], num: int = 30, scale: float = 1.0, early: float = 0.4, words=("a", "b")) -> Figure:
    """A range in its logarithm, one of whole numbers, and words, in turn."""
    kinds: list[Callable[[str], figures.Searched]] = [
        lambda name: figures.Searched(name, [0, *10 ** rng.uniform(-4, -2, num - 1)], (), True),
        lambda name: figures.Searched(name, [10, *rng.integers(5, 40, num - 1).tolist()]),
        lambda name: figures.Searched(name, [None, *rng.choice(words, num - 1).tolist()], words),
    ]
    panels = [kinds[place % 3](name) for place, name in enumerate(names)]
    return figures.trial_settings(panels, *study(num, scale, early), CAPTION)


PICTURES: dict[str, Callable[[], Figure]] = {
    "sheet": lambda: figures.sheet(pixels(64, 8, 8), CAPTION),
    "sheet of one": lambda: figures.sheet(pixels(1, 8, 8), CAPTION),
    "sheet of cells": lambda: figures.sheet(pixels(64, 3), CAPTION),
    "sheet of long lines": lambda: figures.sheet(pixels(16, 55, 900), CAPTION),
    "sheet of one high rows": lambda: figures.sheet(pixels(10, 1, 200), CAPTION),
    "reconstructions": lambda: figures.reconstructions(pixels(10, 8, 8), pixels(10, 8, 8), CAPTION),
    "one reconstruction": lambda: figures.reconstructions(pixels(1, 8, 8), pixels(1, 8, 8), CAPTION),
    "reconstructions of a table": lambda: figures.reconstructions(pixels(10, 4), pixels(10, 4), CAPTION),
    "reconstructions of lines": lambda: figures.reconstructions(pixels(4, 55, 900), pixels(4, 55, 900), CAPTION),
    "grid": lambda: figures.grid(pixels(20, 20, 8, 8), -3, 3, CAPTION),
    "grid of five": lambda: figures.grid(pixels(5, 5, 8, 8), -1e6, 1e6, CAPTION, (LONG, LONG)),
    "grid of nine": lambda: figures.grid(pixels(9, 9, 8, 8), -0.001234, 0.001234, CAPTION),
    "strips": lambda: figures.strips(pixels(3, 12, 8, 8), ["−2 σ", "0", "2 σ"], list("abcdefghijkl"), CAPTION),
    "strips with long names": lambda: figures.strips(pixels(4, 9, 8, 8), CLASSES[:4], CLASSES[:9], CAPTION),
    "strips, many columns": lambda: figures.strips(pixels(2, 40, 8, 8), [LONG, "b"], [f"{n:,}" for n in range(10**6, 10**6 + 40)], CAPTION),
    "strips, many rows": lambda: figures.strips(pixels(60, 3, 8, 8), [f"row {n}" for n in range(60)], [LONG, LONG, "c"], CAPTION),
    "strips, one column": lambda: figures.strips(pixels(50, 1, 4, 4), [f"y = {n}" for n in range(1975, 2025)], (), CAPTION),
    "strips of lines": lambda: figures.strips(pixels(11, 3, 55, 300), [f"{n / 10:.1f}" for n in range(11)], ["a → b"] * 3, CAPTION),
    "interpolate": lambda: figures.strips(pixels(2, 11, 28, 28), ["1 → 2\n", "4 → 11"], ["first", *[f"{n / 8:.3f}" for n in range(9)], "second"], CAPTION),
    "blocks": lambda: figures.blocks({"data": pixels(2, 10, 8, 8), LONG: pixels(2, 10, 8, 8)}, (), CAPTION),
    "blocks of few columns": lambda: figures.blocks({LONG: pixels(6, 2, 4, 4), "data": pixels(6, 2, 4, 4)}, CLASSES[:6], CAPTION),
    "blocks with names": lambda: figures.blocks({CAPTION: pixels(5, 9, 8, 8), "b": pixels(5, 9, 8, 8)}, CLASSES[:5], CAPTION),
    "blocks with columns": lambda: figures.blocks({f"1. a\ns is 0.1 of {LONG}": pixels(3, 10, 28, 28), CAPTION: pixels(3, 10, 28, 28)}, ["test 1"] * 3, CAPTION, ["x", *[f"{n / 2} s" for n in range(9)]]),
    "blocks with many columns": lambda: figures.blocks({"1. a\ns is 0.1": pixels(1, 21, 28, 28), "2. vae\ns is 0.2": pixels(1, 21, 28, 28)}, ["test 59,999"], CAPTION, ["x", *["" if n % 2 else f"{n * 4 / 19:.3g} s" for n in range(20)]]),
    "blocks of lines with columns": lambda: figures.blocks({"1. a\ns is 0.1": pixels(10, 3, 20, 400), "b\nc": pixels(10, 3, 20, 400)}, [f"{n / 2} s" for n in range(10)], CAPTION, [f"test {n}" for n in range(3)]),
    "labelled": lambda: figures.labelled(pixels(4, 10, 8, 8), [["0.123 ± 0.001"] * 10] * 4, CLASSES[:4], CAPTION),
    "latent": lambda: scatter(["0", "1", "2"], 2),
    "latent, ten long names": lambda: scatter(CLASSES, 2),
    "latent, all at one place": lambda: scatter(CLASSES, 2, spread=0.0),
    "latent, forty classes": lambda: scatter([f"{LONG} {n}" for n in range(40)], 2),
    "latent of many dimensions": lambda: scatter(CLASSES, 8, scale=1e6),
    "latent of many dimensions, all at one place": lambda: scatter([*"0123456789"], 8, spread=0.0, scale=0.3),
    "latent of one dimension": lambda: scatter(CLASSES, 1),
    "latent without labels": lambda: scatter(None, 2, scale=1e-6, prior=False),
    "holes": lambda: holes(["autoencoder", "vae"], [str(n) for n in range(10)]),
    "holes of three": lambda: holes(["autoencoder", "vae", LONG], CLASSES),
    "holes of one": lambda: holes([LONG], None, 12),
    "graphical model": lambda: program(["z"], "Normal", "60,000 datapoints"),
    "graphical model, long": lambda: program(["z", "a_long_latent_name", "w"], f"Independent({LONG})", LONG),
    "networks": lambda: layered([([["Linear + relu"], ["loc", "scale"]], 1)], (20,)),
    "networks, long names": lambda: layered([([[LONG], [LONG, LONG], [LONG] * 40], 1)], (1024, 1024, 512)),
    "networks, of colour images": lambda: layered(
        [([["Conv2d 3 × 3, stride 2 + relu"], ["loc", "scale"]], 1)], (256, 256, 3)
    ),
    "networks, folded": lambda: layered([([["Linear"], ["LayerNorm + gelu"]], 48), ([["Linear"]], 123456)]),
    "networks, deep": lambda: layered([([[f"Linear {n}"]], 1) for n in range(100)]),
    "reparameterisation": lambda: redrawn(["z"], ("x",)),
    "reparameterisation, labels": lambda: redrawn(["z2", "z1"], ("x", "y"), "T(ε; φₙ, x, y)"),
    "reparameterisation, long": lambda: redrawn([LONG, "z"], ()),
    "film": lambda: film([str(n) for n in range(10)]),
    "film of long names": lambda: film(CLASSES),
    "film of codes": lambda: film(None, point=True),
    "posteriors": lambda: ellipses([str(n) for n in range(10)]),
    "posteriors of long names": lambda: ellipses(CLASSES, 1e-3),
    "posteriors of many classes": lambda: ellipses([f"{LONG} {n}" for n in range(40)], 1e5),
    "posteriors without labels": lambda: ellipses(None, 1e-6, prior=False),
    "calibration": lambda: ranks(["z1", "z2"]),
    "calibration of long names": lambda: ranks([f"{LONG}[{n}]" for n in range(8)]),
    "calibration of many": lambda: ranks([f"z{n}" for n in range(50)]),
    "comparison": lambda: compared(["amortized × diagonal", "mean-field"], 100.0, 2),
    "comparison, many and large": lambda: compared([f"{LONG} {n}" for n in range(12)], 1.234567e8, 5),
    "comparison, one and small": lambda: compared(["a"], 1.2e-7, 1),
    "confusion": lambda: figures.confusion(rng.integers(0, 9, (10, 10)), [str(n) for n in range(10)], CAPTION),
    "confusion of long names": lambda: figures.confusion(rng.integers(0, 10**5, (10, 10)), CLASSES, CAPTION),
    "confusion of many": lambda: figures.confusion(rng.integers(0, 9, (62, 62)), [f"class {n}" for n in range(62)], CAPTION),
    "curves": lambda: curves(30, 100.0),
    "curves, large": lambda: curves(2000, 1.234e9),
    "curves, small": lambda: curves(3, 1e-6, validation=False),
    "curves of a point": lambda: curves(300, 100.0, of_point=True),
    "gaps": lambda: bars(["1,000 datapoints"], ["diagonal", "full-rank", "planar"], 1.0),
    "gaps, long and large": lambda: bars([LONG, CAPTION], [LONG, "planar"], 1.234e7),
    "gaps, small": lambda: bars(["a"], ["b"], -1e-5),
    "units": lambda: units([f"z{n}" for n in range(10)]),
    "units of long names": lambda: units([f"{LONG}[{n}]" for n in range(30)], 1e6),
    "rows of a table": lambda: rows_of_table(5, ["age", "height, cm", "x"], 1.0),
    "rows of a table, many columns": lambda: rows_of_table(5, [f"{LONG} {n}" for n in range(60)], 1.234567e8),
    "rows of a table, many panels": lambda: rows_of_table(20, CLASSES, 1e-6, 11, in_order=True),
    "rows of a table, thousands": lambda: rows_of_table(3, ["income", LONG], 987_654.0, 3),
    "rows of a table, counts": lambda: figures.table_profiles(
        {"data": 1e4 * pixels(5, 1, 3), "made": 1e4 * pixels(5, 1, 3)}, CLASSES[:5], ["a", LONG, "c"], (0, [1e9, 9e3, 1]),
        logarithmic=[True, True, False], caption=CAPTION,
    ),
    "rows of a table, long names": lambda: rows_of_table(5, [f"{LONG} {n}" for n in range(4)], 0.00123456, 9, in_order=True),
    "pieces of music": lambda: pieces(6, 2, ["original", "reconstruction"]),
    "pieces of music, long names": lambda: pieces(6, 3, [LONG] * 3),
    "pieces of music, a way": lambda: pieces(6, 1, ["test 0 → 1"]),
    "a piece of music": lambda: pieces(1, 1, [], 1, 2.0),
    "images with holes": lambda: figures.blocks({"x": with_holes(2, 3, 8, 8), "mean": pixels(2, 3, 8, 8)}, (), CAPTION),
    "rows of a table, one": lambda: rows_of_table(1, ["a"], 1e-3, 1),
    "checks": lambda: checks(["age", "height, cm", "x"], 1.0),
    "checks of one": lambda: checks([LONG], 1e-6, counted=1.0),
    "checks of bits": lambda: checks(CLASSES, 1.0, counted=0.0),
    "checks of long names": lambda: checks([f"{LONG} {n}" for n in range(60)], 1.234567e8),
    "checks of many": lambda: checks([f"gene {n}" for n in range(200)], 1.0, counted=1.0),
    "checks that are far off": lambda: checks(CLASSES[:5], 1.0, 1e6),
    "units, few": lambda: units(CLASSES[:6], 1e-6),
    "trials": lambda: trials(20, 1.0),
    "trials, one": lambda: trials(1, 1.0),
    "trials, two hundred": lambda: trials(200, 1.234567e7),
    "trials, all but one ended early": lambda: trials(50, 1e-6, 1.0),
    "settings of trials": lambda: searched(["learning_rate", "latent_dim", "schedule", "weight_decay", "patience"], words=("constant", "cosine")),
    "settings of one trial": lambda: searched(["learning_rate"], 1),
    "settings of two hundred trials": lambda: searched(["learning_rate", "latent_dim", "guide", "weight_decay"], 200, words=("amortized", "amortized:full-rank")),
    "settings, twelve": lambda: searched([f"{LONG} {n}" for n in range(12)], 40, 1.234567e7, words=(LONG, f"{LONG} 2", "x")),
    "settings, long words": lambda: searched(["a", "b", "c"], words=("constant", LONG, *CLASSES[:3])),
    "settings, many words": lambda: searched(["a", "b", "c"], words=tuple(f"class {n}" for n in range(14))),
    "settings, all but one ended early": lambda: searched(["a", "b", "c", "d"], 50, 1e-6, 1.0),
}  # fmt: skip
LARGE = {
    *("blocks of lines with columns", "blocks with many columns", "latent, forty classes", "holes of three"),
    *("networks, deep", "posteriors of many classes", "calibration of many", "confusion of many", "checks of many"),
    *("rows of a table, many panels", "rows of a table, many columns", "rows of a table, thousands"),
    *("rows of a table, long names", "pieces of music, long names", "checks of long names", "strips, many columns"),
}
assert set(PICTURES) > LARGE


@pytest.mark.filterwarnings("ignore::ppl_vae.runtime.errors.PictureWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in PICTURES]
)
def test_it_is_whole(name: str) -> None:
    rng.bit_generator.state = START  # the same picture whichever tests are run
    assert faults(PICTURES[name]()) == []
