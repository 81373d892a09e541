from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppl_vae.figures import training_curves
from ppl_vae.training.metrics import EpochMetrics


def history(elbos: list[float], validation: list[float | None] | None = None) -> list[EpochMetrics]:
    kls = [3.0 + 0.1 * epoch for epoch in range(len(elbos))]
    return [
        EpochMetrics(
            *(epoch, elbo, elbo, elbo + kl, kl, 1.0, other, 0.5),
            *((None,) * 2 if other is None else (other + kl, kl)),
        )
        for epoch, (elbo, kl, other) in enumerate(
            zip(elbos, kls, validation or [None] * len(kls), strict=True), start=1
        )
    ]


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_label(): axes for axes in figure.axes}


def test_panels_hold_the_history() -> None:
    rows = history([-50.0, -40.0, -35.0], [-49.0, -41.0, -36.0])
    axes = panels(training_curves(rows))
    assert set(axes) == {"bound", "reconstruction", "kl"}
    train, validation = axes["bound"].lines
    assert list(train.get_xdata()) == [1, 2, 3]
    assert list(train.get_ydata()) == [-50.0, -40.0, -35.0]
    assert list(validation.get_ydata()) == [-49.0, -41.0, -36.0]
    for part in ("reconstruction", "kl"):
        trained, validated = axes[part].lines
        assert list(trained.get_ydata()) == [getattr(row, part) for row in rows]
        assert list(validated.get_ydata()) == [getattr(row, f"validation_{part}") for row in rows]


def test_a_bound_that_is_not_the_elbo_is_called_by_its_name() -> None:
    """The ELBO of the same draws stands beside it; one that differs by rounding does not."""
    rows = [replace(row, bound=row.elbo + 2) for row in history([-50.0, -40.0, -35.0], [-49.0, -41.0, -36.0])]
    figure = training_curves(rows)
    axes = panels(figure)["bound"]
    assert [list(line.get_ydata()) for line in axes.lines] == [
        [-48.0, -38.0, -33.0],
        [-49.0, -41.0, -36.0],
        [-50.0, -40.0, -35.0],
    ]
    assert axes.get_ylabel().startswith("importance bound\n(nats")
    assert [text.get_text() for text in figure.legends[0].get_texts()][2] == "ELBO in training"
    rounded = panels(training_curves([replace(row, bound=row.elbo * (1 + 1e-7)) for row in rows]))["bound"]
    assert len(rounded.lines) == 2
    assert rounded.get_ylabel().startswith("ELBO\n(nats")


def test_the_axis_says_what_is_better() -> None:
    axes = panels(training_curves(history([-50.0, -40.0])))
    assert "nats per datapoint" in axes["bound"].get_ylabel()
    assert "bigger is better" in axes["bound"].get_ylabel()
    assert axes["kl"].get_xlabel() == "epoch"


@pytest.mark.parametrize(("validation", "names"), [(None, ["training"]), ([-1.0, -2.0], ["training", "validation"])])
def test_legend_names_the_curves_there_are(validation: list[float | None] | None, names: list[str]) -> None:
    (legend,) = training_curves(history([-5.0, -4.0], validation)).legends
    assert [text.get_text().split(",")[0] for text in legend.get_texts()] == names


def test_terrible_first_epochs_have_a_panel_of_their_own() -> None:
    elbos = [-5000.0, -900.0, *np.linspace(-110, -100, 48)]
    axes = panels(training_curves(history(elbos)))
    low, high = axes["bound"].get_ylim()
    assert -120 < low < -110
    assert -100 < high < -98
    assert axes["start of bound"].get_ylim()[0] < -5000
    start, rest = (list(axes[name].lines[0].get_ydata()) for name in ("start of bound", "bound"))
    assert [*start[:-1], *rest] == elbos
    assert start[-1] == rest[0]


@pytest.mark.slow
def test_late_trouble_is_never_cut_off() -> None:
    elbos = [*np.linspace(-110, -100, 49), -5000.0]
    axes = panels(training_curves(history(elbos)))["bound"]
    assert axes.get_ylim()[0] < -5000
    assert len(axes.lines[0].get_ydata()) == 50


def test_limits_hold_validation_too() -> None:
    low, high = panels(training_curves(history([-100.0] * 10, [-130.0] * 10)))["bound"].get_ylim()
    assert low < -130
    assert high > -100


def test_a_gap_in_validation_stays_a_gap() -> None:
    figure = training_curves(history([-5.0, -4.0, -3.0], [None, None, -3.5]))
    _, validation = panels(figure)["bound"].lines
    np.testing.assert_array_equal(validation.get_ydata(), [np.nan, np.nan, -3.5])


def test_one_epoch_is_visible() -> None:
    axes = panels(training_curves(history([-5.0], [-6.0])))
    for panel in axes.values():
        for line in panel.lines:
            assert line.get_marker() == "o"
            low, high = panel.get_ylim()
            assert low < line.get_ydata()[0] < high


def test_epochs_are_whole_numbers() -> None:
    figure = training_curves(history([-5.0, -4.0, -3.0]))
    low, high = panels(figure)["bound"].get_xlim()
    ticks = [tick for tick in panels(figure)["bound"].get_xticks() if low <= tick <= high]
    assert ticks == [1, 2, 3]


def test_empty_history_is_an_error() -> None:
    with pytest.raises(ValueError, match="history is empty"):
        training_curves([])


def test_a_point_has_a_reconstruction_and_no_bound() -> None:
    rows = [replace(row, kl_weight=0.0) for row in history([-50.0, -40.0], [-49.0, -41.0])]
    (axes,) = training_curves(rows, of_point=True).axes
    assert axes.get_ylabel().startswith("reconstruction\n(nats")
    assert [list(line.get_ydata()) for line in axes.lines] == [
        [row.reconstruction for row in rows],
        [row.validation_reconstruction for row in rows],
    ]
    weighted = panels(training_curves([replace(row, kl_weight=0.5) for row in rows], of_point=True))
    assert weighted["kl"].get_ylabel() == "minus log p(z)"
    assert not any("ELBO" in panel.get_ylabel() for panel in weighted.values())
