import sys
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ppl_vae import figures
from ppl_vae.figures.look.style import CATEGORICAL, class_colors, new_figure, rendered
from ppl_vae.programs.anatomy.drawing import Reparameterisation
from ppl_vae.programs.anatomy.layers import Box, Fold, Networks, Row
from ppl_vae.programs.structure import GraphicalModel, Variable
from ppl_vae.reports.page import description_of
from ppl_vae.training.metrics import EpochMetrics
from tests.marks import slow_after

rng = np.random.default_rng(0)
PIXELS = rng.random((4, 5, 6))

FIGURES = ("elbo", "log_px", "seconds")

Z, X = Variable("z", "Normal", False, (), ("data",)), Variable("x", "Bernoulli", True, ("z",), ("data",))
GRAPH = GraphicalModel((Z, X), {"data": 5})
PLANE = figures.LatentPlane("vae", PIXELS[0, :4, :2], PIXELS[1, :2, :2], PIXELS[:2])

BOX = Box("layer", "Linear", (3,))
DRAWN = Reparameterisation(("z",), ("x",), False, "loc + scale · ε", "N(0, I)")

CHECKED = figures.Checked(*PIXELS[:4, 0, :2], [True, False])

DRAW: dict[str, Callable[[str], Figure]] = {
    "training_curves": lambda c: figures.training_curves([EpochMetrics(1, -3.0, -3.0, -2.0, 1.0, 1.0, -4.0, 1.0)], c),
    "sheet": lambda c: figures.sheet(PIXELS, c),
    "reconstructions": lambda c: figures.reconstructions(PIXELS, PIXELS, c),
    "grid": lambda c: figures.grid(PIXELS.reshape(2, 2, 5, 6), -1, 1, c),
    "blocks": lambda c: figures.blocks({"a": PIXELS[None], "b": PIXELS[None]}, ["row"], c),
    "calibration": lambda c: figures.calibration(np.arange(8).reshape(4, 2), 7, ["z1", "z2"], c),
    "trial_history": lambda c: figures.trial_history([-3.0, -2.0], [True, True], c),
    "trial_settings": lambda c: figures.trial_settings([figures.Searched("a", [1, 2])], [-3.0, -2.0], [True, True], c),
    "column_checks": lambda c: figures.column_checks(
        ["a", "b"], *[CHECKED] * 3, figures.Checked(*PIXELS[:4, 0, :1], [False]), c
    ),
    "comparison": lambda c: figures.comparison(
        [figures.Row("amortized", 3, dict.fromkeys(FIGURES, (-1.0, 0.1, 0.4)))], c
    ),
    "confusion": lambda c: figures.confusion([[3, 1], [0, 4]], ["a", "b"], c),
    "film_frame": lambda c: figures.film_frame([[0, 1]], [np.eye(2)], [3], PIXELS[None, :1], 3.0, title=c),
    "gaps": lambda c: figures.gaps([("test data", [figures.GapBar("diagonal", (1.0, 0.1), (0.5, 0.1))])], c),
    "graphical_model": lambda c: figures.graphical_model(GRAPH, None, c),
    "latent_holes": lambda c: figures.latent_holes([PLANE, PLANE._replace(name="ae")], [0, 1, 2, 2], c),
    "kl_by_unit": lambda c: figures.kl_by_unit([1.0, 0.0], [0.1, 0.0], [True, False], ["z1", "z2"], c),
    "labelled": lambda c: figures.labelled(PIXELS[None], [["7 %"] * len(PIXELS)], ["row"], c),
    "music": lambda c: figures.music(np.ones((1, 1, 5)), PIXELS[None, :1], ["row"], ["column"], c),
    "networks": lambda c: figures.networks(Networks((Fold((Row((BOX,)),), 3),), ()), c),
    "reparameterisation": lambda c: figures.reparameterisation(DRAWN, c),
    "posteriors": lambda c: figures.posteriors([[0, 1], [1, 1]], [np.eye(2)] * 2, [3, 4], c),
    "table_profiles": lambda c: figures.table_profiles({"data": PIXELS}, list("abcd"), list("uvwxyz"), (0, 1), None, c),
    "strips": lambda c: figures.strips(PIXELS[None], ["row"], list("abcde")[: len(PIXELS)], c),
    "latent_scatter": lambda c: figures.latent_scatter(PIXELS[0], np.arange(5), c),
}


def test_every_figure_is_tried_here() -> None:
    assert set(DRAW) | {
        "Checked",
        "GapBar",
        "LatentPlane",
        "Row",
        "Searched",
        "film_palette",
        "mosaic",
        "save",
        "save_frame",
    } == set(figures.__all__)


UNHINTED = {"text.hinting": "none"}  # how letters are fitted to pixels is matplotlib's setting of the moment alone
USERS = {"font.size": 30.0, "axes.facecolor": "red", "savefig.facecolor": "blue", "image.cmap": "jet"}


@pytest.mark.parametrize("draw", slow_after(4, DRAW.values()), ids=DRAW)
def test_the_users_settings_and_the_picture_do_not_change_each_other(
    draw: Callable[[str], Figure], tmp_path: Path
) -> None:
    figures.save(draw("caption"), tmp_path / "default.png")
    with matplotlib.rc_context(USERS):
        before = dict(matplotlib.rcParams)
        figures.save(draw("caption"), tmp_path / "inside.png")
        assert dict(matplotlib.rcParams) == before
        figure = draw("caption")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    with matplotlib.rc_context(
        {"xtick.labelsize": 30.0, "xtick.color": "red", "font.sans-serif": ["cursive"], **UNHINTED}
    ):
        figure.savefig(tmp_path / "later.png", dpi=150)  # not through save
    default = np.asarray(Image.open(tmp_path / "default.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "inside.png")), default)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "later.png")), default)


@pytest.mark.parametrize("draw", slow_after(4, [draw for name, draw in DRAW.items() if name != "film_frame"]))
def test_the_caption_is_in_the_files_and_not_in_the_picture(draw: Callable[[str], Figure], tmp_path: Path) -> None:
    caption = r"seed 0, z ~ q(z | x) ≥ 0, a file named $\oops$"
    with_caption, without = draw(caption), draw("")
    assert not any("oops" in text.get_text() for text in with_caption.findobj(Text))
    assert with_caption.get_size_inches().tolist() == without.get_size_inches().tolist()
    figures.save(with_caption, tmp_path / "with.png")
    assert description_of(tmp_path / "with.png") == caption
    assert caption in (tmp_path / "with.svg").read_text()
    figures.save(without, tmp_path / "without.png")
    assert description_of(tmp_path / "without.png") == ""


@pytest.mark.parametrize(
    "name", slow_after(6, [name for name in DRAW if name not in ("film_frame", "sheet")])
)  # that is not printed, and this has no text
def test_legible_at_half_the_width_of_a_page(name: str) -> None:
    """Printed 3.5 inches wide, no text is below 5.5 points and running text is 6.5 or more."""
    figure = DRAW[name]("caption")
    scale = 3.5 / figure.get_size_inches()[0]
    sizes = [text.get_size() * scale for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(sizes) > 5.5
    assert np.median(sizes) > 6.49


def test_saved_png_has_150_pixels_an_inch(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    figures.save(new_figure(4.0, 2.0, ""), path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (600, 300)


def test_saved_svg_is_beside_it_and_always_the_same(tmp_path: Path) -> None:
    files = {}
    for name in ("first", "second"):
        figures.save(DRAW["latent_scatter"]("caption"), tmp_path / f"{name}.png")
        files[name] = (tmp_path / f"{name}.svg").read_bytes()
    assert files["first"] == files["second"]
    assert ElementTree.fromstring(files["first"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"dc:date" not in files["first"]


def test_points_of_a_scatter_do_not_swell_the_svg(tmp_path: Path) -> None:
    figures.save(figures.latent_scatter(rng.normal(size=(5_000, 2))), tmp_path / "latent.png")
    assert (tmp_path / "latent.svg").stat().st_size < 300_000


def test_an_svg_holds_each_pixel_of_an_image_once(tmp_path: Path) -> None:
    figure = figures.grid(rng.random((20, 20, 28, 28)), -3, 3)
    before = figure.axes[0].images[0].get_interpolation()
    figures.save(figure, tmp_path / "grid.png")
    assert figure.axes[0].images[0].get_interpolation() == before
    (image,) = ElementTree.parse(tmp_path / "grid.svg").iter("{http://www.w3.org/2000/svg}image")
    encoded = image.attrib["{http://www.w3.org/1999/xlink}href"].partition(",")[2]
    with Image.open(BytesIO(b64decode(encoded))) as picture:
        assert picture.size == (20 * 29 - 1, 20 * 29 - 1)


@pytest.mark.parametrize("name", ["figure", "figure.svg", "figure.v2"])
def test_saving_wants_the_name_of_a_png(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.png"):
        figures.save(new_figure(4.0, 2.0, ""), tmp_path / name)
    assert not list(tmp_path.iterdir())


# Of linear RGB, at full severity (Machado et al. 2009, table 1).
_PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
_DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
# From linear RGB to Oklab (Ottosson 2020), in which distances are those that one sees.
_CONES = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
_OPPONENTS = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]


@pytest.mark.parametrize(("sight", "least"), [(np.eye(3), 0.18), (_PROTANOPIA, 0.11), (_DEUTERANOPIA, 0.11)])
def test_colour_blind_readers_tell_the_classes_apart(sight: object, least: float) -> None:
    """A just noticeable difference in Oklab is about 0.02."""
    rgb = np.array([matplotlib.colors.to_rgb(color) for color in CATEGORICAL])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(sight).T, 0, 1)
    lab = np.cbrt(seen @ np.transpose(_CONES)) @ np.transpose(_OPPONENTS)
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert distances[np.triu_indices(len(lab), 1)].min() > least


def test_class_colors_are_distinct() -> None:
    assert class_colors(3) == list(CATEGORICAL[:3])
    for count in (1, 10, 11, 100):
        assert len(set(class_colors(count))) == count
    assert not set(class_colors(11)) & set(CATEGORICAL)


@pytest.mark.parametrize("name", [name for name in DRAW if name != "film_frame"])
def test_a_notebook_shows_it(name: str) -> None:
    """As many pixels as its size says, and as the file has it: nothing of the figure is changed by being looked at."""
    figure = DRAW[name]("what was done")
    before = rendered(figure) if name == "sheet" else {}
    shown = Image.open(BytesIO(figure._repr_png_()))  # type: ignore[attr-defined]
    assert shown.size == pytest.approx([side * figure.dpi for side in figure.get_size_inches()], abs=1)
    assert shown.info["Description"] == "what was done"
    if before:
        assert rendered(figure) == before
