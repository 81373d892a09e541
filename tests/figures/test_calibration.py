"""The figure of a calibration: what it draws of known ranks, and a band that holds what it says."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppl_vae.figures import calibration
from ppl_vae.figures.calibration import simultaneous_band


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_label(): axes for axes in figure.axes}


def uniform(num: int, size: int, num_samples: int = 63, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(num_samples + 1, size=(num, size))


def heights(figure: Figure) -> np.ndarray:
    return np.array([bar.get_height() for bar in panels(figure)["histogram"].containers[0]])


def curves(figure: Figure) -> list[np.ndarray]:
    return [line.get_ydata() for line in panels(figure)["ecdf"].lines if len(line.get_ydata()) > 2]


def legend(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_histogram_is_the_density_of_all_ranks() -> None:
    ranks = np.array([[0, 0], [0, 3], [1, 2], [3, 3]])
    figure = calibration(ranks, 3, ["a", "b"], "what was done")
    np.testing.assert_allclose(heights(figure), np.array([3, 1, 1, 3]) / 8 * 4)
    assert set(panels(figure)) == {"histogram", "ecdf"}
    assert figure.get_label() == "what was done"
    assert legend(figure) == ["99 % of bars, if calibrated", "99 % of curves, if calibrated", "a", "b"]


@pytest.mark.slow
def test_histogram_of_evenly_spread_ranks_is_flat_whatever_the_number() -> None:
    for num_samples in (1, 9, 63, 100, 112):
        figure = calibration(np.arange(num_samples + 1).repeat(3)[:, None], num_samples, ["z"])
        np.testing.assert_allclose(heights(figure), 1.0)
        (curve,) = curves(figure)
        np.testing.assert_allclose(curve, 0.0, atol=1e-12)


def test_ecdf_is_less_the_uniform_one() -> None:
    (curve,) = curves(calibration(np.array([[0], [0], [1], [3]]), 3, ["z"]))
    np.testing.assert_allclose(curve, [0, 2 / 4 - 1 / 4, 3 / 4 - 2 / 4, 3 / 4 - 3 / 4, 0])


def test_simultaneous_band_holds_99_percent() -> None:
    """Of 2 000 other samples of uniform ranks, within 5 standard errors: neither more nor (but for steps) fewer."""
    for num, num_samples in ((200, 63), (1000, 15)):
        low, high = simultaneous_band(num, num_samples)
        ranks = uniform(num, 2000, num_samples, seed=1)
        below = np.stack([(ranks <= rank).mean(axis=0) for rank in range(num_samples)])
        inside = ((below >= low[:, None] - 1e-9) & (below <= high[:, None] + 1e-9)).all(axis=0).mean()
        error = (0.99 * 0.01 / 2000 + 0.99 * 0.01 / 4000) ** 0.5
        assert 0.99 - 5 * error < inside < min(1.0, 0.99 + 5 * error)


@pytest.mark.slow
def test_histogram_band_grows_with_dependence() -> None:
    """Ten times the same coordinate tells no more than once; ten independent ones tell more."""
    once = uniform(500, 1)
    widths = []
    for ranks in (once, once.repeat(10, axis=1), uniform(500, 10)):
        figure = calibration(ranks, 63, [str(number) for number in range(ranks.shape[1])])
        (band,) = [patch for patch in panels(figure)["histogram"].patches if patch.get_alpha() is not None]
        widths.append(band.get_height())
    assert widths[0] == pytest.approx(widths[1])
    assert widths[2] == pytest.approx(widths[0] / 10**0.5, rel=0.05)


def test_many_coordinates_are_sorted_by_the_band() -> None:
    ranks = uniform(1000, 40)
    ranks[:, :5] //= 2  # five of them far off
    figure = calibration(ranks, 63, [f"z{number}" for number in range(1, 41)])
    assert len(curves(figure)) == 40
    texts = legend(figure)
    assert len(texts) == 4
    counts = {text.split(":")[0]: int(text.split(": ")[1].split()[0]) for text in texts[2:]}
    assert 5 <= counts["curves outside"] <= 8
    assert counts["curves inside"] + counts["curves outside"] == 40


def test_all_inside_is_one_entry() -> None:
    ranks = np.arange(64).repeat(2)[:, None].repeat(20, axis=1)
    assert legend(calibration(ranks, 63, list("abcdefghijklmnopqrst")))[2:] == ["curves inside: 20"]


@pytest.mark.parametrize(
    ("ranks", "names", "message"),
    [
        (np.zeros((0, 1), dtype=int), ["z"], r"shape \(0, 1\)"),
        (np.zeros(3, dtype=int), ["z"], r"shape \(3,\)"),
        (np.array([[64]]), ["z"], "ranks from 64 to 64, where 0 to 63"),
        (np.array([[-1]]), ["z"], "ranks from -1"),
        (np.array([[1]]), ["z", "w"], "2 names for 1 coordinates"),
    ],
)
def test_bad_input_is_refused(ranks: np.ndarray, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(ranks, 63, names)
