"""The inference gap as stacked bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ppl_vae.figures.look.style import CATEGORICAL, WIDTH, new_figure, styled
from ppl_vae.runtime.shown import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE = CATEGORICAL[:2]
_LINE = 46  # letters that fit under a bar
_LETTER = 0.028  # of the axis, at most: a bar that is shorter than its number has it below


class GapBar(NamedTuple):
    """How one family divides an inference gap; nats per datapoint, each with its standard error.

    Args:
        label: of the family.
        approximation: log p(x) less the family's local optimum.
        amortization: the local optimum less the guide's ELBO.
    """

    label: str
    approximation: tuple[float, float]
    amortization: tuple[float, float]


@styled
def gaps(groups: Sequence[tuple[str, Sequence[GapBar]]], caption: str = "") -> "Figure":
    """What stands between the guide's ELBO and log p(x): a bar for each family, in a panel for each split.

    Args:
        groups: title and bars of each panel, from the top.
        caption: what was done.

    Returns:
        the figure.

    Raises:
        ValueError: nothing to draw.
    """
    if not groups or not all(bars for _, bars in groups):
        raise ValueError("there is no gap to draw.")
    rows = [len(bars) for _, bars in groups]
    figure = new_figure(WIDTH, 1.2 + 0.5 * len(groups) + 0.95 * sum(rows), caption)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    ends = [0.0]  # of the bars' parts; a gap may come out a little below zero, or be zero
    for bar in (bar for _, bars in groups for bar in bars):
        ends += [bar.approximation[0], bar.approximation[0] + bar.amortization[0]]
    for axes, (title, bars) in zip(panels, groups, strict=True):
        _draw_panel(axes, title, bars, (min(ends), max(ends)))
    panels[-1].set_xlabel("nats per datapoint below log p(x)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=1)
    return figure


def _draw_panel(axes: "Axes", title: str, bars: Sequence[GapBar], span: tuple[float, float]) -> None:
    longest = span[1] - span[0] or 1.0
    places = list(range(len(bars)))
    starts = [0.0] * len(bars)
    parts = (
        ("approximation gap: what the family's best q misses", _BLUE, [bar.approximation for bar in bars]),
        (
            "amortization gap: what the guide's q misses beyond that",
            _ORANGE,
            [b.amortization for b in bars],
        ),
    )
    below: list[list[str]] = [[] for _ in bars]  # numbers for which their own bar has no room
    for label, color, values in parts:
        means = [mean for mean, _ in values]
        drawn = axes.barh(places, means, left=starts, color=color, height=0.55, label=label)
        for patch, mean in zip(drawn, means, strict=True):
            if mean < 0:  # no gap, but a guide above that best: not to be taken for a bar of that length
                patch.set(facecolor="none", edgecolor=color, hatch="////")
        for place, start, (mean, error) in zip(places, starts, values, strict=True):
            text = with_error(mean, error).replace("-", "−")
            if mean / longest >= _LETTER * (len(text) + 2):
                axes.text(start + mean / 2, place, text, ha="center", va="center")
            else:
                below[place].append(f"{label.partition(' ')[0]} {text}")
        starts = [start + mean for start, mean in zip(starts, means, strict=True)]
    for place, found in enumerate(below):
        if found:
            words = ", ".join(found)
            axes.text(span[0], place + 0.3, words if len(words) < _LINE else ",\n".join(found), va="top", size="small")
    axes.set(title=title, xlim=(span[0], span[0] + 1.08 * longest))
    axes.set_yticks(places, [bar.label for bar in bars])
    axes.set_ylim(len(bars) - 0.25, -0.5)
    axes.grid(axis="y", visible=False)
