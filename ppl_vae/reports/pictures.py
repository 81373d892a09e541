"""The pictures that every run gets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ppl_vae import figures
from ppl_vae.data import Splits
from ppl_vae.data.conditions import means_of
from ppl_vae.data.labels import rows_of
from ppl_vae.predictive.draws import (
    has_standard_normal_prior,
    label_sheet,
    latent_grid,
    plane_site,
    posterior_predictive,
    prior_predictive,
)
from ppl_vae.predictive.posteriors import posterior_gaussians, posterior_moments, posterior_samples
from ppl_vae.predictive.profiles import crowd_of
from ppl_vae.predictive.rendering import (
    at_means,
    centre,
    image_of,
    is_drawn,
    pairs_of,
    sheet_of,
    shown_of,
    shows_means,
    takes_labels,
)
from ppl_vae.predictive.wording import is_table
from ppl_vae.programs.anatomy.drawing import reparameterised
from ppl_vae.programs.anatomy.layers import networks
from ppl_vae.programs.density import has_density
from ppl_vae.programs.holes import with_gaps
from ppl_vae.programs.structure import graphical_model
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import FULL, QUIET_SECONDS, Effort
from ppl_vae.runs.opened import split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError, reason, warned
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_COLUMNS = 10
_NUM_RECONSTRUCTIONS = 10
_NUM_PRIOR = 64
_NUM_ROWS = 200  # of a table, whose rows lie on each other
_NUM_SPREAD = 100  # draws of x, for its standard deviation
_NUM_CODES = 2000
_NUM_ELLIPSES = 200
_NUM_DRAWS = 10  # of each code's q, for smooth margins


def draw_run(
    run: Run, pair: Pair, splits: Splits, left_out: Callable[[str], object] = warned, effort: Effort = FULL
) -> list[Path]:
    """Draw what a run has learned into its ``figures/``: training, reconstructions, predictive sheet, latent space.

    What cannot be drawn, because the data has another shape than a picture, say, is left out.

    Args:
        run: whose pictures.
        pair: as it was learned.
        splits: the run's data.
        left_out: called, in words, for each picture that cannot be drawn.
        effort: how many codes to draw.

    Returns:
        the PNGs; beside each is its SVG.
    """
    paths = []
    with bar(len(_PICTURES), "picture", "pictures", delay=QUIET_SECONDS) as done:
        for stem, draw in _PICTURES.items():
            try:
                with seeded(0, device_of(pair.model)):
                    figure = draw(_Subject(run, pair, splits, effort))
            except UserError as error:  # it is in words already
                left_out(f"left out {stem}: {error}")
                figure = None
            except Exception as error:  # a finished training must not end in a picture that cannot be drawn
                left_out(f"left out {stem}: {reason(error)}")
                figure = None
            if figure is not None:
                paths.append(run.figures / f"{stem}.png")
                figures.save(figure, paths[-1])
            done.update()
    return paths


def title_of(run: Run) -> str:
    """What the caption of every picture of a run begins with: the data and the pair."""
    return f"{Path(run.record.config.data.data).name}: {run.record.config.in_words}"


class _Subject:
    """What the pictures of one run are made from."""

    def __init__(self, run: Run, pair: Pair, splits: Splits, effort: Effort) -> None:
        self.run, self.pair = run, pair
        self.info = run.record.info
        self.title = title_of(run)
        split = split_shown(pair, splits)
        self.split = {"train": "Training", "test": "Test"}[split]
        self.grey = splits.get(split).head(min(effort.codes or _NUM_CODES, _NUM_CODES))
        self.data = self.grey.fixed(0)
        self.batch = self.data.batch(torch.arange(len(self.data)))
        self.labels = None if self.batch.y is None else self.info.shown(self.batch.y)


def _training(subject: _Subject) -> "Figure":
    of_point = not has_density(subject.pair.guide, subject.batch)
    history, fit = subject.run.history(of_point), subject.run.record.config.fit
    what = "The reconstruction" if of_point else "The bound and its two parts"
    caption = (
        f"{subject.title}. {what} over {len(history)} epoch{'s' * (len(history) != 1)}, bigger is better"
        f"{f'; {history.loss}' if history.loss else ''}. "
        f"{subject.info.num_data:,} training datapoints, {fit.steps_in_words}, "
        f"seed {fit.seed}."
    )
    return history.figure(caption)


def _reconstructions(subject: _Subject) -> "Figure":
    info, few = subject.info, subject.data.batch(torch.arange(min(_NUM_RECONSTRUCTIONS, len(subject.data))))
    if is_table(info):
        draws = posterior_predictive(*subject.pair, few, _NUM_SPREAD)
        if shows_means(subject.pair.model, info):
            made, spread = draws.means.mean(0), draws.x.std(0)
            what = (
                f"mean of {centre(subject.pair.model, info)}, z ~ q(z | x), ± the standard deviation of {_NUM_SPREAD} "
                "draws of x, of what is 0 or 1 the mean alone"
            )
        else:  # codes have no mean: that of 0 and 3 is a code of something else
            made, spread = draws.x.mode(0).values, None
            what = f"code that is drawn most often in {_NUM_SPREAD} draws of x"
        caption = (
            f"{subject.title}. {subject.split} data, and what the model makes of each after q(z | x) has seen it: the "
            f"{what}. A line goes from the smallest to the largest number of its column in training."
        )
        return pairs_of(info, with_gaps(few.x, few.mask), made, caption, spread)
    draws, drawn = posterior_predictive(*subject.pair, few), is_drawn(subject.pair.model, info)
    what = "x ~ p(x | z)" if drawn else centre(subject.pair.model, info)
    caption = (
        f"{subject.title}. {subject.split} data, and below each what the model makes of it after q(z | x) has seen it: "
        f"{what}, z ~ q(z | x)."
    )
    shown = draws.x if drawn else draws.means
    return pairs_of(info, with_gaps(subject.grey.values(slice(len(shown))), few.mask), shown, caption)


def _prior(subject: _Subject) -> "Figure":
    info, what = subject.info, f"{subject.title}. What the model makes of latents drawn from its prior"
    c = means_of(info.conditions)
    if takes_labels(subject.pair.model, info):
        rows = rows_of(info)
        sheet = label_sheet(subject.pair.model, info.event_shape, rows.numbers, _NUM_COLUMNS, c)
        caption = f"{what}, {centre(subject.pair.model, info, 'z, y')}: {rows.words}, a column for each z ~ p(z)."
        return sheet_of(info, sheet.flatten(0, 1), caption, _NUM_COLUMNS)
    num = _NUM_ROWS if is_table(info) else _NUM_PRIOR
    draws = prior_predictive(subject.pair.model, info.event_shape, num, c=c)
    if is_table(info):
        few = subject.grey.head(num)
        data = with_gaps(few.values(), few.mask)
        if len(data) < num:  # as many draws as data: where one crowds more is to be the model's doing
            draws = replace(draws, x=draws.x[: len(data)])
        drawn = f"x ~ p(x | z{at_means(subject.pair.model, info)}), z ~ p(z)"
        caption = f"{what}, {drawn}, beside as many {subject.split.lower()} data."
        return crowd_of(info, {"data": data, "drawn": draws.x}, "", caption)
    shown, words = shown_of(subject.pair.model, info, draws)
    return sheet_of(info, shown, f"{what}: {words}.")


def _latent(subject: _Subject) -> "Figure":
    moments = posterior_moments(subject.pair.guide, subject.batch)
    codes = torch.cat([site.mean.reshape(len(site.mean), -1) for site in moments.values()], dim=1)
    where = f"{len(codes):,} {subject.split.lower()} datapoints{'' if subject.labels is None else ', by label'}"
    standard_normal = has_standard_normal_prior(subject.pair.model, subject.batch)
    if not has_density(subject.pair.guide, subject.batch):
        caption = f"{subject.title}. Where the guide puts the data: codes of {where}."
        return figures.latent_scatter(codes, subject.labels, caption, standard_normal=standard_normal)
    drawn = posterior_samples(subject.pair.guide, subject.batch, _NUM_DRAWS).values()
    draws = torch.cat([values.reshape(_NUM_DRAWS * len(codes), -1) for values in drawn], dim=1)
    dots, grey = ("Bars", "Line") if codes.shape[1] == 1 else ("Dots", "Grey")
    caption = (
        f"{subject.title}. Where the guide puts the data. {dots}: means of q(z | x), {where}. {grey}: "
        f"{_NUM_DRAWS} draws of z for each."
    )
    return figures.latent_scatter(codes, subject.labels, caption, draws, standard_normal=standard_normal)


def _posteriors(subject: _Subject) -> "Figure | None":
    pair, shape = subject.pair, subject.info.event_shape
    few = subject.data.head(_NUM_ELLIPSES)
    if plane_site(pair.model, shape, None if few.c is None else few.c[0]) is None or not has_density(
        pair.guide, subject.data.probe()
    ):
        return None
    labels = None if subject.labels is None else subject.labels[: len(few)]
    standard_normal = has_standard_normal_prior(pair.model, subject.batch)
    caption = (
        f"{subject.title}. How sure the guide is: q(z | x) of {len(few)} {subject.split.lower()} datapoints, means and "
        f"ellipses of one standard deviation{'' if labels is None else ', by label'}."
    )
    q = posterior_gaussians(*pair, few)
    return figures.posteriors(*q, labels, caption, standard_normal=standard_normal)


def _graphical_model(subject: _Subject) -> "Figure":
    few = subject.data.probe()
    model, guide = (graphical_model(program, few) for program in subject.pair)
    caption = (
        f"{subject.title}. The model and its guide, read from the Pyro programs. Shaded: observed; white: latent; an "
        "arrow leads to a variable from what its distribution depends on; a frame holds what there is once for each "
        "datapoint; θ and φ: what is learned, φₙ where each datapoint has its own."
    )
    return figures.graphical_model(model, guide, caption, {"data": f"{subject.info.num_data:,} datapoints"})


def _networks(subject: _Subject) -> "Figure":
    caption = (
        f"{subject.title}. What a batch goes through, from the top down, with sizes for one datapoint. Blue: layers; "
        "white: parameters of distributions; round: latents; grey: what is observed."
    )
    return figures.networks(networks(*subject.pair, subject.data.probe()), caption)


def _reparameterisation(subject: _Subject) -> "Figure | None":
    try:
        drawn = reparameterised(subject.pair.guide, subject.data.probe())
    except UserError:  # of a point, or of draws without a gradient, there is none; that is no fault of the run
        return None
    caption = (
        f"{subject.title}. Circles are random, diamonds are worked out, f is the ELBO. Gradients, in colour, end at a "
        "draw; written as a map of noise, z passes them on to φ."
    )
    return figures.reparameterisation(drawn, caption)


def _grid(subject: _Subject) -> "Figure | None":
    model, shape = subject.pair.model, subject.info.event_shape
    c = means_of(subject.info.conditions)
    if takes_labels(model, subject.info) or not plane_site(model, shape, c):
        return None
    means = latent_grid(model, shape, torch.linspace(-3, 3, 20), c=c)
    caption = f"{subject.title}. The latent plane, decoded place by place: {centre(model, subject.info)}."
    return figures.grid(image_of(subject.info, means), -3, 3, caption=caption)


_PICTURES: "dict[str, Callable[[_Subject], Figure | None]]" = {
    "graphical-model": _graphical_model,
    "networks": _networks,
    "reparameterisation": _reparameterisation,
    "training": _training,
    "reconstructions": _reconstructions,
    "prior": _prior,
    "latent": _latent,
    "posteriors": _posteriors,
    "grid": _grid,
}
