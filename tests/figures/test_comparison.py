"""The figure of a comparison: every guide in its row, every figure in its place, missing ones left out."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from ppl_vae import figures
from ppl_vae.figures import Row


def row(
    guide: str,
    elbo: float,
    log_px: float | None,
    margin: float = 0.5,
    seeds: int = 3,
    rank: tuple[int, int] | None = None,
) -> Row:
    return Row(
        guide,
        seeds,
        {
            "elbo": (elbo, margin / 4, margin),
            "log_px": None if log_px is None else (log_px, margin, 2 * margin),
            "seconds": (10.0 - elbo / 10, 0.1, 0.4),
        },
        rank,
    )


ROWS = [
    row("amortized:iaf", -20.0, -18.0, rank=(1, 2)),
    row("mean-field", -25.0, -21.0, rank=(2, 2)),
    row("amortized:point", -30.0, None),
]


def axes_of(figure: Figure) -> dict[str, object]:
    return {axes.get_label(): axes for axes in figure.axes}


def points(figure: Figure, container: int) -> list[tuple[float, float]]:
    """(nats, place) of the markers of the ELBO, 0, or of the importance bound, 1."""
    line, _, _ = axes_of(figure)["bounds"].containers[container]
    return list(zip(*(np.asarray(part, dtype=float).tolist() for part in line.get_data()), strict=True))


def errors(figure: Figure, container: int) -> list[float]:
    """Half the lengths of the error bars."""
    _, _, (bars,) = axes_of(figure)["bounds"].containers[container]
    return [(segment[1, 0] - segment[0, 0]) / 2 for segment in bars.get_segments()]


def test_labels() -> None:
    figure = figures.comparison(ROWS, "digits: vae")
    axes = axes_of(figure)
    assert set(axes) == {"bounds", "seconds"}
    assert axes["bounds"].get_xlabel() == "nats per datapoint (right is better)\n95 % intervals over 3 trainings"
    assert axes["seconds"].get_xlabel() == "seconds of training"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ELBO", "importance bound on log p(x)"]
    assert figure.get_label() == "digits: vae"


def test_rows_stand_from_the_top_in_the_order_given() -> None:
    figure = figures.comparison(ROWS)
    figure.draw_without_rendering()
    axes = axes_of(figure)["bounds"]
    labels = {label.get_text(): label.get_window_extent().y0 for label in axes.get_yticklabels()}
    assert sorted(labels, key=labels.get, reverse=True) == [
        "amortized:iaf\nrank 1–2",
        "mean-field\nrank 2",
        "amortized:point",
    ]
    on_screen = axes.transData.transform(points(figure, 0))
    assert (np.diff(on_screen[:, 1]) < 0).all()
    assert (np.diff(on_screen[:, 0]) < 0).all()  # to the right is better, and these fall


def test_every_value_is_in_its_row() -> None:
    figure = figures.comparison(ROWS)
    elbos, bounds = points(figure, 0), points(figure, 1)
    assert [nats for nats, _ in elbos] == [-20.0, -25.0, -30.0]
    assert [round(place) for _, place in elbos] == [0, 1, 2]
    assert errors(figure, 0) == pytest.approx([0.5] * 3)
    assert errors(figure, 1) == pytest.approx([1.0] * 2)
    assert [nats for nats, _ in bounds] == [-18.0, -21.0]  # the point has none
    assert [round(place) for _, place in bounds] == [0, 1]
    bars = axes_of(figure)["seconds"].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([12.0, 12.5, 13.0])
    assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx([0, 1, 2])


def test_a_single_seed_has_no_error() -> None:
    figure = figures.comparison([row("amortized", -20.0, -18.0, math.nan, seeds=1)])
    figure.draw_without_rendering()
    assert axes_of(figure)["bounds"].get_xlabel().endswith("one seed")
    assert errors(figure, 0) == errors(figure, 1) == [0.0]
    assert points(figure, 0)[0][0] == -20.0


def test_no_importance_bound_at_all() -> None:
    figure = figures.comparison([row("amortized:point", -30.0, None)])
    figure.draw_without_rendering()
    assert points(figure, 1) == []


def test_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="no guide to compare"):
        figures.comparison([])


def test_grows_with_its_rows() -> None:
    heights = [figures.comparison(ROWS[:count]).get_size_inches()[1] for count in (1, 2, 3)]
    assert np.diff(heights) == pytest.approx([0.85, 0.85])


def test_row_as_plain_numbers() -> None:
    plain = row("amortized", -20.0, None, math.nan, seeds=1).to_dict()
    assert plain["figures"]["elbo"] == {"mean": -20.0, "stderr": None, "margin": None}
    assert plain["figures"]["log_px"] is None
    assert (plain["guide"], plain["seeds"], plain["rank"]) == ("amortized", 1, None)
