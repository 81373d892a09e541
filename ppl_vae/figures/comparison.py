"""Guides side by side: what each reaches, and what it costs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ppl_vae.figures.look.style import CATEGORICAL, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _ORANGE = CATEGORICAL[:2]


@dataclass(frozen=True)
class Row:
    """One guide of a comparison.

    Args:
        guide: its name.
        seeds: how many runs it had.
        figures: mean, standard error and margin (half the 95 % interval) over seeds, the latter two NaN for one seed,
            by name: elbo, log_px, reconstruction and kl in nats per datapoint, seconds of training, parameters; None
            where there is no such figure.
        rank: the best and the worst that it may have, from 1; None of what is not ranked.
    """

    guide: str
    seeds: int
    figures: dict[str, tuple[float, float, float] | None]
    rank: tuple[int, int] | None = None

    @property
    def rank_in_words(self) -> str:
        """One rank, or from which to which."""
        return "–" if self.rank is None else "–".join(map(str, dict.fromkeys(self.rank)))

    def to_dict(self) -> dict[str, Any]:
        """As dictionaries and numbers, NaN as None."""
        plain = asdict(self)
        plain["figures"] = {
            name: found
            and {
                part: None if math.isnan(value) else value
                for part, value in zip(("mean", "stderr", "margin"), found, strict=True)
            }
            for name, found in self.figures.items()
        }
        return plain


@styled
def comparison(rows: Sequence[Row], caption: str = "") -> "Figure":
    """Each guide's ELBO and its importance bound on log p(x), and below them its seconds of training.

    Args:
        rows: one for each guide, drawn from the top in the order given.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "bounds" and "seconds".

    Raises:
        ValueError: no row.
    """
    if not rows:
        raise ValueError("there is no guide to compare.")
    figure = new_figure(WIDTH, 2.2 + 0.85 * len(rows), caption)
    axes = figure.subplot_mosaic([["bounds"], ["seconds"]], height_ratios=[1.5, 1])
    places = list(range(len(rows)))
    for name, label, color, marker, shift in (
        ("elbo", "ELBO", _BLUE, "o", 0.12),
        ("log_px", "importance bound on log p(x)", _ORANGE, "D", -0.12),
    ):
        known = [(place, pair) for place, row in zip(places, rows, strict=True) if (pair := row.figures[name])]
        axes["bounds"].errorbar(
            [pair[0] for _, pair in known],
            [place + shift for place, _ in known],
            xerr=[0.0 if math.isnan(pair[2]) else pair[2] for _, pair in known],
            fmt=marker,
            color=color,
            markersize=8,
            capsize=4,
            linewidth=2,
            label=label,
        )
    error = f"95 % intervals over {rows[0].seeds} trainings" if rows[0].seeds > 1 else "one seed"
    axes["bounds"].set(xlabel=f"nats per datapoint (right is better)\n{error}")
    for panel in axes.values():
        panel.set_yticks(places, [row.guide for row in rows])
        panel.set_ylim(len(rows) - 0.5, -0.5)
    ranked = [f"{row.guide}\nrank {row.rank_in_words}" if row.rank else row.guide for row in rows]
    axes["bounds"].set_yticks(places, ranked)
    axes["bounds"].grid(axis="both")
    seconds = [pair[0] if (pair := row.figures["seconds"]) else 0.0 for row in rows]
    axes["seconds"].barh(places, seconds, color=_BLUE, height=0.5)
    axes["seconds"].set(xlabel="seconds of training")
    axes["seconds"].grid(axis="y", visible=False)
    figure.legend(*axes["bounds"].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure
