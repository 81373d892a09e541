from collections import Counter

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ppl_vae.figures import LatentPlane, latent_holes
from ppl_vae.figures.look.style import CATEGORICAL

rng = np.random.default_rng(0)
LABELS = np.arange(60) % 3
AE = LatentPlane("autoencoder", 9 * rng.normal(size=(60, 2)), rng.normal(size=(6, 2)), rng.random((6, 5, 4)))
VAE = LatentPlane("VAE", rng.normal(size=(60, 2)), rng.normal(size=(3, 2)), rng.random((3, 5, 4)))


def test_planes_stand_side_by_side_with_their_images_below() -> None:
    figure = latent_holes([AE, VAE], LABELS, "Digits.")
    axes = {str(each.get_label()): each for each in figure.axes}
    for plane in (AE, VAE):
        panel = axes[plane.name]
        whole = axes[f"{plane.name}, to scale"]
        assert (whole.get_title(), panel.get_xlabel(), panel.get_ylabel()) == (plane.name, "z1", "z2")
        (points,) = panel.collections
        np.testing.assert_array_equal(np.asarray(points.get_offsets()), plane.codes)
        assert to_hex(np.asarray(points.get_facecolor())[2]) == CATEGORICAL[2]
        marks = {text.get_text(): text.get_position() for text in panel.texts}
        assert list(marks) == [str(number + 1) for number in range(len(plane.places))]
        # A number stands at its place, or a line leads from it there.
        there = {tuple(line.get_xydata()[-1].tolist()) for line in panel.lines} | set(marks.values())
        assert there >= {tuple(place) for place in np.asarray(plane.places).tolist()}
        for number, image in enumerate(plane.images, start=1):
            tile = axes[f"{plane.name}, {number}"]
            assert tile.get_title() == str(number)
            np.testing.assert_array_equal(tile.images[0].get_array(), image)
            assert tile.images[0].get_clim() == (0, 1)
            assert tile.get_window_extent().y1 < panel.get_window_extent().y0
    assert not axes["VAE, 4"].images  # no place
    assert axes["autoencoder"].get_window_extent().x1 < axes["VAE"].get_window_extent().x0
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["|z| = 3", "0", "1", "2"]


def test_a_legend_of_ten_classes_fills_its_rows_and_begins_at_the_edge() -> None:
    figure = latent_holes([AE, VAE], np.arange(60) % 10)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    rows = Counter(round(box.y0 / 10) for box in boxes)
    assert len(boxes) == 11
    assert len(rows) > 1
    assert max(rows.values()) - min(rows.values()) <= 1
    assert figure.bbox.height - max(box.y1 for box in boxes) < 0.3 * figure.dpi


def test_without_labels() -> None:
    (legend,) = latent_holes([VAE]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["|z| = 3"]


@pytest.mark.parametrize(("factor", "same"), [(2.0, True), (50.0, False)])
def test_planes_are_drawn_on_the_same_axes_whatever_their_scale(factor: float, same: bool) -> None:
    wide = AE._replace(codes=factor * np.asarray(VAE.codes), places=factor * np.asarray(VAE.places), images=VAE.images)
    figure = latent_holes([wide, VAE])
    one, other = (axes for axes in figure.axes if axes.get_label() in (wide.name, VAE.name))
    assert (one.get_xlim() == other.get_xlim()) == same
    assert (one.get_ylim() == other.get_ylim()) == same
    to_scale = [axes for axes in figure.axes if str(axes.get_label()).endswith("to scale")]
    assert len({axes.get_xlim() for axes in to_scale}) == (0 if same else 1)
    for axes in (one, other):
        assert [patch.get_radius() for patch in axes.patches] == [3]


@pytest.mark.parametrize(
    ("planes", "labels", "part"),
    [
        ([], None, "no latent plane"),
        ([VAE._replace(codes=np.zeros((4, 3)))], None, "VAE: codes must be finite"),
        ([VAE._replace(places=np.zeros((0, 2)))], None, "VAE: places must be finite"),
        ([VAE._replace(images=np.zeros((2, 5, 4)))], None, "2 images for 3 places"),
        ([AE, VAE], np.zeros(7), "60 codes for 7 labels"),
    ],
)
def test_refuses(planes: list[LatentPlane], labels: np.ndarray | None, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        latent_holes(planes, labels)
