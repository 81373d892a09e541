from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch

from ppl_vae.figures import graphical_model
from ppl_vae.programs.structure import GraphicalModel, Parameters, Variable

IN = ("data",)
MODEL = GraphicalModel(
    (
        Variable("y", None, True, (), IN),
        Variable("z", "Normal", False, (), IN),
        Variable("x", "Bernoulli", True, ("y", "z"), IN),
    ),
    {"data": 2},
)
GUIDE = GraphicalModel(
    (
        Variable("x", None, True, (), IN),
        Variable("y", None, True, (), IN),
        Variable("z", "MultivariateNormal", False, ("x", "y"), IN),
    ),
    {"data": 2},
)
LEVELS = GraphicalModel(
    (
        Variable("scale", "Gamma", False, (), ()),
        Variable("top", "Laplace", False, (), IN),
        Variable("below", "Normal", False, ("scale", "top"), (*IN, "pixels")),
        Variable("x", "Poisson", True, ("below",), (*IN, "pixels")),
    ),
    {"data": 4, "pixels": 3},
)


def circles(axes: Axes) -> dict[str, Circle]:
    """By the name that stands in them."""
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    return {texts[patch.get_center()]: patch for patch in axes.patches if isinstance(patch, Circle)}


def arrows(axes: Axes) -> dict[str, str]:
    return {
        str(patch.get_label()): str(patch.get_linestyle())
        for patch in axes.patches
        if isinstance(patch, FancyArrowPatch)
    }


def frames(axes: Axes) -> dict[str, FancyBboxPatch]:
    return {str(patch.get_label()): patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)}


def test_a_model_and_its_guide() -> None:
    figure = graphical_model(MODEL, GUIDE, plate_names={"data": "1,294 datapoints"})
    left, right = figure.axes
    assert (left.get_label(), right.get_label()) == ("model", "guide")
    assert (left.get_title(), right.get_title()) == ("model p(x, z | y)", "guide q(z | x, y)")
    assert arrows(left) == {"y → x": "-", "z → x": "-"}
    assert arrows(right) == {"x → z": "--", "y → z": "--"}
    for axes in (left, right):
        shades = {name: to_rgb(circle.get_facecolor()) for name, circle in circles(axes).items()}
        assert shades["z"] == (1, 1, 1)
        assert shades["x"] == shades["y"] != (1, 1, 1)
        assert "1,294 datapoints" in [text.get_text() for text in axes.texts]
    places = [{name: circle.get_center() for name, circle in circles(axes).items()} for axes in (left, right)]
    assert places[0] == places[1]
    assert places[0]["z"][1] > places[0]["x"][1]
    assert "z ~ Normal\nx ~ Bernoulli" in [text.get_text() for text in left.texts]
    assert "z ~ MultivariateNormal" in [text.get_text() for text in right.texts]


def test_plates_hold_what_is_theirs_and_nothing_else() -> None:
    (axes,) = graphical_model(LEVELS).axes
    found = {name: frame.get_window_extent() for name, frame in frames(axes).items()}
    for variable in LEVELS.variables:
        box = circles(axes)[variable.name].get_window_extent()
        for plate, frame in found.items():
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
            assert inside == (plate in variable.plates), (variable.name, plate)
            assert inside or not frame.overlaps(box), (variable.name, plate)
    assert found["data"].x0 < found["pixels"].x0
    assert found["data"].y1 > found["pixels"].y1
    texts = [text.get_text() for text in axes.texts]
    assert "data, 4" in texts
    assert "pixels, 3" in texts


@pytest.mark.parametrize("graph", [MODEL, LEVELS])
def test_nothing_covers_anything(graph: GraphicalModel) -> None:
    figure = graphical_model(graph, caption="caption", plate_names={"data": "60,000 datapoints"})
    (axes,) = figure.axes
    boxes = [circle.get_window_extent() for circle in circles(axes).values()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for text in axes.texts:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        held = [circle for circle in boxes if circle.overlaps(box)]
        assert len(held) == (text.get_text() in circles(axes)), text.get_text()
        assert all(circle.x0 < box.x0 and box.x1 < circle.x1 for circle in held)
    heights = [circle.get_window_extent().height for circle in circles(axes).values()]
    np.testing.assert_allclose(heights, heights[0])


def dots(axes: Axes) -> dict[str, Ellipse]:
    """Of learned parameters, by name."""
    found = (patch for patch in axes.patches if isinstance(patch, Ellipse) and not isinstance(patch, Circle))
    return {str(patch.get_label()): patch for patch in found}


@pytest.mark.parametrize(
    ("parameters", "inside"),
    [
        ((Parameters(("z",)),), {"φ": False}),
        ((Parameters(("z",), IN),), {"φₙ": True}),
        ((Parameters(("z",)), Parameters(("z",), IN)), {"φ": False, "φₙ": True}),
        ((), {}),
    ],
)
def test_what_is_learned_stands_outside_the_plate_unless_each_datapoint_has_its_own(
    parameters: tuple[Parameters, ...], inside: dict[str, bool]
) -> None:
    guide = replace(GUIDE, parameters=parameters)
    model = replace(MODEL, parameters=(Parameters(("x",)),))
    left, right = graphical_model(model, guide, plate_names={"data": "1,294 datapoints"}).axes
    assert set(dots(left)) == {"θ"}
    assert arrows(left)["θ → x"] == "-"
    assert {name: frames(right)["data"].get_window_extent().overlaps(dot.get_window_extent())
            for name, dot in dots(right).items()} == inside  # fmt: skip
    for name in inside:
        assert arrows(right)[f"{name} → z"] == "--"
    for axes in (left, right):
        for dot in dots(axes).values():
            box = dot.get_window_extent()
            assert not any(circle.get_window_extent().overlaps(box) for circle in circles(axes).values())


def test_long_names_stay_in_their_circles() -> None:
    (axes,) = graphical_model(GraphicalModel((Variable("a_very_long_name", "Normal", False, (), ()),), {})).axes
    (circle,), (name,) = circles(axes).values(), [text for text in axes.texts if "~" not in text.get_text()]
    assert circle.get_window_extent().x0 < name.get_window_extent().x0


def test_a_parent_that_is_no_variable_is_named() -> None:
    with pytest.raises(ValueError, match="'z' depends on 'w', which is none of the variables"):
        graphical_model(GraphicalModel((Variable("z", "Normal", False, ("w",), ()),), {}))


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="without variables"):
        graphical_model(GraphicalModel((), {}))
