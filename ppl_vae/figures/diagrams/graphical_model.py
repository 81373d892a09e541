"""A model and its guide as graphical models: circles, arrows and plates."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ppl_vae.figures.look.style import INK, WIDTH, new_figure, styled

if TYPE_CHECKING:  # the types alone: drawing needs no torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ppl_vae.programs.structure import GraphicalModel, Parameters, Variable

_RADIUS = 0.36  # of a circle; all sizes are in inches
_STEP = 1.3  # from a variable to its neighbour, and from a layer to the next
_MARGIN = 0.3  # of a plate around its circles
_PLATE_NAME = 0.25  # room under a plate's lowest circle for its name
_LINE = 0.28  # of the legend under a panel
_LETTER = 0.1  # of a plate's name
_LETTERS = 10  # of a name within its circle
_TITLE = 0.5
_PANEL = WIDTH / 2 - 0.1  # the least that one is wide
_DOT = 0.065  # radius of the dot of learned parameters
_AWAY = 0.28  # of such a dot from the frames; its name takes as much again
_BEND = 0.35  # of an arrow that would run through a variable
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
    on: solid in the model, dashed in the guide. A plate is a frame around what there is once for each datapoint. A dot
    stands for learned parameters, θ of the model and φ of the guide: inside the plate, as φₙ, if each datapoint has its
    own, outside if all share them.

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
    graphs = [("model", model, "-")] + ([("guide", guide, "--")] if guide is not None else [])
    for _, graph, _ in graphs:
        _refuse_unknown_parents(graph)
    depth = max(len(variable.plates) for _, graph, _ in graphs for variable in graph.variables)
    places = _places([graph for _, graph, _ in graphs], _STEP + _MARGIN * depth)
    panels = [_Panel(graph, name, style, places, plate_names or {}, depth) for name, graph, style in graphs]
    left, right = min(panel.left for panel in panels), max(panel.right for panel in panels)
    lines = max(sum(v.distribution is not None for v in graph.variables) for _, graph, _ in graphs)
    top, floor = max(panel.top for panel in panels), min(panel.bottom for panel in panels)
    bottom = floor - _LINE * lines
    width = max(right - left, _PANEL)
    figure = new_figure(max(WIDTH, len(panels) * width + 0.2), top - bottom + _TITLE, caption)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_label(panel.name)
        axes.set(xlim=((left + right - width) / 2, (left + right + width) / 2), ylim=(bottom, top), aspect="equal")
        axes.set(xticks=[], yticks=[])  # which would be measured, though they are not seen
        axes.set_axis_off()
        axes.set_title(_formula(panel.graph, panel.name))
        panel.draw(axes)
        known = [variable for variable in panel.graph.variables if variable.distribution is not None]
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


class _Frame(NamedTuple):
    """A plate's, in inches."""

    left: float
    bottom: float
    width: float
    height: float
    name: str


class _Panel:
    """One program, with all that is drawn of it in its place."""

    def __init__(
        self,
        graph: "GraphicalModel",
        name: str,
        style: str,
        places: _Places,
        plate_names: Mapping[str, str],
        depth: int,
    ) -> None:
        self.graph, self.name, self.style, self.places = graph, name, style, places
        across, up = ([place[axis] for place in places.values()] for axis in (0, 1))
        own = [each for each in graph.parameters if each.plates]
        shared = [each for each in graph.parameters if not each.plates]
        self.dots = {self._called(each): self._place_inside(each) for each in own}
        inside = [place[0] for place in self.dots.values()]
        beside, below = _RADIUS + _MARGIN * depth + 0.1, _PLATE_NAME * depth
        self.left, self.right = min(across) - beside, max([*across, *inside]) + beside
        self.bottom, self.top = min(up) - beside - below, max(up) + beside
        around = 2 * (2 * _AWAY) if shared else 0.0
        most = int((max(self.right - self.left, _PANEL - around) - 0.3) / _LETTER)  # letters of a plate's name
        frames = {plate: self._frame(plate, plate_names, depth, most) for plate in graph.plates}
        self.frames = {plate: frame for plate, frame in frames.items() if frame}
        for frame in self.frames.values():
            self.left, self.right = min(self.left, frame.left), max(self.right, frame.left + frame.width)
        for each in shared:
            self.dots[self._called(each)] = self._place_outside(each)

    def _called(self, parameters: "Parameters") -> str:
        return ("θ" if self.name == "model" else "φ") + ("ₙ" if parameters.plates else "")

    def _place_inside(self, parameters: "Parameters") -> tuple[float, float]:
        """Right of all that is in the same plate, as high as what depends on it."""
        beside = [v.name for v in self.graph.variables if set(parameters.plates) <= set(v.plates)]
        heights = [self.places[name][1] for name in parameters.children]
        return max(self.places[name][0] for name in beside) + 0.75 * _STEP, sum(heights) / len(heights)

    def _place_outside(self, parameters: "Parameters") -> tuple[float, float]:
        """Right of all frames, as high as what depends on it; above them, if that stands side by side."""
        across, up = ([self.places[name][axis] for name in parameters.children] for axis in (0, 1))
        if len(set(up)) < len(up) or self.dots:
            self.top += 2 * _AWAY
            return sum(across) / len(across), self.top - 1.5 * _AWAY
        self.right += 2 * _AWAY
        return self.right - 1.25 * _AWAY, sum(up) / len(up)

    def _frame(self, plate: str, names: Mapping[str, str], depth: int, most: int) -> _Frame | None:
        inside = [variable for variable in self.graph.variables if plate in variable.plates]
        if not inside:
            return None
        level = depth - min(variable.plates.index(plate) for variable in inside)  # the innermost is the tightest
        margin = _RADIUS + _MARGIN * level
        held = [self.places[variable.name] for variable in inside]
        held += [self.dots[self._called(each)] for each in self.graph.parameters if plate in each.plates]
        across, up = ([place[axis] for place in held] for axis in (0, 1))
        low = min(up) - margin - _PLATE_NAME * level
        name = names.get(plate, f"{plate}, {self.graph.plates[plate]:,}")
        name = name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - most // 2 + 1 :]}"
        width = max(max(across) - min(across) + 2 * margin, _LETTER * len(name) + 0.2)
        return _Frame((min(across) + max(across) - width) / 2, low, width, max(up) + margin - low, name)

    def draw(self, axes: "Axes") -> None:
        """All of it."""
        for plate, frame in self.frames.items():
            _draw_frame(axes, plate, frame)
        for variable in self.graph.variables:
            for parent in variable.parents:
                far = _is_far(self.places[parent], self.places[variable.name])
                label = f"{parent} → {variable.name}"
                self._draw_arrow(axes, label, self.places[parent], variable.name, _RADIUS, 0.4 if far else 0.0)
            _draw_variable(axes, variable, self.places[variable.name])
        for parameters in self.graph.parameters:
            name = self._called(parameters)
            place = self.dots[name]
            for child in parameters.children:
                bend = _BEND if self._is_behind_another(place, child) else 0.0
                self._draw_arrow(axes, f"{name} → {child}", place, child, _DOT, bend)
            _draw_dot(axes, name, place)

    def _is_behind_another(self, place: tuple[float, float], child: str) -> bool:
        """Whether a variable stands between a dot and what depends on it."""
        x, y = self.places[child]
        return any(
            self.places[each.name][1] == y and x < self.places[each.name][0] < place[0] for each in self.graph.variables
        )

    def _draw_arrow(
        self, axes: "Axes", label: str, start: tuple[float, float], child: str, radius: float, bend: float
    ) -> None:
        from matplotlib.patches import FancyArrowPatch

        arrow = FancyArrowPatch(
            start,
            self.places[child],
            arrowstyle="-|>",
            mutation_scale=16,
            linestyle=self.style,
            linewidth=1.5,
            color=INK,
            shrinkA=72 * radius,
            shrinkB=72 * _RADIUS,
            connectionstyle=f"arc3,rad={bend}",
            zorder=2,
        )
        arrow.set_label(label)
        axes.add_patch(arrow)


def _is_far(start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether an arrow would run through a variable in between, and is to be bent past it."""
    (x0, y0), (x1, y1) = start, end
    return abs(y1 - y0) > 1.5 * _STEP or (y1 == y0 and abs(x1 - x0) > 1.5 * _STEP)


def _draw_variable(axes: "Axes", variable: "Variable", place: tuple[float, float]) -> None:
    from matplotlib.patches import Circle

    face = _SHADE if variable.observed else "white"
    axes.add_patch(Circle(place, _RADIUS, facecolor=face, edgecolor=INK, linewidth=1.5, zorder=3))
    # A longer name is written smaller into the same circle, and a very long one cut: it stands below in full.
    name = variable.name if len(variable.name) <= _LETTERS else f"{variable.name[: _LETTERS - 1]}…"
    axes.text(
        *place, name, ha="center", va="center", size=min(16.0, 76.0 / max(1, len(name))), zorder=4, parse_math=False
    )


def _draw_dot(axes: "Axes", name: str, place: tuple[float, float]) -> None:
    from matplotlib.patches import Ellipse

    dot = Ellipse(place, 2 * _DOT, 2 * _DOT, facecolor=INK, edgecolor=INK, zorder=3)
    dot.set_label(name)
    axes.add_patch(dot)
    axes.text(place[0] + 1.8 * _DOT, place[1], name, ha="left", va="center", parse_math=False)


def _draw_frame(axes: "Axes", plate: str, frame: _Frame) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (frame.left, frame.bottom),
        frame.width,
        frame.height,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor="none",
        edgecolor=INK,
        zorder=1,
    )
    box.set_label(plate)
    axes.add_patch(box)
    right = frame.left + frame.width - 0.08
    axes.text(right, frame.bottom + 0.06, frame.name, ha="right", va="bottom", size="small", parse_math=False)
