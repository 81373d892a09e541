"""Words and music as images."""

import numpy as np

from ppl_vae.figures.sequences import piano_rolls, written


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
