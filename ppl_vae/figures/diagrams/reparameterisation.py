"""The reparameterisation of a draw as two small graphs: the gradient stops at a draw, and passes through a map."""

from typing import TYPE_CHECKING, Any

from ppl_vae.figures.look.style import CATEGORICAL, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ppl_vae.programs.anatomy.drawing import Reparameterisation

_Place = tuple[float, float]

# Inches.
_RADIUS = 0.34
_DIAMOND = 0.38  # a diamond as wide as a circle would look smaller than one
_UP, _STEP = 1.2, 1.05  # from a row to the next, and from a node to its neighbour
_ASIDE = 0.14  # a gradient runs beside its arrow
_BELOW = 0.62  # under the lowest row, for the name of the noise
_SHADE = "#d5d5d5"
_GRADIENT = CATEGORICAL[2]
_LETTERS = 8  # of a name in a node


@styled
def reparameterisation(drawn: "Reparameterisation", caption: str = "") -> "Figure":
    """Why a guide's draw is written as a map of noise: on the left z is drawn, on the right worked out.

    Circles are random, diamonds are deterministic, shaded is what is observed. f is what is climbed, the ELBO. Arrows
    in colour are gradients, which lead from f back to the parameters; at a draw they end.

    Args:
        drawn: how the guide draws, from :func:`ppl_vae.programs.anatomy.drawing.reparameterised`.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "drawn" and "reparameterised". One unit of them is one inch.
    """
    z = ", ".join(drawn.latents)
    bar = f" | {', '.join(drawn.given)}" if drawn.given else ""
    titles = {
        "drawn": f"drawn:\n{z} ~ q({z}{bar})",
        "reparameterised": f"reparameterised:\n{z} = {drawn.formula}, ε ~ {drawn.noise}",
    }
    below = [drawn.parameters, *drawn.given]
    half = WIDTH / 4 - 0.05
    step = min(_STEP, 2 * (half - _DIAMOND - 0.05) / len(below))
    figure = new_figure(WIDTH, 2 * _UP + 2 * _RADIUS + _BELOW + 0.9, caption)
    for axes, (label, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        axes.set_label(label)
        axes.set(xlim=(-half, half), ylim=(-_RADIUS - _BELOW, 2 * _UP + _RADIUS + 0.1), aspect="equal")
        axes.set(xticks=[], yticks=[])  # which would be measured, though they are not seen
        axes.set_axis_off()
        axes.set_title(title)
        passes = label == "reparameterised"
        row = [*below, "ε"] if passes else below
        places = {name: ((place - (len(row) - 1) / 2) * step, 0.0) for place, name in enumerate(row)}
        top, middle = (0.0, 2 * _UP), (0.0, _UP)
        _draw_node(axes, "f", top, False)
        _draw_node(axes, z, middle, not passes)
        for name, place in places.items():
            _draw_node(axes, name, place, name == "ε", shaded=name in drawn.given)
            _draw_arrow(axes, f"{name} → {z}", place, middle, INK)
        _draw_arrow(axes, f"{z} → f", middle, top, INK)
        _draw_arrow(axes, f"gradient: f → {z}", top, middle, _GRADIENT, _ASIDE)
        start = places[drawn.parameters]
        if passes:
            _draw_arrow(axes, f"gradient: {z} → {drawn.parameters}", middle, start, _GRADIENT, _ASIDE)
            axes.text(places["ε"][0], -_RADIUS - 0.1, f"ε ~ {drawn.noise}", ha="center", va="top", size="small")
        else:
            _draw_end(axes, middle, start)
    return figure


def _draw_node(axes: "Axes", name: str, place: _Place, random: bool, *, shaded: bool = False) -> None:
    from matplotlib.patches import Circle, RegularPolygon

    look: dict[str, Any] = {"facecolor": _SHADE if shaded else "white", "edgecolor": INK, "linewidth": 1.5, "zorder": 3}
    patch = Circle(place, _RADIUS, **look) if random else RegularPolygon(place, 4, radius=_DIAMOND, **look)
    patch.set_label(name)
    axes.add_patch(patch)
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    axes.text(*place, short, ha="center", va="center", size=min(15.0, 48.0 / len(short)), zorder=4)


def _draw_arrow(axes: "Axes", label: str, start: _Place, end: _Place, color: str, aside: float = 0.0) -> None:
    """From node to node; ``aside`` to its left as it runs."""
    from matplotlib.patches import FancyArrowPatch

    (x0, y0), (x1, y1) = _beside(start, end, aside)
    arrow = FancyArrowPatch(
        (x0, y0), (x1, y1), arrowstyle="-|>", mutation_scale=14, linewidth=1.5, color=color,
        shrinkA=72 * _DIAMOND, shrinkB=72 * _DIAMOND, zorder=2,
    )  # fmt: skip
    arrow.set_label(label)
    axes.add_patch(arrow)


def _draw_end(axes: "Axes", start: _Place, end: _Place) -> None:
    """A gradient that goes no farther: a cross beside the arrow that it would run along."""
    (x0, y0), (x1, y1) = _beside(start, end, _ASIDE)
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    axes.plot(*middle, marker="x", color=_GRADIENT, markersize=11, markeredgewidth=2.5, zorder=4, label="gradient ends")


def _beside(start: _Place, end: _Place, aside: float) -> tuple[_Place, _Place]:
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    right = (aside * (y1 - y0) / length, -aside * (x1 - x0) / length)
    return (x0 + right[0], y0 + right[1]), (x1 + right[0], y1 + right[1])
