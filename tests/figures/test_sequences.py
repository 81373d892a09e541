"""Words and music as images."""

import numpy as np
import pytest

from ppl_vae.figures.sequences import MOST_COLUMNS, MOST_ROWS, MOST_STEPS, music, piano_rolls, written


def test_words_are_written_in_images_of_one_size() -> None:
    images = written(["anna", "", "bo", "bo"])
    assert images.shape[0] == 4
    assert images.shape[2] > images.shape[1]
    assert images.min() == 0
    assert images.max() == 1
    assert images[1].max() == 0
    assert np.array_equal(images[2], images[3])
    assert not np.array_equal(images[0], images[2])
    ink = [np.flatnonzero(image.max(0)).max() for image in (images[0], images[2])]
    assert ink[0] > 1.5 * ink[1]  # twice as long


def test_a_long_line_is_cut() -> None:
    images = written(["x" * 61, "x" * 1000, "x" * 60])
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


def test_a_piano_roll_has_time_to_the_right_and_pitch_upwards() -> None:
    going = np.array([[1, 1, 1, 0], [1, 0, 0, 0]])
    keys = np.zeros((2, 4, 10))
    keys[0, 0, 3] = keys[0, 2, 5] = keys[1, 0, 4] = 1
    images = piano_rolls(going, keys)
    assert images.shape == (2, 6, 12)  # keys 3 to 5, two pixels each; three steps, four each
    assert images[0, ::2, ::4].tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert images[1, 2, 0] == 1
    assert (images[1, :, 4:] == images[1, 0, 4]).all()
    assert 0 < images[1, 0, 4] < 0.5  # after the end


def test_silence_is_drawn_too() -> None:
    assert piano_rolls(np.zeros((1, 3)), np.zeros((1, 3, 5))).shape == (1, 10, 4)
    assert piano_rolls(np.ones((1, 3)), np.zeros((1, 3, 5))).max() == 0


def test_a_piece_has_a_bar_for_each_note_as_long_as_it_sounds() -> None:
    going = np.array([[[1, 1, 1, 0], [1, 1, 1, 1]]])
    keys = np.zeros((1, 2, 4, 30))
    keys[0, 0, 0:2, 3] = keys[0, 0, 2, 15] = keys[0, 0, 3, 20] = 1  # C1 held, C2, and what comes after the end
    keys[0, 1, 1, 15], keys[0, 1, 2, 15] = 1.0, 0.5
    first, second = music(going, keys, ["a"], ["data", "model"]).axes
    (bars,), (shaded,) = first.collections, first.patches
    corners = sorted(path.get_extents().extents.tolist() for path in bars.get_paths())
    assert corners == [[0.0, 2.5, 2.0, 3.5], [2.0, 14.5, 3.0, 15.5]]
    assert shaded.get_extents().transformed(first.transData.inverted()).intervalx.tolist() == pytest.approx([3, 4])
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["C1", "C2"]  # MIDI 24 and 36, from A0, 21
    assert second.collections[0].get_facecolor()[:, 3].tolist() == [1.0, 0.5]  # one key, the second time less likely
    assert (first.get_title(), second.get_title(), first.get_ylabel()) == ("data", "model", "a")


def test_silence_is_drawn_and_what_is_too_much_to_be_read_refused() -> None:
    figure = music(np.zeros((1, 1, 3)), np.zeros((1, 1, 3, 88)))
    assert not figure.axes[0].collections[0].get_paths()
    long = music(np.ones((1, 2, 200)), np.ones((1, 2, 200, 13)))
    assert long.axes[0].get_xlim() == (0, MOST_STEPS)
    for rows, columns in ((MOST_ROWS + 1, 1), (1, MOST_COLUMNS + 1), (0, 1)):
        with pytest.raises(ValueError, match="at most"):
            music(np.ones((rows, columns, 2)), np.ones((rows, columns, 2, 5)))
    with pytest.raises(ValueError, match="rows need as many names"):
        music(np.ones((1, 1, 2)), np.ones((1, 1, 2, 5)), ["a", "b"])
