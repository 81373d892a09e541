"""A model and its guide as graphical models: circles, arrows and plates."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ppl_vae.figures.look.style import INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

if TYPE_CHECKING:  # the type alone: drawing needs no torch
    from ppl_vae.programs.structure import GraphicalModel, Variable

_RADIUS = 0.36  # of a circle; all sizes are in inches
_STEP = 1.3  # from a variable to its neighbour, and from a layer to the next
_MARGIN = 0.3  # of a plate around its circles
_PLATE_NAME = 0.25  # room under a plate's lowest circle for its name
_LINE = 0.28  # of the legend under a panel
_LETTER = 0.1  # of a plate's name
_LETTERS = 10  # of a name within its circle
_TITLE = 0.5
_SHADE = "#d5d5d5"

_Places = dict[str, tuple[float, float]]


@styled
def graphical_model(
    model: "GraphicalModel",
    guide: "GraphicalModel | None" = None,
    caption: str = "",
    plate_names: Mapping[str, str] | None = None,
) -> "Figure":
    """The model p on the left, its guide q on the right, the same variables in the same places.

    Shaded variables are observed, white ones latent. An arrow leads to a variable from what its distribution depends
    on: solid in the model, dashed in the guide. A plate is a frame around what there is once for each datapoint.

    Args:
        model: of p.
        guide: of q, or None for the model alone.
        caption: what was done.
        plate_names: what to write into a plate, by its name, such as "1,294 datapoints"; by default name and size.

    Returns:
        the figure; its axes are labelled "model" and "guide". One unit of them is one inch.

    Raises:
        ValueError: a model without variables, or one whose parent is none of them.
    """
    if not model.variables:
        raise ValueError("a model without variables: there is nothing to draw.")
    panels = [("model", model, "-")] + ([("guide", guide, "--")] if guide is not None else [])
    for _, graph, _ in panels:
        _refuse_unknown_parents(graph)
    depth = max(len(variable.plates) for _, graph, _ in panels for variable in graph.variables)
    places = _places([graph for _, graph, _ in panels], _STEP + _MARGIN * depth)
    across, up = ([place[axis] for place in places.values()] for axis in (0, 1))
    beside = _RADIUS + _MARGIN * depth + 0.1
    left, right = min(across) - beside, max(across) + beside
    lines = max(sum(v.distribution is not None for v in graph.variables) for _, graph, _ in panels)
    top, floor = max(up) + beside, min(up) - beside - _PLATE_NAME * depth
    bottom = floor - _LINE * lines
    width = max(right - left, WIDTH / 2 - 0.1)
    figure = new_figure(max(WIDTH, len(panels) * width + 0.2), top - bottom + _TITLE, caption)
    for axes, (name, graph, style) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_label(name)
        axes.set(xlim=((left + right - width) / 2, (left + right + width) / 2), ylim=(bottom, top), aspect="equal")
        axes.set_axis_off()
        axes.set_title(_formula(graph, name))
        _draw_plates(axes, graph, places, plate_names or {}, depth)
        _draw_arrows(axes, graph, places, style)
        for variable in graph.variables:
            _draw_variable(axes, variable, places[variable.name])
        known = [variable for variable in graph.variables if variable.distribution is not None]
        words = "\n".join(f"{variable.name} ~ {variable.distribution}" for variable in known)
        axes.text((left + right) / 2, floor, words, ha="center", va="top", parse_math=False)
    return figure


def _refuse_unknown_parents(graph: "GraphicalModel") -> None:
    names = {variable.name for variable in graph.variables}
    for variable in graph.variables:
        for parent in variable.parents:
            if parent not in names:
                raise ValueError(f"'{variable.name}' depends on '{parent}', which is none of the variables.")


def _formula(graph: "GraphicalModel", name: str) -> str:
    """p(x, z | y) or q(z | x, y), with what is given behind the bar."""
    drawn = [variable.name for variable in graph.variables if variable.distribution is not None]
    given = [variable.name for variable in graph.variables if variable.distribution is None]
    observed = [variable.name for variable in graph.variables if variable.observed and variable.name in drawn]
    order = observed + [each for each in drawn if each not in observed]
    letter = "p" if name == "model" else "q"
    return f"{name} {letter}({', '.join(order)}{' | ' + ', '.join(given) if given else ''})"


def _places(graphs: "Sequence[GraphicalModel]", border: float) -> _Places:
    """Centres by name, the same in every graph: parents above their children in the first, the rest in the top layer.

    What is in no plate has layers of its own above the others, or it would end up inside a frame; ``border`` is the
    step from the last of these to the next.
    """
    first, *others = graphs
    outside = {variable.name for variable in first.variables if not variable.plates}
    layers: dict[str, int] = {}
    for within in (False, True):
        floor = max((layers[name] + 1 for name in layers), default=0)
        for variable in first.variables:
            if (variable.name not in outside) == within:
                # A parent without a layer comes later: x, whose value a program reads before it observes it.
                known = [parent for parent in variable.parents if parent in layers]
                behind = [layers[parent] for parent in known if (parent not in outside) == within]
                layers[variable.name] = max((layer + 1 for layer in behind), default=floor)
    top = max((layers[name] + 1 for name in outside), default=0)
    for graph in others:
        layers |= {variable.name: top for variable in graph.variables if variable.name not in layers}
    rows: dict[int, list[str]] = {}
    for name, layer in layers.items():
        rows.setdefault(layer, []).append(name)
    return {
        name: ((column - (len(row) - 1) / 2) * _STEP, -layer * _STEP - (border - _STEP if 0 < top <= layer else 0.0))
        for layer, row in rows.items()
        for column, name in enumerate(row)
    }


def _draw_variable(axes: "Axes", variable: "Variable", place: tuple[float, float]) -> None:
    from matplotlib.patches import Circle

    face = _SHADE if variable.observed else "white"
    axes.add_patch(Circle(place, _RADIUS, facecolor=face, edgecolor=INK, linewidth=1.5, zorder=3))
    # A longer name is written smaller into the same circle, and a very long one cut: it stands below in full.
    name = variable.name if len(variable.name) <= _LETTERS else f"{variable.name[: _LETTERS - 1]}…"
    axes.text(
        *place, name, ha="center", va="center", size=min(16.0, 76.0 / max(1, len(name))), zorder=4, parse_math=False
    )


def _draw_arrows(axes: "Axes", graph: "GraphicalModel", places: _Places, style: str) -> None:
    from matplotlib.patches import FancyArrowPatch

    for variable in graph.variables:
        for parent in variable.parents:
            (x0, y0), (x1, y1) = places[parent], places[variable.name]
            # Past a variable in between, not through it.
            far = abs(y1 - y0) > 1.5 * _STEP or (y1 == y0 and abs(x1 - x0) > 1.5 * _STEP)
            arrow = FancyArrowPatch(
                (x0, y0),
                (x1, y1),
                arrowstyle="-|>",
                mutation_scale=16,
                linestyle=style,
                linewidth=1.5,
                color=INK,
                shrinkA=72 * _RADIUS,
                shrinkB=72 * _RADIUS,
                connectionstyle="arc3,rad=0.4" if far else "arc3",
                zorder=2,
            )
            arrow.set_label(f"{parent} → {variable.name}")
            axes.add_patch(arrow)


def _draw_plates(axes: "Axes", graph: "GraphicalModel", places: _Places, names: Mapping[str, str], depth: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    for plate, size in graph.plates.items():
        inside = [variable for variable in graph.variables if plate in variable.plates]
        if not inside:
            continue
        level = depth - min(variable.plates.index(plate) for variable in inside)  # the innermost is the tightest
        margin = _RADIUS + _MARGIN * level
        across, up = ([places[variable.name][axis] for variable in inside] for axis in (0, 1))
        low = min(up) - margin - _PLATE_NAME * level
        name = names.get(plate, f"{plate}, {size:,}")
        most = int((axes.get_xlim()[1] - axes.get_xlim()[0] - 0.3) / _LETTER)
        name = name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - most // 2 + 1 :]}"
        width = max(max(across) - min(across) + 2 * margin, _LETTER * len(name) + 0.2)
        left = (min(across) + max(across) - width) / 2
        frame = FancyBboxPatch(
            (left, low),
            width,
            max(up) + margin - low,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor="none",
            edgecolor=INK,
            zorder=1,
        )
        frame.set_label(plate)
        axes.add_patch(frame)
        axes.text(left + width - 0.08, low + 0.06, name, ha="right", va="bottom", size="small", parse_math=False)
