import numpy as np
import pytest

from ppl_vae.figures import confusion


def test_counts_are_written_and_mistakes_coloured_by_their_share() -> None:
    counts = [[8, 2, 0], [0, 5, 0], [1, 0, 3]]
    axes, _ = confusion(counts, ["a", "b", "c"], "what was done").axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "8", (1, 0): "2", (1, 1): "5", (0, 2): "1", (2, 2): "3"}
    colours = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(colours, [[np.nan, 20, 0], [0, np.nan, 0], [25, 0, np.nan]])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]


def test_many_classes_have_colours_only() -> None:
    names = [str(number) for number in range(30)]
    axes, _ = confusion(np.eye(30, dtype=int), names).axes
    assert not axes.texts
    assert [text.get_text() for text in axes.get_xticklabels()] == names[::3]


def test_a_class_without_data_is_blank() -> None:
    axes, _ = confusion([[0, 0], [1, 3]], ["a", "b"]).axes
    assert np.ma.filled(axes.images[0].get_array(), np.nan)[0, 1] == 0


def test_errors() -> None:
    for counts in ([[1, 2]], np.zeros((3, 3)), [[1, -1], [0, 2]]):
        with pytest.raises(ValueError, match="2 classes need as many rows and columns"):
            confusion(counts, ["a", "b"])
